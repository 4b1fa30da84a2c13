/** Bytes that WebCrypto takes: never in shared memory. */
export type Bytes = Uint8Array<ArrayBuffer>;

/** Canonical base64url (RFC 4648 §5) without padding: one spelling for each sequence of bytes. */
const CANONICAL = /^(?:[\w-]{4})*(?:[\w-][AQgw]|[\w-]{2}[AEIMQUYcgkosw048])?$/;

/** Writes bytes as base64url: no more than some thousand of them. */
export function encode(bytes: Bytes): string {
  return btoa(String.fromCharCode(...bytes))
    .replaceAll("+", "-")
    .replaceAll("/", "_")
    .replaceAll("=", "");
}

/** Reads base64url; `undefined` for any other spelling. */
export function decode(text: string): Bytes | undefined {
  if (!CANONICAL.test(text)) {
    return undefined;
  }
  return Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (character) => character.charCodeAt(0));
}

/** Text as UTF-8. */
export function utf8(text: string): Bytes {
  return new TextEncoder().encode(text);
}

/** UTF-8 as text. */
export function text(bytes: BufferSource): string {
  return new TextDecoder().decode(bytes);
}
