import { type Action, ack, type AppState } from "./actions.js";
import { LONGEST, spread, windowOf } from "./backoff.js";
import type { ServiceClock } from "./clock.js";
import { Confirmations } from "./confirmations.js";
import { dial, leave, type Target } from "./dial.js";
import type { Environment, Socket, SocketClass } from "./environment.js";
import { TidingsError } from "./errors.js";
import { type Announcement, type Frame, parse, placeOf, type Received, read, type Reconnect } from "./frames.js";
import type { Identity } from "./identity.js";
import { Inbox, type Step } from "./inbox.js";
import { open } from "./jwe.js";
import { compare, later, type Position } from "./position.js";
import { connectToken } from "./tokens.js";

/** The subprotocol of Tidings. */
const PROTOCOL = "tidings.v1";

// All times are in milliseconds.

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
/** When to move to a new socket where the service has not asked for it. API Gateway ends every connection after two hours. */
const ROLLOVER_AFTER = 6_600_000;
/** Pause before asking again when a replay's answer was an error of the gateway. */
const REPLAY_RETRY = 1_000;
/** How long messages may stay behind the answer that counts them, before they are asked for again. */
const STRAGGLE = 3_000;
/** How long a socket may take to close. */
export const CLOSE_WITHIN = 2_000;
/** No attempt begins sooner than this after the one before, whatever calls for it. */
const FLOOR = 1_000;
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

/** Something after `from` and up to `to` may be missing: the mailbox no longer reached back to where this device was. */
export interface Gap {
  readonly from: Position | undefined;
  readonly to: Position;
}

/** What happens to a connection. */
export interface Listener {
  /** A message, in order and once. */
  deliver(received: Received): void;
  /** Everything up to this place was delivered or passed over. */
  synced(place: Position, gap: Gap | undefined): void;
  announcement(announcement: Announcement): void;
  state(change: StateChange): void;
  error(error: TidingsError): void;
  /** Many openings failed in a row. */
  refused(): void;
  /** Sealed frames that another page of this device has confirmed, after one place and up to another. */
  kept(after: Position, end: Position): Promise<readonly string[]>;
}

/** How to connect. */
export interface ConnectionOptions {
  readonly url: string;
  readonly WebSocket: SocketClass;
  readonly automatic: boolean;
  readonly tokenIn: "subprotocol" | "query";
}

/** One socket, and what is due on it. */
class Line {
  readonly socket: Socket;
  /** What came is dealt with one by one. */
  work: Promise<unknown> = Promise.resolve();
  /** When something came on it that was for us. */
  heard: number | undefined;
  /** Up to where it was told that the app has taken everything. */
  summedUp: Position | undefined;
  ping: number;
  /** When the oldest ping that has no answer was said. */
  pinged: number | undefined;
  /** When its answer is due. */
  pong: number | undefined;
  /** When the replay is due. */
  replay: number | undefined;
  /** When what is in doubt is said again, and how often it was. */
  repeat: number | undefined;
  repeats = 0;
  rollover: number | undefined;

  constructor(socket: Socket, ping: number, rollover: number) {
    this.socket = socket;
    this.ping = ping;
    this.rollover = rollover;
  }
}

/** A connection whose successor is there. It is read until the successor has proved itself, and then until its end. */
interface Old {
  readonly line: Line;
  /** Goodbye was said; its answer is waited for until then. */
  leaves?: number;
}

/** Keeps a socket open and carries out what the {@link Inbox} decides. */
export class Connection {
  readonly #environment: Environment;
  readonly #clock: ServiceClock;
  readonly #options: ConnectionOptions;
  readonly #listener: Listener;
  readonly #inbox: Inbox;
  readonly #confirmations = new Confirmations();
  #identity: Identity;
  /** The app has taken everything up to here, in this life or in one before. */
  #taken: Position | undefined;
  #appState: AppState | undefined;
  #attempt = 0;
  /** How many openings failed in a row, and after how many the device is taken for refused next. */
  #unopened = 0;
  #refusedAt = REFUSED_AFTER;
  #inQuery: boolean;
  #line: Line | undefined;
  #old: Old | undefined;
  /** Gives the current attempt to open a socket up, be it the first or a successor. */
  #dialing: (() => void) | undefined;
  #dialed = -Infinity;
  #retry: number | undefined;
  #timer: unknown;
  #closed = false;

  constructor(
    environment: Environment,
    clock: ServiceClock,
    options: ConnectionOptions,
    identity: Identity,
    cursor: Position | undefined,
    listener: Listener,
  ) {
    this.#environment = environment;
    this.#clock = clock;
    this.#options = options;
    this.#identity = identity;
    this.#listener = listener;
    this.#inbox = new Inbox(cursor);
    this.#inQuery = options.tokenIn === "query";
    // An app that acknowledges by itself has decided about what it took.
    this.#taken = options.automatic && cursor?.seq ? cursor : undefined;
  }

  /** Connects, and stays connected. */
  start(): void {
    this.#connect();
  }

  /** Says this, now or on the next connection. */
  say(action: Action): void {
    if (action.action === "ack" || action.action === "read") {
      this.#inbox.acknowledged(action);
      if (action.action === "ack" && (this.#options.automatic || action.id === undefined)) {
        this.#taken = later(this.#taken, { epoch: action.epoch, seq: action.seq });
      }
    } else if (action.action === "state") {
      this.#appState = action.state;
    }
    this.#say(action);
    this.#arm();
  }

  /** The network may be back: try at once, or find out whether the connection still lives. */
  wake(): void {
    const now = this.#environment.now();
    if (this.#retry !== undefined) {
      this.#retry = Math.min(this.#retry, Math.max(now, this.#dialed + FLOOR));
    } else if (this.#line && now - (this.#line.heard ?? now) > FRESH && this.#line.pinged === undefined) {
      this.#line.ping = now;
    }
    this.#arm();
  }

  /** Goes on with the same device's newer keys. */
  renew(identity: Identity): void {
    this.#identity = identity;
  }

  /** Says goodbye. Resolves when the service has heard it, or will not any more. */
  close(): Promise<void> {
    const line = this.#line;
    this.#end();
    this.#closed = true;
    if (!line || line.socket.readyState === 3) {
      return Promise.resolve();
    }
    return new Promise((resolve) => {
      const timer = this.#environment.setTimeout(resolve, CLOSE_WITHIN);
      line.socket.onmessage = null;
      line.socket.onerror = () => {};
      line.socket.onclose = () => {
        this.#environment.clearTimeout(timer);
        resolve();
      };
      line.socket.close();
    });
  }

  /** Forgets every socket; the old one, if there is one, is left. */
  #end(): void {
    this.#environment.clearTimeout(this.#timer);
    this.#dialing?.();
    this.#dialing = undefined;
    if (this.#old) {
      leave(this.#old.line.socket);
    }
    this.#old = undefined;
    this.#line = undefined;
    this.#retry = undefined;
  }

  // -- Opening -------------------------------------------------------------------------------------------------------

  #connect(): void {
    this.#retry = undefined;
    this.#listener.state({ state: "connecting" });
    // A browser does not tell why an opening failed: a gateway that drops the subprotocol looks like one that is away.
    // Every second attempt has the token in the URL, until one of them opens.
    const inQuery = this.#inQuery || (this.#options.tokenIn !== "query" && this.#unopened % 2 === 1);
    this.#dial(inQuery, (socket) => {
      if (socket) {
        this.#unopened = 0;
        this.#refusedAt = REFUSED_AFTER;
        this.#inQuery = inQuery;
        this.#greet(socket, this.#inbox.connected());
        return;
      }
      this.#unopened += 1;
      if (this.#unopened >= REFUSED_AFTER) {
        // What opened once may not do so for ever.
        this.#inQuery = this.#options.tokenIn === "query";
      }
      this.#lost("unreachable");
      if (this.#unopened === this.#refusedAt) {
        this.#refusedAt *= 2;
        this.#listener.refused();
      }
    });
  }

  #dial(inQuery: boolean, done: (socket?: Socket) => void): void {
    this.#dialed = this.#environment.now();
    this.#dialing = dial(this.#environment, this.#options.WebSocket, this.#target(inQuery), ANSWER_WITHIN, (socket) => {
      this.#dialing = undefined;
      done(socket);
      this.#arm();
    });
  }

  async #target(inQuery: boolean): Promise<Target> {
    const token = await connectToken(this.#identity, this.#clock.now());
    const url = `${this.#options.url}?deviceId=${encodeURIComponent(this.#identity.id)}`;
    return inQuery ? { url: `${url}&token=${token}`, protocols: [] } : { url, protocols: [PROTOCOL, token] };
  }

  /** The first words on a connection; everything is said on it from now on. */
  #greet(socket: Socket, sync: Action): void {
    const now = this.#environment.now();
    const ping = now + FIRST_PING - spread(FIRST_PING / 4, this.#environment.random());
    // Half an hour at most is spread, so that devices that came together do not leave together.
    const rollover = now + ROLLOVER_AFTER - spread(ROLLOVER_AFTER / 4, this.#environment.random());
    const line = new Line(socket, ping, rollover);
    this.#line = line;
    socket.onmessage = ({ data }) => this.#queue(line, () => this.#receive(line, data));
    // What came before the end is dealt with before it.
    socket.onclose = () => this.#queue(line, () => this.#ended(line));
    // A close follows.
    socket.onerror = () => {};
    this.#begin(line, sync);
  }

  /** Asks for what was missed, and says what could not be said before. */
  #begin(line: Line, sync: Action): void {
    line.replay = this.#environment.now() + ANSWER_WITHIN;
    this.#say(sync);
    if (this.#appState) {
      this.#say({ action: "state", state: this.#appState });
    }
    this.#sayUnsaid();
  }

  #sayUnsaid(): void {
    for (const action of this.#confirmations.takeUnsaid()) {
      this.#say(action);
    }
  }

  /** Says it on the connection that there is, and keeps it otherwise. */
  #say(action: Action): void {
    if (this.#line?.socket.readyState === 1) {
      this.#line.socket.send(JSON.stringify(action));
      this.#confirmations.said(action, this.#environment.now());
    } else {
      this.#confirmations.keep(action);
    }
  }

  // -- Losing --------------------------------------------------------------------------------------------------------

  #ended(line: Line): void {
    if (line === this.#old?.line) {
      // Its successor is there.
      this.#old = undefined;
    } else if (line === this.#line) {
      this.#lose("closed");
    }
  }

  #lose(reason: string, after?: number): void {
    if (this.#line) {
      leave(this.#line.socket);
    }
    this.#line = undefined;
    if (!this.#old || this.#old.leaves !== undefined) {
      this.#lost(reason, after);
      return;
    }
    // The successor failed before it had proved itself, and what it was to replace is still there.
    const { line } = this.#old;
    const now = this.#environment.now();
    this.#old = undefined;
    this.#line = line;
    line.pinged = undefined;
    line.pong = undefined;
    line.ping = now;
    this.#rollOverLater(line, after);
    this.#confirmations.doubt(now, this.#taken);
    this.#begin(line, this.#inbox.rolledOver());
  }

  #lost(reason: string, after?: number): void {
    this.#end();
    const now = this.#environment.now();
    this.#confirmations.doubt(now, this.#taken);
    const retryIn = this.#pause(after);
    this.#retry = now + retryIn;
    this.#listener.state({ state: "waiting", reason, retryIn });
  }

  /** How long to wait before the next attempt. The service may have asked for a window of its own. */
  #pause(after = 0): number {
    const window = Math.max(windowOf(this.#attempt), Math.min(after, LONGEST));
    this.#attempt += 1;
    return spread(window, this.#environment.random());
  }

  #rollOverLater(line: Line, after?: number): void {
    line.rollover = this.#environment.now() + this.#pause(after);
  }

  // -- Rolling over --------------------------------------------------------------------------------------------------

  #dialSuccessor(): void {
    this.#dial(this.#inQuery, (socket) => {
      const line = this.#line;
      if (!line || !socket) {
        // The old one still serves; if it ends before the next attempt, that is an ordinary loss.
        if (line) {
          this.#rollOverLater(line);
        }
        return;
      }
      this.#confirmations.doubt(this.#environment.now(), this.#taken);
      this.#old = { line };
      this.#greet(socket, this.#inbox.rolledOver());
    });
  }

  /**
   * Leaves the old connection once the new one has been heard and the gap is closed. What was posted to the old one
   * meanwhile is read until it ends.
   */
  #part(): void {
    if (this.#old && this.#old.leaves === undefined && this.#line?.heard !== undefined && !this.#inbox.awaitsReplay) {
      this.#old.leaves = this.#environment.now() + CLOSE_WITHIN;
      this.#old.line.socket.close();
    }
  }

  // -- Time ----------------------------------------------------------------------------------------------------------

  #arm(): void {
    this.#environment.clearTimeout(this.#timer);
    if (this.#closed) {
      return;
    }
    this.#part();
    const line = this.#line;
    const deadlines = [this.#retry, this.#old?.leaves, line?.ping, line?.pong, line?.replay, line?.repeat, line?.rollover];
    const next = Math.min(...deadlines.map((deadline) => deadline ?? Infinity));
    if (next < Infinity) {
      this.#timer = this.#environment.setTimeout(() => this.#tick(), Math.max(0, next - this.#environment.now()));
    }
  }

  #tick(): void {
    const now = this.#environment.now();
    const due = (deadline: number | undefined): boolean => deadline !== undefined && deadline <= now;
    if (due(this.#retry)) {
      this.#connect();
    }
    if (this.#old && due(this.#old.leaves)) {
      leave(this.#old.line.socket);
      this.#old = undefined;
    }
    const line = this.#line;
    if (line) {
      if (due(line.rollover)) {
        line.rollover = undefined;
        // One at a time.
        if (!this.#dialing && (!this.#old || this.#old.leaves !== undefined)) {
          this.#dialSuccessor();
        }
      }
      this.#tickOf(line, now, due);
    }
    this.#arm();
  }

  #tickOf(line: Line, now: number, due: (deadline: number | undefined) => boolean): void {
    if (due(line.pong)) {
      this.#lose("silent");
      return;
    }
    if (due(line.replay)) {
      line.replay = undefined;
      this.#carryOut(this.#inbox.replayOverdue());
    }
    if (due(line.repeat)) {
      line.repeat = undefined;
      line.repeats += 1;
      this.#confirmations.doubt(now, this.#taken);
      this.#sayUnsaid();
      line.summedUp = undefined;
      this.#sumUp(line, this.#taken);
    }
    if (due(line.ping)) {
      line.ping = now + NEXT_PING;
      // The first unanswered one counts, however many follow it.
      line.pinged ??= now;
      line.pong ??= now + ANSWER_WITHIN;
      this.#say({ action: "ping" });
    }
  }

  // -- Hearing -------------------------------------------------------------------------------------------------------

  #queue(line: Line, work: () => void | Promise<void>): void {
    line.work = line.work.then(work).then(() => this.#arm()).catch((cause) => this.#listener.error(failure(cause)));
  }

  #serves(line: Line): boolean {
    return !this.#closed && (line === this.#line || line === this.#old?.line);
  }

  async #receive(line: Line, data: unknown): Promise<void> {
    if (!this.#serves(line)) {
      return;
    }
    const asked = inClear(data);
    if (asked) {
      // What a connection says of itself no longer matters when its successor is there.
      if (line === this.#line) {
        this.#lose(asked.code, asked.after * 1_000);
      }
      return;
    }
    let frame: Frame;
    try {
      frame = read(await open(this.#identity, typeof data === "string" ? data : ""), this.#identity.id);
    } catch (error) {
      this.#unreadable(line, failure(error));
      return;
    }
    if (frame.type === "synced") {
      await this.#fillIn(frame.posted && frame);
    }
    if (!this.#serves(line)) {
      return;
    }
    if (line === this.#line) {
      this.#hear(line, frame, data as string);
    } else {
      this.#take(frame, data as string);
    }
  }

  #unreadable(line: Line, error: TidingsError): void {
    this.#listener.error(error);
    const now = this.#environment.now();
    if (line.replay !== undefined) {
      // Probably the gateway's own error in place of the replay: ask again soon, not at the deadline.
      line.replay = Math.min(line.replay, now + REPLAY_RETRY);
    }
    // Or in place of the silence that an acknowledgement is answered with.
    line.repeat ??= now + REPLAY_RETRY * 2 ** Math.min(line.repeats, 6);
  }

  /**
   * A replay passes over what another page of this device has confirmed. What that page kept of it comes before the
   * answer, as if it had been replayed.
   */
  async #fillIn(end: Position | undefined): Promise<void> {
    const after = this.#inbox.cursor;
    if (!end || !after || compare(after, end) >= 0) {
      return;
    }
    for (const sealed of await this.#listener.kept(after, end)) {
      try {
        const frame = read(await open(this.#identity, sealed), this.#identity.id);
        if (frame.type === "message" && compare(placeOf(frame), this.#inbox.cursor) > 0) {
          this.#carryOut(this.#inbox.frame(frame, sealed));
        }
      } catch {
        // Kept under former keys.
      }
    }
  }

  #hear(line: Line, frame: Frame, sealed: string): void {
    const now = this.#environment.now();
    line.heard = now;
    line.pong = undefined;
    if (frame.type === "pong") {
      this.#pingWasAnswered(line);
      line.ping = now + Math.min(Math.max(frame.nextPing, 1) * 1_000, LAST_PING);
      this.#clock.heard(frame.serverTime);
    } else if (frame.type === "reconnect") {
      const after = frame.after * 1_000;
      if (frame.code !== "rollover") {
        this.#lose(frame.code, after);
        return;
      }
      // In place of a pong, and no loss: this connection serves until its successor does.
      this.#pingWasAnswered(line);
      const at = now + spread(after, this.#environment.random());
      line.rollover = Math.min(line.rollover ?? at, at);
    }
    const deadline = line.replay;
    this.#take(frame, sealed);
    if (frame.type === "synced" && line.replay !== undefined && line.replay === deadline) {
      // It was no new question, so the answer was not enough.
      line.replay = Math.min(deadline, now + STRAGGLE);
    }
    if (frame.type === "pong") {
      this.#sumUp(line, frame);
    }
  }

  #pingWasAnswered(line: Line): void {
    if (line.pinged !== undefined) {
      this.#confirmations.arrivedBefore(line.pinged);
      line.pinged = undefined;
    }
  }

  #take(frame: Frame, sealed: string): void {
    if (frame.type === "error") {
      this.#listener.error(new TidingsError(frame.code, frame.detail));
    } else if (frame.type === "announcement") {
      this.#listener.announcement(frame);
    }
    this.#carryOut(this.#inbox.frame(frame, sealed));
  }

  /**
   * Says up to where the app has taken everything, where that has moved on: once on each connection, and with each
   * heartbeat. A single acknowledgement may be lost without a word, in the service too.
   */
  #sumUp(line: Line, mailbox: Position | undefined): void {
    const taken = this.#taken;
    if (taken && taken.epoch === mailbox?.epoch && compare(taken, line.summedUp) > 0) {
      line.summedUp = taken;
      this.#say(ack(taken));
    }
  }

  /** All that is for the app is handed on, whatever becomes of the connection: the inbox has passed it. */
  #carryOut(steps: readonly Step[]): void {
    for (const step of steps) {
      switch (step.do) {
        case "say":
          if (this.#line && step.action.action === "sync") {
            this.#line.replay = this.#environment.now() + ANSWER_WITHIN;
          }
          this.#say(step.action);
          break;
        case "ackAgain":
          if (this.#options.automatic) {
            this.#say(ack(step.receipt));
          }
          break;
        case "deliver":
          this.#listener.deliver(step.received);
          break;
        case "synced": {
          // Only now the connection has proved its worth.
          this.#attempt = 0;
          const { epoch, seq, recovered } = step.synced;
          this.#listener.state({ state: "online" });
          this.#listener.synced({ epoch, seq }, recovered ? undefined : { from: step.after, to: { epoch, seq } });
          if (this.#line && recovered) {
            this.#sumUp(this.#line, step.synced);
          }
          break;
        }
        case "giveUp":
          this.#lose("silent");
          break;
      }
    }
    if (this.#line && !this.#inbox.awaitsReplay) {
      this.#line.replay = undefined;
    }
  }
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
  return cause instanceof TidingsError ? cause : new TidingsError("unexpected", String(cause), { cause });
}
