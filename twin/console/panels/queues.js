// The queues with the number of their messages, and the redrive of dead letters.

import { twin } from "../api.js";
import { action, h, heading, say, show, table } from "../dom.js";
import { ago, count } from "../words.js";

export default { id: "queues", title: "Queues", needs: ["twin"], build };

function build() {
  const content = h("div");
  async function refresh() {
    const queues = await twin("GET", "queues");
    const named = new Map(queues.map((queue) => [queue.name, queue]));
    const dead = new Set(queues.map((queue) => queue.deadLetterQueue).filter(Boolean));
    const letters = {};
    for (const name of dead) {
      const { visible, inFlight } = named.get(name) ?? {};
      if (visible || inFlight)
        letters[name] = await twin("GET", `queues/${encodeURIComponent(name)}/messages?limit=20`);
    }
    show(content, { queues, letters }, () => [
      table(
        "Queues",
        ["Queue", "Ready", "In flight", "Delayed", "Dead letters"],
        queues
          .filter(({ name }) => !dead.has(name))
          .map((queue) => [
            queue.name,
            ...["visible", "inFlight", "delayed"].map((where) => queue[where].toLocaleString()),
            queue.deadLetterQueue ? lettersOf(named.get(queue.deadLetterQueue)) : "none kept",
          ]),
        "The template has no queues.",
      ),
      Object.entries(letters).map(([name, shown]) => section(name, shown, refresh)),
    ]);
  }
  return { node: h("div", {}, heading("Queues"), content), refresh, every: 1_500 };
}

function lettersOf(queue) {
  const many = queue ? queue.visible + queue.inFlight + queue.delayed : 0;
  return many ? h("strong.wrong", {}, many.toLocaleString()) : "0";
}

function section(name, messages, again) {
  const redrive = async () => {
    const { moved } = await twin("POST", `queues/${encodeURIComponent(name)}/redrive`);
    say(`${count(moved, "dead letter")} moved back.`);
    await again();
  };
  return h(
    "section.card",
    { "aria-label": name },
    h(
      "div.heading",
      {},
      h("h2", {}, name),
      h("div.beside", {}, action("Redrive", redrive, { "data-key": `redrive ${name}`, class: "primary" })),
    ),
    messages.map(({ id, sentAt, body }) =>
      h("details", { "data-key": id }, h("summary", {}, `sent ${ago(sentAt)}`), h("pre", {}, pretty(body))),
    ),
  );
}

/** A body for people. JSON within its texts is shown as JSON, too. */
function pretty(body) {
  const value = parsed(body);
  return typeof value === "string" ? body : JSON.stringify(value, null, 2);
}

function parsed(text) {
  try {
    return JSON.parse(text, (_, value) => (typeof value === "string" && /^[{[]/.test(value) ? parsed(value) : value));
  } catch {
    return text;
  }
}
