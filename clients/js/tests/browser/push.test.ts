// A real service worker. The push service is Chromium's own debugging interface.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import type { CDPSession, Page } from "playwright-core";
import { type Keys, keysOf, sealFrame } from "../sealing.js";
import { app, browse, serve, shown, Twin, until } from "./harness.js";

/** A service worker that returns the messages that it was given to show, and the failures. */
const WORKER = `
  import { receivePush } from "/push.js";
  const results = [];
  self.addEventListener("install", () => self.skipWaiting());
  self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));
  self.addEventListener("push", (event) => event.waitUntil(
    receivePush(event.data.text()).then(
      (message) => results.push(message ? "shown " + message.alert : "nothing"),
      (error) => results.push(error.name + " " + error.code),
    ),
  ));
  self.addEventListener("message", ({ ports }) => ports[0].postMessage(results));
`;

/** The worker's results. */
function results(page: Page): Promise<string[]> {
  return page.evaluate(async () => {
    const { active } = await navigator.serviceWorker.ready;
    const { port1, port2 } = new MessageChannel();
    return new Promise<string[]>((resolve) => {
      port1.onmessage = ({ data }) => resolve(data);
      active?.postMessage("", [port2]);
    });
  });
}

async function registrationId(session: CDPSession): Promise<string> {
  let id: string | undefined;
  session.on("ServiceWorker.workerRegistrationUpdated", ({ registrations }) => {
    id = registrations.find(({ isDeleted }) => !isDeleted)?.registrationId;
  });
  await session.send("ServiceWorker.enable");
  return until(async () => id, "the service worker");
}

test("socket and push never show the same message", async (t) => {
  const twin = await Twin.start(t);
  const registration = await twin.register("alice");
  const away = `<!doctype html><script type="module">
    await navigator.serviceWorker.register("/worker.js", { type: "module" });
    window.ready = await navigator.serviceWorker.ready;
  </script>`;
  const origin = await serve(t, { "/": app({ url: twin.socket, registration }), "/away": away, "/worker.js": WORKER });
  const context = await (await browse(t)).newContext();
  // Without it Chromium delivers no push.
  await context.grantPermissions(["notifications"], { origin });
  const page = await context.newPage();
  await page.goto(origin);
  await until(
    async () => page.evaluate(() => (globalThis as never as { device: { state: string } }).device.state === "online"),
    "the page",
  );
  await page.goto(`${origin}/away`);
  const session = await context.newCDPSession(page);
  const id = await registrationId(session);
  let pushes = 0;
  const push = async (data: string): Promise<string> => {
    await session.send("ServiceWorker.deliverPushMessage", { origin, registrationId: id, data });
    pushes += 1;
    return (await until(async () => (await results(page))[pushes - 1], "the end of a push")) as string;
  };
  const keys = registration.keys as Keys;
  /** The frame that the service would push. */
  const sealed = async (message: string, alert: string): Promise<string> => {
    const { epoch, seq } = await until(async () => {
      const trail = await twin.trail(message);
      return trail.seq ? trail : undefined;
    }, "the message's place");
    const more = { deviceId: registration.id, toUserName: "alice", createTime: 1, alert };
    return sealFrame(keys, { type: "message", id: message, epoch, seq, ...more }, randomBytes(16));
  };
  const connect = async (places: number[]): Promise<void> => {
    await page.goto(origin);
    await until(async () => (await shown(page)).length >= places.length, `messages ${places}`);
    assert.deepEqual(await shown(page), places);
  };

  // While no page is there, the push shows one of two messages. The socket shows the other one only, and confirms both.
  const one = await twin.send("alice", "one");
  const two = await twin.send("alice", "two");
  const pushed = await sealed(one, "one");
  assert.equal(await push(pushed), "shown one");
  assert.equal(await push(pushed), "nothing", "a push that comes twice");
  await connect([2]);
  await until(async () => (await twin.trail(one)).state === "confirmed", "the confirmation");

  // What the socket has shown, a late push does not.
  const three = await twin.send("alice", "three");
  await until(async () => (await shown(page)).length === 2, "the third message");
  assert.deepEqual(await shown(page), [2, 3]);
  assert.equal(await push(await sealed(three, "three")), "nothing");
  assert.equal(await push(await sealed(two, "two")), "nothing");

  // Frames of other devices, of no device, and changed ones.
  const other = keysOf("another", 1);
  assert.equal(await push(sealFrame(other, { type: "message" }, randomBytes(16))), "TidingsError unreadable_frame");
  assert.equal(await push("nonsense"), "TidingsError unreadable_frame");
  assert.equal(await push(`${pushed.slice(0, -4)}AAAA`), "TidingsError unreadable_frame");
  const pong = { type: "pong", deviceId: registration.id, epoch: 1, seq: 1, serverTime: 1, nextPing: 1 };
  assert.equal(await push(sealFrame(keys, pong, randomBytes(16))), "TidingsError unexpected");

  // And it goes on.
  const four = await twin.send("alice", "four");
  await until(async () => (await shown(page)).length === 3, "the fourth message");
  assert.equal(await push(await sealed(four, "four")), "nothing");
  const errors = await page.evaluate(() => (globalThis as unknown as { errors: string[] }).errors);
  assert.deepEqual(errors, []);
});
