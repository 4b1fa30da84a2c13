import { setImmediate } from "node:timers/promises";
import type { Environment } from "../../src/environment.js";
import { Random } from "../random.js";

/** A clock that a test advances, and reproducible randomness. */
export class FakeClock implements Environment {
  #now = 0;
  #timers: { readonly at: number; readonly callback: () => void }[] = [];
  readonly #random: Random;
  /** The value of `random`, if it is fixed. */
  draws: number | undefined;
  /** How far the wall clock is off, in milliseconds. */
  off = 0;

  constructor(seed = 1) {
    this.#random = new Random(seed);
  }

  now = (): number => this.#now;

  wallClock = (): number => Date.now() + this.#now + this.off;

  random = (): number => this.draws ?? this.#random.below(1_000_000) / 1_000_000;

  after = (delay: number, callback: () => void): (() => void) => {
    // In whole milliseconds, as real timers: never a rounding error too early.
    const timer = { at: Math.ceil(this.#now + delay), callback };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer);
    };
  };

  /** How many timers wait. */
  get waiting(): number {
    return this.#timers.length;
  }

  /** Lets time pass and runs due timers at their time; `between` waits for work outside of this clock. */
  async advance(time: number, between: () => Promise<unknown> = () => setImmediate()): Promise<void> {
    const end = this.#now + time;
    await between();
    for (;;) {
      const [next] = this.#timers.filter(({ at }) => at <= end).sort((a, b) => a.at - b.at);
      if (!next) {
        break;
      }
      this.#timers = this.#timers.filter((timer) => timer !== next);
      this.#now = Math.max(this.#now, next.at);
      next.callback();
      await between();
    }
    this.#now = end;
  }
}

type Awaitable<T> = T | Promise<T>;

/** Waits for a condition. */
export async function until<T>(find: () => Awaitable<T | undefined | false>, what = "it"): Promise<T> {
  const deadline = Date.now() + 10_000;
  for (;;) {
    const found = await find();
    if (found !== undefined && found !== false) {
      return found;
    }
    if (Date.now() > deadline) {
      throw new Error(`${what} did not happen within ten seconds`);
    }
    await setImmediate();
  }
}
