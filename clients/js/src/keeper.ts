import { type Environment, within } from "./environment.js";
import { caused } from "./errors.js";
import { type CursorStore, reopen, type SharedStore } from "./store.js";

/** How long the store may take for each request, in milliseconds. */
const STORE_WITHIN = 5_000;
/** The pause before a failed write is tried again, in milliseconds. */
const STORE_RESTS = 10_000;

type Store = CursorStore & Partial<SharedStore>;

/**
 * Uses the store. `undefined` if it fails, does not answer in time, or rests. With `again` it rests after a failure,
 * and afterwards calls the last `again` that was given.
 */
export type Ask = <T>(question: (store: Store) => Promise<T> | T, again?: () => void) => Promise<T | undefined>;

/**
 * A wrapper of a store that may fail and recover: a browser takes IndexedDB away for a moment, or a disk is full. The
 * same failure is reported once. When `signal` aborts, nothing is tried again.
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
        // On iOS a database may hang.
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
