// Numbers: decoding, printing, indices.

const BYTES = { f32: Float32Array, f64: Float64Array, u32: Uint32Array };

/** A list of numbers of the data: plain, or the base64 of its bytes. */
function decode(array) {
  if (array === null || Array.isArray(array)) return array;
  const text = atob(array.base64);
  const bytes = Uint8Array.from(text, (c) => c.charCodeAt(0));
  return new BYTES[array.kind](bytes.buffer);
}

/** Six significant digits without zeros at the end, as the program prints them; with a true minus sign. */
function number(x, digits = 6) {
  if (x === null || Number.isNaN(x)) return "NaN";
  if (!Number.isFinite(x)) return x > 0 ? "∞" : "−∞";
  if (x === 0) return "0";
  const [mantissa, exponent] = x.toExponential(digits - 1).split("e");
  const trimmed = (text) => (text.includes(".") ? text.replace(/\.?0+$/, "") : text);
  const text = exponent >= -5 && exponent < 6 ? trimmed(x.toFixed(Math.max(0, digits - 1 - exponent))) : null;
  return (text ?? `${trimmed(mantissa)}e${Number(exponent)}`).replace("-", "−").replace("e-", "e−");
}

/** A number as a factor or a summand: in parentheses if it is negative. */
const factor = (x, digits) => (x < 0 ? `(${number(x, digits)})` : number(x, digits));

const count = (shape) => shape.reduce((product, length) => product * length, 1);

function unravel(i, shape) {
  const index = new Array(shape.length);
  for (let k = shape.length - 1; k >= 0; k--) {
    index[k] = i % shape[k];
    i = Math.floor(i / shape[k]);
  }
  return index;
}

const indexText = (i, shape) => (shape.length ? `[${unravel(i, shape).join(",")}]` : "");

const shapeText = (shape) => (shape.length ? shape.join(" × ") : "scalar");

const escapeHtml = (text) => text.replace(/[&<>"]/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[c]);

/** Creates an element of HTML, or of SVG for names in the namespace. */
function make(tag, attributes = {}, ...children) {
  const svg = ["svg", "g", "path", "rect", "text", "circle", "title", "defs", "marker"].includes(tag);
  const node = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "html") node.innerHTML = value;
    else if (value !== undefined && value !== null && value !== false) node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}
