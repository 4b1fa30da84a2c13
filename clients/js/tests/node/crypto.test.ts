import assert from "node:assert/strict";
import { test } from "node:test";
import { decode, encode } from "../../src/encoding.js";
import { TidingsError } from "../../src/errors.js";
import { parse, read, unsealMessage } from "../../src/frames.js";
import { identify, type Registration } from "../../src/identity.js";
import { open } from "../../src/jwe.js";
import { connectToken } from "../../src/tokens.js";
import { keysOf, sealFrame } from "../sealing.js";

const DEVICE = "device.with.dots";
const KEYS = keysOf(DEVICE, 3, 4);
const REGISTRATION: Registration = { id: DEVICE, keys: KEYS };

test("every length comes back", async () => {
  const identity = await identify(REGISTRATION);
  for (let length = 0; length < 100; length += 1) {
    const text = "é".repeat(length);
    assert.equal(await open(identity, sealFrame(KEYS, text, Buffer.alloc(16, length))), JSON.stringify(text));
  }
});

test("data of the app comes back whole, whatever characters it has", async () => {
  const identity = await identify(REGISTRATION);
  const extra = { "a\0b": ["\0", "x\0y\u001f\u007f\ufffe\uffff\u2028"], "": null };
  const frame = { type: "message", id: "m", deviceId: DEVICE, extra };
  const opened = await unsealMessage(identity, sealFrame(KEYS, frame, Buffer.alloc(16)));
  assert.deepEqual(opened.extra, extra);
});

test("the largest frame opens, and larger ones do no harm", async () => {
  const identity = await identify(REGISTRATION);
  for (const length of [24_576, 98_000]) {
    const text = "x".repeat(length - 2);
    assert.equal(await open(identity, sealFrame(KEYS, text, Buffer.alloc(16))), JSON.stringify(text));
  }
});

test("every other character at every place is refused", async () => {
  const identity = await identify(REGISTRATION);
  const sealed = sealFrame(KEYS, { type: "message", id: "m" }, Buffer.alloc(16, 9));
  let tried = 0;
  for (let place = 0; place < sealed.length; place += 1) {
    for (const other of ["A", "B", "_", "-", ".", "=", " ", "é"]) {
      if (sealed[place] !== other) {
        tried += 1;
        const changed = sealed.slice(0, place) + other + sealed.slice(place + 1);
        await assert.rejects(open(identity, changed), { code: "unreadable_frame" }, `${other} at ${place}`);
      }
    }
    await assert.rejects(open(identity, sealed.slice(0, place)), { code: "unreadable_frame" }, `cut at ${place}`);
  }
  assert.ok(tried > 1_000, String(tried));
});

test("base64url has one spelling", () => {
  for (let length = 0; length < 70; length += 1) {
    const bytes = Uint8Array.from({ length }, (_, index) => (index * 37 + length) & 255);
    assert.equal(encode(bytes), Buffer.from(bytes).toString("base64url"));
    assert.deepEqual(decode(encode(bytes)), bytes);
  }
  for (const wrong of ["A", "AAAAA", "AB", "AAB", "AA==", "A A", "A+==", "A/AA", "é", "AAAA\n"]) {
    assert.equal(decode(wrong), undefined, wrong);
  }
});

test("a registration that makes no device is refused", async () => {
  const { content, token } = KEYS;
  const wrong: unknown[] = [
    {},
    { id: DEVICE },
    { id: DEVICE, keys: {} },
    { id: DEVICE, keys: { content } },
    { id: "another", keys: KEYS },
    { id: DEVICE, keys: { content: token, token: content } },
    { id: DEVICE, keys: { content: { ...content, kty: "RSA" }, token } },
    { id: DEVICE, keys: { content: { ...content, alg: "A256GCM" }, token } },
    { id: DEVICE, keys: { content: { ...content, k: content.k.slice(4) }, token } },
    { id: DEVICE, keys: { content: { ...content, k: `${content.k}=` }, token } },
    { id: DEVICE, keys: { content, token: { ...token, kid: token.kid.replace("sig", "enc") } } },
    { id: DEVICE, keys: { content: { ...content, kid: "x" }, token } },
  ];
  for (const registration of wrong) {
    await assert.rejects(
      identify(registration as Registration),
      { code: "bad_registration" },
      JSON.stringify(registration),
    );
  }
});

test("keys cannot be taken out again", async () => {
  const identity = await identify(REGISTRATION);
  assert.equal(identity.owner, `${DEVICE}.4`);
  for (const key of [identity.mac, identity.cipher, identity.token]) {
    assert.equal(key.extractable, false);
    await assert.rejects(crypto.subtle.exportKey("raw", key));
  }
});

test("a token is good for half a minute before and after now, once", async () => {
  const identity = await identify(REGISTRATION);
  const tokens = await Promise.all([connectToken(identity, 1_000_999), connectToken(identity, 1_000_999)]);
  const [header, claims] = (tokens[0] ?? "").split(".").map((part) => Buffer.from(part, "base64url").toString());
  assert.deepEqual(JSON.parse(header ?? ""), { alg: "HS256", kid: KEYS.token.kid, typ: "JWT" });
  const { jti, ...rest } = JSON.parse(claims ?? "") as { jti: string };
  assert.deepEqual(rest, { sub: DEVICE, aud: "tidings", iat: 970, exp: 1_030 });
  assert.match(jti, /^[0-9a-f-]{36}$/);
  assert.notEqual(tokens[0], tokens[1]);
});

test("a clock before 1970 makes a token that is refused, not one that cannot be read", async () => {
  const [, claims] = (await connectToken(await identify(REGISTRATION), -5_000)).split(".");
  assert.equal(JSON.parse(Buffer.from(claims ?? "", "base64url").toString()).iat, 0);
});

test("frames are what they should be, or nothing", () => {
  const good: Record<string, unknown>[] = [
    { type: "message", id: "m", epoch: 1, seq: 2 },
    { type: "message", id: "m" },
    { type: "announcement", id: "a", number: 2, after: 0 },
    { type: "announcement", id: "a", number: 2, after: 1, anything: [1] },
    { type: "synced", epoch: 0, seq: 0, recovered: true, more: false, posted: [] },
    { type: "synced", epoch: 7, seq: 9, recovered: false, more: true, posted: [8, 9], count: 2 },
    { type: "synced", epoch: 0, seq: 0, recovered: true, more: false, posted: [], announced: { after: 0, number: 0 } },
    { type: "pong", epoch: 7, seq: 9, serverTime: 1, nextPing: 240 },
    { type: "error", code: "c", detail: "d" },
    { type: "reconnect", code: "c", after: 0 },
  ];
  for (const frame of good) {
    const text = JSON.stringify({ ...frame, deviceId: "d" });
    assert.deepEqual(parse(text), { ...frame, deviceId: "d" });
    assert.throws(() => read(text, "e"), { code: "unexpected", detail: "names another device" });
    assert.equal(parse(JSON.stringify(frame)), undefined, "without a device");
  }
  const wrong: unknown[] = [
    null,
    1,
    "text",
    [],
    {},
    { type: "dance" },
    { type: "toString" },
    { type: "__proto__" },
    { type: ["message"], id: "m" },
    { type: "message" },
    { type: "message", id: 1 },
    { type: "message", id: "m", seq: 1 },
    { type: "message", id: "m", epoch: 1 },
    { type: "message", id: "m", epoch: -1, seq: 1 },
    { type: "message", id: "m", epoch: 1.5, seq: 1 },
    { type: "message", id: "m", epoch: 2 ** 53, seq: 1 },
    { type: "message", id: "m", epoch: "1", seq: "1" },
    { type: "announcement" },
    { type: "announcement", id: "a", number: 1 },
    { type: "announcement", id: "a", after: 0 },
    { type: "announcement", number: 1, after: 0 },
    { type: "announcement", id: 1, number: 1, after: 0 },
    { type: "announcement", id: "a", number: "1", after: 0 },
    { type: "announcement", id: "a", number: 1, after: -1 },
    { type: "announcement", id: "a", number: 2 ** 53, after: 0 },
    ...[
      null,
      1,
      "1",
      [1, 2],
      {},
      { after: 1 },
      { number: 1 },
      { after: 1, number: null },
      { after: 0.5, number: 1 },
    ].map((announced) => ({ type: "synced", epoch: 1, seq: 1, recovered: true, more: false, posted: [], announced })),
    { type: "synced", epoch: 1, seq: 1, recovered: true, more: false },
    { type: "synced", epoch: 1, seq: 1, recovered: 1, more: 0, posted: [] },
    { type: "synced", epoch: 1, seq: 1, recovered: true, more: false, posted: ["1"] },
    { type: "synced", recovered: true, more: false, posted: [] },
    { type: "pong", epoch: 1, seq: 1, serverTime: 1 },
    { type: "pong", epoch: 1, seq: 1, serverTime: 1, nextPing: null },
    { type: "pong", serverTime: 1, nextPing: 1 },
    { type: "error", code: 1, detail: "d" },
    { type: "reconnect", code: "c", after: "soon" },
  ];
  for (const frame of wrong) {
    const text = JSON.stringify(
      typeof frame === "object" && frame && !Array.isArray(frame) ? { ...frame, deviceId: "d" } : frame,
    );
    assert.equal(parse(text), undefined, text);
    assert.throws(
      () => read(text, "d"),
      (error) => error instanceof TidingsError && error.code === "unexpected",
    );
  }
  assert.equal(parse("not JSON"), undefined);
});
