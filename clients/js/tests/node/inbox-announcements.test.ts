// Announcements, frame by frame. The mailbox is empty unless a test fills it.

import assert from "node:assert/strict";
import { test } from "node:test";
import type { Frame } from "../../src/frames.js";
import { Inbox, type Step } from "../../src/inbox.js";
import type { Announced, Announcement } from "../../src/wire.js";
import { Random } from "../random.js";

const EPOCH = 7;

function announcement(number: number, after: number): Announcement {
  const content = { deviceId: "d", toUserName: "alice", createTime: 0 };
  return { type: "announcement", id: `a${number}`, number, after, ...content };
}

interface Mailbox {
  readonly seq?: number;
  readonly more?: boolean;
  readonly posted?: readonly number[];
}

function answer(announced?: Announced, { seq = 0, more = false, posted = [] }: Mailbox = {}): Frame {
  const at = { epoch: EPOCH, seq };
  return { type: "synced", deviceId: "d", ...at, recovered: true, more, posted, ...(announced && { announced }) };
}

/** The steps in short: `3` shown, `?2` asks from 2, `m1` a message, `=` the mailbox is complete. */
function short(step: Step): string {
  switch (step.do) {
    case "announce":
      return String(step.announcement.number);
    case "sync":
      return `?${step.announced}`;
    case "deliver":
      return `m${step.received.message.seq}`;
    case "synced":
      return "=";
    case "ackAgain":
    case "giveUp":
      return step.do;
  }
}

const brief = (steps: readonly Step[]): string[] => steps.map(short);
const receive = (inbox: Inbox, frame: Frame): string[] => brief(inbox.frame(frame, ""));
const live = (inbox: Inbox, number: number, after: number): string[] => receive(inbox, announcement(number, after));
const synced = (inbox: Inbox, after: number, number: number, more = false): string[] =>
  receive(inbox, answer({ after, number, more }));
const pong = (inbox: Inbox, seq = 0): string[] =>
  receive(inbox, { type: "pong", deviceId: "d", epoch: EPOCH, seq, serverTime: 0, nextPing: 60 });
const message = (inbox: Inbox, seq: number): string[] =>
  receive(inbox, {
    type: "message",
    id: `m${seq}`,
    epoch: EPOCH,
    seq,
    deviceId: "d",
    toUserName: "alice",
    createTime: 0,
  });

/** An inbox on a connection, which has shown the announcements up to a number. */
function asked(announced?: number): Inbox {
  const inbox = new Inbox({ epoch: EPOCH, seq: 0 }, announced);
  assert.deepEqual(brief(inbox.connected()), [`?${announced ?? 0}`]);
  return inbox;
}

function ready(announced: number): Inbox {
  const inbox = asked(announced);
  assert.deepEqual(synced(inbox, announced, announced), ["="]);
  return inbox;
}

test("each is shown once and in order", () => {
  const inbox = ready(10);
  assert.deepEqual(live(inbox, 10, 0), [], "a former run has shown it");
  assert.deepEqual(live(inbox, 20, 10), ["20"]);
  assert.deepEqual(live(inbox, 20, 10), []);
  assert.deepEqual(live(inbox, 15, 10), [], "nothing goes back");
  assert.deepEqual(live(inbox, 30, 20), ["30"]);
  assert.deepEqual(brief(inbox.connected()), ["?30"]);
  assert.deepEqual(brief(inbox.rolledOver()), ["?30"]);
});

test("a new device is shown what is still kept, before the replay has ended", () => {
  const inbox = asked();
  assert.deepEqual(live(inbox, 10, 0), ["10"]);
  assert.deepEqual(live(inbox, 20, 10), ["20"]);
  assert.deepEqual(synced(inbox, 20, 20), ["="]);
});

test("a gap is asked for, once, and what showed it comes again behind it", () => {
  const inbox = ready(10);
  assert.deepEqual(live(inbox, 30, 20), ["?10"]);
  assert.deepEqual(live(inbox, 40, 30), [], "one request is enough");
  assert.deepEqual(live(inbox, 20, 10), ["20"]);
  assert.deepEqual(live(inbox, 30, 20), ["30"]);
  assert.deepEqual(live(inbox, 40, 30), ["40"]);
  assert.deepEqual(synced(inbox, 40, 40), ["="]);
  assert.deepEqual(pong(inbox), []);
});

test("announcements for other devices are skipped", () => {
  const inbox = asked(10);
  assert.deepEqual(synced(inbox, 10, 30), ["="]);
  assert.deepEqual(live(inbox, 40, 30), ["40"]);
});

test("one that overtakes a replay is asked for when the answer cannot have it", () => {
  const inbox = asked(10);
  assert.deepEqual(live(inbox, 40, 30), []);
  assert.deepEqual(live(inbox, 20, 10), ["20"]);
  assert.deepEqual(live(inbox, 30, 20), ["30"]);
  assert.deepEqual(synced(inbox, 30, 30), ["=", "?30"]);
  assert.deepEqual(live(inbox, 40, 30), ["40"]);
  assert.deepEqual(synced(inbox, 40, 40), ["="]);
  assert.deepEqual(pong(inbox), []);
});

test("one of a replay that is lost is asked for with the next pong, not at once", () => {
  const inbox = asked(10);
  // 20 does not come.
  assert.deepEqual(live(inbox, 30, 20), []);
  assert.deepEqual(synced(inbox, 30, 30), ["="], "the mailbox does not wait for it");
  assert.equal(inbox.awaitsReplay, false);
  assert.deepEqual(message(inbox, 1), ["m1"], "nor does a message ask for it");
  assert.deepEqual(pong(inbox, 1), ["?10"]);
  assert.deepEqual(pong(inbox, 1), []);
  assert.deepEqual(live(inbox, 20, 10), ["20"]);
  assert.deepEqual(live(inbox, 30, 20), ["30"]);
  assert.deepEqual(receive(inbox, answer({ after: 30, number: 30 }, { seq: 1 })), ["="]);
  assert.deepEqual(pong(inbox, 1), []);
});

test("the last one of a replay is missed, too", () => {
  const inbox = asked(10);
  assert.deepEqual(live(inbox, 20, 10), ["20"]);
  assert.deepEqual(synced(inbox, 30, 30), ["="]);
  assert.deepEqual(pong(inbox), ["?20"]);
});

test("one that never comes is asked for once with each pong and each new one", () => {
  const inbox = asked(10);
  let syncs = 1;
  const count = (steps: string[]): void => {
    for (const step of steps) {
      assert.ok(step === "=" || step === "?10", step);
      syncs += step === "?10" ? 1 : 0;
    }
  };
  const replay = (newest: number): void => {
    while (inbox.awaitsReplay) {
      assert.ok(syncs <= 201, "it asks without end");
      // Frame 20 does not open.
      for (let number = 30; number <= newest; number += 10) {
        count(live(inbox, number, number - 10));
      }
      count(synced(inbox, newest, newest));
    }
  };
  replay(30);
  for (let round = 1; round <= 100; round += 1) {
    count(pong(inbox));
    replay(20 + 10 * round);
    count(live(inbox, 30 + 10 * round, 20 + 10 * round));
    replay(30 + 10 * round);
  }
  assert.equal(syncs, 201);
});

test("pages follow each other at once while they come", () => {
  const inbox = asked();
  assert.deepEqual(live(inbox, 10, 0), ["10"]);
  assert.deepEqual(synced(inbox, 10, 10, true), ["=", "?10"]);
  // A page of which nothing is for this device.
  assert.deepEqual(synced(inbox, 10, 20, true), ["=", "?20"]);
  assert.deepEqual(live(inbox, 30, 20), ["30"]);
  assert.deepEqual(synced(inbox, 30, 30), ["="]);
  assert.deepEqual(pong(inbox), []);
});

test("if the service cannot send the next one, it is asked again with the next pong", () => {
  const inbox = asked(10);
  assert.deepEqual(synced(inbox, 10, 10, true), ["="]);
  assert.deepEqual(pong(inbox), ["?10"]);
  assert.deepEqual(synced(inbox, 10, 10, true), ["="]);
  assert.deepEqual(message(inbox, 1), ["m1"]);
});

test("a late answer takes nothing back, and is no reason to ask", () => {
  const inbox = asked(10);
  brief(inbox.rolledOver());
  assert.deepEqual(live(inbox, 20, 10), ["20"]);
  assert.deepEqual(synced(inbox, 20, 20), ["="]);
  assert.deepEqual(synced(inbox, 10, 10), []);
  assert.deepEqual(live(inbox, 30, 20), ["30"]);
  assert.deepEqual(brief(inbox.connected()), ["?30"]);
});

test("a late answer does not make good what a newer one did not bring", () => {
  const inbox = asked(10);
  brief(inbox.rolledOver());
  assert.deepEqual(synced(inbox, 20, 20), ["="]);
  assert.deepEqual(synced(inbox, 10, 10), []);
  assert.deepEqual(pong(inbox), ["?10"]);
});

test("an announcement that was dropped before a request is no reason for another", () => {
  const inbox = asked(10);
  assert.deepEqual(live(inbox, 30, 20), []);
  brief(inbox.rolledOver());
  assert.deepEqual(live(inbox, 20, 10), ["20"]);
  assert.deepEqual(live(inbox, 30, 20), ["30"]);
  assert.deepEqual(synced(inbox, 30, 30), ["="]);
});

test("while there is more of the mailbox, announcements have time", () => {
  const inbox = asked(10);
  assert.deepEqual(message(inbox, 1), ["m1"]);
  assert.deepEqual(receive(inbox, answer(undefined, { seq: 1, posted: [1], more: true })), ["=", "?10"]);
  assert.deepEqual(live(inbox, 20, 10), ["20"]);
  assert.deepEqual(receive(inbox, answer({ after: 20, number: 20, more: true }, { seq: 2, posted: [2] })), []);
  assert.deepEqual(message(inbox, 2), ["m2", "=", "?20"], "when the mailbox is complete");
});

test("a service that never reports its announcements is asked once for each gap", () => {
  const inbox = asked();
  assert.deepEqual(receive(inbox, answer()), ["="]);
  for (let number = 20; number <= 100; number += 10) {
    assert.deepEqual(live(inbox, number, number - 10), ["?0"]);
    assert.deepEqual(live(inbox, number, number - 10), []);
    assert.deepEqual(receive(inbox, answer()), ["="], "an answer without it asks for nothing");
    assert.deepEqual(pong(inbox), ["?0"]);
    assert.deepEqual(receive(inbox, answer()), ["="]);
    assert.deepEqual(pong(inbox), []);
  }
  assert.deepEqual(live(inbox, 110, 0), ["110"]);
});

test("a mailbox that was set back does not bring announcements back", () => {
  const inbox = new Inbox({ epoch: 9, seq: 9 }, 10);
  brief(inbox.connected());
  const steps = receive(inbox, { ...answer({ after: 20, number: 20 }), recovered: false } as Frame);
  assert.deepEqual(steps, ["?10"]);
  assert.deepEqual(live(inbox, 20, 10), ["20"]);
  assert.deepEqual(synced(inbox, 20, 20), ["="]);
});

interface Entry {
  readonly number: number;
  /** Not expired, not withdrawn, and for this platform. */
  wanted: boolean;
}

/** A service, a network that loses, repeats and reorders, and an app that keeps what it has shown. */
class World {
  readonly random: Random;
  losing = true;
  log: Entry[] = [];
  inbox = new Inbox();
  inFlight: Frame[] = [];
  readonly shown: number[] = [];
  syncs = 0;
  /** Reasons for a request: a connection, no answer, a pong, an announcement, or a page that is not the last. */
  reasons = 0;

  constructor(seed: number) {
    this.random = new Random(seed);
    this.connect();
  }

  send(frame: Frame): void {
    if (!this.losing || !this.random.onceIn(8)) {
      this.inFlight.push(frame);
    }
  }

  announce(): void {
    const after = this.log.at(-1)?.number ?? 0;
    const entry = { number: after + 1 + this.random.below(5), wanted: !this.random.onceIn(4) };
    this.log.push(entry);
    if (entry.wanted) {
      this.send(announcement(entry.number, after));
    }
  }

  /** The answer of `functions/sync`, in pages of three. */
  sync(from: number): void {
    const newer = this.log.filter(({ number }) => number > from);
    const page = newer.slice(0, 3);
    let after = from;
    for (const { number, wanted } of page) {
      if (wanted) {
        this.send(announcement(number, after));
        after = number;
      }
    }
    this.send(answer({ after, number: page.at(-1)?.number ?? from, more: newer.length > page.length }));
  }

  carryOut(steps: readonly Step[]): void {
    for (const step of steps) {
      if (step.do === "sync") {
        this.syncs += 1;
        if (!this.losing || !this.random.onceIn(8)) {
          this.sync(step.announced);
        }
      } else if (step.do === "announce") {
        this.show(step.announcement.number);
      } else if (step.do === "giveUp") {
        this.connect();
      }
    }
  }

  show(number: number): void {
    const before = this.shown.at(-1) ?? 0;
    assert.ok(number > before, `${number} after ${before}`);
    const missed = this.log.find((it) => it.wanted && it.number > before && it.number < number);
    assert.equal(missed, undefined, `${number} before ${missed?.number}`);
    this.shown.push(number);
  }

  connect(): void {
    this.reasons += 1;
    this.inFlight = [];
    this.carryOut(this.inbox.connected());
  }

  restart(): void {
    this.inbox = new Inbox({ epoch: EPOCH, seq: 0 }, this.shown.at(-1));
    this.connect();
  }

  arrive(): void {
    if (this.inFlight.length === 0) {
      return;
    }
    const any = this.losing && this.random.onceIn(4);
    const [frame] = this.inFlight.splice(any ? this.random.below(this.inFlight.length) : 0, 1) as [Frame];
    this.reasons += frame.type !== "synced" || frame.announced?.more ? 1 : 0;
    if (this.losing && this.random.onceIn(10)) {
      this.inFlight.push(frame);
    }
    this.carryOut(this.inbox.frame(frame, ""));
  }

  step(): void {
    const drawn = this.random.below(1_000);
    if (drawn < 200) {
      this.announce();
    } else if (drawn < 230) {
      const entry = this.log[this.log.length - 1 - this.random.below(5)];
      if (entry) {
        entry.wanted = false;
      }
    } else if (drawn < 900) {
      this.arrive();
    } else if (drawn < 940) {
      this.send({ type: "pong", deviceId: "d", epoch: EPOCH, seq: 0, serverTime: 0, nextPing: 60 });
    } else if (drawn < 970) {
      this.reasons += 1;
      this.carryOut(this.inbox.replayOverdue());
    } else if (drawn < 980) {
      this.reasons += 1;
      this.carryOut(this.inbox.rolledOver());
    } else if (drawn < 990) {
      this.connect();
    } else {
      this.restart();
    }
  }

  /** The network loses nothing any more. Returns the number of heartbeats until nothing is asked for. */
  settle(): number {
    this.losing = false;
    for (let beat = 0; beat < 100; beat += 1) {
      const { syncs } = this;
      this.send({ type: "pong", deviceId: "d", epoch: EPOCH, seq: 0, serverTime: 0, nextPing: 60 });
      for (let turn = 0; this.inFlight.length > 0; turn += 1) {
        assert.ok(turn < 10_000, "it asks without end");
        this.arrive();
      }
      if (this.inbox.awaitsReplay) {
        this.carryOut(this.inbox.replayOverdue());
      } else if (this.syncs === syncs) {
        return beat;
      }
    }
    return assert.fail("it does not come to rest");
  }
}

test("whatever the network does, each announcement is shown once and in order", () => {
  for (let seed = 0; seed < 8; seed += 1) {
    const world = new World(seed);
    for (let step = 0; step < 20_000; step += 1) {
      world.step();
    }
    world.settle();
    // The next live one reveals whatever is missing before it.
    world.announce();
    world.settle();
    const { shown, syncs, reasons } = world;
    const newest = shown.at(-1) ?? 0;
    const missed = world.log.find(({ number, wanted }) => wanted && number > newest);
    assert.equal(missed, undefined, `seed ${seed}: ${missed?.number} was not shown`);
    assert.ok(shown.length > 1_000, `seed ${seed}: ${shown.length} shown`);
    assert.ok(syncs <= reasons, `seed ${seed}: ${syncs} requests for ${reasons} reasons`);
  }
});
