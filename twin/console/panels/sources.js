// The sources that invoke functions: queues and schedules.

import { twin } from "../api.js";
import { action, h, heading, say, show, table } from "../dom.js";

export default { id: "sources", title: "Sources", needs: ["twin"], build };

function build() {
  const content = h("div");
  const fired = h("div", { "aria-live": "polite" });
  const fire = async () => {
    const results = await twin("POST", "schedules/fire");
    show(fired, results, (results) =>
      h(
        "ul",
        {},
        results.map(({ schedule, error }) => h("li", {}, `${schedule}: ${error ?? "ran"}`)),
      ),
    );
  };
  async function refresh() {
    const [sources, schedules] = await Promise.all([twin("GET", "event-sources"), twin("GET", "schedules")]);
    show(content, { sources, schedules }, () => [
      h("h2", {}, "Event sources"),
      h("p.hint", {}, "If a source is off, its messages wait in the queue."),
      table(
        "Event sources",
        ["Function", "Fed by", "On"],
        sources.map((source) => [source.function, source.queue, toggle(source, refresh)]),
        "No queue feeds a function.",
      ),
      h("h2", {}, "Schedules"),
      table(
        "Schedules",
        ["Name", "Function", "When"],
        schedules.map((schedule) => [
          schedule.name,
          schedule.function,
          schedule.enabled ? schedule.expression : `${schedule.expression}, disabled`,
        ]),
        "The template has no schedules.",
      ),
      schedules.length > 0 &&
        h("div.buttons", {}, action("Fire all now", fire, { class: "primary", "data-key": "fire" })),
    ]);
  }
  return { node: h("div", {}, heading("Sources and schedules"), content, fired), refresh, every: 2_000 };
}

/** A function's switch, for every queue that feeds the function. */
function toggle({ function: name, queue, enabled }, again) {
  const turn = async () => {
    await twin("POST", `event-sources/${encodeURIComponent(name)}`, { enabled: !enabled });
    say(`The queues of ${name} are ${enabled ? "off" : "on"}.`);
    await again();
  };
  return action(enabled ? "on" : "off", turn, {
    class: "switch",
    role: "switch",
    "aria-checked": String(enabled),
    "aria-label": `Feed ${name} from ${queue}`,
    "data-key": `${name} ${queue}`,
  });
}
