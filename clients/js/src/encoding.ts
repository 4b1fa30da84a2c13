/** Bytes that WebCrypto takes: never in shared memory. */
export type Bytes = Uint8Array<ArrayBuffer>;

/** Writes bytes as base64url: no more than some thousand of them. */
export function encode(bytes: Bytes): string {
  return btoa(String.fromCharCode(...bytes))
    .replaceAll("+", "-")
    .replaceAll("/", "_")
    .replaceAll("=", "");
}

/** Reads base64url (RFC 4648 §5) without padding; `undefined` for any spelling other than the one of {@link encode}. */
export function decode(text: string): Bytes | undefined {
  try {
    const bytes = Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (it) => it.charCodeAt(0));
    // Whitespace, padding, another alphabet and stray trailing bits are lost on the way.
    return encode(bytes) === text ? bytes : undefined;
  } catch {
    return undefined;
  }
}

/** Text as UTF-8. */
export function utf8(text: string): Bytes {
  return new TextEncoder().encode(text);
}

/** UTF-8 as text. */
export function text(bytes: BufferSource): string {
  return new TextDecoder().decode(bytes);
}
