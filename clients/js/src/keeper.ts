import { type Environment, within } from "./environment.js";
import { caused } from "./errors.js";
import { type CursorStore, reopen, type SharedStore } from "./store.js";

/** How long the store may take for each question, in milliseconds. */
const STORE_WITHIN = 5_000;
/** How long the store rests after a write failed, before that is tried again, in milliseconds. */
const STORE_RESTS = 10_000;

type Store = CursorStore & Partial<SharedStore>;

/**
 * Asks the store. `undefined` if it fails, does not answer in time, or rests. With `again` it rests after a failure, and
 * `again` is called when it has: the last one that was given.
 */
export type Ask = <T>(question: (store: Store) => Promise<T> | T, again?: () => void) => Promise<T | undefined>;

/**
 * Asks a store that may fail and may come back: a browser takes IndexedDB away for a moment, or a disk is full. The same
 * failure is reported once. When `signal` aborts, nothing is tried again.
 */
export function keeper(
  environment: Environment,
  store: Store,
  signal: AbortSignal,
  report: (error: unknown) => void,
): Ask {
  let cancel: (() => void) | undefined;
  const wake = (): void => {
    cancel?.();
    cancel = undefined;
  };
  signal.addEventListener("abort", wake);

  return async (question, again) => {
    if (!cancel) {
      try {
        return await within(environment, STORE_WITHIN, question(store));
      } catch (cause) {
        // iOS lets a database hang.
        reopen();
        report(caused("store_failed", cause));
        if (again && !signal.aborted) {
          cancel = environment.after(STORE_RESTS, () => {
            wake();
            again();
          });
        }
      }
    }
    return undefined;
  };
}
