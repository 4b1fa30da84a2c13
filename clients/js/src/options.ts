import type { Gap } from "./delivery.js";
import type { SocketClass } from "./environment.js";
import type { TidingsError } from "./errors.js";
import type { Registration } from "./identity.js";
import type { StateChange } from "./listener.js";
import type { CursorStore } from "./store.js";
import type { Announcement, Message } from "./wire.js";

/** The options of a device. */
export interface DeviceOptions {
  /** The WebSocket API: `wss://…/{stage}`. */
  readonly url: string;
  /**
   * The answer of `POST /v1/devices`, or a function that fetches it through the app's backend. The function is asked at
   * the start, and again when openings keep failing: the service may refuse the device.
   */
  readonly registration: Registration | (() => Promise<Registration>);
  /**
   * The name under which id and keys stay in IndexedDB, so that the function `registration` is not asked at the next
   * start. It must identify the person who is logged in: a device that starts under the same name gets this identity.
   * Default: the function is asked at every start.
   */
  readonly remember?: string;
  /** The store of the cursor. Default: IndexedDB if there is one, else memory. */
  readonly store?: "indexeddb" | "memory" | CursorStore;
  /**
   * Acknowledgement by the client, when the app's handlers are done, or by the app with `Device.ack`. Default:
   * `automatic`.
   */
  readonly ack?: "automatic" | "manual";
  /**
   * With several tabs: `every` one connects and shows each message, or one is the `leader`, and others take over when
   * it ends. The latter needs Web Locks; without them every tab connects. Default: `every`.
   */
  readonly tabs?: "every" | "leader";
  /**
   * How the connect token is sent: as a subprotocol, which proxies do not log, or in the URL. While openings fail with
   * the subprotocol, every second one has it in the URL. Default: `subprotocol`.
   */
  readonly tokenIn?: "subprotocol" | "query";
  /** The HTTP API, for the inbox and preferences: `https://…`, without `/v1`. */
  readonly apiUrl?: string;
  /** The class of sockets. Default: the global one. Node 20 has none: pass that of the package `ws`. */
  readonly WebSocket?: SocketClass;
}

/** The handler of an event. */
export type Handler<Event> = (event: Event) => unknown;

/** The events of a device. */
export interface DeviceEvents {
  /** A message: in order, and once. The next one waits until every handler's promise has settled. */
  message: Message;
  /** An announcement to everyone: in order, and once. The next one waits until every handler's promise has settled. */
  announcement: Announcement;
  /** The device's state changed. */
  state: StateChange;
  /** Messages may be missing. */
  gap: Gap;
  /** An error; the device goes on. */
  error: TidingsError;
}

/** A message of the inbox, and whether a person has read it. */
export type InboxMessage = Message & { readonly read: boolean };

/** A page of the inbox. */
export interface InboxPage {
  /** Newest first. */
  readonly messages: InboxMessage[];
  /** The value of `before` for the next page; absent on the last one. */
  readonly next?: string;
}
