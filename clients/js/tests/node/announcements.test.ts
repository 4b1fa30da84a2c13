// A device that receives announcements. Time is the test's: nothing sleeps.

import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { setImmediate } from "node:timers/promises";
import type { Device } from "../../src/device.js";
import type { Announcement } from "../../src/wire.js";
import { keysOf, sealFrame } from "../sealing.js";
import { until } from "./clock.js";
import { DEVICE, EPOCH, type Peer, Service } from "./service.js";
import { ack, at, Kept, sync } from "./words.js";

const frame = (number: number, after: number): Record<string, unknown> => ({
  type: "announcement",
  id: `a${number}`,
  number,
  after,
  toUserName: "alice",
  createTime: 1,
  alert: `no. ${number}`,
});

/** The announcements of a replay. */
const announced = (after: number, number = after): Record<string, unknown> => ({ announced: { after, number } });

/** A device, and the numbers that it shows. */
function listening(t: TestContext, service: Service, store: Kept): [Device, number[]] {
  const device = service.start(t, { store });
  const numbers: number[] = [];
  device.on("announcement", ({ number }) => void numbers.push(number));
  return [device, numbers];
}

test("announcements are shown in order and once, and not again by the next page", async (t) => {
  const service = await Service.start(t);
  const store = new Kept(0);
  const [device] = listening(t, service, store);
  const shown: Announcement[] = [];
  device.on("announcement", (announcement) => void shown.push(announcement));
  let peer = await service.accept();
  assert.deepEqual(await peer.nextAction(), sync(0));
  peer.send(frame(10, 0));
  peer.send(frame(20, 10));
  peer.send(frame(10, 0));
  peer.synced(0, [], announced(20, 25));
  peer.send(frame(30, 25));
  await until(() => shown.length === 3, "three announcements");
  assert.deepEqual(shown[0], { ...frame(10, 0), deviceId: DEVICE });
  assert.deepEqual(
    shown.map(({ number }) => number),
    [10, 20, 30],
  );
  await until(() => store.cursor?.announced === 30, "the cursor");
  assert.deepEqual(store.cursor, { ...at(0), announced: 30 });
  await service.read(peer);
  assert.equal(peer.pending, 0, "they are not acknowledged, and nothing was asked");
  peer.message(1);
  assert.deepEqual(await peer.nextAction(), ack(1));
  await until(() => store.cursor?.seq === 1, "the cursor");
  assert.deepEqual(store.cursor, { ...at(1), announced: 30 }, "a message keeps what is beside it");
  await Promise.all([device.close(), peer.waitsForClose()]);

  const [, numbers] = listening(t, service, store);
  peer = await service.accept();
  assert.deepEqual(await peer.nextAction(), sync(1, 30));
  peer.send(frame(30, 25));
  peer.send(frame(40, 30));
  peer.synced(1, [], announced(40));
  await until(() => numbers.length > 0, "an announcement");
  assert.deepEqual(numbers, [40]);
  assert.deepEqual(service.errors, []);
});

test("what was shown before anything was known of the mailbox is kept, too", async (t) => {
  const service = await Service.start(t);
  const store = new Kept();
  const [device] = listening(t, service, store);
  let peer = await service.accept();
  assert.deepEqual(await peer.nextAction(), sync());
  peer.send(frame(10, 0));
  await until(() => store.cursor, "the cursor");
  assert.deepEqual(store.cursor, { announced: 10 });
  await Promise.all([device.close(), peer.waitsForClose()]);
  listening(t, service, store);
  peer = await service.accept();
  assert.deepEqual(await peer.nextAction(), sync(undefined, 10));
});

test("a handler that does something at once is followed by the cursor in the same task", async (t) => {
  const service = await Service.start(t);
  const tasks: number[] = [];
  let task = 0;
  const count = (): void => {
    task += 1;
    if (tasks.length < 2) {
      globalThis.setImmediate(count);
    }
  };
  const store = new Kept(0);
  const device = service.device(t, { store });
  device.on("announcement", () => void tasks.push(task));
  device.start();
  const peer = await service.accept();
  await peer.upToDate(0);
  await until(() => store.saves.length === 1);
  store.save = () => void tasks.push(task);
  count();
  peer.send(frame(10, 0));
  await until(() => tasks.length === 2, "handler and cursor");
  assert.equal(tasks[0], tasks[1]);
});

test("the next one waits for every handler, and is not shown once the device is closed", async (t) => {
  const service = await Service.start(t);
  const store = new Kept(0);
  const device = service.device(t, { store });
  const numbers: number[] = [];
  let done = (): void => {};
  device.on("announcement", ({ number }) => {
    numbers.push(number);
    return new Promise<void>((resolve) => {
      done = resolve;
    });
  });
  device.start();
  const peer = await service.accept();
  await peer.upToDate(0);
  for (const number of [10, 20, 30]) {
    peer.send(frame(number, number - 10));
  }
  await service.read(peer);
  await setImmediate();
  assert.deepEqual(numbers, [10]);
  assert.equal(store.cursor?.announced, undefined, "not before the handler is done");
  done();
  await until(() => numbers.length === 2, "the next one");
  assert.equal(store.cursor?.announced, 10);
  await Promise.all([device.close(), peer.waitsForClose()]);
  done();
  await until(() => store.cursor?.announced === 20, "the cursor");
  await setImmediate();
  assert.deepEqual(numbers, [10, 20]);
});

test("they wait for a listener, and neither they nor messages wait for the other", async (t) => {
  const service = await Service.start(t);
  const store = new Kept(0);
  const device = service.device(t, { store });
  device.start();
  const peer = await service.accept();
  await peer.upToDate(0);
  peer.message(1);
  peer.send(frame(10, 0));
  peer.send(frame(20, 10));
  await service.read(peer);
  const numbers: number[] = [];
  device.on("announcement", ({ number }) => void numbers.push(number));
  await until(() => numbers.length === 2, "what came before");
  assert.deepEqual(numbers, [10, 20]);
  await until(() => store.cursor?.announced === 20, "the cursor");
  assert.deepEqual(store.cursor, { ...at(0), announced: 20 }, "the message was not shown");
  device.on("message", () => new Promise<void>(() => {}));
  peer.send(frame(30, 20));
  await until(() => numbers.length === 3, "one more");
  assert.equal(peer.pending, 0, "nor is it acknowledged");
});

test("the store is not asked to save while it saves", async (t) => {
  const service = await Service.start(t);
  const store = new Kept(0);
  const device = service.device(t, { store });
  device.on("message", () => {});
  device.on("announcement", () => {});
  device.start();
  const peer = await service.accept();
  await peer.upToDate(0);
  await until(() => store.saves.length === 1, "the first cursor");
  let done = (): void => {};
  store.save = (_, cursor) => {
    store.saves.push(cursor);
    return new Promise<void>((resolve) => {
      done = resolve;
    });
  };
  peer.message(1);
  peer.send(frame(10, 0));
  await until(() => store.saves.length === 2, "one of the two");
  await service.read(peer);
  await setImmediate();
  assert.deepEqual(store.saves.slice(1), [at(1)]);
  done();
  await until(() => store.saves.length === 3, "the other one");
  assert.deepEqual(store.saves.at(-1), { ...at(1), announced: 10 });
});

test("a handler that fails is reported, and the next one is shown", async (t) => {
  const service = await Service.start(t);
  const [device, numbers] = listening(t, service, new Kept(0));
  device.on("announcement", ({ number }) => {
    if (number === 10) {
      throw new Error("oops");
    }
  });
  const peer = await service.accept();
  await peer.upToDate(0);
  peer.send(frame(10, 0));
  peer.send(frame(20, 10));
  await until(() => numbers.length === 2, "both");
  assert.deepEqual(
    service.errors.map(({ code }) => code),
    ["handler_failed"],
  );
});

test("what is for another device, or is not what it should be, is refused", async (t) => {
  const service = await Service.start(t);
  const [, numbers] = listening(t, service, new Kept(0));
  const peer = await service.accept();
  await peer.upToDate(0);
  peer.send({ ...frame(10, 0), deviceId: "device-2" });
  peer.sendInClear(JSON.stringify({ ...frame(10, 0), deviceId: DEVICE }));
  peer.sendInClear(sealFrame(keysOf(DEVICE, 77), { ...frame(10, 0), deviceId: DEVICE }, Buffer.alloc(16)));
  peer.send({ ...frame(10, 0), id: undefined });
  peer.send({ ...frame(10, 0), number: "10" });
  peer.send({ ...frame(10, 0), after: null });
  peer.synced(0, [], { announced: { after: 10 } });
  peer.send(frame(20, 0));
  await until(() => numbers.length > 0, "an announcement");
  assert.deepEqual(numbers, [20]);
  assert.deepEqual(
    service.errors.map(({ code, detail }) => `${code}: ${detail}`),
    [
      "unexpected: names another device",
      "unreadable_frame: not sealed for this device",
      "unreadable_frame: not sealed for this device",
      ...Array(4).fill("unexpected: unknown kind"),
    ],
  );
});

test("one that never opens is asked for with each heartbeat, and keeps nothing else up", async (t) => {
  const service = await Service.start(t);
  const [device, numbers] = listening(t, service, new Kept(0));
  const peer = await service.accept();
  /** Frame 20 cannot be opened. */
  const replay = (): void => {
    peer.sendInClear(sealFrame(keysOf(DEVICE, 77), { ...frame(20, 10), deviceId: DEVICE }, Buffer.alloc(16)));
    peer.send(frame(30, 20));
    peer.synced(0, [], announced(30));
  };
  assert.deepEqual(await peer.nextAction(), sync(0));
  peer.send(frame(10, 0));
  replay();
  await until(() => device.state === "online");
  let syncs = 0;
  let pings = 0;
  while (pings < 20) {
    await service.clock.advance(1_000);
    while (peer.pending > 0) {
      const word = await peer.nextAction();
      if (word.action === "ping") {
        pings += 1;
        peer.pong(0, { nextPing: 100 });
      } else {
        assert.deepEqual(word, sync(0, 10));
        syncs += 1;
        replay();
      }
      await service.read(peer);
    }
  }
  assert.ok(syncs === pings || syncs === pings - 1, `${syncs} requests for ${pings} heartbeats`);
  assert.deepEqual(numbers, [10]);
  assert.deepEqual(service.states, ["connecting", "online"]);
});

test("a gap is requested at once, and closed by the replay", async (t) => {
  const service = await Service.start(t);
  const [, numbers] = listening(t, service, new Kept(0));
  const peer = await service.accept();
  assert.deepEqual(await peer.nextAction(), sync(0));
  peer.synced(0, [], announced(0));
  peer.send(frame(20, 10));
  assert.deepEqual(await peer.nextAction(), sync(0));
  peer.send(frame(10, 0));
  peer.send(frame(20, 10));
  peer.synced(0, [], announced(20));
  await until(() => numbers.length === 2, "both");
  assert.deepEqual(numbers, [10, 20]);
  await service.read(peer);
  assert.equal(peer.pending, 0);
});

test("a connection that is lost begins again behind the last one", async (t) => {
  const service = await Service.start(t);
  service.clock.draws = 0.9;
  const [device, numbers] = listening(t, service, new Kept(0));
  let peer: Peer;
  for (const number of [10, 20, 30]) {
    peer = await service.accept();
    assert.deepEqual(await peer.nextAction(), sync(0, number - 10));
    peer.send(frame(number, number - 10));
    await until(() => numbers.at(-1) === number, `no. ${number}`);
    peer.drop();
    await until(() => device.state === "waiting");
    await service.timeUntilCalled(device);
  }
  assert.deepEqual(service.waits, [900, 900, 900], "there is progress, though no replay has ended");
});

test("two sockets that bring the same one show it once", async (t) => {
  const service = await Service.start(t);
  const [, numbers] = listening(t, service, new Kept(0));
  const old = await service.accept();
  await old.upToDate(0);
  old.send({ type: "reconnect", code: "rollover", after: 0 });
  await until(async () => {
    await service.clock.advance(0);
    return service.isCalled;
  }, "another connection");
  const fresh = await service.accept();
  assert.deepEqual(await fresh.nextAction(), sync(0));
  old.send(frame(10, 0));
  await until(() => numbers.length === 1, "the first one");
  fresh.send(frame(10, 0));
  fresh.send(frame(20, 10));
  old.send(frame(20, 10));
  fresh.synced(0, [], announced(20));
  await old.waitsForClose();
  await service.read(fresh);
  assert.deepEqual(numbers, [10, 20]);
});

test("a device that changed hands begins without a cursor", async (t) => {
  const service = await Service.start(t);
  const former = keysOf(DEVICE, 99, 0);
  const keys = keysOf(DEVICE, 5, 1);
  Object.assign(service.keys, keys);
  let answer = former;
  const store = {
    load: (owner: string) => (owner === `${DEVICE}.0` ? { epoch: EPOCH, seq: 3, announced: 30 } : undefined),
    save: () => {},
  };
  const device = service.start(t, { store, registration: async () => ({ id: DEVICE, keys: answer }) });
  answer = keys;
  service.always = ({ socket }) => socket.end("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n");
  await until(() => device.state === "waiting");
  await until(async () => {
    await service.clock.advance(500);
    return service.errors.length > 0;
  }, "a refusal");
  service.always = undefined;
  await service.timeUntilCalled(device);
  assert.deepEqual(await (await service.accept()).nextAction(), sync());
});
