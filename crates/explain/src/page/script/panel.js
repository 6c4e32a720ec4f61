// The panel of the current step: what is computed, by which rule, with which numbers.

const row = (label, html) => make("div", { class: "row" }, make("span", { class: "label" }, label), make("div", { class: "formula", html }));

const plain = (text) => math(`<mn>${text}</mn>`);

/** The numbers of a rule with its result: `(−0.018) · 0.0177 = −0.000318`. */
function withResult(rule, result) {
  return rule.numbers ? `${rule.numbers} <span class="equals">=</span> <b>${number(result)}</b>` : null;
}

const named = (id, index = "") => `<b>${escapeHtml(variables[id].name)}${index}</b>`;

/** What the symbols of a step stand for: x is conv1, y is relu. */
function legend(step) {
  const symbols = step.inputs.map((input) => `<i>${escapeHtml(input.symbol)}</i> is ${named(input.variable)}`);
  return [...symbols, `<i>y</i> is ${named(step.output)}`].join(", ");
}

/** The shapes of a rule, as a matrix identity. */
function shapesRow(rule, shape) {
  return rule.shapes ? row("shapes", `<span class="shapes">(${shape.join(", ")}) = ${escapeHtml(rule.shapes)}</span>`) : null;
}

const where = (step) => [step.layer && `layer ${step.layer}`, step.scope && `in ${step.scope}`, ...step.attributes.filter((text) => !text.includes("\n"))].filter(Boolean).join(" · ");

function forwardPanel(step) {
  const of = variables[step.output];
  const at = step.at ? indexText(ravel(step.at, of.shape), of.shape) : "";
  const result = of.value?.[step.at ? ravel(step.at, of.shape) : 0];
  return [
    make("h2", { html: `Forward: ${named(of.id)} <small>${escapeHtml(step.op)}</small>` }),
    row("rule", step.formula.symbols),
    row("where", legend(step)),
    shapesRow(step.formula, of.shape),
    step.formula.numbers && of.value ? row(`numbers${at && ` at ${at}`}`, withResult(step.formula, result)) : null,
    of.count > 1 && of.value ? heatMap({ values: of.value, shape: of.shape, label: `${of.name}: norm ${number(of.value_numbers.norm)}` }) : null,
    where(step) ? row("settings", escapeHtml(where(step))) : null,
    row("saved for the way back", escapeHtml(step.saved)),
  ];
}

function ravel(index, shape) {
  return index.reduce((flat, at, k) => flat * shape[k] + at, 0);
}

function seedPanel() {
  return [
    make("h2", { html: `Backward starts at the loss` }),
    row("rule", math(`${partial(lossId)}<mo>=</mo><mn>1</mn>`)),
    make("p", {}, "If the loss grows by a small amount, it grows by just that amount. Every other gradient is this 1, multiplied along the paths that lead back."),
  ];
}

function backwardPanel(step, edge, notation) {
  const of = variables[edge.from];
  const input = step.inputs[edge.input];
  const result = arriving(edge);
  const parts = [make("h2", { html: `Backward: from ${named(step.output)} to ${named(of.id)} <small>${escapeHtml(step.op)}</small>` })];
  const local = `<mfrac><mrow><mo>∂</mo><mtext>${escapeHtml(variables[step.output].name)}</mtext></mrow><mrow><mo>∂</mo><mtext>${escapeHtml(of.name)}</mtext></mrow></mfrac>`;
  const isScalar = of.count === 1 && variables[step.output].count === 1;
  if (notation === "index") {
    const chain = isScalar
      ? math(`${partial(of.id)}<mo>=</mo>${partial(step.output)}<mo>·</mo>${local}`)
      : math(`<mfrac><mrow><mo>∂</mo><mi>${escapeHtml(data.loss)}</mi></mrow><mrow><mo>∂</mo><msub><mi>x</mi><mi>i</mi></msub></mrow></mfrac><mo>=</mo><munder><mo>∑</mo><mi>j</mi></munder><mfrac><mrow><mo>∂</mo><mi>${escapeHtml(data.loss)}</mi></mrow><mrow><mo>∂</mo><msub><mi>y</mi><mi>j</mi></msub></mrow></mfrac><mo>·</mo><mfrac><mrow><mo>∂</mo><msub><mi>y</mi><mi>j</mi></msub></mrow><mrow><mo>∂</mo><msub><mi>x</mi><mi>i</mi></msub></mrow></mfrac>`);
    parts.push(row("chain rule", chain));
  } else {
    const shapes = `<mo>:</mo><mtext>&#xa0;${shapeText(of.shape)}</mtext>`;
    parts.push(row("chain rule", math(`<msub><mi>δ</mi><mtext>${escapeHtml(of.name)}</mtext></msub>${shapes}<mtext>&#xa0; from &#xa0;</mtext><msub><mi>δ</mi><mtext>${escapeHtml(variables[step.output].name)}</mtext></msub><mo>:</mo><mtext>&#xa0;${shapeText(variables[step.output].shape)}</mtext>`)));
  }
  if (input.rule) parts.push(row("rule", input.rule.symbols));
  parts.push(row("where", `<i>dy</i> is ${partialText(step.output)}, ${legend(step)}`));
  if (notation === "matrix" && input.rule) parts.push(shapesRow(input.rule, of.shape));
  if (isScalar) {
    const dy = variables[step.output].gradient[0];
    if (input.rule?.numbers) parts.push(row("numbers", withResult(input.rule, result[0])));
    else parts.push(row("numbers", `${plain(number(dy))} <span class="equals">→</span> <b>${number(result[0])}</b>`));
  } else {
    if (notation === "index") parts.push(exampleOf(edge));
    const name = notation === "index" ? partialText(of.id) : `δ of ${of.name}`;
    if (result) parts.push(heatMap({ values: result, shape: of.shape, label: `${name}: norm ${number(norm(result))}` }));
  }
  const uses = of.uses.length;
  if (uses > 1) parts.push(make("p", { class: "note" }, `${of.name} is used ${uses} times. This is one of ${uses} summands of its gradient.`));
  if (step.mark) parts.push(make("p", { class: "warning" }, step.mark));
  return parts;
}

const norm = (values) => Math.sqrt(values.reduce((sum, x) => sum + x * x, 0));

/** The terms of one element through one edge: `−0.2 · 0.5 + 0.1 · 3 = …`. */
function exampleOf(edge) {
  const i = largestElement(edge.from);
  if (i === null) return null;
  const { terms } = explainElement(edge.from, i);
  const through = terms.filter((term) => term.edge === edge);
  if (!through.length) return null;
  const listed = through.slice(0, 4).map((term) => `${factor(term.dy, 4)} · ${factor(term.local, 4)}`);
  const more = through.length > listed.length ? " + …" : "";
  const of = variables[edge.from];
  return row(`for ${of.name}${indexText(i, of.shape)}`, `${listed.join(" + ")}${more} <span class="equals">=</span> <b>${number(arriving(edge)?.[i] ?? gradientAt(of.id, i))}</b>`);
}

function sumPanel(id) {
  const of = variables[id];
  const i = of.count === 1 ? 0 : largestElement(id) ?? 0;
  if (of.uses.some((edge) => arriving(edge) === null)) return [make("h2", { html: `Sum: ${named(id)} is used ${of.uses.length} times` })];
  const index = of.count === 1 ? "" : indexText(i, of.shape);
  const parts = of.uses.map((edge) => factor(arriving(edge)[i]));
  const from = of.uses.map((edge) => named(edge.to)).join(" and ");
  return [
    make("h2", { html: `Sum: ${named(id)} is used ${of.uses.length} times` }),
    row("rule", math(`${partial(id)}<mo>=</mo><munder><mo>∑</mo><mtext>uses</mtext></munder><mtext>what arrives</mtext>`)),
    row("from", from),
    row(`numbers${index && ` at ${index}`}`, `${parts.join(" + ")} <span class="equals">=</span> <b>${number(of.gradient[i])}</b>`),
    make("p", { class: "note" }, "A change of this value reaches the loss on several ways. The effects add up."),
  ];
}

function overviewPanel() {
  const steps = sequence.length - 1;
  const points = [
    "Values flow from left to right. The number in the middle of a box is its value, or its shape.",
    `The number below, after ∂, is the gradient: how much ${data.loss} changes if this value grows. Of a tensor it is the norm, ‖…‖.`,
    "Blue boxes are parameters, dashed gray ones constants. A yellow ! marks a factor that makes gradients small.",
    `Press ⇤ and then → to go through all ${steps} steps: forward to the loss, then back to every parameter.`,
    "Click a box to see its formula, and all paths from it to the loss.",
    "Choose Predict to compute the numbers yourself, with hints.",
  ];
  return [make("h2", {}, "How to read this page"), make("ul", {}, ...points.map((text) => make("li", {}, text)))];
}

function stepPanel(position, notation) {
  const step = sequence[position];
  if (step.kind === "overview") return overviewPanel();
  if (step.kind === "forward") return forwardPanel(data.steps[step.step]);
  if (step.kind === "seed") return seedPanel();
  if (step.kind === "sum") return sumPanel(step.variable);
  return backwardPanel(data.steps[step.step], step.edge, notation);
}
