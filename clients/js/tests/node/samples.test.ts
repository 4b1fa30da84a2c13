// The samples of docs/clients.md and README.md work as they are printed.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { TidingsError } from "../../src/errors.js";
import { until } from "./clock.js";
import { DEVICE, Service } from "./service.js";

const PACKAGE = fileURLToPath(new URL("../../", import.meta.url));
const GUIDE = readFileSync(join(PACKAGE, "../../docs/clients.md"), "utf8");
const README = readFileSync(join(PACKAGE, "README.md"), "utf8");

function sample(page: string, text: string): string {
  const blocks = [...page.matchAll(/```js\n([\s\S]*?)```/g)].map(([, code = ""]) => code);
  const [block, ...others] = blocks.filter((code) => code.includes(text));
  assert.ok(block && others.length === 0, `one block with ${text}`);
  return block;
}

/** The notification that the service worker shows for a push. */
async function shownFor(
  json: () => unknown,
  receivePush: () => Promise<unknown>,
): Promise<[string, { body?: string }][]> {
  const shown: [string, { body?: string }][] = [];
  let handle = (_: unknown): void => {};
  const self = {
    registration: { showNotification: async (title: string, options: object) => void shown.push([title, options]) },
    addEventListener: (_: string, handler: typeof handle) => {
      handle = handler;
    },
  };
  const code = sample(README, "receivePush").replace(/^import .*$/m, "");
  const quiet = { warn: () => {} };
  new Function("self", "receivePush", "console", code)(self, receivePush, quiet);
  let work: unknown;
  handle({ data: json === NOTHING ? null : { json }, waitUntil: (promise: unknown) => (work = promise) });
  await work;
  return shown;
}

const NOTHING = (): never => assert.fail("there is no data");
const PUSH = { title: "Shop", body: "Hi", data: { id: "m", frame: "x" } };
const OPENS = async (): Promise<unknown> => ({ alert: "Hello" });

test("every push shows one notification with a title and a text", async () => {
  const fails = (error: unknown) => async () => Promise.reject(error);
  const cases: [string, () => unknown, () => Promise<unknown>, string, string][] = [
    ["a new message", () => PUSH, OPENS, "Shop", "Hello"],
    ["a message that a page has shown", () => PUSH, async () => null, "Shop", "Hi"],
    ["a frame of another device", () => PUSH, fails(new TidingsError("unreadable_frame", "")), "Shop", "Hi"],
    ["a store that fails", () => PUSH, fails(new DOMException("", "UnknownError")), "Shop", "Hi"],
    ["no frame", () => ({ ...PUSH, data: { id: "m" } }), fails(new TidingsError("unreadable_frame", "")), "Shop", "Hi"],
    ["a message without a text", () => PUSH, async () => ({}), "Shop", "Hi"],
    ["no title", () => ({ ...PUSH, title: "" }), OPENS, "New message", "Hello"],
    ["nothing but an id", () => ({ data: { id: "m" } }), OPENS, "New message", "Hello"],
    ["an object of another sender", () => ({}), OPENS, "New message", "Open the app to read it."],
    ["no JSON", () => JSON.parse("nonsense"), OPENS, "New message", "Open the app to read it."],
    ["no data", NOTHING, OPENS, "New message", "Open the app to read it."],
  ];
  for (const [name, json, receivePush, title, body] of cases) {
    const shown = await shownFor(json, receivePush);
    assert.deepEqual(
      shown.map(([title, { body }]) => [title, body]),
      [[title, body]],
      name,
    );
  }
});

test("the service worker is the same on every page", () => {
  const code = sample(README, "receivePush");
  assert.equal(sample(GUIDE, "receivePush"), code);
  const comment = /```js\n([\s\S]*?)```/.exec(readFileSync(join(PACKAGE, "src/push.ts"), "utf8"))?.[1];
  assert.equal(comment?.replaceAll(/^ \* ?/gm, "").trim(), code.trim());
});

/** Runs the guide's program for Node; what it has printed so far. */
function run(t: { after(work: () => void): void }, url: string, api: string): () => string {
  const folder = mkdtempSync(join(tmpdir(), "tidings-"));
  mkdirSync(join(folder, "node_modules/@tidings"), { recursive: true });
  symlinkSync(PACKAGE, join(folder, "node_modules/@tidings/client"));
  symlinkSync(join(PACKAGE, "node_modules/ws"), join(folder, "node_modules/ws"));
  const code = sample(GUIDE, 'from "ws"');
  assert.ok(code.includes("ws://127.0.0.1:7401/prod"));
  writeFileSync(join(folder, "listen.mjs"), code.replace("ws://127.0.0.1:7401/prod", url));
  const env = { ...process.env, KEY: "td_demo.x", API: api };
  const child = spawn(process.execPath, ["listen.mjs"], { cwd: folder, env, stdio: ["ignore", "pipe", "pipe"] });
  let printed = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (data) => {
      printed += data;
    });
  }
  t.after(() => {
    child.kill();
    rmSync(folder, { recursive: true });
  });
  return () => printed;
}

test("the guide's program for Node shows a message, and what is wrong", async (t) => {
  const service = await Service.start(t);
  let answer: unknown = { id: DEVICE, keys: service.keys };
  const backend = createServer((request, response) => {
    assert.deepEqual([request.method, request.url], ["POST", "/v1/devices"]);
    assert.equal(request.headers.authorization, "Bearer td_demo.x");
    response.end(JSON.stringify(answer));
  });
  await new Promise<void>((resolve) => backend.listen(0, "127.0.0.1", resolve));
  t.after(() => backend.close());
  const api = `http://127.0.0.1:${(backend.address() as AddressInfo).port}`;

  await t.test("a message", async (t) => {
    const printed = run(t, service.url, api);
    const peer = await service.accept();
    await peer.upToDate(0);
    peer.message(1);
    await until(() => printed().includes("no. 1"), "the message");
    assert.match(printed(), /connecting \nonline \nno\. 1\n/);
  });
  await t.test("a wrong key", async (t) => {
    answer = { status: 401, code: "wrong_app_key", detail: "the app key is not valid" };
    const printed = run(t, service.url, api);
    await until(() => printed().includes("bad_registration: POST /v1/devices: wrong_app_key"), "the reason");
  });
  await t.test("a wrong port of the backend", async (t) => {
    const printed = run(t, service.url, "http://127.0.0.1:1");
    await until(() => printed().includes("registration_failed: TypeError: fetch failed"), "the reason");
  });
  await t.test("a wrong port of the socket", async (t) => {
    answer = { id: DEVICE, keys: service.keys };
    const printed = run(t, "ws://127.0.0.1:1/prod", api);
    await until(() => printed().includes("waiting unreachable"), "the reason");
  });
});

test("without a listener, an error is reported", async (t) => {
  const service = await Service.start(t);
  const { Device } = await import("../../src/device.js");
  const { WebSocket } = await import("ws");
  const complaints: unknown[] = [];
  t.mock.method(console, "error", (error: unknown) => complaints.push(error));
  const keys = {} as Service["keys"];
  const device = new Device({ url: service.url, registration: { id: "x", keys }, WebSocket });
  device.start();
  await until(() => complaints.length === 1);
  assert.match(String(complaints[0]), /bad_registration: POST \/v1\/devices: no keys/);
});
