// Users with their devices and connections, from the service's tables.

import { place, twin } from "../api.js";
import { action, badge, confirm, form, h, heading, pager, say, show, table } from "../dom.js";
import { ago, count, moment, short } from "../words.js";
import { api } from "../service.js";

/** Users on a page. */
const PAGE = 25;

export default { id: "devices", title: "Devices", needs: ["appKey"], build };

function build() {
  return place.twin ? everyone() : byId();
}

function everyone() {
  const users = h("div");
  const pages = [];
  async function refresh() {
    const after = pages.at(-1);
    const page = await twin("GET", `devices?limit=${PAGE}${after ? `&after=${encodeURIComponent(after)}` : ""}`);
    // Leases and ages are shown in seconds, so the list changes as time goes by.
    show(users, { page, now: Math.floor(Date.now() / 5_000) }, () => [
      page.users.length
        ? page.users.map((user) => card(user, refresh))
        : h("p.empty", {}, "No device is registered. ", h("a", { href: "#/demo" }, "Open a demo device")),
      pager(pages, page.next, refresh),
    ]);
  }
  return { node: h("div", {}, heading("Devices"), users), refresh, every: 2_000 };
}

function card({ appId, tenantCode, alias, profile = {}, head, devices }, again) {
  // Another tenant may have the same alias, so the tenant is part of the name.
  const user = [alias, ...(tenantCode ? [tenantCode] : [])].map(encodeURIComponent).join("/");
  const who = tenantCode ? `${alias} of tenant ${tenantCode}` : alias;
  const about = [
    profile.mobile,
    profile.email,
    profile.locale,
    profile.timeZone,
    profile.tag,
    tenantCode && `tenant ${tenantCode}`,
    appId !== place.appId && `app ${appId}`,
    head ? `mailbox at ${head.seq}` : "mailbox empty",
  ].filter(Boolean);
  return h(
    "section.card.user",
    { "aria-label": who },
    h(
      "div.heading",
      {},
      h("h2", {}, alias),
      h(
        "div.beside",
        {},
        h("a", { href: `#/preferences/${user}`, "aria-label": `Preferences of ${who}` }, "Preferences"),
        h("a", { href: `#/send/${user}`, "aria-label": `Send to ${who}` }, "Send"),
      ),
    ),
    h("p.hint", {}, about.join(" · ")),
    table(
      `Devices of ${who}`,
      ["Device", "Platform", "Registered", "Cursor", "Connections", ""],
      devices.map((device) => [
        h("code", { title: device.id }, short(device.id)),
        [device.platform, device.clientVersion].filter(Boolean).join(" "),
        h("span", { title: moment(device.registeredAt) }, ago(device.registeredAt)),
        device.cursor ? String(device.cursor.seq) : "–",
        device.connections.length
          ? device.connections.map(({ id, connectedAt, leaseUntil }) =>
              h(
                "span.line",
                { title: id },
                badge("connected"),
                ` ${ago(connectedAt)}`,
                h("span.hint", {}, ` lease ends ${ago(leaseUntil)}`),
              ),
            )
          : badge("away"),
        appId === place.appId &&
          action("Forget", () => remove(device.id, again), {
            "data-key": device.id,
            "aria-label": `Forget ${device.id}`,
          }),
      ]),
      "No devices.",
    ),
  );
}

async function remove(id, again) {
  if (
    !(await confirm(
      "Forget this device? It receives nothing more, and its keys open no connection ever again.",
      "Forget it",
    ))
  )
    return;
  await api("DELETE", `/v1/devices/${encodeURIComponent(id)}`);
  say("Forgotten.");
  await again();
}

/** Without a twin there is no list of devices; one is found by its id. */
function byId() {
  const found = h("div", { "aria-live": "polite" });
  const id = h("input", { type: "search", "aria-label": "Device id", placeholder: "Device id", autocomplete: "off" });
  const look = async () => {
    const answer = await api("GET", `/v1/devices/${encodeURIComponent(id.value.trim())}`).catch((error) => ({
      error: error.message,
    }));
    show(found, answer, ({ error, alias, connections, ...device }) =>
      error
        ? h("p.empty", {}, error)
        : h(
            "section.card",
            {},
            h("h2", {}, alias),
            device.tenantCode && h("p.hint", {}, `tenant ${device.tenantCode}`),
            h(
              "p",
              {},
              `${device.platform}, registered ${moment(device.registeredAt)}, ${count(connections, "connection")}`,
            ),
            action("Forget", () => remove(device.id, look)),
          ),
    );
  };
  const search = form("form.buttons", { role: "search" }, look, id, h("button", { type: "submit" }, "Look up"));
  return { node: h("div", {}, heading("Devices"), search, found) };
}
