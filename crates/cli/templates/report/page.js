// Elements, numbers, and the data of the page.

const data = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
const classes = data.config.data.classes;
/** What has a label: images or pixels. The classes of pixels are colors. */
const labeled = data.config.data.labeled;
/** The steps of the run: of one that ended early, those that it took. */
const totalSteps = Math.max(1, data.outcome?.step ?? data.config.steps);

/** An element with properties and children; text is never parsed as HTML. */
function make(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(properties)) {
    if (key === "style" || key === "dataset") Object.assign(node[key], value);
    else if (key.startsWith("aria-")) node.setAttribute(key, value);
    else node[key] = value;
  }
  node.append(...children);
  return node;
}

/** An element of SVG. */
function draw(tag, attributes = {}, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

/** A number with a few significant digits. */
function number(x, digits = 3) {
  if (x === null || x === undefined) return "not finite";
  if (x === 0) return "0";
  const size = Math.abs(x);
  const text = size >= 1e5 || size < 1e-3 ? String(Number(x.toPrecision(digits)).toExponential()) : String(Number(x.toPrecision(digits)));
  return text.replace("e+", "e").replace(/-/g, "−");
}
const percent = (x) => (x === null || x === undefined ? "" : `${(100 * x).toFixed(1)} %`);
/** A count with thin spaces between thousands. */
const count = (n) => String(n).replace(/\B(?=(\d{3})+(?!\d))/g, "\u202f");

function duration(seconds) {
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  const minutes = Math.floor(seconds / 60);
  return minutes < 60 ? `${minutes} min ${Math.round(seconds % 60)} s` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** The color of the k-th of n layers: from blue for the first to orange for the last. */
const layerColor = (k, n) => `hsl(${215 + (n > 1 ? (175 * k) / (n - 1) : 0)} 68% var(--lightness))`;

/** The step of the slider is the position of a measurement; other parts of the page are told when it moves. */
const position = {
  steps: data.probes.length ? data.probes.map((probe) => probe.step) : data.steps.map((row) => row.step),
  at: 0,
  listeners: [],
  get step() {
    return this.steps[this.at] ?? 0;
  },
  get probe() {
    return data.probes[this.at];
  },
  move(at) {
    this.at = Math.max(0, Math.min(at, this.steps.length - 1));
    for (const listener of this.listeners) listener();
  },
  /** Moves to the measurement that is nearest to a step. */
  moveTo(step) {
    const distance = (at) => Math.abs(this.steps[at] - step);
    this.move(this.steps.reduce((best, _, at) => (distance(at) < distance(best) ? at : best), 0));
  },
};
