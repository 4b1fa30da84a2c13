import { TidingsError } from "./errors.js";
import type { Identity } from "./identity.js";
import { open } from "./jwe.js";
import type * as wire from "./wire.js";

/** The end of a replay. This client needs the places that it sent, and not their count. */
export type Synced = Omit<wire.Synced, "count"> & Required<Pick<wire.Synced, "posted">>;

/** Come back on a new connection. */
export type Reconnect = wire.Rollover | wire.ReconnectInClear;

/** What a device receives, once opened. */
export type Frame = Exclude<wire.Frame, wire.Synced> | Synced;

/** A message and its frame on the wire, a JWE in compact form. */
export interface Received {
  readonly message: wire.Message;
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
export async function unsealMessage(identity: Identity, sealed: string): Promise<wire.Message> {
  const frame = await unseal(identity, sealed);
  if (frame.type !== "message") {
    throw new TidingsError("unexpected", "no message");
  }
  return frame;
}

/**
 * The one thing that the service says in clear: it does not know this connection, so that no key belongs to it. Coming
 * back costs nothing but the connection; everything else in clear is ignored.
 */
export function inClear(data: unknown): Reconnect | undefined {
  const frame = typeof data === "string" && data.startsWith("{") ? parse(data) : undefined;
  return frame?.type === "reconnect" && frame.deviceId === "" ? frame : undefined;
}
