// The built package: its size, its types, and that it works.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";
import { gzipSync } from "node:zlib";
import { WebSocket } from "ws";
import type { Device as DeviceClass } from "../../src/device.js";
import { until } from "./clock.js";
import { DEVICE, Service } from "./service.js";

const DIST = new URL("../../dist/", import.meta.url);
const API = new URL("../../tests/api.txt", import.meta.url);

/** For bundlers, and minified for pages without one. */
const READABLE = ["tidings.js", "push.js"];
const MINIFIED = ["tidings.min.js", "push.min.js"];

test("the client has less than 8 KB, minified and gzipped", (t) => {
  const sizes = MINIFIED.map((name) => gzipSync(readFileSync(new URL(name, DIST)), { level: 9 }).length);
  t.diagnostic(`${sizes[0]} bytes, and ${sizes[1]} for service workers`);
  assert.ok((sizes[0] as number) < 8 * 1_024, `${sizes[0]} bytes`);
  assert.ok((sizes[1] as number) < 3 * 1_024, `${sizes[1]} bytes`);
});

test("no name that others use is shortened", () => {
  const script = readFileSync(new URL("../../scripts/build.mjs", import.meta.url), "utf8");
  const [, list = ""] = /const INTERNAL = \[(.+?)\];/s.exec(script) ?? [];
  const names = [...list.matchAll(/"(\w+)"/g)].map(([, name]) => name);
  assert.ok(names.length > 20, "the list was found");
  const others = ["../../tests/api.txt", "../../src/wire.ts", "../../src/identity.ts", "../../src/store.ts"];
  for (const path of [...others, "../../../../docs/asyncapi.yaml"]) {
    const text = readFileSync(new URL(path, import.meta.url), "utf8");
    for (const name of names) {
      assert.doesNotMatch(text, new RegExp(`\\b${name}["']?\\??:`), `${name} is a field in ${path}`);
    }
  }
});

test("a bundle imports nothing", () => {
  for (const name of [...READABLE, ...MINIFIED]) {
    assert.doesNotMatch(readFileSync(new URL(name, DIST), "utf8"), /\bimport\b|\brequire\b/, name);
  }
});

/** The declarations of every module that the two entries show, without comments. */
function declarations(): string {
  const of = (entry: string, seen: Set<string>): void => {
    if (!seen.has(entry)) {
      seen.add(entry);
      for (const [, next] of readFileSync(new URL(entry, DIST), "utf8").matchAll(/from "\.\/(.+?)\.js"/g)) {
        of(`${next}.d.ts`, seen);
      }
    }
  };
  const entries = new Set<string>();
  of("index.d.ts", entries);
  of("push.d.ts", entries);
  const shown = new Set([...entries].flatMap((entry) => exportsOf(entry)));
  return ["index.d.ts", "push.d.ts"]
    .map((entry) => `// ${entry}\n${readFileSync(new URL(entry, DIST), "utf8")}`)
    .concat([...shown].sort())
    .map((text) =>
      text
        .replaceAll(/\/\*\*[\s\S]*?\*\//g, "")
        .replaceAll(/\n\s*\n/g, "\n")
        .trim(),
    )
    .join("\n\n")
    .concat("\n");
}

/** The declarations in a module that one of the entries exports by name. */
function exportsOf(entry: string): string[] {
  if (entry === "index.d.ts") {
    return [];
  }
  const names = ["index.d.ts", "push.d.ts"]
    .map((name) => readFileSync(new URL(name, DIST), "utf8"))
    .join("\n")
    .matchAll(/export (?:type )?\{([^}]+)\} from "\.\/(.+?)\.js"/g);
  const wanted = [...names]
    .filter(([, , module]) => `${module}.d.ts` === entry)
    .flatMap(([, list]) => (list as string).split(",").map((name) => name.replace("type ", "").trim()));
  const text = readFileSync(new URL(entry, DIST), "utf8");
  return wanted.map((name) => {
    const begin = text.search(
      new RegExp(`^export (?:declare )?(?:class|interface|type|const|function) ${name}\\b`, "m"),
    );
    assert.ok(begin >= 0, `${name} in ${entry}`);
    // To the brace that closes it, or to the end of its only line.
    return (/^.*?(?:;$|\{$[\s\S]*?^\}.*$)/m.exec(text.slice(begin)) as RegExpExecArray)[0];
  });
}

test("the exported types are those of tests/api.txt", () => {
  // `UPDATE_API=1` regenerates the list: then describe the change in the change log.
  const now = declarations();
  if (process.env.UPDATE_API) {
    writeFileSync(API, now);
  }
  assert.equal(now, readFileSync(API, "utf8"));
});

test("the exported values are these", async () => {
  for (const names of [READABLE, MINIFIED]) {
    const [main, push] = await Promise.all(names.map((name) => import(new URL(name, DIST).href)));
    assert.deepEqual(Object.keys(main), ["Device", "TidingsError"]);
    assert.deepEqual(Object.keys(push), ["TidingsError", "receivePush"]);
  }
});

test("an uncaught error shows a line that people can read, and a package that asks for it finds it", () => {
  const program = 'const { Device } = require("@tidings/client"); new Device({ url: "nonsense", registration: {} });';
  const folder = mkdtempSync(join(tmpdir(), "tidings-"));
  try {
    mkdirSync(join(folder, "node_modules/@tidings"), { recursive: true });
    symlinkSync(fileURLToPath(new URL("../../", import.meta.url)), join(folder, "node_modules/@tidings/client"));
    writeFileSync(join(folder, "app.cjs"), program);
    const { stderr } = spawnSync(process.execPath, ["app.cjs"], { cwd: folder, encoding: "utf8" });
    assert.match(stderr, /bad_options: no WebSocket API: nonsense/);
    const longest = Math.max(...stderr.split("\n").map((line) => line.length));
    assert.ok(longest < 200, `a line of ${longest} characters`);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

for (const name of ["tidings.js", "tidings.min.js"]) {
  test(`${name} works, and needs nothing beside it`, async (t) => {
    const folder = mkdtempSync(join(tmpdir(), "tidings-"));
    t.after(() => rmSync(folder, { recursive: true }));
    writeFileSync(join(folder, "client.mjs"), readFileSync(new URL(name, DIST)));
    assert.deepEqual(readdirSync(folder), ["client.mjs"]);
    const { Device } = (await import(pathToFileURL(join(folder, "client.mjs")).href)) as { Device: typeof DeviceClass };
    const service = await Service.start(t);
    const registration = { id: DEVICE, keys: service.keys };
    const device = new Device({ url: service.url, registration, WebSocket });
    t.after(() => device.close());
    const shown: unknown[] = [];
    device.on("message", ({ alert }) => void shown.push(alert));
    device.start();
    const peer = await service.accept();
    await peer.upToDate(0);
    peer.message(1);
    assert.equal((await peer.nextAction()).action, "ack");
    await until(() => shown.length === 1);
    await Promise.all([device.close(), peer.waitsForClose()]);
  });
}
