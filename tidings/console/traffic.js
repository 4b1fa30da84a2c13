// The service's half of the overview: how many messages a second, how long they take, and what becomes of them.

import { place, twin } from "./api.js";
import { bars, dots, parts } from "./chart.js";
import { h } from "./dom.js";
import { latest } from "./records.js";
import { STATES } from "./wire.js";
import { isSettled } from "./trails.js";
import { count, took } from "./words.js";

/** The number of newest messages over which latency and states are computed. */
const NEWEST = 100;

export const traffic = {
  ask,
  intro: [({ messages }) => !messages.length && Boolean(place.appKey), firstSteps],
  figures,
  charts: [
    [({ perSecond }) => perSecond, perSecondChart],
    [({ messages }) => messages.map(waits).reverse(), latencyChart],
    [({ messages }) => tally(messages), statesChart],
  ],
};

async function ask() {
  if (!place.appKey) return { messages: [] };
  const [newest, devices] = await Promise.all([latest(NEWEST), place.twin && twin("GET", "devices?limit=100")]);
  return { ...newest, devices };
}

function firstSteps() {
  return h(
    "section.card",
    {},
    h("h2", {}, "Nothing has been sent yet"),
    h(
      "ol",
      {},
      h(
        "li",
        {},
        h("a", { href: "#/demo" }, "Open a demo device"),
        " in this page: it registers, connects and shows what comes.",
      ),
      h("li", {}, h("a", { href: "#/send" }, "Send a message"), " to its user, with every option that there is."),
      h("li", {}, h("a", { href: "#/messages" }, "Follow it"), " from accepted to confirmed."),
      place.twin &&
        h("li", {}, h("a", { href: "#/faults" }, "Let things go wrong"), ", and watch it arrive all the same."),
    ),
  );
}

/** Only the twin knows them. */
function figures({ total, perSecond, devices }) {
  const all = devices?.users.flatMap((user) => user.devices) ?? [];
  return [
    perSecond && ["Messages", total.toLocaleString(), `${sumOfLast(perSecond.counts, 10)} in ten seconds`, "messages"],
    devices && [
      "Connected",
      `${all.filter((device) => device.connections.length).length}${devices.next ? "+" : ""}`,
      `of ${count(all.length, "device")}${devices.next ? " and more" : ""}`,
      "devices",
    ],
  ].filter(Boolean);
}

const sumOfLast = (counts, many) => counts.slice(-many).reduce((sum, number) => sum + number, 0);

/** The time until a message was posted and until it was confirmed, in milliseconds, of the slowest recipient. */
function waits({ acceptedAt, sendAt, recipients }) {
  const begun = new Date(sendAt ?? acceptedAt);
  const first = (of, event) => of.transitions.find((it) => it.event === event)?.at;
  const longest = (event) =>
    Math.max(
      ...recipients
        .map((of) => first(of, event))
        .filter(Boolean)
        .map((at) => new Date(at) - begun),
    );
  const finite = (millis) => (Number.isFinite(millis) ? Math.max(millis, 0) : null);
  return [finite(longest("posted")), finite(longest("confirmed"))];
}

function latencyChart(pairs) {
  const series = ["posted", "confirmed"].map((name, which) => ({
    name: `accepted → ${name}`,
    values: pairs.map((pair) => pair[which]),
  }));
  const summary = series.map(({ name, values }) => {
    const sorted = values.filter((value) => value !== null).sort((a, b) => a - b);
    if (!sorted.length) return `${name}: none yet`;
    const at = (share) => took(sorted[Math.min(Math.floor(sorted.length * share), sorted.length - 1)]);
    return `${name}: half within ${at(0.5)}, 95 of 100 within ${at(0.95)}`;
  });
  return dots(`Latency of the newest ${count(pairs.length, "message")}`, series, `${summary.join("; ")}.`);
}

function perSecondChart({ until, counts }) {
  const recent = sumOfLast(counts, counts.length);
  const peak = Math.max(...counts);
  return bars(
    "Messages per second",
    counts,
    [`${counts.length} s ago`, new Date(until).toLocaleTimeString([], { hour12: false })],
    `${count(recent, "message")} accepted in the last ${counts.length} seconds, at most ${peak} in one.`,
  );
}

function tally(messages) {
  return STATES.map((state) => [state, messages.reduce((sum, { states }) => sum + (states[state] ?? 0), 0)]).filter(
    ([, number]) => number,
  );
}

function statesChart(tallied) {
  const settled = tallied.filter(([state]) => isSettled(state)).reduce((sum, [, number]) => sum + number, 0);
  const all = tallied.reduce((sum, [, number]) => sum + number, 0);
  return parts(
    "States of the messages",
    tallied,
    all ? `${settled.toLocaleString()} of ${count(all, "recipient")} settled.` : "Nothing yet.",
  );
}
