// What a device says, and where its cursor is kept.

import type { Position } from "../../src/position.js";
import type { CursorStore } from "../../src/store.js";
import { EPOCH } from "./service.js";

export const at = (seq: number): Position => ({ epoch: EPOCH, seq });
export const ack = (seq: number): unknown => ({ action: "ack", id: String(seq), ...at(seq) });
export const upTo = (seq: number): unknown => ({ action: "ack", ...at(seq) });
export const sync = (seq: number): unknown => ({ action: "sync", ...at(seq) });

/** A store that begins there, and counts. */
export class Kept implements CursorStore {
  cursor: Position | undefined;
  saves: Position[] = [];

  constructor(seq?: number) {
    this.cursor = seq === undefined ? undefined : at(seq);
  }

  load(): Position | undefined {
    return this.cursor;
  }

  save(_: string, cursor: Position): void {
    this.cursor = cursor;
    this.saves.push(cursor);
  }
}
