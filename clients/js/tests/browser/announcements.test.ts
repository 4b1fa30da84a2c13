// Announcements that pages keep: over reloads, for new tabs and for the next leader. The test plays the service.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import type { Page } from "playwright-core";
import { DEVICE, messageFrame, type Peer, Service } from "../node/service.js";
import { sync } from "../node/words.js";
import { sealFrame } from "../sealing.js";
import { browse, serve, until } from "./harness.js";

const numbersOf = (page: Page): Promise<number[]> =>
  page.evaluate(() => (globalThis as unknown as { numbers: number[] }).numbers);

/** A page that notes what it shows, and forgets that with its end. */
function app(service: Service, tabs: "every" | "leader"): string {
  const options = { url: service.url, registration: { id: DEVICE, keys: service.keys }, tabs };
  return `<!doctype html><title>App</title><script type="module">
    import { Device } from "/tidings.js";
    import { receivePush } from "/push.js";
    window.receivePush = receivePush;
    window.numbers = [];
    window.device = new Device(${JSON.stringify(options)});
    device.on("announcement", ({ number }) => { numbers.push(number); });
    device.on("message", () => {});
    device.start();
  </script>`;
}

function announce(peer: Peer, number: number): void {
  const content = { toUserName: "alice", createTime: 1, alert: `no. ${number}` };
  peer.send({ type: "announcement", id: `a${number}`, number, after: number - 10, ...content });
}

async function showed(page: Page, ...numbers: number[]): Promise<void> {
  await until(async () => (await numbersOf(page)).length >= numbers.length, `announcements ${numbers}`);
  assert.deepEqual(await numbersOf(page), numbers);
}

test("every tab shows each once over its pages, and a new tab begins at the cursor of the others", async (t) => {
  const service = await Service.start(t);
  const origin = await serve(t, { "/": app(service, "every") });
  const context = await (await browse(t)).newContext();
  const first = await context.newPage();
  await first.goto(origin);
  let peer = await service.accept();
  assert.deepEqual(await peer.nextAction(), sync());
  announce(peer, 10);
  await showed(first, 10);
  // Nothing is known of the mailbox yet, and the page ends.
  await first.reload();
  peer = await service.accept();
  assert.deepEqual(await peer.nextAction(), sync(undefined, 10));
  announce(peer, 10);
  announce(peer, 20);
  await showed(first, 20);
  peer.synced(0, [], { announced: { after: 20, number: 20 } });

  const second = await context.newPage();
  await second.goto(origin);
  let other = await service.accept();
  const { announced } = await other.nextAction();
  assert.equal(announced, 20);
  announce(other, 30);
  await showed(second, 30);
  // Each tab has its own cursor.
  await first.reload();
  peer = await service.accept();
  assert.equal((await peer.nextAction()).announced, 20);
  announce(peer, 30);
  await showed(first, 30);
  await second.reload();
  other = await service.accept();
  assert.equal((await other.nextAction()).announced, 30);
});

test("the tab that leads next goes on behind the one before", async (t) => {
  const service = await Service.start(t);
  const origin = await serve(t, { "/": app(service, "leader") });
  const context = await (await browse(t)).newContext();
  const first = await context.newPage();
  await first.goto(origin);
  let peer = await service.accept();
  assert.deepEqual(await peer.nextAction(), sync());
  const second = await context.newPage();
  await second.goto(origin);
  announce(peer, 10);
  announce(peer, 20);
  await showed(first, 10, 20);
  await first.close();
  peer = await service.accept();
  assert.deepEqual(await peer.nextAction(), sync(undefined, 20));
  announce(peer, 20);
  announce(peer, 30);
  await showed(second, 30);
});

test("a service worker is shown a push, though an announcement is all that a page has kept", async (t) => {
  const service = await Service.start(t);
  const origin = await serve(t, { "/": app(service, "every") });
  const page = await (await (await browse(t)).newContext()).newPage();
  await page.goto(origin);
  const peer = await service.accept();
  assert.deepEqual(await peer.nextAction(), sync());
  announce(peer, 10);
  await showed(page, 10);
  const sealed = sealFrame(service.keys, { ...messageFrame(1), deviceId: DEVICE }, randomBytes(16));
  const pushed = await page.evaluate(async (sealed) => {
    const { receivePush } = globalThis as unknown as { receivePush(sealed: string): Promise<{ id: string } | null> };
    return (await receivePush(sealed))?.id;
  }, sealed);
  assert.equal(pushed, "1");
});
