// The tab that connects if Web Locks are refused, absent or lost.

import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import type { Device } from "../../src/device.js";
import { until } from "./clock.js";
import { Service } from "./service.js";

type Granted = (lock: unknown) => Promise<void>;
type Request = (name: string, options: { signal: AbortSignal }, granted: Granted) => Promise<void>;

/** Every device of this test finds this in place of the browser's `navigator`. */
function navigate(t: TestContext, navigator: object | undefined): void {
  const before = Object.getOwnPropertyDescriptor(globalThis, "navigator");
  Object.defineProperty(globalThis, "navigator", { value: navigator, configurable: true });
  t.after(() => {
    if (before) {
      Object.defineProperty(globalThis, "navigator", before);
    } else {
      delete (globalThis as { navigator?: unknown }).navigator;
    }
  });
}

const refused = (): DOMException => new DOMException("access to the Locks API is denied", "SecurityError");

/** Web Locks of one origin, with one lock that can be stolen. */
class Locks {
  readonly names: string[] = [];
  readonly #waiting: (() => void)[] = [];
  #lose: ((error: DOMException) => void) | undefined;

  readonly request: Request = (name, { signal }, granted) => {
    this.names.push(name);
    return new Promise((resolve, reject) => {
      const hold = (): void => {
        this.#lose = reject;
        granted({}).then(() => {
          resolve();
          this.#waiting.shift()?.();
        });
      };
      signal.addEventListener("abort", () => reject(signal.reason));
      if (this.#lose) {
        this.#waiting.push(hold);
      } else {
        hold();
      }
    });
  };

  /** Takes the lock from its holder, and gives it to the next one in line. */
  steal(): void {
    this.#lose?.(new DOMException("the lock was stolen", "AbortError"));
    this.#waiting.shift()?.();
  }
}

const CASES: [string, () => object | undefined][] = [
  ["no navigator", () => undefined],
  ["no navigator.locks, as without a secure context", () => ({})],
  [
    "a request that is rejected, as in a sandboxed frame",
    () => ({ locks: { request: () => Promise.reject(refused()) } }),
  ],
  [
    "a request that throws, as with blocked storage",
    () => ({
      locks: {
        request: () => {
          throw refused();
        },
      },
    }),
  ],
  [
    "navigator.locks that throws when it is read",
    () => ({
      get locks() {
        throw refused();
      },
    }),
  ],
];

for (const [name, navigator] of CASES) {
  test(`two tabs connect, and show everything, without a leader: ${name}`, async (t) => {
    navigate(t, navigator());
    const service = await Service.start(t);
    for (const tab of [1, 2]) {
      const device = service.start(t, { tabs: "leader" });
      const peer = await service.accept();
      await peer.upToDate(0);
      await until(() => device.state === "online", `tab ${tab}`);
      peer.message(1);
      await until(() => service.shown.length === tab, `a message in tab ${tab}`);
    }
    assert.deepEqual(service.shown, ["1", "1"]);
    assert.deepEqual(service.errors, []);
  });
}

test("a leader whose lock is stolen goes on, beside the tab that leads now", async (t) => {
  const locks = new Locks();
  navigate(t, { locks });
  const service = await Service.start(t);
  const shown = new Map<Device, string[]>();
  const begin = (): Device => {
    const device = service.device(t, { tabs: "leader" });
    shown.set(device, []);
    device.on("message", ({ id }) => void shown.get(device)?.push(id));
    device.start();
    return device;
  };
  const first = begin();
  const one = await service.accept();
  await one.upToDate(0);
  await until(() => first.state === "online", "the leader");
  const second = begin();
  await until(() => locks.names.length === 2, "a tab that stands by");
  assert.equal(second.state, "standby");
  assert.equal(locks.names[0], locks.names[1]);

  locks.steal();
  const two = await service.accept();
  await two.upToDate(0);
  await until(() => second.state === "online", "the next leader");
  for (const peer of [one, two]) {
    peer.message(1);
  }
  await until(() => [...shown.values()].every(({ length }) => length === 1), "a message in both");
  assert.deepEqual([...shown.values()], [["1"], ["1"]]);
  assert.deepEqual([first.state, one.closed, service.errors], ["online", false, []]);
});

test("a tab that is closed while it stands by never connects", async (t) => {
  const locks = new Locks();
  navigate(t, { locks });
  const service = await Service.start(t);
  const first = service.start(t, { tabs: "leader" });
  await (await service.accept()).upToDate(0);
  await until(() => first.state === "online", "the leader");
  const second = service.start(t, { tabs: "leader" });
  await until(() => second.state === "standby", "a tab that stands by");
  await second.close();
  await first.close();
  await until(() => first.state === "closed" && second.state === "closed", "the end of both");
  assert.deepEqual([service.begun, service.errors], [1, []]);
});
