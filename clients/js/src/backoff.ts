/** The first window, in milliseconds. */
export const FIRST = 1_000;
/** The window never grows beyond this, in milliseconds. */
export const LONGEST = 300_000;

/** The window of an attempt, counted from 0: it doubles from a second to five minutes. */
export function windowOf(attempt: number): number {
  return Math.min(FIRST * 2 ** attempt, LONGEST);
}

/**
 * A share of `window`, evenly from nothing to all of it; `random` is drawn by the caller, from 0 to 1. After an outage
 * thousands of devices come back; even draws over the whole window ("full jitter") keep them from coming back together.
 */
export function spread(window: number, random: number): number {
  return window * random;
}
