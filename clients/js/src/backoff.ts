/** The first window, in milliseconds. */
const FIRST = 1_000;
/** The longest window, as a multiple of the first. */
const LONGEST = 300;
/** A connection that lasts this long, in milliseconds, resets the window to the first: a tenth of the longest. */
export const STEADY = 30_000;

/**
 * The window of an attempt, counted from 0: it doubles from a second to five minutes, and is never shorter than the
 * service has asked for, in seconds.
 */
export function windowOf(attempt: number, asked = 0): number {
  return FIRST * Math.min(Math.max(2 ** attempt, asked), LONGEST);
}

/**
 * A share of `window`, evenly from nothing to all of it; the caller draws `random` from 0 to 1. After an outage
 * thousands of devices come back; even draws over the whole window ("full jitter") keep them from coming back together.
 */
export function spread(window: number, random: number): number {
  return window * random;
}
