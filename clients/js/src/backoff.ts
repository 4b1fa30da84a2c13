/** The first window, in milliseconds. */
const FIRST = 1_000;
/** How much longer than the first a window grows at most. */
const LONGEST = 300;
/** A connection that lasts so long, in milliseconds, begins the windows anew: a tenth of the longest. */
export const STEADY = 30_000;

/**
 * The window of an attempt, counted from 0: it doubles from a second to five minutes, and is no shorter than the service
 * has asked for, in seconds.
 */
export function windowOf(attempt: number, asked = 0): number {
  return FIRST * Math.min(Math.max(2 ** attempt, asked), LONGEST);
}

/**
 * A share of `window`, evenly from nothing to all of it; `random` is drawn by the caller, from 0 to 1. After an outage
 * thousands of devices come back; even draws over the whole window ("full jitter") keep them from coming back together.
 */
export function spread(window: number, random: number): number {
  return window * random;
}
