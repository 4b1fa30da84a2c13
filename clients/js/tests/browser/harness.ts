// A twin, a browser and a server of pages. Everything that is started is stopped by its process id.

import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { accessSync, constants, readFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { delimiter, join } from "node:path";
import type { TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import { type Browser, chromium, type Page } from "playwright-core";
import type { Registration } from "../../src/identity.js";

const REPOSITORY = fileURLToPath(new URL("../../../../", import.meta.url));

/** Waits for a condition. */
export async function until<T>(find: () => Promise<T | undefined | false>, what: string, seconds = 30): Promise<T> {
  const deadline = Date.now() + seconds * 1_000;
  for (;;) {
    const found = await find();
    if (found !== undefined && found !== false) {
      return found;
    }
    if (Date.now() > deadline) {
      throw new Error(`${what} did not happen within ${seconds} seconds`);
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode === null && child.signalCode === null) {
    const ended = new Promise((resolve) => child.once("exit", resolve));
    child.kill("SIGTERM");
    await ended;
  }
}

/** A whole service on loopback. */
export class Twin {
  readonly http: string;
  readonly socket: string;
  readonly aws: string;
  readonly #key: string;

  private constructor(output: string) {
    const find = (pattern: RegExp): string => {
      const found = pattern.exec(output)?.[1];
      assert.ok(found, `${pattern} in ${output}`);
      return found;
    };
    this.http = find(/HTTP API\s+(\S+)/);
    this.socket = find(/WebSocket\s+(\S+)/);
    this.aws = find(/AWS\s+(\S+)/);
    this.#key = find(/its key\s+(\S+)/);
  }

  /** `TIDINGS` names the program; otherwise it is built from this repository. */
  static async start(t: TestContext, ...options: string[]): Promise<Twin> {
    const [program = "", ...rest] = (process.env.TIDINGS ?? "cargo run --quiet --locked --").split(" ");
    const ports = ["--http-port", "0", "--socket-port", "0", "--aws-port", "0"];
    const child = spawn(program, [...rest, "up", ...ports, "--log", "error", ...options], {
      cwd: REPOSITORY,
      stdio: ["ignore", "pipe", "inherit"],
    });
    t.after(() => stop(child));
    let output = "";
    await new Promise<void>((resolve, reject) => {
      child.once("error", reject);
      child.once("exit", () => reject(new Error(`the twin ended: ${output}`)));
      child.stdout.on("data", (data) => {
        output += data;
        if (output.includes("Ctrl-C")) {
          resolve();
        }
      });
    });
    return new Twin(output);
  }

  async #ask(method: string, url: string, body?: unknown): Promise<Record<string, unknown>> {
    const headers = { authorization: `Bearer ${this.#key}`, "content-type": "application/json" };
    const response = await fetch(url, { method, headers, body: body === undefined ? null : JSON.stringify(body) });
    const text = await response.text();
    assert.ok(response.ok, `${method} ${url}: ${response.status} ${text}`);
    return JSON.parse(text || "{}");
  }

  async register(alias: string): Promise<Registration> {
    const device = { appId: "demo", alias, platform: "WEB", nativeToken: `browser of ${alias}` };
    return (await this.#ask("POST", `${this.http}/v1/devices`, device)) as unknown as Registration;
  }

  /** Sends a message; answers with its id. */
  async send(alias: string, alert: string): Promise<string> {
    const sent = await this.#ask("POST", `${this.http}/v1/messages`, { audiences: [alias], alert });
    return sent.requestId as string;
  }

  /** A user's preferences, as a backend reads them. */
  preferences(alias: string): Promise<Record<string, unknown>> {
    return this.#ask("GET", `${this.http}/v1/users/${alias}/preferences`);
  }

  /** The state of a message with one recipient. */
  async trail(id: string): Promise<{ state: string; epoch: number; seq: number }> {
    const trail = await this.#ask("GET", `${this.http}/v1/messages/${id}`);
    return (trail.recipients as { state: string; epoch: number; seq: number }[])[0] as never;
  }

  /** Cuts the socket that the next frame travels on after so many have passed, in either direction. */
  async cutAfter(frames: number): Promise<void> {
    await this.#ask("POST", `${this.aws}/_twin/faults/rules`, { fault: "drop-socket", skip: frames });
  }

  /** How many sockets were cut. */
  async cuts(): Promise<number> {
    const output = await this.#ask("GET", `${this.aws}/_twin/faults`);
    return (output.injected as Record<string, number>)["drop-socket"] ?? 0;
  }
}

/** Every folder of PATH is looked through. */
function find(program: string): string {
  for (const folder of (process.env.PATH ?? "").split(delimiter)) {
    const path = join(folder, program);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // Not in this one.
    }
  }
  throw new Error(`${program} is not on the PATH`);
}

export async function browse(t: TestContext): Promise<Browser> {
  const quiet = ["--disable-quic", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
  const browser = await chromium.launch({ executablePath: find("chromium"), args: ["--no-sandbox", ...quiet] });
  t.after(() => browser.close());
  return browser;
}

/** Serves these pages, and the built client, from a free port. Loopback is a secure context. */
export async function serve(t: TestContext, files: Record<string, string>): Promise<string> {
  const built = (name: string): string => readFileSync(new URL(`../../dist/${name}`, import.meta.url), "utf8");
  const scripts = ["tidings.js", "tidings.min.js", "push.js"].map((name) => [`/${name}`, built(name)]);
  const all: Record<string, string> = { ...files, ...Object.fromEntries(scripts) };
  const server = createServer((request, response) => {
    const file = all[new URL(request.url ?? "/", "http://x").pathname];
    const type = request.url?.includes(".js") ? "text/javascript" : "text/html";
    response.writeHead(file === undefined ? 404 : 200, {
      "content-type": `${type}; charset=utf-8`,
      "cache-control": "no-store",
    });
    response.end(file);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/**
 * An app: a page that records the position of each message in the task that shows it, in storage that the next page of
 * this tab reads. `options` are those of the device.
 */
export function app(options: Record<string, unknown>): string {
  return `<!doctype html><title>App</title><script type="module">
    import { Device } from "/tidings.js";
    const device = new Device(${JSON.stringify(options)});
    window.device = device;
    window.errors = [];
    window.states = [];
    device.on("message", ({ seq }) => {
      sessionStorage.setItem("shown", (sessionStorage.getItem("shown") ?? "") + seq + " ");
    });
    device.on("error", (error) => errors.push(error.code + ": " + error.detail));
    device.on("gap", (gap) => errors.push("gap: " + JSON.stringify(gap)));
    device.on("state", (change) => states.push(change.state));
    device.start();
  </script>`;
}

/** The positions that this tab has shown, in order, over all its pages. */
export async function shown(page: Page): Promise<number[]> {
  const text = await page.evaluate(() => sessionStorage.getItem("shown") ?? "");
  return text.split(" ").filter(Boolean).map(Number);
}

/** Numbers from one to another. */
export function range(from: number, to: number): number[] {
  return Array.from({ length: to - from + 1 }, (_, index) => from + index);
}
