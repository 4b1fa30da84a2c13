// A service that fails for five minutes. The tests count how often it is asked.

import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { setImmediate } from "node:timers/promises";
import type { WebSocket } from "ws";
import type { Device } from "../../src/device.js";
import { until } from "./clock.js";
import { Service } from "./service.js";

type Upgrade = Parameters<NonNullable<Service["always"]>>[0];

interface Misdeed {
  /** The service's answer to a connection. */
  readonly act: (service: Service, upgrade: Upgrade, spoken: () => void) => void;
  /** The device's reaction, after which time goes on: it waits, or sends, or notices nothing yet. */
  readonly leadsTo: "waiting" | "speaking" | "nothing";
}

const answering = (text: string): Misdeed => ({ act: (_, { socket }) => socket.end(text), leadsTo: "waiting" });
const opening = (leadsTo: Misdeed["leadsTo"], act: (socket: WebSocket) => void): Misdeed => ({
  act: (service, upgrade, spoken) =>
    service.open(upgrade, (socket) => {
      socket.once("message", spoken);
      act(socket);
    }),
  leadsTo,
});

const MISDEEDS: Record<string, Misdeed> = {
  "refuses with 401": answering("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"),
  "refuses with 429": answering("HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n\r\n"),
  "cuts the line": { act: (_, { socket }) => socket.destroy(), leadsTo: "waiting" },
  "never answers": { act: () => {}, leadsTo: "nothing" },
  "answers nonsense": answering("These are not the headers that you are looking for.\r\n\r\n"),
  "opens and closes at once": opening("waiting", (socket) => socket.close()),
  "answers that it does not know the connection": opening("waiting", (socket) =>
    socket.send('{"type":"reconnect","deviceId":"","code":"unknown_connection","after":0}'),
  ),
  "answers every action with an error": opening("speaking", (socket) =>
    socket.on("message", () => socket.send('{"message": "Internal server error"}')),
  ),
  "sends nonsense": opening("speaking", (socket) => {
    socket.send("nonsense");
    socket.send(Buffer.from("nonsense"));
    socket.send('{"type":"message","id":"1","epoch":1,"seq":1,"deviceId":"device-1"}');
  }),
  "opens and never sends anything": opening("speaking", () => {}),
};

/** How many connections are begun in five minutes. */
async function countFor(t: TestContext, { act, leadsTo }: Misdeed): Promise<[number, Service, Device]> {
  const service = await Service.start(t);
  let spoken = 0;
  service.always = (upgrade) =>
    act(service, upgrade, () => {
      spoken += 1;
    });
  const device = service.start(t);
  const count = (state: string): number => service.states.filter((other) => other.startsWith(state)).length;
  const settled = async (): Promise<void> => {
    const { attempts } = service;
    await until(() => service.begun >= attempts, "a connection");
    if (leadsTo === "waiting") {
      await until(() => count("waiting") >= attempts, "a pause");
    } else if (leadsTo === "speaking") {
      await until(() => spoken >= attempts, "a word");
    }
    await setImmediate();
  };
  await until(() => device.state === "connecting" && service.begun > 0);
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
    // As soon as the service recovers, the device does.
    service.always = undefined;
    const attempts = service.attempts;
    await until(async () => {
      if (service.attempts === attempts) {
        device.wake();
        await service.clock.advance(1_000);
      }
      return service.isCalled;
    }, "another connection");
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
