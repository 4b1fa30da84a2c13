// Building and showing elements. Data becomes text nodes and attributes only; nothing here parses HTML.

/**
 * An element: `h("button.primary", {onclick: send}, "Send")`. Functions and booleans are properties, others attributes.
 */
export function h(tag, props = {}, ...children) {
  const [name, ...classes] = tag.split(".");
  return fill(document.createElement(name), classes, props, children);
}

/** The same for SVG. */
export function svg(tag, props = {}, ...children) {
  const [name, ...classes] = tag.split(".");
  return fill(document.createElementNS("http://www.w3.org/2000/svg", name), classes, props, children);
}

function fill(node, classes, props, children) {
  if (classes.length) node.classList.add(...classes);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null) continue;
    if (typeof value === "function" || typeof value === "boolean") node[name] = value;
    else node.setAttribute(name, value);
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/**
 * Renders data again only if it has changed. The focus stays on the element with the same `data-key`, and open details
 * stay open.
 */
export function show(parent, data, render) {
  const text = JSON.stringify(data);
  if (parent.shown === text) return;
  parent.shown = text;
  const focused = parent.contains(document.activeElement) && document.activeElement.dataset.key;
  const open = new Set([...parent.querySelectorAll("details[open][data-key]")].map((details) => details.dataset.key));
  parent.replaceChildren(...[render(data)].flat(Infinity).filter(Boolean));
  for (const details of parent.querySelectorAll("details[data-key]")) details.open ||= open.has(details.dataset.key);
  if (focused) parent.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
}

/** Shows a status message for a while; screen readers read it aloud. */
export function say(text) {
  const said = document.getElementById("said");
  said.textContent = text;
  clearTimeout(say.timer);
  say.timer = setTimeout(() => said.replaceChildren(), 6_000);
}

/**
 * Carries out the work of a button, once at a time, and shows its error. The button is not disabled, because it would
 * lose the focus.
 */
export async function press(button, work) {
  if (button.ariaBusy) return;
  button.ariaBusy = "true";
  try {
    await work();
  } catch (error) {
    say(error.message);
  } finally {
    button.ariaBusy = null;
  }
}

/** A button that does something: `action("Redrive", work)`. */
export function action(text, work, props = {}) {
  return h("button", { type: "button", ...props, onclick: (event) => press(event.currentTarget, work) }, text);
}

/** Asks before an action that cannot be undone. Escape and the second button cancel it. */
export function confirm(question, yes) {
  return new Promise((resolve) => {
    const answered = () => {
      dialog.remove();
      resolve(dialog.returnValue === "yes");
    };
    const dialog = h(
      "dialog",
      { "aria-labelledby": "question", onclose: answered },
      h("p", { id: "question" }, question),
      h(
        "div.buttons",
        {},
        h("button.danger", { type: "button", onclick: () => dialog.close("yes") }, yes),
        h("button", { type: "button", onclick: () => dialog.close("no") }, "Leave it"),
      ),
    );
    document.body.append(dialog);
    dialog.showModal();
  });
}

/** A state as a badge: its colour adds nothing to its text. */
export function badge(state, text = state) {
  return h(`span.badge.is-${state}`, {}, text);
}

/** A labelled field. `control` gets its id, its hint and room for its error. */
export function field(name, label, control, hint) {
  const id = `${field.count++}-${name}`;
  control.id = id;
  control.name = name;
  const wrong = h("span.wrong", { id: `${id}-wrong`, hidden: true });
  control.setAttribute("aria-describedby", hint ? `${id}-wrong ${id}-hint` : `${id}-wrong`);
  return h(
    "div.field",
    { "data-field": name },
    h("label", { for: id }, label),
    control,
    wrong,
    hint && h("span.hint", { id: `${id}-hint` }, hint),
  );
}
field.count = 1;

/** Shows the error of a field; without a text, removes it. */
export function complain(control, text) {
  const wrong = document.getElementById(`${control.id}-wrong`);
  wrong.textContent = text ?? "";
  wrong.hidden = !text;
  if (text) control.setAttribute("aria-invalid", "true");
  else control.removeAttribute("aria-invalid");
}

/** A form that does its work in this page. The service validates it, not the browser. */
export function form(tag, props, work, ...children) {
  const onsubmit = (event) => {
    event.preventDefault();
    work();
  };
  return h(tag, { noValidate: true, onsubmit, ...props }, ...children);
}

/** The buttons between the pages of a list. `places` are the starts of the pages so far, `next` that of the next. */
export function pager(places, next, refresh) {
  const back = () => {
    places.pop();
    return refresh();
  };
  const on = () => {
    places.push(next);
    return refresh();
  };
  return h(
    "div.buttons",
    {},
    places.length > 0 && action("Back", back, { "data-key": "back" }),
    next && action("More", on, { "data-key": "more" }),
  );
}

/** A `<select>` of texts, or of `[value, text]`. */
export function choice(options, value = "") {
  const option = (it) => (Array.isArray(it) ? it : [it, it]);
  return h(
    "select",
    {},
    options.map(option).map(([of, text]) => h("option", { value: of, selected: of === value }, text)),
  );
}

/** A table that narrow screens show as cards: each cell has its column's name beside it. `kind` is its CSS class. */
export function table(label, columns, rows, empty, kind = "plain") {
  if (!rows.length) return h("p.empty", {}, empty);
  const cell = (content, column) => h("td", { "data-label": columns[column] }, h("div", {}, content));
  return h(
    `table.${kind}`,
    { "aria-label": label },
    h(
      "thead",
      {},
      h(
        "tr",
        {},
        columns.map((column) => h("th", { scope: "col" }, column)),
      ),
    ),
    h(
      "tbody",
      {},
      rows.map((cells) => h("tr", {}, cells.map(cell))),
    ),
  );
}

/** A panel's heading, with the elements beside it. */
export function heading(text, ...beside) {
  return h("div.heading", {}, h("h1", {}, text), h("div.beside", {}, beside));
}
