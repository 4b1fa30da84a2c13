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

interface Said {
  readonly at: number;
  readonly action: Confirmation;
}

/** Acknowledgements on their way: none that the app has said is lost with a connection. Times are in milliseconds. */
export class Confirmations {
  /** To be said on the next connection. */
  #unsaid: Confirmation[] = [];
  /** Said on this connection, oldest first. */
  #said: Said[] = [];
  /** What was said before this has arrived. */
  #arrived = 0;

  /** Keeps what could not be said, if it is a confirmation: a heartbeat or a state is about its own moment. */
  keep(action: Action): void {
    if (isConfirmation(action)) {
      this.#unsaid.push(action);
      shorten(this.#unsaid);
    }
  }

  /** Takes all that is to be said. Whoever takes it says it, or keeps it again. */
  takeUnsaid(): readonly Action[] {
    return this.#unsaid.splice(0);
  }

  /** Remembers what was said for as long as it is in doubt. */
  said(action: Action, at: number): void {
    if (isConfirmation(action)) {
      this.#said.push({ at, action });
      this.#forget(at);
      shorten(this.#said);
    }
  }

  /**
   * A ping that was said then has been answered: what was said before it has arrived. TCP alone tells nothing of that;
   * it takes words for a peer that is long gone.
   */
  arrivedBefore(ping: number): void {
    this.#arrived = ping;
  }

  /**
   * The connection ends, or another one takes its place: what is in doubt is said again on the next one, but for
   * acknowledgements up to `taken`, which one word sums up. A service that is overloaded must not be told everything
   * twice. Confirming twice changes nothing.
   */
  doubt(now: number, taken: Position | undefined): void {
    this.#forget(now);
    const doubtful = this.#said.splice(0).map((said) => said.action);
    this.#unsaid.unshift(...doubtful.filter((action) => action.action === "read" || compare(action, taken) > 0));
    shorten(this.#unsaid);
  }

  #forget(now: number): void {
    const doubtful = this.#said.findIndex(({ at }) => at >= this.#arrived || now - at <= DOUBTFUL);
    this.#said.splice(0, doubtful < 0 ? this.#said.length : doubtful);
  }
}

function isConfirmation(action: Action): action is Confirmation {
  return action.action === "ack" || action.action === "read";
}

function shorten(queue: unknown[]): void {
  queue.splice(0, queue.length - KEPT);
}
