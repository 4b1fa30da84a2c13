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
  first: boolean;
  /** The cursor turned out to be of another log, so that something may be missing. */
  anew: boolean;
  /** The answer came, but not all the messages that it names: they travel on another way and may come later. */
  short: Synced | undefined;
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

/** Takes what a map was given first, where it has become too large. */
function shorten<Value>(map: Map<string, Value>, length: number): Value | undefined {
  const [oldest] = map;
  return oldest && map.size > length && map.delete(oldest[0]) ? oldest[1] : undefined;
}

/** The state of one device's mailbox on this side. */
export interface Inbox {
  /** Everything up to here was delivered: keep it, and begin with it next time. */
  readonly cursor: Position | undefined;
  /** Whether a replay was asked for and has not ended: an answer is due. */
  readonly awaitsReplay: boolean;
  /** A new connection is there: ask for what was missed. */
  connected(): Step[];
  /** A new connection is there beside one that is still read: ask for what neither may bring. */
  rolledOver(): Step[];
  /** The app confirmed the message at this place; should it come again, it is confirmed again without being shown. */
  acknowledged(place: Position): void;
  /**
   * No answer to the replay, or not all of it, within the time for it. What did not come by several replays may come by
   * another connection; passing over it would lose it for good.
   */
  replayOverdue(): Step[];
  /** A frame came. `sealed` is its text on the wire. */
  frame(frame: Frame, sealed: string): Step[];
}

/** An inbox that has everything up to `cursor`, and the announcements up to `announced`. */
export function inboxFrom(cursor?: Position, announced = 0): Inbox {
  /** Everything up to here was shown before anything that `delivered` remembers. */
  let earlier = cursor;
  /** The furthest place that was heard of on this connection. */
  let head: Position | undefined;
  let replay: Replay | undefined;
  /** From where announcements were asked for last. */
  let asked = announced;
  /** The furthest one that was dropped since then: the answer may not have it. */
  let missed = 0;
  /** The answer was not enough. Asked again with the next pong, not at once: a frame may never open. */
  let askAtPong = false;
  /** What came before its turn, by place. */
  let held: Held[] = [];
  /** Messages without a place that came during a replay. */
  const transient: Received[] = [];
  /** What was shown in this life, oldest first. */
  const delivered = new Map<string, Delivered>();
  /**
   * The last ids. Places alone would do for what has one; this also covers what has none, and a service that stores
   * twice.
   */
  const seen = new Map<string, true>();
  /** What follows from what is being dealt with. */
  const steps: Step[] = [];

  const taken = (): Step[] => steps.splice(0);

  function ask(attempt: number, first = false, anew = false): void {
    replay = { attempt, after: cursor, first, anew, short: undefined };
    asked = announced;
    missed = 0;
    askAtPong = false;
    steps.push({ do: "sync", after: cursor, announced });
  }

  function askAgain({ attempt, first, anew }: Replay): void {
    if (attempt + 1 < REPLAY_ATTEMPTS) {
      ask(attempt + 1, first, anew);
    } else {
      replay = undefined;
      steps.push({ do: "giveUp" });
    }
  }

  function hearMessage(received: Received): void {
    const place = placeOf(received.message);
    if (!place) {
      if (!replay) {
        show(received);
      } else if (transient.length < HELD) {
        transient.push(received);
      }
      return;
    }
    heardOf(place);
    if (has(place)) {
      if (!replay?.first) {
        again(received.message);
      } else if (held.length < REPEATS) {
        // If the cursor is of another mailbox, this may be new.
        hold({ place, ...received });
      }
      return;
    }
    if (isNext(place)) {
      // Whatever else is missing comes after it. This is what makes progress where messages are lost often.
      pass({ place, ...received });
      cursorIsOfThisLog();
      advance();
    } else {
      hold({ place, ...received });
    }
    if (replay?.short) {
      hearSynced(replay.short);
    } else {
      askIfBehind();
    }
  }

  function hearAnnouncement(announcement: Announcement): void {
    const { after, number } = announcement;
    if (number <= announced) {
      // Shown before.
    } else if (after <= announced) {
      announced = number;
      steps.push({ do: "announce", announcement });
    } else {
      // The replay brings it again, behind what is missing.
      missed = Math.max(missed, number);
      askIfBehind(true);
    }
  }

  /** An answer says how far it came in the announcements. Whether to ask for more of them at once. */
  function passAnnouncements({ after, number, more = false }: Announced): boolean {
    const lost = after > announced;
    if (!lost) {
      announced = Math.max(announced, number);
    }
    askAtPong ||= lost || more;
    return !lost && (missed > announced || (more && announced > asked));
  }

  function hearSynced(synced: Synced): void {
    heardOf(synced);
    const askOn = !!synced.announced && passAnnouncements(synced.announced);
    if (!replay) {
      // An answer that we no longer wait for.
      askIfBehind(askOn);
      return;
    }
    if (replay.first && !synced.recovered && compare(synced, cursor) < 0) {
      beginAnew();
      return;
    }
    cursorIsOfThisLog();
    const past = compare(synced, replay.after);
    if (past < 0 || (synced.more && past === 0)) {
      // The answer to an earlier question, or the service could not even send the first one. Asked again when the time
      // for an answer is over, not at once.
    } else if (isComplete(synced)) {
      finish(replay, synced, askOn);
    } else {
      replay.short = synced;
    }
  }

  /**
   * The service's log does not reach to the cursor: it is that of another user, or was set back. Everything in it is
   * new. Only believed of the first answer on a connection, which cannot be late.
   */
  function beginAnew(): void {
    cursor = { epoch: 0, seq: 0 };
    earlier = head = undefined;
    held = [];
    delivered.clear();
    ask(0, false, true);
  }

  /** The cursor belongs to this mailbox: what waited for knowing that has been shown before. */
  function cursorIsOfThisLog(): void {
    if (replay?.first) {
      replay.first = false;
      for (const { message } of takeUpTo(cursor)) {
        again(message);
      }
    }
  }

  /** Whether all is here that an answer names. */
  function isComplete({ epoch, posted }: Synced): boolean {
    const here = new Set(held.map(({ place }) => keyOf(place)));
    return posted.every((seq) => has({ epoch, seq }) || here.has(keyOf({ epoch, seq })));
  }

  /** The replay is complete: first what it brought, then what came live meanwhile. */
  function finish(ended: Replay, synced: Synced, askOn: boolean): void {
    const { after } = ended;
    replay = undefined;
    takeUpTo(synced).forEach(pass);
    if (!after) {
      // The service remembers for a client that keeps no cursor: what it passes over was shown.
      earlier = synced;
    }
    // What came live meanwhile may be beyond the end by now; whoever keeps this must not go back.
    const { epoch, seq } = later(cursor, synced) as Position;
    cursor = { epoch, seq };
    const recovered = synced.recovered && !ended.anew;
    steps.push({ do: "synced", synced: { ...synced, epoch, seq, recovered }, after });
    advance();
    if (compare(cursor, after) > 0 && (synced.more || isBehind())) {
      ask(0);
    } else if (isBehind()) {
      askAgain(ended);
    } else {
      transient.splice(0).forEach(show);
      askIfBehind(askOn);
    }
  }

  /** Hands on what was held and has its turn now. */
  function advance(): void {
    while (held[0] && isNext(held[0].place)) {
      pass(held[0]);
      held.shift();
    }
  }

  /** Shows the message that has its turn. */
  function pass(message: Held): void {
    const { place } = message;
    cursor = place;
    if (show(message)) {
      delivered.set(keyOf(place), { place, confirmed: false });
      earlier = later(earlier, shorten(delivered, KNOWN)?.place);
    }
  }

  function show({ message, sealed }: Received): boolean {
    const isFirst = !seen.has(message.id);
    if (isFirst) {
      seen.set(message.id, true);
      shorten(seen, REMEMBERED);
      steps.push({ do: "deliver", received: { message, sealed } });
    }
    return isFirst;
  }

  /**
   * What comes again: its acknowledgement may have been lost. A message that the app holds unconfirmed is confirmed by
   * the app only: a crash would lose it otherwise, because what is confirmed is not replayed. And one that was passed
   * over was not shown to anybody.
   */
  function again(message: Message): void {
    const receipt = receiptOf(message) as Receipt;
    const before = delivered.get(keyOf(receipt));
    const confirmed = !!before?.confirmed;
    if (confirmed || (!before && compare(receipt, earlier) <= 0)) {
      steps.push({ do: "ackAgain", receipt, confirmed });
    }
  }

  function hold(message: Held): void {
    // Mostly what comes is the newest, so it is looked for from the end.
    const before = held.findLastIndex(({ place }) => compare(place, message.place) <= 0);
    if (compare(held[before]?.place, message.place) !== 0) {
      held.splice(before + 1, 0, message);
      held.length = Math.min(held.length, HELD);
    }
  }

  /** Takes what is held up to a place. */
  function takeUpTo(end: Position | undefined): Held[] {
    return held.splice(0, held.findLastIndex(({ place }) => compare(place, end) <= 0) + 1);
  }

  function heardOf(place: Position): void {
    head = later(head, place);
  }

  function askIfBehind(orElse = false): void {
    if (!replay && (orElse || isBehind())) {
      ask(0);
    }
  }

  /** Whether something is known to be beyond everything that is here. */
  function isBehind(): boolean {
    return compare(head, cursor) > 0;
  }

  /** Whether this place has been delivered or passed over. Of an older epoch, which began earlier, everything has. */
  function has(place: Position): boolean {
    return compare(place, cursor) <= 0;
  }

  function isNext({ epoch, seq }: Position): boolean {
    // Nothing comes before the first entry of any epoch, so an empty mailbox knows its first message.
    return !!cursor && (cursor.seq === 0 ? seq === 1 : cursor.epoch === epoch && seq === cursor.seq + 1);
  }

  return {
    get cursor() {
      return cursor;
    },
    get awaitsReplay() {
      return !!replay;
    },
    connected() {
      // What was held comes again with the replay.
      held = [];
      head = undefined;
      ask(0, true);
      return taken();
    },
    rolledOver() {
      ask(0, replay?.first);
      return taken();
    },
    acknowledged(place) {
      const message = delivered.get(keyOf(place));
      if (message) {
        message.confirmed = true;
      }
    },
    replayOverdue() {
      if (replay) {
        askAgain(replay);
      }
      return taken();
    },
    frame(frame, sealed) {
      if (frame.type === "message") {
        hearMessage({ message: frame, sealed });
      } else if (frame.type === "announcement") {
        hearAnnouncement(frame);
      } else if (frame.type === "synced") {
        hearSynced(frame);
      } else if (frame.type === "pong") {
        heardOf(frame);
        askIfBehind(askAtPong || missed > announced);
      }
      // Others are about the connection, or about something that was said, not about the mailbox.
      return taken();
    },
  };
}

/** How a message is confirmed; `undefined` for one without a place in the mailbox, which nobody waits for. */
export function receiptOf(message: Message): Receipt | undefined {
  const place = placeOf(message);
  return place && { id: message.id, ...place };
}
