// What forms have in common: their controls, what these say, and where it is said what is wrong with them.

import { complain, h } from "./dom.js";

export const text = (props) => h("input", { type: "text", autocomplete: "off", ...props });
export const number = () => text({ inputmode: "numeric" });
export const area = (rows, props) => h("textarea", { rows, ...props });

/** What looks like a number as one; nothing as nothing; the rest as it is. */
export const numeric = (value) => (value === "" ? undefined : /^-?\d+(\.\d+)?$/.test(value) ? Number(value) : value);

/** What a field says in JSON. Where it is none, the page refuses it as the service would. */
export function json(name, value) {
  try {
    return JSON.parse(value);
  } catch (error) {
    throw wrong(name, `is not JSON: ${error.message}`);
  }
}

/** A name as a part of a path. One that paths do not carry would be that of another, or of none: the page refuses it. */
export function segment(name, value) {
  if (/[/?%]/.test(value) || value === "." || value === "..") {
    throw wrong(name, "must not be `.` or `..`, nor have `/`, `?` or `%`: paths do not carry such a name");
  }
  return encodeURIComponent(value);
}

/** What the page itself refuses, as the service would. */
function wrong(field, detail) {
  return Object.assign(new Error(`${field} ${detail}`), { errors: [{ field, detail }] });
}

/** Nothing is wrong any more. */
export function clear(controls, summary) {
  for (const control of controls) complain(control, null);
  summary.textContent = "";
}

/** Says what is wrong at the control that it is about, by its `data-named` or `name`; and the rest in the summary. */
export function refuse(error, controls, summary) {
  const homeless = [];
  for (const { field, detail } of error.errors ?? []) {
    const named = ({ dataset, name }) => dataset.named ?? name;
    const control = controls.find((it) => named(it) === field || field.startsWith(`${named(it)}[`));
    if (control) complain(control, detail);
    else homeless.push(`${field} ${detail}`);
  }
  const first = controls.find((control) => control.getAttribute("aria-invalid"));
  summary.textContent = [first ? null : error.message, ...homeless].filter(Boolean).join("; ");
  first?.focus();
}
