// The console in a browser, as a person uses it: with the pointer, with the keyboard alone, on a narrow screen.

import assert from "node:assert/strict";
import { createReadStream, existsSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join } from "node:path";
import { after, before, test } from "node:test";
import { PATIENCE, ROOT, faint, nameless, openPage, startBrowser, startTwin } from "./support.mjs";

const PANELS = [
  ...["overview", "demo", "send", "messages", "announcements", "items", "devices", "preferences"],
  ...["outbox", "queues", "sources", "faults", "traces"],
];

let twin;
let browser;

before(async () => {
  browser = await startBrowser();
  twin = await startTwin("--retry-after", "1");
});

after(async () => {
  await browser?.close();
  await twin?.stop();
});

/** Opens a demo device of this user, and waits until it is connected. */
async function openDevice(page, slot, alias, acknowledges = "automatic") {
  const device = page.getByRole("region", { name: `Device ${slot}` });
  await device.getByLabel("User", { exact: true }).fill(alias);
  await device.getByLabel("Acknowledges").selectOption(acknowledges);
  await device.getByRole("button", { name: "Open the device" }).click();
  await device.getByText("online", { exact: true }).waitFor();
  return device;
}

const link = (page, name) => page.getByRole("navigation").getByRole("link", { name, exact: true });

/** Asks until it is so: what the page shows comes by polling. */
async function shows(locator, pattern) {
  await locator.filter({ hasText: pattern }).first().waitFor({ timeout: PATIENCE });
}

/** The error of a control that is wrong, as soon as it is shown. */
async function complaint(control) {
  await control.and(control.page().locator("[aria-invalid=true]")).waitFor();
  return control.evaluate((it) =>
    it
      .getAttribute("aria-describedby")
      .split(" ")
      .map((id) => document.getElementById(id).textContent)
      .join(" "),
  );
}

/** What is shown now can be read in both colours, and fits a narrow screen. */
async function isReadable(page) {
  for (const colorScheme of ["dark", "light"]) {
    // A colour on its way to another is neither.
    await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
    assert.deepEqual(await page.evaluate(faint), [], colorScheme);
  }
  assert.deepEqual(await page.evaluate(nameless), []);
  await page.setViewportSize({ width: 360, height: 800 });
  assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 360);
  await page.setViewportSize({ width: 1280, height: 800 });
}

test("a message goes from the form to a device in the page, and its trail to confirmed", async () => {
  const { page, close } = await openPage(browser, `${twin.console}/#/demo`);
  const device = await openDevice(page, "a", "alice");
  await link(page, "Send").click();
  const form = page.getByRole("region", { name: "Send" });
  await form.getByLabel("Audiences").fill("alice");
  await form.getByLabel("Alert").fill("Your <b>parcel</b> is here");
  await form.getByLabel("Sender", { exact: true }).fill("Shop");
  await form.getByLabel("Extra").fill('{"order": [7, null]}');
  await form.getByRole("button", { name: "Send", exact: true }).click();
  await form.getByRole("heading", { name: "Accepted" }).waitFor();

  await link(page, "Try it").click();
  const bubble = device.getByRole("listitem").filter({ hasText: "Your <b>parcel</b> is here" });
  await bubble.waitFor();
  await bubble.getByText("Shop", { exact: true }).waitFor();
  await bubble.getByRole("button", { name: "Read" }).click();
  await bubble.getByRole("link", { name: "Trail" }).click();
  const trail = page.getByRole("region", { name: "Messages" }).getByRole("region", { name: "alice" });
  await shows(trail, /read on device/);
  const events = await trail.getByRole("listitem").evaluateAll((items) => items.map((item) => item.className));
  assert.deepEqual(events, ["at-accepted", "at-stored", "at-posted", "at-confirmed", "at-read"]);
  await shows(trail, /^alice confirmed/);
  await shows(page.getByRole("definition"), /DynamoDB \d+ reads? \d+ writes? .*posts 1/);

  await link(page, "Overview").click();
  await shows(page.getByRole("figure"), /accepted → confirmed: half within \d/);
  await shows(page.getByRole("figure"), /1 of 1 recipient settled/);
  await shows(page.getByRole("link", { name: /^Connected/ }), "1");
  await link(page, "Devices").click();
  await shows(page.getByRole("region", { name: "alice" }).getByRole("row"), /WEB console.*connected/);
  await close();
});

test("a closed device receives what it missed; one that acknowledges by hand confirms on request", async () => {
  const { page, close } = await openPage(browser, `${twin.console}/#/demo`);
  const device = await openDevice(page, "b", "bob", "manual");
  const say = async (text) => {
    await device.getByLabel("A message to this user").fill(text);
    await page.keyboard.press("Enter");
    await shows(device.getByRole("listitem"), text);
  };
  await say("live");
  await device.getByRole("button", { name: "Close" }).click();
  await link(page, "Send").click();
  await page.getByLabel("Audiences").fill("bob");
  await page.getByLabel("Alert").fill("missed");
  await page.getByRole("button", { name: "Send", exact: true }).click();
  await page.getByRole("link", { name: "Follow it" }).click();
  const trail = page.getByRole("region", { name: "bob" });
  await shows(trail, /no device was connected/);
  await link(page, "Try it").click();
  await device.getByRole("button", { name: "Open the device" }).click();
  await shows(device.getByRole("listitem"), "missed");
  await page.goBack();
  await shows(trail, /^bob pending/);
  await page.goForward();
  await device.getByRole("listitem").filter({ hasText: "missed" }).getByRole("button", { name: "Ack" }).click();
  await page.goBack();
  await shows(trail, /^bob confirmed/);
  await close();
});

test("a refusal of the service is shown at the field that it names", async () => {
  const { page, close } = await openPage(browser, `${twin.console}/#/send`, { expected: [/status of 400/] });
  const form = page.getByRole("region", { name: "Send" });
  const send = form.getByRole("button", { name: "Send", exact: true });
  const wrong = (label) => complaint(form.getByLabel(label, { exact: true }));
  await send.click();
  assert.match(await wrong("Audiences, one per line"), /must/);
  assert.match(await wrong("Alert"), /must|required|missing/);
  assert.equal(await page.evaluate(() => document.activeElement.name), "audiences", "the first one has the focus");

  await form.getByLabel("Audiences, one per line").fill("alice");
  await form.getByLabel("Alert", { exact: true }).fill("x");
  await form.getByRole("heading", { name: "Delivery" }).click();
  await form.getByLabel("Time to live, seconds").fill("soon");
  await form.getByRole("heading", { name: "Delivery" }).click();
  await form.getByRole("heading", { name: "Around the socket" }).click();
  await form.getByRole("button", { name: "Add a step" }).click();
  await form.getByLabel("After, seconds").fill("-1");
  await send.click();
  assert.match(await wrong("Time to live, seconds"), /whole number/);
  assert.match(await wrong("After, seconds"), /whole number/);
  assert.ok(await form.getByLabel("Time to live, seconds").isVisible(), "its group is open again");
  assert.equal(
    await form.getByLabel("Alert", { exact: true }).getAttribute("aria-invalid"),
    null,
    "what is right now is not wrong any more",
  );

  await form.getByLabel("Extra").fill("{");
  await send.click();
  assert.match(await wrong("Extra"), /is not JSON/);
  await close();
});

test("an announcement comes to every device, once and apart from messages, until it is withdrawn", async () => {
  const { page, close } = await openPage(browser, `${twin.console}/#/demo`);
  const devices = [await openDevice(page, "a", "gina"), await openDevice(page, "b", "hugo")];
  const announcements = (device) => device.getByRole("list", { name: "Announcements" }).getByRole("listitem");
  await page.getByRole("link", { name: "announce something" }).click();
  const panel = page.getByRole("region", { name: "Announcements" });
  const announce = async (text) => {
    await panel.getByLabel("Text").fill(text);
    await panel.getByRole("button", { name: "Announce to everyone" }).click();
    await shows(panel.getByRole("row"), text);
  };
  await panel.getByLabel("Sender").fill("Shop");
  await panel.getByLabel("Category").fill("hours");
  await panel.getByLabel("Extra").fill('{"until": "20:00"}');
  await announce("We close at <b>eight</b>");
  assert.equal(await panel.getByLabel("Text").inputValue(), "", "it is not announced again by the next press");
  const first = panel.getByRole("row").filter({ hasText: "We close at" });
  await shows(first, /Shop · hours/);
  await shows(first.getByRole("cell").nth(2), /^2$/);
  await first.getByText("extra").click();
  await shows(first, /"until": "20:00"/);
  await announce("We open at nine");
  const newest = await panel.getByRole("row").allTextContents();
  assert.match(newest[1], /We open at nine/);
  assert.match(newest[2], /We close at/);

  await link(page, "Try it").click();
  for (const device of devices) {
    await shows(announcements(device), /We open at nine/);
    await shows(announcements(device), /Shop.*We close at <b>eight<\/b>.*to everyone · hours/);
    assert.equal(await announcements(device).filter({ hasText: "We close at" }).count(), 1);
    assert.match(await announcements(device).first().textContent(), /We open at nine/, "the newest one is on top");
    const messages = device.getByRole("list", { name: "What has come" });
    assert.equal(await messages.getByRole("listitem").count(), 0);
  }
  await isReadable(page);

  await link(page, "Announcements").click();
  await first.getByRole("button", { name: "Withdraw" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Leave it" }).click();
  assert.equal(await first.getByText("withdrawn").count(), 0);
  await first.getByRole("button", { name: "Withdraw" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Withdraw it" }).click();
  await first.getByText("withdrawn").waitFor();
  assert.equal(await first.getByRole("button").count(), 0);
  await isReadable(page);
  await close();
});

test("what was announced while a device was away comes once when it is back, but for what was withdrawn", async () => {
  const { page, close } = await openPage(browser, `${twin.console}/#/demo`);
  const announce = async (alert) => {
    const answer = await fetch(`${twin.api}/v1/announcements`, {
      method: "POST",
      headers: { authorization: `Bearer ${twin.key}`, "content-type": "application/json" },
      body: JSON.stringify({ alert }),
    });
    return (await answer.json()).requestId;
  };
  const other = await openDevice(page, "b", "jane");
  const device = await openDevice(page, "a", "ines");
  const received = (text, by = device) =>
    by.getByRole("list", { name: "Announcements" }).getByRole("listitem").filter({ hasText: text });
  await announce("Told live");
  await received("Told live").waitFor();
  await device.getByRole("button", { name: "Close" }).click();
  await announce("Told later");
  const id = await announce("Taken back");
  const headers = { authorization: `Bearer ${twin.key}` };
  await fetch(`${twin.api}/v1/announcements/${id}`, { method: "DELETE", headers });
  // Then the push is over.
  await received("Told later", other).waitFor();
  await device.getByRole("button", { name: "Open the device" }).click();
  await received("Told later").waitFor();
  assert.equal(await received("Told live").count(), 1, "it is not shown twice on one page");

  await page.reload();
  await openDevice(page, "a", "ines");
  await announce("After the reload");
  await received("After the reload").waitFor();
  assert.equal(await received(/Told live|Told later|Taken back/).count(), 0, "a reload shows nothing twice");
  await close();
});

test("the announcements of a tenant are listed page by page", async () => {
  const { page, close } = await openPage(browser, `${twin.console}/#/announcements`);
  for (let number = 1; number <= 21; number++) {
    const answer = await fetch(`${twin.api}/v1/announcements`, {
      method: "POST",
      headers: { authorization: `Bearer ${twin.key}`, "content-type": "application/json" },
      body: JSON.stringify({ tenantCode: "pages", alert: `News ${number}.` }),
    });
    assert.equal(answer.status, 202);
  }
  const panel = page.getByRole("region", { name: "Announcements" });
  await panel.getByLabel("Tenant").fill("pages");
  await panel.getByLabel("Tenant").press("Tab");
  await panel.getByRole("heading", { name: "Kept for tenant pages" }).waitFor();
  const texts = () => panel.getByRole("cell").filter({ hasText: "News" }).allTextContents();
  assert.deepEqual(
    await texts(),
    [...Array(20).keys()].map((place) => `News ${21 - place}.`),
  );
  await panel.getByRole("button", { name: "More" }).click();
  await shows(panel.getByRole("cell"), "News 1.");
  assert.deepEqual(await texts(), ["News 1."]);
  assert.equal(await panel.getByRole("button", { name: "More" }).count(), 0);
  await panel.getByRole("button", { name: "Back" }).click();
  await shows(panel.getByRole("cell"), "News 21.");
  await close();
});

test("what an announcement lacks is shown at its field; the keyboard alone announces and withdraws it", async () => {
  const { page, close } = await openPage(browser, `${twin.console}/#/send`, { expected: [/status of 400/] });
  const focused = (attribute) => page.evaluate((name) => document.activeElement[name], attribute);
  const press = async (...keys) => {
    for (const key of keys) await page.keyboard.press(key);
  };
  await link(page, "Announcements").focus();
  await press("Enter");
  const panel = page.getByRole("region", { name: "Announcements" });
  await panel.getByLabel("Sender").waitFor();
  await press("Tab", "Tab");
  assert.equal(await focused("name"), "sender");
  await press("Tab", "Tab");
  await page.keyboard.type("{");
  await press("Tab", "Tab");
  assert.equal(await focused("name"), "ttl");
  await page.keyboard.type("soon");
  await press("Enter");
  assert.match(await complaint(panel.getByLabel("Extra")), /is not JSON/);
  assert.equal(await focused("name"), "extra");

  await press("Backspace", "Tab", "Tab", "Enter");
  assert.match(await complaint(panel.getByLabel("Text")), /required/);
  assert.match(await complaint(panel.getByLabel("Time to live")), /whole number/);
  assert.equal(await panel.getByLabel("Extra").getAttribute("aria-invalid"), null);
  assert.equal(await focused("name"), "alert", "the first one has the focus");

  await page.keyboard.type("By hand");
  await panel.getByLabel("Time to live").focus();
  await press("Control+A");
  await page.keyboard.type("60");
  await press("Tab", "Tab");
  assert.equal(await focused("textContent"), "Announce to everyone");
  await press("Enter");
  await shows(panel.getByRole("row").nth(1), /By hand.*in \d+ s|By hand.*in 1 min/);
  assert.equal(await focused("textContent"), "Announce to everyone", "the button keeps the focus");
  await press("Tab");
  assert.equal(await focused("ariaLabel"), "Withdraw By hand");
  await press("Enter");
  assert.equal(await focused("textContent"), "Withdraw it");
  await press("Enter");
  await panel.getByRole("row").nth(1).getByText("withdrawn").waitFor();
  assert.equal(await focused("textContent"), "withdrawn", "the state has the focus that the button had");
  await close();
});

test("a fault fells a delivery, its dead letter goes back, and the message arrives", async () => {
  const { page, close } = await openPage(browser, `${twin.console}/#/faults`);
  const rule = page.getByRole("form", { name: "By rule" });
  await rule.getByLabel("Fault", { exact: true }).selectOption("fail-invoke");
  await rule.getByLabel("Function").selectOption("DeliverFunction");
  await rule.getByLabel("Times").fill("1000");
  await rule.getByRole("button", { name: "Add the rule" }).click();
  const set = page.getByRole("region", { name: "What is set" });
  await shows(set, /fail-invoke.*DeliverFunction/);
  await link(page, "Send").click();
  await page.getByLabel("Audiences").fill("dave");
  await page.getByLabel("Alert").fill("Given up");
  await page.getByRole("button", { name: "Send", exact: true }).click();
  await page.getByRole("heading", { name: "Accepted" }).waitFor();

  await link(page, "Queues").click();
  const letters = page.getByRole("region", { name: /DeliverDeadLetters/ });
  await shows(letters.locator("summary"), /^sent \d+ s ago$/);
  await letters.locator("summary").click();
  await shows(letters, /"Given up"/);
  await link(page, "Faults").click();
  await set.getByRole("button", { name: "Remove fail-invoke" }).click();
  await set.getByRole("button", { name: "Remove fail-invoke" }).waitFor({ state: "detached" });
  await link(page, "Queues").click();
  await letters.getByRole("button", { name: "Redrive" }).click();
  await shows(page.getByRole("status"), "1 dead letter moved back.");
  await letters.waitFor({ state: "detached" });
  await link(page, "Messages").click();
  await page.getByRole("link", { name: "Given up" }).click();
  await shows(page.getByRole("region", { name: "dave" }), /stored in the mailbox/);

  await link(page, "Faults").click();
  await shows(set, /Struck so far: fail-invoke \d+/);
  const chance = page.getByRole("form", { name: "By chance" });
  await chance.getByLabel("Seed").fill("7");
  await chance.getByLabel("throttle").fill("0.25");
  await chance.getByRole("button", { name: "Apply" }).click();
  await shows(set, "By chance, with seed 7: throttle 0.25.");
  await page.getByRole("button", { name: "Clear all" }).click();
  await shows(set, "Nothing by chance.");
  await close();
});

test("functions are switched off and on, schedules fire, the outbox fills, a message is cancelled", async () => {
  const { page, close } = await openPage(browser, `${twin.console}/#/sources`);
  const feed = page.getByRole("switch", { name: /Feed FallbackFunction/ });
  await feed.click();
  await page.waitForFunction((it) => !it.isConnected || it.ariaChecked === "false", await feed.elementHandle());
  assert.equal(await feed.getAttribute("aria-checked"), "false");
  assert.equal(await feed.evaluate((it) => it === document.activeElement), true, "the switch keeps the focus");
  await feed.press("Enter");
  await page.locator('[role=switch][aria-label^="Feed FallbackFunction"][aria-checked=true]').waitFor();
  await page.getByRole("button", { name: "Fire all now" }).click();
  await shows(page.getByRole("listitem"), /: ran/);

  await link(page, "Try it").click();
  const device = page.getByRole("region", { name: "Device a" });
  await device.getByText("Where else to reach the user").click();
  await device.getByLabel("Phone number").fill("+8613800138009");
  await device.getByLabel("Email").fill("erin@example.com");
  await openDevice(page, "a", "erin");
  await device.getByRole("button", { name: "Close" }).click();
  await link(page, "Send").click();
  await page.getByLabel("Audiences").fill("erin");
  await page.getByLabel("Alert").fill("Your table is ready");
  await page.getByRole("heading", { name: "Around the socket" }).click();
  for (const channel of ["sms", "email"]) {
    await page.getByRole("button", { name: "Add a step" }).click();
    await page.getByLabel("Channel").last().selectOption(channel);
    await page.getByLabel("After, seconds").last().fill("0");
  }
  await page.getByRole("button", { name: "Send", exact: true }).click();
  await page.getByRole("heading", { name: "Accepted" }).waitFor();
  await link(page, "Outbox").click();
  await shows(page.getByRole("article", { name: "SMS to +8613800138009" }), "Your table is ready");
  const sent = await fetch(`${twin.providers}/v3/message/alias`, {
    method: "POST",
    headers: { authorization: "key=tidings-local-secret" },
    body: new URLSearchParams({
      alias: "erin",
      pass_through: "0",
      title: "Gate change",
      description: "Now B 12",
      restricted_package_name: "com.example.tidings",
    }),
  });
  assert.equal((await sent.json()).result, "ok");
  const push = page.getByRole("article", { name: "Mi Push to erin" });
  await shows(push, /Gate change\s*Now B 12/);
  await push.getByText("As it was sent").click();
  await shows(push, /"pass_through": "0"/);

  await link(page, "Send").click();
  await page.getByRole("button", { name: "Start over" }).click();
  await page.getByLabel("Audiences").fill("erin");
  await page.getByLabel("Alert").fill("Never mind");
  await page.getByRole("heading", { name: "Delivery" }).click();
  await page.getByLabel("Send at").fill(new Date(Date.now() + 7 * 86_400_000).toISOString().slice(0, 19));
  await page.getByRole("button", { name: "Send", exact: true }).click();
  await link(page, "Messages").click();
  await page.getByRole("link", { name: "Never mind" }).click();
  const cancel = page.getByRole("button", { name: "Cancel the message" });
  await cancel.click();
  await page.keyboard.press("Escape");
  await page.getByRole("dialog").waitFor({ state: "detached" });
  assert.equal(await cancel.evaluate((it) => it === document.activeElement), true, "Escape leads back to the button");
  await cancel.press("Enter");
  await page.getByRole("dialog").getByRole("button", { name: "Cancel it" }).click();
  await shows(page.getByRole("region", { name: "erin" }), /suppressed.*cancelled by its sender/s);
  await close();
});

test("the keyboard alone goes everywhere", async () => {
  const { page, close } = await openPage(browser, twin.console);
  await shows(page.getByRole("heading", { level: 1 }), "Overview");
  const focused = () => page.evaluate(() => document.activeElement.textContent.trim());
  await page.keyboard.press("Tab");
  assert.equal(await focused(), "Skip to content");
  await page.keyboard.press("Enter");
  assert.equal(await page.evaluate(() => document.activeElement.id), "main");
  await page.reload();
  await link(page, "Overview").waitFor();
  const order = [];
  for (const _ of Array(18)) {
    await page.keyboard.press("Tab");
    order.push(await focused());
    // What has the focus shows it, and nothing covers it.
    const seen = await page.evaluate(() => {
      const it = document.activeElement;
      const box = it.getBoundingClientRect();
      return {
        outline: getComputedStyle(it).outlineStyle,
        top: it.contains(document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2)),
      };
    });
    assert.deepEqual(seen, { outline: seen.outline === "auto" ? "auto" : "solid", top: true }, order.at(-1));
  }
  assert.deepEqual(order, [
    "Skip to content",
    "Tidings",
    "Theme: auto",
    "Overview",
    "Try it",
    "Send",
    "Messages",
    "Announcements",
    "Items",
    "Devices",
    "Preferences",
    "Outbox",
    "Queues",
    "Sources",
    "Faults",
    "Cost",
    "openapi.yaml",
    "asyncapi.yaml",
  ]);
  await link(page, "Send").focus();
  await page.keyboard.press("Enter");
  await shows(page.getByRole("heading", { level: 1 }), "Send");
  assert.equal(await page.evaluate(() => document.activeElement.id), "main", "reading goes on where the link leads");
  await page.keyboard.press("Tab");
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.name), "audiences");
  await close();
});

for (const mode of ["light", "dark"]) {
  test(`every panel can be read in ${mode} colours, has names for its controls, and fits a narrow screen`, async () => {
    const { page, close } = await openPage(browser, twin.console, { colorScheme: mode });
    for (const panel of PANELS) {
      await page.goto(`${twin.console}/#/${panel}`);
      const shown = page.locator(`main > section[data-panel=${panel}]`);
      await shown.getByRole("heading", { level: 1 }).waitFor();
      await shown.locator("details").evaluateAll((groups) => {
        for (const group of groups) group.open = true;
      });
      assert.deepEqual(await page.evaluate(faint), [], `${panel}, ${mode}`);
      assert.deepEqual(await page.evaluate(nameless), [], panel);
      for (const width of [1280, 390, 360]) {
        await page.setViewportSize({ width, height: 800 });
        const wide = await page.evaluate(() => document.documentElement.scrollWidth);
        assert.equal(wide, width, `${panel} scrolls sideways at ${width} pixels`);
      }
      await page.setViewportSize({ width: 1280, height: 800 });
    }
    await close();
  });
}

test("a message about an item goes out by no step once the item is closed", async () => {
  const there = `${twin.console}/#/items/${encodeURIComponent("order:4711")}`;
  const { page, close } = await openPage(browser, there, { expected: [/status of 400/] });
  const item = page.getByRole("region", { name: "order:4711" });
  await shows(item, /Open: messages about it go on/);
  await item.getByRole("button", { name: "Close it" }).click();
  await shows(item, /Closed since .*: no further fallback goes out/);

  await page.goto(`${twin.console}/#/send/kim`);
  const form = page.getByRole("region", { name: "Send" });
  await form.getByLabel("Alert", { exact: true }).fill("Order 4711 waits");
  await form.getByRole("heading", { name: "Around the socket" }).click();
  await form.getByRole("button", { name: "Add a step" }).click();
  await form.getByLabel("Channel").selectOption("webhook");
  await form.getByLabel("After, seconds").fill("0");
  await form.getByLabel("Only while this item is open").fill("order:4711");
  await form.getByLabel("Only to apps older than").fill("two");
  await form.getByRole("button", { name: "Send", exact: true }).click();
  assert.match(await complaint(form.getByLabel("Only to apps older than")), /whole numbers with dots/);
  await form.getByLabel("Only to apps older than").fill("");
  await form.getByRole("button", { name: "Send", exact: true }).click();
  await page.getByRole("link", { name: "Follow it" }).click();
  await shows(page.getByRole("region", { name: "kim" }), /suppressed.*item_closed/s);

  await page.goto(there);
  await item.getByRole("button", { name: "Open it again" }).click();
  await shows(item, /Open: messages about it go on/);
  await close();
});

test("links from a user of a tenant act on that user, and messages are found by user, text and state", async () => {
  const post = async (path, body) => {
    const headers = { authorization: `Bearer ${twin.key}`, "content-type": "application/json" };
    const answer = await fetch(twin.api + path, { method: "POST", headers, body: JSON.stringify(body) });
    assert.ok(answer.ok, await answer.text());
  };
  const device = { appId: "demo", alias: "张伟 & co", platform: "WEB", nativeToken: "of a tenant", tenantCode: "acme" };
  await post("/v1/devices", device);
  await post("/v1/messages", { audiences: [device.alias], tenantCode: "acme", alert: "A parcel for you" });
  await post("/v1/messages", { audiences: [device.alias], alert: "For another person" });

  const { page, close } = await openPage(browser, `${twin.console}/#/devices`);
  await page.getByRole("link", { name: `Send to ${device.alias} of tenant acme` }).click();
  assert.equal(await page.getByLabel("Audiences, one per line").inputValue(), device.alias);
  assert.equal(await page.getByLabel("Tenant", { exact: true }).filter({ visible: true }).inputValue(), "acme");

  await page.goto(`${twin.console}/#/devices`);
  await page.getByRole("link", { name: `Preferences of ${device.alias} of tenant acme` }).click();
  await page.getByRole("form", { name: "What holds for this user" }).waitFor();
  assert.equal(await page.getByLabel("User", { exact: true }).filter({ visible: true }).inputValue(), device.alias);
  assert.equal(await page.getByLabel("Tenant", { exact: true }).filter({ visible: true }).inputValue(), "acme");

  await page.goto(`${twin.console}/#/messages`);
  await page.getByLabel("Sent to this user").fill(device.alias);
  const rows = page.getByRole("table", { name: "Messages" }).getByRole("row");
  await shows(rows, /A parcel for you/);
  await shows(rows, /tenant acme/);
  await page.getByLabel("With this text").fill("ANOTHER");
  await rows.filter({ hasText: "A parcel for you" }).waitFor({ state: "detached" });
  await shows(rows, /For another person/);
  await page.getByLabel("Only messages in this state").selectOption("confirmed");
  await rows.filter({ hasText: "For another person" }).waitFor({ state: "detached" });
  await isReadable(page);
  await close();
});

test("a demo device has a first message to send, and shows when there is none", async () => {
  const { page, close } = await openPage(browser, `${twin.console}/#/demo`);
  const phone = await openDevice(page, "a", "newcomer");
  await phone.getByRole("button", { name: "Send" }).click();
  await shows(phone.locator(".bubble"), /Hello, Alice/);
  await phone.getByLabel("A message to this user").fill("  ");
  await phone.getByRole("button", { name: "Send" }).click();
  await page.getByText("Write something to send.").waitFor();
  await close();
});

test("preferences are set, and what is wrong is shown at its field", async () => {
  const { page, close } = await openPage(browser, `${twin.console}/#/preferences/choosy`, {
    expected: [/status of 400/],
  });
  const editor = page.getByRole("form", { name: "What holds for this user" });
  await editor.getByLabel("sms").selectOption("not wanted");
  await editor.getByLabel("From").fill("22:00");
  await editor.getByLabel("Until before").fill("7 o'clock");
  await editor.getByLabel("Time zone").fill("Mars/Olympus");
  await editor.getByRole("button", { name: "Save" }).click();
  await shows(editor.getByText("must be a time as HH:MM"), "HH:MM");
  assert.equal(await page.evaluate(() => document.activeElement.name), "quietHours.to");
  await editor.getByLabel("Until before").fill("07:00");
  await editor.getByRole("button", { name: "Save" }).click();
  await shows(editor.getByText("must be a time zone"), "Asia/Shanghai");
  await editor.getByLabel("Time zone").fill("Asia/Shanghai");
  await editor.getByLabel("Another category").fill("orders");
  await editor.getByRole("button", { name: "Add it" }).click();
  const orders = editor.getByRole("group").filter({ hasText: "Category orders" });
  await orders.getByLabel("sms").selectOption("welcome");
  await editor.getByRole("button", { name: "Save" }).click();
  await shows(page.locator("#said"), "They hold from now on.");
  await page.reload();
  await shows(page.getByRole("heading", { level: 2 }), "Category orders");
  const kept = await page.evaluate(() =>
    [...document.querySelectorAll("[data-named]")].map((it) => [it.dataset.named, it.value]),
  );
  const set = Object.fromEntries(kept.filter(([name, value]) => value && name !== "alias"));
  assert.deepEqual(set, {
    "channels.sms": "false",
    "categories.orders.channels.sms": "true",
    "quietHours.from": "22:00",
    "quietHours.to": "07:00",
    timeZone: "Asia/Shanghai",
  });
  await close();
});

test("a name that no path carries is refused at its field, and not sent", async () => {
  const cases = [
    ["Preferences", "User", ["a/b", "a?b", "50%", ".."]],
    ["Items", "Item", ["a/b", "."]],
  ];
  const { page, close } = await openPage(browser, `${twin.console}/#/preferences/a%2Fb`);
  const asked = [];
  page.on("request", (request) => asked.push(new URL(request.url()).pathname));
  for (const [title, label, names] of cases) {
    const panel = page.getByRole("region", { name: title, exact: true });
    for (const name of names) {
      await page.evaluate((hash) => (location.hash = hash), `#/${title.toLowerCase()}/${encodeURIComponent(name)}`);
      const control = panel.getByLabel(label, { exact: true });
      assert.match(await complaint(control), /paths do not carry such a name/);
      assert.equal(await control.inputValue(), name);
      await control.fill("bob");
      await panel.getByRole("button", { name: "Show" }).click();
      await control.and(page.locator(":not([aria-invalid])")).waitFor();
    }
  }
  const about = asked.filter((path) => /^\/v1\/(users|items)/.test(path));
  assert.deepEqual([...new Set(about)].sort(), ["/v1/items/bob", "/v1/users/bob/preferences"]);
  await close();
});

test("an email is shown as its reader sees it, and can neither run nor load nor open anything", async () => {
  const asked = [];
  const elsewhere = createServer((request, response) => {
    asked.push(request.url);
    response.end();
  });
  await new Promise((resolve) => elsewhere.listen(0, "127.0.0.1", resolve));
  const away = `http://127.0.0.1:${elsewhere.address().port}`;
  const send = async (subject, html) => {
    const content = { Subject: { Data: subject }, Body: { Text: { Data: "As text" }, Html: { Data: html } } };
    const answer = await fetch(`${twin.aws}/v2/email/outbound-emails`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({
        FromEmailAddress: "Shop <shop@example.org>",
        Destination: { ToAddresses: [`${subject.toLowerCase()}@example.org`] },
        Content: { Simple: content },
      }),
    });
    assert.equal(answer.status, 200);
  };
  try {
    await send(
      "Hostile",
      `<!doctype html><html><head><meta http-equiv="refresh" content="0;url=${away}/refresh">
       <link rel="stylesheet" href="${away}/style.css"></head><body>
       <p style="color: rgb(1, 2, 3)" onclick="this.textContent = 'ran'">Your parcel</p>
       <a href="${away}/link">Track it</a>
       <script>document.querySelector("p").textContent = "ran"; fetch("${away}/fetch")</script>
       <img src="${away}/pixel" alt="" onerror="document.querySelector('p').textContent = 'ran'">
       <iframe src="${away}/frame"></iframe></body></html>`,
    );
    const expected = [
      ...[/Blocked script execution/, /Blocked opening/, /Refused to execute the redirect/],
      /violates the following Content Security Policy/,
    ];
    const { page, close } = await openPage(browser, `${twin.console}/#/outbox`, { expected });
    const frames = page.locator("iframe");
    const hostile = page.getByRole("article", { name: "Email to hostile@example.org" });
    const summary = hostile.getByText("As its reader sees it");
    await summary.waitFor();
    assert.equal(await frames.count(), 0, "there is none before the email is opened");
    const complains = (of) => page.waitForEvent("console", (message) => message.text().includes(of));
    await summary.focus();
    const [refused] = await Promise.all([complains("/pixel"), page.keyboard.press("Enter")]);
    assert.match(refused.text(), /violates the following Content Security Policy directive: "default-src 'none'"/);
    assert.equal(await hostile.getByTitle("Email: Hostile").getAttribute("sandbox"), "");
    const shown = hostile.frameLocator("iframe");
    const parcel = shown.getByText("Your parcel");
    await parcel.waitFor();
    assert.equal(await parcel.evaluate((it) => getComputedStyle(it).color), "rgb(1, 2, 3)", "its own style holds");
    await isReadable(page);

    await parcel.click();
    await Promise.all([complains("Blocked opening"), shown.getByRole("link", { name: "Track it" }).click()]);
    assert.equal(await shown.locator("p").textContent(), "Your parcel", "nothing of it ran");
    assert.equal(page.context().pages().length, 1);
    await hostile.getByText("HTML", { exact: true }).click();
    await shows(hostile.locator("pre"), "<script>document.querySelector");

    // Another one rebuilds the list.
    await send("Later", "<p>Short</p>");
    await page.getByRole("article", { name: "Email to later@example.org" }).waitFor();
    await parcel.waitFor();
    assert.equal(await frames.count(), 1, "what was open is, and nothing else");
    assert.ok(await hostile.locator("pre").isVisible());
    await summary.click();
    await frames.waitFor({ state: "detached" });
    assert.deepEqual(asked, [], "no other host was asked for anything");
    await close();
  } finally {
    elsewhere.close();
  }
});

test("the theme is chosen by hand and stays", async () => {
  const { page, close } = await openPage(browser, twin.console, { colorScheme: "light" });
  const background = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const light = await background();
  await page.getByRole("button", { name: "Theme: auto" }).click();
  assert.equal(await background(), light);
  await page.getByRole("button", { name: "Theme: light" }).click();
  const dark = await background();
  assert.notEqual(dark, light);
  await page.reload();
  await page.getByRole("button", { name: "Theme: dark" }).waitFor();
  assert.equal(await background(), dark);
  await close();
});

test("a twin that is gone is reported, and so is its return", async () => {
  const { page, close } = await openPage(browser, twin.console, { expected: [/ERR_CONNECTION_REFUSED|ERR_FAILED/] });
  await page.route("**/_twin/**", (route) => route.abort());
  await shows(page.getByRole("alert"), "The twin does not answer.");
  await page.unroute("**/_twin/**");
  await page.getByRole("alert").waitFor({ state: "hidden" });
  await close();
});

test("as static files on another host it asks for a deployment, and shows what needs no twin", async () => {
  const files = createServer((request, response) => {
    // The twin's files, and over them the service's, as they would be copied to a host.
    const name = request.url === "/" ? "index.html" : new URL(request.url, "http://x").pathname;
    const path = ["tidings/console", "twin/console"].map((folder) => join(ROOT, folder, name)).find(existsSync);
    const types = { ".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml" };
    if (!path) return response.writeHead(404).end();
    response.writeHead(200, { "content-type": types[extname(path)] });
    createReadStream(path).pipe(response);
  });
  await new Promise((resolve) => files.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${files.address().port}/`;
  try {
    const { page, close } = await openPage(browser, url, { expected: [/status of (401|404)/] });
    await page.getByLabel("HTTP API").fill(`${twin.api}/`);
    await page.getByLabel("WebSocket API").fill(twin.socket);
    await page.getByLabel("App key").fill("td_demo.wrong");
    await page.getByRole("button", { name: "Connect" }).click();
    await shows(page.locator(".wrong"), "is not a key of an app there");
    assert.deepEqual(await page.evaluate(faint), []);
    await page.getByLabel("App key").fill(twin.key);
    await page.getByRole("button", { name: "Connect" }).click();
    await link(page, "Send").waitFor();
    const panels = await page.getByRole("navigation").getByRole("link").allTextContents();
    assert.deepEqual(panels, [
      "Overview",
      "Try it",
      "Send",
      "Messages",
      "Announcements",
      "Items",
      "Devices",
      "Preferences",
    ]);

    await link(page, "Try it").click();
    const device = await openDevice(page, "a", "frank");
    await device.getByLabel("A message to this user").fill("from afar");
    await page.keyboard.press("Enter");
    await shows(device.getByRole("listitem"), "from afar");
    await link(page, "Messages").click();
    await page.getByRole("link", { name: "from afar" }).click();
    await shows(page.getByRole("region", { name: "frank" }), /^frank confirmed/);
    await page.reload();
    await shows(page.getByRole("region", { name: "frank" }), /^frank confirmed/);
    await page.getByRole("button", { name: "Disconnect" }).click();
    await page.getByRole("heading", { name: "Which deployment?" }).waitFor();
    await close();
  } finally {
    files.close();
  }
});
