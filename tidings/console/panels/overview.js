// How it goes: what is waiting, how many messages a second, how long they take, and what becomes of them.

import { place, twin } from "../api.js";
import { bars, dots, parts } from "../chart.js";
import { h, heading, show } from "../dom.js";
import { latest } from "../records.js";
import { STATES } from "../wire.js";
import { isSettled } from "../trails.js";
import { count, took } from "../words.js";

/** Over how many of the newest messages latency and states are told. */
const NEWEST = 100;

export default { id: "overview", title: "Overview", needs: [], build };

function build() {
  const steps = h("div");
  const tiles = h("div.tiles");
  const rate = h("div");
  const latency = h("div");
  const states = h("div");
  const node = h("div", {}, heading("Overview"), steps, tiles, h("div.charts", {}, rate, latency, states));

  async function refresh() {
    const asked = [place.appKey ? latest(NEWEST) : { messages: [] }, ...(place.twin ? inside() : [])];
    const [{ messages, total, perSecond }, ...others] = await Promise.all(asked);
    show(steps, { none: !messages.length && Boolean(place.appKey) }, ({ none }) => none && firstSteps());
    if (place.twin) show(tiles, figures(total, perSecond, ...others), told);
    if (perSecond) show(rate, perSecond, perSecondChart);
    show(latency, messages.map(waits).reverse(), latencyChart);
    show(states, tally(messages), statesChart);
  }
  return { node, refresh, every: 3_000 };
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

/** What only the twin knows. */
const inside = () => [
  twin("GET", "queues"),
  twin("GET", "faults"),
  place.appKey ? twin("GET", "devices?limit=100") : null,
];

/** The twin's numbers, each with the panel that says more. */
function figures(total, perSecond, queues, faults, devices) {
  const isDead = new Set(queues.map((queue) => queue.deadLetterQueue));
  const sum = (of) => of.reduce((all, queue) => all + queue.visible + queue.inFlight + queue.delayed, 0);
  const all = devices?.users.flatMap((user) => user.devices) ?? [];
  const injected = Object.values(faults.injected).reduce((sum, number) => sum + number, 0);
  const rules = faults.rules.filter(({ hits, times }) => hits < times).length;
  return [
    perSecond && ["Messages", total.toLocaleString(), `${sumOfLast(perSecond.counts, 10)} in ten seconds`, "messages"],
    devices && [
      "Connected",
      `${all.filter((device) => device.connections.length).length}${devices.next ? "+" : ""}`,
      `of ${count(all.length, "device")}${devices.next ? " and more" : ""}`,
      "devices",
    ],
    ["Waiting", sum(queues.filter(({ name }) => !isDead.has(name))).toLocaleString(), "in queues", "queues"],
    [
      "Dead letters",
      sum(queues.filter(({ name }) => isDead.has(name))).toLocaleString(),
      "given up, and kept",
      "queues",
    ],
    ["Faults", faults.plan || rules ? "on" : "off", `${count(injected, "strike")} so far`, "faults"],
  ].filter(Boolean);
}

const sumOfLast = (counts, many) => counts.slice(-many).reduce((sum, number) => sum + number, 0);

const told = (tiles) =>
  tiles.map(([name, figure, more, panel]) =>
    h(
      `a.tile${name === "Dead letters" && figure !== "0" ? ".bad" : ""}`,
      { href: `#/${panel}` },
      h("span", {}, name),
      h("strong", {}, figure),
      h("span", {}, more),
    ),
  );

/** Until a message was posted, and until it was confirmed, in milliseconds; for the recipient who waited longest. */
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
    "What became of them",
    tallied,
    all ? `${settled.toLocaleString()} of ${count(all, "recipient")} settled.` : "Nothing yet.",
  );
}
