// The parts of the console. A program that extends the twin replaces this file, and adds the panels that it names.

import { h } from "./dom.js";
import faults from "./panels/faults.js";
import { outbox } from "./panels/outbox.js";
import { overview } from "./panels/overview.js";
import queues from "./panels/queues.js";
import sources from "./panels/sources.js";
import traces from "./panels/traces.js";

/** The panels, in the order of their links. */
export const PANELS = [overview(), outbox(), queues, sources, faults, traces];

/** Further style sheets, after `style.css`. */
export const STYLES = [];

/** Documents that are served beside the page. */
export const DOCUMENTS = [];

/** The page if no twin serves it. */
export function connect(main) {
  main.replaceChildren(h("p.empty", {}, "No twin serves this page."));
}
