// A service that does nothing right for five minutes. What counts is how often it is asked.

import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { setImmediate } from "node:timers/promises";
import type { Device } from "../../src/device.js";
import { until } from "./clock.js";
import { Service } from "./service.js";

type Misdeed = (service: Service, ...upgrade: Parameters<NonNullable<Service["always"]>>) => void;

/** Each answers every connection in its own way. */
const MISDEEDS: Record<string, Misdeed> = {
  "refuses with 401": (_, { socket }) => socket.end("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"),
  "refuses with 429": (_, { socket }) => socket.end("HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n\r\n"),
  "cuts the line": (_, { socket }) => socket.destroy(),
  "never answers": () => {},
  "answers nonsense": (_, { socket }) => socket.end("These are not the headers that you are looking for.\r\n\r\n"),
  "opens and closes at once": (service, upgrade) => service.open(upgrade, (socket) => socket.close()),
  "says that it does not know the connection": (service, upgrade) =>
    service.open(upgrade, (socket) =>
      socket.send('{"type":"reconnect","deviceId":"","code":"unknown_connection","after":0}'),
    ),
  "answers every word with an error": (service, upgrade) =>
    service.open(upgrade, (socket) => {
      socket.on("message", () => socket.send('{"message": "Internal server error"}'));
    }),
  "sends nonsense": (service, upgrade) =>
    service.open(upgrade, (socket) => {
      socket.send("nonsense");
      socket.send(Buffer.from("nonsense"));
      socket.send('{"type":"message","id":"1","epoch":1,"seq":1,"deviceId":"device-1"}');
    }),
  "opens and never says a word": (service, upgrade) => service.open(upgrade, () => {}),
};

/** How many connections are begun in five minutes. */
async function countFor(t: TestContext, misdeed: Misdeed): Promise<[number, Service, Device]> {
  const service = await Service.start(t);
  service.always = (upgrade) => misdeed(service, upgrade);
  const device = service.start(t);
  const settled = async (): Promise<void> => {
    // What travels is given time to arrive before time goes on.
    for (let turn = 0, events = -1; turn < 5; turn += 1) {
      const now = service.begun + service.states.length + service.errors.length;
      turn = now === events ? turn : 0;
      events = now;
      await setImmediate();
    }
    await until(() => device.state !== "connecting" || service.begun > 0);
  };
  while (service.clock.now() < 300_000) {
    await service.clock.advance(250, settled);
  }
  return [service.begun, service, device];
}

for (const [name, misdeed] of Object.entries(MISDEEDS)) {
  test(`a service that ${name} is asked rarely, and never given up`, async (t) => {
    const [begun, service, device] = await countFor(t, misdeed);
    t.diagnostic(`${begun} connections in five minutes`);
    // Without growth there would be hundreds; one that gave up would have made none for long.
    assert.ok(begun >= 4 && begun <= 25, `${begun} connections`);
    assert.ok(device.state !== "closed");
    assert.ok(service.clock.waiting <= 2, `${service.clock.waiting} timers`);
    assert.deepEqual(service.shown, []);
    for (const { code } of service.errors) {
      assert.ok(["refused", "unreadable_frame"].includes(code), code);
    }
    // As soon as it is well, the device is.
    service.always = undefined;
    await until(async () => {
      device.wake();
      await service.clock.advance(1_000);
      return service.isCalled;
    });
    await (await service.accept()).upToDate(0);
    await until(() => device.state === "online");
  });
}

test("however often it is woken, it wakes once in a second", async (t) => {
  const service = await Service.start(t);
  service.always = ({ socket }) => socket.destroy();
  const device = service.start(t);
  await until(() => device.state === "waiting");
  for (let tenth = 0; tenth < 100; tenth += 1) {
    device.wake();
    await service.clock.advance(100);
    await until(() => device.state === "waiting");
  }
  t.diagnostic(`${service.begun} connections in ten seconds of waking`);
  assert.ok(service.begun >= 10 && service.begun <= 15, String(service.begun));
});
