/**
 * What to do with each frame: order, gaps, duplicates. Decides and does no I/O.
 *
 * The mailbox is dense: after place *n* comes *n + 1*. So the inbox knows a gap when it sees one, holds back what came
 * too early, and asks for the rest. Each message is shown once and in order, because
 *
 * - a message is shown when everything before it was, or was passed over by the service: never else;
 * - what stands at or before the cursor is never shown again, whoever sends it: an earlier life of the app showed it,
 *   or the service said that there is nothing to show;
 * - the cursor never passes a message that the service has sent and that did not come, and never goes back, unless it
 *   turns out to be the cursor of another mailbox.
 *
 * A replay passes over entries that are not for this device: of another platform, expired, cancelled, confirmed. So a
 * hole may be nothing. `posted` names the places that the replay sent, and it is complete when they are here. An answer
 * to an earlier question may come late, even after messages that it names were shown. It then names more than is missing,
 * never less: what the service wants to give us at a place can only be withdrawn.
 *
 * Announcements have a log of their own. Its numbers are not dense: each frame names the one that it comes behind, so that a
 * hole is seen, what comes behind it dropped, and the service asked for both.
 *
 * The same as `clients/rust/src/inbox.rs`, which a model checks, but for services that do not name what they replayed.
 */

import type { Receipt } from "./actions.js";
import type { Frame, Received, Synced } from "./frames.js";
import { compare, later, type Position, placeOf } from "./position.js";
import type { Announced, Announcement, Message } from "./wire.js";

/** How many ids are remembered to refuse duplicates. The service looks back a few dozen; this is generous. */
export const REMEMBERED = 4_096;
/**
 * How many places are remembered with whether the app confirmed them. An app that lets more than these wait may have one
 * confirmed that it has not taken.
 */
export const KNOWN = 16_384;
/**
 * How many messages wait for their turn at most, 24 KB each. Beyond that the newest are dropped: a replay brings them
 * again. More than a page of a replay, so that the ones that are due always have room.
 */
export const HELD = 4_096;
/** How many redeliveries wait until it is known whether the cursor belongs to this mailbox. Dropped ones come again. */
const REPEATS = 128;
/** How often a replay is asked for on one connection before another one is tried. */
export const REPLAY_ATTEMPTS = 3;

/** What follows from a frame. */
export type Step =
  /** Ask the service for what comes after this. */
  | { readonly do: "sync"; readonly after: Position | undefined; readonly announced: number }
  /**
   * The app was shown this, and its acknowledgement seems to be lost. What it confirmed in this life is acknowledged again.
   * What an earlier life was shown, only if it is the client that acknowledges; an app that does it itself has decided
   * about it then.
   */
  | { readonly do: "ackAgain"; readonly receipt: Receipt; readonly confirmed: boolean }
  /** Hand this message to the app. Each id comes once. */
  | { readonly do: "deliver"; readonly received: Received }
  /** Hand this announcement to the app. */
  | { readonly do: "announce"; readonly announcement: Announcement }
  /** The replay ended here; it began after `after`. */
  | { readonly do: "synced"; readonly synced: Synced; readonly after: Position | undefined }
  /** The service does not answer, or its messages do not come: give this connection up. */
  | { readonly do: "giveUp" };

interface Replay {
  attempt: number;
  /** Where the cursor was when it was asked for. */
  after: Position | undefined;
  /** No answer on this connection has told yet whether the cursor belongs to this mailbox. */
  isFirst: boolean;
  /** The cursor turned out to be of another log, so that something may be missing. */
  anew: boolean;
  /** The answer came, but not all the messages that it names: they travel on another way and may come later. */
  short: Synced | undefined;
}

/** The message at a place. */
interface Held extends Received {
  readonly slot: Position;
}

interface Delivered {
  readonly slot: Position;
  confirmed: boolean;
}

const keyOf = ({ epoch, seq }: Position): string => `${epoch}.${seq}`;

/** Takes what a map was given first, where it has become too large. */
function shorten<Value>(map: Map<string, Value>, length: number): Value | undefined {
  const [oldest] = map;
  return oldest && map.size > length && map.delete(oldest[0]) ? oldest[1] : undefined;
}

/** The state of one device's mailbox on this side. */
export class Inbox {
  #cursor: Position | undefined;
  #announced: number;
  /** Everything up to here was shown before anything that `delivered` remembers. */
  #earlier: Position | undefined;
  /** The furthest place that was heard of on this connection. */
  #head: Position | undefined;
  #replay: Replay | undefined;
  /** From where announcements were asked for last. */
  #asked: number;
  /** The furthest one that was dropped since then: the answer may not have it. */
  #missed = 0;
  /** The answer was not enough. Asked again with the next pong, not at once: a frame may never open. */
  #askAtPong = false;
  /** What came before its turn, by place. */
  #held: Held[] = [];
  /** Messages without a place that came during a replay. */
  readonly #transient: Received[] = [];
  /** What was shown in this life, oldest first. */
  readonly #delivered = new Map<string, Delivered>();
  /**
   * The last ids. Places alone would do for what has one; this also covers what has none, and a service that stores
   * twice.
   */
  readonly #seen = new Map<string, true>();
  /** What follows from what is being dealt with. */
  readonly #steps: Step[] = [];

  /** An inbox that has everything up to `cursor`, and the announcements up to `announced`. */
  constructor(cursor?: Position, announced = 0) {
    this.#cursor = this.#earlier = cursor;
    this.#announced = this.#asked = announced;
  }

  /** Everything up to here was delivered: keep it, and begin with it next time. */
  get cursor(): Position | undefined {
    return this.#cursor;
  }

  /** Whether a replay was asked for and has not ended: an answer is due. */
  get awaitsReplay(): boolean {
    return !!this.#replay;
  }

  /** A new connection is there: ask for what was missed. */
  connected(): Step[] {
    // What was held comes again with the replay.
    this.#held = [];
    this.#head = undefined;
    this.#ask(0, true);
    return this.#taken();
  }

  /** A new connection is there beside one that is still read: ask for what neither may bring. */
  rolledOver(): Step[] {
    this.#ask(0, this.#replay?.isFirst);
    return this.#taken();
  }

  /** The app confirmed the message at this place; should it come again, it is confirmed again without being shown. */
  acknowledged(place: Position): void {
    const message = this.#delivered.get(keyOf(place));
    if (message) {
      message.confirmed = true;
    }
  }

  /**
   * No answer to the replay, or not all of it, within the time for it. What did not come by several replays may come by
   * another connection; passing over it would lose it for good.
   */
  replayOverdue(): Step[] {
    if (this.#replay) {
      this.#askAgain(this.#replay);
    }
    return this.#taken();
  }

  /** A frame came. `sealed` is its text on the wire. */
  frame(frame: Frame, sealed: string): Step[] {
    if (frame.type === "message") {
      this.#hearMessage({ message: frame, sealed });
    } else if (frame.type === "announcement") {
      this.#hearAnnouncement(frame);
    } else if (frame.type === "synced") {
      this.#hearSynced(frame);
    } else if (frame.type === "pong") {
      this.#heardOf(frame);
      this.#askIfBehind(this.#askAtPong || this.#missed > this.#announced);
    }
    // Others are about the connection, or about something that was said, not about the mailbox.
    return this.#taken();
  }

  #taken(): Step[] {
    return this.#steps.splice(0);
  }

  #ask(attempt: number, isFirst = false, anew = false): void {
    this.#replay = { attempt, after: this.#cursor, isFirst, anew, short: undefined };
    this.#asked = this.#announced;
    this.#missed = 0;
    this.#askAtPong = false;
    this.#steps.push({ do: "sync", after: this.#cursor, announced: this.#announced });
  }

  #askAgain({ attempt, isFirst, anew }: Replay): void {
    if (attempt + 1 < REPLAY_ATTEMPTS) {
      this.#ask(attempt + 1, isFirst, anew);
    } else {
      this.#replay = undefined;
      this.#steps.push({ do: "giveUp" });
    }
  }

  #hearMessage(received: Received): void {
    const slot = placeOf(received.message);
    if (!slot) {
      if (!this.#replay) {
        this.#show(received);
      } else if (this.#transient.length < HELD) {
        this.#transient.push(received);
      }
      return;
    }
    this.#heardOf(slot);
    if (this.#has(slot)) {
      if (!this.#replay?.isFirst) {
        this.#again(received.message);
      } else if (this.#held.length < REPEATS) {
        // If the cursor is of another mailbox, this may be new.
        this.#hold({ slot, ...received });
      }
      return;
    }
    if (this.#isNext(slot)) {
      // Whatever else is missing comes after it. This is what makes progress where messages are lost often.
      this.#pass({ slot, ...received });
      this.#cursorIsOfThisLog();
      this.#advance();
    } else {
      this.#hold({ slot, ...received });
    }
    if (this.#replay?.short) {
      this.#hearSynced(this.#replay.short);
    } else {
      this.#askIfBehind();
    }
  }

  #hearAnnouncement(announcement: Announcement): void {
    const { after, number } = announcement;
    if (number <= this.#announced) {
      // Shown before.
    } else if (after <= this.#announced) {
      this.#announced = number;
      this.#steps.push({ do: "announce", announcement });
    } else {
      // The replay brings it again, behind what is missing.
      this.#missed = Math.max(this.#missed, number);
      this.#askIfBehind(true);
    }
  }

  /** An answer says how far it came in the announcements. Whether to ask for more of them at once. */
  #passAnnouncements({ after, number, more = false }: Announced): boolean {
    const lost = after > this.#announced;
    if (!lost) {
      this.#announced = Math.max(this.#announced, number);
    }
    this.#askAtPong ||= lost || more;
    return !lost && (this.#missed > this.#announced || (more && this.#announced > this.#asked));
  }

  #hearSynced(synced: Synced): void {
    this.#heardOf(synced);
    const askOn = !!synced.announced && this.#passAnnouncements(synced.announced);
    if (!this.#replay) {
      // An answer that we no longer wait for.
      this.#askIfBehind(askOn);
      return;
    }
    if (this.#replay.isFirst && !synced.recovered && compare(synced, this.#cursor) < 0) {
      this.#beginAnew();
      return;
    }
    this.#cursorIsOfThisLog();
    const past = compare(synced, this.#replay.after);
    if (past < 0 || (synced.more && past === 0)) {
      // The answer to an earlier question, or the service could not even send the first one. Asked again when the time
      // for an answer is over, not at once.
    } else if (this.#isComplete(synced)) {
      this.#finish(this.#replay, synced, askOn);
    } else {
      this.#replay.short = synced;
    }
  }

  /**
   * The service's log does not reach to the cursor: it is that of another user, or was set back. Everything in it is
   * new. Only believed of the first answer on a connection, which cannot be late.
   */
  #beginAnew(): void {
    this.#cursor = { epoch: 0, seq: 0 };
    this.#earlier = this.#head = undefined;
    this.#held = [];
    this.#delivered.clear();
    this.#ask(0, false, true);
  }

  /** The cursor belongs to this mailbox: what waited for knowing that has been shown before. */
  #cursorIsOfThisLog(): void {
    if (this.#replay?.isFirst) {
      this.#replay.isFirst = false;
      for (const { message } of this.#takeUpTo(this.#cursor)) {
        this.#again(message);
      }
    }
  }

  /** Whether all is here that an answer names. */
  #isComplete({ epoch, posted }: Synced): boolean {
    const here = new Set(this.#held.map(({ slot }) => keyOf(slot)));
    return posted.every((seq) => this.#has({ epoch, seq }) || here.has(keyOf({ epoch, seq })));
  }

  /** The replay is complete: first what it brought, then what came live meanwhile. */
  #finish(ended: Replay, synced: Synced, askOn: boolean): void {
    const { after } = ended;
    this.#replay = undefined;
    for (const message of this.#takeUpTo(synced)) {
      this.#pass(message);
    }
    if (!after) {
      // The service remembers for a client that keeps no cursor: what it passes over was shown.
      this.#earlier = synced;
    }
    // What came live meanwhile may be beyond the end by now; whoever keeps this must not go back.
    const to = placeOf(later(this.#cursor, synced) as Position);
    this.#cursor = to;
    const recovered = synced.recovered && !ended.anew;
    this.#steps.push({ do: "synced", synced: { ...synced, ...to, recovered }, after });
    this.#advance();
    if (compare(this.#cursor, after) > 0 && (synced.more || this.#isBehind())) {
      this.#ask(0);
    } else if (this.#isBehind()) {
      this.#askAgain(ended);
    } else {
      for (const received of this.#transient.splice(0)) {
        this.#show(received);
      }
      this.#askIfBehind(askOn);
    }
  }

  /** Hands on what was held and has its turn now. */
  #advance(): void {
    while (this.#held[0] && this.#isNext(this.#held[0].slot)) {
      this.#pass(this.#held[0]);
      this.#held.shift();
    }
  }

  /** Shows the message that has its turn. */
  #pass(message: Held): void {
    const { slot } = message;
    this.#cursor = slot;
    if (this.#show(message)) {
      this.#delivered.set(keyOf(slot), { slot, confirmed: false });
      this.#earlier = later(this.#earlier, shorten(this.#delivered, KNOWN)?.slot);
    }
  }

  #show({ message, sealed }: Received): boolean {
    const isFirst = !this.#seen.has(message.id);
    if (isFirst) {
      this.#seen.set(message.id, true);
      shorten(this.#seen, REMEMBERED);
      this.#steps.push({ do: "deliver", received: { message, sealed } });
    }
    return isFirst;
  }

  /**
   * What comes again: its acknowledgement may have been lost. A message that the app holds unconfirmed is confirmed by
   * the app only: a crash would lose it otherwise, because what is confirmed is not replayed. And one that was passed
   * over was not shown to anybody.
   */
  #again(message: Message): void {
    const receipt = receiptOf(message) as Receipt;
    const before = this.#delivered.get(keyOf(receipt));
    const confirmed = !!before?.confirmed;
    if (confirmed || (!before && compare(receipt, this.#earlier) <= 0)) {
      this.#steps.push({ do: "ackAgain", receipt, confirmed });
    }
  }

  #hold(message: Held): void {
    // Mostly what comes is the newest, so it is looked for from the end.
    const before = this.#held.findLastIndex(({ slot }) => compare(slot, message.slot) <= 0);
    if (compare(this.#held[before]?.slot, message.slot) !== 0) {
      this.#held.splice(before + 1, 0, message);
      this.#held.length = Math.min(this.#held.length, HELD);
    }
  }

  /** Takes what is held up to a place. */
  #takeUpTo(end: Position | undefined): Held[] {
    return this.#held.splice(0, this.#held.findLastIndex(({ slot }) => compare(slot, end) <= 0) + 1);
  }

  #heardOf(place: Position): void {
    this.#head = later(this.#head, place);
  }

  #askIfBehind(orElse = false): void {
    if (!this.#replay && (orElse || this.#isBehind())) {
      this.#ask(0);
    }
  }

  /** Whether something is known to be beyond everything that is here. */
  #isBehind(): boolean {
    return compare(this.#head, this.#cursor) > 0;
  }

  /** Whether this place has been delivered or passed over. Of an older epoch, which began earlier, everything has. */
  #has(place: Position): boolean {
    return compare(place, this.#cursor) <= 0;
  }

  #isNext({ epoch, seq }: Position): boolean {
    // Nothing comes before the first entry of any epoch, so an empty mailbox knows its first message.
    const at = this.#cursor;
    return !!at && (at.seq === 0 ? seq === 1 : at.epoch === epoch && seq === at.seq + 1);
  }
}

/** How a message is confirmed; `undefined` for one without a place in the mailbox, which nobody waits for. */
export function receiptOf(message: Message): Receipt | undefined {
  const place = placeOf(message);
  return place && { id: message.id, ...place };
}
