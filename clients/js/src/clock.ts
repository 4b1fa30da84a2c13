import type { Environment } from "./environment.js";

/** A clock that differs by more than this from the service's is corrected, in milliseconds. */
const TOLERANCE = 2_000;

/** An estimate of the service's clock. */
export interface ServiceClock {
  /** Unix time in milliseconds. */
  now(): number;
  /** Corrects the clock by a time that just came from the service or the app's backend, in seconds of Unix time. */
  correct(serverTime: number): void;
}

/** A clock that begins with this machine's time. */
export function serviceClock({ wallClock }: Environment): ServiceClock {
  let ahead = 0;
  const now = (): number => wallClock() + ahead;
  return {
    now,
    correct(serverTime) {
      const off = serverTime * 1_000 - now();
      ahead += Math.abs(off) > TOLERANCE ? off : 0;
    },
  };
}
