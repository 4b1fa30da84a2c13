// What the service does, by Node's own cryptography: nothing of the client is used.

import { createCipheriv, createHmac, createSecretKey } from "node:crypto";

export interface Keys {
  readonly content: { kty: string; use: string; alg: string; kid: string; k: string };
  readonly token: { kty: string; use: string; alg: string; kid: string; k: string };
}

/** Keys of a device, from one byte. */
export function keysOf(device: string, seed: number, generation = 0): Keys {
  const bytes = (length: number, first: number): string =>
    Buffer.from(Array.from({ length }, (_, index) => (first + index) & 255)).toString("base64url");
  return {
    content: { kty: "oct", use: "enc", alg: "dir", kid: `${device}.1.${generation}.enc`, k: bytes(64, seed) },
    token: { kty: "oct", use: "sig", alg: "HS256", kid: `${device}.1.${generation}.sig`, k: bytes(32, seed + 100) },
  };
}

/** Seals text by RFC 7516 and RFC 7518 §5.2.5; the header may be any. */
export function seal(key: string, header: string, plaintext: string | Buffer, iv: Buffer): string {
  const bytes = Buffer.from(key, "base64url");
  const aad = Buffer.from(header).toString("base64url");
  const cipher = createCipheriv("aes-256-cbc", createSecretKey(bytes.subarray(32)), iv);
  const ciphertext = Buffer.concat([cipher.update(plaintext), cipher.final()]);
  const length = Buffer.alloc(8);
  length.writeBigUInt64BE(BigInt(aad.length * 8));
  const mac = createHmac("sha512", bytes.subarray(0, 32)).update(aad).update(iv).update(ciphertext).update(length);
  const parts = [iv, ciphertext, mac.digest().subarray(0, 32)].map((part) => part.toString("base64url"));
  return `${aad}..${parts.join(".")}`;
}

/** The header of every frame. */
export function headerFor(kid: string): string {
  return JSON.stringify({ alg: "dir", enc: "A256CBC-HS512", kid });
}

/** A frame for the holder of these keys. */
export function sealFrame(keys: Keys, frame: unknown, iv: Buffer): string {
  return seal(keys.content.k, headerFor(keys.content.kid), JSON.stringify(frame), iv);
}

/** Signs a token by RFC 7515 and RFC 7519. */
export function signToken(keys: Keys, claims: unknown): string {
  const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64url");
  const input = `${part({ alg: "HS256", kid: keys.token.kid, typ: "JWT" })}.${part(claims)}`;
  return `${input}.${createHmac("sha256", Buffer.from(keys.token.k, "base64url")).update(input).digest("base64url")}`;
}
