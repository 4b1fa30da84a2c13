/**
 * The handling of each frame: order, gaps, duplicates. Decides and does no I/O.
 *
 * The mailbox is dense: position *n* is followed by *n + 1*. So the inbox recognises a gap, holds back messages that
 * came too early, and asks for the rest. Each message is shown once and in order, by three rules:
 *
 * - a message is shown only when everything before it was shown, or was skipped by the service;
 * - a message at or before the cursor is never shown, whichever way it comes: a former run of the app showed it, or the
 *   service reported that there is nothing to show;
 * - the cursor never passes a message that the service has sent and that did not arrive. It never goes back, unless it
 *   turns out to be the cursor of another mailbox.
 *
 * A replay skips entries that are not for this device: of another platform, expired, cancelled, confirmed. So a gap may
 * be empty. `posted` lists the positions that the replay sent, and it is complete when they have arrived. The answer to
 * an earlier request may come late, even after messages that it lists were shown. It then lists too many, never too
 * few: an entry that the service would send at a position can only be withdrawn.
 *
 * Announcements have a separate log. Its numbers are not dense: each frame has the number that it follows. So a gap is
 * seen at the next frame, which is dropped, and the service is asked for both.
 *
 * The same as `clients/rust/src/inbox.rs`, which a model checks, except for services without `posted`.
 */

import type { Receipt } from "./actions.js";
import type { Frame, Received, Synced } from "./frames.js";
import { compare, later, type Position, placeOf } from "./position.js";
import type { Announced, Announcement, Message } from "./wire.js";

/** How many ids are kept to refuse duplicates. The service's deduplication window holds a few dozen. */
export const REMEMBERED = 4_096;
/**
 * How many positions are kept with their state of confirmation. If more messages than these wait, the client may
 * confirm one that the app has not taken.
 */
export const KNOWN = 16_384;
/**
 * Most messages that wait for their turn, 24 KB each. Beyond that the newest are dropped, and a replay brings them
 * again. More than a page of a replay, so that the messages that are due always have room.
 */
export const HELD = 4_096;
/** Most redeliveries that wait until the cursor's mailbox is known. Dropped ones come again. */
const REPEATS = 128;
/** Most requests for one replay on a connection, before the client tries another connection. */
export const REPLAY_ATTEMPTS = 3;

/** A consequence of a frame. */
export type Step =
  /** Ask the service for everything after this. */
  | { readonly do: "sync"; readonly after: Position | undefined; readonly announced: number }
  /**
   * The app was shown this message, and its acknowledgement seems to be lost. If the app confirmed it in this run, it
   * is acknowledged again. If a former run was shown it, that happens only if the client acknowledges; an app that does
   * so by hand has decided about it in that run.
   */
  | { readonly do: "ackAgain"; readonly receipt: Receipt; readonly confirmed: boolean }
  /** Deliver this message to the app. Each id comes once. */
  | { readonly do: "deliver"; readonly received: Received }
  /** Deliver this announcement to the app. */
  | { readonly do: "announce"; readonly announcement: Announcement }
  /** The replay, which began after `after`, ended. */
  | { readonly do: "synced"; readonly synced: Synced; readonly after: Position | undefined }
  /** The service does not answer, or its messages do not arrive: give this connection up. */
  | { readonly do: "giveUp" };

interface Replay {
  attempt: number;
  /** The cursor at the time of the request. */
  after: Position | undefined;
  /** No answer on this connection has shown yet whether the cursor belongs to this mailbox. */
  isFirst: boolean;
  /** The cursor turned out to belong to another log, so messages may be missing. */
  isOtherLog: boolean;
  /** The answer came, but not all the messages that it lists: they may come later, by another path. */
  short: Synced | undefined;
}

/** The message at a position. */
interface Held extends Received {
  readonly slot: Position;
}

interface Delivered {
  readonly slot: Position;
  confirmed: boolean;
}

const keyOf = ({ epoch, seq }: Position): string => `${epoch}.${seq}`;

/** Removes and returns the oldest value of a map that has become too large. */
function shorten<Value>(map: Map<string, Value>, length: number): Value | undefined {
  const [oldest] = map;
  return oldest && map.size > length && map.delete(oldest[0]) ? oldest[1] : undefined;
}

/** The client's state of one device's mailbox. */
export class Inbox {
  #cursor: Position | undefined;
  #announced: number;
  /** Everything up to here was shown before the messages in `delivered`. */
  #earlier: Position | undefined;
  /** The highest position that is known on this connection. */
  #head: Position | undefined;
  #replay: Replay | undefined;
  /** The number after which announcements were requested last. */
  #asked: number;
  /** The highest number that was dropped since then: the answer may not have it. */
  #missed = 0;
  /** The answer was not complete. Requested again at the next pong, not at once: a frame may never open. */
  #askAtPong = false;
  /** Messages that came before their turn, by position. */
  #held: Held[] = [];
  /** Messages without a position that came during a replay. */
  readonly #transient: Received[] = [];
  /** Messages that were shown in this run, oldest first. */
  readonly #delivered = new Map<string, Delivered>();
  /**
   * The last ids. Positions alone would do for messages that have one; ids also cover those without, and a service that
   * stores a message twice.
   */
  readonly #seen = new Map<string, true>();
  /** The steps of the event that is being handled. */
  readonly #steps: Step[] = [];

  /** An inbox of an app that has shown everything up to `cursor`, and announcements up to `announced`. */
  constructor(cursor?: Position, announced = 0) {
    this.#cursor = this.#earlier = cursor;
    this.#announced = this.#asked = announced;
  }

  /** The position up to which everything was delivered. Keep it, and begin the next run with it. */
  get cursor(): Position | undefined {
    return this.#cursor;
  }

  /** Whether a replay was requested and has not ended. */
  get awaitsReplay(): boolean {
    return !!this.#replay;
  }

  /** The request for missed messages on a new connection. */
  connected(): Step[] {
    // Held messages come again with the replay.
    this.#held = [];
    this.#head = undefined;
    this.#ask(0, true);
    return this.#taken();
  }

  /** The request for messages that neither connection may bring, when a new one succeeds one that is still read. */
  rolledOver(): Step[] {
    this.#ask(0, this.#replay?.isFirst);
    return this.#taken();
  }

  /**
   * Records that the app confirmed the message at this position. If the message comes again, it is confirmed again and
   * not shown.
   */
  acknowledged(place: Position): void {
    const message = this.#delivered.get(keyOf(place));
    if (message) {
      message.confirmed = true;
    }
  }

  /**
   * Handles a replay whose answer, or a part of it, did not come in time. Messages that several replays did not bring
   * may come on another connection; skipping them would lose them for good.
   */
  replayOverdue(): Step[] {
    if (this.#replay) {
      this.#askAgain(this.#replay);
    }
    return this.#taken();
  }

  /** Handles a frame. `sealed` is its text on the wire. */
  frame(frame: Frame, sealed: string): Step[] {
    if (frame.type === "message") {
      this.#onMessage({ message: frame, sealed });
    } else if (frame.type === "announcement") {
      this.#onAnnouncement(frame);
    } else if (frame.type === "synced") {
      this.#onSynced(frame);
    } else if (frame.type === "pong") {
      this.#raiseHead(frame);
      this.#askIfBehind(this.#askAtPong || this.#missed > this.#announced);
    }
    // Others concern the connection or an action, not the mailbox.
    return this.#taken();
  }

  #taken(): Step[] {
    return this.#steps.splice(0);
  }

  #ask(attempt: number, isFirst = false, isOtherLog = false): void {
    this.#replay = { attempt, after: this.#cursor, isFirst, isOtherLog, short: undefined };
    this.#asked = this.#announced;
    this.#missed = 0;
    this.#askAtPong = false;
    this.#steps.push({ do: "sync", after: this.#cursor, announced: this.#announced });
  }

  #askAgain({ attempt, isFirst, isOtherLog }: Replay): void {
    if (attempt + 1 < REPLAY_ATTEMPTS) {
      this.#ask(attempt + 1, isFirst, isOtherLog);
    } else {
      this.#replay = undefined;
      this.#steps.push({ do: "giveUp" });
    }
  }

  #onMessage(received: Received): void {
    const slot = placeOf(received.message);
    if (!slot) {
      if (!this.#replay) {
        this.#show(received);
      } else if (this.#transient.length < HELD) {
        this.#transient.push(received);
      }
      return;
    }
    this.#raiseHead(slot);
    if (this.#has(slot)) {
      if (!this.#replay?.isFirst) {
        this.#again(received.message);
      } else if (this.#held.length < REPEATS) {
        // If the cursor belongs to another mailbox, this message may be new.
        this.#hold({ slot, ...received });
      }
      return;
    }
    if (this.#isNext(slot)) {
      // Everything else that is missing comes after it. So there is progress even if many messages are lost.
      this.#pass({ slot, ...received });
      this.#cursorIsOfThisLog();
      this.#advance();
    } else {
      this.#hold({ slot, ...received });
    }
    if (this.#replay?.short) {
      this.#onSynced(this.#replay.short);
    } else {
      this.#askIfBehind();
    }
  }

  #onAnnouncement(announcement: Announcement): void {
    const { after, number } = announcement;
    if (number <= this.#announced) {
      // It was shown before.
    } else if (after <= this.#announced) {
      this.#announced = number;
      this.#steps.push({ do: "announce", announcement });
    } else {
      // The replay brings it again, after the missing ones.
      this.#missed = Math.max(this.#missed, number);
      this.#askIfBehind(true);
    }
  }

  /** Records the announcements of an answer. Returns whether to ask for more of them at once. */
  #passAnnouncements({ after, number, more = false }: Announced): boolean {
    const lost = after > this.#announced;
    if (!lost) {
      this.#announced = Math.max(this.#announced, number);
    }
    this.#askAtPong ||= lost || more;
    return !lost && (this.#missed > this.#announced || (more && this.#announced > this.#asked));
  }

  #onSynced(synced: Synced): void {
    this.#raiseHead(synced);
    const askOn = !!synced.announced && this.#passAnnouncements(synced.announced);
    if (!this.#replay) {
      // An answer to a request that is over.
      this.#askIfBehind(askOn);
      return;
    }
    if (this.#replay.isFirst && !synced.recovered && compare(synced, this.#cursor) < 0) {
      this.#restart();
      return;
    }
    this.#cursorIsOfThisLog();
    const past = compare(synced, this.#replay.after);
    if (past < 0 || (synced.more && past === 0)) {
      // The answer to an earlier request, or the service could not even send the first message. The request is repeated
      // when the time for an answer is over, not at once.
    } else if (this.#isComplete(synced)) {
      this.#finish(this.#replay, synced, askOn);
    } else {
      this.#replay.short = synced;
    }
  }

  /**
   * The service's log ends before the cursor: it belongs to another user, or was reset. Everything in it is new. Only
   * the first answer on a connection is trusted with this, because it cannot be late.
   */
  #restart(): void {
    this.#cursor = { epoch: 0, seq: 0 };
    this.#earlier = this.#head = undefined;
    this.#held = [];
    this.#delivered.clear();
    this.#ask(0, false, true);
  }

  /** The cursor belongs to this mailbox: redeliveries that waited for this have been shown before. */
  #cursorIsOfThisLog(): void {
    if (this.#replay?.isFirst) {
      this.#replay.isFirst = false;
      for (const { message } of this.#takeUpTo(this.#cursor)) {
        this.#again(message);
      }
    }
  }

  /** Whether everything that an answer lists has arrived. */
  #isComplete({ epoch, posted }: Synced): boolean {
    const here = new Set(this.#held.map(({ slot }) => keyOf(slot)));
    return posted.every((seq) => this.#has({ epoch, seq }) || here.has(keyOf({ epoch, seq })));
  }

  /** Completes the replay: first its messages, then those that came live meanwhile. */
  #finish(ended: Replay, synced: Synced, askOn: boolean): void {
    const { after } = ended;
    this.#replay = undefined;
    for (const message of this.#takeUpTo(synced)) {
      this.#pass(message);
    }
    if (!after) {
      // The service keeps the cursor of a client that keeps none: the entries that it skips were shown.
      this.#earlier = synced;
    }
    // Live messages may have moved the cursor beyond the end; an app that keeps this position must not go back.
    const to = placeOf(later(this.#cursor, synced) as Position);
    this.#cursor = to;
    const recovered = synced.recovered && !ended.isOtherLog;
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

  /** Delivers held messages whose turn has come. */
  #advance(): void {
    while (this.#held[0] && this.#isNext(this.#held[0].slot)) {
      this.#pass(this.#held[0]);
      this.#held.shift();
    }
  }

  /** Shows the message whose turn it is. */
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
   * Handles a message that comes again: its acknowledgement may have been lost. If the app holds it unconfirmed, only
   * the app confirms it: a confirmed message is not replayed, so a crash would lose it. And a message that was skipped
   * was never shown.
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
    // Most messages are the newest, so the search begins at the end.
    const before = this.#held.findLastIndex(({ slot }) => compare(slot, message.slot) <= 0);
    if (compare(this.#held[before]?.slot, message.slot) !== 0) {
      this.#held.splice(before + 1, 0, message);
      this.#held.length = Math.min(this.#held.length, HELD);
    }
  }

  /** Takes the held messages up to a position. */
  #takeUpTo(end: Position | undefined): Held[] {
    return this.#held.splice(0, this.#held.findLastIndex(({ slot }) => compare(slot, end) <= 0) + 1);
  }

  #raiseHead(place: Position): void {
    this.#head = later(this.#head, place);
  }

  #askIfBehind(orElse = false): void {
    if (!this.#replay && (orElse || this.#isBehind())) {
      this.#ask(0);
    }
  }

  /** Whether messages beyond the cursor are known to exist. */
  #isBehind(): boolean {
    return compare(this.#head, this.#cursor) > 0;
  }

  /** Whether this position has been delivered or skipped, as every position of an older epoch has. */
  #has(place: Position): boolean {
    return compare(place, this.#cursor) <= 0;
  }

  #isNext({ epoch, seq }: Position): boolean {
    // Nothing comes before the first entry of an epoch, so an empty mailbox recognises its first message.
    const at = this.#cursor;
    return !!at && (at.seq === 0 ? seq === 1 : at.epoch === epoch && seq === at.seq + 1);
  }
}

/** The receipt of a message; `undefined` for one without a position in the mailbox, which needs none. */
export function receiptOf(message: Message): Receipt | undefined {
  const place = placeOf(message);
  return place && { id: message.id, ...place };
}
