// The page around the panels: its address, the choice of the panel, light or dark. Start here.

import { configure, forget, place } from "./api.js";
import { h } from "./dom.js";
import { DOCUMENTS, PANELS, STYLES, connect } from "./console.js";
import { ID, TITLE } from "./settings.js";

// A panel is `{id, title, needs, build}`. `needs` lists the fields that `place` must have: "twin", or one of an
// extension. `build()` returns `{node, refresh, every}`: the element; the function that updates it, with the rest of
// the address ("1" at `#/messages/1`); and how often, in milliseconds.

const main = document.getElementById("main");
const trouble = document.getElementById("trouble");
const built = new Map();
let current = null;

document.head.append(...STYLES.map((href) => h("link", { rel: "stylesheet", href })));
document.getElementById("name").textContent = TITLE;
if (await configure()) start();
else connect(main, start);

function start() {
  const panels = PANELS.filter(({ needs }) => needs.every((need) => place[need]));
  const links = panels.map(({ id, title }) => h("a", { href: `#/${id}`, "data-panel": id }, title));
  // The twin serves them beside the page; another host may not.
  const documents = place.twin ? DOCUMENTS : [];
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
    // After a link, a screen reader continues in the panel.
    main.focus();
  });
  document.addEventListener("visibilitychange", () => document.hidden || refresh());
  main.replaceChildren();
  route();
}

/** Shows a panel. It is built once, and keeps its state while others are shown. */
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
  // On a narrow screen the names are in a row that is longer than the screen.
  document.querySelector("nav a[aria-current]").scrollIntoView({ block: "nearest", inline: "center" });
  document.title = `${panel.title} – ${TITLE} console`;
  current = { ...built.get(panel.id), rest };
  refresh();
}

/** Updates the visible panel, now and then at its interval; never a hidden one. */
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
  // A screen reader reads an alert each time it is set.
  const text = problem?.message ?? "";
  if (trouble.textContent !== text) trouble.textContent = text;
  trouble.hidden = !problem;
  clearTimeout(refresh.timer);
  refresh.timer = setTimeout(refresh, shown.every ?? 2_000);
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
  localStorage.setItem(`${ID}-theme`, next);
  paint(next);
};
paint(THEMES.find((name) => name === localStorage.getItem(`${ID}-theme`)) ?? "auto");

// A link to `#main` would be taken for the name of a panel.
document.getElementById("skip").onclick = () => main.focus();
