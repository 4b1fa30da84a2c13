// Charts, each a figure with its numbers in words: the caption is for those who cannot see it.

import { h, svg } from "./dom.js";

function figure(title, caption, drawing, ...more) {
  return h("figure.chart", {}, h("h2", {}, title), drawing, more, h("figcaption", {}, caption));
}

/** Width of a drawing in units of which a text is ten high: fewer if the screen is narrow. */
const width = () => (matchMedia("(max-width: 600px)").matches ? 330 : 520);

/** Room for the labels of the axis. */
const AXIS = 46;

/** A round number at or above the largest one. */
function ceiling(largest) {
  const power = 10 ** Math.floor(Math.log10(Math.max(largest, 1)));
  return [1, 2, 5, 10].map((step) => step * power).find((top) => top >= largest);
}

/** Bars over time. `ends` are the texts at both ends of the axis. */
export function bars(title, values, ends, caption) {
  const top = ceiling(Math.max(...values, 1));
  const step = (width() - AXIS) / values.length;
  const bar = (value, place) => {
    const height = value ? Math.max((100 * value) / top, 2) : 0;
    return svg("rect.bar", { x: AXIS + place * step, y: 110 - height, width: Math.max(step - 0.7, 1), height });
  };
  const lines = [
    [10, String(top)],
    [60, top % 2 ? "" : String(top / 2)],
    [110, "0"],
  ];
  return figure(title, caption, drawing(lines, ends, values.map(bar)));
}

const DECADES = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000, 1_000_000_000];

/** A decade of milliseconds: `100 ms`, `10 s`. */
const decade = (millis) => (millis < 1_000 ? `${millis} ms` : `${(millis / 1_000).toLocaleString()} s`);

/**
 * Dots over time, on a logarithmic scale of milliseconds. In a series, `{name, values}`, a `null` leaves a gap.
 */
export function dots(title, series, caption) {
  const all = series.flatMap(({ values }) => values).filter((value) => value !== null);
  const low = Math.floor(Math.log10(Math.max(Math.min(...all, 10), 1)));
  const high = Math.max(Math.ceil(Math.log10(Math.max(...all, 10) + 1)), low + 1);
  const y = (value) => 110 - (100 * (Math.log10(Math.max(value, 1)) - low)) / (high - low);
  const many = Math.max(...series.map(({ values }) => values.length), 1);
  const dot = (value, place, kind) =>
    value !== null &&
    svg(`circle.series-${kind}`, { cx: AXIS + ((width() - AXIS) * (place + 0.5)) / many, cy: y(value), r: 2.6 });
  const lines = DECADES.slice(low, high + 1).map((value) => [y(value), decade(value)]);
  const marks = series.map(({ values }, kind) => values.map((value, place) => dot(value, place, kind)));
  return figure(
    title,
    caption,
    drawing(lines, ["older", "newer"], marks),
    h(
      "ul.legend",
      { "aria-hidden": "true" },
      series.map(({ name }, kind) => h(`li.series-${kind}`, {}, name)),
    ),
  );
}

/** Marks over lines, `[y, text]`, with a text at each end below. */
function drawing(lines, ends, marks) {
  const right = width();
  return svg(
    "svg",
    { viewBox: `0 0 ${right} 130`, "aria-hidden": "true" },
    lines.map(([y, text]) => [
      svg("line", { x1: AXIS, x2: right, y1: y, y2: y }),
      svg("text.end", { x: AXIS - 5, y: y + 3.5 }, text),
    ]),
    marks,
    svg("text", { x: AXIS, y: 126 }, ends[0]),
    svg("text.end", { x: right, y: 126 }, ends[1]),
  );
}

/** Parts of a whole, side by side. `parts` are `[state, number]`. */
export function parts(title, parts, caption) {
  const whole = parts.reduce((sum, [, number]) => sum + number, 0);
  let x = 0;
  const part = ([state, number]) => {
    const share = (520 * number) / whole;
    x += share;
    return svg(`rect.is-${state}`, { x: x - share, y: 0, width: Math.max(share - 1, 1), height: 26 });
  };
  return figure(
    title,
    caption,
    svg(
      "svg.parts",
      { viewBox: "0 0 520 26", preserveAspectRatio: "none", "aria-hidden": "true" },
      whole ? parts.map(part) : svg("rect.none", { width: 520, height: 26 }),
    ),
    h(
      "ul.legend",
      {},
      parts.map(([state, number]) => h(`li.is-${state}`, {}, `${state} ${number.toLocaleString()}`)),
    ),
  );
}
