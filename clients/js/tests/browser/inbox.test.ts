// The inbox and preferences over HTTP: a page of another origin asks the service itself.

import assert from "node:assert/strict";
import { test } from "node:test";
import type { Device, InboxMessage, InboxPage } from "../../src/index.js";
import { app, browse, range, serve, shown, Twin, until } from "./harness.js";

const MESSAGES = 25;

declare const device: Device;

test("a page lists its inbox, and counts unread messages", async (t) => {
  const twin = await Twin.start(t);
  const registration = await twin.register("alice");
  const origin = await serve(t, { "/": app({ url: twin.socket, apiUrl: twin.http, registration }) });
  const page = await (await (await browse(t)).newContext()).newPage();
  await page.goto(origin);
  for (const n of range(1, MESSAGES)) {
    await twin.send("alice", `no. ${n}`);
  }
  await until(async () => (await shown(page)).length === MESSAGES, "the last message");
  assert.deepEqual(await page.evaluate(() => device.unread()), { count: MESSAGES, more: false });

  const pages = await page.evaluate(async () => {
    const all: InboxMessage[][] = [];
    let page: InboxPage | undefined;
    do {
      page = await device.inbox({ limit: 10, ...(page?.next && { before: page.next }) });
      all.push(page.messages);
    } while (page.next);
    return all;
  });
  const listed = pages.flat();
  assert.ok(
    pages.every(({ length }) => length <= 10),
    "no page is longer than it was asked to be",
  );
  assert.deepEqual(
    listed.map(({ alert, read }) => [alert, read]),
    range(1, MESSAGES)
      .reverse()
      .map((n) => [`no. ${n}`, false]),
  );

  await page.evaluate(async () => {
    for (const message of (await device.inbox({ limit: 3 })).messages) {
      device.read(message);
    }
  });
  await until(async () => (await page.evaluate(() => device.unread())).count === MESSAGES - 3, "reading three");
  const [newest] = (await page.evaluate(() => device.inbox({ limit: 1 }))).messages;
  assert.deepEqual([newest?.alert, newest?.read], [`no. ${MESSAGES}`, true]);

  // The service's own error: its code, the field and the limit, and under which request it is logged.
  const refused = await page.evaluate(() =>
    device.inbox({ limit: 10_000 }).catch(({ name, code, detail, requestId }) => ({ name, code, detail, requestId })),
  );
  assert.ok("code" in refused);
  assert.deepEqual([refused.name, refused.code], ["TidingsError", "invalid_fields"]);
  assert.match(refused.detail, /limit/);
  assert.ok(refused.requestId);

  // One page sets the user's preferences, and the backend reads them.
  const wanted = { channels: { sms: false }, quietHours: { from: "22:00", to: "07:00" }, timeZone: "Asia/Shanghai" };
  assert.deepEqual(await page.evaluate(() => device.preferences()), {});
  assert.deepEqual(await page.evaluate((wanted) => device.setPreferences(wanted), wanted), wanted);
  assert.deepEqual(await page.evaluate(() => device.preferences()), wanted);
  assert.deepEqual(await twin.preferences("alice"), wanted);
  const wrong = await page.evaluate(() => device.setPreferences({ timeZone: "Mars" }).catch(({ detail }) => detail));
  assert.match(String(wrong), /timeZone/);
  assert.deepEqual(await page.evaluate(() => (globalThis as unknown as { errors: string[] }).errors), []);
});
