// The messages that people were sent beside the socket, as they would look to them.

import { twin, twinUrl } from "../api.js";
import { h, heading, show } from "../dom.js";
import { clock, moment } from "../words.js";

/** The most items shown, the newest ones. */
const SHOWN = 100;
/** The most items of each kind that are shown unfolded. */
const OPEN = 10;

/** The renderers and the columns of the twin's own channels. Those of extensions are shown as pushes. */
const OWN = {
  sms: [text, "SMS"],
  topic: [text, "SMS"],
  email: [email, "email"],
};

/**
 * The panel. `channels` has the display names of the extensions' channels, `about` describes the panel, and `when` is
 * shown while it is empty; `pushes` has for each channel a function that finds the text of a push in its body.
 */
export const outbox = ({
  channels = {},
  about = "What was sent to people, newest first.",
  when = "",
  pushes = {},
} = {}) => ({
  id: "outbox",
  title: "Outbox",
  needs: ["twin"],
  build: () => build({ channels, about, when, texts: pushes }),
});

function build(names) {
  const [pushes, texts, emails] = [0, 1, 2].map(() => h("div", { "aria-live": "polite" }));
  let all = [];
  async function refresh() {
    const news = await twin("GET", `outbox?after=${all[0]?.number ?? 0}&limit=${SHOWN}`);
    all = [...news.reverse(), ...all].slice(0, SHOWN);
    const shownAs = ({ channel }) => OWN[channel] ?? [(item) => push(item, names), "push"];
    const column = (node, name) => {
      const items = all.filter((item) => shownAs(item)[1] === name);
      const render = (item) => shownAs(item)[0](item);
      show(node, items, (shown) => (shown.length ? folded(shown, render) : none(name, names.when)));
    };
    column(pushes, "push");
    column(texts, "SMS");
    column(emails, "email");
  }
  return {
    node: h(
      "div",
      {},
      heading("Outbox"),
      h("p.hint", {}, names.about),
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

/** The newest items, and the rest folded, so that it does not push away the content below. */
function folded(items, render) {
  const rest = items.slice(OPEN);
  return [
    items.slice(0, OPEN).map(render),
    rest.length > 0 && h("details", { "data-key": "rest" }, h("summary", {}, `${rest.length} older`), rest.map(render)),
  ];
}

const none = (what, when) => h("p.empty", {}, `No ${what} went out yet. ${when}`.trim());

function text({ to, text, sentAt, channel }) {
  return h(
    "article.sms",
    { "aria-label": `SMS to ${to.join(", ")}` },
    h("p.hint", {}, channel === "topic" ? "Topic " : "SMS to ", h("strong", {}, to.join(", "))),
    h("p.bubble", {}, text),
    when(sentAt),
  );
}

function push({ number, channel, to, subject, text, headers = {}, sentAt }, { channels, texts }) {
  const name = channels[channel] ?? channel;
  const fields = Object.entries(headers);
  const sent = parsed(text);
  const found = sent && texts[channel]?.(sent);
  const shown = typeof found === "string" ? found : undefined;
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

/** The body of a push, if it can be read: that of a Web Push is encrypted. */
function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
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
 * The frame exists only while it is open, so that many emails are not as many pages.
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
