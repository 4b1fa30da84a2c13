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

interface Cleanup {
  after(work: () => unknown): void;
}

const KEY = `td_demo.${"k".repeat(43)}`;

/** Runs a program of the guide until the test ends; its output so far, and how it exited. */
function run(
  t: Cleanup,
  code: string,
  environment: Record<string, string>,
): { printed(): string; code(): number | null } {
  const folder = mkdtempSync(join(tmpdir(), "tidings-"));
  mkdirSync(join(folder, "node_modules/@tidings"), { recursive: true });
  symlinkSync(PACKAGE, join(folder, "node_modules/@tidings/client"));
  symlinkSync(join(PACKAGE, "node_modules/ws"), join(folder, "node_modules/ws"));
  writeFileSync(join(folder, "program.mjs"), code);
  const env = { ...process.env, ...environment };
  const child = spawn(process.execPath, ["program.mjs"], { cwd: folder, env, stdio: ["ignore", "pipe", "pipe"] });
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
  return { printed: () => printed, code: () => child.exitCode };
}

/** A sample with another text in place of one that it contains. */
function replaced(code: string, text: string, other: string): string {
  assert.ok(code.includes(text), text);
  return code.replace(text, other);
}

interface Asked {
  authorization?: string | undefined;
  body: Record<string, unknown>;
}

/** An HTTP API that answers every registration in the same way, and its address. */
async function api(t: Cleanup): Promise<{ url: string; asked: Asked[]; answer: { status: number; text: string } }> {
  const asked: Asked[] = [];
  const answer = { status: 200, text: "{}" };
  const server = createServer(async (request, response) => {
    assert.deepEqual([request.method, request.url], ["POST", "/v1/devices"]);
    let body = "";
    for await (const chunk of request) {
      body += chunk;
    }
    asked.push({ authorization: request.headers.authorization, body: JSON.parse(body) });
    response.writeHead(answer.status).end(answer.text);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => server.close());
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, asked, answer };
}

const WRONG_KEY = JSON.stringify({ status: 401, code: "wrong_app_key", detail: "the app key is not valid" });

test("the guide's program for Node shows a message, and what is wrong", async (t) => {
  const service = await Service.start(t);
  const { url, asked, answer } = await api(t);
  answer.text = JSON.stringify({ id: DEVICE, keys: service.keys });
  const code = (socket: string): string => replaced(sample(GUIDE, 'from "ws"'), "ws://127.0.0.1:7401/prod", socket);
  const start = (t: Cleanup, socket: string, environment: Record<string, string>) =>
    run(t, code(socket), { KEY, API: url, ...environment });

  await t.test("a message", async (t) => {
    const { printed } = start(t, service.url, {});
    const peer = await service.accept();
    await peer.upToDate(0);
    peer.message(1);
    await until(() => printed().includes("no. 1"), "the message");
    assert.match(printed(), /connecting \nonline \nno\. 1\n/);
    assert.equal(asked[0]?.authorization, `Bearer ${KEY}`);
  });
  await t.test("a wrong port of the socket", async (t) => {
    const { printed } = start(t, "ws://127.0.0.1:1/prod", {});
    await until(() => printed().includes("waiting unreachable"), "the reason");
  });
  const ends = (name: string, environment: Record<string, string>, reason: string): Promise<void> =>
    t.test(name, async (t) => {
      const { printed, code } = start(t, service.url, environment);
      await until(() => code() !== null, name);
      assert.equal(code(), 1);
      assert.ok(printed().includes(`Error: ${reason}`), printed());
    });
  await ends("no address", { API: "" }, "set API to the HTTP API");
  await ends("a key with an ellipsis", { KEY: "td_demo.…" }, "set API to the HTTP API, KEY to the whole app key");
  await ends("a wrong port", { API: "http://127.0.0.1:1" }, "http://127.0.0.1:1/v1/devices: Error: bad port");
  Object.assign(answer, { status: 401, text: WRONG_KEY });
  await ends("a wrong key", {}, `${url}/v1/devices: 401 ${WRONG_KEY}`);
  Object.assign(answer, { status: 200, text: "<!doctype html>" });
  await ends("a page instead of the API", {}, `${url}/v1/devices: 200 <!doctype html>`);
});

test("the guide's backend registers a page and its subscription, and its page shows what is wrong", async (t) => {
  const { url, asked, answer } = await api(t);
  const listen = '.listen(3000, "127.0.0.1")';
  const printing = '.listen(0, "127.0.0.1", function () { console.log(`at ${this.address().port};`); })';
  const { printed } = run(t, replaced(sample(GUIDE, listen), listen, printing), { KEY, API: url });
  await until(() => /at \d+;/.test(printed()), "the backend");
  const origin = `http://127.0.0.1:${/at (\d+);/.exec(printed())?.[1]}`;
  // As a browser: from the page's origin, with its cookies.
  let cookie = "";
  const browser = async (path: string, init: RequestInit): Promise<Response> => {
    const response = await fetch(origin + path, { ...init, headers: { cookie } });
    cookie = response.headers.getSetCookie()[0]?.split(";")[0] ?? cookie;
    return response;
  };
  const subscription = { endpoint: "https://push.example.com/1", keys: { p256dh: "x", auth: "y" } };
  let subscribed: object | null = null;
  const pushManager = {
    subscribe: async () => (subscribed = { toJSON: () => ({ ...subscription, expirationTime: null }) }),
    getSubscription: async () => subscribed,
  };
  const register = async (): Promise<void> => {};
  const getRegistration = async (): Promise<object> => ({ pushManager });
  const navigator = { serviceWorker: { register, getRegistration, ready: Promise.resolve({ pushManager }) } };
  const page = /^const subscription[\s\S]*?^const registration[\s\S]*?^};$/m.exec(
    sample(GUIDE, '"/register-this-browser", { method: "POST", body'),
  ) ?? [""];
  const registration = new Function("fetch", "navigator", `${page[0]} return registration;`)(
    browser,
    navigator,
  ) as () => Promise<unknown>;

  answer.text = JSON.stringify({ id: "device-1" });
  assert.deepEqual(await registration(), { id: "device-1" });
  const code = sample(GUIDE, "pushManager.subscribe");
  await new Function("navigator", `return (async () => {${code}})();`)(navigator);
  await registration();
  const [first, second] = asked.map(({ body }) => body);
  assert.match(String(first?.nativeToken), /^[\w-]{36}$/);
  assert.deepEqual(first, { appId: "demo", alias: "alice", platform: "WEB", nativeToken: first?.nativeToken });
  assert.deepEqual(second, { ...first, push: { channel: "webpush", ...subscription } });
  assert.equal(asked[0]?.authorization, `Bearer ${KEY}`);

  Object.assign(answer, { status: 401, text: WRONG_KEY });
  await assert.rejects(registration(), { message: `/register-this-browser: 401 ${WRONG_KEY}` });
  Object.assign(answer, { status: 200, text: "<!doctype html>" });
  await assert.rejects(registration(), { message: "/register-this-browser: 200 <!doctype html>" });
  assert.deepEqual(await browser("/elsewhere", {}).then(async (it) => [it.status, await it.text()]), [
    404,
    "not found",
  ]);
  assert.equal((await browser("/register-this-browser", { method: "POST", body: "nonsense" })).status, 502);
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
