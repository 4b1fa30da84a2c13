// The messages, newest first; and the trail of one as a timeline.

import { action, badge, confirm, form, h, heading, pager, say, show, table } from "../dom.js";
import { place, twin } from "../api.js";
import { latest, trail } from "../records.js";
import { STATES } from "../wire.js";
import { isSettled, sentence } from "../trails.js";
import { clock, count, moment, short, took } from "../words.js";
import { api } from "../service.js";

/** Messages on a page of the list. */
const PAGE = 25;

/** Recipients that a trail shows at once. */
const SHOWN = 20;

export default { id: "messages", title: "Messages", needs: ["appKey"], build };

function build() {
  const list = h("div");
  const detail = h("div");
  const node = h("div", {}, list, detail);
  const pages = [];

  const find = h("input", {
    type: "search",
    "aria-label": "Find by id",
    placeholder: "Find by id",
    autocomplete: "off",
  });
  const filter = h(
    "select",
    { "aria-label": "Only messages in this state", onchange: () => search() },
    h("option", { value: "" }, "every state"),
    STATES.map((state) => h("option", {}, state)),
  );
  const go = () => {
    if (find.value.trim()) location.hash = `#/messages/${find.value.trim()}`;
  };
  const searched = (name) =>
    h("input", { type: "search", "aria-label": name, placeholder: name, autocomplete: "off", oninput: () => search() });
  const user = searched("Sent to this user");
  const text = searched("With this text");
  const search = () => {
    pages.length = 0;
    return refresh("");
  };
  const rows = h("div");
  list.append(
    heading("Messages", form("form", { role: "search" }, go, find)),
    h("div.fields", {}, user, text, filter),
    rows,
  );

  async function refresh(id) {
    list.hidden = Boolean(id);
    detail.hidden = !id;
    if (id) return showOne(detail, id);
    const wanted = { alias: user.value.trim(), text: text.value.trim(), state: filter.value };
    const { messages, next } = await latest(PAGE, pages.at(-1), wanted);
    // A later request has its own answer.
    if (wanted.alias !== user.value.trim() || wanted.text !== text.value.trim() || wanted.state !== filter.value)
      return;
    show(rows, { wanted, messages, next, pages: pages.length }, () => [
      table(
        "Messages",
        ["Accepted", "To", "Message", "State"],
        messages.map(row),
        Object.values(wanted).some(Boolean)
          ? `None of ${next ? "these" : "them"} matches.`
          : place.twin
            ? "Nothing has been sent yet."
            : "Nothing has been sent from this tab yet.",
        "messages",
      ),
      pager(pages, next, () => refresh("")),
    ]);
  }
  return { node, refresh, every: 1_500 };
}

function row({ requestId, acceptedAt, sendAt, alert, tenantCode, recipients, recipientCount, states, priority }) {
  const to = recipients
    .slice(0, 2)
    .map(({ alias }) => alias)
    .join(", ");
  return [
    h(
      "time",
      { datetime: acceptedAt, title: moment(acceptedAt) },
      clock(acceptedAt),
      sendAt && h("span.hint", {}, ` for ${moment(sendAt)}`),
    ),
    [
      recipientCount > 2 ? `${to} and ${recipientCount - 2} more` : to,
      tenantCode && h("span.hint", {}, ` tenant ${tenantCode}`),
    ],
    [
      h("a.text", { href: `#/messages/${requestId}`, "data-key": requestId }, alert ?? short(requestId)),
      priority === "normal" && h("span.hint", {}, " bulk lane"),
    ],
    STATES.filter((state) => states[state]).map((state) =>
      badge(state, recipientCount > 1 ? `${state} ${states[state]}` : state),
    ),
  ];
}

async function showOne(parent, id) {
  let it;
  try {
    it = await trail(id);
  } catch (error) {
    if (error.status !== 404) throw error;
    return show(parent, { id, none: true }, () => [heading("Message", back()), h("p.empty", {}, error.message)]);
  }
  const cost = place.twin ? await twin("GET", `traces/${id}`).catch(() => null) : null;
  show(parent, { it, cost: cost?.cost }, ({ it, cost }) => one(it, cost, () => showOne(parent, id)));
}

const back = () => h("a", { href: "#/messages" }, "All messages");

function one(it, cost, again) {
  const { requestId, alert, acceptedAt, sendAt, expiresAt, cancelledAt, downgrades = [], recipients, states } = it;
  const cancel = async () => {
    if (
      !(await confirm(
        "Cancel this message? Steps that have not started do not start; what a device has shown stays.",
        "Cancel it",
      ))
    )
      return;
    await api("DELETE", `/v1/messages/${requestId}`);
    say("Cancelled.");
    await again();
  };
  const facts = [
    ["Id", h("code", {}, requestId)],
    ["Accepted", moment(acceptedAt)],
    sendAt && ["Sent at", moment(sendAt)],
    cancelledAt && ["Cancelled", moment(cancelledAt)],
    ["Expires", moment(expiresAt)],
    cost && ["Cost", cost],
    ...downgrades.map(({ field, detail }) => ["Note", `${field}: ${detail}`]),
  ].filter(Boolean);
  const canCancel =
    !cancelledAt && Object.keys(states).some((state) => !isSettled(state) || state === "fallback-delivered");
  const story = (recipient) =>
    h(
      "section.card",
      { "aria-label": recipient.alias },
      h("h2", {}, recipient.alias, " ", badge(recipient.state)),
      timeline(recipient.transitions, acceptedAt),
    );
  const hidden = recipients.slice(SHOWN);
  return [
    heading(
      "Message",
      back(),
      canCancel && action("Cancel the message", cancel, { class: "danger", "data-key": "cancel" }),
    ),
    alert && h("p.alert", {}, alert),
    h(
      "dl.facts",
      {},
      facts.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))),
    ),
    h("div.stories", {}, recipients.slice(0, SHOWN).map(story)),
    hidden.length > 0 &&
      h(
        "details",
        { "data-key": "rest" },
        h("summary", {}, `${count(hidden.length, "more recipient")}`),
        h("div.stories", {}, hidden.map(story)),
      ),
  ];
}

/** The events, oldest first, each with the time since the message was accepted. */
function timeline(transitions, since) {
  return h(
    "ol.timeline",
    {},
    transitions.map((it) => {
      const after = new Date(it.at) - new Date(since);
      return h(
        `li.at-${it.event}`,
        {},
        h("time", { datetime: it.at, title: moment(it.at) }, `${after < 0 ? "−" : "+"}${took(Math.abs(after))}`),
        h("span", { title: it.deviceId }, sentence(it)),
      );
    }),
  );
}
