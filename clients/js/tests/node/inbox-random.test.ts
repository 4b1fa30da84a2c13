// The inbox against a service, a network and an app that do all that they may, in an order drawn from a seed.
// The same as clients/rust/src/inbox/random.rs.

import assert from "node:assert/strict";
import { test } from "node:test";
import type { Frame } from "../../src/frames.js";
import { Inbox, type Step } from "../../src/inbox.js";
import { compare, later, type Position } from "../../src/position.js";
import { Random } from "../random.js";

const STEPS = 20_000;
const SEEDS = 8;
const PAGE = 5;
const NOTHING: Position = { epoch: 0, seq: 0 };

interface Entry {
  readonly place: Position;
  /** For this device; an entry for another platform also has a position. */
  wanted: boolean;
  confirmed: boolean;
}

const keyOf = ({ epoch, seq }: Position): string => `${epoch}.${seq}`;

class World {
  readonly random: Random;
  /** How often the network loses a frame or an action: once in this many times. 0: never. */
  losing = 8;
  log: Entry[] = [];
  /** The last position of the logs that have expired. */
  gone: Position | undefined;
  inbox = new Inbox();
  inFlight: Frame[] = [];
  /** The messages that the app was shown, in order. It keeps its cursor in the same moment. */
  readonly shown: Position[] = [];
  readonly shownKeys = new Set<string>();
  kept: Position = NOTHING;
  restarts = 0;
  givenUp = 0;

  constructor(seed: number) {
    this.random = new Random(seed);
    this.restart();
  }

  loses(): boolean {
    return this.losing > 0 && this.random.onceIn(this.losing);
  }

  get head(): Position {
    return this.log.at(-1)?.place ?? NOTHING;
  }

  send(frame: Frame): void {
    if (!this.loses()) {
      this.inFlight.push(frame);
    }
  }

  post(place: Position): void {
    const content = { deviceId: "d", toUserName: "alice", createTime: 0 };
    this.send({ type: "message", id: keyOf(place), ...place, ...content });
  }

  append(): void {
    const tail = this.head;
    const place =
      this.log.length === 0 ? { epoch: (this.gone?.epoch ?? 0) + 1, seq: 1 } : { epoch: tail.epoch, seq: tail.seq + 1 };
    const wanted = !this.random.onceIn(4);
    this.log.push({ place, wanted, confirmed: false });
    if (wanted) {
      this.post(place);
    }
  }

  /** The answer of `functions/sync`. */
  sync(cursor: Position | undefined): void {
    const head = this.head;
    const from = cursor && compare(cursor, head) <= 0 ? cursor : undefined;
    const after = this.log.filter((entry) => compare(entry.place, from) > 0);
    let more = after.length > PAGE;
    const page = after.slice(0, PAGE);
    const first = page[0]?.place;
    let recovered = true;
    if (cursor) {
      if (cursor.epoch === 0) {
        recovered = !first || first.seq === 1;
      } else {
        recovered = first ? first.epoch === cursor.epoch && first.seq === cursor.seq + 1 : compare(cursor, head) === 0;
      }
    }
    let end = page.length === 0 ? head : from;
    const posted: number[] = [];
    for (const { place, wanted, confirmed } of page) {
      if (wanted && !confirmed) {
        if (this.losing > 0 && this.random.onceIn(20)) {
          // A post that is not accepted ends the replay.
          more = true;
          break;
        }
        this.post(place);
        posted.push(place.seq);
      }
      end = place;
    }
    this.send({ type: "synced", deviceId: "d", ...(end ?? NOTHING), recovered, more, posted });
  }

  acknowledge(place: Position): void {
    assert.ok(this.shownKeys.has(keyOf(place)), `${keyOf(place)} was acknowledged and not shown`);
    if (this.loses()) {
      return;
    }
    const entry = this.log.find((entry) => compare(entry.place, place) === 0);
    if (entry) {
      entry.confirmed = true;
    }
  }

  carryOut(steps: readonly Step[]): void {
    for (const step of steps) {
      switch (step.do) {
        case "sync":
          this.hearSync(step.after);
          break;
        case "ackAgain":
          this.acknowledge(step.receipt);
          break;
        case "deliver": {
          const { epoch = -1, seq = -1 } = step.received.message;
          this.show({ epoch, seq });
          break;
        }
        case "synced": {
          const { epoch, seq } = step.synced;
          const emptied = epoch === 0 && seq === 0 && this.gone !== undefined;
          assert.ok(emptied || compare(this.kept, step.synced) <= 0, `${epoch}.${seq} goes back`);
          this.kept = { epoch, seq };
          break;
        }
        case "announce":
          assert.fail("nothing was announced");
          break;
        case "giveUp":
          this.givenUp += 1;
          this.connect();
          break;
      }
    }
  }

  hearSync(after: Position | undefined): void {
    if (!this.loses()) {
      this.sync(after);
    }
  }

  show(place: Position): void {
    assert.ok(compare(place, this.shown.at(-1)) > 0, `${keyOf(place)} after ${JSON.stringify(this.shown.at(-1))}`);
    // The inbox must not skip anything that this device must show.
    const missed = this.log.find(
      (it) => it.wanted && !it.confirmed && compare(it.place, place) < 0 && !this.shownKeys.has(keyOf(it.place)),
    );
    assert.equal(missed, undefined, `${keyOf(place)} before ${JSON.stringify(missed?.place)}`);
    this.shown.push(place);
    this.shownKeys.add(keyOf(place));
    this.kept = place;
    this.inbox.acknowledged(place);
    this.acknowledge(place);
  }

  /** A new connection: frames on their way on the old one are lost. */
  connect(): void {
    this.inFlight = [];
    this.carryOut(this.inbox.connected());
  }

  restart(): void {
    this.restarts += 1;
    this.inbox = new Inbox(this.kept);
    this.connect();
  }

  arrive(): void {
    if (this.inFlight.length === 0) {
      return;
    }
    // Mostly in order, otherwise in any; and sometimes twice.
    const any = this.random.onceIn(4);
    const [frame] = this.inFlight.splice(any ? this.random.below(this.inFlight.length) : 0, 1) as [Frame];
    if (this.losing > 0 && this.random.onceIn(10)) {
      this.inFlight.push(frame);
    }
    this.carryOut(this.inbox.frame(frame, ""));
  }

  ping(): void {
    this.send({ type: "pong", deviceId: "d", ...this.head, serverTime: 0, nextPing: 60 });
  }

  /** The service redelivers a message without a confirmation. */
  redeliver(): void {
    const open = this.log.filter((entry) => entry.wanted && !entry.confirmed);
    if (open.length > 0) {
      this.post((open[this.random.below(open.length)] as Entry).place);
    }
  }

  /** One of the newest is cancelled, or expires. */
  withdraw(): void {
    const entry = this.log.at(-1 - this.random.below(8));
    if (entry) {
      entry.wanted = false;
    }
  }

  /** Every entry expires; a new log begins with the next one. By then nothing of the old log is on its way. */
  expire(): void {
    this.gone = later(this.gone, this.log.at(-1)?.place);
    this.log = [];
    this.inFlight = [];
  }

  step(): void {
    const drawn = this.random.below(1_000);
    if (drawn < 200) {
      this.append();
    } else if (drawn < 240) {
      this.withdraw();
    } else if (drawn < 850) {
      this.arrive();
    } else if (drawn < 890) {
      this.ping();
    } else if (drawn < 940) {
      this.redeliver();
    } else if (drawn < 970) {
      this.carryOut(this.inbox.replayOverdue());
    } else if (drawn < 980) {
      this.connect();
    } else if (drawn < 988) {
      this.restart();
    } else if (drawn < 998) {
      // The old socket is still read.
      this.carryOut(this.inbox.rolledOver());
    } else if (this.random.onceIn(4)) {
      this.expire();
    }
  }

  /** The network loses nothing any more: everything arrives, and everything is confirmed. */
  settle(): void {
    this.losing = 0;
    for (let turn = 0; turn < 10_000; turn += 1) {
      while (this.inFlight.length > 0) {
        this.arrive();
      }
      if (this.inbox.awaitsReplay) {
        this.carryOut(this.inbox.replayOverdue());
      } else if (compare(this.inbox.cursor, this.head) < 0) {
        this.ping();
      } else if (this.log.some((entry) => entry.wanted && !entry.confirmed)) {
        this.redeliver();
      } else {
        return;
      }
    }
    assert.fail("it does not come to rest");
  }
}

test("whatever the network does, each message is shown once and in order", () => {
  for (let seed = 0; seed < SEEDS; seed += 1) {
    const world = new World(seed);
    for (let step = 0; step < STEPS; step += 1) {
      world.step();
    }
    world.settle();
    for (const { place, wanted } of world.log) {
      assert.ok(!wanted || world.shownKeys.has(keyOf(place)), `seed ${seed}: ${keyOf(place)} was not shown`);
    }
    const { shown, restarts, givenUp } = world;
    const counts = `${shown.length} shown, ${restarts} restarts, ${givenUp} given up`;
    assert.ok(shown.length > 1_000 && restarts > 50 && givenUp > 0, counts);
  }
});
