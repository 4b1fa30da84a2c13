import type { Action } from "./actions.js";
import { compare, type Position } from "./position.js";

/** A receipt that was sent. */
type Confirmation = Extract<Action, { action: "ack" | "read" }>;

/**
 * An acknowledgement that was sent within this time before the connection ended may not have been carried out, though
 * it arrived: the service may have forgotten the connection first. In milliseconds.
 */
const DOUBTFUL = 10_000;
/**
 * Most of each kind that are kept, the newest. A message whose acknowledgement is dropped or lost is redelivered if it
 * needs a confirmation, and then acknowledged again.
 */
export const KEPT = 4_096;

/** Acknowledgements on their way: none of the app's is lost with a connection. Times are in milliseconds. */
export interface Confirmations {
  /** Keeps an action that could not be sent, if it is a confirmation: a heartbeat or a state would be outdated. */
  keep(action: Action): void;
  /** Takes all unsent actions. The caller sends them, or keeps them again. */
  takeUnsent(): readonly Action[];
  /** Keeps an action that was sent for as long as its arrival is in doubt. */
  sent(action: Action, at: number): void;
  /**
   * Records that a ping sent at `ping` has been answered: everything sent before it has arrived. TCP cannot prove that,
   * because it accepts data for a peer that is gone.
   */
  arrivedBefore(ping: number): void;
  /**
   * The connection ends or is replaced: actions in doubt are sent again on the next one, except acknowledgements up to
   * `taken`, which one action sums up, so that an overloaded service does not receive everything twice. Confirming
   * twice changes nothing.
   */
  doubt(now: number, taken: Position | undefined): void;
}

/** An empty list of confirmations. */
export function confirmations(): Confirmations {
  /** To send on the next connection. */
  const unsent: Confirmation[] = [];
  /** Sent on this connection, oldest first. */
  const sent: { readonly at: number; readonly action: Confirmation }[] = [];
  /** Actions that were sent before this time have arrived. */
  let arrived = 0;

  function forget(now: number): void {
    const doubtful = sent.findIndex(({ at }) => at >= arrived || now - at <= DOUBTFUL);
    sent.splice(0, doubtful < 0 ? KEPT : doubtful);
  }

  return {
    keep(action) {
      if (isConfirmation(action)) {
        unsent.push(action);
        shorten(unsent);
      }
    },
    takeUnsent: () => unsent.splice(0),
    sent(action, at) {
      if (isConfirmation(action)) {
        sent.push({ at, action });
        forget(at);
        shorten(sent);
      }
    },
    arrivedBefore(ping) {
      arrived = ping;
    },
    doubt(now, taken) {
      forget(now);
      const doubtful = sent.splice(0).map(({ action }) => action);
      unsent.unshift(...doubtful.filter((action) => action.action === "read" || compare(action, taken) > 0));
      shorten(unsent);
    },
  };
}

/** Whether this must be sent again if it is lost. */
export function isConfirmation(action: Action): action is Confirmation {
  return action.action === "ack" || action.action === "read";
}

/** Drops the oldest beyond the limit. */
function shorten(queue: unknown[]): void {
  queue.splice(0, queue.length - KEPT);
}
