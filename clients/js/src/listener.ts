import type { Item } from "./delivery.js";
import type { Identity } from "./identity.js";
import type { Position } from "./position.js";
import type { AppState } from "./wire.js";

/** What a device is doing. */
export type State = "connecting" | "online" | "waiting" | "standby" | "closed";

/** A change of what a device is doing. */
export interface StateChange {
  readonly state: State;
  /** Of `waiting` and `closed`: a word for programs. */
  readonly reason?: string;
  /** Of `waiting`: when the next attempt begins, in milliseconds. */
  readonly retryIn?: number;
}

/** What a connection needs of its device, and whom it tells of what happens. */
export interface Listener {
  /** Who the device is: its keys may be renewed. */
  identity(this: void): Identity;
  /** A message, in order and once; or everything up to a place was delivered or passed over. */
  enqueue(this: void, item: Item): void;
  /** An announcement, in order and once. */
  announce(this: void, item: Item): void;
  tell(this: void, change: StateChange): void;
  report(this: void, error: unknown): void;
  /** What the app has said of itself last. */
  appState(this: void): AppState | undefined;
  /** Many openings failed in a row: registers the device again. Rejects if that fails. */
  refused(this: void): Promise<void>;
  /** Sealed frames that another page of this device has confirmed, after one place and up to another. */
  shownElsewhere(this: void, after: Position, end: Position): Promise<readonly string[]>;
}
