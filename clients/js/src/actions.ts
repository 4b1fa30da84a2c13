import type * as wire from "./wire.js";

/** One message of the mailbox; without an `id`, everything up to the position. */
export type Receipt = Omit<wire.Ack, "action">;

/** An action that this device sends. A `sync` always asks for announcements, too. */
export type Action = Exclude<wire.Action, wire.Sync> | (wire.Sync & Required<Pick<wire.Sync, "announced">>);

/** Confirms one message, or everything up to a position. */
export function ack(receipt: Receipt): Action {
  return { action: "ack", ...receipt };
}
