import type { Position } from "./position.js";

/** Whether a person is looking at the app. */
export type AppState = "foreground" | "background";

/** One message of the mailbox; without an `id`, everything up to the place. */
export interface Receipt extends Position {
  readonly id?: string;
}

/** What a device says on its socket. */
export type Action =
  | { readonly action: "ping" }
  /**
   * Asks for what came after a place; without one, after the place that the service keeps for this device. And for the
   * announcements after a number; after 0, for all that are still kept.
   */
  | ({ readonly action: "sync"; readonly announced: number } & Partial<Position>)
  | ({ readonly action: "ack" | "read" } & Receipt)
  | { readonly action: "state"; readonly state: AppState };

/** Confirms one message, or everything up to a place. */
export function ack(receipt: Receipt): Action {
  return { action: "ack", ...receipt };
}
