// The explanation as the page uses it: variables, edges, the sequence of steps, the terms of elements.

const data = JSON.parse(document.getElementById("data").textContent);

const variables = data.variables.map((variable, id) => ({
  ...variable,
  id,
  count: count(variable.shape),
  value: decode(variable.value),
  gradient: decode(variable.gradient),
  // The elements of large tensors are not in the file.
  hasGradient: variable.gradient_numbers !== null,
  uses: [],
}));
const lossId = variables.length - 1;

const edges = [];
data.steps.forEach((step, s) => {
  step.inputs.forEach((input, k) => {
    const edge = { id: edges.length, step: s, input: k, from: input.variable, to: step.output, bends: data.bends[edges.length] };
    const passes = variables[edge.from].hasGradient && variables[edge.to].hasGradient;
    edge.passes = passes && (data.locals ? data.locals[s][k] !== null : variables[edge.from].kind !== "constant");
    edges.push(edge);
    if (edge.passes) variables[edge.from].uses.push(edge);
  });
});
const edgeOf = (step, input) => edges.find((edge) => edge.step === step && edge.input === input);

/** The gradient that a rule returned for an input. */
function arriving(edge) {
  return decode(data.steps[edge.step].inputs[edge.input].gradient) ?? variables[edge.from].gradient;
}

/** The steps of the page: the forward pass, the loss, the backward walk with its sums. */
const sequence = [];
for (let s = data.steps.length - 1; s >= 0; s--) sequence.push({ kind: "forward", step: s });
sequence.push({ kind: "seed" });
{
  const arrived = new Map();
  data.steps.forEach((step, s) => {
    step.inputs.forEach((input, k) => {
      const edge = edgeOf(s, k);
      if (!edge.passes) return;
      sequence.push({ kind: "backward", step: s, edge });
      arrived.set(edge.from, (arrived.get(edge.from) ?? 0) + 1);
      const uses = variables[edge.from].uses.length;
      if (uses > 1 && arrived.get(edge.from) === uses) sequence.push({ kind: "sum", variable: edge.from });
    });
  });
}

sequence.push({ kind: "overview" });

const isScalarGraph = variables.every((variable) => variable.count === 1);

/** `∂L/∂w[0,1]` as MathML, or with δ in matrix notation. */
function partial(id, index = "") {
  const of = variables[id];
  const name = `<mrow><mo>∂</mo><mtext>${escapeHtml(of.name)}${index}</mtext></mrow>`;
  return `<mfrac><mrow><mo>∂</mo><mi>${escapeHtml(data.loss)}</mi></mrow>${name}</mfrac>`;
}
const math = (inner, display = false) => `<math${display ? ' display="block"' : ""}><mrow>${inner}</mrow></math>`;
const partialText = (id, index = "") => `∂${data.loss}/∂${variables[id].name}${index}`;

// The local derivatives of a small graph, by step and input and then by element: [[j, d, [variable, element] that d is], …].
const columns = new Map();
function column(step, input, i) {
  const key = `${step}:${input}`;
  if (!columns.has(key)) {
    const found = data.locals[step][input];
    const [is, js, ds] = [decode(found.i), decode(found.j), decode(found.d)];
    const source = found.source ? decode(found.source) : [];
    const other = found.source ? data.steps[step].inputs[found.other].variable : null;
    const byElement = new Map();
    is.forEach((at, n) => {
      if (!byElement.has(at)) byElement.set(at, []);
      byElement.get(at).push([js[n], ds[n], source[n] ? [other, source[n] - 1] : null]);
    });
    columns.set(key, byElement);
  }
  return columns.get(key).get(i) ?? [];
}

/** Whether the terms of an element are in this file. */
const isExplained = (id, i) => variables[id].hasGradient && (Boolean(data.locals) || `${id}:${i}` in data.elements);

/** The terms of an element: { terms: [{ edge, j, dy, local, factor, product }], rest, blocked, reach }. */
function explainElement(id, i) {
  const of = variables[id];
  const term = (edge, j, dy, local, factor) => ({ edge, j, dy, local, factor, product: dy * local });
  if (data.locals) {
    const terms = [];
    const blocked = [];
    for (const edge of of.uses) {
      const found = column(edge.step, edge.input, i);
      if (!found.length) blocked.push(edge);
      for (const [j, local, factor] of found) terms.push(term(edge, j, variables[edge.to].gradient[j], local, factor));
    }
    terms.sort((a, b) => Math.abs(b.product) - Math.abs(a.product));
    const reach = terms.map(({ edge, j, local }) => ({ edge, j, local }));
    const listed = terms.length > 13 ? terms.slice(0, 12) : terms;
    const others = terms.slice(listed.length);
    const rest = { count: others.length, sum: others.reduce((sum, other) => sum + other.product, 0) };
    return { terms: listed, rest, blocked, reach };
  }
  const found = data.elements[`${id}:${i}`];
  if (!found) return null;
  const terms = found.terms.map(([step, input, j, dy, local, factor]) => term(edgeOf(step, input), j, dy, local, factor));
  const blocked = found.blocked.map(([step, input]) => edgeOf(step, input));
  let reach = terms.map(({ edge, j, local }) => ({ edge, j, local }));
  if (found.reach) {
    const [steps, js, ds] = [decode(found.reach.step), decode(found.reach.j), decode(found.reach.d)];
    const edgeFrom = (step) => of.uses.find((edge) => edge.step === step);
    reach = Array.from(js, (j, n) => ({ edge: edgeFrom(steps[n]), j, local: ds[n] }));
  }
  return { terms, rest: found.rest, blocked, reach };
}

/** The edges on all paths from a variable to the loss. */
function pathsToLoss(id) {
  const found = new Set();
  const seen = new Set();
  const stack = [id];
  while (stack.length) {
    const at = stack.pop();
    if (seen.has(at)) continue;
    seen.add(at);
    for (const edge of variables[at].uses) {
      found.add(edge.id);
      stack.push(edge.to);
    }
  }
  return found;
}

/** All paths from a variable to the loss, each a list of edges; null if there are more than `limit`. */
function listPaths(id, limit = 24) {
  const found = [];
  const walk = (at, path) => {
    if (found.length > limit) return;
    if (at === lossId) found.push(path);
    for (const edge of variables[at].uses) walk(edge.to, [...path, edge]);
  };
  walk(id, []);
  return found.length > limit ? null : found;
}

/** The element whose gradient is largest, among those that are explained. */
function largestElement(id) {
  const candidates = data.locals ? variables[id].gradient.keys() : explainedElements(id);
  let best = null;
  for (const i of candidates) if (best === null || Math.abs(gradientAt(id, i)) > Math.abs(gradientAt(id, best))) best = i;
  return best;
}

/** The elements of a variable that a large page explains. */
function explainedElements(id) {
  const keys = Object.keys(data.elements).filter((key) => key.startsWith(`${id}:`));
  return keys.map((key) => Number(key.split(":")[1]));
}

/** An element of a gradient, NaN if it is not in this file. */
const gradientAt = (id, i) => variables[id].gradient?.[i] ?? data.elements?.[`${id}:${i}`]?.gradient ?? NaN;
