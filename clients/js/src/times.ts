// The times of a connection, in milliseconds.

/** When something is due that is not. */
export const NEVER = Infinity;
/**
 * When the first heartbeat of a connection comes at the latest; up to a quarter of it is taken off at random, because
 * many devices may have come back together. It comes soon: what was stored between our connection and our first words
 * about the mailbox was posted to nobody, and the head in the pong tells of it.
 */
export const FIRST_PING = 5_000;
/** The pause before the next heartbeat until a pong says otherwise. */
export const NEXT_PING = 60_000;
/** No heartbeat comes later than this, whatever a pong says: API Gateway closes a connection after 10 silent minutes. */
export const LAST_PING = 540_000;
/**
 * When to move to a new socket where the service has not asked for it: API Gateway ends every connection after two hours.
 * A quarter at most is taken off, so that devices that came together do not leave together.
 */
export const ROLLOVER_AFTER = 6_600_000;
/** Pause before asking again when a replay's answer was an error of the gateway. */
export const REPLAY_RETRY = 1_000;
/** How long messages may stay behind the answer that counts them, before they are asked for again. */
export const STRAGGLE = 3_000;
/** Acknowledgements that come closer together than this are said in one word. */
export const ACK_PAUSE = 200;
/** A connection that was heard so recently needs no proof that it lives. */
export const FRESH = 10_000;
/** How long to wait for a handshake, a pong or a replay. */
export const ANSWER_WITHIN = 15_000;
