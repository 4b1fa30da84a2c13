import { TidingsError } from "./errors.js";
import type { Identity } from "./identity.js";
import { open } from "./jwe.js";
import type { Position } from "./position.js";

/** Any JSON. */
export type Json = string | number | boolean | null | Json[] | { [key: string]: Json };

/** A message, as this device receives it. Content fields are there where the sender gave them. */
export interface Message {
  readonly type: "message";
  /** The same on every device and every redelivery. */
  readonly id: string;
  /** Where it stands in the mailbox; absent for a message that is not kept (`persist: false`). */
  readonly epoch?: number;
  readonly seq?: number;
  readonly deviceId: string;
  /** The user. */
  readonly toUserName: string;
  readonly fromUserName?: string;
  /** When it was accepted, in seconds of Unix time. */
  readonly createTime: number;
  /** `MSG` is shown, `CMD` is handed to the app. */
  readonly pushMsgType?: "MSG" | "CMD";
  readonly msgType?: "text" | "event" | "image" | "voice" | "link" | "file";
  /** The text that is shown. */
  readonly alert?: string;
  /** The app's own data. */
  readonly extra?: Json;
  readonly event?: string;
  readonly sound?: string;
  readonly badge?: number;
  readonly sender?: string;
  readonly sendDevice?: string;
  readonly source?: { readonly platform?: string; readonly product?: string };
  readonly category?: string;
  readonly tag?: string;
  /** Redelivered until a device confirms it. */
  readonly needConfirm?: boolean;
}

/** An announcement: sent once, to everyone. It is in no mailbox, and nobody acknowledges or reads it. */
export interface Announcement extends Omit<Message, "type" | "epoch" | "seq" | "needConfirm"> {
  readonly type: "announcement";
  /** Its place in the log of announcements. Grows, and is not dense. */
  readonly number: number;
  /** The place of the one before it, as far as this device is concerned; 0 before the first. */
  readonly after: number;
}

/** How far a replay came in the announcements. */
export interface Announced {
  /** The last one that it sent, or the one that was asked from. */
  readonly after: number;
  /** Nothing between `after` and this is for this device. */
  readonly number: number;
  /** There is more to ask for. */
  readonly more?: boolean;
}

/** The end of a replay. */
export interface Synced extends Position {
  readonly type: "synced";
  readonly deviceId: string;
  /** `false`: the mailbox no longer reaches back to the place that was asked for. */
  readonly recovered: boolean;
  /** There is more to ask for. */
  readonly more: boolean;
  /** The places in its epoch that the replay sent. */
  readonly posted: readonly number[];
  /** How far the replay came in the announcements; absent while there is more of the mailbox. */
  readonly announced?: Announced;
}

/** The service is there. */
export interface Pong extends Position {
  readonly type: "pong";
  readonly deviceId: string;
  /** In seconds of Unix time. */
  readonly serverTime: number;
  /** In seconds. */
  readonly nextPing: number;
}

/** Something that the device said could not be done. */
export interface ErrorFrame {
  readonly type: "error";
  readonly deviceId: string;
  readonly code: string;
  readonly detail: string;
}

/** Come back on a new connection. */
export interface Reconnect {
  readonly type: "reconnect";
  readonly deviceId: string;
  readonly code: string;
  /** In seconds, to be spread. */
  readonly after: number;
}

/** What a device receives, once opened. */
export type Frame = Message | Announcement | Synced | Pong | ErrorFrame | Reconnect;

/** A message and its frame on the wire, a JWE in compact form. */
export interface Received {
  readonly message: Message;
  readonly sealed: string;
}

type Fields = Record<string, unknown>;

/** Two places in the log of announcements, by example. */
const NUMBERS: Fields = { after: 0, number: 0 };

/** What each kind must have, by example. */
const KINDS = new Map<unknown, Fields>([
  ["message", { id: "" }],
  ["announcement", { id: "", ...NUMBERS }],
  ["synced", { epoch: 0, seq: 0, recovered: true, more: true, posted: [] }],
  ["pong", { epoch: 0, seq: 0, serverTime: 0, nextPing: 0 }],
  ["error", { code: "", detail: "" }],
  ["reconnect", { code: "", after: 0 }],
]);

function isLike(value: unknown, example: unknown): boolean {
  if (Array.isArray(example)) {
    return Array.isArray(value) && value.every((item) => isLike(item, 0));
  }
  if (typeof example === "object") {
    return Object.entries(example as Fields).every(([name, like]) => isLike((value as Fields | null)?.[name], like));
  }
  // JSON has any number; what JavaScript cannot count exactly is no place and no time.
  return typeof example === "number"
    ? Number.isSafeInteger(value) && (value as number) >= 0
    : typeof value === typeof example;
}

/** Reads what a frame said; `undefined` where that is no JSON, or nothing that this version knows. */
export function parse(text: string): Frame | undefined {
  try {
    const frame = JSON.parse(text) as Fields;
    const kind = KINDS.get(frame.type);
    // Both or none of them.
    const place = (frame.epoch ?? frame.seq) === undefined ? {} : { epoch: 0, seq: 0 };
    const announced = frame.announced === undefined ? {} : { announced: NUMBERS };
    return kind && isLike(frame, { ...kind, ...place, ...announced, deviceId: "" })
      ? (frame as unknown as Frame)
      : undefined;
  } catch {
    return undefined;
  }
}

/** Reads what a frame for `device` said. Throws a {@link TidingsError} for anything else. */
export function read(text: string, device: string): Frame {
  const frame = parse(text);
  if (!frame) {
    throw new TidingsError("unexpected", "unknown kind");
  }
  if (frame.deviceId !== device) {
    throw new TidingsError("unexpected", "names another device");
  }
  return frame;
}

/** Opens and reads what is sealed for a device. Throws a {@link TidingsError} for anything else. */
export async function unseal(identity: Identity, sealed: unknown): Promise<Frame> {
  return read(await open(identity, sealed), identity.id);
}

/** The same, where nothing but a message is welcome. */
export async function unsealMessage(identity: Identity, sealed: string): Promise<Message> {
  const frame = await unseal(identity, sealed);
  if (frame.type !== "message") {
    throw new TidingsError("unexpected", "no message");
  }
  return frame;
}
