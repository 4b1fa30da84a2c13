// A device moves from one socket to the next. Time is the test's: nothing sleeps.

import assert from "node:assert/strict";
import { test } from "node:test";
import type { Device } from "../../src/device.js";
import type { Message } from "../../src/wire.js";
import { until } from "./clock.js";
import { messageFrame, type Peer, Service } from "./service.js";
import { ack, Kept, sync } from "./words.js";

async function connected(t: Parameters<typeof Service.start>[0]): Promise<[Service, Device, Peer]> {
  const service = await Service.start(t);
  const device = service.start(t, { store: new Kept(0) });
  const peer = await service.accept();
  await peer.upToDate(0);
  await until(() => device.state === "online");
  return [service, device, peer];
}

/** Waits until another connection is begun. Time passes only while nothing else can happen. */
async function untilCalled(service: Service, step = 0): Promise<void> {
  await until(async () => {
    // One timer is the line's, another one the attempt's.
    if (service.clock.waiting < 2 && !service.isCalled) {
      await service.clock.advance(step);
    }
    return service.isCalled;
  }, "another connection");
}

/** Replaces a pong, as the service does when most of the connection's life is over. */
function askToRollOver(peer: Peer): void {
  peer.send({ type: "reconnect", code: "rollover", after: 0 });
}

test("the old socket serves until the new one has synced", async (t) => {
  const [service, , old] = await connected(t);
  old.message(1);
  assert.deepEqual(await old.nextAction(), ack(1));
  askToRollOver(old);
  await untilCalled(service);
  const fresh = await service.accept();
  assert.deepEqual(await fresh.nextAction(), sync(1));
  old.message(2);
  // The replay has 2 as well, and 3, which the old connection brings too.
  fresh.message(2);
  fresh.message(3);
  old.message(3);
  await service.showed(1, 2, 3);
  fresh.synced(3, [2, 3]);
  await fresh.nextAcksUpTo(3);
  await old.waitsForClose();
  fresh.message(4);
  await service.showed(1, 2, 3, 4);
  assert.deepEqual(service.states, ["connecting", "online"], "nothing was interrupted");
});

test("actions on the old socket are sent again on the new one", async (t) => {
  const service = await Service.start(t);
  const device = service.start(t, { ack: "manual", store: new Kept(0) });
  const old = await service.accept();
  await old.upToDate(0);
  old.message(1);
  await service.showed(1);
  device.ack(messageFrame(1) as unknown as Message);
  assert.deepEqual(await old.nextAction(), ack(1));
  askToRollOver(old);
  await untilCalled(service);
  const fresh = await service.accept();
  assert.deepEqual(await fresh.nextAction(), sync(1));
  assert.deepEqual(await fresh.nextAction(), ack(1));
});

test("an answer on the old socket does not prove the new one", async (t) => {
  const [service, , old] = await connected(t);
  askToRollOver(old);
  await untilCalled(service);
  const fresh = await service.accept();
  assert.deepEqual(await fresh.nextAction(), sync(0));
  old.synced(0);
  // Frames about the old connection no longer matter.
  old.send({ type: "reconnect", code: "going_away", after: 0 });
  old.sendInClear('{"type": "reconnect", "deviceId": "", "code": "unknown_connection", "after": 0}');
  old.message(1);
  assert.deepEqual(await fresh.nextAction(), ack(1));
  // An action on the way would have been read by now.
  assert.equal(old.closed, false);
  fresh.message(2);
  await old.waitsForClose();
  await service.showed(1, 2);
});

test("moves to a new socket by itself before two hours", async (t) => {
  const [service, , old] = await connected(t);
  old.pong(0, { nextPing: 240 });
  let pings = 0;
  while (service.clock.waiting < 2) {
    await service.clock.advance(5_000);
    if (old.pending > 0) {
      assert.deepEqual(await old.nextAction(), { action: "ping" });
      pings += 1;
      old.pong(0, { nextPing: 240 });
      await service.read(old);
    }
    assert.ok(service.clock.now() < 7_200_000);
  }
  assert.ok(service.clock.now() > 4_900_000, String(service.clock.now()));
  assert.ok(pings >= 20, String(pings));
  const fresh = await service.accept();
  await fresh.upToDate(0);
  await old.waitsForClose();
  fresh.message(1);
  await service.showed(1);
});

test("a successor that cannot be opened is tried again while the old one serves", async (t) => {
  const [service, , old] = await connected(t);
  old.pong(0, { nextPing: 500 });
  askToRollOver(old);
  await service.read(old);
  for (let seq = 1; seq <= 3; seq += 1) {
    await untilCalled(service, 10);
    await service.refuse("503 Service Unavailable");
    old.message(seq);
    assert.equal((await old.nextAction()).seq, seq);
  }
  await untilCalled(service, 10);
  const fresh = await service.accept();
  assert.deepEqual(await fresh.nextAction(), sync(3));
  fresh.synced(3);
  await old.waitsForClose();
  await service.showed(1, 2, 3);
  assert.deepEqual(service.states, ["connecting", "online"]);
});

test("a successor that breaks before it has synced leaves the old one in service", async (t) => {
  const [service, , old] = await connected(t);
  askToRollOver(old);
  await untilCalled(service);
  const broken = await service.accept();
  assert.deepEqual(await broken.nextAction(), sync(0));
  old.message(1);
  await service.showed(1);
  broken.drop();
  assert.deepEqual(await old.nextAction(), sync(1));
  old.synced(1);
  // It asks at once whether the old one is still there.
  await service.clock.advance(0);
  const actions = [await old.nextAction(), await old.nextAction()].map(({ action }) => action).sort();
  assert.deepEqual(actions, ["ack", "ping"]);
  old.pong(1);
  await untilCalled(service, 10);
  const fresh = await service.accept();
  assert.equal((await fresh.nextAction()).action, "sync");
  fresh.message(2);
  fresh.synced(2, [2]);
  await service.showed(1, 2);
  await old.waitsForClose();
  assert.deepEqual(service.states, ["connecting", "online"]);
});

test("fifty rollovers with traffic lose nothing and show nothing twice", async (t) => {
  const ROLLOVERS = 50;
  const [service, , first] = await connected(t);
  let old = first;
  for (let round = 1; round <= ROLLOVERS; round += 1) {
    const seq = 4 * round;
    old.message(seq - 3);
    askToRollOver(old);
    await untilCalled(service);
    const fresh = await service.accept();
    // Lost on the old connection, so that the replay brings it: seq - 2.
    old.message(seq - 1);
    let action = await fresh.nextAction();
    while (action.action !== "sync") {
      action = await fresh.nextAction();
    }
    const after = action.seq as number;
    const missed = Array.from({ length: seq - 1 - after }, (_, index) => after + 1 + index);
    for (const place of missed) {
      fresh.message(place);
    }
    fresh.synced(seq - 1, missed);
    fresh.message(seq);
    await old.waitsForClose();
    old = fresh;
  }
  await service.showed(...Array.from({ length: 4 * ROLLOVERS }, (_, index) => index + 1));
  assert.deepEqual(service.states, ["connecting", "online"]);
});
