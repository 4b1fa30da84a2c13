import { TidingsError } from "./errors.js";
import type { Identity } from "./identity.js";
import { open } from "./jwe.js";
import type * as wire from "./wire.js";

/** The end of a replay. This client uses the positions that it sent, and not their count. */
export type Synced = Omit<wire.Synced, "count"> & Required<Pick<wire.Synced, "posted">>;

/** The request to reconnect. */
export type Reconnect = wire.Rollover | wire.ReconnectInClear;

/** A frame, opened. */
export type Frame = Exclude<wire.Frame, wire.Synced> | Synced;

/** A message and its frame on the wire, a JWE in compact form. */
export interface Received {
  readonly message: wire.Message;
  readonly sealed: string;
}

type Fields = Record<string, unknown>;

/** Two numbers in the log of announcements, by example. */
const NUMBERS: Fields = { after: 0, number: 0 };

/** The required fields of each kind, by example. */
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
  // JSON allows any number; one that JavaScript cannot represent exactly is neither a position nor a time.
  return typeof example === "number"
    ? Number.isSafeInteger(value) && (value as number) >= 0
    : typeof value === typeof example;
}

/** Parses an opened frame; `undefined` if it is not JSON, or of a kind that this version does not know. */
export function parse(text: string): Frame | undefined {
  try {
    const frame = JSON.parse(text) as Fields;
    const kind = KINDS.get(frame.type);
    // Either both or neither.
    const place = (frame.epoch ?? frame.seq) === undefined ? {} : { epoch: 0, seq: 0 };
    const announced = frame.announced === undefined ? {} : { announced: NUMBERS };
    return kind && isLike(frame, { ...kind, ...place, ...announced, deviceId: "" })
      ? (frame as unknown as Frame)
      : undefined;
  } catch {
    return undefined;
  }
}

/** Parses an opened frame for `device`. Throws a {@link TidingsError} for anything else. */
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

/** Opens and parses a sealed frame of a device. Throws a {@link TidingsError} for anything else. */
export async function unseal(identity: Identity, sealed: unknown): Promise<Frame> {
  return read(await open(identity, sealed), identity.id);
}

/** Opens and parses a frame that must be a message. */
export async function unsealMessage(identity: Identity, sealed: string): Promise<wire.Message> {
  const frame = await unseal(identity, sealed);
  if (frame.type !== "message") {
    throw new TidingsError("unexpected", "no message");
  }
  return frame;
}

/**
 * The one frame that the service sends in clear: it does not know this connection, and so has no key for it. The client
 * reconnects at no other cost; everything else in clear is ignored.
 */
export function inClear(data: unknown): Reconnect | undefined {
  const frame = typeof data === "string" && data.startsWith("{") ? parse(data) : undefined;
  return frame?.type === "reconnect" && frame.deviceId === "" ? frame : undefined;
}
