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

/** The answer of `POST /v1/devices`, as the app's backend hands it on. The keys in it are secret. */
export interface Registration {
  readonly id: string;
  readonly keys: { readonly content: Jwk; readonly token: Jwk };
  /**
   * The backend's clock in seconds of Unix time, if it likes to add it: a device whose own clock is wrong by more than
   * half a minute cannot connect without.
   */
  readonly serverTime?: number;
}

/** Who a device is. The keys are not extractable: IndexedDB can hold them, and no script reads them. */
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

/** `<device>.<root key version>.<generation>.<use>` */
const KID = /^(.+)\.\d+\.(\d+)\.(enc|sig)$/;

function keyOf(jwk: Jwk | undefined, alg: string, length: number): Bytes {
  const bytes = jwk?.kty === "oct" && jwk.alg === alg && typeof jwk.k === "string" ? decode(jwk.k) : undefined;
  if (bytes?.length !== length) {
    throw new TidingsError("bad_registration", `the ${alg} key is not ${length} bytes of an "oct" key`);
  }
  return bytes;
}

/** Takes id and keys from a registration. Throws a {@link TidingsError} `bad_registration`. */
export async function identify(registration: Registration): Promise<Identity> {
  const id = registration?.id;
  const { content, token } = registration?.keys ?? {};
  const contentKey = keyOf(content, "dir", 64);
  const tokenKey = keyOf(token, "HS256", 32);
  const [, device, generation, use] = KID.exec(content.kid) ?? [];
  const [, signer, , signs] = KID.exec(token.kid) ?? [];
  if (device !== id || signer !== id || use !== "enc" || signs !== "sig") {
    throw new TidingsError("bad_registration", "a key is not this device's");
  }
  const { subtle } = crypto;
  const [mac, cipher, sign] = await Promise.all([
    // RFC 7518 §5.2.2.1: the first half authenticates, the second encrypts.
    subtle.importKey("raw", contentKey.subarray(0, 32), { name: "HMAC", hash: "SHA-512" }, false, ["sign"]),
    subtle.importKey("raw", contentKey.subarray(32), "AES-CBC", false, ["decrypt"]),
    subtle.importKey("raw", tokenKey, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]),
  ]);
  return { id, owner: `${id}.${generation}`, contentKid: content.kid, tokenKid: token.kid, mac, cipher, token: sign };
}
