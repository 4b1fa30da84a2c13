// How a user wants to be notified. `#/preferences/alice/acme` shows the preferences of alice, of the tenant acme.

import { choice, field, form, h, heading, say } from "../dom.js";
import { clear, refuse, segment, text } from "../forms.js";
import { CHANNELS } from "../wire.js";
import { api } from "../service.js";

export default { id: "preferences", title: "Preferences", needs: ["appKey"], build };

const mute = () =>
  choice([
    ["", "no"],
    ["true", "yes"],
  ]);
const welcome = (otherwise) =>
  choice([
    ["", otherwise],
    ["true", "welcome"],
    ["false", "not wanted"],
  ]);

function build() {
  const alias = text({ required: true, "data-named": "alias" });
  const tenant = text({ "data-named": "tenantCode" });
  const summary = h("p.wrong", { role: "alert" });
  const shown = h("div");
  const user = () => {
    const query = tenant.value ? `?tenantCode=${encodeURIComponent(tenant.value)}` : "";
    return `/v1/users/${segment("alias", alias.value)}/preferences${query}`;
  };

  async function look() {
    clear([alias, tenant], summary);
    try {
      shown.replaceChildren(editor(await api("GET", user()), user, summary));
    } catch (error) {
      shown.replaceChildren();
      refuse(error, [alias, tenant], summary);
    }
  }

  const asked = form(
    "form.card",
    {},
    look,
    h("div.fields", {}, field("alias", "User", alias), field("tenantCode", "Tenant", tenant, "if there is one")),
    h("div.buttons", {}, h("button", { type: "submit" }, "Show")),
  );
  const refresh = async (to) => {
    if (!to || to === refresh.to) return;
    refresh.to = to;
    const [name, of = ""] = to.split("/").map(decodeURIComponent);
    alias.value = name;
    tenant.value = of;
    await look();
  };
  const hint = "They hold for every step of a fallback chain when it is due, and not for the socket.";
  const node = h("div", {}, heading("Preferences"), h("p.hint", {}, hint), asked, summary, shown);
  return { node, refresh, every: 3_600_000 };
}

/** The form of one user's preferences. */
function editor(preferences, user, summary) {
  const controls = {};
  const named = (name, control) => {
    control.dataset.named = name;
    controls[name] = control;
    return control;
  };
  const switches = (path, { muted, channels = {} }, otherwise) => [
    field(`${path}muted`, "Muted", set(named(`${path}muted`, mute()), muted)),
    Object.keys(CHANNELS).map((channel) => {
      const control = named(`${path}channels.${channel}`, welcome(otherwise));
      return field(`${path}${channel}`, channel, set(control, channels[channel]));
    }),
  ];
  const group = (title, fields) => h("details.card", { open: true }, h("summary", {}, h("h2", {}, title)), fields);
  const fields = (...of) => h("div.fields", {}, of);

  const categories = h("div");
  const ofCategory = new Map();
  const addCategory = (name, of = {}) => {
    if (!name || ofCategory.has(name)) return;
    const path = `categories.${name}.`;
    const remove = () => {
      ofCategory.delete(name);
      part.remove();
      for (const known of Object.keys(controls)) if (known.startsWith(path)) delete controls[known];
    };
    const button = h("button", { type: "button", onclick: remove }, `Remove ${name}`);
    const part = group(`Category ${name}`, [fields(switches(path, of, "as above")), h("div.buttons", {}, button)]);
    ofCategory.set(name, path);
    categories.append(part);
  };

  const { quietHours = {} } = preferences;
  const quiet = {
    "quietHours.from": ["From", text({ placeholder: "22:00" }), quietHours.from, "HH:MM, by the clock on the wall"],
    "quietHours.to": ["Until before", text({ placeholder: "07:00" }), quietHours.to],
    "quietHours.except": ["But for categories", text(), quietHours.except?.join(", "), "separated by commas"],
    timeZone: ["Time zone", text({ placeholder: "Asia/Shanghai" }), preferences.timeZone, "else the device's"],
    language: ["Language", text({ placeholder: "zh-CN" }), preferences.language],
  };
  const newCategory = text();
  const add = () => {
    addCategory(newCategory.value.trim());
    newCategory.value = "";
  };

  async function save() {
    clear(Object.values(controls), summary);
    try {
      await api("PUT", user(), wanted(controls, ofCategory));
      say("They hold from now on.");
    } catch (error) {
      refuse(error, Object.values(controls), summary);
    }
  }

  const node = form(
    "form",
    { "aria-label": "What holds for this user" },
    save,
    group("Everything", fields(switches("", preferences, "welcome"))),
    categories,
    h(
      "div.card",
      {},
      field("category", "Another category", newCategory),
      h("div.buttons", {}, h("button", { type: "button", onclick: add }, "Add it")),
    ),
    group(
      "Quiet hours",
      fields(
        Object.entries(quiet).map(([name, [label, control, value, hint]]) => {
          control.value = value ?? "";
          return field(name, label, named(name, control), hint);
        }),
      ),
    ),
    h("div.buttons", {}, h("button.primary", { type: "submit" }, "Save")),
  );
  for (const [name, of] of Object.entries(preferences.categories ?? {})) addCategory(name, of);
  return node;
}

function set(control, value) {
  control.value = value === undefined ? "" : String(value);
  return control;
}

/** The preferences in the controls; empty ones are left out. */
function wanted(controls, ofCategory) {
  const value = (name) => controls[name].value.trim();
  const switches = (path) => {
    const channels = Object.keys(CHANNELS)
      .map((channel) => [channel, value(`${path}channels.${channel}`)])
      .filter(([, it]) => it);
    return {
      muted: value(`${path}muted`) === "true" || undefined,
      channels: channels.length ? Object.fromEntries(channels.map(([name, it]) => [name, it === "true"])) : undefined,
    };
  };
  const categories = [...ofCategory].map(([name, path]) => [name, switches(path)]);
  const except = value("quietHours.except")
    .split(",")
    .map((name) => name.trim())
    .filter(Boolean);
  const quietHours = {
    from: value("quietHours.from") || undefined,
    to: value("quietHours.to") || undefined,
    except: except.length ? except : undefined,
  };
  return {
    ...switches(""),
    categories: categories.length ? Object.fromEntries(categories) : undefined,
    quietHours: Object.values(quietHours).some(Boolean) ? quietHours : undefined,
    timeZone: value("timeZone") || undefined,
    language: value("language") || undefined,
  };
}
