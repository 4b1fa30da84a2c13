import { spread } from "./backoff.js";
import type { Environment, Socket } from "./environment.js";
import type { Position } from "./position.js";

// All times are in milliseconds.

/** When something is due that is not. */
export const NEVER = Infinity;
/**
 * When the first heartbeat of a connection comes at the latest; up to a quarter of it is taken off at random, because
 * many devices may have come back together. It comes soon: what was stored between our connection and our first words
 * about the mailbox was posted to nobody, and the head in the pong tells of it.
 */
const FIRST_PING = 5_000;
/** When to move to a new socket where the service has not asked for it. API Gateway ends every connection after two hours. */
const ROLLOVER_AFTER = 6_600_000;

/** When what is due on a line. */
export interface Due {
  /** The next heartbeat. */
  ping: number;
  /** Its answer. */
  pong: number;
  /** The answer to a replay, or what is missing of it. */
  replay: number;
  /** What is in doubt is said again. */
  repeat: number;
  /** It is told up to where the app has taken everything, for acknowledgements that were not said one by one. */
  sum: number;
  /** A successor is opened. */
  rollover: number;
}

/** One socket, and what is due on it. */
export interface Line {
  readonly socket: Socket;
  readonly due: Due;
  /** What came is dealt with one by one. */
  work: Promise<unknown>;
  /** When something came on it that was for us. */
  heard: number;
  /** Up to where it was told that the app has taken everything. */
  summedUp: Position | undefined;
  /** When a message was acknowledged last. */
  acked: number;
  /** When the oldest ping that has no answer was said. */
  pinged: number;
  /** How often what is in doubt was said again. */
  repeats: number;
}

/** A socket that was opened just now. */
export function lineOf(socket: Socket, { now, random }: Environment): Line {
  const soon = now() + FIRST_PING - spread(FIRST_PING / 4, random());
  // Half an hour at most is spread, so that devices that came together do not leave together.
  const rollover = now() + ROLLOVER_AFTER - spread(ROLLOVER_AFTER / 4, random());
  return {
    socket,
    due: { ping: soon, pong: NEVER, replay: NEVER, repeat: NEVER, sum: NEVER, rollover },
    work: Promise.resolve(),
    heard: NEVER,
    summedUp: undefined,
    acked: -NEVER,
    pinged: NEVER,
    repeats: 0,
  };
}
