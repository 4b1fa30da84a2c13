// A browser that takes IndexedDB away for a moment: what is shown afterwards is kept all the same.

import assert from "node:assert/strict";
import { test } from "node:test";
import type { Page } from "playwright-core";
import { app, browse, serve, shown, Twin, until } from "./harness.js";

/** Keeps the page's open databases in `databases`, and refuses to keep a cursor while `full` is set. */
const WATCH = `
  window.databases = [];
  const { open } = IDBFactory.prototype;
  IDBFactory.prototype.open = function (...of) {
    const request = open.apply(this, of);
    request.addEventListener("success", () => databases.push(request.result));
    return request;
  };
  const { put } = IDBObjectStore.prototype;
  IDBObjectStore.prototype.put = function (...of) {
    if (window.full && this.name === "cursors") throw new DOMException("the disk is full", "QuotaExceededError");
    return put.apply(this, of);
  };
`;

interface Watched {
  readonly databases: IDBDatabase[];
  readonly errors: string[];
  full: boolean;
}

/** The stored cursor, read by another page. */
function kept(page: Page): Promise<number | undefined> {
  return page.evaluate(async () => {
    const database = await new Promise<IDBDatabase>((resolve, reject) => {
      const opening = indexedDB.open("tidings");
      opening.onsuccess = () => resolve(opening.result);
      opening.onerror = () => reject(opening.error);
    });
    try {
      const cursors = database.transaction("cursors").objectStore("cursors").getAll();
      await new Promise((resolve) => {
        cursors.onsuccess = resolve;
      });
      return cursors.result[0]?.seq as number | undefined;
    } finally {
      database.close();
    }
  });
}

/** A fault of the page `app`, with the help of another page, its repair, and the errors that it may cause. */
interface Fault {
  readonly name: string;
  strike(app: Page, other: Page): Promise<unknown>;
  end(app: Page): Promise<unknown>;
  readonly complaints: string[];
}

const setFull = (page: Page, full: boolean): Promise<void> =>
  page.evaluate((full) => {
    (globalThis as unknown as Watched).full = full;
  }, full);

const FAULTS: Fault[] = [
  {
    name: "closed under the page, without an event",
    strike: (app) =>
      app.evaluate(() => {
        for (const database of (globalThis as unknown as Watched).databases.splice(0)) {
          database.close();
        }
      }),
    end: async () => {},
    complaints: [],
  },
  {
    name: "deleted by another page, as by a person who clears the site's data",
    strike: (_, other) =>
      other.evaluate(
        () =>
          new Promise<void>((resolve, reject) => {
            const deleting = indexedDB.deleteDatabase("tidings");
            deleting.onsuccess = () => resolve();
            deleting.onerror = () => reject(deleting.error);
            deleting.onblocked = () => reject(new Error("the page keeps the database open"));
          }),
      ),
    end: async () => {},
    complaints: [],
  },
  {
    name: "full",
    strike: (app) => setFull(app, true),
    end: (app) => setFull(app, false),
    complaints: ["store_failed: QuotaExceededError: the disk is full"],
  },
];

test("a database that is taken away comes back, and nothing is shown again", async (t) => {
  const twin = await Twin.start(t);
  const browser = await browse(t);
  for (const [index, { name, strike, end, complaints }] of FAULTS.entries()) {
    await t.test(name, async (t) => {
      const user = `user-${index}`;
      const registration = await twin.register(user);
      const origin = await serve(t, { "/": app({ url: twin.socket, registration }), "/other": "<!doctype html>" });
      const context = await browser.newContext();
      t.after(() => context.close());
      const page = await context.newPage();
      await page.addInitScript(WATCH);
      await page.goto(origin);
      const other = await context.newPage();
      await other.goto(`${origin}/other`);
      await twin.send(user, "one");
      await until(async () => (await shown(page)).length === 1, "the first message");
      await until(async () => (await kept(other)) === 1, "its cursor");

      await strike(page, other);
      await twin.send(user, "two");
      await until(async () => (await shown(page)).length === 2, "a message while the database is away");
      await end(page);
      // A write that failed is made good by itself, some seconds later.
      await until(async () => (await kept(other)) === 2, "the cursor of what was shown meanwhile");

      await twin.send(user, "three");
      await until(async () => (await shown(page)).length === 3, "the third message");
      await until(async () => (await kept(other)) === 3, "its cursor");
      const errors = await page.evaluate(() => (globalThis as unknown as Watched).errors);
      assert.deepEqual([...new Set(errors)], complaints);
      await page.close();

      await other.goto(origin);
      await twin.send(user, "four");
      await until(async () => (await shown(other)).length > 0, "a message in another tab");
      assert.deepEqual(await shown(other), [4], "and nothing again");
    });
  }
});
