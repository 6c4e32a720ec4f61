// Line charts over the steps of the run.

const charts = [];
const MARGIN = { left: 58, right: 10, top: 8, bottom: 24 };

/** Round numbers in a range, about `wanted` of them. */
function ticks(low, high, wanted) {
  const raw = (high - low) / wanted || 1;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((k) => k * power).find((size) => size >= raw * 0.999);
  const found = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9 * step; k++) found.push(Number((k * step).toPrecision(12)));
  return found;
}

/** Ticks in a range of logarithms: powers of ten, at most about six; in a small range also 2 and 5 times these, or more. */
function logarithms(low, high) {
  if (high - low < 0.9) return ticks(10 ** low, 10 ** high, 4).filter((x) => x > 0).map(Math.log10);
  const by = Math.max(1, Math.ceil((high - low) / 6));
  const between = high - low < 2.5 ? [1, 2, 5] : [1];
  const found = [];
  for (let k = Math.floor(low); k <= high; k += by) found.push(...between.map((x) => k + Math.log10(x)));
  return found.filter((x) => x >= low && x <= high);
}

/** The last point of a series at or before a step. */
function valueAt(points, step) {
  let found;
  for (const [x, y] of points) {
    if (x > step) break;
    if (y !== null && y !== undefined) found = y;
  }
  return found;
}

/**
 * A chart in a figure: `title`, `how` to read it (a list of strings; every second is bold), `series` of { name, color, points
 * [step, y], dashed, width }, `log` for a logarithmic axis, `format` of numbers, `usual` a range to shade, `legend` false if
 * another part of the page has it.
 */
function chart(id, options) {
  const figure = $(id);
  const how = options.how.map((text, k) => (k % 2 ? make("b", {}, text) : text));
  const svg = draw("svg", { class: "chart", role: "img", "aria-label": options.title });
  const legend = make("div", { className: "legend" });
  figure.append(make("figcaption", {}, make("b", {}, options.title), make("p", {}, ...how)), svg, legend);
  const transform = options.log ? (y) => (y > 0 ? Math.log10(y) : null) : (y) => y;
  const one = { options, svg, legend, transform, selected: null };
  svg.addEventListener("pointerdown", (event) => follow(one, event));
  svg.addEventListener("pointermove", (event) => event.buttons && follow(one, event));
  charts.push(one);
  return one;
}

function follow({ svg }, event) {
  const box = svg.getBoundingClientRect();
  const share = (event.clientX - box.left - MARGIN.left) / (box.width - MARGIN.left - MARGIN.right);
  position.moveTo(share * totalSteps);
}

/** The range of the vertical axis. */
function range({ options, transform }) {
  let [low, high] = [Infinity, -Infinity];
  for (const { points } of options.series) {
    for (const [, y] of points) {
      const value = y === null || y === undefined ? null : transform(y);
      if (value === null) continue;
      low = Math.min(low, value);
      high = Math.max(high, value);
    }
  }
  if (low > high) return [0, 1];
  for (const value of options.include ?? []) [low, high] = [Math.min(low, transform(value)), Math.max(high, transform(value))];
  const room = (high - low) * 0.04 || (options.log ? 0.5 : Math.abs(high) * 0.1 || 1);
  // A share does not exceed 1, and what is never negative needs no axis below 0.
  return [low >= 0 && !options.log ? Math.max(0, low - room) : low - room, options.share ? Math.min(1, high + room) : high + room];
}

function drawChart(one) {
  const { options, svg, transform } = one;
  const [width, height] = [svg.clientWidth, svg.clientHeight];
  if (!width) return;
  const [low, high] = range(one);
  const x = (step) => MARGIN.left + (step / totalSteps) * (width - MARGIN.left - MARGIN.right);
  const y = (value) => MARGIN.top + ((high - value) / (high - low || 1)) * (height - MARGIN.top - MARGIN.bottom);
  const parts = [];
  if (options.usual) {
    const [from, to] = options.usual.map((value) => Math.max(low, Math.min(high, transform(value))));
    parts.push(draw("rect", { class: "usual", x: MARGIN.left, y: y(to), width: width - MARGIN.left - MARGIN.right, height: Math.max(0, y(from) - y(to)) }));
  }
  for (const tick of options.log ? logarithms(low, high) : ticks(low, high, 5)) {
    const text = (options.format ?? number)(options.log ? 10 ** tick : tick, 3);
    parts.push(draw("line", { class: "grid-line", x1: MARGIN.left, x2: width - MARGIN.right, y1: y(tick), y2: y(tick) }));
    parts.push(draw("text", { class: "axis", x: MARGIN.left - 6, y: y(tick) + 4, "text-anchor": "end" }, text));
  }
  for (const tick of ticks(0, totalSteps, width / 90)) {
    parts.push(draw("text", { class: "axis", x: x(tick), y: height - 6, "text-anchor": tick === 0 ? "start" : x(tick) > width - 30 ? "end" : "middle" }, tick === 0 ? "step 0" : count(tick)));
  }
  for (const [k, { color, points, dashed, width: stroke, dots }] of options.series.entries()) {
    let path = "";
    for (const [step, value] of points) {
      const at = value === null || value === undefined ? null : transform(value);
      // A gap where a number is missing or not finite.
      path += at === null ? " " : `${path === "" || path.endsWith(" ") ? "M" : "L"}${x(step).toFixed(1)},${y(at).toFixed(1)}`;
    }
    const emphasis = one.selected === null ? "" : one.selected === k ? " strong" : " dim";
    const line = draw("path", { class: `series${emphasis}`, d: path.trim(), stroke: color });
    line.style.stroke = color;
    if (dashed) line.setAttribute("stroke-dasharray", "5 4");
    if (stroke) line.style.strokeWidth = stroke;
    parts.push(line);
    if (dots) for (const [step, value] of points) if (value !== null) {
      const dot = draw("circle", { cx: x(step), cy: y(transform(value)), r: 3.2 });
      dot.style.fill = color;
      parts.push(dot);
    }
  }
  one.cursor = draw("line", { class: "cursor", y1: MARGIN.top, y2: height - MARGIN.bottom });
  one.x = x;
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.replaceChildren(...parts, one.cursor);
  moveCursor(one);
}

function moveCursor(one) {
  if (!one.cursor) return;
  const x = one.x(position.step);
  one.cursor.setAttribute("x1", x);
  one.cursor.setAttribute("x2", x);
  const { series, format = number, legend } = one.options;
  if (legend === false) return;
  one.legend.replaceChildren(...series.map(({ name, color, points }) => {
    const value = valueAt(points, position.step);
    return make("span", {}, make("i", { style: { background: color } }), name, make("b", {}, value === undefined ? "" : format(value, 4)));
  }));
}
