// A person's day: a thousand messages, while sockets are cut at random, the network goes and comes, the page is
// reloaded, and a second tab comes and goes. Every tab shows every message once and in order, over all its pages.

import assert from "node:assert/strict";
import { test } from "node:test";
import type { Page } from "playwright-core";
import { Random } from "../random.js";
import { app, browse, range, serve, shown, Twin, until } from "./harness.js";

const MESSAGES = 1_000;
const SEED = Number(process.env.SEED ?? 4);
/** Most messages that are sent concurrently, as by an app's backend. */
const HANDS = 2;
/** How far the page may be behind while the network is on, so that the faults hit a busy page. */
const BEHIND = 40;

/** The errors of a page: only `refused` may occur, while the network is off. */
async function checkErrors(page: Page): Promise<void> {
  const errors = await page.evaluate(() => (globalThis as unknown as { errors: string[] }).errors);
  assert.deepEqual(
    errors.filter((error) => !error.startsWith("refused")),
    [],
  );
}

test("every message is shown once and in order, whatever happens", async (t) => {
  const random = new Random(SEED);
  const twin = await Twin.start(t, "--retry-after", "1");
  const registration = await twin.register("alice");
  const origin = await serve(t, { "/": app({ url: twin.socket, registration }) });
  const context = await (await browse(t)).newContext();
  const page = await context.newPage();
  const crashes: unknown[] = [];
  context.on("weberror", (error) => crashes.push(error.error()));
  await page.goto(origin);

  let sent = 0;
  let seen = 0;
  let behind = BEHIND;
  const hand = async (): Promise<void> => {
    for (;;) {
      await until(async () => sent >= MESSAGES || sent < seen + behind, `showing no. ${sent}`, 60);
      if (sent >= MESSAGES) {
        return;
      }
      sent += 1;
      await twin.send("alice", `no. ${sent}`);
    }
  };
  const sending = Promise.all(range(1, HANDS).map(hand));
  const watching = until(
    async () => {
      // A page that is being reloaded answers nothing.
      seen = (await shown(page).catch(() => [])).at(-1) ?? seen;
      return seen >= MESSAGES;
    },
    "the last message",
    170,
  );

  let over = false;
  const cutting = (async () => {
    for (let cut = 0; !over; cut += 1) {
      await twin.cutAfter(random.below(150));
      await until(async () => over || (await twin.cuts()) > cut, `cut no. ${cut + 1}`, 60);
    }
  })();

  const counts = { reloads: 0, outages: 0, tabs: 0 };
  const reached = (place: number): Promise<unknown> =>
    until(async () => sent >= Math.min(place, MESSAGES), `sending no. ${place}`, 60);

  let second: Page | undefined;
  const rounds = 15;
  for (let round = 1; round <= rounds; round += 1) {
    await reached((round * MESSAGES) / (rounds + 1));
    switch (round % 5) {
      case 1:
      case 4:
        // The second time, another tab shows what comes meanwhile.
        await checkErrors(page);
        await page.reload();
        counts.reloads += 1;
        break;
      case 2:
        await context.setOffline(true);
        behind = 3 * BEHIND;
        await reached(sent + 10 + random.below(50));
        behind = BEHIND;
        await context.setOffline(false);
        counts.outages += 1;
        break;
      case 3:
        second = await context.newPage();
        await second.goto(origin);
        counts.tabs += 1;
        break;
      default: {
        // The second tab has shown what came since it began, once and in order, and goes in the middle of it.
        const tab = second as Page;
        await until(async () => (await shown(tab)).length > 0, "a message in the second tab");
        const places = await shown(tab);
        assert.deepEqual(places, range(places[0] as number, places.at(-1) as number));
        await checkErrors(tab);
        await tab.close();
        break;
      }
    }
  }
  await sending;
  await watching;
  over = true;
  await cutting;
  const cut = await twin.cuts();
  assert.deepEqual(await shown(page), range(1, MESSAGES));
  await checkErrors(page);
  assert.deepEqual(crashes, []);
  t.diagnostic(JSON.stringify({ seed: SEED, cut, ...counts }));
  assert.ok(cut >= 10, `${cut} sockets were cut`);
});
