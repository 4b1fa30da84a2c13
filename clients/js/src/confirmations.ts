import type { Action } from "./actions.js";
import { compare, type Position } from "./position.js";

/** A receipt that was said. */
type Confirmation = Extract<Action, { action: "ack" | "read" }>;

/**
 * In milliseconds. An acknowledgement that was said so shortly before the connection ended may not have been carried
 * out, even though it was carried: the service may have forgotten the connection first.
 */
const DOUBTFUL = 10_000;
/**
 * So many of each kind are kept at most, the newest. A message whose acknowledgement is dropped or lost all the same is
 * sent again where somebody waits for it, and then acknowledged again.
 */
export const KEPT = 4_096;

/** Acknowledgements on their way: none that the app has said is lost with a connection. Times are in milliseconds. */
export interface Confirmations {
  /** Keeps what could not be said, if it is a confirmation: a heartbeat or a state is about its own moment. */
  keep(action: Action): void;
  /** Takes all that is to be said. Whoever takes it says it, or keeps it again. */
  takeUnsaid(): readonly Action[];
  /** Remembers what was said for as long as it is in doubt. */
  said(action: Action, at: number): void;
  /**
   * A ping that was said then has been answered: what was said before it has arrived. TCP alone tells nothing of that;
   * it takes words for a peer that is long gone.
   */
  arrivedBefore(ping: number): void;
  /**
   * The connection ends, or another one takes its place: what is in doubt is said again on the next one, but for
   * acknowledgements up to `taken`, which one word sums up. A service that is overloaded must not be told everything
   * twice. Confirming twice changes nothing.
   */
  doubt(now: number, taken: Position | undefined): void;
}

/** Nothing has been confirmed yet. */
export function confirmations(): Confirmations {
  /** To be said on the next connection. */
  const unsaid: Confirmation[] = [];
  /** Said on this connection, oldest first. */
  const said: { readonly at: number; readonly action: Confirmation }[] = [];
  /** What was said before this has arrived. */
  let arrived = 0;

  function forget(now: number): void {
    const doubtful = said.findIndex(({ at }) => at >= arrived || now - at <= DOUBTFUL);
    said.splice(0, doubtful < 0 ? KEPT : doubtful);
  }

  return {
    keep(action) {
      if (isConfirmation(action)) {
        unsaid.push(action);
        shorten(unsaid);
      }
    },
    takeUnsaid: () => unsaid.splice(0),
    said(action, at) {
      if (isConfirmation(action)) {
        said.push({ at, action });
        forget(at);
        shorten(said);
      }
    },
    arrivedBefore(ping) {
      arrived = ping;
    },
    doubt(now, taken) {
      forget(now);
      const doubtful = said.splice(0).map(({ action }) => action);
      unsaid.unshift(...doubtful.filter((action) => action.action === "read" || compare(action, taken) > 0));
      shorten(unsaid);
    },
  };
}

/** Whether the service is to be told this again, should it be lost. */
export function isConfirmation(action: Action): action is Confirmation {
  return action.action === "ack" || action.action === "read";
}

/** Drops the oldest beyond what is kept. */
function shorten(queue: unknown[]): void {
  queue.splice(0, queue.length - KEPT);
}
