// The actions of a device, and a store for its cursor.

import type { Cursor, Position } from "../../src/position.js";
import type { CursorStore } from "../../src/store.js";
import { EPOCH } from "./service.js";

export const at = (seq: number): Position => ({ epoch: EPOCH, seq });
export const ack = (seq: number): unknown => ({ action: "ack", id: String(seq), ...at(seq) });
export const upTo = (seq: number): unknown => ({ action: "ack", ...at(seq) });
export const sync = (seq?: number, announced = 0): unknown => ({
  action: "sync",
  ...(seq === undefined ? {} : at(seq)),
  announced,
});

/** A store that begins there, and counts. */
export class Kept implements CursorStore {
  cursor: Cursor | undefined;
  saves: Cursor[] = [];

  constructor(seq?: number) {
    this.cursor = seq === undefined ? undefined : at(seq);
  }

  load(): Cursor | undefined {
    return this.cursor;
  }

  save(_: string, cursor: Cursor): Promise<void> | void {
    this.cursor = cursor;
    this.saves.push(cursor);
  }
}
