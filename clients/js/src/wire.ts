// Generated from the types of shared/wire by `cargo run -p tidings-wire --features schema --example schemas`.

/** Any JSON. */
export type Json = string | number | boolean | null | Json[] | { [key: string]: Json };

/**
 * A way around the socket. `apns`, `fcm` and `webpush` deliver to every device of the user that is registered for them
 * and is of the message's `platform`; `mipush`, `sms` and `email` to the user, once; `webhook` to the app's own server.
 *
 * - `apns`: Apple Push Notification service.
 * - `fcm`: Firebase Cloud Messaging.
 * - `webpush`: Web Push.
 * - `mipush`: Mi Push.
 * - `sms`: Text message.
 * - `email`: Email.
 * - `webhook`: The app's own HTTPS endpoint.
 */
export type Channel = "apns" | "fcm" | "webpush" | "mipush" | "sms" | "email" | "webhook";

/** Which channels are welcome. Those that are not named are. */
export type Channels = Partial<Record<Channel, boolean>>;

/**
 * What a person wants to be notified of. It holds for every step of a fallback chain, at the moment when the step is
 * due, and not for the socket. Absent fields are as for a person who has set nothing: everything is welcome.
 */
export interface Preferences {
  /** No channel is used at all, whatever the other fields are. */
  readonly muted?: boolean;
  /** Which channels are welcome. */
  readonly channels?: Channels;
  /**
   * What differs for messages of a `category`, by its name. When it is set, the name must be one of the app's
   * categories, if it has declared any.
   */
  readonly categories?: Readonly<Record<string, { readonly muted?: boolean; readonly channels?: Channels }>>;
  /**
   * When no step is to go out: from a minute until before another, `HH:MM` in the person's local time, except for the
   * categories in `except`.
   */
  readonly quietHours?: { readonly from: string; readonly to: string; readonly except?: readonly string[] };
  /**
   * Time zone of the quiet hours (IANA name). Default: the one that a device of the user was registered with last, else
   * UTC.
   */
  readonly timeZone?: string;
  /** Language that the person reads (BCP 47). For senders; the service does not use it. */
  readonly language?: string;
}

/** By Apple Push Notification service. */
export interface ApnsAddress {
  readonly channel: "apns";
  /** The device token that the app was given: 16 to 200 hexadecimal digits, an even number of them. */
  readonly token: string;
}

/** By Firebase Cloud Messaging. */
export interface FcmAddress {
  readonly channel: "fcm";
  /** The registration token that the app was given. */
  readonly token: string;
}

/** By the push service of a browser: `endpoint` and `keys` of the page's `PushSubscription`, and nothing else of it. */
export interface WebpushAddress {
  readonly channel: "webpush";
  /**
   * The URL at which the push service accepts messages: `https`, with a public name as its host, neither an address nor
   * a name of a local network, and without a user name. The local twin allows `http` and any host.
   */
  readonly endpoint: string;
  /** What a push is encrypted for. */
  readonly keys: { readonly p256dh: string; readonly auth: string };
}

/** By Mi Push, for which the app has set the MD5 of the alias, in lower-case hexadecimal, as its own. */
export interface MipushAddress {
  readonly channel: "mipush";
}

/** How a device is reached by push while it holds no socket, by its `channel`. */
export type PushAddress = ApnsAddress | FcmAddress | WebpushAddress | MipushAddress;

/** One message of the inbox. */
export interface SealedMessage {
  /** The message's id. */
  readonly id: string;
  /** Life of the mailbox. */
  readonly epoch: number;
  /** Position in the mailbox, from 1 and without gaps within an epoch; 0 is before the first message. */
  readonly seq: number;
  /** Whether the user has read it, on any device. */
  readonly read: boolean;
  /**
   * The `message` frame that the socket would bring, sealed for the device that asks: `SealedFrame` and `Message` in
   * [asyncapi.yaml](asyncapi.yaml).
   */
  readonly frame: string;
}

/** A page of the inbox, newest message first. */
export interface InboxAnswer {
  /** The messages, newest first. A page may be shorter than its limit, and even empty, though there are more. */
  readonly messages: readonly SealedMessage[];
  /** The `before` of the next page; absent on the last one. */
  readonly next?: string;
}

/** How much of the inbox is unread. */
export interface Unread {
  /** Messages that the user has read on no device. */
  readonly count: number;
  /** Whether counting stopped before the end, at 100 or after 400 messages; there may be more. */
  readonly more: boolean;
}

/**
 * Whether a person is looking at the app.
 *
 * - `foreground`: In use.
 * - `background`: Running, not in use.
 */
export type AppState = "foreground" | "background";

/** Asks whether the connection lives, and for the head of the mailbox. */
export interface Ping {
  readonly action: "ping";
}

/**
 * Asks for what came after the last position that was received without a gap before it; `0`, `0` for everything that is
 * kept. Without a position: after the one that the service keeps for this device. Announcements come only if
 * `announced` asks for them.
 */
export interface Sync {
  readonly action: "sync";
  /** Life of the mailbox. */
  readonly epoch?: number;
  /** Position in the mailbox, from 1 and without gaps within an epoch; 0 is before the first message. */
  readonly seq?: number;
  /** Announcements too, those after this number; 0 for every one that is kept. The service keeps no number. */
  readonly announced?: number;
}

/**
 * With `id`, confirms the message at this position. Without it, confirms everything up to the position that is neither
 * expired nor closed, and moves the cursor that the service keeps for the device there.
 */
export interface Ack {
  readonly action: "ack";
  /** The message at this position. Without it, every message up to the position. */
  readonly id?: string;
  /** Life of the mailbox. */
  readonly epoch: number;
  /** Position in the mailbox, from 1 and without gaps within an epoch; 0 is before the first message. */
  readonly seq: number;
}

/**
 * With `id`, a person has read the message at this position, which confirms it. Without it, everything up to the
 * position.
 */
export interface Read {
  readonly action: "read";
  /** The message at this position. Without it, every message up to the position. */
  readonly id?: string;
  /** Life of the mailbox. */
  readonly epoch: number;
  /** Position in the mailbox, from 1 and without gaps within an epoch; 0 is before the first message. */
  readonly seq: number;
}

/** The app went to the foreground or the background. It is recorded; the service does not use it. */
export interface AppStateChange {
  readonly action: "state";
  /** Whether a person is looking at the app. */
  readonly state: AppState;
}

/** What a device sends on its socket. */
export type Action = Ping | Sync | Ack | Read | AppStateChange;

/**
 * A message, as one device receives it. `epoch` and `seq`, its position in the user's mailbox, are absent for a message
 * that is not kept.
 */
export interface Message {
  readonly type: "message";
  /** The message's id: the same on every device and every time it comes. Show each once. */
  readonly id: string;
  /** Life of the mailbox. */
  readonly epoch?: number;
  /** Position in the mailbox, from 1 and without gaps within an epoch; 0 is before the first message. */
  readonly seq?: number;
  /** The device that the frame is for. */
  readonly deviceId: string;
  /** The user. */
  readonly toUserName: string;
  /** The `sender`, if the request names one. */
  readonly fromUserName?: string;
  /** When it was accepted, or its `sendAt`; in seconds since the Unix epoch. */
  readonly createTime: number;
  /** Shown (`MSG`) or handed to the app (`CMD`). */
  readonly pushMsgType?: "MSG" | "CMD";
  /** Kind of content, for the app. */
  readonly msgType?: "text" | "event" | "image" | "voice" | "link" | "file";
  /**
   * The text that is shown; required if there is no `extra`. All content fields together may take 22,528 bytes as JSON.
   */
  readonly alert?: string;
  /** The app's own data, any JSON; required if there is no `alert`. */
  readonly extra?: Json;
  /** Name of what happened, for `msgType` `event`. */
  readonly event?: string;
  /** Sound to play, for the app. */
  readonly sound?: string;
  /** Number on the app's icon. */
  readonly badge?: number;
  /** Who sends, as shown. The subject of a message's email begins with it. */
  readonly sender?: string;
  /** Device that sends, as shown. */
  readonly sendDevice?: string;
  /** What the message comes from. */
  readonly source?: { readonly platform?: string; readonly product?: string };
  /**
   * What the app lists by; preferences and the app's chains go by that of a message. One of the app's categories, if it
   * has declared any.
   */
  readonly category?: string;
  /** What the app filters by. */
  readonly tag?: string;
  /** Whether the message is redelivered until a device confirms it. */
  readonly needConfirm?: boolean;
}

/**
 * An announcement, as one device receives it. Devices do not acknowledge it. One with a `number` up to the device's
 * cursor was shown before. One whose `after` is beyond the cursor is not shown: an announcement between is missing, and
 * a `sync` brings it.
 */
export interface Announcement {
  readonly type: "announcement";
  /** The announcement's id: the same on every device and every time it comes. */
  readonly id: string;
  /** Its position among the announcements of the app and tenant. Numbers grow; they are not dense. */
  readonly number: number;
  /**
   * The number that it follows, 0 for the first: that of the announcement before it, or in a replay the one that the
   * device has reached. No announcement between the two is for this device.
   */
  readonly after: number;
  /** The device that the frame is for. */
  readonly deviceId: string;
  /** The user. */
  readonly toUserName: string;
  /** The `sender`, if the request names one. */
  readonly fromUserName?: string;
  /** When it was accepted, in seconds since the Unix epoch. */
  readonly createTime: number;
  /** Shown (`MSG`) or handed to the app (`CMD`). */
  readonly pushMsgType?: "MSG" | "CMD";
  /** Kind of content, for the app. */
  readonly msgType?: "text" | "event" | "image" | "voice" | "link" | "file";
  /**
   * The text that is shown; required if there is no `extra`. All content fields together may take 22,528 bytes as JSON.
   */
  readonly alert?: string;
  /** The app's own data, any JSON; required if there is no `alert`. */
  readonly extra?: Json;
  /** Name of what happened, for `msgType` `event`. */
  readonly event?: string;
  /** Sound to play, for the app. */
  readonly sound?: string;
  /** Number on the app's icon. */
  readonly badge?: number;
  /** Who sends, as shown. The subject of a message's email begins with it. */
  readonly sender?: string;
  /** Device that sends, as shown. */
  readonly sendDevice?: string;
  /** What the message comes from. */
  readonly source?: { readonly platform?: string; readonly product?: string };
  /**
   * What the app lists by; preferences and the app's chains go by that of a message. One of the app's categories, if it
   * has declared any.
   */
  readonly category?: string;
  /** What the app filters by. */
  readonly tag?: string;
}

/**
 * How far a replay came in the announcements. Absent if the device did not ask, and while there is more of the mailbox.
 */
export interface Announced {
  /** The last one that this replay sent; if it sent none, the number that the device asked from. */
  readonly after: number;
  /** The number to keep once everything up to `after` has come: no announcement between the two is for this device. */
  readonly number: number;
  /** Whether there are more: ask again from `number`. Absent if not. */
  readonly more?: boolean;
}

/** The end of a replay. `epoch` and `seq` are the cursor to keep; `0`, `0` for an empty mailbox. */
export interface Synced {
  readonly type: "synced";
  /** The device that the frame is for. */
  readonly deviceId: string;
  /** Life of the mailbox. */
  readonly epoch: number;
  /** Position in the mailbox, from 1 and without gaps within an epoch; 0 is before the first message. */
  readonly seq: number;
  /** Whether the mailbox reaches back to the device's cursor. If not, messages may be missing. */
  readonly recovered: boolean;
  /** Whether there is more: ask again with this cursor. */
  readonly more: boolean;
  /** Messages that this replay posted. They may still be on their way. */
  readonly count: number;
  /** Their `seq`, in the epoch of the cursor. A message that is listed and has not arrived is on its way, or lost. */
  readonly posted?: readonly number[];
  /** How far it came in the announcements, if the device asked for them and nothing of the mailbox is left. */
  readonly announced?: Announced;
}

/** The answer to a ping. `epoch` and `seq` are the mailbox's head: a device that is behind it sends `sync`. */
export interface Pong {
  readonly type: "pong";
  /** The device that the frame is for. */
  readonly deviceId: string;
  /** Life of the mailbox. */
  readonly epoch: number;
  /** Position in the mailbox, from 1 and without gaps within an epoch; 0 is before the first message. */
  readonly seq: number;
  /** The service's clock, in seconds since the Unix epoch. */
  readonly serverTime: number;
  /** Seconds until the next ping is due. */
  readonly nextPing: number;
}

/**
 * Why an action of a device had no effect.
 *
 * - `unknown_action`: There is no `action`, or none of the five.
 * - `invalid_fields`: Fields are missing, wrong, not known or given twice; `detail` names each, up to twenty.
 * - `unknown_message`: A receipt of a message that the mailbox does not have at that position.
 * - `unknown_epoch`: A receipt of a position in another epoch than the mailbox's.
 * - `future_seq`: A receipt of a position beyond the mailbox's newest message.
 * - `not_json`: Not JSON, or not an object.
 * - `body_too_deep`: Nested more than 64 levels.
 * - `body_too_large`: Over 262,144 bytes; API Gateway closes the connection long before.
 * - `binary_frame`: Not text; API Gateway itself closes the connection at one.
 */
export type ErrorFrameCode =
  | "unknown_action"
  | "invalid_fields"
  | "unknown_message"
  | "unknown_epoch"
  | "future_seq"
  | "not_json"
  | "body_too_deep"
  | "body_too_large"
  | "binary_frame";

/** An action of the device could not be carried out. It had no effect, and the connection stays open. */
export interface ErrorFrame {
  readonly type: "error";
  /** The device that the frame is for. */
  readonly deviceId: string;
  /** A code that stays the same. */
  readonly code: ErrorFrameCode;
  /** What is wrong, for people: the field and the limit. */
  readonly detail: string;
}

/**
 * Instead of a pong, in the last eighth of the connection's life: open a new connection within `after` seconds, send
 * `sync` there, and close this one when `synced` has come. This one works until then.
 */
export interface Rollover {
  readonly type: "reconnect";
  /** The device that the frame is for. */
  readonly deviceId: string;
  readonly code: "rollover";
  /** Seconds to wait before the next connection, to be spread by full jitter. */
  readonly after: number;
}

/**
 * In clear: close the connection, and connect again.
 *
 * - `unknown_connection`: The device was unregistered, changed hands, or was away for too long. In clear, because no
 *   key belongs to such a connection: close it, wait up to `after` seconds, connect again.
 * - `evicted`: A device or its user has more connections than allowed, and this one was used least recently. In clear,
 *   just before the connection is closed: wait up to `after` seconds, connect again.
 */
export interface ReconnectInClear {
  readonly type: "reconnect";
  /** Empty. */
  readonly deviceId: "";
  /** The reason, one of the codes above. */
  readonly code: "unknown_connection" | "evicted";
  /** Seconds to wait before the next connection, to be spread by full jitter. */
  readonly after: number;
}

/** What a device receives, once opened. */
export type Frame = Message | Announcement | Synced | Pong | ErrorFrame | Rollover | ReconnectInClear;
