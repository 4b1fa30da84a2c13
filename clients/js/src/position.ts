/** A position in a user's mailbox. `seq` is dense within an `epoch` and begins at 1; 0 is before the first entry. */
export interface Position {
  /** Life of the mailbox, in milliseconds of Unix time. A later one is greater. */
  readonly epoch: number;
  /** Position within it. */
  readonly seq: number;
}

/** The cursor of a device: in its user's mailbox, if that is known, and in the log of announcements. */
export interface Cursor extends Partial<Position> {
  /** The number of the last announcement that was shown; absent before the first one. */
  readonly announced?: number;
}

/** The position in the mailbox; `undefined` if there is none, as for a message that is not kept. */
export function placeOf({ epoch, seq }: Partial<Position>): Position | undefined {
  return epoch === undefined || seq === undefined ? undefined : { epoch, seq };
}

/** Negative if `a` comes before `b`, 0 if they are the same. No position comes before every position. */
export function compare(a: Position | undefined, b: Position | undefined): number {
  if (!a || !b) {
    return (a ? 1 : 0) - (b ? 1 : 0);
  }
  return a.epoch - b.epoch || a.seq - b.seq;
}

/** The later one of two. */
export function later(a: Position | undefined, b: Position | undefined): Position | undefined {
  return compare(a, b) < 0 ? b : a;
}
