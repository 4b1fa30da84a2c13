import { encode, utf8 } from "./encoding.js";
import type { Identity } from "./identity.js";

/** Life of a token, in seconds: the longest that the service allows. */
const LIFE = 60;
/**
 * How far a token is dated back, in seconds: it is then in the middle of its life, which tolerates a clock that is
 * wrong either way.
 */
const BACKDATED = 30;

/** The claims of a token (RFC 7519 §4.1). */
export interface Claims {
  readonly sub: string;
  readonly aud: string;
  readonly iat: number;
  readonly exp: number;
  readonly jti: string;
}

/** Signs claims with the device's token key: a JWS in compact form (RFC 7515 §7.1) with HS256. */
export async function sign(identity: Pick<Identity, "tokenKid" | "token">, claims: Claims): Promise<string> {
  const part = (value: unknown): string => encode(utf8(JSON.stringify(value)));
  const input = `${part({ alg: "HS256", kid: identity.tokenKid, typ: "JWT" })}.${part(claims)}`;
  return `${input}.${encode(new Uint8Array(await crypto.subtle.sign("HMAC", identity.token, utf8(input))))}`;
}

/** A token for one connection or one request; `now` is in milliseconds of Unix time. */
export function connectToken(identity: Identity, now: number): Promise<string> {
  const iat = Math.max(0, Math.floor(now / 1_000) - BACKDATED);
  return sign(identity, { sub: identity.id, aud: "tidings", iat, exp: iat + LIFE, jti: crypto.randomUUID() });
}
