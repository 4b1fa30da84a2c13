// The page around the panels: where it is, which panel is shown, light or dark. Start here.

import { api, configure, forget, place, remember } from "./api.js";
import { complain, field, form, h, heading } from "./dom.js";
import announcements from "./panels/announcements.js";
import demo from "./panels/demo.js";
import devices from "./panels/devices.js";
import faults from "./panels/faults.js";
import items from "./panels/items.js";
import messages from "./panels/messages.js";
import outbox from "./panels/outbox.js";
import overview from "./panels/overview.js";
import preferences from "./panels/preferences.js";
import queues from "./panels/queues.js";
import send from "./panels/send.js";
import sources from "./panels/sources.js";
import traces from "./panels/traces.js";

// A panel is `{id, title, needs, build}`. `needs` is what has to be there for it: "app" (an app's key), "twin" or both.
// `build()` gives `{node, refresh, every}`: what is shown; what asks again, with the rest of the address ("1" at
// `#/messages/1`); and how often, in milliseconds.
const PANELS = [
  overview,
  demo,
  send,
  messages,
  announcements,
  items,
  devices,
  preferences,
  outbox,
  queues,
  sources,
  faults,
  traces,
];

const main = document.getElementById("main");
const trouble = document.getElementById("trouble");
const built = new Map();
let current = null;

if (await configure()) start();
else connect();

function start() {
  const panels = PANELS.filter(({ needs }) => needs.every((need) => (need === "twin" ? place.twin : place.appKey)));
  const links = panels.map(({ id, title }) => h("a", { href: `#/${id}`, "data-panel": id }, title));
  // The twin has them beside the page; another host may not.
  const documents = place.twin ? ["openapi.yaml", "asyncapi.yaml"] : [];
  const named = documents.map((name) => h("a.document", { href: name, target: "_blank" }, name));
  document.querySelector("nav").replaceChildren(...links, ...named);
  document.getElementById("where").textContent = place.twin ? "local twin" : new URL(place.apiUrl).host;
  const leave = document.getElementById("leave");
  leave.hidden = Boolean(place.twin);
  leave.onclick = () => {
    forget();
    location.reload();
  };
  const route = () => {
    const [id, ...rest] = location.hash.replace(/^#\/?/, "").split("/");
    open(panels.find((panel) => panel.id === id) ?? panels[0], rest.join("/"));
  };
  addEventListener("hashchange", () => {
    route();
    // Whoever follows a link goes on reading where it leads.
    main.focus();
  });
  document.addEventListener("visibilitychange", () => document.hidden || refresh());
  main.replaceChildren();
  route();
}

/** Shows a panel; it is built once, and keeps what it has while others are shown. */
function open(panel, rest) {
  if (!built.has(panel.id)) {
    const it = panel.build();
    built.set(panel.id, it);
    main.append(
      h(
        "section",
        { "aria-label": panel.title, "data-panel": panel.id },
        it.node,
        it.refresh && h("p.loading", {}, "Asking…"),
      ),
    );
  }
  for (const section of main.children) section.hidden = section.dataset.panel !== panel.id;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.dataset.panel === panel.id) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  // On a narrow screen the names stand in a row that is longer than the screen.
  document.querySelector("nav a[aria-current]").scrollIntoView({ block: "nearest", inline: "center" });
  document.title = `${panel.title} – Tidings console`;
  current = { ...built.get(panel.id), rest };
  refresh();
}

/** Asks again for what is shown, now and then as often as the panel wants; never for what nobody sees. */
async function refresh() {
  clearTimeout(refresh.timer);
  const shown = current;
  if (!shown?.refresh || document.hidden) return;
  let problem = null;
  try {
    await shown.refresh(shown.rest);
    shown.node.parentElement.querySelector(":scope > .loading")?.remove();
  } catch (error) {
    problem = error;
  }
  if (shown !== current) return;
  // An alert that is set again is read again.
  const text = problem?.message ?? "";
  if (trouble.textContent !== text) trouble.textContent = text;
  trouble.hidden = !problem;
  clearTimeout(refresh.timer);
  refresh.timer = setTimeout(refresh, shown.every ?? 2_000);
}

/** Without a twin: asks which deployment is meant. */
function connect() {
  const fields = {
    apiUrl: h("input", {
      type: "url",
      required: true,
      placeholder: "https://….execute-api.eu-central-1.amazonaws.com",
    }),
    socketUrl: h("input", {
      type: "url",
      required: true,
      placeholder: "wss://….execute-api.eu-central-1.amazonaws.com/prod",
    }),
    appKey: h("input", { type: "password", required: true, autocomplete: "off", placeholder: "td_…" }),
  };
  const labels = { apiUrl: "HTTP API", socketUrl: "WebSocket API", appKey: "App key" };
  const submit = async () => {
    const told = {
      apiUrl: fields.apiUrl.value.replace(/\/+$/, ""),
      socketUrl: fields.socketUrl.value,
      appKey: fields.appKey.value,
    };
    told.appId = /^td_(.+)\.[^.]+$/.exec(told.appKey)?.[1];
    complain(fields.appKey, told.appId ? null : "is not td_<app>.<43 characters>");
    if (!told.appId) return fields.appKey.focus();
    Object.assign(place, told);
    // A message that does not exist: only who has a key of the app is told so.
    const refused = await api("GET", "/v1/messages/00000000-0000-0000-0000-000000000000").catch((error) => error);
    complain(fields.apiUrl, refused.status ? null : "does not answer, or does not let this page in");
    complain(fields.appKey, refused.status === 401 ? "is not a key of an app there" : null);
    if (refused.status !== 404) return asked.querySelector("[aria-invalid]")?.focus();
    remember(told);
    start();
  };
  const asked = form(
    "form.card.narrow",
    {},
    submit,
    Object.entries(fields).map(([name, input]) => field(name, labels[name], input)),
    h("button.primary", { type: "submit" }, "Connect"),
    h("p.hint", {}, "They stay in this tab and go nowhere else. An app key may send to everyone in the app."),
  );
  main.replaceChildren(heading("Which deployment?"), asked);
}

// -- Light and dark ---------------------------------------------------------------------------------------------------

const theme = document.getElementById("theme");
const THEMES = ["auto", "light", "dark"];

function paint(name) {
  document.documentElement.dataset.theme = name;
  theme.textContent = `Theme: ${name}`;
}

theme.onclick = () => {
  const next = THEMES[(THEMES.indexOf(document.documentElement.dataset.theme) + 1) % THEMES.length];
  localStorage.setItem("tidings-console-theme", next);
  paint(next);
};
paint(THEMES.find((name) => name === localStorage.getItem("tidings-console-theme")) ?? "auto");

// A link would be taken for the name of a panel.
document.getElementById("skip").onclick = () => main.focus();
