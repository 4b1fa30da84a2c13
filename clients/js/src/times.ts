// The times of a connection, in milliseconds.

/** The time of an event that is not due. */
export const NEVER = Infinity;
/**
 * The latest time of a connection's first heartbeat; up to a quarter of it is taken off at random, because many devices
 * may have reconnected together. It comes soon, because a message that was stored between the connection and the first
 * action was not posted to it, and the head in the pong reveals it.
 */
export const FIRST_PING = 5_000;
/** The pause before the next heartbeat until a pong sets another. */
export const NEXT_PING = 60_000;
/**
 * The longest pause before a heartbeat, even if a pong sets more: API Gateway closes a connection after 10 silent
 * minutes.
 */
export const LAST_PING = 540_000;
/**
 * When to move to a new socket if the service has not asked for it: API Gateway ends every connection after two hours.
 * Up to a quarter is taken off at random, so that devices that connected together do not leave together.
 */
export const ROLLOVER_AFTER = 6_600_000;
/** Pause before a replay is requested again after an error of the gateway. */
export const REPLAY_RETRY = 1_000;
/** How long messages may arrive after the answer that lists them, before they are requested again. */
export const STRAGGLE = 3_000;
/** Acknowledgements that come closer together than this are sent in one action. */
export const ACK_PAUSE = 200;
/** A connection on which a frame arrived this recently needs no check. */
export const FRESH = 10_000;
/** How long to wait for a handshake, a pong or a replay. */
export const ANSWER_WITHIN = 15_000;
