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
 * The same as `clients/rust/src/inbox.rs`, which a model checks, but for services that do not name what they replayed.
 */

import { type Action, ack, type Receipt, sync } from "./actions.js";
import { type Frame, type Message, placeOf, type Received, type Synced } from "./frames.js";
import { compare, later, type Position } from "./position.js";

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

const NOTHING: Position = { epoch: 0, seq: 0 };

/** What follows from a frame. */
export type Step =
  /** Say this to the service. */
  | { readonly do: "say"; readonly action: Action }
  /**
   * An earlier life of the app was shown this, and its acknowledgement seems to be lost. Acknowledge it again if it is
   * the client that acknowledges; an app that does it itself has decided about it then.
   */
  | { readonly do: "ackAgain"; readonly receipt: Receipt }
  /** Hand this message to the app. Each id comes once. */
  | { readonly do: "deliver"; readonly received: Received }
  /** The replay ended here; it began after `after`. */
  | { readonly do: "synced"; readonly synced: Synced; readonly after: Position | undefined }
  /** The service does not answer, or its messages do not come: give this connection up. */
  | { readonly do: "giveUp" };

interface Replay {
  readonly attempt: number;
  /** Where the cursor was when it was asked for. */
  readonly after: Position | undefined;
  /** No answer on this connection has told yet whether the cursor belongs to this mailbox. */
  readonly first: boolean;
  /** The cursor turned out to be of another log, so that something may be missing. */
  readonly anew: boolean;
  /** The answer came, but not all the messages that it names: they travel on another way and may come later. */
  readonly short?: Synced;
}

/** The message at a place. */
interface Held extends Received {
  readonly place: Position;
}

interface Delivered {
  readonly place: Position;
  confirmed: boolean;
}

const keyOf = ({ epoch, seq }: Position): string => `${epoch}.${seq}`;
const say = (action: Action): Step => ({ do: "say", action });

/** The state of one device's mailbox on this side. */
export class Inbox {
  /** Everything up to here was delivered or passed over. */
  #cursor: Position | undefined;
  /** Everything up to here was shown before anything that `#delivered` remembers. */
  #earlier: Position | undefined;
  /** The furthest place that was heard of on this connection. */
  #head: Position | undefined;
  #replay: Replay | undefined;
  /** What came before its turn, by place. */
  #held: Held[] = [];
  /** Messages without a place that came during a replay. */
  #transient: Received[] = [];
  /** What was shown in this life, oldest first. */
  readonly #delivered = new Map<string, Delivered>();
  /**
   * The last ids. Places alone would do for what has one; this also covers what has none, and a service that stores
   * twice.
   */
  readonly #seen = new Set<string>();

  /** An inbox that has everything up to `cursor`. */
  constructor(cursor?: Position) {
    this.#cursor = cursor;
    this.#earlier = cursor;
  }

  /** Everything up to here was delivered: keep it, and begin with it next time. */
  get cursor(): Position | undefined {
    return this.#cursor;
  }

  /** Whether a replay was asked for and has not ended: an answer is due. */
  get awaitsReplay(): boolean {
    return this.#replay !== undefined;
  }

  /** How much is kept: messages that wait for their turn, places, and ids. */
  get sizes(): { readonly held: number; readonly delivered: number; readonly seen: number } {
    return { held: this.#held.length, delivered: this.#delivered.size, seen: this.#seen.size };
  }

  /** A new connection is there: ask for what was missed. */
  connected(): Action {
    // What was held comes again with the replay.
    this.#held = [];
    this.#head = undefined;
    return this.#ask({ attempt: 0, after: undefined, first: true, anew: false });
  }

  /** A new connection is there beside one that is still read: ask for what neither may bring. */
  rolledOver(): Action {
    return this.#askAnew(this.#replay?.first ?? false);
  }

  /** The app confirmed the message at this place; should it come again, it is confirmed again without being shown. */
  acknowledged(place: Position): void {
    const delivered = this.#delivered.get(keyOf(place));
    if (delivered) {
      delivered.confirmed = true;
    }
  }

  /**
   * No answer to the replay, or not all of it, within the time for it. What did not come by several replays may come by
   * another connection; passing over it would lose it for good.
   */
  replayOverdue(): Step[] {
    const replay = this.#replay;
    this.#replay = undefined;
    return replay ? [this.#askAgain(replay)] : [];
  }

  /** A frame came. `sealed` is its text on the wire. */
  frame(frame: Frame, sealed: string): Step[] {
    switch (frame.type) {
      case "message":
        return this.#message(frame, sealed);
      case "synced":
        return this.#synced(frame);
      case "pong":
        this.#heardOf(frame);
        return this.#askIfBehind();
      // About the connection, or about something that was said, not about the mailbox.
      case "error":
      case "reconnect":
      case "announcement":
        return [];
    }
  }

  #ask(replay: Replay): Action {
    const { attempt, first, anew } = replay;
    this.#replay = { attempt, after: this.#cursor, first, anew };
    return sync(this.#cursor);
  }

  #askAnew(first = false, anew = false): Action {
    return this.#ask({ attempt: 0, after: undefined, first, anew });
  }

  #askAgain(replay: Replay): Step {
    const attempt = replay.attempt + 1;
    return attempt < REPLAY_ATTEMPTS ? say(this.#ask({ ...replay, attempt })) : { do: "giveUp" };
  }

  #message(message: Message, sealed: string): Step[] {
    const place = placeOf(message);
    if (!place) {
      if (!this.#replay) {
        return this.#show({ message, sealed });
      }
      if (this.#transient.length < HELD) {
        this.#transient.push({ message, sealed });
      }
      return [];
    }
    this.#heardOf(place);
    if (this.#has(place)) {
      if (!this.#replay?.first) {
        return this.#again(message);
      }
      // If the cursor is of another mailbox, this may be new.
      if (this.#held.length < REPEATS) {
        this.#hold({ place, message, sealed });
      }
      return [];
    }
    const steps: Step[] = [];
    if (this.#isNext(place)) {
      // Whatever else is missing comes after it. This is what makes progress where messages are lost often.
      steps.push(...this.#pass({ place, message, sealed }), ...this.#cursorIsOfThisLog(), ...this.#advance());
    } else {
      this.#hold({ place, message, sealed });
    }
    if (!this.#replay) {
      steps.push(...this.#askIfBehind());
    } else if (this.#replay.short) {
      const { short, ...replay } = this.#replay;
      this.#replay = replay;
      steps.push(...this.#synced(short));
    }
    return steps;
  }

  #synced(synced: Synced): Step[] {
    this.#heardOf(synced);
    if (!this.#replay) {
      // An answer that we no longer wait for.
      return this.#askIfBehind();
    }
    const steps: Step[] = [];
    if (this.#replay.first) {
      if (!synced.recovered && this.#cursor && compare(synced, this.#cursor) < 0) {
        return [say(this.#beginAnew())];
      }
      steps.push(...this.#cursorIsOfThisLog());
    }
    const replay = this.#replay;
    const past = compare(synced, replay.after);
    if (past < 0 || (synced.more && past === 0)) {
      // The answer to an earlier question, or the service could not even send the first one. Asked again when the time
      // for an answer is over, not at once.
      return steps;
    }
    if (this.#isComplete(synced)) {
      this.#replay = undefined;
      steps.push(...this.#finish(replay, { ...synced, recovered: synced.recovered && !replay.anew }));
    } else {
      this.#replay = { ...replay, short: synced };
    }
    return steps;
  }

  /**
   * The service's log does not reach to the cursor: it is that of another user, or was set back. Everything in it is
   * new. Only believed of the first answer on a connection, which cannot be late.
   */
  #beginAnew(): Action {
    this.#cursor = NOTHING;
    this.#earlier = undefined;
    this.#head = undefined;
    this.#held = [];
    this.#delivered.clear();
    return this.#askAnew(false, true);
  }

  /** The cursor belongs to this mailbox: what waited for knowing that has been shown before. */
  #cursorIsOfThisLog(): Step[] {
    if (!this.#replay?.first) {
      return [];
    }
    this.#replay = { ...this.#replay, first: false };
    return this.#cursor ? this.#split(this.#cursor).flatMap(({ message }) => this.#again(message)) : [];
  }

  /** Whether all is here that an answer names. */
  #isComplete({ epoch, posted }: Synced): boolean {
    const held = new Set(this.#held.map(({ place }) => keyOf(place)));
    return posted.every((seq) => this.#has({ epoch, seq }) || held.has(keyOf({ epoch, seq })));
  }

  /** The replay is complete: first what it brought, then what came live meanwhile. */
  #finish(replay: Replay, synced: Synced): Step[] {
    const steps = this.#split(synced).flatMap((held) => this.#pass(held));
    if (!replay.after) {
      // The service remembers for a client that keeps no cursor: what it passes over was shown.
      this.#earlier = synced;
    }
    // What came live meanwhile may be beyond the end by now; whoever keeps this must not go back.
    const { epoch, seq } = later(this.#cursor, synced) ?? synced;
    this.#cursor = { epoch, seq };
    steps.push({ do: "synced", synced: { ...synced, epoch, seq }, after: replay.after });
    steps.push(...this.#advance());
    if (compare(this.#cursor, replay.after) > 0 && (synced.more || this.#isBehind())) {
      steps.push(say(this.#askAnew()));
    } else if (this.#isBehind()) {
      steps.push(this.#askAgain(replay));
    } else {
      steps.push(...this.#transient.splice(0).flatMap((received) => this.#show(received)));
    }
    return steps;
  }

  /** Hands on what was held and has its turn now. */
  #advance(): Step[] {
    const steps: Step[] = [];
    let turns = 0;
    for (const held of this.#held) {
      if (!this.#isNext(held.place)) {
        break;
      }
      steps.push(...this.#pass(held));
      turns += 1;
    }
    this.#held.splice(0, turns);
    return steps;
  }

  /** Shows the message that has its turn. */
  #pass({ place, message, sealed }: Held): Step[] {
    this.#cursor = place;
    const shown = this.#show({ message, sealed });
    if (shown.length > 0) {
      this.#delivered.set(keyOf(place), { place, confirmed: false });
      if (this.#delivered.size > KNOWN) {
        // The first that a map gives is the first that it was given, and they come in order.
        for (const [key, oldest] of this.#delivered) {
          this.#delivered.delete(key);
          this.#earlier = later(this.#earlier, oldest.place);
          break;
        }
      }
    }
    return shown;
  }

  #show(received: Received): Step[] {
    const { id } = received.message;
    if (this.#seen.has(id)) {
      return [];
    }
    this.#seen.add(id);
    if (this.#seen.size > REMEMBERED) {
      for (const oldest of this.#seen) {
        this.#seen.delete(oldest);
        break;
      }
    }
    return [{ do: "deliver", received }];
  }

  /**
   * What comes again: its acknowledgement may have been lost. A message that the app holds unconfirmed is confirmed by
   * the app only: a crash would lose it otherwise, because what is confirmed is not replayed. And one that was passed
   * over was not shown to anybody.
   */
  #again(message: Message): Step[] {
    const receipt = receiptOf(message);
    if (!receipt) {
      return [];
    }
    const delivered = this.#delivered.get(keyOf(receipt));
    if (delivered) {
      return delivered.confirmed ? [say(ack(receipt))] : [];
    }
    return compare(receipt, this.#earlier) <= 0 ? [{ do: "ackAgain", receipt }] : [];
  }

  #hold(held: Held): void {
    // Mostly what comes is the newest, so it is looked for from the end.
    const before = this.#held.findLastIndex(({ place }) => compare(place, held.place) <= 0);
    const same = before >= 0 && compare(this.#held[before]?.place, held.place) === 0;
    this.#held.splice(same ? before : before + 1, same ? 1 : 0, held);
    if (this.#held.length > HELD) {
      this.#held.pop();
    }
  }

  /** Takes what is held up to a place. */
  #split(end: Position): Held[] {
    const later = this.#held.findIndex(({ place }) => compare(place, end) > 0);
    return this.#held.splice(0, later < 0 ? this.#held.length : later);
  }

  #heardOf({ epoch, seq }: Position): void {
    this.#head = later(this.#head, { epoch, seq });
  }

  #askIfBehind(): Step[] {
    return !this.#replay && this.#isBehind() ? [say(this.#askAnew())] : [];
  }

  /** Whether something is known to be beyond everything that is here. */
  #isBehind(): boolean {
    return compare(this.#head, this.#cursor) > 0;
  }

  /** Whether this place has been delivered or passed over. Of an older epoch, which began earlier, everything has. */
  #has(place: Position): boolean {
    return compare(place, this.#cursor) <= 0;
  }

  #isNext(place: Position): boolean {
    const at = this.#cursor;
    // Nothing comes before the first entry of any epoch, so an empty mailbox knows its first message.
    return at !== undefined && (at.seq === 0 ? place.seq === 1 : at.epoch === place.epoch && place.seq === at.seq + 1);
  }
}

/** How a message is confirmed; `undefined` for one without a place in the mailbox, which nobody waits for. */
export function receiptOf(message: Message): Receipt | undefined {
  const place = placeOf(message);
  return place && { id: message.id, ...place };
}
