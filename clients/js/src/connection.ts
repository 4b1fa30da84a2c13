import { type Action, ack, type Receipt } from "./actions.js";
import { LONGEST, spread, windowOf } from "./backoff.js";
import type { ServiceClock } from "./clock.js";
import { confirmations } from "./confirmations.js";
import type { Item } from "./delivery.js";
import { dial, leave, type Target } from "./dial.js";
import type { Environment, Socket, SocketClass } from "./environment.js";
import { TidingsError } from "./errors.js";
import { type Frame, parse, type Reconnect, unseal } from "./frames.js";
import type { Identity } from "./identity.js";
import { inboxFrom, type Step } from "./inbox.js";
import { type Cursor, compare, later, type Position, placeOf } from "./position.js";
import { connectToken } from "./tokens.js";
import type { AppState } from "./wire.js";

/** A socket's `readyState`. */
const OPEN = 1;
const CLOSED = 3;
/** The subprotocol of Tidings. */
const PROTOCOL = "tidings.v1";

// All times are in milliseconds.

/** When something is due that is not. */
const NEVER = Infinity;
/** How long to wait for a handshake, a pong or a replay. */
const ANSWER_WITHIN = 15_000;
/**
 * When the first heartbeat of a connection comes at the latest; up to a quarter of it is taken off at random, because
 * many devices may have come back together. It comes soon: what was stored between our connection and our first words
 * about the mailbox was posted to nobody, and the head in the pong tells of it.
 */
const FIRST_PING = 5_000;
/** The pause before the next heartbeat until a pong says otherwise. */
const NEXT_PING = 60_000;
/** No heartbeat comes later than this, whatever a pong says: API Gateway closes a connection after 10 silent minutes. */
const LAST_PING = 540_000;
/**
 * When to move to a new socket where the service has not asked for it: API Gateway ends every connection after two hours.
 * A quarter at most is taken off, so that devices that came together do not leave together.
 */
const ROLLOVER_AFTER = 6_600_000;
/** Pause before asking again when a replay's answer was an error of the gateway. */
const REPLAY_RETRY = 1_000;
/** How long messages may stay behind the answer that counts them, before they are asked for again. */
const STRAGGLE = 3_000;
/** Acknowledgements that come closer together than this are said in one word. */
const ACK_PAUSE = 200;
/** A connection that was heard so recently needs no proof that it lives. */
const FRESH = 10_000;
/** After so many openings in a row that failed, and twice as many each further time, the device may have been refused. */
const REFUSED_AFTER = 3;

/** What a device is doing. */
export type State = "connecting" | "online" | "waiting" | "standby" | "closed";

/** A change of what a device is doing. */
export interface StateChange {
  readonly state: State;
  /** Of `waiting` and `closed`: a word for programs. */
  readonly reason?: string;
  /** Of `waiting`: when the next attempt begins, in milliseconds. */
  readonly retryIn?: number;
}

/** What a connection needs of its device, and whom it tells of what happens. */
export interface Listener {
  /** Who the device is: its keys may be renewed. */
  identity(this: void): Identity;
  /** A message, in order and once; or everything up to a place was delivered or passed over. */
  add(this: void, item: Item): void;
  /** An announcement, in order and once. */
  announce(this: void, item: Item): void;
  tell(this: void, change: StateChange): void;
  report(this: void, error: unknown): void;
  /** What the app has said of itself last. */
  appState(this: void): AppState | undefined;
  /** Many openings failed in a row. */
  refused(this: void): void;
  /** Sealed frames that another page of this device has confirmed, after one place and up to another. */
  kept(this: void, after: Position, end: Position): Promise<readonly string[]>;
}

/** How to connect. */
export interface ConnectionOptions {
  readonly url: string;
  readonly WebSocket: SocketClass;
  readonly automatic: boolean;
  readonly tokenIn?: "subprotocol" | "query";
}

/** Keeps a socket open and carries out what the inbox decides. */
export interface Connection {
  /** Says this, now or on the next connection. */
  say(action: Action): void;
  /** The network may be back: tries at once, or finds out whether the connection still lives. */
  wake(): void;
  /** Says goodbye. Resolves when the service has heard it. */
  close(): Promise<unknown>;
}

/** Connects, and stays connected. */
export function connect(
  environment: Environment,
  clock: ServiceClock,
  { url, WebSocket, automatic, tokenIn }: ConnectionOptions,
  cursor: Cursor,
  { identity, add, announce, tell, report, refused, kept, appState }: Listener,
): Connection {
  const { now, random, after } = environment;
  const begin = placeOf(cursor);
  const inbox = inboxFrom(begin, cursor.announced);
  const confirmed = confirmations();
  // The app has taken everything up to here, in this life or in one before. An app that acknowledges by itself has decided about what it took.
  let taken = automatic && begin?.seq ? begin : undefined;
  let attempt = 0;
  /** How many openings failed in a row, and after how many the device is taken for refused next. */
  let unopened = 0;
  let refusedAt = REFUSED_AFTER;
  let inQuery = tokenIn === "query";
  /** The socket that everything is said on. */
  let current: Socket | undefined;
  /** The one before, until its successor has proved itself. It is still read. */
  let old: Socket | undefined;
  /** Gives the current attempt to open a socket up, be it the first or a successor. */
  let dialing: (() => void) | undefined;
  let disarm: (() => void) | undefined;
  let closed = false;

  // When it is due:
  /** The next attempt to connect. */
  let retry = NEVER;
  /** The next heartbeat. */
  let ping = NEVER;
  /** Its answer. */
  let pong = NEVER;
  /** The answer to a replay, or what is missing of it. */
  let replay = NEVER;
  /** What is in doubt is said again. */
  let repeat = NEVER;
  /** It is told up to where the app has taken everything, for acknowledgements that were not said one by one. */
  let sum = NEVER;
  /** A successor is opened. */
  let rollover = NEVER;

  // Of the current connection:
  /** When something came on it that was for us. */
  let heard = NEVER;
  /** When the oldest ping that has no answer was said. */
  let pinged = NEVER;
  /** When a message was acknowledged last. */
  let acked = -NEVER;
  /** Up to where it was told that the app has taken everything. */
  let summedUp: Position | undefined;
  /** How often what is in doubt was said again. */
  let repeats = 0;

  // -- Opening -------------------------------------------------------------------------------------------------------

  function openFirst(): void {
    retry = NEVER;
    tell({ state: "connecting" });
    // A browser does not tell why an opening failed: a gateway that drops the subprotocol looks like one that is away.
    // Every second attempt has the token in the URL, until one of them opens.
    const way = inQuery || (tokenIn !== "query" && unopened % 2 === 1);
    openSocket(way, (socket) => {
      if (socket) {
        unopened = 0;
        refusedAt = REFUSED_AFTER;
        inQuery = way;
        greet(socket, inbox.connected());
        return;
      }
      unopened += 1;
      lost("unreachable");
      if (unopened === refusedAt) {
        refusedAt *= 2;
        // What opened once may not do so for ever.
        inQuery = tokenIn === "query";
        refused();
      }
    });
  }

  function openSocket(way: boolean, done: (socket?: Socket) => void): void {
    dialing = dial(environment, WebSocket, target(way), ANSWER_WITHIN, (socket) => {
      dialing = undefined;
      done(socket);
      arm();
    });
  }

  async function target(way: boolean): Promise<Target> {
    const token = await connectToken(identity(), clock.now());
    const named = `${url}?deviceId=${encodeURIComponent(identity().id)}`;
    return way ? { url: `${named}&token=${token}`, protocols: [] } : { url: named, protocols: [PROTOCOL, token] };
  }

  function greet(socket: Socket, first: Step[]): void {
    let work: Promise<unknown> = Promise.resolve();
    // What came is dealt with one by one, and before the end.
    const queue = (next: () => unknown): void => {
      work = work.then(next).then(arm).catch(report);
    };
    socket.onmessage = ({ data }) => queue(() => receive(socket, data));
    socket.onclose = () => queue(() => ended(socket));
    // A close follows.
    socket.onerror = () => {};
    serveOn(socket, first);
  }

  /** Everything is said here from now on: asks for what was missed, and says what could not be said before. */
  function serveOn(socket: Socket, first: Step[]): void {
    current = socket;
    ping = now() + FIRST_PING * (1 - random() / 4);
    rollover = now() + ROLLOVER_AFTER * (1 - random() / 4);
    pong = replay = repeat = sum = heard = pinged = NEVER;
    acked = -NEVER;
    summedUp = undefined;
    repeats = 0;
    carryOut(first);
    const state = appState();
    if (state) {
      say({ action: "state", state });
    }
    sayAgain();
  }

  /** Says what could not be said before, and what may not have been heard. */
  function sayAgain(): void {
    confirmed.doubt(now(), taken);
    for (const action of confirmed.takeUnsaid()) {
      say(action);
    }
  }

  /** Says it on the connection that there is, and keeps it otherwise. */
  function say(action: Action): void {
    if (current?.readyState === OPEN) {
      current.send(JSON.stringify(action));
      confirmed.said(action, now());
    } else {
      confirmed.keep(action);
    }
  }

  /**
   * Acknowledges. What the sum covers is said at once if it comes alone, and as a sum if it comes with others: a hundred
   * messages of a replay are one word, not a hundred requests to a service that may be overloaded already.
   */
  function acknowledge(receipt: Receipt): void {
    const at = now();
    if (!automatic || compare(receipt, taken) > 0 || receipt.epoch !== inbox.cursor?.epoch) {
      say(ack(receipt));
    } else if (!current) {
      // The next connection is told the sum.
    } else if (inbox.awaitsReplay || at < acked + ACK_PAUSE) {
      sum = Math.min(sum, at + ACK_PAUSE);
    } else {
      acked = at;
      say(ack(receipt));
    }
  }

  // -- Losing --------------------------------------------------------------------------------------------------------

  function ended(socket: Socket): void {
    if (socket === old) {
      // Its successor is there.
      old = undefined;
    } else if (socket === current) {
      lose("closed");
    }
  }

  function lose(reason: string, window?: number): void {
    const before = old;
    if (!before) {
      lost(reason, window);
      return;
    }
    // The successor failed before it had proved itself, and what it was to replace is still there.
    leave(current);
    old = undefined;
    serveOn(before, inbox.rolledOver());
    ping = now();
    rollover = ping + pause(window);
  }

  function lost(reason: string, window?: number): void {
    leaveAll();
    confirmed.doubt(now(), taken);
    const retryIn = pause(window);
    retry = now() + retryIn;
    tell({ state: "waiting", reason, retryIn });
  }

  function leaveAll(): void {
    disarm?.();
    dialing?.();
    leave(current);
    leave(old);
    dialing = current = old = undefined;
    retry = ping = pong = replay = repeat = sum = rollover = NEVER;
  }

  /** How long to wait before the next attempt. The service may have asked for a window of its own. */
  function pause(window = 0): number {
    const own = windowOf(attempt);
    attempt += 1;
    return spread(Math.max(own, Math.min(window, LONGEST)), random());
  }

  // -- Rolling over --------------------------------------------------------------------------------------------------

  function openSuccessor(): void {
    openSocket(inQuery, (socket) => {
      // Where the connection was lost meanwhile, this attempt was given up.
      if (socket) {
        old = current;
        greet(socket, inbox.rolledOver());
      } else {
        // The old one still serves; if it ends before the next attempt, that is an ordinary loss.
        rollover = now() + pause();
      }
    });
  }

  // -- Time ----------------------------------------------------------------------------------------------------------

  function arm(): void {
    disarm?.();
    if (closed) {
      return;
    }
    if (heard < NEVER && !inbox.awaitsReplay) {
      // The new connection has been heard and the gap is closed. What is posted to the old one from now on is posted to
      // the new one, too.
      leave(old);
      old = undefined;
    }
    const next = Math.min(retry, ping, pong, replay, repeat, sum, rollover);
    if (next < NEVER) {
      disarm = after(Math.max(0, next - now()), tick);
    }
  }

  function tick(): void {
    const at = now();
    if (retry <= at) {
      openFirst();
    }
    if (pong <= at) {
      lose("silent");
    }
    if (rollover <= at) {
      rollover = NEVER;
      // One at a time.
      if (!dialing && !old) {
        openSuccessor();
      }
    }
    if (repeat <= at) {
      repeat = NEVER;
      summedUp = undefined;
      repeats += 1;
      sayAgain();
      sum = at;
    }
    if (sum <= at) {
      sum = NEVER;
      acked = at;
      sumUp(inbox.cursor);
    }
    if (ping <= at) {
      ping = at + NEXT_PING;
      // The first unanswered one counts, however many follow it.
      pinged = Math.min(pinged, at);
      pong = Math.min(pong, at + ANSWER_WITHIN);
      say({ action: "ping" });
    }
    if (replay <= at) {
      replay = NEVER;
      carryOut(inbox.replayOverdue());
    }
    arm();
  }

  // -- Hearing -------------------------------------------------------------------------------------------------------

  function serves(socket: Socket): boolean {
    return !closed && (socket === current || socket === old);
  }

  async function receive(socket: Socket, data: unknown): Promise<void> {
    if (!serves(socket)) {
      return;
    }
    const asked = inClear(data);
    if (asked) {
      // What a connection says of itself no longer matters when its successor is there.
      if (socket === current) {
        lose(asked.code, asked.after * 1_000);
      }
      return;
    }
    let frame: Frame;
    try {
      frame = await unseal(identity(), data);
    } catch (error) {
      report(error);
      if (socket === current) {
        unreadable();
      }
      return;
    }
    if (frame.type === "synced") {
      await fillIn(frame);
    }
    if (serves(socket)) {
      hear(socket === current, frame, data as string);
    }
  }

  function unreadable(): void {
    if (inbox.awaitsReplay) {
      // Probably the gateway's own error in place of the replay: ask again soon, not at the deadline.
      replay = Math.min(replay, now() + REPLAY_RETRY);
    }
    // Or in place of the silence that an acknowledgement is answered with.
    repeat = Math.min(repeat, now() + REPLAY_RETRY * 2 ** Math.min(repeats, 6));
  }

  /**
   * A replay passes over what another page of this device has confirmed. What that page kept of it comes before the
   * answer, as if it had been replayed.
   */
  async function fillIn(end: Position): Promise<void> {
    const { cursor } = inbox;
    if (!cursor || compare(cursor, end) >= 0) {
      return;
    }
    for (const sealed of await kept(cursor, end)) {
      try {
        const frame = await unseal(identity(), sealed);
        if (frame.type === "message" && compare(placeOf(frame), inbox.cursor) > 0) {
          carryOut(inbox.frame(frame, sealed));
        }
      } catch {
        // Kept under former keys.
      }
    }
  }

  /** A frame came, on the current connection or on the old one. */
  function hear(isCurrent: boolean, frame: Frame, sealed: string): void {
    if (frame.type === "error") {
      report(new TidingsError(frame.code, frame.detail));
    }
    if (isCurrent) {
      heard = now();
      pong = NEVER;
      if (frame.type === "pong") {
        pingWasAnswered();
        ping = heard + Math.min(Math.max(frame.nextPing, 1) * 1_000, LAST_PING);
        clock.heard(frame.serverTime);
      } else if (frame.type === "reconnect") {
        const window = frame.after * 1_000;
        if (frame.code !== "rollover") {
          lose(frame.code, window);
          return;
        }
        // In place of a pong, and no loss: this connection serves until its successor does.
        pingWasAnswered();
        rollover = Math.min(rollover, heard + spread(window, random()));
      }
    }
    const due = replay;
    carryOut(inbox.frame(frame, sealed));
    if (isCurrent && frame.type === "synced" && inbox.awaitsReplay && replay === due) {
      // It was no new question, so the answer was not enough.
      replay = Math.min(due, now() + STRAGGLE);
    } else if (isCurrent && frame.type === "pong") {
      sumUp(frame);
    }
  }

  function pingWasAnswered(): void {
    if (pinged < NEVER) {
      confirmed.arrivedBefore(pinged);
      pinged = NEVER;
    }
  }

  /**
   * Says up to where the app has taken everything, where that has moved on: once on each connection, and with each
   * heartbeat. A single acknowledgement may be lost without a word, in the service too.
   */
  function sumUp(mailbox: Position | undefined): void {
    if (taken && taken.epoch === mailbox?.epoch && compare(taken, summedUp) > 0) {
      summedUp = taken;
      say(ack(taken));
    }
  }

  /** All that is for the app is handed on, whatever becomes of the connection: the inbox has passed it. */
  function carryOut(steps: readonly Step[]): void {
    for (const step of steps) {
      switch (step.do) {
        case "sync":
          replay = current ? now() + ANSWER_WITHIN : NEVER;
          say({ action: "sync", ...step.after, announced: step.announced });
          break;
        case "ackAgain":
          // What the sum has told already seems to be lost.
          summedUp = undefined;
          if (automatic || step.confirmed) {
            acknowledge(step.receipt);
          }
          break;
        case "deliver":
          // There is progress, even on lines that are cut before a page has come.
          attempt = 0;
          add(step.received);
          break;
        case "announce":
          attempt = 0;
          announce(step);
          break;
        case "synced": {
          const { synced } = step;
          const to = { epoch: synced.epoch, seq: synced.seq };
          attempt = 0;
          tell({ state: "online" });
          add({ place: to, gap: synced.recovered ? undefined : { from: step.after, to } });
          if (current && synced.recovered) {
            sumUp(to);
          }
          break;
        }
        case "giveUp":
          lose("silent");
          break;
      }
    }
    if (!inbox.awaitsReplay) {
      replay = NEVER;
    }
  }

  openFirst();
  return {
    say(action) {
      if (action.action === "ack" || action.action === "read") {
        inbox.acknowledged(action);
      }
      if (action.action === "ack") {
        const { id, epoch, seq } = action;
        if (automatic || id === undefined) {
          taken = later(taken, { epoch, seq });
        }
        acknowledge(action);
      } else {
        say(action);
      }
      arm();
    },
    wake() {
      const at = now();
      if (retry < NEVER) {
        retry = at;
      } else if (current && at - heard > FRESH && pinged === NEVER) {
        ping = at;
      }
      arm();
    },
    close() {
      const socket = current;
      closed = true;
      if (sum < NEVER) {
        sumUp(inbox.cursor);
      }
      leaveAll();
      return new Promise((resolve) => {
        if (socket && socket.readyState !== CLOSED) {
          socket.onclose = resolve;
        } else {
          resolve(undefined);
        }
      });
    },
  };
}

/**
 * The one thing that the service says in clear: it does not know this connection, so that no key belongs to it. Coming
 * back costs nothing but the connection; everything else in clear is ignored.
 */
function inClear(data: unknown): Reconnect | undefined {
  const frame = typeof data === "string" && data.startsWith("{") ? parse(data) : undefined;
  return frame?.type === "reconnect" && frame.deviceId === "" ? frame : undefined;
}
