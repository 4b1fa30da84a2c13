import type { Item } from "./delivery.js";
import type { Identity } from "./identity.js";
import type { Position } from "./position.js";
import type { AppState } from "./wire.js";

/** The state of a device. */
export type State = "connecting" | "online" | "waiting" | "standby" | "closed";

/** A change of a device's state. */
export interface StateChange {
  readonly state: State;
  /** Of `waiting` and `closed`: a code for programs. */
  readonly reason?: string;
  /** Of `waiting`: when the next attempt begins, in milliseconds. */
  readonly retryIn?: number;
}

/** The part of the device that a connection uses, and the receiver of its events. */
export interface Listener {
  /** The device's identity, whose keys may be renewed. */
  identity(this: void): Identity;
  /** A message, in order and once; or a position up to which everything was delivered or skipped. */
  enqueue(this: void, item: Item): void;
  /** An announcement, in order and once. */
  announce(this: void, item: Item): void;
  changed(this: void, change: StateChange): void;
  report(this: void, error: unknown): void;
  /** The last state that the app has set. */
  appState(this: void): AppState | undefined;
  /** Many openings failed in a row: registers the device again. Rejects if that fails. */
  refused(this: void): Promise<void>;
  /** Sealed frames that another page of this device has confirmed, after one position and up to another. */
  shownElsewhere(this: void, after: Position, end: Position): Promise<readonly string[]>;
}
