// What people were sent around the socket, as it would look to them.

import { twin } from "../api.js";
import { h, heading, show } from "../dom.js";
import { clock, moment } from "../words.js";

/** How many of the newest are shown. */
const SHOWN = 100;
/** How many of each kind without asking for more. */
const OPEN = 10;

export default { id: "outbox", title: "Outbox", needs: ["twin"], build };

function build() {
  const texts = h("div", { "aria-live": "polite" });
  const emails = h("div", { "aria-live": "polite" });
  let all = [];
  async function refresh() {
    const news = await twin("GET", `outbox?after=${all[0]?.number ?? 0}&limit=${SHOWN}`);
    all = [...news.reverse(), ...all].slice(0, SHOWN);
    const [mail, rest] = [true, false].map((isMail) => all.filter(({ channel }) => (channel === "email") === isMail));
    show(texts, rest, (shown) => (shown.length ? folded(shown, text) : none("SMS")));
    show(emails, mail, (shown) => (shown.length ? folded(shown, email) : none("email")));
  }
  return {
    node: h(
      "div",
      {},
      heading("Outbox"),
      h("p.hint", {}, "What went out around the socket, newest first."),
      h("div.outbox", {}, h("section", {}, h("h2", {}, "SMS"), texts), h("section", {}, h("h2", {}, "Email"), emails)),
    ),
    refresh,
    every: 1_500,
  };
}

/** The newest; the rest is there for whoever wants it, and does not push away what comes below. */
function folded(items, render) {
  const rest = items.slice(OPEN);
  return [
    items.slice(0, OPEN).map(render),
    rest.length > 0 && h("details", { "data-key": "rest" }, h("summary", {}, `${rest.length} older`), rest.map(render)),
  ];
}

const none = (what) =>
  h("p.empty", {}, `No ${what} went out yet. It does where a message has a fallback step and nobody confirms it.`);

function text({ to, text, sentAt, channel }) {
  return h(
    "article.sms",
    { "aria-label": `SMS to ${to.join(", ")}` },
    h("p.hint", {}, channel === "topic" ? "Topic " : "SMS to ", h("strong", {}, to.join(", "))),
    h("p.bubble", {}, text),
    when(sentAt),
  );
}

function email({ from, to, subject, text, html, headers = {}, sentAt }) {
  const unsubscribe = headers["List-Unsubscribe"]?.replace(/^<(.+)>$/, "$1");
  return h(
    "article.email",
    { "aria-label": `Email to ${to.join(", ")}` },
    h(
      "dl",
      {},
      [
        ["From", from],
        ["To", to.join(", ")],
        ["Subject", subject],
      ].map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value ?? "–"))),
    ),
    h("p.body", {}, text ?? ""),
    // As it was written: what it would look like is not worth letting strange HTML into the page.
    html && h("details", {}, h("summary", {}, "HTML"), h("pre", {}, html)),
    unsubscribe && h("p.hint", {}, h("a", { href: unsubscribe, target: "_blank", rel: "noreferrer" }, "Unsubscribe")),
    when(sentAt),
  );
}

const when = (at) => h("time.hint", { datetime: new Date(at).toISOString(), title: moment(at) }, clock(at));
