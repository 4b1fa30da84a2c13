// The programs of README.md and of the guide work as they are printed.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";
import { browse, serve, Twin, until } from "./harness.js";

const PACKAGE = fileURLToPath(new URL("../../", import.meta.url));
const README = readFileSync(join(PACKAGE, "README.md"), "utf8");
const GUIDE = readFileSync(join(PACKAGE, "../../docs/clients.md"), "utf8");

function blockWith(text: string, page = README): string {
  const blocks = [...page.matchAll(/```(?:js|html)\n([\s\S]*?)```/g)].map(([, code = ""]) => code);
  const [block, ...others] = blocks.filter((code) => code.includes(text));
  assert.ok(block && others.length === 0, `one block with ${text}`);
  return block;
}

test("the first five lines, in a browser", async (t) => {
  const twin = await Twin.start(t);
  const block = blockWith("/tidings/register");
  assert.equal(block.trim().split("\n").length, 5);
  const code = block.replace(/wss:[^"]+/, twin.socket);
  const imports = JSON.stringify({ imports: { "@tidings/client": "/tidings.js" } });
  const origin = await serve(t, {
    "/": `<!doctype html><script type="importmap">${imports}</script><script type="module">${code}</script>`,
    "/tidings/register": JSON.stringify(await twin.register("alice")),
  });
  const page = await (await (await browse(t)).newContext()).newPage();
  const logged: string[] = [];
  page.on("console", (message) => logged.push(message.text()));
  await page.goto(origin);
  await twin.send("alice", "Hello, Alice");
  await until(async () => logged.includes("Hello, Alice"), `a message; ${logged}`);
});

test("the guide's program for a page, with its import map and without a bundler", async (t) => {
  const twin = await Twin.start(t);
  const browser = await browse(t);
  const code = blockWith('/register-this-browser", { method: "POST", body', GUIDE);
  const printed = "ws://127.0.0.1:7401/prod";
  assert.ok(code.includes(printed));
  const imports = blockWith("importmap", GUIDE);
  const open = async (t: TestContext, url: string, routes: Record<string, string>): Promise<string[]> => {
    const html = `<!doctype html>${imports}<script type="module">${code.replace(printed, url)}</script>`;
    const context = await browser.newContext();
    t.after(() => context.close());
    const page = await context.newPage();
    const logged: string[] = [];
    page.on("console", (message) => logged.push(message.text().trim()));
    page.on("pageerror", (error) => logged.push(`uncaught: ${error}`));
    await page.goto(await serve(t, { "/": html, "/favicon.ico": "", ...routes }));
    return logged;
  };
  const logs = (logged: string[], what: RegExp): Promise<boolean> =>
    until(async () => logged.some((line) => what.test(line)), `${what}; ${logged}`);

  await t.test("a message", async (t) => {
    const routes = { "/register-this-browser": JSON.stringify(await twin.register("bob")) };
    const logged = await open(t, twin.socket, routes);
    await twin.send("bob", "Hello, Bob");
    await logs(logged, /^Hello, Bob$/);
    assert.deepEqual(logged, ["connecting", "online", "Hello, Bob"]);
  });
  await t.test("a wrong route", async (t) => {
    const logged = await open(t, twin.socket, {});
    await logs(logged, /^waiting registration_failed$/);
    await logs(logged, /^TidingsError: registration_failed: Error: \/register-this-browser: 404/);
  });
  await t.test("a wrong key", async (t) => {
    const answer = { status: 401, code: "wrong_app_key", detail: "the app key is not valid" };
    const logged = await open(t, twin.socket, { "/register-this-browser": JSON.stringify(answer) });
    await logs(logged, /^TidingsError: bad_registration: POST \/v1\/devices: wrong_app_key/);
  });
  await t.test("a wrong port", async (t) => {
    const routes = { "/register-this-browser": JSON.stringify(await twin.register("carol")) };
    await logs(await open(t, "ws://127.0.0.1:1/prod", routes), /^waiting unreachable$/);
  });
});

test("the lines for Node", async (t) => {
  const twin = await Twin.start(t);
  const folder = mkdtempSync(join(tmpdir(), "tidings-"));
  t.after(() => rmSync(folder, { recursive: true }));
  mkdirSync(join(folder, "node_modules/@tidings"), { recursive: true });
  symlinkSync(PACKAGE, join(folder, "node_modules/@tidings/client"));
  symlinkSync(join(PACKAGE, "node_modules/ws"), join(folder, "node_modules/ws"));
  writeFileSync(join(folder, "app.mjs"), blockWith('from "ws"'));
  writeFileSync(join(folder, "device.json"), JSON.stringify(await twin.register("alice")));
  const cursor = join(folder, "cursor.json");
  for (const [index, alert] of ["one", "two"].entries()) {
    await twin.send("alice", alert);
    const env = { ...process.env, TIDINGS_SOCKET: twin.socket };
    const child = spawn(process.execPath, ["app.mjs"], { cwd: folder, env, stdio: ["ignore", "pipe", "inherit"] });
    t.after(() => child.kill());
    let logged = "";
    child.stdout.on("data", (data) => {
      logged += data;
    });
    const kept = (): boolean => existsSync(cursor) && readFileSync(cursor, "utf8").includes(`"seq":${index + 1}}`);
    await until(async () => logged !== "" && kept(), `${alert}; ${logged}`);
    assert.equal(logged, `${alert}\n`, "and nothing of an earlier life");
    child.kill("SIGKILL");
  }
});
