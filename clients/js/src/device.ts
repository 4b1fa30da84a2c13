import { ack, type AppState, type Receipt } from "./actions.js";
import { spread, windowOf } from "./backoff.js";
import { ServiceClock } from "./clock.js";
import { connect, type Connection, failure, type Gap, type State, type StateChange } from "./connection.js";
import { Delivery } from "./delivery.js";
import { Emitter, type Handler } from "./emitter.js";
import { type Environment, REAL, type SocketClass } from "./environment.js";
import { TidingsError } from "./errors.js";
import { type Announcement, type Message, read } from "./frames.js";
import { get } from "./http.js";
import { type Identity, identify, type Registration } from "./identity.js";
import { receiptOf } from "./inbox.js";
import { open } from "./jwe.js";
import type { Position } from "./position.js";
import { type CursorStore, IndexedDbStore, MemoryStore, type SharedStore } from "./store.js";
import { lead } from "./tabs.js";
import { connectToken } from "./tokens.js";

/** How long the app's `registration` function may take, and the store for each question, in milliseconds. */
const REGISTER_WITHIN = 30_000;
const STORE_WITHIN = 5_000;
/** Two attempts to register are never closer than this, in milliseconds. */
const FLOOR = 1_000;

/** How a device connects and behaves. */
export interface DeviceOptions {
  /** The WebSocket API: `wss://…/{stage}`. */
  readonly url: string;
  /**
   * The answer of `POST /v1/devices`, or a function that fetches it through the app's backend. The function is asked at
   * the start, and again when openings keep failing: the service may refuse the device.
   */
  readonly registration: Registration | (() => Promise<Registration>);
  /**
   * Under this name, id and keys stay in the store, and `registration` is not asked at the next start. It must name the
   * person who is logged in: whoever starts a device under the same name gets this device. Default: not kept.
   */
  readonly remember?: string;
  /** Where the cursor is kept. Default: IndexedDB where there is one, else memory. */
  readonly store?: "indexeddb" | "memory" | CursorStore;
  /** Who acknowledges: the client, when the app's handlers are done, or the app with {@link Device.ack}. Default: `automatic`. */
  readonly ack?: "automatic" | "manual";
  /**
   * With several tabs: `every` one connects and shows each message, or one is the `leader`, and others take over when it
   * goes. The latter needs Web Locks; without them every tab connects. Default: `every`.
   */
  readonly tabs?: "every" | "leader";
  /**
   * Where the connect token travels: beside the subprotocol, which proxies do not log, or in the URL. Where openings fail
   * with the subprotocol, every second one has it in the URL. Default: `subprotocol`.
   */
  readonly tokenIn?: "subprotocol" | "query";
  /** The HTTP API, for {@link Device.inbox} and {@link Device.unread}: `https://…`, without `/v1`. */
  readonly apiUrl?: string;
  /** The class of sockets. Default: the global one. Node 20 has none: give it that of the package `ws`. */
  readonly WebSocket?: SocketClass;
}

/** What happens to a device. */
export interface DeviceEvents {
  /** A message: in order, and once. The next one waits until every handler's promise has settled. */
  message: Message;
  /** Reserved: the service sends none yet. */
  announcement: Announcement;
  /** The device does something else now. */
  state: StateChange;
  /** Something may be missing. */
  gap: Gap;
  /** Something went wrong; the device goes on. */
  error: TidingsError;
}

/** A message of the inbox, and whether a person has read it. */
export type InboxMessage = Message & { readonly read: boolean };

/** A page of the inbox. */
export interface InboxPage {
  /** Newest first. */
  readonly messages: InboxMessage[];
  /** Give it as `before` for the next page; absent on the last one. */
  readonly next?: string;
}

/** A device: stays connected, and hands its messages to the app. */
export class Device {
  readonly #options: DeviceOptions;
  readonly #environment: Environment;
  readonly #clock: ServiceClock;
  readonly #emitter = new Emitter<DeviceEvents>();
  readonly #closing = new AbortController();
  readonly #automatic: boolean;
  readonly #WebSocket: SocketClass;
  #store: CursorStore & Partial<SharedStore>;
  #identity: Identity | undefined;
  #connection: Connection | undefined;
  #delivery: Delivery | undefined;
  #appState: AppState | undefined;
  #state: State = "closed";
  #started = false;
  #asking = false;
  #wake: (() => void) | undefined;
  #release: (() => void) | undefined;
  #ended: Promise<void> | undefined;

  /**
   * A device that does nothing yet. Throws a {@link TidingsError} `bad_options` where it never could. `environment` is for
   * tests.
   */
  constructor(options: DeviceOptions, environment: Environment = REAL) {
    const { url, ack = "automatic", tabs = "every", store, WebSocket = globalThis.WebSocket } = options;
    if (!/^wss?:\/\/[^?#]+$/.test(url)) {
      throw new TidingsError("bad_options", `url: ${JSON.stringify(url)} is not the URL of a WebSocket API`);
    }
    if (!WebSocket) {
      throw new TidingsError("bad_options", "WebSocket: there is no global one; give the class of the package ws");
    }
    this.#options = options;
    this.#environment = environment;
    this.#clock = new ServiceClock(environment);
    this.#automatic = ack === "automatic";
    this.#WebSocket = WebSocket as SocketClass;
    if (typeof store === "object") {
      this.#store = store;
    } else {
      const shared = store === "indexeddb" || (store === undefined && globalThis.indexedDB !== undefined);
      this.#store = shared ? new IndexedDbStore(tabs === "every") : new MemoryStore();
    }
  }

  /** The device's id, once it is known. */
  get id(): string | undefined {
    return this.#identity?.id;
  }

  /** What the device is doing. `closed` before the start, too. */
  get state(): State {
    return this.#state;
  }

  /** Listens to an event; the answer stops it. Messages wait until somebody listens to them. */
  on<Name extends keyof DeviceEvents>(name: Name, handler: Handler<DeviceEvents[Name]>): () => void {
    const off = this.#emitter.on(name, handler);
    this.#delivery?.resume();
    return off;
  }

  /**
   * Messages one by one, instead of `on("message")`. A message counts as taken when the loop asks for the next one, or
   * ends.
   */
  messages(): AsyncIterableIterator<Message> {
    const end: IteratorResult<Message> = { done: true, value: undefined };
    let ready: Message | undefined;
    let taken: (() => void) | undefined;
    let wanted: ((result: IteratorResult<Message>) => void) | undefined;
    let over = false;
    const off = this.on("message", (message) => {
      if (wanted) {
        wanted({ done: false, value: message });
        wanted = undefined;
      } else {
        ready = message;
      }
      return new Promise<void>((resolve) => {
        taken = resolve;
      });
    });
    const finish = (): void => {
      over = true;
      off();
      taken?.();
      wanted?.(end);
    };
    this.#closing.signal.addEventListener("abort", finish);
    return {
      [Symbol.asyncIterator]() {
        return this;
      },
      next: () => {
        if (ready) {
          const value = ready;
          ready = undefined;
          return Promise.resolve({ done: false, value });
        }
        taken?.();
        taken = undefined;
        return over ? Promise.resolve(end) : new Promise((resolve) => (wanted = resolve));
      },
      return: () => {
        finish();
        return Promise.resolve(end);
      },
    };
  }

  /** Connects, and stays connected until {@link Device.close}. */
  start(): void {
    if (this.#started || this.#closing.signal.aborted) {
      return;
    }
    this.#started = true;
    const wake = (): void => this.wake();
    const visible = (): void => {
      if (document.visibilityState === "visible") {
        wake();
      }
    };
    const { signal } = this.#closing;
    globalThis.addEventListener?.("online", wake, { signal });
    globalThis.document?.addEventListener("visibilitychange", visible, { signal });
    this.#tell({ state: "connecting" });
    this.#run().catch((cause) => {
      if (!signal.aborted) {
        this.#report(failure(cause));
        this.#tell({ state: "closed", reason: failure(cause).code });
      }
    });
  }

  /** The network may be back: tries at once. By itself the device does so when the page becomes visible or online. */
  wake(): void {
    this.#wake?.();
    this.#connection?.wake();
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
    const receipt = receiptOf(message);
    if (receipt) {
      this.#connection?.say(ack(receipt));
    }
  }

  /**
   * Acknowledges everything up to a place, as an app may that deals with messages in their order. It is said again on every
   * new connection, and so covers what is lost on the way. With `ack: "automatic"` the client does this by itself.
   */
  ackUpTo({ epoch, seq }: Position): void {
    this.#connection?.say(ack({ epoch, seq }));
  }

  /** Says that a person has read a message. */
  read(message: Message): void {
    const receipt = receiptOf(message);
    if (receipt) {
      this.#connection?.say({ action: "read", ...(receipt as Required<Receipt>) });
    }
  }

  /** Says whether a person is looking at the app, on this connection and those that follow it. */
  setState(state: AppState): void {
    this.#appState = state;
    this.#connection?.say({ action: "state", state });
  }

  /** A page of the user's inbox, newest first. `limit` is the number of messages. Throws a {@link TidingsError}. */
  async inbox({ limit, before }: { limit?: number; before?: string } = {}): Promise<InboxPage> {
    const query = new URLSearchParams();
    if (limit !== undefined) {
      query.set("limit", String(limit));
    }
    if (before !== undefined) {
      query.set("before", before);
    }
    const page = await this.#get(`/v1/inbox${query.size > 0 ? `?${query}` : ""}`);
    if (!Array.isArray(page["messages"])) {
      throw new TidingsError("unexpected", "the inbox has no messages");
    }
    const messages: InboxMessage[] = [];
    for (const { frame, read } of page["messages"] as { frame: string; read: boolean }[]) {
      try {
        messages.push({ ...(await this.#open(frame)), read });
      } catch (error) {
        this.#report(failure(error));
      }
    }
    return typeof page["next"] === "string" ? { messages, next: page["next"] } : { messages };
  }

  /** How many messages nobody has read; counted up to 100, and `more` beyond. Throws a {@link TidingsError}. */
  async unread(): Promise<{ count: number; more: boolean }> {
    const { count, more } = await this.#get("/v1/inbox/unread");
    if (typeof count !== "number") {
      throw new TidingsError("unexpected", "the answer has no count");
    }
    return { count, more: more === true };
  }

  /** Ends the device, and forgets its keys, its cursor and what was shown: for when a person logs out. */
  async forget(): Promise<void> {
    const identity = this.#identity;
    await this.close();
    if (identity) {
      await this.#store.forget?.(identity);
    }
  }

  // -- Beginning and ending ------------------------------------------------------------------------------------------

  async #run(): Promise<void> {
    const name = this.#options.remember;
    const known = name && (await this.#keep(() => this.#store.identity?.(`name:${name}`)));
    const identity = known || (await this.#registered());
    if (identity) {
      await this.#begin(identity);
    }
  }

  /** Registers, however long it takes; `undefined` when the device is closed meanwhile. */
  async #registered(): Promise<Identity | undefined> {
    const { registration } = this.#options;
    if (typeof registration === "object") {
      return this.#adopt(registration);
    }
    for (let attempt = 0; !this.#closing.signal.aborted; attempt += 1) {
      try {
        return await this.#ask(registration);
      } catch (error) {
        this.#report(failure(error));
        const retryIn = spread(windowOf(attempt), this.#environment.random());
        this.#tell({ state: "waiting", reason: "registration_failed", retryIn });
        await this.#pause(retryIn);
        this.#tell({ state: "connecting" });
      }
    }
    return undefined;
  }

  async #ask(registration: () => Promise<Registration>): Promise<Identity> {
    let answer: Registration;
    try {
      answer = await this.#within(REGISTER_WITHIN, registration());
    } catch (cause) {
      throw new TidingsError("registration_failed", "the app's registration function failed", { cause });
    }
    return this.#adopt(answer);
  }

  async #adopt(registration: Registration): Promise<Identity> {
    const identity = await identify(registration);
    if (registration.serverTime !== undefined) {
      this.#clock.heard(registration.serverTime);
    }
    const { remember } = this.#options;
    const names = [`device:${identity.id}`, ...(remember === undefined ? [] : [`name:${remember}`])];
    await this.#keep(() => this.#store.keepIdentity?.(identity, names));
    return identity;
  }

  async #begin(identity: Identity): Promise<void> {
    const { url, tabs, tokenIn = "subprotocol" } = this.#options;
    const { signal } = this.#closing;
    this.#identity = identity;
    const locks = tabs === "leader" ? globalThis.navigator?.locks : undefined;
    if (locks) {
      this.#tell({ state: "standby" });
      this.#release = await lead(locks, `tidings:${identity.id}`, signal);
    }
    const cursor = (await this.#keep(() => this.#store.load(identity.owner))) ?? undefined;
    if (signal.aborted) {
      this.#release?.();
      return;
    }
    const delivery = new Delivery({
      listens: () => this.#emitter.handlers("message").size > 0,
      claim: async (received) =>
        (await this.#keep(() => this.#store.claim?.(identity.owner, received, "page"))) ?? true,
      show: (message) => this.#show(message),
      save: (place) => this.#keep(() => this.#store.save(identity.owner, place)),
      shown: (message) => {
        if (this.#automatic) {
          this.ack(message);
        }
      },
      gap: (gap) => this.#emit("gap", gap),
    });
    const options = { url, WebSocket: this.#WebSocket, automatic: this.#automatic, tokenIn };
    const connection = connect(this.#environment, this.#clock, options, identity, cursor, {
      deliver: (received) => delivery.add(received),
      synced: (place, gap) => delivery.reached(place, gap),
      announcement: (announcement) => this.#emit("announcement", announcement),
      state: (change) => this.#tell(change),
      error: (error) => this.#report(error),
      refused: () => this.#refused(),
      kept: async (after, end) => (await this.#keep(() => this.#store.kept?.(identity.owner, after, end))) ?? [],
    });
    this.#delivery = delivery;
    this.#connection = connection;
    if (this.#appState) {
      this.setState(this.#appState);
    }
  }

  /** The service may refuse the device: its keys may be old. */
  async #refused(): Promise<void> {
    if (globalThis.navigator?.onLine !== false) {
      this.#report(new TidingsError("refused", "openings fail: the service refuses this device, or is out of reach"));
    }
    const { registration } = this.#options;
    if (typeof registration === "object" || this.#asking) {
      return;
    }
    this.#asking = true;
    try {
      const identity = await this.#ask(registration);
      if (identity.owner === this.#identity?.owner) {
        this.#identity = identity;
        this.#connection?.renew(identity);
      } else if (!this.#closing.signal.aborted) {
        // Another user's device, whose mailbox is another one.
        await this.#stop();
        await this.#begin(identity);
      }
    } catch (error) {
      if (!this.#closing.signal.aborted) {
        this.#report(failure(error));
      }
    } finally {
      this.#asking = false;
    }
  }

  async #close(): Promise<void> {
    this.#closing.abort();
    this.#wake?.();
    await this.#stop();
    this.#tell({ state: "closed", reason: "asked" });
  }

  async #stop(): Promise<void> {
    const release = this.#release;
    this.#release = undefined;
    // The next tab must not begin before this one is done. A handler that waits for the end must not wait for itself.
    (this.#delivery?.end() ?? Promise.resolve()).then(() => release?.());
    await this.#connection?.close();
  }

  // -- Showing -------------------------------------------------------------------------------------------------------

  async #show(message: Message): Promise<void> {
    const handlers = [...this.#emitter.handlers("message")];
    await Promise.all(handlers.map((handler) => this.#call(handler, message)));
  }

  /** An app that throws does not break its device. */
  async #call<Event>(handler: Handler<Event>, event: Event): Promise<void> {
    try {
      await handler(event);
    } catch (cause) {
      this.#report(new TidingsError("handler_failed", "a handler of the app failed", { cause }));
    }
  }

  /** Tells whoever listens. Later, so that nobody interferes with what is being done. */
  #emit<Name extends keyof DeviceEvents>(name: Name, event: DeviceEvents[Name]): void {
    for (const handler of this.#emitter.handlers(name)) {
      queueMicrotask(() => this.#call(handler, event));
    }
  }

  #tell(change: StateChange): void {
    if (change.state !== this.#state || change.reason !== undefined) {
      this.#state = change.state;
      this.#emit("state", change);
    }
  }

  #report(error: TidingsError): void {
    const handlers = this.#emitter.handlers("error");
    if (handlers.size === 0 && error.code === "handler_failed") {
      complain(error);
    }
    for (const handler of handlers) {
      // One that fails itself would be told of that for ever.
      Promise.resolve(error).then(handler).catch(complain);
    }
  }

  // -- Helpers -------------------------------------------------------------------------------------------------------

  /** Asks the store. One that fails, or does not answer, is not asked again. */
  async #keep<T>(work: () => Promise<T> | T): Promise<T | undefined> {
    try {
      return await this.#within(STORE_WITHIN, work());
    } catch (cause) {
      this.#store = new MemoryStore();
      this.#report(new TidingsError("store_failed", "the store failed; what is shown is kept in memory only", { cause }));
      return undefined;
    }
  }

  async #within<T>(time: number, work: Promise<T> | T): Promise<T> {
    let timer: unknown;
    const late = new Promise<never>((_, reject) => {
      timer = this.#environment.setTimeout(() => reject(new Error("no answer")), time);
    });
    try {
      return await Promise.race([work, late]);
    } finally {
      this.#environment.clearTimeout(timer);
    }
  }

  /** Waits, or less where somebody wakes the device. */
  async #pause(time: number): Promise<void> {
    const { now } = this.#environment;
    const floor = now() + FLOOR;
    let timer: unknown;
    await new Promise<void>((resolve) => {
      timer = this.#environment.setTimeout(resolve, time);
      this.#wake = resolve;
    });
    this.#environment.clearTimeout(timer);
    this.#wake = undefined;
    const rest = Math.min(time, floor - now());
    if (rest > 0 && !this.#closing.signal.aborted) {
      await new Promise<void>((resolve) => this.#environment.setTimeout(resolve, rest));
    }
  }

  async #open(sealed: string): Promise<Message> {
    const identity = this.#identity;
    const frame = identity && read(await open(identity, sealed), identity.id);
    if (frame?.type !== "message") {
      throw new TidingsError("unexpected", "the frame is no message");
    }
    return frame;
  }

  async #get(path: string): Promise<Record<string, unknown>> {
    const { apiUrl } = this.#options;
    if (!this.#identity || apiUrl === undefined) {
      throw new TidingsError("bad_options", apiUrl === undefined ? "apiUrl is missing" : "the device is not registered yet");
    }
    return get(apiUrl + path, await connectToken(this.#identity, this.#clock.now()));
  }
}

function complain(error: unknown): void {
  if (globalThis.reportError) {
    globalThis.reportError(error);
  } else {
    console.error(error);
  }
}
