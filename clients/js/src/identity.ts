import { type Bytes, decode } from "./encoding.js";
import { TidingsError } from "./errors.js";

/** A symmetric key as a JSON Web Key (RFC 7517 §4, RFC 7518 §6.4). */
export interface Jwk {
  readonly kty: string;
  readonly use?: string;
  readonly alg: string;
  readonly kid: string;
  readonly k: string;
}

/** The answer of `POST /v1/devices`, as the app's backend returns it. The keys in it are secret. */
export interface Registration {
  readonly id: string;
  readonly keys: { readonly content: Jwk; readonly token: Jwk };
  /**
   * The backend's clock in seconds of Unix time, optional: without it, a device whose clock is wrong by more than half
   * a minute cannot connect.
   */
  readonly serverTime?: number;
}

/** The identity of a device. The keys are not extractable: IndexedDB can store them, and no script can read them. */
export interface Identity {
  readonly id: string;
  /** The device in the hands of one user: its id and its generation, which grows when it changes hands. */
  readonly owner: string;
  readonly contentKid: string;
  readonly tokenKid: string;
  /** Authenticates frames, HMAC-SHA-512. */
  readonly mac: CryptoKey;
  /** Decrypts frames, AES-CBC. */
  readonly cipher: CryptoKey;
  /** Signs connect tokens, HMAC-SHA-256. */
  readonly token: CryptoKey;
}

/** The service's answer if it refuses. */
interface Problem {
  readonly code?: string;
}

/** `<device>.<root key version>.<generation>.<use>` */
const KID = /^(.+)\.\d+\.(\d+)\.(enc|sig)$/;

/** The bytes of a device's key, and the device's generation. */
function keyOf(device: string, jwk: Jwk, alg: string, use: string, length: number): [Bytes, string] | undefined {
  const [, id, generation = "", isFor] = KID.exec(jwk?.kid) ?? [];
  const bytes = decode(jwk?.k);
  return id === device && isFor === use && jwk.kty === "oct" && jwk.alg === alg && bytes?.length === length
    ? [bytes, generation]
    : undefined;
}

/** Reads id and keys from the answer to a registration. Throws a {@link TidingsError} `bad_registration`. */
export async function identify(registration: Registration): Promise<Identity> {
  // A backend that was refused often returns that answer, which has the reason (RFC 9457).
  const { id, keys, code = "no keys" } = (registration ?? {}) as Registration & Problem;
  const [content, generation] = keyOf(id, keys?.content, "dir", "enc", 64) ?? [];
  const [token] = keyOf(id, keys?.token, "HS256", "sig", 32) ?? [];
  if (!content || !token) {
    throw new TidingsError("bad_registration", `POST /v1/devices: ${code}`);
  }
  const take = (bytes: Bytes, algorithm: string | HmacImportParams, use: KeyUsage): Promise<CryptoKey> =>
    crypto.subtle.importKey("raw", bytes, algorithm, false, [use]);
  return {
    id,
    owner: `${id}.${generation}`,
    contentKid: keys.content.kid,
    tokenKid: keys.token.kid,
    // RFC 7518 §5.2.2.1: the first half authenticates, the second encrypts.
    mac: await take(content.subarray(0, 32), { name: "HMAC", hash: "SHA-512" }, "sign"),
    cipher: await take(content.subarray(32), "AES-CBC", "decrypt"),
    token: await take(token, { name: "HMAC", hash: "SHA-256" }, "sign"),
  };
}
