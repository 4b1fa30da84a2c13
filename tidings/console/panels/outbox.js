// What people were sent around the socket, as it would look to them.

import { twin, twinUrl } from "../api.js";
import { h, heading, show } from "../dom.js";
import { CHANNELS } from "../wire.js";
import { clock, moment } from "../words.js";

/** How many of the newest are shown. */
const SHOWN = 100;
/** How many of each kind without asking for more. */
const OPEN = 10;

/** The channels that are shown as pushes: all but those with a column of their own. */
const isPush = (channel) => channel in CHANNELS && channel !== "sms" && channel !== "email";

export default { id: "outbox", title: "Outbox", needs: ["twin"], build };

function build() {
  const [pushes, texts, emails] = [0, 1, 2].map(() => h("div", { "aria-live": "polite" }));
  let all = [];
  async function refresh() {
    const news = await twin("GET", `outbox?after=${all[0]?.number ?? 0}&limit=${SHOWN}`);
    all = [...news.reverse(), ...all].slice(0, SHOWN);
    const column = (node, its, render, what) => {
      const items = all.filter(({ channel }) => its(channel));
      show(node, items, (shown) => (shown.length ? folded(shown, render) : none(what)));
    };
    column(pushes, isPush, push, "push");
    column(texts, (channel) => channel === "sms" || channel === "topic", text, "SMS");
    column(emails, (channel) => channel === "email", email, "email");
  }
  return {
    node: h(
      "div",
      {},
      heading("Outbox"),
      h("p.hint", {}, "What went out around the socket, newest first."),
      h(
        "div.outbox",
        {},
        [
          ["Push", pushes],
          ["SMS", texts],
          ["Email", emails],
        ].map(([title, items]) => h("section", {}, h("h2", {}, title), items)),
      ),
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

function push({ number, channel, to, subject, text, headers = {}, sentAt }) {
  const name = CHANNELS[channel];
  const fields = Object.entries(headers);
  const sent = parsed(text);
  const shown = sent && words(channel, sent);
  return h(
    "article.push",
    { "aria-label": `${name} to ${to.join(", ")}` },
    h("p.hint", {}, `${name} to `, h("strong", {}, to.join(", "))),
    h(
      "div.bubble",
      {},
      subject && h("p", {}, h("strong", {}, subject)),
      shown && h("p", {}, shown),
      !subject &&
        !shown &&
        h("p.hint", {}, sent ? "Nothing to show: for the app alone." : "Encrypted for the browser."),
    ),
    h(
      "details",
      { "data-key": `push-${number}` },
      h("summary", {}, "As it was sent"),
      fields.length > 0 &&
        h(
          "dl",
          {},
          fields.map(([header, value]) => h("div", {}, h("dt", {}, header), h("dd", {}, value))),
        ),
      h("pre", {}, sent ? JSON.stringify(sent, null, 2) : text),
    ),
    when(sentAt),
  );
}

/** The body of a push, where it can be read: that of a Web Push is encrypted. */
function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** What a push says below its title, which each provider has elsewhere. */
function words(channel, sent) {
  const said = {
    apns: sent.aps?.alert?.body ?? sent.aps?.alert,
    fcm: sent.notification?.body ?? sent.android?.notification?.body,
    mipush: sent.description ?? sent["aps_proper_fields.body"],
    webhook: sent.data?.body,
  };
  return typeof said[channel] === "string" ? said[channel] : undefined;
}

function email({ number, from, to, subject, text, html, headers = {}, sentAt }) {
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
    html && page(number, subject),
    html && h("details", { "data-key": `html-${number}` }, h("summary", {}, "HTML"), h("pre", {}, html)),
    unsubscribe && h("p.hint", {}, h("a", { href: unsubscribe, target: "_blank", rel: "noreferrer" }, "Unsubscribe")),
    when(sentAt),
  );
}

/**
 * An email's HTML as its reader sees it, in a frame that may not run, load or open anything; the twin forbids it, too.
 * It is there only while it is looked at: many emails are not as many pages.
 */
function page(number, subject) {
  const ontoggle = ({ currentTarget: details }) => {
    details.querySelector("iframe")?.remove();
    if (details.open) details.append(h("iframe", { sandbox: "", title: `Email: ${subject ?? "no subject"}`, src }));
  };
  const src = twinUrl(`outbox/${number}/page`);
  return h("details", { "data-key": `page-${number}`, ontoggle }, h("summary", {}, "As its reader sees it"));
}

const when = (at) => h("time.hint", { datetime: new Date(at).toISOString(), title: moment(at) }, clock(at));
