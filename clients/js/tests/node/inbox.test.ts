// Frame by frame. Message n has the id `n`.

import assert from "node:assert/strict";
import { test } from "node:test";
import type { Frame } from "../../src/frames.js";
import { HELD, Inbox, KNOWN, REMEMBERED, REPLAY_ATTEMPTS, type Step } from "../../src/inbox.js";
import type { Position } from "../../src/position.js";

const EPOCH = 7;
const at = (seq: number): Position => ({ epoch: EPOCH, seq });

function message(place: Position | undefined, id: string): Frame {
  return { type: "message", id, ...place, deviceId: "d", toUserName: "alice", createTime: 0 };
}

function answer(end: Position, posted: number[], { recovered = true, more = false } = {}): Frame {
  return { type: "synced", deviceId: "d", ...end, recovered, more, posted };
}

/**
 * The steps in short: `3` delivered, `?2` sync after 2, `!3` acknowledged, `~3` acknowledged again for a former run,
 * `=3` synced.
 */
function brief(steps: readonly Step[]): string[] {
  return steps.map(short);
}

function short(step: Step): string {
  switch (step.do) {
    case "deliver":
      return step.received.message.id;
    case "announce":
      return `announcement ${step.announcement.number}`;
    case "sync":
      return `?${step.after?.seq ?? 0}`;
    case "ackAgain":
      return `${step.confirmed ? "!" : "~"}${step.receipt.seq}`;
    case "synced":
      return `=${step.synced.seq}${step.synced.recovered ? "" : " with a gap"}`;
    case "giveUp":
      return "give up";
  }
}

const receive = (inbox: Inbox, frame: Frame): string[] => brief(inbox.frame(frame, ""));
const live = (inbox: Inbox, seq: number): string[] => receive(inbox, message(at(seq), String(seq)));
const pong = (inbox: Inbox, place: Position): string[] =>
  receive(inbox, { type: "pong", deviceId: "d", ...place, serverTime: 0, nextPing: 60 });

/** The answer to a replay that sent these. */
function synced(inbox: Inbox, seq: number, posted: number[], more = false): string[] {
  return receive(inbox, answer(at(seq), posted, { more }));
}

function ready(seq: number): Inbox {
  const inbox = new Inbox(at(seq));
  assert.deepEqual(brief(inbox.connected()), [`?${seq}`]);
  assert.deepEqual(synced(inbox, seq, []), [`=${seq}`]);
  return inbox;
}

test("live messages pass in order", () => {
  const inbox = ready(2);
  assert.deepEqual(live(inbox, 3), ["3"]);
  assert.deepEqual(live(inbox, 4), ["4"]);
  assert.deepEqual(inbox.cursor, at(4));
});

test("a gap is asked for and comes before what showed it", () => {
  const inbox = ready(2);
  assert.deepEqual(live(inbox, 5), ["?2"]);
  assert.deepEqual(live(inbox, 6), [], "one request is enough");
  assert.deepEqual(live(inbox, 4), []);
  assert.deepEqual(live(inbox, 3), ["3", "4", "5", "6"]);
  assert.deepEqual(synced(inbox, 5, [3, 4, 5]), ["=6"], "an app that keeps this must not go back");
  assert.equal(inbox.awaitsReplay, false);
});

test("what comes live waits for the replay", () => {
  const inbox = new Inbox();
  assert.deepEqual(brief(inbox.connected()), ["?0"]);
  assert.deepEqual(live(inbox, 3), []);
  assert.deepEqual(live(inbox, 1), []);
  assert.deepEqual(receive(inbox, message(undefined, "typing")), []);
  assert.deepEqual(live(inbox, 2), []);
  assert.deepEqual(synced(inbox, 2, [1, 2]), ["1", "2", "=2", "3", "typing"]);
});

test("a replay in pages asks on", () => {
  const inbox = new Inbox(at(0));
  inbox.connected();
  assert.deepEqual(live(inbox, 1), ["1"]);
  assert.deepEqual(synced(inbox, 1, [1], true), ["=1", "?1"]);
  assert.deepEqual(live(inbox, 2), ["2"]);
  assert.deepEqual(synced(inbox, 2, [2]), ["=2"]);
});

test("an answer that overtook its messages waits for them", () => {
  const inbox = ready(0);
  inbox.connected();
  assert.deepEqual(live(inbox, 1), ["1"]);
  assert.deepEqual(synced(inbox, 4, [1, 3, 4]), []);
  assert.deepEqual(live(inbox, 4), []);
  assert.deepEqual(live(inbox, 3), ["3", "4", "=4"], "2 was skipped");
});

test("what was sent and did not come is never passed", () => {
  const inbox = ready(0);
  for (let connection = 0; connection < 2; connection += 1) {
    inbox.connected();
    assert.deepEqual(live(inbox, 2), []);
    for (let attempt = 1; attempt < REPLAY_ATTEMPTS; attempt += 1) {
      assert.deepEqual(synced(inbox, 2, [1, 2]), []);
      assert.deepEqual(brief(inbox.replayOverdue()), ["?0"]);
    }
    assert.deepEqual(synced(inbox, 2, [1, 2]), []);
    assert.deepEqual(brief(inbox.replayOverdue()), ["give up"]);
    assert.deepEqual(inbox.cursor, at(0));
  }
  inbox.connected();
  assert.deepEqual(live(inbox, 1), ["1"]);
  assert.deepEqual(live(inbox, 2), ["2"]);
});

test("a replay without an answer gives the connection up", () => {
  const inbox = new Inbox();
  inbox.connected();
  for (let attempt = 1; attempt < REPLAY_ATTEMPTS; attempt += 1) {
    assert.deepEqual(brief(inbox.replayOverdue()), ["?0"]);
  }
  assert.deepEqual(brief(inbox.replayOverdue()), ["give up"]);
  assert.deepEqual(brief(inbox.replayOverdue()), []);
});

test("a service that could not send the first one is asked again later", () => {
  const inbox = ready(2);
  assert.deepEqual(live(inbox, 4), ["?2"]);
  assert.deepEqual(synced(inbox, 2, [], true), [], "not at once: it may be throttled");
  assert.deepEqual(brief(inbox.replayOverdue()), ["?2"]);
});

test("expired entries leave no hole", () => {
  const inbox = new Inbox(at(2));
  inbox.connected();
  live(inbox, 5);
  assert.deepEqual(synced(inbox, 6, [5]), ["5", "=6"]);
  assert.deepEqual(live(inbox, 7), ["7"]);
});

test("a withdrawn message does not stand in for one that is missing", () => {
  const inbox = ready(2);
  // 4 came live and was cancelled then; the replay sent 6 and 7, of which 7 did not come.
  assert.deepEqual(live(inbox, 4), ["?2"]);
  assert.deepEqual(live(inbox, 6), []);
  assert.deepEqual(synced(inbox, 7, [6, 7]), []);
  assert.deepEqual(live(inbox, 7), ["4", "6", "7", "=7"]);
});

test("a redelivery is confirmed again and not shown", () => {
  const inbox = ready(2);
  assert.deepEqual(live(inbox, 3), ["3"]);
  assert.deepEqual(live(inbox, 3), [], "the app has not confirmed it");
  inbox.acknowledged(at(3));
  assert.deepEqual(live(inbox, 3), ["!3"]);
});

test("a message of a former run is confirmed again and not shown", () => {
  const inbox = ready(5);
  assert.deepEqual(live(inbox, 4), ["~4"]);
  assert.deepEqual(live(inbox, 5), ["~5"]);
  assert.deepEqual(receive(inbox, message({ epoch: EPOCH - 1, seq: 9 }, "old")), ["~9"]);
  assert.deepEqual(inbox.cursor, at(5));
});

test("a skipped message is neither shown nor confirmed", () => {
  const inbox = ready(2);
  assert.deepEqual(live(inbox, 5), ["?2"]);
  assert.deepEqual(synced(inbox, 5, [5]), ["5", "=5"]);
  assert.deepEqual(live(inbox, 4), []);
});

test("a client without a cursor confirms again what the service knows as shown", () => {
  const inbox = new Inbox();
  inbox.connected();
  live(inbox, 5);
  assert.deepEqual(synced(inbox, 5, [5]), ["5", "=5"]);
  assert.deepEqual(live(inbox, 4), ["~4"]);
  assert.deepEqual(live(inbox, 5), []);
});

test("a redelivery before the first answer waits for it", () => {
  const inbox = new Inbox(at(5));
  inbox.connected();
  assert.deepEqual(live(inbox, 4), [], "the cursor may belong to another mailbox");
  assert.deepEqual(live(inbox, 6), ["6", "~4"]);
  // From here on it is this mailbox's, whatever comes late.
  assert.deepEqual(live(inbox, 5), ["~5"]);
  assert.deepEqual(receive(inbox, answer(at(3), [1, 2, 3], { recovered: false })), []);
  assert.deepEqual(synced(inbox, 6, [6]), ["=6"]);
});

test("a cursor of another mailbox is forgotten", () => {
  const inbox = new Inbox(at(5));
  inbox.connected();
  const other = (seq: number): Position => ({ epoch: EPOCH - 1, seq });
  assert.deepEqual(receive(inbox, message(other(1), "a")), []);
  assert.deepEqual(inbox.frame(answer(other(2), [1, 2], { recovered: false }), ""), [
    { do: "sync", after: { epoch: 0, seq: 0 }, announced: 0 },
  ]);
  assert.deepEqual(receive(inbox, message(other(1), "a")), ["a"]);
  assert.deepEqual(receive(inbox, message(other(2), "b")), ["b"]);
  assert.deepEqual(receive(inbox, answer(other(2), [1, 2])), ["=2 with a gap"]);
  assert.deepEqual(inbox.cursor, other(2));
});

test("a late answer does not set the cursor back", () => {
  const inbox = ready(5);
  assert.deepEqual(live(inbox, 7), ["?5"]);
  assert.deepEqual(receive(inbox, answer(at(3), [1, 2, 3], { recovered: false })), []);
  assert.deepEqual(inbox.cursor, at(5));
  assert.deepEqual(synced(inbox, 7, [7]), ["7", "=7"]);
  assert.deepEqual(synced(inbox, 6, [6]), []);
  assert.deepEqual(synced(inbox, 9, [8, 9]), ["?7"], "the answer shows that there is more");
});

test("the first message of an empty mailbox needs no question", () => {
  const inbox = ready(0);
  assert.deepEqual(receive(inbox, message({ epoch: 99, seq: 1 }, "a")), ["a"]);
  assert.deepEqual(inbox.cursor, { epoch: 99, seq: 1 });
});

test("another epoch is a gap with its two ends", () => {
  const inbox = ready(3);
  const other = { epoch: EPOCH + 1, seq: 1 };
  assert.deepEqual(receive(inbox, message(other, "a")), ["?3"]);
  const steps = inbox.frame(answer(other, [1], { recovered: false }), "");
  assert.deepEqual(brief(steps), ["a", "=1 with a gap"]);
  assert.deepEqual(steps.at(-1)?.do === "synced" && steps.at(-1), {
    do: "synced",
    synced: answer(other, [1], { recovered: false }),
    after: at(3),
  });
  assert.deepEqual(inbox.cursor, other);
});

test("a pong that is ahead shows a gap", () => {
  const inbox = ready(3);
  assert.deepEqual(pong(inbox, at(3)), []);
  assert.deepEqual(pong(inbox, at(2)), [], "it was late");
  assert.deepEqual(pong(inbox, at(4)), ["?3"]);
  assert.deepEqual(pong(inbox, at(5)), [], "one request is enough");
  assert.deepEqual(live(inbox, 4), ["4"]);
  assert.deepEqual(synced(inbox, 4, [4]), ["=4", "?4"], "and 5 is not forgotten");
  assert.deepEqual(synced(inbox, 5, []), ["=5"]);
});

test("a rollover asks again and keeps what is held", () => {
  const inbox = ready(3);
  assert.deepEqual(live(inbox, 5), ["?3"]);
  assert.deepEqual(brief(inbox.rolledOver()), ["?3"]);
  assert.deepEqual(live(inbox, 4), ["4", "5"]);
  assert.deepEqual(synced(inbox, 5, [4, 5]), ["=5"]);
});

test("what is held is bounded and what was dropped is asked for", () => {
  const inbox = ready(0);
  for (let seq = 2; seq <= HELD + 10; seq += 1) {
    live(inbox, seq);
  }
  assert.equal(live(inbox, 1).length, HELD + 1);
  const all = Array.from({ length: HELD + 1 }, (_, index) => index + 1);
  assert.deepEqual(synced(inbox, HELD + 1, all), [`=${HELD + 1}`, `?${HELD + 1}`]);
});

test("places are forgotten from the oldest", () => {
  const inbox = ready(0);
  for (let seq = 1; seq <= KNOWN + 1; seq += 1) {
    assert.equal(live(inbox, seq).length, 1);
  }
  assert.deepEqual(live(inbox, 1), ["~1"]);
  assert.deepEqual(live(inbox, 2), []);
});

test("ids are forgotten from the oldest", () => {
  const inbox = ready(0);
  const transient = (id: number): string[] => receive(inbox, message(undefined, `t${id}`));
  for (let id = 0; id <= REMEMBERED; id += 1) {
    assert.deepEqual(transient(id), [`t${id}`]);
  }
  assert.deepEqual(transient(1), []);
  assert.deepEqual(transient(0), ["t0"]);
});

test("any order of arrival is delivered in order and once", () => {
  // Every order of five live messages, with the replay that the first gap asks for answered at the end.
  let orders: number[][] = [[]];
  for (let length = 0; length < 5; length += 1) {
    orders = orders.flatMap((order) => [1, 2, 3, 4, 5].filter((n) => !order.includes(n)).map((n) => [...order, n]));
  }
  assert.equal(orders.length, 120);
  for (const order of orders) {
    const inbox = ready(0);
    const steps = order.flatMap((seq) => live(inbox, seq));
    if (inbox.awaitsReplay) {
      steps.push(...synced(inbox, 5, [1, 2, 3, 4, 5]));
    }
    assert.equal(inbox.awaitsReplay, false);
    assert.deepEqual(
      steps.filter((step) => /^\d$/.test(step)),
      ["1", "2", "3", "4", "5"],
      String(order),
    );
  }
});
