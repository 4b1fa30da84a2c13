import { type Action, type AppState, ack, type Receipt } from "./actions.js";
import { LONGEST, spread, windowOf } from "./backoff.js";
import type { ServiceClock } from "./clock.js";
import { confirmations } from "./confirmations.js";
import type { Item } from "./delivery.js";
import { dial, leave, type Target } from "./dial.js";
import type { Environment, Socket, SocketClass } from "./environment.js";
import { TidingsError } from "./errors.js";
import { type Announcement, type Frame, parse, placeOf, type Reconnect, read } from "./frames.js";
import type { Identity } from "./identity.js";
import { Inbox, type Step } from "./inbox.js";
import { open } from "./jwe.js";
import { type Line, lineOf, NEVER } from "./line.js";
import { compare, later, type Position } from "./position.js";
import { connectToken } from "./tokens.js";

/** A socket's `readyState`. */
const OPEN = 1;
const CLOSED = 3;
/** The subprotocol of Tidings. */
const PROTOCOL = "tidings.v1";

// All times are in milliseconds.

/** How long to wait for a handshake, a pong or a replay. */
const ANSWER_WITHIN = 15_000;
/** The pause before the next heartbeat until a pong says otherwise. */
const NEXT_PING = 60_000;
/** No heartbeat comes later than this, whatever a pong says: API Gateway closes a connection after 10 silent minutes. */
const LAST_PING = 540_000;
/** Pause before asking again when a replay's answer was an error of the gateway. */
const REPLAY_RETRY = 1_000;
/** How long messages may stay behind the answer that counts them, before they are asked for again. */
const STRAGGLE = 3_000;
/** Acknowledgements that come closer together than this are said in one word. */
const ACK_PAUSE = 200;
/** How long a socket may take to close. */
const CLOSE_WITHIN = 2_000;
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

/** What happens to a connection. */
export interface ConnectionEvents {
  announcement: Announcement;
  state: StateChange;
  error: TidingsError;
}

/** Who is told of what happens to a connection. */
export interface Listener {
  /** A message, in order and once; or everything up to a place was delivered or passed over. */
  add(this: void, item: Item): void;
  emit<Name extends keyof ConnectionEvents>(this: void, name: Name, event: ConnectionEvents[Name]): void;
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
  /** Goes on with the same device's newer keys. */
  renew(identity: Identity): void;
  /** Says goodbye. Resolves when the service has heard it, or will not any more. */
  close(): Promise<void>;
}

/** Connects, and stays connected. */
export function connect(
  environment: Environment,
  clock: ServiceClock,
  { url, WebSocket, automatic, tokenIn }: ConnectionOptions,
  identity: Identity,
  cursor: Position | undefined,
  { add, emit, refused, kept, appState }: Listener,
): Connection {
  const { now, random, after } = environment;
  const inbox = new Inbox(cursor);
  const confirmed = confirmations();
  let keys = identity;
  // The app has taken everything up to here, in this life or in one before. An app that acknowledges by itself has decided about what it took.
  let taken = automatic && cursor?.seq ? cursor : undefined;
  let attempt = 0;
  /** How many openings failed in a row, and after how many the device is taken for refused next. */
  let unopened = 0;
  let refusedAt = REFUSED_AFTER;
  let inQuery = tokenIn === "query";
  /** The connection that everything is said on. */
  let current: Line | undefined;
  /** The connection before, until its successor has proved itself. It is still read. */
  let old: Line | undefined;
  /** Gives the current attempt to open a socket up, be it the first or a successor. */
  let dialing: (() => void) | undefined;
  let retry = NEVER;
  let disarm = (): void => {};
  let closed = false;

  // -- Opening -------------------------------------------------------------------------------------------------------

  function openFirst(): void {
    retry = NEVER;
    emit("state", { state: "connecting" });
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
    const token = await connectToken(keys, clock.now());
    const named = `${url}?deviceId=${encodeURIComponent(keys.id)}`;
    return way ? { url: `${named}&token=${token}`, protocols: [] } : { url: named, protocols: [PROTOCOL, token] };
  }

  /** The first words on a connection; everything is said on it from now on. */
  function greet(socket: Socket, first: Step[]): void {
    const line = lineOf(socket, environment);
    current = line;
    socket.onmessage = ({ data }) => queue(line, () => receive(line, data));
    // What came before the end is dealt with before it.
    socket.onclose = () => queue(line, () => ended(line));
    // A close follows.
    socket.onerror = () => {};
    begin(first);
  }

  /** Asks for what was missed, and says what could not be said before. */
  function begin(first: Step[]): void {
    carryOut(first);
    const state = appState();
    if (state) {
      say({ action: "state", state });
    }
    sayUnsaid();
  }

  function sayUnsaid(): void {
    for (const action of confirmed.takeUnsaid()) {
      say(action);
    }
  }

  /** Says it on the connection that there is, and keeps it otherwise. */
  function say(action: Action): void {
    if (current?.socket.readyState === OPEN) {
      current.socket.send(JSON.stringify(action));
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
    const line = current;
    if (!automatic || compare(receipt, taken) > 0 || receipt.epoch !== inbox.cursor?.epoch) {
      say(ack(receipt));
    } else if (line) {
      const at = now();
      if (inbox.awaitsReplay || at < line.acked + ACK_PAUSE) {
        line.due.sum = Math.min(line.due.sum, at + ACK_PAUSE);
      } else {
        line.acked = at;
        say(ack(receipt));
      }
    }
  }

  // -- Losing --------------------------------------------------------------------------------------------------------

  function ended(line: Line): void {
    if (line === old) {
      // Its successor is there.
      old = undefined;
    } else if (line === current) {
      lose("closed");
    }
  }

  function lose(reason: string, window?: number): void {
    const line = old;
    if (!line) {
      lost(reason, window);
      return;
    }
    // The successor failed before it had proved itself, and what it was to replace is still there.
    leave(current?.socket);
    old = undefined;
    current = line;
    line.pinged = line.due.pong = NEVER;
    line.due.ping = now();
    line.due.rollover = now() + pause(window);
    confirmed.doubt(now(), taken);
    begin(inbox.rolledOver());
  }

  function lost(reason: string, window?: number): void {
    leaveAll();
    confirmed.doubt(now(), taken);
    const retryIn = pause(window);
    retry = now() + retryIn;
    emit("state", { state: "waiting", reason, retryIn });
  }

  function leaveAll(): void {
    disarm();
    dialing?.();
    leave(current?.socket);
    leave(old?.socket);
    dialing = current = old = undefined;
    retry = NEVER;
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
      // Where the line was lost meanwhile, this attempt was given up.
      const line = current as Line;
      if (socket) {
        confirmed.doubt(now(), taken);
        old = line;
        greet(socket, inbox.rolledOver());
      } else {
        // The old one still serves; if it ends before the next attempt, that is an ordinary loss.
        line.due.rollover = now() + pause();
      }
    });
  }

  /**
   * Leaves the old connection once the new one has been heard and the gap is closed. Whatever is posted to the old one
   * from then on is posted to the new one, too.
   */
  function part(): void {
    if (current && current.heard < NEVER && !inbox.awaitsReplay) {
      leave(old?.socket);
      old = undefined;
    }
  }

  // -- Time ----------------------------------------------------------------------------------------------------------

  function arm(): void {
    disarm();
    if (closed) {
      return;
    }
    part();
    const next = Math.min(retry, ...Object.values(current?.due ?? {}));
    if (next < NEVER) {
      disarm = after(Math.max(0, next - now()), tick);
    }
  }

  function tick(): void {
    if (retry <= now()) {
      openFirst();
    }
    if (current) {
      tickOf(current);
    }
    arm();
  }

  function tickOf(line: Line): void {
    const at = now();
    const { due } = line;
    if (due.pong <= at) {
      lose("silent");
      return;
    }
    if (due.rollover <= at) {
      due.rollover = NEVER;
      // One at a time.
      if (!dialing && !old) {
        openSuccessor();
      }
    }
    if (due.repeat <= at) {
      due.repeat = NEVER;
      line.summedUp = undefined;
      line.repeats += 1;
      confirmed.doubt(at, taken);
      sayUnsaid();
      due.sum = at;
    }
    if (due.sum <= at) {
      due.sum = NEVER;
      line.acked = at;
      sumUp(line, inbox.cursor);
    }
    if (due.ping <= at) {
      due.ping = at + NEXT_PING;
      // The first unanswered one counts, however many follow it.
      line.pinged = Math.min(line.pinged, at);
      due.pong = Math.min(due.pong, at + ANSWER_WITHIN);
      say({ action: "ping" });
    }
    if (due.replay <= at) {
      due.replay = NEVER;
      carryOut(inbox.replayOverdue());
    }
  }

  // -- Hearing -------------------------------------------------------------------------------------------------------

  function queue(line: Line, work: () => void | Promise<void>): void {
    line.work = line.work
      .then(work)
      .then(arm)
      .catch((cause) => emit("error", failure(cause)));
  }

  function serves(line: Line): boolean {
    return !closed && (line === current || line === old);
  }

  async function receive(line: Line, data: unknown): Promise<void> {
    if (!serves(line)) {
      return;
    }
    const asked = inClear(data);
    if (asked) {
      // What a connection says of itself no longer matters when its successor is there.
      if (line === current) {
        lose(asked.code, asked.after * 1_000);
      }
      return;
    }
    let frame: Frame;
    try {
      frame = read(await open(keys, data), keys.id);
    } catch (error) {
      unreadable(line, failure(error));
      return;
    }
    if (frame.type === "synced") {
      await fillIn(frame);
    }
    if (serves(line)) {
      hear(line, frame, data as string);
    }
  }

  function unreadable(line: Line, error: TidingsError): void {
    emit("error", error);
    const { due } = line;
    if (inbox.awaitsReplay) {
      // Probably the gateway's own error in place of the replay: ask again soon, not at the deadline.
      due.replay = Math.min(due.replay, now() + REPLAY_RETRY);
    }
    // Or in place of the silence that an acknowledgement is answered with.
    due.repeat = Math.min(due.repeat, now() + REPLAY_RETRY * 2 ** Math.min(line.repeats, 6));
  }

  /**
   * A replay passes over what another page of this device has confirmed. What that page kept of it comes before the
   * answer, as if it had been replayed.
   */
  async function fillIn(end: Position): Promise<void> {
    const begin = inbox.cursor;
    if (!begin || compare(begin, end) >= 0) {
      return;
    }
    for (const sealed of await kept(begin, end)) {
      try {
        const frame = read(await open(keys, sealed), keys.id);
        if (frame.type === "message" && compare(placeOf(frame), inbox.cursor) > 0) {
          carryOut(inbox.frame(frame, sealed));
        }
      } catch {
        // Kept under former keys.
      }
    }
  }

  function hear(line: Line, frame: Frame, sealed: string): void {
    if (frame.type === "error") {
      emit("error", new TidingsError(frame.code, frame.detail));
    } else if (frame.type === "announcement") {
      emit("announcement", frame);
    }
    if (line === current && !hearOfLine(line, frame)) {
      return;
    }
    const { replay } = line.due;
    carryOut(inbox.frame(frame, sealed));
    if (line !== current) {
      return;
    }
    if (frame.type === "synced" && inbox.awaitsReplay && line.due.replay === replay) {
      // It was no new question, so the answer was not enough.
      line.due.replay = Math.min(replay, now() + STRAGGLE);
    } else if (frame.type === "pong") {
      sumUp(line, frame);
    }
  }

  /** What a frame says of the connection that it came on; `false` where that is its end. */
  function hearOfLine(line: Line, frame: Frame): boolean {
    const { due } = line;
    line.heard = now();
    due.pong = NEVER;
    if (frame.type === "pong") {
      pingWasAnswered(line);
      due.ping = now() + Math.min(Math.max(frame.nextPing, 1) * 1_000, LAST_PING);
      clock.heard(frame.serverTime);
    } else if (frame.type === "reconnect") {
      const window = frame.after * 1_000;
      if (frame.code !== "rollover") {
        lose(frame.code, window);
        return false;
      }
      // In place of a pong, and no loss: this connection serves until its successor does.
      pingWasAnswered(line);
      due.rollover = Math.min(due.rollover, now() + spread(window, random()));
    }
    return true;
  }

  function pingWasAnswered(line: Line): void {
    if (line.pinged < NEVER) {
      confirmed.arrivedBefore(line.pinged);
      line.pinged = NEVER;
    }
  }

  /**
   * Says up to where the app has taken everything, where that has moved on: once on each connection, and with each
   * heartbeat. A single acknowledgement may be lost without a word, in the service too.
   */
  function sumUp(line: Line, mailbox: Position | undefined): void {
    if (taken && taken.epoch === mailbox?.epoch && compare(taken, line.summedUp) > 0) {
      line.summedUp = taken;
      say(ack(taken));
    }
  }

  /** All that is for the app is handed on, whatever becomes of the connection: the inbox has passed it. */
  function carryOut(steps: readonly Step[]): void {
    for (const step of steps) {
      switch (step.do) {
        case "sync":
          if (current) {
            current.due.replay = now() + ANSWER_WITHIN;
          }
          say({ action: "sync", ...step.after });
          break;
        case "ackAgain":
          if (current) {
            // What the sum has told already seems to be lost.
            current.summedUp = undefined;
          }
          if (automatic || step.confirmed) {
            acknowledge(step.receipt);
          }
          break;
        case "deliver":
          // There is progress, even on lines that are cut before a page has come.
          attempt = 0;
          add(step.received);
          break;
        case "synced": {
          const { synced } = step;
          const to = { epoch: synced.epoch, seq: synced.seq };
          attempt = 0;
          emit("state", { state: "online" });
          add({ place: to, gap: synced.recovered ? undefined : { from: step.after, to } });
          if (current && synced.recovered) {
            sumUp(current, to);
          }
          break;
        }
        case "giveUp":
          lose("silent");
          break;
      }
    }
    if (current && !inbox.awaitsReplay) {
      current.due.replay = NEVER;
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
      } else if (current && at - current.heard > FRESH && current.pinged === NEVER) {
        current.due.ping = at;
      }
      arm();
    },
    renew(identity) {
      keys = identity;
    },
    close() {
      const socket = current?.socket;
      closed = true;
      if (current && current.due.sum < NEVER) {
        sumUp(current, inbox.cursor);
      }
      leaveAll();
      return new Promise((resolve) => {
        if (socket && socket.readyState !== CLOSED) {
          const cancel = after(CLOSE_WITHIN, resolve);
          socket.onclose = () => {
            cancel();
            resolve();
          };
        } else {
          resolve();
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

/** Whatever was thrown, as an error of ours. */
export function failure(cause: unknown): TidingsError {
  return cause instanceof TidingsError ? cause : new TidingsError("unexpected", String(cause), cause);
}
