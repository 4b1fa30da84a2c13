// Announcements to everyone: a form to send one, and the list of those that are kept.

import { action, badge, choice, confirm, field, form, h, heading, pager, press, say, show, table } from "../dom.js";
import { area, clear, json, number, numeric, refuse, text } from "../forms.js";
import { PLATFORMS } from "../wire.js";
import { ago, moment } from "../words.js";
import { api } from "../service.js";

export default { id: "announcements", title: "Announcements", needs: ["appKey"], build };

/** Announcements on a page of the list. */
const PAGE = 20;

// Every field by its name in the request: label, control, hint.
const FIELDS = {
  alert: ["Text", () => area(2), "what is shown; required if there is no extra"],
  sender: ["Sender", text],
  category: ["Category", text],
  extra: ["Extra", () => area(2, { spellcheck: "false" }), "any JSON, for the app"],
  platform: ["Only devices of", () => choice([["", "default: ALL"], ...PLATFORMS])],
  ttl: ["Time to live, seconds", number, "72 h if empty"],
  tenantCode: ["Tenant", text],
};

function build() {
  const controls = {};
  const summary = h("p.wrong", { role: "alert" });
  const list = h("div");
  const pages = [];
  let tenant = "";

  const page = () => {
    const query = { limit: PAGE, ...(tenant && { tenantCode: tenant }), ...(pages.length && { before: pages.at(-1) }) };
    return `/v1/announcements?${new URLSearchParams(query)}`;
  };

  async function announce() {
    clear(Object.values(controls), summary);
    try {
      await api("POST", "/v1/announcements", request(controls));
    } catch (error) {
      return refuse(error, Object.values(controls), summary);
    }
    say("Announced.");
    // Another press would announce the same a second time.
    controls.alert.value = controls.extra.value = "";
    pages.length = 0;
    await refresh();
  }

  async function refresh() {
    const asked = page();
    const { announcements, next } = await api("GET", asked);
    // The user has chosen another page meanwhile.
    if (asked !== page()) return;
    // Ages are shown in seconds, so the list changes as time goes by.
    show(list, { announcements, next, tenant, asked, now: Math.floor(Date.now() / 5_000) }, () => [
      h("h2", {}, tenant ? `Kept for tenant ${tenant}` : "Kept"),
      table(
        "Announcements",
        ["Accepted", "Announcement", "Posts", "Expires", ""],
        announcements.map((it) => row(it, refresh)),
        pages.length || next ? "Nothing of this page is kept any more." : "Nothing is announced.",
        "announcements",
      ),
      pager(pages, next, refresh),
    ]);
  }

  const button = h("button.primary", { type: "submit" }, "Announce to everyone");
  const filled = form(
    "form.card",
    { "aria-label": "The announcement" },
    () => press(button, announce),
    h(
      "div.fields",
      {},
      Object.entries(FIELDS).map(([name, [label, control, hint]]) => {
        controls[name] = control();
        return field(name, label, controls[name], hint);
      }),
      button,
    ),
  );
  controls.tenantCode.onchange = () => {
    clear(Object.values(controls), summary);
    tenant = controls.tenantCode.value.trim();
    pages.length = 0;
    refresh().catch((error) => refuse(error, Object.values(controls), summary));
  };
  const hint =
    "An announcement is stored once for everyone: connected devices receive it at once, the others when they are " +
    "back, until it expires. Devices do not confirm it, and no SMS or email follows.";
  const node = h("div", {}, heading("Announcements"), h("p.hint", {}, hint), filled, summary, list);
  // The list comes from the service and not from the twin, so it costs requests.
  return { node, refresh, every: 5_000 };
}

/** The request: only what is given. Throws if `extra` is not JSON. */
function request(controls) {
  const body = {};
  for (const [name, control] of Object.entries(controls)) {
    const value = name === "alert" ? control.value : control.value.trim();
    if (value !== "") body[name] = name === "ttl" ? numeric(value) : name === "extra" ? json(name, value) : value;
  }
  return body;
}

function row({ requestId, acceptedAt, expiresAt, withdrawnAt, posts, ...announced }, again) {
  const { alert, sender, category, platform, extra } = announced;
  const about = [sender, category, platform !== "ALL" && `only ${platform}`].filter(Boolean).join(" · ");
  const withdraw = async () => {
    const question =
      "Withdraw this announcement? It stays where it has been shown; devices without it will not receive it.";
    if (!(await confirm(question, "Withdraw it"))) return;
    await api("DELETE", `/v1/announcements/${requestId}`);
    say("Withdrawn.");
    await again();
  };
  return [
    h("time", { datetime: acceptedAt, title: moment(acceptedAt) }, ago(acceptedAt)),
    [
      h("span.line.text", {}, alert ?? JSON.stringify(extra)),
      about && h("span.line.hint", {}, about),
      alert &&
        extra !== undefined &&
        h(
          "details",
          { "data-key": `extra ${requestId}` },
          h("summary.hint", {}, "extra"),
          h("pre", {}, JSON.stringify(extra, null, 2)),
        ),
    ],
    String(posts),
    h("time", { datetime: expiresAt, title: moment(expiresAt) }, ago(expiresAt)),
    withdrawnAt
      ? // Takes over the focus of the button that it replaces.
        h("span", { "data-key": requestId, tabindex: "-1", title: moment(withdrawnAt) }, badge("withdrawn"))
      : action("Withdraw", withdraw, { "data-key": requestId, "aria-label": `Withdraw ${alert ?? requestId}` }),
  ];
}
