// A device against a real WebSocket server. Time is the test's: nothing sleeps.

import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { WebSocket } from "ws";
import { Device } from "../../src/device.js";
import type { Message } from "../../src/wire.js";
import type { Position } from "../../src/position.js";
import type { CursorStore } from "../../src/store.js";
import { keysOf, sealFrame } from "../sealing.js";
import { until } from "./clock.js";
import { DEVICE, messageFrame, Service } from "./service.js";
import { ack, at, Kept, sync, upTo } from "./words.js";

test("asks for what it missed and acknowledges what the app was shown", async (t) => {
  const service = await Service.start(t);
  const store = new Kept(2);
  const device = service.start(t, { store });
  const peer = await service.accept();
  assert.equal(peer.claims.sub, DEVICE);
  assert.equal(peer.inQuery, false);
  assert.deepEqual(await peer.nextAction(), sync(2));
  peer.message(3);
  peer.message(4);
  peer.synced(4, [3, 4]);
  await service.showed(3, 4);
  await service.clock.advance(200);
  await peer.nextAcksUpTo(4);
  // A redelivery is confirmed again and not shown.
  peer.message(4);
  await service.read(peer);
  await service.clock.advance(200);
  assert.deepEqual(await peer.nextAction(), upTo(4));
  await service.clock.advance(200);
  peer.message(5);
  assert.deepEqual(await peer.nextAction(), ack(5));
  await service.showed(3, 4, 5);
  assert.deepEqual(store.cursor, at(5));
  await Promise.all([device.close(), peer.waitsForClose()]);
  assert.deepEqual(service.states, ["connecting", "online", "closed: asked"]);
  assert.deepEqual(service.errors, []);
  assert.equal(service.clock.waiting, 0, "nothing is left behind");
});

test("the cursor is kept before the acknowledgement is sent", async (t) => {
  const service = await Service.start(t);
  const order: string[] = [];
  let keep = (): void => {};
  const store = {
    load: () => at(0),
    save: (_: string, { seq }: Position) => {
      order.push(`keep ${seq}`);
      return new Promise<void>((resolve) => {
        keep = resolve;
      });
    },
  };
  const device = service.device(t, { store });
  let done = (): void => {};
  device.on("message", ({ id }) => {
    order.push(`show ${id}`);
    return new Promise<void>((resolve) => {
      done = resolve;
    });
  });
  device.start();
  const peer = await service.accept();
  await peer.upToDate(0);
  await until(() => order.length === 1);
  keep();
  peer.message(1);
  peer.message(2);
  await until(() => order.includes("show 1"));
  await setImmediate();
  assert.deepEqual(order, ["keep 0", "show 1"]);
  done();
  await until(() => order.includes("keep 1"));
  await setImmediate();
  assert.equal(peer.pending, 0, "nothing is acknowledged that might be forgotten");
  keep();
  assert.deepEqual(await peer.nextAction(), ack(1));
  await until(() => order.includes("show 2"));
  assert.deepEqual(order, ["keep 0", "show 1", "keep 1", "show 2"]);
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
  const store = { load: () => at(0), save: (_: string, { seq }: Position) => void (seq > 0 && tasks.push(task)) };
  const device = service.device(t, { store });
  device.on("message", () => void tasks.push(task));
  device.start();
  const peer = await service.accept();
  await peer.upToDate(0);
  count();
  peer.message(1);
  assert.deepEqual(await peer.nextAction(), ack(1));
  assert.equal(tasks.length, 2);
  assert.equal(tasks[0], tasks[1]);
});

test("acknowledges by hand and reports a read message", async (t) => {
  const service = await Service.start(t);
  const device = service.start(t, { ack: "manual" });
  const messages: Message[] = [];
  device.on("message", (message) => void messages.push(message));
  const peer = await service.accept();
  assert.deepEqual(await peer.nextAction(), sync());
  peer.message(1);
  peer.synced(1, [1]);
  const message = await until(() => messages[0]);
  device.read(message);
  assert.deepEqual(await peer.nextAction(), { action: "read", id: "1", ...at(1) }, "nothing was acknowledged before");
  device.ack(message);
  assert.deepEqual(await peer.nextAction(), ack(1));
  // A message that is not kept needs no acknowledgement.
  device.ack({ ...message, epoch: undefined, seq: undefined } as unknown as Message);
  device.setState("background");
  assert.deepEqual(await peer.nextAction(), { action: "state", state: "background" });
});

test("messages wait for a listener, and for each other", async (t) => {
  const service = await Service.start(t);
  const device = service.device(t);
  device.start();
  const peer = await service.accept();
  await peer.upToDate(0);
  for (let seq = 1; seq <= 3; seq += 1) {
    peer.message(seq);
  }
  await service.read(peer);
  await setImmediate();
  const taken: string[] = [];
  for await (const { id } of device.messages()) {
    taken.push(id);
    assert.equal(peer.pending, 0, "a message is taken when the next one is asked for");
    if (id === "2") {
      break;
    }
    await setImmediate();
    assert.deepEqual(
      await Promise.race([peer.nextAction().then(() => "acknowledged"), setImmediate("not yet")]),
      "not yet",
    );
  }
  assert.deepEqual(taken, ["1", "2"]);
  const off = device.on("message", ({ id }) => void taken.push(id));
  await until(() => taken.length === 3);
  off();
  peer.message(4);
  peer.pong(4);
  const loop = (async () => {
    for await (const { id } of device.messages()) {
      taken.push(id);
    }
  })();
  await until(() => taken.length === 4);
  await device.close();
  await loop;
  assert.deepEqual(taken, ["1", "2", "3", "4"]);
});

test("a message that is handed to a loop is shown by it, even if the device is closed in that moment", async (t) => {
  const service = await Service.start(t);
  const store = new Kept(0);
  const device = service.device(t, { store });
  device.on("message", () => void device.close());
  const taken: string[] = [];
  const loop = (async () => {
    for await (const { id } of device.messages()) {
      taken.push(id);
    }
  })();
  device.start();
  const peer = await service.accept();
  await peer.upToDate(0);
  peer.message(1);
  peer.message(2);
  await loop;
  assert.deepEqual(taken, ["1"]);
  await until(() => store.cursor?.seq === 1, "the cursor");
});

test("a handler that fails is reported, and breaks nothing", async (t) => {
  const service = await Service.start(t);
  const device = service.start(t);
  const oops = new Error("oops");
  device.on("message", ({ id }) => {
    if (id === "1") {
      throw oops;
    }
    return Promise.reject(oops);
  });
  const peer = await service.accept();
  await peer.upToDate(0);
  peer.message(1);
  assert.deepEqual(await peer.nextAction(), ack(1));
  await service.clock.advance(200);
  peer.message(2);
  assert.deepEqual(await peer.nextAction(), ack(2));
  await service.showed(1, 2);
  assert.deepEqual(
    service.errors.map(({ code, cause }) => [code, cause]),
    [
      ["handler_failed", oops],
      ["handler_failed", oops],
    ],
  );
});

test("a failed handler of errors is not called for its own failure", async (t) => {
  const service = await Service.start(t);
  const device = service.start(t);
  const complaints: unknown[] = [];
  t.mock.method(console, "error", (error: unknown) => complaints.push(error));
  let calls = 0;
  device.on("error", () => {
    calls += 1;
    throw new Error("again");
  });
  const peer = await service.accept();
  await peer.upToDate(0);
  peer.sendInClear("nonsense");
  peer.message(1);
  await service.showed(1);
  assert.equal(calls, 1);
  assert.deepEqual(complaints.map(String), ["Error: again"]);
});

test("without a listener to errors, a handler's error is reported", async (t) => {
  const service = await Service.start(t);
  const device = new Device({
    url: service.url,
    registration: { id: DEVICE, keys: service.keys },
    WebSocket,
  });
  t.after(() => device.close());
  const complaints: unknown[] = [];
  t.mock.method(console, "error", (error: unknown) => complaints.push(error));
  device.on("message", () => {
    throw new Error("oops");
  });
  device.start();
  const peer = await service.accept();
  await peer.upToDate(0);
  peer.message(1);
  await until(() => complaints.length === 1);
  assert.equal(String(complaints[0]), "Error: oops");
});

test("what is not sealed for it is never a message", async (t) => {
  const service = await Service.start(t);
  service.start(t);
  const peer = await service.accept();
  await peer.nextAction();
  peer.sendInClear('{"message": "Internal server error", "connectionId": "x=", "requestId": "y"}');
  const codes = (): string[] => service.errors.map(({ code, detail }) => `${code}: ${detail}`);
  await until(() => service.errors.length === 1);
  assert.equal(peer.pending, 0);
  // It replaced the answer to the replay: the device asks again, long before the deadline.
  await service.clock.advance(1_000);
  assert.deepEqual(await peer.nextAction(), sync());
  peer.synced(0);

  peer.sendInClear(JSON.stringify({ ...messageFrame(1), deviceId: DEVICE }));
  peer.sendInClear(Buffer.from("binary"));
  peer.send({ type: "dance" });
  peer.send({ ...messageFrame(1), deviceId: "device-2" });
  peer.send({ type: "error", code: "unknown_message", detail: "d" });
  peer.message(1);
  await service.showed(1);
  const notForUs = "unreadable_frame: not sealed for this device";
  assert.deepEqual(codes(), [
    ...[notForUs, notForUs, notForUs],
    ...["unexpected: unknown kind", "unexpected: names another device", "unknown_message: d"],
  ]);
});

test("a gap is reported after the messages of the replay", async (t) => {
  const service = await Service.start(t);
  const events: unknown[] = [];
  const device = service.device(t, { store: new Kept(2) });
  device.on("message", ({ id }) => void events.push(id));
  device.on("gap", (gap) => void events.push(gap));
  device.start();
  const peer = await service.accept();
  await peer.nextAction();
  peer.message(9);
  peer.synced(9, [9], { recovered: false });
  peer.message(10);
  await until(() => events.length === 3);
  assert.deepEqual(events, ["9", { from: at(2), to: at(9) }, "10"]);
});

test("comes back after a loss with its cursor and its confirmations", async (t) => {
  const service = await Service.start(t);
  const device = service.start(t);
  let peer = await service.accept();
  await peer.upToDate(0);
  peer.message(1);
  await service.showed(1);
  assert.deepEqual(await peer.nextAction(), ack(1));
  // The connection is cut without a close: the acknowledgement may not have arrived.
  peer.drop();
  await until(() => device.state === "waiting");
  await service.timeUntilCalled(device);
  peer = await service.accept();
  assert.deepEqual(await peer.nextAction(), sync(1));
  peer.synced(1);
  assert.deepEqual(await peer.nextAction(), upTo(1));
  peer.message(2);
  await service.showed(1, 2);
});

test("pauses grow until a connection has lasted, and not only opened and answered", async (t) => {
  const service = await Service.start(t);
  service.clock.draws = 0.9;
  const device = service.start(t);
  const waits: number[] = [];
  device.on("state", ({ retryIn }) => void (retryIn !== undefined && waits.push(retryIn)));
  const lost = async (count: number): Promise<void> => {
    await until(() => waits.length === count, `pause no. ${count}`);
    await service.timeUntilCalled(device);
  };
  await service.refuse();
  await lost(1);
  await service.refuse();
  await lost(2);
  const silent = await service.accept();
  assert.equal((await silent.nextAction()).action, "sync");
  silent.drop();
  await lost(3);
  for (const [count, lasts] of [
    [4, 0],
    [5, 29_999],
    [6, 30_000],
    [7, 0],
  ] as const) {
    const peer = await service.accept();
    await peer.upToDate(0);
    await until(() => device.state === "online");
    if (lasts > 0) {
      await service.clock.advance(5_000);
      assert.equal((await peer.nextAction()).action, "ping");
      peer.pong(0);
      await service.read(peer);
      await service.clock.advance(lasts - 5_000);
    }
    peer.drop();
    await lost(count);
  }
  assert.deepEqual(waits, [900, 1_800, 3_600, 7_200, 14_400, 900, 1_800]);
});

test("an evicted device stays away for as long as it is asked to, and longer each time", async (t) => {
  const service = await Service.start(t);
  service.clock.draws = 0.9;
  const device = service.start(t);
  for (let count = 1; count <= 8; count += 1) {
    const peer = await service.accept();
    await peer.upToDate(0);
    peer.sendInClear(JSON.stringify({ type: "reconnect", deviceId: "", code: "evicted", after: 60 }));
    await until(() => service.waits.length === count, `pause no. ${count}`);
    assert.equal(service.states.at(-1), "waiting: evicted");
    await service.timeUntilCalled(device);
  }
  assert.deepEqual(service.waits, [...Array(6).fill(54_000), 57_600, 115_200]);
});

test("a message is progress, even if no connection lasts as long as a replay", async (t) => {
  const service = await Service.start(t);
  service.clock.draws = 0.9;
  const device = service.start(t, { store: new Kept(0) });
  for (let seq = 1; seq <= 5; seq += 1) {
    const peer = await service.accept();
    assert.deepEqual(await peer.nextAction(), sync(seq - 1));
    peer.message(seq);
    await until(() => service.shown.length === seq);
    peer.drop();
    await until(() => device.state === "waiting");
    await service.timeUntilCalled(device);
  }
  assert.deepEqual(service.waits, Array(5).fill(900));
});

test("actions without a connection are sent on the next one", async (t) => {
  const service = await Service.start(t);
  const device = service.start(t, { ack: "manual" });
  device.setState("foreground");
  let peer = await service.accept();
  assert.deepEqual(await peer.nextAction(), sync());
  assert.deepEqual(await peer.nextAction(), { action: "state", state: "foreground" });
  peer.synced(0);
  peer.message(1);
  await service.showed(1);
  peer.drop();
  await until(() => device.state === "waiting");
  const first = messageFrame(1) as unknown as Message;
  device.read(first);
  device.ackUpTo(at(1));
  await service.timeUntilCalled(device);
  peer = await service.accept();
  assert.deepEqual(await peer.nextAction(), sync(1));
  assert.deepEqual(await peer.nextAction(), { action: "state", state: "foreground" });
  assert.deepEqual(await peer.nextAction(), { action: "read", id: "1", ...at(1) });
  assert.deepEqual(await peer.nextAction(), upTo(1));
});

test("an action just before a loss is sent again", async (t) => {
  const service = await Service.start(t);
  const device = service.start(t, { ack: "manual" });
  let peer = await service.accept();
  await peer.upToDate(0);
  peer.message(1);
  await service.showed(1);
  device.ack(messageFrame(1) as unknown as Message);
  assert.deepEqual(await peer.nextAction(), ack(1));
  peer.drop();
  await until(() => device.state === "waiting");
  await service.timeUntilCalled(device);
  peer = await service.accept();
  assert.deepEqual(await peer.nextAction(), sync(1));
  assert.deepEqual(await peer.nextAction(), ack(1));
});

test("an acknowledgement up to a position is sent again on every connection", async (t) => {
  const service = await Service.start(t);
  const device = service.start(t, { ack: "manual" });
  let peer = await service.accept();
  await peer.nextAction();
  peer.message(1);
  peer.message(2);
  peer.synced(2, [1, 2]);
  await service.showed(1, 2);
  device.ackUpTo(at(2));
  assert.deepEqual(await peer.nextAction(), upTo(2));
  peer.drop();
  await until(() => device.state === "waiting");
  await service.timeUntilCalled(device);
  peer = await service.accept();
  assert.deepEqual(await peer.nextAction(), sync(2));
  peer.synced(2);
  assert.deepEqual(await peer.nextAction(), upTo(2));
});

test("a message of a former run is acknowledged again by the client only", async (t) => {
  for (const how of ["automatic", "manual"] as const) {
    await t.test(how, async (t) => {
      const service = await Service.start(t);
      service.start(t, { ack: how, store: new Kept(2) });
      const peer = await service.accept();
      await peer.upToDate(2);
      peer.message(1);
      peer.message(3);
      await service.showed(3);
      await service.clock.advance(200);
      if (how === "automatic") {
        assert.deepEqual(
          [await peer.nextAction(), await peer.nextAction(), await peer.nextAction()],
          [upTo(2), ack(1), upTo(3)],
        );
      }
      await service.clock.advance(4_800);
      assert.deepEqual(await peer.nextAction(), { action: "ping" });
    });
  }
});

test("reconnects when it is asked to, sealed or in clear", async (t) => {
  const service = await Service.start(t);
  const device = service.start(t);
  let peer = await service.accept();
  await peer.upToDate(0);
  peer.send({ type: "reconnect", code: "going_away", after: 20 });
  await until(() => device.state === "waiting");
  await service.timeUntilCalled(device);
  peer = await service.accept();
  await peer.nextAction();
  peer.sendInClear('{"type": "reconnect", "deviceId": "", "code": "unknown_connection", "after": 0}');
  await until(() => device.state === "waiting");
  await service.timeUntilCalled(device);
  await (await service.accept()).upToDate(0);
  await until(() => device.state === "online");
  const lost = service.states.filter((state) => state.startsWith("waiting"));
  assert.deepEqual(lost, ["waiting: going_away", "waiting: unknown_connection"]);
  assert.ok((service.waits[0] ?? 0) <= 20_000 && (service.waits[1] ?? 0) <= 2_000, String(service.waits));
});

test("a heartbeat comes when the service wants it; without an answer it is a loss", async (t) => {
  const service = await Service.start(t);
  const device = service.start(t);
  const peer = await service.accept();
  await peer.upToDate(0);
  await until(() => device.state === "online");
  await service.clock.advance(5_000);
  assert.deepEqual(await peer.nextAction(), { action: "ping" });
  peer.pong(0, { nextPing: 100 });
  // The answer counts when it is read, which takes no time of this clock.
  peer.message(1);
  assert.deepEqual(await peer.nextAction(), ack(1));
  await service.clock.advance(99_999);
  assert.equal(peer.pending, 0);
  await service.clock.advance(1);
  assert.deepEqual(await peer.nextAction(), { action: "ping" });
  await service.clock.advance(14_999);
  assert.equal(device.state, "online");
  await service.clock.advance(1);
  await until(() => service.states.at(-1) === "waiting: silent");
  await service.timeUntilCalled(device);
  await (await service.accept()).upToDate(1);
});

test("a pong that asks for no heartbeat ever, or for one all the time, is not obeyed", async (t) => {
  const service = await Service.start(t);
  const device = service.start(t);
  const peer = await service.accept();
  await peer.upToDate(0);
  await until(() => device.state === "online");
  peer.pong(0, { nextPing: 10 ** 12 });
  peer.message(1);
  assert.deepEqual(await peer.nextAction(), ack(1));
  await service.clock.advance(540_000);
  assert.deepEqual(await peer.nextAction(), { action: "ping" });
  peer.pong(1, { nextPing: 0 });
  peer.message(2);
  const actions = [await peer.nextAction(), await peer.nextAction()];
  assert.deepEqual(actions, [upTo(1), ack(2)]);
  await service.clock.advance(999);
  assert.equal(peer.pending, 0);
  await service.clock.advance(1);
  assert.deepEqual(await peer.nextAction(), { action: "ping" });
});

test("acknowledgements that come together are one at once, and one sum for the rest", async (t) => {
  const service = await Service.start(t);
  const device = service.start(t);
  const peer = await service.accept();
  await peer.upToDate(0);
  await until(() => device.state === "online");
  for (let seq = 1; seq <= 50; seq += 1) {
    peer.message(seq);
  }
  assert.deepEqual(await peer.nextAction(), ack(1));
  await until(() => service.shown.length === 50);
  await service.clock.advance(199);
  assert.equal(peer.pending, 0);
  await service.clock.advance(1);
  assert.deepEqual(await peer.nextAction(), upTo(50));
  // The pause begins again with each acknowledgement.
  peer.message(51);
  await service.showed(...Array.from({ length: 51 }, (_, index) => index + 1));
  await service.clock.advance(199);
  assert.equal(peer.pending, 0);
  await service.clock.advance(1);
  assert.deepEqual(await peer.nextAction(), upTo(51));
  await service.clock.advance(200);
  peer.message(52);
  assert.deepEqual(await peer.nextAction(), ack(52));
});

test("redeliveries are acknowledged with one action, though the sum was sent before", async (t) => {
  const service = await Service.start(t);
  service.start(t);
  const peer = await service.accept();
  await peer.nextAction();
  const seqs = Array.from({ length: 40 }, (_, index) => index + 1);
  for (const round of [1, 2]) {
    for (const seq of seqs) {
      peer.message(seq);
    }
    peer.synced(40, round === 1 ? seqs : []);
    await service.read(peer);
    await service.showed(...seqs);
    await service.clock.advance(200);
    assert.ok((await peer.nextAcksUpTo(40)) <= 2);
    await service.clock.advance(200);
    assert.equal(peer.pending, 0);
  }
});

test("what was not summed up when the connection ended is summed up on the next one", async (t) => {
  const service = await Service.start(t);
  const device = service.start(t);
  let peer = await service.accept();
  await peer.upToDate(0);
  await until(() => device.state === "online");
  for (const seq of [1, 2, 3]) {
    peer.message(seq);
  }
  await service.showed(1, 2, 3);
  assert.deepEqual(await peer.nextAction(), ack(1));
  peer.drop();
  await until(() => device.state === "waiting");
  assert.equal(peer.pending, 0);
  await service.timeUntilCalled(device);
  peer = await service.accept();
  assert.deepEqual(await peer.nextAction(), sync(3));
  peer.synced(3);
  assert.deepEqual(await peer.nextAction(), upTo(3));
});

test("an app that acknowledges by hand is not summed up", async (t) => {
  const service = await Service.start(t);
  const device = service.start(t, { ack: "manual" });
  const peer = await service.accept();
  await peer.upToDate(0);
  await until(() => device.state === "online");
  for (const seq of [1, 2, 3]) {
    peer.message(seq);
  }
  await service.showed(1, 2, 3);
  for (const seq of [1, 3]) {
    device.ack(messageFrame(seq) as unknown as Message);
    assert.deepEqual(await peer.nextAction(), ack(seq));
  }
  await service.clock.advance(4_999);
  assert.deepEqual(await peer.nextAction(), { action: "ping" });
  assert.equal(peer.pending, 0);
});

test("acknowledgements are summed up with each heartbeat, if there are new ones", async (t) => {
  const service = await Service.start(t);
  service.start(t);
  const peer = await service.accept();
  await peer.upToDate(0);
  for (const seq of [1, 2]) {
    peer.message(seq);
    assert.deepEqual(await peer.nextAction(), ack(seq));
    await service.clock.advance(200);
  }
  peer.pong(2);
  assert.deepEqual(await peer.nextAction(), upTo(2));
  peer.pong(2);
  peer.message(3);
  assert.deepEqual(await peer.nextAction(), ack(3));
});

test("an error of the gateway in place of an answer: actions in doubt are sent again, each time later", async (t) => {
  const service = await Service.start(t);
  service.start(t);
  const peer = await service.accept();
  await peer.upToDate(0);
  peer.message(1);
  assert.deepEqual(await peer.nextAction(), ack(1));
  for (const pause of [1_000, 2_000]) {
    peer.sendInClear('{"message": "Internal server error"}');
    await service.read(peer);
    await service.clock.advance(pause - 1);
    assert.equal(peer.pending, 0);
    await service.clock.advance(1);
    assert.deepEqual(await peer.nextAction(), upTo(1));
  }
  assert.deepEqual(
    service.errors.map(({ code }) => code),
    ["unreadable_frame", "unreadable_frame"],
  );
});

test("what was sent and does not come is asked for again, and then on another connection", async (t) => {
  const service = await Service.start(t);
  const device = service.start(t);
  let peer = await service.accept();
  peer.pong(0);
  for (let attempt = 0; attempt < 3; attempt += 1) {
    assert.deepEqual(await peer.nextAction(), sync());
    peer.message(2);
    peer.synced(2, [1, 2]);
    await service.read(peer);
    await service.clock.advance(3_000);
  }
  await until(() => device.state === "waiting");
  await service.timeUntilCalled(device);
  peer = await service.accept();
  assert.deepEqual(await peer.nextAction(), sync());
  peer.message(1);
  peer.message(2);
  peer.synced(2, [1, 2]);
  await service.showed(1, 2);
});

test("a gateway that drops the subprotocol gets the token in the URL, from then on", async (t) => {
  const service = await Service.start(t);
  const device = service.start(t);
  service.accept({ mute: true });
  await until(() => device.state === "waiting");
  await service.timeUntilCalled(device);
  let peer = await service.accept({ mute: true });
  assert.equal(peer.inQuery, true);
  await peer.upToDate(0);
  await until(() => device.state === "online");
  peer.drop();
  await until(() => device.state === "waiting");
  await service.timeUntilCalled(device);
  peer = await service.accept({ mute: true });
  assert.equal(peer.inQuery, true);
});

test("with tokenIn: query, the token is never anywhere else", async (t) => {
  const service = await Service.start(t);
  const device = service.start(t, { tokenIn: "query" });
  for (let attempt = 0; attempt < 4; attempt += 1) {
    service.always = undefined;
    await service.timeUntilCalled(device);
    const claims = await service.refuse();
    assert.equal(claims.sub, DEVICE);
    await until(() => service.states.filter((state) => state === "waiting: unreachable").length === attempt + 1);
  }
  await service.timeUntilCalled(device);
  assert.equal((await service.accept()).inQuery, true);
});

test("keys that the service refuses are fetched again, ever more rarely", async (t) => {
  const service = await Service.start(t);
  let asked = 0;
  const asks: number[] = [];
  const registration = async () => {
    asked += 1;
    return { id: DEVICE, keys: service.keys };
  };
  const device = service.start(t, { registration });
  for (let refused = 1; refused <= 13; refused += 1) {
    await service.timeUntilCalled(device);
    await service.refuse(refused % 2 ? "401 Unauthorized" : "403 Forbidden");
    await until(() => service.states.filter((state) => state === "waiting: unreachable").length === refused);
    await setImmediate();
    asks.push(asked);
  }
  assert.deepEqual(asks, [1, 1, 2, 2, 2, 3, 3, 3, 3, 3, 3, 4, 4]);
  assert.deepEqual(
    service.errors.map(({ code }) => code),
    ["refused", "refused", "refused"],
  );
  await service.timeUntilCalled(device);
  await (await service.accept()).upToDate(0);
  await until(() => device.state === "online");
});

test("a device that changed hands begins with the cursor of its new mailbox", async (t) => {
  const service = await Service.start(t);
  const loaded: string[] = [];
  const store = { load: (owner: string) => void loaded.push(owner), save: () => {} };
  const former = keysOf(DEVICE, 99, 0);
  const keys = keysOf(DEVICE, 5, 1);
  Object.assign(service.keys, keys);
  let answer = former;
  const device = service.start(t, { store, registration: async () => ({ id: DEVICE, keys: answer }) });
  answer = keys;
  service.always = ({ socket }) => socket.end("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n");
  await until(() => device.state === "waiting");
  while (loaded.length < 2) {
    await service.clock.advance(500);
    service.always = loaded.length === 2 ? undefined : service.always;
  }
  service.always = undefined;
  await service.timeUntilCalled(device);
  const peer = await service.accept();
  assert.deepEqual(await peer.nextAction(), sync());
  peer.message(1);
  peer.synced(1, [1]);
  await service.showed(1);
  assert.deepEqual(loaded, [`${DEVICE}.0`, `${DEVICE}.1`]);
});

test("an app that cannot register is asked again, and a registration that is none ends the device", async (t) => {
  const service = await Service.start(t);
  let failures = 2;
  const device = service.start(t, {
    registration: async () => {
      if (failures-- > 0) {
        throw new Error("offline");
      }
      return { id: DEVICE, keys: service.keys };
    },
  });
  await until(() => device.state === "waiting");
  await service.timeUntilCalled(device);
  await (await service.accept()).upToDate(0);
  assert.deepEqual(
    service.errors.map(({ code }) => code),
    ["registration_failed", "registration_failed"],
  );

  const other = new Device({
    url: service.url,
    registration: { id: "x", keys: service.keys },
    WebSocket,
  });
  const states: unknown[] = [];
  other.on("state", (change) => void states.push(change));
  other.start();
  await until(() => states.length === 2);
  assert.deepEqual(states, [{ state: "connecting" }, { state: "closed", reason: "bad_registration" }]);
});

test("a device that is closed between two attempts to register asks no more", async (t) => {
  const service = await Service.start(t);
  let asked = 0;
  const device = service.start(t, {
    registration: () => {
      asked += 1;
      return Promise.reject(new Error("offline"));
    },
  });
  await until(() => device.state === "waiting");
  await device.close();
  await service.clock.advance(600_000);
  assert.equal(asked, 1);
  assert.equal(service.states.at(-1), "closed: asked");
  assert.equal(service.clock.waiting, 0);
});

test("a registration that never answers is given up", async (t) => {
  const service = await Service.start(t);
  const device = service.start(t, { registration: () => new Promise(() => {}) });
  await setImmediate();
  await service.clock.advance(30_000);
  await until(() => device.state === "waiting");
  assert.equal(service.errors[0]?.code, "registration_failed");
});

test("a wrong clock is corrected by the backend and by pongs", async (t) => {
  const service = await Service.start(t);
  service.clock.off = -86_400_000;
  const serverTime = Math.floor(Date.now() / 1_000);
  const device = service.start(t, { registration: { id: DEVICE, keys: service.keys, serverTime } });
  let peer = await service.accept();
  const iat = peer.claims.iat as number;
  assert.ok(Math.abs(iat + 30 - serverTime) < 5, `${iat} for ${serverTime}`);
  await peer.upToDate(0);
  peer.pong(0, { serverTime: serverTime + 1_000 });
  peer.message(1);
  await service.showed(1);
  peer.drop();
  await until(() => device.state === "waiting");
  const later = await service.timeUntilCalled(device);
  peer = await service.accept();
  assert.ok(Math.abs((peer.claims.iat as number) + 30 - serverTime - 1_000 - later / 1_000) < 5);
});

test("a store that fails, or never answers, is reported once and done without", async (t) => {
  const broken: CursorStore[] = [
    { load: () => Promise.reject(new Error("blocked")), save: () => {} },
    {
      load: () => at(0),
      save: () => {
        throw new Error("full");
      },
    },
    { load: () => at(0), save: () => new Promise(() => {}) },
  ];
  for (const [index, store] of broken.entries()) {
    await t.test(String(index), async (t) => {
      const service = await Service.start(t);
      const device = service.start(t, { store });
      const peer = await service.accept();
      await peer.nextAction();
      peer.synced(0);
      for (let seq = 1; seq <= 3; seq += 1) {
        peer.message(seq);
      }
      if (index === 2) {
        // The next heartbeat, and the store.
        await until(() => device.state === "online" && service.clock.waiting === 2);
        await service.clock.advance(5_000);
      }
      await service.showed(1, 2, 3);
      assert.deepEqual(
        service.errors.map(({ code }) => code),
        ["store_failed"],
      );
    });
  }
});

test("a store that comes back is asked again, and keeps what it missed", async (t) => {
  const faults: Record<string, () => Promise<void> | void> = {
    "a full disk": () => {
      throw new DOMException("", "QuotaExceededError");
    },
    "a transaction that is aborted": () => Promise.reject(new DOMException("", "AbortError")),
    "a database that is closed": () => Promise.reject(new DOMException("", "InvalidStateError")),
    "no answer": () => new Promise(() => {}),
  };
  for (const [name, fault] of Object.entries(faults)) {
    await t.test(name, async (t) => {
      const service = await Service.start(t);
      const saved: unknown[] = [];
      let works = false;
      const store: CursorStore = {
        load: () => at(0),
        save: (_, cursor) => (works ? void saved.push(cursor) : fault()),
      };
      const device = service.start(t, { store });
      const peer = await service.accept();
      await peer.nextAction();
      peer.synced(0);
      peer.message(1);
      peer.message(2);
      if (name === "no answer") {
        // The next heartbeat, and the store.
        await until(() => device.state === "online" && service.clock.waiting === 2);
        await service.clock.advance(5_000);
      }
      await service.showed(1, 2);
      works = true;
      await service.clock.advance(10_000);
      await until(() => saved.length > 0, "the cursor, though nothing more was shown");
      assert.deepEqual(saved.at(-1), at(2));
      peer.message(3);
      await until(() => saved.length > 1, "the next cursor");
      assert.deepEqual(saved.at(-1), at(3));
      assert.deepEqual(new Set(service.errors.map(({ code }) => code)), new Set(["store_failed"]));
    });
  }
});

test("a registration that fails when the device is refused is tried again with each opening", async (t) => {
  const service = await Service.start(t);
  let asked = 0;
  const works = new Set([1, 4]);
  const registration = async () => {
    asked += 1;
    if (!works.has(asked)) {
      throw new Error("offline");
    }
    return { id: DEVICE, keys: service.keys };
  };
  const device = service.start(t, { registration });
  const asks: number[] = [];
  for (let refused = 1; refused <= 5; refused += 1) {
    await service.timeUntilCalled(device);
    await service.refuse();
    await until(() => service.states.filter((state) => state === "waiting: unreachable").length === refused);
    await setImmediate();
    await setImmediate();
    asks.push(asked);
  }
  assert.deepEqual(asks, [1, 1, 2, 3, 4], "at the start, after the third, and until one works");
  // The service knows the device again: no reason to wait.
  await until(async () => {
    await service.clock.advance(0);
    return service.isCalled;
  }, "a connection at once");
  await (await service.accept()).upToDate(0);
  await until(() => device.state === "online");
});

test("options that never could work are refused at once", () => {
  const registration = { id: DEVICE, keys: keysOf(DEVICE, 1) };
  for (const url of [
    "https://example.com",
    "wss://",
    "wss://example.com/prod?x=1",
    "wss://example.com#x",
    "example.com",
  ]) {
    assert.throws(() => new Device({ url, registration, WebSocket }), { code: "bad_options" }, url);
  }
  const url = "wss://example.com/prod";
  if (!globalThis.WebSocket) {
    assert.throws(() => new Device({ url, registration }), {
      code: "bad_options",
      detail: "no WebSocket: pass that of ws",
    });
  }
  assert.ok(new Device({ url, registration, WebSocket }));
});

test("a device that is closed before anything came of it leaves nothing behind", async (t) => {
  const service = await Service.start(t);
  for (const wait of [0, 1, 5, 50]) {
    const device = service.device(t);
    device.start();
    device.start();
    for (let turn = 0; turn < wait; turn += 1) {
      await setImmediate();
    }
    await device.close();
    await device.close();
    assert.equal(device.state, "closed");
    device.start();
    await setImmediate();
    assert.equal(device.state, "closed");
    assert.equal(service.clock.waiting, 0);
  }
});

test("a handler may close its device; nothing is shown after it", async (t) => {
  const service = await Service.start(t);
  const store = new Kept(0);
  const device = service.device(t, { store });
  const taken: string[] = [];
  let closed = false;
  device.on("message", async ({ id }) => {
    taken.push(id);
    // Both have come by now.
    await until(() => store.saves.length > 0);
    await service.read(peer);
    await device.close();
    closed = true;
  });
  device.start();
  const peer = await service.accept();
  await peer.upToDate(0);
  peer.message(1);
  peer.message(2);
  await peer.waitsForClose();
  await until(() => closed);
  await until(() => store.cursor?.seq === 1, "the cursor");
  await setImmediate();
  assert.deepEqual(taken, ["1"]);
});

test("nothing is shown that was claimed while the device was closed", async (t) => {
  const service = await Service.start(t);
  let claim = (_: boolean): void => {};
  let claims = 0;
  const store = {
    load: () => at(0),
    save: () => {},
    claim: () => {
      claims += 1;
      return new Promise<boolean>((resolve) => {
        claim = resolve;
      });
    },
  };
  const device = service.start(t, { store });
  const peer = await service.accept();
  await peer.upToDate(0);
  peer.message(1);
  await until(() => claims === 1);
  await Promise.all([device.close(), peer.waitsForClose()]);
  claim(true);
  await setImmediate();
  assert.deepEqual(service.shown, []);
});

test("a message that another page has confirmed and kept is shown if the service skips it", async (t) => {
  const service = await Service.start(t);
  const sealed = (seq: number, keys = service.keys): string =>
    sealFrame(keys, { ...messageFrame(seq), deviceId: DEVICE }, Buffer.alloc(16, seq));
  const asked: unknown[] = [];
  const store = {
    load: () => at(2),
    save: () => {},
    kept: (_: string, after: Position, end: Position) => {
      asked.push([after.seq, end.seq]);
      return [sealed(1), sealed(3), sealed(4, keysOf(DEVICE, 77)), "nonsense", sealed(5)];
    },
  };
  service.start(t, { store });
  const peer = await service.accept();
  assert.deepEqual(await peer.nextAction(), sync(2));
  peer.message(7);
  peer.message(6);
  peer.synced(7, [6, 7]);
  await service.showed(3, 5, 6, 7);
  assert.deepEqual(asked, [[2, 7]]);
  assert.deepEqual(service.errors, []);
});

test("what the app was shown is acknowledged before the end", async (t) => {
  const service = await Service.start(t);
  const device = service.start(t);
  const peer = await service.accept();
  await peer.upToDate(0);
  for (let seq = 1; seq <= 20; seq += 1) {
    peer.message(seq);
  }
  await until(() => service.shown.length === 20);
  await setImmediate();
  await Promise.all([device.close(), peer.waitsForClose()]);
  assert.deepEqual([await peer.nextAction(), await peer.nextAction()], [ack(1), upTo(20)]);
});
