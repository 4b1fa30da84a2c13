import { type Action, ack, type Receipt } from "./actions.js";
import { spread, STEADY, windowOf } from "./backoff.js";
import type { ServiceClock } from "./clock.js";
import { confirmations, isConfirmation } from "./confirmations.js";
import { closing, leave } from "./dial.js";
import { type Environment, OPEN, type Socket } from "./environment.js";
import { TidingsError } from "./errors.js";
import { type Frame, inClear, unseal } from "./frames.js";
import { Inbox, type Step } from "./inbox.js";
import type { Listener } from "./listener.js";
import { type ConnectionOptions, type Opener, opener } from "./opening.js";
import { type Cursor, compare, later, type Position, placeOf } from "./position.js";
import * as times from "./times.js";
import { NEVER } from "./times.js";

/** Keeps a socket open and carries out the steps of the inbox. */
export class Connection {
  readonly #environment: Environment;
  readonly #clock: ServiceClock;
  readonly #automatic: boolean;
  readonly #listener: Listener;
  readonly #inbox: Inbox;
  readonly #opener: Opener;
  readonly #confirmed = confirmations();
  /**
   * The app has taken everything up to here, in this run or a former one. An app that acknowledges by hand has decided
   * about its messages.
   */
  #taken: Position | undefined;
  /** The socket that actions are sent on. */
  #current: Socket | undefined;
  /** The former socket, until its successor has proved itself. It is still read. */
  #old: Socket | undefined;
  #disarm: (() => void) | undefined;
  #closed = false;
  /** Attempts to connect since the last progress, or since a connection that lasted. */
  #attempt = 0;

  // The times at which these are due:
  /** The next attempt to connect. */
  #retry = NEVER;
  /** The next heartbeat. */
  #ping = NEVER;
  /** The answer to the heartbeat. */
  #pong = NEVER;
  /** The answer to a replay, or the messages that it counts. */
  #replay = NEVER;
  /** The repetition of actions in doubt. */
  #repeat = NEVER;
  /** The sum of what the app has taken, for acknowledgements that were not sent one by one. */
  #sum = NEVER;
  /** The opening of a successor. */
  #rollover = NEVER;
  /** The end of the time after which the connection has lasted, over all its sockets. */
  #steady = NEVER;

  // Of the current connection:
  /** When a frame for this device last arrived on it. */
  #received = NEVER;
  /** When the oldest ping without an answer was sent. */
  #pinged = NEVER;
  /** When a message was acknowledged last. */
  #acked = -NEVER;
  /** The last sum that was sent on it: the position up to which the app has taken everything. */
  #summedUp: Position | undefined;
  /** How often actions in doubt were sent again. */
  #repeats = 0;

  /** Connects, and stays connected. */
  constructor(
    environment: Environment,
    clock: ServiceClock,
    options: ConnectionOptions,
    cursor: Cursor,
    listener: Listener,
  ) {
    const begin = placeOf(cursor);
    this.#environment = environment;
    this.#clock = clock;
    this.#automatic = options.automatic;
    this.#listener = listener;
    this.#inbox = new Inbox(begin, cursor.announced);
    this.#opener = opener(environment, clock, options, listener);
    this.#taken = options.automatic && begin?.seq ? begin : undefined;
    this.#openFirst();
  }

  /** Sends an action, now or on the next connection. */
  perform(action: Action): void {
    if (isConfirmation(action)) {
      this.#inbox.acknowledged(action);
    }
    if (action.action === "ack") {
      if (this.#automatic || action.id === undefined) {
        this.#taken = later(this.#taken, placeOf(action));
      }
      this.#acknowledge(action);
    } else {
      this.#send(action);
    }
    this.#arm();
  }

  /** The network may be back: connects at once, or checks whether the connection still lives. */
  wake(): void {
    const at = this.#environment.now();
    if (this.#retry < NEVER) {
      this.#retry = at;
    } else if (this.#current && at - this.#received > times.FRESH && this.#pinged === NEVER) {
      this.#ping = at;
    }
    this.#arm();
  }

  /** Closes the socket. Resolves when the service has answered. */
  close(): Promise<unknown> {
    const socket = this.#current;
    this.#closed = true;
    if (this.#sum < NEVER) {
      this.#sumUp(this.#inbox.cursor);
    }
    this.#leaveAll();
    return closing(socket);
  }

  // -- Opening -------------------------------------------------------------------------------------------------------

  #openFirst(): void {
    this.#retry = NEVER;
    this.#listener.changed({ state: "connecting" });
    this.#opener.openFirst((socket) => {
      if (socket) {
        this.#steady = this.#environment.now() + STEADY;
        this.#greet(socket, this.#inbox.connected());
      } else {
        this.#lost("unreachable");
      }
      this.#arm();
    });
  }

  #openSuccessor(): void {
    this.#opener.openSuccessor((socket) => {
      // If the connection was lost meanwhile, this attempt was given up.
      if (socket) {
        this.#old = this.#current;
        this.#greet(socket, this.#inbox.rolledOver());
      } else {
        // The old socket still serves. If it ends before the next attempt, that is an ordinary loss.
        this.#rollover = this.#environment.now() + this.#pause();
      }
      this.#arm();
    });
  }

  #greet(socket: Socket, first: Step[]): void {
    let work: Promise<unknown> = Promise.resolve();
    // Frames are handled one by one, and before the close.
    const queue = (next: () => unknown): void => {
      work = work
        .then(next)
        .then(() => this.#arm())
        .catch(this.#listener.report);
    };
    socket.onmessage = ({ data }) => queue(() => this.#receive(socket, data));
    socket.onclose = () => queue(() => this.#ended(socket));
    // A close follows.
    socket.onerror = () => {};
    this.#serveOn(socket, first);
  }

  /** Moves to this socket: requests missed messages, and sends the actions that could not be sent before. */
  #serveOn(socket: Socket, first: Step[]): void {
    this.#current = socket;
    this.#ping = this.#environment.now() + times.FIRST_PING * (1 - this.#environment.random() / 4);
    this.#rollover = this.#environment.now() + times.ROLLOVER_AFTER * (1 - this.#environment.random() / 4);
    this.#pong = this.#replay = this.#repeat = this.#sum = this.#received = this.#pinged = NEVER;
    this.#acked = -NEVER;
    this.#summedUp = undefined;
    this.#repeats = 0;
    this.#carryOut(first);
    const state = this.#listener.appState();
    if (state) {
      this.#send({ action: "state", state });
    }
    this.#sendAgain();
  }

  /** Sends actions that could not be sent before, and those that may be lost. */
  #sendAgain(): void {
    this.#confirmed.doubt(this.#environment.now(), this.#taken);
    for (const action of this.#confirmed.takeUnsent()) {
      this.#send(action);
    }
  }

  /** Sends an action on the current connection, or keeps it if there is none. */
  #send(action: Action): void {
    if (this.#current?.readyState === OPEN) {
      this.#current.send(JSON.stringify(action));
      this.#confirmed.sent(action, this.#environment.now());
    } else {
      this.#confirmed.keep(action);
    }
  }

  /**
   * Acknowledges a message. If the sum covers it, it is sent at once when it comes alone, and as a sum when others come
   * soon: a hundred messages of a replay take one action, not a hundred requests to a service that may be overloaded.
   */
  #acknowledge(receipt: Receipt): void {
    const at = this.#environment.now();
    if (!this.#automatic || compare(receipt, this.#taken) > 0 || receipt.epoch !== this.#inbox.cursor?.epoch) {
      this.#send(ack(receipt));
    } else if (!this.#current) {
      // The next connection begins with the sum.
    } else if (this.#inbox.awaitsReplay || at < this.#acked + times.ACK_PAUSE) {
      this.#sum = Math.min(this.#sum, at + times.ACK_PAUSE);
    } else {
      this.#acked = at;
      this.#send(ack(receipt));
    }
  }

  // -- Losing --------------------------------------------------------------------------------------------------------

  #ended(socket: Socket): void {
    if (socket === this.#old) {
      // Its successor serves.
      this.#old = undefined;
    } else if (socket === this.#current) {
      this.#lose("closed");
    }
  }

  #lose(reason: string, asked?: number): void {
    const before = this.#old;
    if (!before) {
      this.#lost(reason, asked);
      return;
    }
    // The successor failed before it had proved itself, and the old socket still serves.
    leave(this.#current);
    this.#old = undefined;
    this.#serveOn(before, this.#inbox.rolledOver());
    this.#ping = this.#environment.now();
    this.#rollover = this.#ping + this.#pause(asked);
  }

  #lost(reason: string, asked?: number): void {
    const at = this.#environment.now();
    if (this.#steady <= at) {
      this.#attempt = 0;
    }
    this.#leaveAll();
    this.#confirmed.doubt(at, this.#taken);
    const retryIn = this.#pause(asked);
    this.#retry = at + retryIn;
    this.#listener.changed({ state: "waiting", reason, retryIn });
  }

  /** The pause before the next attempt. The service may have asked for a longer window, in seconds. */
  #pause(asked?: number): number {
    return spread(windowOf(this.#attempt++, asked), this.#environment.random());
  }

  #leaveAll(): void {
    this.#disarm?.();
    this.#opener.giveUp();
    leave(this.#current);
    leave(this.#old);
    this.#current = this.#old = undefined;
    this.#retry = this.#ping = this.#pong = this.#replay = this.#repeat = this.#sum = NEVER;
    this.#rollover = this.#steady = NEVER;
  }

  // -- Time ----------------------------------------------------------------------------------------------------------

  #arm(): void {
    this.#disarm?.();
    if (this.#closed) {
      return;
    }
    if (this.#old && this.#received < NEVER && !this.#inbox.awaitsReplay) {
      // A frame has arrived on the new connection, and the gap is closed. Messages that are posted to the old one from
      // now on are posted to the new one, too.
      leave(this.#old);
      this.#old = undefined;
      this.#attempt = 0;
    }
    const next = Math.min(this.#retry, this.#ping, this.#pong, this.#replay, this.#repeat, this.#sum, this.#rollover);
    if (next < NEVER) {
      this.#disarm = this.#environment.after(Math.max(0, next - this.#environment.now()), () => this.#tick());
    }
  }

  #tick(): void {
    const at = this.#environment.now();
    if (this.#retry <= at) {
      this.#openFirst();
    }
    if (this.#pong <= at) {
      this.#lose("silent");
    }
    if (this.#rollover <= at) {
      this.#rollover = NEVER;
      // One rollover at a time.
      if (!this.#old) {
        this.#openSuccessor();
      }
    }
    if (this.#repeat <= at) {
      this.#repeat = NEVER;
      this.#summedUp = undefined;
      this.#repeats += 1;
      this.#sendAgain();
      this.#sum = at;
    }
    if (this.#sum <= at) {
      this.#sum = NEVER;
      this.#acked = at;
      this.#sumUp(this.#inbox.cursor);
    }
    if (this.#ping <= at) {
      this.#ping = at + times.NEXT_PING;
      // The first unanswered ping sets the deadline.
      this.#pinged = Math.min(this.#pinged, at);
      this.#pong = Math.min(this.#pong, at + times.ANSWER_WITHIN);
      this.#send({ action: "ping" });
    }
    if (this.#replay <= at) {
      this.#replay = NEVER;
      this.#carryOut(this.#inbox.replayOverdue());
    }
    this.#arm();
  }

  // -- Receiving -----------------------------------------------------------------------------------------------------

  #serves(socket: Socket): boolean {
    return !this.#closed && (socket === this.#current || socket === this.#old);
  }

  async #receive(socket: Socket, data: unknown): Promise<void> {
    if (!this.#serves(socket)) {
      return;
    }
    const asked = inClear(data);
    if (asked) {
      // Frames about an old connection itself no longer matter.
      if (socket === this.#current) {
        this.#lose(asked.code, asked.after);
      }
      return;
    }
    const frame = await unseal(this.#listener.identity(), data).catch((error) => {
      this.#listener.report(error);
      if (socket === this.#current) {
        this.#unreadable();
      }
    });
    if (frame?.type === "synced") {
      await this.#fillIn(frame);
    }
    if (frame && this.#serves(socket)) {
      this.#handle(socket === this.#current, frame, data as string);
    }
  }

  #unreadable(): void {
    if (this.#inbox.awaitsReplay) {
      // Probably the gateway's own error in place of the replay: request it again soon, not at the deadline.
      this.#replay = Math.min(this.#replay, this.#environment.now() + times.REPLAY_RETRY);
    }
    // Or the gateway's error about an acknowledgement, which has no answer if it succeeds.
    this.#repeat = Math.min(
      this.#repeat,
      this.#environment.now() + times.REPLAY_RETRY * 2 ** Math.min(this.#repeats, 6),
    );
  }

  /**
   * A replay skips messages that another page of this device has confirmed. The frames that this page kept come before
   * the answer, as if they had been replayed.
   */
  async #fillIn(end: Position): Promise<void> {
    const { cursor } = this.#inbox;
    if (!cursor || compare(cursor, end) >= 0) {
      return;
    }
    for (const sealed of await this.#listener.shownElsewhere(cursor, end)) {
      try {
        const frame = await unseal(this.#listener.identity(), sealed);
        if (frame.type === "message" && compare(placeOf(frame), this.#inbox.cursor) > 0) {
          this.#carryOut(this.#inbox.frame(frame, sealed));
        }
      } catch {
        // The frame was sealed under former keys.
      }
    }
  }

  /** Handles a frame of the current connection or of the old one. */
  #handle(isCurrent: boolean, frame: Frame, sealed: string): void {
    if (frame.type === "error") {
      this.#listener.report(new TidingsError(frame.code, frame.detail));
    }
    if (isCurrent) {
      this.#received = this.#environment.now();
      this.#pong = NEVER;
      if (frame.type === "pong") {
        this.#pingWasAnswered();
        this.#ping = this.#received + Math.min(Math.max(frame.nextPing, 1) * 1_000, times.LAST_PING);
        this.#clock.correct(frame.serverTime);
      } else if (frame.type === "reconnect") {
        const { code, after } = frame;
        if (code !== "rollover") {
          this.#lose(code, after);
          return;
        }
        // It replaces a pong and is not a loss: this connection serves until its successor does.
        this.#pingWasAnswered();
        this.#rollover = Math.min(this.#rollover, this.#received + spread(after * 1_000, this.#environment.random()));
      }
    }
    const due = this.#replay;
    this.#carryOut(this.#inbox.frame(frame, sealed));
    if (isCurrent && frame.type === "synced" && this.#inbox.awaitsReplay && this.#replay === due) {
      // There is no new request, so the answer was not complete.
      this.#replay = Math.min(due, this.#environment.now() + times.STRAGGLE);
    } else if (isCurrent && frame.type === "pong") {
      this.#sumUp(frame);
    }
  }

  #pingWasAnswered(): void {
    if (this.#pinged < NEVER) {
      this.#confirmed.arrivedBefore(this.#pinged);
      this.#pinged = NEVER;
    }
  }

  /**
   * Sends the sum, if it has advanced: once on each connection and with each heartbeat, because a single
   * acknowledgement may be lost silently, in the service too.
   */
  #sumUp(mailbox: Position | undefined): void {
    if (this.#taken && this.#taken.epoch === mailbox?.epoch && compare(this.#taken, this.#summedUp) > 0) {
      this.#summedUp = this.#taken;
      this.#send(ack(this.#taken));
    }
  }

  /** Everything for the app is delivered even if the connection fails, because the inbox has passed it. */
  #carryOut(steps: readonly Step[]): void {
    for (const step of steps) {
      switch (step.do) {
        case "sync":
          this.#replay = this.#current ? this.#environment.now() + times.ANSWER_WITHIN : NEVER;
          this.#send({ action: "sync", ...step.after, announced: step.announced });
          break;
        case "ackAgain":
          // The last sum seems to be lost.
          this.#summedUp = undefined;
          if (this.#automatic || step.confirmed) {
            this.#acknowledge(step.receipt);
          }
          break;
        case "deliver":
          // There is progress, even if connections are cut before a page is complete.
          this.#attempt = 0;
          this.#listener.enqueue(step.received);
          break;
        case "announce":
          this.#attempt = 0;
          this.#listener.announce(step);
          break;
        case "synced": {
          const { synced } = step;
          const to = placeOf(synced) as Position;
          this.#listener.changed({ state: "online" });
          this.#listener.enqueue({ slot: to, gap: synced.recovered ? undefined : { from: step.after, to } });
          if (this.#current && synced.recovered) {
            this.#sumUp(to);
          }
          break;
        }
        case "giveUp":
          this.#lose("silent");
          break;
      }
    }
    if (!this.#inbox.awaitsReplay) {
      this.#replay = NEVER;
    }
  }
}
