import { type Bytes, decode, text, utf8 } from "./encoding.js";
import { TidingsError } from "./errors.js";
import type { Identity } from "./identity.js";

/** Header, no encrypted key, 16 bytes of IV, ciphertext, 32 bytes of tag. */
const COMPACT = /^([\w-]+)\.\.([\w-]{22})\.([\w-]+)\.([\w-]{43})$/;

/** The keys that open frames. */
export type ContentKeys = Pick<Identity, "contentKid" | "mac" | "cipher">;

/** The header's `kid`, if the header has exactly the members of a frame's. Unauthenticated. */
export function keyIdOf(sealed: string): string | undefined {
  try {
    const header = JSON.parse(text(decode(sealed.split(".", 1)[0] as string) as BufferSource)) as Record<
      string,
      unknown
    >;
    // No `zip`, no `crit`: what is not understood must not be ignored.
    return header.alg === "dir" && header.enc === "A256CBC-HS512" && Object.keys(header).length === 3
      ? String(header.kid)
      : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Opens a sealed frame: JWE in compact form (RFC 7516 §7.1), `dir`, A256CBC-HS512 (RFC 7518 §5.2.5), which WebCrypto
 * has in parts only.
 *
 * Throws the same {@link TidingsError} `unreadable_frame` for every fault: an attacker must not learn which it was.
 */
export async function open(keys: ContentKeys, sealed: unknown): Promise<string> {
  try {
    // A text that is not a frame has no such parts, and fails below.
    const [, header = "", ...rest] = COMPACT.exec(sealed as string) ?? [];
    const [iv, ciphertext, tag] = rest.map(decode) as [Bytes, Bytes, Bytes];
    // The length of the authenticated header in bits, as 64 bits; it always fits into 32.
    const bits = header.length * 8;
    const length = [0, 0, 0, 0, bits >>> 24, bits >>> 16, bits >>> 8, bits];
    const input = new Uint8Array([...utf8(header), ...iv, ...ciphertext, ...length]);
    const mac = new Uint8Array(await crypto.subtle.sign("HMAC", keys.mac, input));
    // All bytes are compared, wherever they differ, so that the time reveals nothing.
    const difference = tag.reduce((so_far, byte, index) => so_far | (byte ^ (mac[index] ?? 0)), 0);
    if (difference === 0 && keyIdOf(header) === keys.contentKid) {
      return text(await crypto.subtle.decrypt({ name: "AES-CBC", iv }, keys.cipher, ciphertext));
    }
  } catch {
    // The same refusal for every fault.
  }
  throw new TidingsError("unreadable_frame", "not sealed for this device");
}
