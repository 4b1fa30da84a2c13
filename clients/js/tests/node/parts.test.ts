// Backoff, clock and confirmations.

import assert from "node:assert/strict";
import { test } from "node:test";
import { type Action, ack } from "../../src/actions.js";
import { spread, windowOf } from "../../src/backoff.js";
import { serviceClock } from "../../src/clock.js";
import { confirmations, KEPT } from "../../src/confirmations.js";
import { dial, type Target } from "../../src/dial.js";
import { REAL, type SocketClass } from "../../src/environment.js";
import { compare, later } from "../../src/position.js";

test("the window starts gently and ends at five minutes", () => {
  const seconds = Array.from({ length: 11 }, (_, attempt) => windowOf(attempt) / 1_000);
  assert.deepEqual(seconds, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
  assert.equal(windowOf(5_000), 300_000);
  // No shorter than was asked, in seconds, and no longer than five minutes.
  assert.deepEqual([windowOf(0, 60), windowOf(7, 60), windowOf(0, 900)], [60_000, 128_000, 300_000]);
});

test("pauses cover the whole window and nothing else", () => {
  assert.equal(spread(8_000, 0), 0);
  assert.equal(spread(8_000, 0.5), 4_000);
  assert.ok(spread(8_000, 1 - Number.EPSILON) < 8_000);
});

test("places come in order, and none at all comes first", () => {
  const places = [undefined, { epoch: 0, seq: 0 }, { epoch: 1, seq: 9 }, { epoch: 2, seq: 1 }, { epoch: 2, seq: 2 }];
  places.forEach((a, i) => {
    places.forEach((b, j) => {
      assert.equal(Math.sign(compare(a, b)), Math.sign(i - j));
      assert.equal(later(a, b), places[Math.max(i, j)]);
    });
  });
});

test("a clock is corrected when it is wrong, and not for a moment on the way", () => {
  const clock = serviceClock({ ...REAL, wallClock: () => 1_000_000 });
  clock.correct(1_001);
  assert.equal(clock.now(), 1_000_000);
  clock.correct(2_000);
  assert.equal(clock.now(), 2_000_000);
  clock.correct(1_000);
  assert.equal(clock.now(), 1_000_000);
});

const of = (seq: number): Action => ack({ id: String(seq), epoch: 7, seq });
const upTo = (seq: number): Action => ack({ epoch: 7, seq });

test("only confirmations are kept", () => {
  const on = confirmations();
  on.keep({ action: "ping" });
  on.keep({ action: "sync", epoch: 7, seq: 1, announced: 0 });
  on.keep({ action: "state", state: "foreground" });
  on.keep(of(1));
  assert.deepEqual(on.takeUnsent(), [of(1)]);
  assert.deepEqual(on.takeUnsent(), []);
});

test("an action is in doubt until a later ping is answered and some seconds more", () => {
  const on = confirmations();
  on.sent(of(1), 0);
  on.sent(of(2), 20_000);
  on.sent(of(3), 30_000);
  on.sent(of(4), 31_000);
  on.arrivedBefore(31_000);
  on.doubt(35_000, undefined);
  // 3 has arrived, but only a moment ago; the fate of 4 is unknown.
  assert.deepEqual(on.takeUnsent(), [of(3), of(4)]);
});

test("a silent connection leaves everything in doubt, oldest first", () => {
  const on = confirmations();
  on.sent(of(1), 0);
  on.keep(of(2));
  on.doubt(300_000, undefined);
  assert.deepEqual(on.takeUnsent(), [of(1), of(2)]);
});

test("acknowledgements that a sum covers are not sent again, but read receipts are", () => {
  const on = confirmations();
  const read: Action = { action: "read", id: "1", epoch: 7, seq: 1 };
  for (const action of [of(1), read, of(2), upTo(2), of(3)]) {
    on.sent(action, 0);
  }
  on.doubt(0, { epoch: 7, seq: 2 });
  assert.deepEqual(on.takeUnsent(), [read, of(3)]);
});

test("neither kind grows without bound", () => {
  const on = confirmations();
  for (let seq = 0; seq <= KEPT; seq += 1) {
    on.sent(of(seq), 0);
    on.keep(of(seq));
  }
  on.doubt(0, undefined);
  const unsaid = on.takeUnsent();
  assert.equal(unsaid.length, KEPT);
  assert.deepEqual(unsaid.at(-1), of(KEPT));
});

test("an attempt that is given up opens no socket, and calls nothing", async () => {
  let opened = 0;
  const results: unknown[] = [];
  class Unwanted {
    constructor() {
      opened += 1;
    }
  }
  let make = (_: Target): void => {};
  const target = new Promise<Target>((resolve) => {
    make = resolve;
  });
  const giveUp = dial(REAL, Unwanted as unknown as SocketClass, target, 60_000, (socket) => results.push(socket));
  giveUp();
  make(["ws://127.0.0.1:1", []]);
  await target;
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual([opened, results], [0, []]);
});
