// Several tabs.

import assert from "node:assert/strict";
import { test } from "node:test";
import type { Page } from "playwright-core";
import { app, browse, range, serve, shown, Twin, until } from "./harness.js";

const stateOf = (page: Page): Promise<string> =>
  page.evaluate(() => (globalThis as unknown as { device: { state: string } }).device.state);
const errorsOf = (page: Page): Promise<string[]> =>
  page.evaluate(() => (globalThis as unknown as { errors: string[] }).errors);

test("with a leader, every message is shown in one tab, whichever lives", async (t) => {
  const twin = await Twin.start(t);
  const registration = await twin.register("bob");
  const origin = await serve(t, { "/": app({ url: twin.socket, registration, tabs: "leader" }) });
  const context = await (await browse(t)).newContext();
  const all: number[] = [];
  let sent = 0;
  let leader = await context.newPage();
  await leader.goto(origin);
  await until(async () => (await stateOf(leader)) === "online", "the first leader");
  const send = async (count: number): Promise<void> => {
    for (let n = 0; n < count; n += 1) {
      sent += 1;
      await twin.send("bob", `no. ${sent}`);
    }
  };
  for (let round = 0; round < 4; round += 1) {
    const next = await context.newPage();
    await next.goto(origin);
    await until(async () => (await stateOf(next)) === "standby", "a tab that stands by");
    await send(5);
    await until(async () => (await shown(leader)).length >= 5, "five messages");
    // Some are on their way when it goes.
    const sending = send(10);
    await until(async () => (await shown(leader)).length >= 8, "some messages more");
    assert.deepEqual(await shown(next), [], "one tab shows them");
    // It may show more until it is gone; the next leader's messages reveal how many.
    await leader.evaluate(() => (globalThis as unknown as { device: { close(): Promise<void> } }).device.close());
    all.push(...(await shown(leader)));
    assert.deepEqual(await errorsOf(leader), []);
    await leader.close();
    await until(async () => (await stateOf(next)) === "online", "a new leader");
    await sending;
    leader = next;
  }
  await until(async () => all.length + (await shown(leader)).length >= sent, "the last message");
  all.push(...(await shown(leader)));
  assert.deepEqual(all, range(1, sent));
});

test("a leader that is killed is followed by the next one", async (t) => {
  const twin = await Twin.start(t);
  const registration = await twin.register("eve");
  const origin = await serve(t, { "/": app({ url: twin.socket, registration, tabs: "leader" }) });
  const context = await (await browse(t)).newContext();
  const first = await context.newPage();
  await first.goto(origin);
  await until(async () => (await stateOf(first)) === "online", "the leader");
  const second = await context.newPage();
  await second.goto(origin);
  await twin.send("eve", "one");
  await until(async () => (await shown(first)).length === 1, "a message");
  // Nothing of the page runs any more.
  await first.goto("chrome://crash").catch(() => {});
  await until(async () => (await stateOf(second)) === "online", "the new leader");
  await twin.send("eve", "two");
  await until(async () => (await shown(second)).length === 1, "a message");
  assert.deepEqual(await shown(second), [2]);
});

test("with every tab connected, one shows what another has confirmed while it was away", async (t) => {
  const twin = await Twin.start(t);
  const registration = await twin.register("carol");
  const origin = await serve(t, { "/": app({ url: twin.socket, registration }), "/away": "<!doctype html>" });
  const context = await (await browse(t)).newContext();
  const tabs = [await context.newPage(), await context.newPage()] as const;
  for (const tab of tabs) {
    await tab.goto(origin);
    await until(async () => (await stateOf(tab)) === "online", "a tab");
  }
  const [here, away] = tabs;
  await twin.send("carol", "one");
  await until(async () => (await shown(here)).length === 1 && (await shown(away)).length === 1, "both");
  await away.goto(`${origin}/away`);
  const ids: string[] = [];
  for (let n = 2; n <= 120; n += 1) {
    ids.push(await twin.send("carol", `no. ${n}`));
  }
  await until(async () => (await twin.trail(ids.at(-1) as string)).state === "confirmed", "the confirmation");
  // The service passes over what this device has confirmed; the other tab has kept it.
  await away.goto(origin);
  await until(async () => (await shown(away)).length >= 120, "all of them");
  assert.deepEqual(await shown(away), range(1, 120));
  assert.deepEqual(await shown(here), range(1, 120));
  assert.deepEqual([await errorsOf(here), await errorsOf(away)], [[], []]);
});

test("keys stay under a name, and everything can be forgotten", async (t) => {
  const twin = await Twin.start(t);
  const registration = await twin.register("dave");
  const html = `<!doctype html><script type="module">
    import { Device } from "/tidings.js";
    window.asked = 0;
    window.ids = [];
    const registration = async () => { asked += 1; return ${JSON.stringify(registration)}; };
    window.device = new Device({ url: "${twin.socket}", registration, remember: "dave" });
    device.on("message", ({ seq }) => { ids.push(seq); });
    device.start();
  </script>`;
  const origin = await serve(t, { "/": html });
  const page = await (await (await browse(t)).newContext()).newPage();
  const asked = (): Promise<number> => page.evaluate(() => (globalThis as unknown as { asked: number }).asked);
  await page.goto(origin);
  await until(async () => (await stateOf(page)) === "online", "the first page");
  assert.equal(await asked(), 1);
  await page.reload();
  await until(async () => (await stateOf(page)) === "online", "the second page");
  assert.equal(await asked(), 0, "the keys were kept");
  await twin.send("dave", "one");
  await until(() => page.evaluate(() => (globalThis as unknown as { ids: number[] }).ids.length === 1), "a message");
  const left = await page.evaluate(async () => {
    const { device } = globalThis as unknown as { device: { forget(): Promise<void> } };
    await device.forget();
    const database = await new Promise<IDBDatabase>((resolve, reject) => {
      const opening = indexedDB.open("tidings");
      opening.onsuccess = () => resolve(opening.result);
      opening.onerror = () => reject(opening.error);
    });
    const names = [...database.objectStoreNames];
    const transaction = database.transaction(names);
    const counts = names.map((name) => transaction.objectStore(name).count());
    await new Promise((resolve) => {
      transaction.oncomplete = resolve;
    });
    return { sizes: counts.map(({ result }) => result), session: sessionStorage.length };
  });
  assert.deepEqual(left, { sizes: [0, 0, 0], session: 0 });
  await page.reload();
  await until(async () => (await stateOf(page)) === "online", "the third page");
  assert.equal(await asked(), 1);
});
