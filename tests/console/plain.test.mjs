// The console of `sam-twin`: what a template has that is not of Tidings.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { faint, nameless, openPage, startBrowser, startPlainTwin } from "./support.mjs";

let twin;
let browser;

before(async () => {
  browser = await startBrowser();
  twin = await startPlainTwin();
});

after(async () => {
  await browser?.close();
  await twin?.stop();
});

test("any template has the twin's panels, with its requests in them", async () => {
  // Without motion, no colour is still on its way to another when it is measured.
  const { page, close } = await openPage(browser, twin.console, { reducedMotion: "reduce" });
  const link = (name) => page.getByRole("navigation").getByRole("link", { name, exact: true });
  await page.getByText("Nothing has come in yet.").waitFor();
  assert.equal(await page.title(), "Overview – sam-twin console");
  const panels = await page.getByRole("navigation").getByRole("link").allTextContents();
  assert.deepEqual(panels, ["Overview", "Outbox", "Queues", "Sources", "Faults", "Cost"]);

  const answer = await fetch(`${twin.api}/hello/you`);
  assert.equal(await answer.text(), "Hello, you!\n");
  await page.getByText(/^1 trace began in the 60 seconds/).waitFor();

  for (const [name, shown] of [
    ["Cost", "GET /hello/you"],
    ["Outbox", "No SMS went out yet."],
    ["Queues", "The template has no queues."],
    ["Sources", "No queue feeds a function."],
    ["Faults", "By rule"],
  ]) {
    await link(name).click();
    await page.getByText(shown, { exact: true }).first().waitFor();
    for (const colorScheme of ["dark", "light"]) {
      await page.emulateMedia({ colorScheme });
      assert.deepEqual(await page.evaluate(faint), [], `${name}, ${colorScheme}`);
    }
    assert.deepEqual(await page.evaluate(nameless), [], name);
  }

  await page.getByLabel("Function", { exact: true }).selectOption("EchoFunction");
  await page.getByLabel("Service", { exact: true }).selectOption("connections");
  await page.getByRole("button", { name: "Add the rule" }).click();
  await page.getByRole("cell", { name: "EchoFunction, connections" }).waitFor();
  await close();
});
