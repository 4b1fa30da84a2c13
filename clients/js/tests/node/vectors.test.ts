// docs/vectors.json holds test vectors for clients in any language. This test makes it with Node's own cryptography,
// and checks the client against it. `UPDATE_VECTORS=1` regenerates it.

import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { TidingsError } from "../../src/errors.js";
import { identify, type Registration } from "../../src/identity.js";
import { open } from "../../src/jwe.js";
import { sign } from "../../src/tokens.js";
import { headerFor, keysOf, seal, sealFrame, signToken } from "../sealing.js";

const FILE = new URL("../../../../docs/vectors.json", import.meta.url);
const DEVICE = "6f0e4f2a3c1d5b7988a1c2d3e4f50617";

interface Vectors {
  about: string;
  registration: Registration;
  token: { claims: { sub: string; aud: string; iat: number; exp: number; jti: string }; compact: string };
  frames: { name: string; sealed: string; opened: string | null }[];
}

function vectors(): Vectors {
  const keys = keysOf(DEVICE, 1);
  const others = keysOf("0123456789abcdef0123456789abcdef", 2);
  const { kid, k } = keys.content;
  const iv = Buffer.from(Array.from({ length: 16 }, (_, index) => 0xa0 + index));
  const claims = { sub: DEVICE, aud: "tidings", iat: 1_795_334_400, exp: 1_795_334_460, jti: "0193a2b4-6c7d" };
  const message = {
    ...{ type: "message", id: "0193a2b4-6c7d-7e8f-9a0b-1c2d3e4f5061", epoch: 1_795_334_400_000, seq: 7 },
    ...{ deviceId: DEVICE, toUserName: "alice", createTime: 1_795_334_400, alert: "Ihr Paket ist da 📦" },
  };
  const text = JSON.stringify(message);
  const good = sealFrame(keys, message, iv);
  const parts = good.split(".");
  /** The good frame with one bit changed in one of its parts. */
  const flipped = (part: number, byte: number): string => {
    const bytes = Buffer.from(parts[part] as string, "base64url");
    bytes[byte] = (bytes[byte] as number) ^ 1;
    return parts.map((other, index) => (index === part ? bytes.toString("base64url") : other)).join(".");
  };
  const header = JSON.parse(headerFor(kid)) as Record<string, unknown>;
  const withHeader = (changes: Record<string, unknown>): string =>
    seal(k, JSON.stringify({ ...header, ...changes }), text, iv);
  const opens: [string, string, string][] = [
    ["a message", good, text],
    [
      "a header whose members stand in another order",
      seal(k, JSON.stringify({ kid, enc: header.enc, alg: "dir" }), text, iv),
      text,
    ],
    ["a plaintext that fills its last block", seal(k, headerFor(kid), "sixteen bytes...", iv), "sixteen bytes..."],
    ["nothing", seal(k, headerFor(kid), "", iv), ""],
  ];
  const refused: [string, string][] = [
    ["a bit of the header flipped", flipped(0, 9)],
    ["a bit of the IV flipped", flipped(2, 0)],
    ["the first bit of the ciphertext flipped", flipped(3, 0)],
    ["the last bit of the ciphertext flipped", flipped(3, Buffer.from(parts[3] as string, "base64url").length - 1)],
    ["a bit of the tag flipped", flipped(4, 31)],
    ["a tag of half the length", [...parts.slice(0, 4), (parts[4] as string).slice(0, 22)].join(".")],
    ["no tag", [...parts.slice(0, 4), ""].join(".")],
    ["no ciphertext", parts.map((part, index) => (index === 3 ? "" : part)).join(".")],
    ["an encrypted key, which `dir` has not", parts.map((part, index) => (index === 1 ? "AAAA" : part)).join(".")],
    ["a sixth part", `${good}.`],
    ["padding", `${good}=`],
    [
      "unused bits that are not zero",
      good.slice(0, -1) + (good.endsWith("A") ? "B" : String.fromCharCode(good.charCodeAt(good.length - 1) + 1)),
    ],
    ["another device's key and id", sealFrame(others, message, iv)],
    ["another device's key under this device's id", seal(others.content.k, headerFor(kid), text, iv)],
    ["this device's key under another device's id", withHeader({ kid: others.content.kid })],
    ["this device's key of another generation", withHeader({ kid: `${DEVICE}.1.1.enc` })],
    ["enc A128CBC-HS256", withHeader({ enc: "A128CBC-HS256" })],
    ["enc A256GCM", withHeader({ enc: "A256GCM" })],
    ["alg none", withHeader({ alg: "none" })],
    ["compressed", withHeader({ zip: "DEF" })],
    ["a critical member", withHeader({ crit: ["exp"], exp: 1 })],
    ["no kid", withHeader({ kid: undefined })],
    [
      "an error of API Gateway, in clear",
      '{"message": "Internal server error", "connectionId": "x=", "requestId": "y"}',
    ],
    ["an empty text", ""],
  ];
  return {
    about:
      "For clients in any language. `registration` is the answer of POST /v1/devices. `token.compact` is the connect " +
      "token for `token.claims`, with the header's and the claims' members in the order that is shown there. Each " +
      "frame opens to `opened` with the content key. If that is null, the frame must be refused, always with the " +
      "same error.",
    registration: { id: DEVICE, keys },
    token: { claims, compact: signToken(keys, claims) },
    frames: [
      ...opens.map(([name, sealed, opened]) => ({ name, sealed, opened })),
      ...refused.map(([name, sealed]) => ({ name, sealed, opened: null })),
    ],
  };
}

test("the file is what it is made from", () => {
  const text = `${JSON.stringify(vectors(), null, 2)}\n`;
  if (process.env.UPDATE_VECTORS) {
    writeFileSync(FILE, text);
  }
  assert.equal(readFileSync(FILE, "utf8"), text);
});

test("frames open, or are refused with one and the same error", async () => {
  const { registration, frames } = JSON.parse(readFileSync(FILE, "utf8")) as Vectors;
  const identity = await identify(registration);
  for (const { name, sealed, opened } of frames) {
    if (opened !== null) {
      assert.equal(await open(identity, sealed), opened, name);
      continue;
    }
    await assert.rejects(open(identity, sealed), (error) => {
      assert.ok(error instanceof TidingsError, name);
      assert.deepEqual(
        [error.code, error.detail, error.cause],
        ["unreadable_frame", "not sealed for this device", undefined],
      );
      return true;
    });
  }
});

test("the token for these claims", async () => {
  const { registration, token } = JSON.parse(readFileSync(FILE, "utf8")) as Vectors;
  assert.equal(await sign(await identify(registration), token.claims), token.compact);
});
