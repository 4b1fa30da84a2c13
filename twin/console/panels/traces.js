// The cost of each event from outside, in AWS requests.

import { twin } from "../api.js";
import { h, heading, show, table } from "../dom.js";
import { clock, moment } from "../words.js";

export default { id: "traces", title: "Cost", needs: ["twin"], build };

function build() {
  const content = h("div");
  async function refresh() {
    const traces = await twin("GET", "traces?limit=50");
    show(content, traces, (traces) =>
      table(
        "Traces",
        ["Began", "With", "Answered", "Requests to AWS"],
        traces.map((trace) => [
          h("time", { title: moment(trace.startedAt) }, clock(trace.startedAt)),
          trace.origin || "–",
          trace.outcome ?? "–",
          [trace.cost || "none", !trace.quiet && h("span.hint", {}, " so far")],
        ]),
        "Nothing has come in yet.",
      ),
    );
  }
  return {
    node: h(
      "div",
      {},
      heading("What it costs"),
      h(
        "p.hint",
        {},
        "The newest 50 traces: requests, socket messages and ticks, " +
          "each with everything that they triggered. A request that serves several counts as a share for each.",
      ),
      content,
    ),
    refresh,
    every: 2_000,
  };
}
