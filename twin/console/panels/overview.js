// The overview: waiting messages, dead letters, injected faults, and the traffic.

import { place, twin } from "../api.js";
import { bars } from "../chart.js";
import { h, heading, show, table } from "../dom.js";
import { count } from "../words.js";

/** The span of the twin's own chart, in seconds. */
const SPAN = 60;

/**
 * The panel. A program that extends the twin supplies its half: `ask` fetches its data, and `figures` makes tiles of
 * that, `[name, figure, more, panel]`. `intro` and each of `charts` are `[of, draw]`: a function that selects the data
 * to draw, if there is any, and one that draws it.
 */
export const overview = ({
  ask = () => twin("GET", "traces?limit=1000"),
  intro = [() => false],
  figures = () => [],
  charts = [[perSecond, perSecondChart]],
} = {}) => ({
  id: "overview",
  title: "Overview",
  needs: [],
  build: () => build({ ask, intro, figures, charts }),
});

function build({ ask, intro, figures, charts }) {
  const [first, tiles, refused] = [h("div"), h("div.tiles"), h("div")];
  const drawn = charts.map((chart) => [h("div"), chart]);
  const part = (node, asked, [of, draw]) => show(node, of(asked), (data) => data && draw(data));
  async function refresh() {
    const inside = place.twin ? ["queues", "faults", "rights", "keys"].map((path) => twin("GET", path)) : [];
    const [asked, queues, faults, rights, keys] = await Promise.all([ask(), ...inside]);
    part(first, asked, intro);
    if (place.twin) {
      show(tiles, [...figures(asked), ...own(queues, faults, rights, keys)], (all) => all.map(tile));
      show(refused, rights.refused, (requests) => requests.length > 0 && refusals(requests));
    }
    for (const [node, chart] of drawn) part(node, asked, chart);
  }
  const node = h(
    "div",
    {},
    heading("Overview"),
    first,
    tiles,
    refused,
    h(
      "div.charts",
      {},
      drawn.map(([node]) => node),
    ),
  );
  return { node, refresh, every: 3_000 };
}

/** The twin's numbers, each with the panel that has the details. */
function own(queues, faults, { rights, used, refused }, keys) {
  const isDead = new Set(queues.map((queue) => queue.deadLetterQueue));
  const sum = (of) => of.reduce((all, queue) => all + queue.visible + queue.inFlight + queue.delayed, 0);
  const injected = Object.values(faults.injected).reduce((sum, number) => sum + number, 0);
  const rules = faults.rules.filter(({ hits, times }) => hits < times).length;
  const dead = sum(queues.filter(({ name }) => isDead.has(name)));
  return [
    ["Waiting", sum(queues.filter(({ name }) => !isDead.has(name))).toLocaleString(), "in queues", "queues"],
    ["Dead letters", dead.toLocaleString(), "given up, and kept", "queues", dead > 0],
    ["Faults", faults.plan || rules ? "on" : "off", `${count(injected, "strike")} so far`, "faults"],
    ["Rights", `${used} of ${rights}`, `used; ${count(refused.length, "refusal")}`, "overview", refused.length > 0],
    ...ofKeys(keys),
  ];
}

/** How many keys of KMS are enabled, if there are any, and the states of the others: `alias/a: Disabled`. */
function ofKeys(keys) {
  const off = keys.filter(({ state }) => state !== "Enabled");
  const states = off.map(({ id, logicalId, aliases, state }) => `${aliases[0] ?? logicalId ?? id}: ${state}`);
  const figure = `${keys.length - off.length} of ${keys.length}`;
  return keys.length > 0 ? [["Keys", figure, states.join(", ") || "enabled in KMS", "overview", off.length > 0]] : [];
}

/** The requests of functions that the roles of the template did not allow. */
const refusals = (requests) =>
  table(
    "Requests that a role did not allow",
    ["Function", "Not allowed", "On", "Times"],
    requests.map((it) => [it.function, it.action, it.resource, it.times.toLocaleString()]),
    "",
  );

const tile = ([name, figure, more, panel, isBad]) =>
  h(
    `a.tile${isBad ? ".bad" : ""}`,
    { href: `#/${panel}` },
    h("span", {}, name),
    h("strong", {}, figure),
    h("span", {}, more),
  );

/** How many traces began in each second up to the newest. */
function perSecond(traces) {
  const seconds = traces.map(({ startedAt }) => Math.floor(startedAt / 1_000));
  const until = Math.max(...seconds, 0);
  const counts = Array.from({ length: SPAN }, (_, at) => seconds.filter((it) => it === until - SPAN + 1 + at).length);
  return { until, counts };
}

function perSecondChart({ until, counts }) {
  const sum = counts.reduce((all, number) => all + number, 0);
  const newest = until ? new Date(until * 1_000).toLocaleTimeString([], { hour12: false }) : "now";
  return bars(
    "Traces per second",
    counts,
    [`${SPAN} s before`, newest],
    sum
      ? `${count(sum, "trace")} began in the ${SPAN} seconds up to the newest, at most ${Math.max(...counts)} in one.`
      : "Nothing has come in yet.",
  );
}
