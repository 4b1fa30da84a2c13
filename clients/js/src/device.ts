import type { Receipt } from "./actions.js";
import { spread, windowOf } from "./backoff.js";
import { type ServiceClock, serviceClock } from "./clock.js";
import { Connection } from "./connection.js";
import { type Delivery, deliver } from "./delivery.js";
import { type Environment, REAL, type SocketClass } from "./environment.js";
import { caused, failure, TidingsError } from "./errors.js";
import { unsealMessage } from "./frames.js";
import { type Identity, identify } from "./identity.js";
import { receiptOf } from "./inbox.js";
import type { State, StateChange } from "./listener.js";
import type { DeviceEvents, DeviceOptions, Handler, InboxMessage, InboxPage } from "./options.js";
import type { Cursor, Position } from "./position.js";
import { type CursorStore, indexedDbStore, memoryStore, type SharedStore } from "./store.js";
import { lead } from "./tabs.js";
import { connectToken } from "./tokens.js";
import type { AppState, InboxAnswer, Message, Preferences, Unread } from "./wire.js";

/** How long the app's `registration` function may take, the store for each question, and a goodbye, in milliseconds. */
const REGISTER_WITHIN = 30_000;
const STORE_WITHIN = 5_000;
const CLOSE_WITHIN = 2_000;
/** However often a device is woken, it wakes no more often than this, in milliseconds. */
const FLOOR = 1_000;

/** A device: stays connected, and hands its messages to the app. */
export class Device {
  readonly #options: DeviceOptions;
  readonly #environment: Environment;
  readonly #clock: ServiceClock;
  readonly #handlers: { [Name in keyof DeviceEvents]: Set<Handler<DeviceEvents[Name]>> } = {
    message: new Set(),
    announcement: new Set(),
    state: new Set(),
    gap: new Set(),
    error: new Set(),
  };
  readonly #closing = new AbortController();
  readonly #WebSocket: SocketClass;
  #store: CursorStore & Partial<SharedStore>;
  #identity: Identity | undefined;
  #connection: Connection | undefined;
  /** Messages, and announcements: neither waits for the other. */
  #deliveries: readonly Delivery[] = [];
  #appState: AppState | undefined;
  #state: State = "closed";
  #asking = false;
  /** Ends the pause before the next attempt to register. */
  #resume: (() => void) | undefined;
  /** Until when it is not woken. */
  #asleep = 0;
  #release: (() => void) | undefined;
  #ended: Promise<void> | undefined;

  /**
   * A device that does nothing yet. Throws a {@link TidingsError} `bad_options` where it never could. `environment` is for
   * tests.
   */
  constructor(options: DeviceOptions, environment: Environment = REAL) {
    const { url, tabs, store = globalThis.indexedDB ? "indexeddb" : "memory" } = options;
    if (!/^wss?:\/\/[^?#]+$/.test(url)) {
      throw new TidingsError("bad_options", `no WebSocket API: ${url}`);
    }
    const { WebSocket = globalThis.WebSocket } = options;
    if (!WebSocket) {
      throw new TidingsError("bad_options", "no WebSocket class");
    }
    if (!globalThis.crypto?.subtle) {
      throw new TidingsError("bad_options", "no secure context");
    }
    this.#options = options;
    this.#WebSocket = WebSocket;
    this.#environment = environment;
    this.#clock = serviceClock(environment);
    this.#store =
      typeof store === "object" ? store : store === "memory" ? memoryStore() : indexedDbStore(tabs !== "leader");
  }

  /** The device's id, once it is known. */
  get id(): string | undefined {
    return this.#identity?.id;
  }

  /** What the device is doing. `closed` before the start, too. */
  get state(): State {
    return this.#state;
  }

  /** Listens to an event; the answer stops it. Messages wait until somebody listens to them, and so do announcements. */
  on<Name extends keyof DeviceEvents>(name: Name, handler: Handler<DeviceEvents[Name]>): () => void {
    // A function of its own, so that the same one may listen twice.
    const own = (event: DeviceEvents[Name]): unknown => handler(event);
    this.#handlers[name].add(own);
    for (const delivery of this.#deliveries) {
      delivery.resume();
    }
    return () => this.#handlers[name].delete(own);
  }

  /**
   * Messages one by one, instead of `on("message")`. A message counts as taken when the loop asks for the next one, or
   * ends. Ends when the device is closed.
   */
  async *messages(): AsyncGenerator<Message, void> {
    const { signal } = this.#closing;
    let ready: Message | undefined;
    let taken = (): void => {};
    let wake = (): void => {};
    signal.addEventListener("abort", () => wake());
    const off = this.on("message", (message) => {
      ready = message;
      wake();
      return new Promise<void>((resolve) => {
        taken = resolve;
      });
    });
    try {
      // What was handed over is shown, even where the device is closed in the same moment.
      while (ready || !signal.aborted) {
        if (ready) {
          yield ready;
          ready = undefined;
          taken();
        } else {
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
        }
      }
    } finally {
      off();
      taken();
    }
  }

  /** Connects, and stays connected until {@link Device.close}. */
  start(): void {
    const { signal } = this.#closing;
    if (this.#state !== "closed" || signal.aborted) {
      return;
    }
    const wake = (): void => {
      if (!globalThis.document?.hidden) {
        this.wake();
      }
    };
    globalThis.addEventListener?.("online", () => this.wake(), { signal });
    globalThis.document?.addEventListener("visibilitychange", wake, { signal });
    this.#tell({ state: "connecting" });
    this.#run().catch((error) => {
      if (!signal.aborted) {
        this.#report(error);
        this.#tell({ state: "closed", reason: failure(error).code });
      }
    });
  }

  /** The network may be back: tries at once. By itself the device does so when the page becomes visible or online. */
  wake(): void {
    const now = this.#environment.now();
    if (now >= this.#asleep) {
      this.#asleep = now + FLOOR;
      this.#resume?.();
      this.#connection?.wake();
    }
  }

  /** Says goodbye, and ends the device for good. */
  close(): Promise<void> {
    this.#ended ??= this.#close();
    return this.#ended;
  }

  /**
   * Acknowledges a message. Kept and repeated until a connection carries it. A message that is not kept has nobody who
   * waits for it.
   */
  ack(message: Message): void {
    this.#confirm("ack", receiptOf(message));
  }

  /**
   * Acknowledges everything up to a place, as an app may that deals with messages in their order. It is said again on every
   * new connection, and so covers what is lost on the way. With `ack: "automatic"` the client does this by itself.
   */
  ackUpTo({ epoch, seq }: Position): void {
    this.#confirm("ack", { epoch, seq });
  }

  /** Says that a person has read a message. */
  read(message: Message): void {
    this.#confirm("read", receiptOf(message));
  }

  #confirm(action: "ack" | "read", receipt: Receipt | undefined): void {
    if (receipt) {
      this.#connection?.say({ action, ...receipt });
    }
  }

  /** Says whether a person is looking at the app, on this connection and those that follow it. */
  setState(state: AppState): void {
    this.#appState = state;
    this.#connection?.say({ action: "state", state });
  }

  /** A page of the user's inbox, newest first. `limit` is the number of messages. Throws a {@link TidingsError}. */
  async inbox(query: { limit?: number; before?: string } = {}): Promise<InboxPage> {
    const page: InboxAnswer = await this.#ask(`inbox?${new URLSearchParams(query as Record<string, string>)}`);
    const messages: InboxMessage[] = [];
    try {
      for (const { frame, read } of page.messages) {
        try {
          const message = await unsealMessage(this.#identity as Identity, frame);
          messages.push({ ...message, read });
        } catch (error) {
          this.#report(error);
        }
      }
    } catch (cause) {
      throw failure(cause);
    }
    return { ...page, messages };
  }

  /** How many messages nobody has read; counted up to 100, and `more` beyond. Throws a {@link TidingsError}. */
  unread(): Promise<Unread> {
    return this.#ask("inbox/unread");
  }

  /** What the user wants to be told of around the socket. Throws a {@link TidingsError}. */
  preferences(): Promise<Preferences> {
    return this.#ask("preferences");
  }

  /** Sets what the user wants to be told of, in place of what was set before. Throws a {@link TidingsError}. */
  setPreferences(wanted: Preferences): Promise<Preferences> {
    return this.#ask("preferences", wanted);
  }

  /** Ends the device, and forgets its keys, its cursor and what was shown: for when a person logs out. */
  async forget(): Promise<void> {
    await this.close();
    if (this.#identity) {
      await this.#store.forget?.(this.#identity.owner, this.#names(this.#identity));
    }
  }

  // -- Beginning and ending ------------------------------------------------------------------------------------------

  async #run(): Promise<void> {
    const { remember, registration } = this.#options;
    let identity: Identity | undefined;
    if (remember && typeof registration === "function") {
      identity = await this.#keep((store) => store.identity?.(`name:${remember}`));
    }
    for (let attempt = 0; !identity; attempt += 1) {
      try {
        identity = await this.#register();
      } catch (error) {
        if (typeof registration === "object") {
          throw error;
        }
        this.#report(error);
        const retryIn = spread(windowOf(attempt), this.#environment.random());
        this.#tell({ state: "waiting", reason: "registration_failed", retryIn });
        await new Promise<void>((resolve) => {
          const cancel = this.#environment.after(retryIn, resolve);
          this.#resume = () => {
            cancel();
            resolve();
          };
        });
        this.#closing.signal.throwIfAborted();
        this.#tell({ state: "connecting" });
      }
    }
    await this.#begin(identity);
  }

  async #register(): Promise<Identity> {
    let { registration } = this.#options;
    if (typeof registration === "function") {
      try {
        registration = await this.#within(REGISTER_WITHIN, registration());
      } catch (cause) {
        throw caused("registration_failed", cause);
      }
    }
    const identity = await identify(registration);
    if (registration.serverTime !== undefined) {
      this.#clock.heard(registration.serverTime);
    }
    await this.#keep((store) => store.keepIdentity?.(identity, this.#names(identity)));
    return identity;
  }

  /** Under which names an identity is kept. */
  #names({ id }: Identity): string[] {
    const { remember } = this.#options;
    return [`device:${id}`, ...(remember ? [`name:${remember}`] : [])];
  }

  async #begin(identity: Identity): Promise<void> {
    const { tabs, ack } = this.#options;
    const { owner } = identity;
    const { signal } = this.#closing;
    const locks = globalThis.navigator?.locks;
    this.#identity = identity;
    if (tabs === "leader" && locks) {
      this.#tell({ state: "standby" });
      this.#release = await lead(locks, `tidings:${identity.id}`, signal);
    }
    let cursor: Cursor = (await this.#keep((store) => store.load(owner))) ?? {};
    if (signal.aborted) {
      this.#release?.();
      return;
    }
    const automatic = ack !== "manual";
    let saving: Promise<unknown> = Promise.resolve();
    const deliveryOf = (name: "message" | "announcement"): Delivery =>
      deliver({
        listens: () => this.#handlers[name].size > 0,
        claim: async (place, sealed) =>
          (await this.#keep((store) => store.claim?.(owner, place, sealed, "page"))) ?? true,
        show: (event) =>
          Promise.all([...this.#handlers[name]].map((handler) => this.#call(name, handler as Handler<unknown>, event))),
        save: (moved) => {
          cursor = { ...cursor, ...moved };
          // One at a time: the store may be a file.
          saving = saving.then(() => this.#keep((store) => store.save(owner, cursor)));
          return saving;
        },
        wasShown: (message) => automatic && this.ack(message),
        gap: (gap) => this.#emit("gap", gap),
      });
    const messages = deliveryOf("message");
    const announcements = deliveryOf("announcement");
    this.#deliveries = [messages, announcements];
    const how = { ...this.#options, WebSocket: this.#WebSocket, automatic };
    this.#connection = new Connection(this.#environment, this.#clock, how, cursor, {
      identity: () => this.#identity as Identity,
      enqueue: messages.enqueue,
      announce: announcements.enqueue,
      tell: (change) => this.#tell(change),
      report: (error) => this.#report(error),
      appState: () => this.#appState,
      refused: () => this.#refused(),
      shownElsewhere: async (after, end) => (await this.#keep((store) => store.kept?.(owner, after, end))) ?? [],
    });
  }

  /** The service may refuse the device: its keys may be old. */
  async #refused(): Promise<void> {
    this.#report(new TidingsError("refused", "openings fail"));
    if (typeof this.#options.registration === "object" || this.#asking) {
      return;
    }
    this.#asking = true;
    try {
      const identity = await this.#register();
      if (identity.owner === this.#identity?.owner) {
        this.#identity = identity;
      } else if (!this.#closing.signal.aborted) {
        // Another user's device, whose mailbox is another one.
        await this.#stop();
        await this.#begin(identity);
      }
    } catch (error) {
      if (!this.#closing.signal.aborted) {
        this.#report(error);
      }
    }
    this.#asking = false;
  }

  async #close(): Promise<void> {
    this.#closing.abort();
    this.#resume?.();
    await this.#stop();
    this.#tell({ state: "closed", reason: "asked" });
  }

  async #stop(): Promise<void> {
    // The next tab must not begin before this one is done. A handler that waits for the end must not wait for itself.
    Promise.all(this.#deliveries.map((delivery) => delivery.finish())).then(this.#release);
    const connection = this.#connection;
    await (connection && this.#within(CLOSE_WITHIN, connection.close()).catch(() => {}));
  }

  // -- Telling -------------------------------------------------------------------------------------------------------

  /** Tells whoever listens. Later, so that nobody interferes with what is being done. */
  #emit<Name extends keyof DeviceEvents>(name: Name, event: DeviceEvents[Name]): void {
    for (const handler of this.#handlers[name]) {
      queueMicrotask(() => this.#call(name, handler, event));
    }
  }

  /** An app that throws does not break its device. */
  async #call<Name extends keyof DeviceEvents>(
    name: Name,
    handler: Handler<DeviceEvents[Name]>,
    event: DeviceEvents[Name],
  ): Promise<void> {
    try {
      await handler(event);
    } catch (cause) {
      // Who listens to errors, and fails, would be told of that for ever.
      if (name === "error" || this.#handlers.error.size === 0) {
        (globalThis.reportError ?? console.error)(cause);
      } else {
        this.#report(caused("handler_failed", cause));
      }
    }
  }

  #tell(change: StateChange): void {
    if (change.state !== this.#state || change.reason) {
      this.#state = change.state;
      this.#emit("state", change);
    }
  }

  #report(error: unknown): void {
    this.#emit("error", failure(error));
  }

  // -- Helpers -------------------------------------------------------------------------------------------------------

  /** Asks the store. One that fails, or does not answer, is not asked again. */
  async #keep<T>(work: (store: CursorStore & Partial<SharedStore>) => Promise<T> | T): Promise<T | undefined> {
    try {
      return await this.#within(STORE_WITHIN, work(this.#store));
    } catch (cause) {
      this.#store = memoryStore();
      this.#report(caused("store_failed", cause));
      return undefined;
    }
  }

  async #within<T>(time: number, work: Promise<T> | T): Promise<T> {
    let cancel: (() => void) | undefined;
    const late = new Promise<never>((_, reject) => {
      cancel = this.#environment.after(time, () => reject(new Error("no answer")));
    });
    try {
      return await Promise.race([work, late]);
    } finally {
      cancel?.();
    }
  }

  /** Asks the HTTP API. Throws the service's own error (RFC 9457), or `unreachable`. */
  async #ask<Answer = Fields>(path: string, wanted?: Preferences): Promise<Answer> {
    const { apiUrl } = this.#options;
    if (!apiUrl) {
      throw new TidingsError("bad_options", "no apiUrl");
    }
    let response: Response;
    let answer: Fields;
    try {
      const token = await connectToken(this.#identity as Identity, this.#clock.now());
      const headers = { authorization: `Bearer ${token}` };
      const more = wanted && { method: "PUT", body: JSON.stringify(wanted) };
      response = await fetch(`${apiUrl}/v1/${path}`, { headers, ...more });
      answer = await response.json();
    } catch (cause) {
      throw caused("unreachable", cause);
    }
    if (!response.ok) {
      // API Gateway itself has other words.
      const { code = "unexpected", detail = response.status, requestId } = answer;
      throw new TidingsError(String(code), String(detail), undefined, requestId as string | undefined);
    }
    return answer as Answer;
  }
}

type Fields = Record<string, unknown>;
