import type { Environment } from "./environment.js";

/** A clock that differs by more than this from the service's is corrected, in milliseconds. */
const TOLERANCE = 2_000;

/** The service's clock, as far as it is known. */
export interface ServiceClock {
  /** Unix time in milliseconds. */
  now(): number;
  /** The service, or the app's backend, has just told the time in seconds of Unix time. */
  heard(serverTime: number): void;
}

/** The clock of a service that has not told the time yet: our own. */
export function serviceClock({ wallClock }: Environment): ServiceClock {
  let ahead = 0;
  const now = (): number => wallClock() + ahead;
  return {
    now,
    heard(serverTime) {
      const off = serverTime * 1_000 - now();
      ahead += Math.abs(off) > TOLERANCE ? off : 0;
    },
  };
}
