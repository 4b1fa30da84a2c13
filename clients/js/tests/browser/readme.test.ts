// What README.md says works as it stands there.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { browse, serve, Twin, until } from "./harness.js";

const PACKAGE = fileURLToPath(new URL("../../", import.meta.url));
const BLOCKS = [...readFileSync(join(PACKAGE, "README.md"), "utf8").matchAll(/```js\n([\s\S]*?)```/g)].map(
  ([, code = ""]) => code,
);

function blockWith(text: string): string {
  const [block, ...others] = BLOCKS.filter((code) => code.includes(text));
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
  const said: string[] = [];
  page.on("console", (message) => said.push(message.text()));
  await page.goto(origin);
  await twin.send("alice", "Hello, Alice");
  await until(async () => said.includes("Hello, Alice"), `a message; ${said}`);
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
    let said = "";
    child.stdout.on("data", (data) => {
      said += data;
    });
    const kept = (): boolean => existsSync(cursor) && readFileSync(cursor, "utf8").includes(`"seq":${index + 1}}`);
    await until(async () => said !== "" && kept(), `${alert}; ${said}`);
    assert.equal(said, `${alert}\n`, "and nothing of an earlier life");
    child.kill("SIGKILL");
  }
});
