import type { Environment } from "./environment.js";

/** A clock that differs by more than this from the service's is corrected, in milliseconds. */
const TOLERANCE = 2_000;

/** The service's clock, as far as it is known. */
export class ServiceClock {
  readonly #environment: Environment;
  /** How far it is ahead of ours, in milliseconds. */
  #ahead = 0;

  constructor(environment: Environment) {
    this.#environment = environment;
  }

  /** Unix time in milliseconds. */
  now(): number {
    return this.#environment.wallClock() + this.#ahead;
  }

  /** The service, or the app's backend, has just told the time in seconds of Unix time. */
  heard(serverTime: number): void {
    if (Math.abs(serverTime * 1_000 - this.now()) > TOLERANCE) {
      this.#ahead = serverTime * 1_000 - this.#environment.wallClock();
    }
  }
}
