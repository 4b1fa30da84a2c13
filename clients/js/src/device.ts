import type { Receipt } from "./actions.js";
import { spread, windowOf } from "./backoff.js";
import { type ServiceClock, serviceClock } from "./clock.js";
import { Connection } from "./connection.js";
import { type Delivery, deliver } from "./delivery.js";
import { type Environment, REAL, type SocketClass, within } from "./environment.js";
import { caused, failure, TidingsError } from "./errors.js";
import { unsealMessage } from "./frames.js";
import { type Identity, identify } from "./identity.js";
import { receiptOf } from "./inbox.js";
import { type Ask, keeper } from "./keeper.js";
import type { State, StateChange } from "./listener.js";
import type { DeviceEvents, DeviceOptions, Handler, InboxMessage, InboxPage } from "./options.js";
import type { Cursor, Position } from "./position.js";
import { indexedDbStore, memoryStore } from "./store.js";
import { lead } from "./tabs.js";
import { connectToken } from "./tokens.js";
import type { AppState, InboxAnswer, Message, Preferences, Unread } from "./wire.js";

/** Time limits of the app's `registration` function and of a close, in milliseconds. */
const REGISTER_WITHIN = 30_000;
const CLOSE_WITHIN = 2_000;
/** The shortest time between two wake-ups of a device, in milliseconds. */
const FLOOR = 1_000;

/** A device: stays connected, and delivers its messages to the app. */
export class Device {
  readonly #environment: Environment;
  readonly #clock: ServiceClock;
  readonly #options: DeviceOptions & { readonly WebSocket: SocketClass };
  readonly #handlers: { [Name in keyof DeviceEvents]?: Set<Handler<never>> } = {};
  readonly #closing = new AbortController();
  readonly #ask: Ask;
  #identity: Identity | undefined;
  #connection: Connection | undefined;
  /** One delivery of messages, and one of announcements: neither waits for the other. */
  #deliveries: readonly Delivery[] = [];
  #appState: AppState | undefined;
  #state: State = "closed";
  #asking = false;
  /** Ends the pause before the next attempt to register. */
  #resume: (() => void) | undefined;
  /** The time before which it is not woken. */
  #asleep = 0;
  #release: (() => void) | undefined;
  #ended: Promise<void> | undefined;

  /**
   * A device that does nothing yet. Throws a {@link TidingsError} `bad_options` if it could never work. `environment`
   * is for tests.
   */
  constructor(options: DeviceOptions, environment: Environment = REAL) {
    const { url, tabs, store = globalThis.indexedDB ? "indexeddb" : "memory" } = options;
    const { WebSocket = globalThis.WebSocket } = options;
    must(/^wss?:\/\/[^?#]+$/.test(url), `no WebSocket API: ${url}`);
    must(WebSocket, "no WebSocket: pass that of ws");
    must(globalThis.crypto?.subtle, "no secure context");
    this.#options = { ...options, WebSocket };
    this.#environment = environment;
    this.#clock = serviceClock(environment);
    this.#ask = keeper(
      environment,
      typeof store === "object" ? store : store === "memory" ? memoryStore() : indexedDbStore(tabs !== "leader"),
      this.#closing.signal,
      (error) => this.#report(error),
    );
  }

  /** The device's id; `undefined` before it is known. */
  get id(): string | undefined {
    return this.#identity?.id;
  }

  /** The device's state; also `closed` before the start. */
  get state(): State {
    return this.#state;
  }

  /** Adds a handler of an event; the returned function removes it. Messages and announcements wait for a handler. */
  on<Name extends keyof DeviceEvents>(name: Name, handler: Handler<DeviceEvents[Name]>): () => void {
    // A new function each time, so that the same handler may be added twice.
    const own = (event: DeviceEvents[Name]): unknown => handler(event);
    const handlers = (this.#handlers[name] ??= new Set());
    handlers.add(own);
    for (const delivery of this.#deliveries) {
      delivery.resume();
    }
    return () => handlers.delete(own);
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
      // A message that was taken is shown, even if the device is closed at the same moment.
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
    this.#change({ state: "connecting" });
    this.#run().catch((error) => {
      if (!signal.aborted) {
        this.#report(error);
        this.#change({ state: "closed", reason: failure(error).code });
      }
    });
  }

  /**
   * Connects at once, because the network may be back. The device does so itself when the page becomes visible or
   * online.
   */
  wake(): void {
    const now = this.#environment.now();
    if (now >= this.#asleep) {
      this.#asleep = now + FLOOR;
      this.#resume?.();
      this.#connection?.wake();
    }
  }

  /** Closes the socket, and ends the device for good. */
  close(): Promise<void> {
    this.#ended ??= this.#close();
    return this.#ended;
  }

  /**
   * Acknowledges a message. The acknowledgement is kept and repeated until a connection carries it. A message that is
   * not kept needs none.
   */
  ack(message: Message): void {
    this.#confirm("ack", receiptOf(message));
  }

  /**
   * Acknowledges everything up to a position, for an app that handles messages in their order. The device repeats it on
   * every new connection, so it covers acknowledgements that were lost. With `ack: "automatic"` the client does this by
   * itself.
   */
  ackUpTo({ epoch, seq }: Position): void {
    this.#confirm("ack", { epoch, seq });
  }

  /** Reports that a person has read a message. */
  read(message: Message): void {
    this.#confirm("read", receiptOf(message));
  }

  #confirm(action: "ack" | "read", receipt: Receipt | undefined): void {
    if (receipt) {
      this.#connection?.perform({ action, ...receipt });
    }
  }

  /** Reports whether a person is looking at the app, on this connection and every later one. */
  setState(state: AppState): void {
    this.#appState = state;
    this.#connection?.perform({ action: "state", state });
  }

  /** A page of the user's inbox, newest first. `limit` is the number of messages. Throws a {@link TidingsError}. */
  async inbox(query: { limit?: number; before?: string } = {}): Promise<InboxPage> {
    const page: InboxAnswer = await this.#fetch(`inbox?${new URLSearchParams(query as Record<string, string>)}`);
    const messages: InboxMessage[] = [];
    try {
      for (const { frame, read } of page.messages) {
        await unsealMessage(this.#identity as Identity, frame).then(
          (message) => messages.push({ ...message, read }),
          (error) => this.#report(error),
        );
      }
    } catch (cause) {
      throw failure(cause);
    }
    return { ...page, messages };
  }

  /** The number of unread messages; counted up to 100, and `more` beyond. Throws a {@link TidingsError}. */
  unread(): Promise<Unread> {
    return this.#fetch("inbox/unread");
  }

  /** The user's preferences for fallback steps. Throws a {@link TidingsError}. */
  preferences(): Promise<Preferences> {
    return this.#fetch("preferences");
  }

  /** Replaces the user's preferences. Throws a {@link TidingsError}. */
  setPreferences(wanted: Preferences): Promise<Preferences> {
    return this.#fetch("preferences", wanted);
  }

  /**
   * Ends the device, and deletes its keys, its cursor and the record of shown messages: for when a person logs out. If
   * the store fails, there is an error `store_failed`.
   */
  async forget(): Promise<void> {
    await this.close();
    const identity = this.#identity;
    if (identity) {
      await this.#ask((store) => store.forget?.(identity.owner, this.#names(identity)));
    }
  }

  // -- Beginning and ending ------------------------------------------------------------------------------------------

  async #run(): Promise<void> {
    const { remember, registration } = this.#options;
    let identity: Identity | undefined;
    if (remember && typeof registration === "function") {
      identity = await this.#ask((store) => store.identity?.(`name:${remember}`));
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
        this.#change({ state: "waiting", reason: "registration_failed", retryIn });
        await new Promise<void>((resolve) => {
          const cancel = this.#environment.after(retryIn, resolve);
          this.#resume = () => {
            cancel();
            resolve();
          };
        });
        this.#closing.signal.throwIfAborted();
        this.#change({ state: "connecting" });
      }
    }
    await this.#begin(identity);
  }

  async #register(): Promise<Identity> {
    let { registration } = this.#options;
    if (typeof registration === "function") {
      try {
        registration = await within(this.#environment, REGISTER_WITHIN, registration());
      } catch (cause) {
        throw caused("registration_failed", cause);
      }
    }
    const identity = await identify(registration);
    if (registration.serverTime !== undefined) {
      this.#clock.correct(registration.serverTime);
    }
    await this.#ask((store) => store.keepIdentity?.(identity, this.#names(identity)));
    return identity;
  }

  /** The names under which an identity is stored. */
  #names({ id }: Identity): string[] {
    const { remember } = this.#options;
    return [`device:${id}`, ...(remember ? [`name:${remember}`] : [])];
  }

  async #begin(identity: Identity): Promise<void> {
    const { tabs, ack } = this.#options;
    const { owner } = identity;
    const { signal } = this.#closing;
    this.#identity = identity;
    if (tabs === "leader") {
      this.#change({ state: "standby" });
      this.#release = await lead(`tidings:${identity.id}`, signal);
    }
    let cursor: Cursor = (await this.#ask((store) => store.load(owner))) ?? {};
    if (signal.aborted) {
      this.#release?.();
      return;
    }
    const automatic = ack !== "manual";
    let saving: Promise<unknown> = Promise.resolve();
    // One at a time: the store may be a file.
    const save = (): Promise<unknown> => {
      saving = saving.then(() => this.#ask((store) => store.save(owner, cursor), save));
      return saving;
    };
    const deliveryOf = (name: "message" | "announcement"): Delivery =>
      deliver({
        listens: () => this.#listens(name),
        claim: async (place, sealed) =>
          (await this.#ask((store) => store.claim?.(owner, place, sealed, "page"))) ?? true,
        show: (event) => this.#show(name, event),
        save: (moved) => {
          cursor = { ...cursor, ...moved };
          return save();
        },
        wasShown: (message) => automatic && this.ack(message),
        gap: (gap) => this.#emit("gap", gap),
      });
    const messages = deliveryOf("message");
    const announcements = deliveryOf("announcement");
    this.#deliveries = [messages, announcements];
    const how = { ...this.#options, automatic };
    this.#connection = new Connection(this.#environment, this.#clock, how, cursor, {
      identity: () => this.#identity as Identity,
      enqueue: messages.enqueue,
      announce: announcements.enqueue,
      changed: (change) => this.#change(change),
      report: (error) => this.#report(error),
      appState: () => this.#appState,
      refused: () => this.#refused(),
      shownElsewhere: async (after, end) => (await this.#ask((store) => store.kept?.(owner, after, end))) ?? [],
    });
  }

  /** The service may refuse the device: it may have forgotten it, or its keys may be old. */
  async #refused(): Promise<void> {
    this.#report(new TidingsError("refused", "openings fail"));
    if (this.#asking) {
      return;
    }
    this.#asking = true;
    try {
      const identity = await this.#register();
      if (identity.owner === this.#identity?.owner) {
        this.#identity = identity;
        this.#connection?.wake();
      } else if (!this.#closing.signal.aborted) {
        // The device belongs to another user now, who has another mailbox.
        await this.#stop();
        await this.#begin(identity);
      }
    } catch (error) {
      if (!this.#closing.signal.aborted) {
        this.#report(error);
      }
      throw error;
    } finally {
      this.#asking = false;
    }
  }

  async #close(): Promise<void> {
    this.#closing.abort();
    this.#resume?.();
    await this.#stop();
    this.#change({ state: "closed", reason: "asked" });
  }

  async #stop(): Promise<void> {
    // The next tab must not begin before this one is done. A handler that waits for `close` must not wait for itself.
    Promise.all(this.#deliveries.map((delivery) => delivery.finish())).then(this.#release);
    const connection = this.#connection;
    await (connection && within(this.#environment, CLOSE_WITHIN, connection.close()).catch(() => {}));
  }

  // -- Events --------------------------------------------------------------------------------------------------------

  #listens(name: keyof DeviceEvents): boolean {
    return !!this.#handlers[name]?.size;
  }

  /** Calls the handlers of an event. Later, so that they do not interfere with the work at hand. */
  #emit<Name extends keyof DeviceEvents>(name: Name, event: DeviceEvents[Name]): void {
    queueMicrotask(() => this.#show(name, event));
  }

  /** Shows an event to the app, and waits until all handlers are done. An app that throws does not break its device. */
  async #show(name: keyof DeviceEvents, event: unknown): Promise<void> {
    const call = async (handler: Handler<never>): Promise<void> => {
      try {
        await handler(event as never);
      } catch (cause) {
        // A handler of errors that fails would be called for its own failure for ever.
        if (name === "error") {
          complain(cause);
        } else {
          this.#report(caused("handler_failed", cause));
        }
      }
    };
    if (name === "error" && !this.#listens(name)) {
      complain((event as TidingsError).cause ?? event);
    }
    await Promise.all([...(this.#handlers[name] ?? [])].map(call));
  }

  #change(change: StateChange): void {
    if (change.state !== this.#state || change.reason) {
      this.#state = change.state;
      this.#emit("state", change);
    }
  }

  #report(error: unknown): void {
    this.#emit("error", failure(error));
  }

  // -- Helpers -------------------------------------------------------------------------------------------------------

  /** Sends a request to the HTTP API. Throws the service's error (RFC 9457), or `unreachable`. */
  async #fetch<Answer = Fields>(path: string, wanted?: Preferences): Promise<Answer> {
    const { apiUrl } = this.#options;
    must(apiUrl, "no apiUrl");
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
      // API Gateway's own errors have another form.
      const { code = "unexpected", detail = response.status, requestId } = answer;
      throw new TidingsError(String(code), String(detail), undefined, requestId as string | undefined);
    }
    return answer as Answer;
  }
}

type Fields = Record<string, unknown>;

/** Reports an error without a handler: otherwise a wrong URL would go unnoticed. */
function complain(error: unknown): void {
  (globalThis.reportError ?? console.error)(error);
}

/** Refuses options with which a device could never work. */
function must(holds: unknown, detail: string): asserts holds {
  if (!holds) {
    throw new TidingsError("bad_options", detail);
  }
}
