// Forms: their controls, the values of these, and the errors beside them.

import { complain, h } from "./dom.js";

export const text = (props) => h("input", { type: "text", autocomplete: "off", ...props });
export const number = () => text({ inputmode: "numeric" });
export const area = (rows, props) => h("textarea", { rows, ...props });

/** A text that looks like a number as one; an empty text as `undefined`; any other as it is. */
export const numeric = (value) => (value === "" ? undefined : /^-?\d+(\.\d+)?$/.test(value) ? Number(value) : value);

/** The JSON of a field. If it is invalid, the page refuses it as the service would. */
export function json(name, value) {
  try {
    return JSON.parse(value);
  } catch (error) {
    throw wrong(name, `is not JSON: ${error.message}`);
  }
}

/**
 * A name as a segment of a path. The page refuses a name that paths cannot carry, which would address another resource
 * or none.
 */
export function segment(name, value) {
  if (/[/?%]/.test(value) || value === "." || value === "..") {
    throw wrong(name, "must not be `.` or `..`, nor have `/`, `?` or `%`: paths do not carry such a name");
  }
  return encodeURIComponent(value);
}

/** An error of the page itself, in the form of the service's. */
function wrong(field, detail) {
  return Object.assign(new Error(`${field} ${detail}`), { errors: [{ field, detail }] });
}

/** Removes all errors. */
export function clear(controls, summary) {
  for (const control of controls) complain(control, null);
  summary.textContent = "";
}

/** Shows each problem at its control, found by `data-named` or `name`, and the rest in the summary. */
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
