import type * as wire from "./wire.js";

/** One message of the mailbox; without an `id`, everything up to the place. */
export type Receipt = Omit<wire.Ack, "action">;

/** What this device says on its socket. It always asks for announcements, too. */
export type Action = Exclude<wire.Action, wire.Sync> | (wire.Sync & Required<Pick<wire.Sync, "announced">>);

/** Confirms one message, or everything up to a place. */
export function ack(receipt: Receipt): Action {
  return { action: "ack", ...receipt };
}
