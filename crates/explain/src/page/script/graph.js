// The graph: nodes with values and gradients, edges, and what is lit.

const NODE = { width: 116, height: 66 };
// Between numbers there is room for a local derivative.
const COLUMN = NODE.width + (isScalarGraph ? 58 : 32);
const ROW = 92;
const MARGIN = 26;

/** Short signs for operations of numbers. */
const SIGNS = {
  add: "+", sub: "−", mul: "×", div: "÷", square: "x²", sqrt: "√x", exp: "eˣ", log: "ln x", sigmoid: "σ", abs: "|x|",
};

/** What the operation of a node is called on it. */
function operationLabel(variable) {
  if (variable.step === null) return variable.kind === "parameter" ? "parameter" : variable.id === lossId ? "" : "constant";
  const step = data.steps[variable.step];
  const numbered = { "multiply by number": "×", "add number": "+", "subtract from number": "−", "divide number by": "÷", "divide by number": "÷" }[step.op];
  if (numbered && step.attributes[0]) {
    const value = step.attributes[0].split(" = ")[1];
    if (step.op === "divide by number") return `÷ ${value}`;
    return { "×": `× ${value}`, "+": `+ ${value}`, "−": `${value} − x`, "÷": `${value} ÷ x` }[numbered];
  }
  return SIGNS[step.op] ?? step.op;
}

const isUnnamed = (variable) => variable.step !== null && new RegExp(`^${data.steps[variable.step].op}( \\d+)?$`).test(variable.name);

const graph = (() => {
  const columnsUsed = Math.max(...variables.map((v) => v.at[0])) + 1;
  const rowsUsed = Math.max(...variables.map((v) => v.at[1]), ...edges.flatMap((e) => e.bends.map((b) => b[1]))) + 1;
  const width = 2 * MARGIN + columnsUsed * COLUMN - (COLUMN - NODE.width);
  const height = 2 * MARGIN + rowsUsed * ROW - (ROW - NODE.height);
  const x = (column) => MARGIN + column * COLUMN;
  const y = (row) => MARGIN + row * ROW;

  const svg = make("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "group", "aria-label": "The graph", style: `min-width:${0.8 * width}px` });
  const nodes = [];
  const lines = [];

  for (const edge of edges) {
    const from = variables[edge.from].at;
    const to = variables[edge.to].at;
    const points = [
      [x(from[0]) + NODE.width, y(from[1]) + NODE.height / 2],
      ...edge.bends.flatMap(([column, row]) => [[x(column), y(row) + NODE.height / 2], [x(column) + NODE.width, y(row) + NODE.height / 2]]),
      [x(to[0]), y(to[1]) + NODE.height / 2],
    ];
    let path = `M${points[0]}`;
    for (let i = 1; i < points.length; i++) {
      const [[x0, y0], [x1, y1]] = [points[i - 1], points[i]];
      const bend = (x1 - x0) / 2;
      path += y0 === y1 ? `L${x1},${y1}` : `C${x0 + bend},${y0} ${x1 - bend},${y1} ${x1},${y1}`;
    }
    const line = make("path", { d: path, class: "edge", "data-edge": edge.id });
    const [[x0, y0], [x1, y1]] = points;
    const label = make("text", { x: (x0 + x1) / 2, y: (y0 + y1) / 2 - 5, class: "local", "text-anchor": "middle" });
    svg.append(line);
    lines.push({ line, label });
  }
  for (const variable of variables) {
    const [left, top] = [x(variable.at[0]), y(variable.at[1])];
    const operation = operationLabel(variable);
    const name = isUnnamed(variable) ? operation : variable.name;
    const short = name.length > 16 ? `${name.slice(0, 15)}…` : name;
    const group = make("g", {
      class: `node ${variable.kind}${variable.id === lossId ? " loss" : ""}`,
      transform: `translate(${left},${top})`,
      tabindex: 0,
      role: "button",
      "aria-label": `${variable.name}, ${operation}`,
      "data-variable": variable.id,
    });
    const value = make("text", { x: NODE.width / 2, y: 37, class: "value" });
    const gradient = make("text", { x: NODE.width / 2, y: 55, class: "gradient" });
    const mark = variable.step !== null && data.steps[variable.step].mark;
    group.append(
      make("rect", { width: NODE.width, height: NODE.height, rx: 8 }),
      make("text", { x: NODE.width / 2, y: 18, class: "name" }, short),
      value,
      gradient,
    );
    if (!isUnnamed(variable) && variable.step !== null) {
      group.append(make("text", { x: NODE.width / 2, y: -6, class: "operation" }, operation));
    }
    const title = make("title");
    const marks = mark ? [make("circle", { cx: NODE.width - 2, cy: 2, r: 9, class: "mark" }), make("text", { x: NODE.width - 2, y: 6, class: "mark" }, "!")] : [];
    group.append(...marks, title);
    svg.append(group);
    nodes.push({ group, value, gradient, title, marks, mark });
  }
  lines.forEach(({ label }) => svg.append(label));
  const frame = document.getElementById("graph");
  frame.append(svg);

  const show = (variable, shape) => (variable.count === 1 ? number(variable.value[0], 5) : shape);

  return {
    nodes,
    /** Draws the state of a step: what is known, the active edge and node, lit paths, the selected node. */
    draw(state, position) {
      const known = knownAt(position);
      const step = sequence[position];
      const lit = state.selected === null ? new Set() : pathsToLoss(state.selected);
      const active = new Set();
      if (step.kind === "backward") active.add(step.edge.id);
      if (step.kind === "forward") edges.filter((e) => e.step === step.step).forEach((e) => active.add(e.id));
      if (step.kind === "sum") variables[step.variable].uses.forEach((e) => active.add(e.id));
      const focus = { forward: data.steps[step.step]?.output, seed: lossId, backward: step.edge?.from, sum: step.variable }[step.kind];
      edges.forEach((edge, i) => {
        const { line, label } = lines[i];
        line.classList.toggle("active", active.has(i));
        line.classList.toggle("backwards", active.has(i) && step.kind !== "forward");
        line.classList.toggle("lit", lit.has(i));
        line.classList.toggle("future", !known.values.has(edge.to));
        const isShown = known.edges.has(i) && data.locals && variables[edge.from].count === 1 && variables[edge.to].count === 1;
        const local = isShown && (active.has(i) || lit.has(i)) && column(edge.step, edge.input, 0)[0];
        label.textContent = isShown && (active.has(i) || lit.has(i)) ? `×${factor(local ? local[1] : 0, 3)}` : "";
      });
      variables.forEach((variable, i) => {
        const { group, value, gradient, title, marks, mark } = nodes[i];
        // In predict mode a mark would give a factor away.
        const isMarked = mark && (state.mode !== "predict" || isPassed(variable.step, known));
        marks.forEach((part) => part.classList.toggle("hidden", !isMarked));
        title.textContent = isMarked ? `${variable.name}: ${mark}` : variable.name;
        const shape = variable.shape.join("×");
        value.textContent = known.values.has(i) ? show(variable, shape) : "?";
        const sign = state.notation === "matrix" ? "δ" : "∂";
        const isKnown = known.gradients.has(i);
        gradient.textContent = isKnown ? `${sign} ${variable.count === 1 ? number(variable.gradient[0], 5) : `‖${number(variable.gradient_numbers.norm, 3)}‖`}` : "";
        group.classList.toggle("focus", i === focus);
        group.classList.toggle("selected", i === state.selected);
        group.classList.toggle("on-path", state.selected !== null && (i === state.selected || variable.uses.length > 0 || i === lossId) && isOnPath(i, lit, state.selected));
      });
      if (focus !== undefined) reveal(frame, x(variables[focus].at[0]), y(variables[focus].at[1]));
    },
  };

  function isOnPath(i, lit, selected) {
    return i === selected || edges.some((edge) => lit.has(edge.id) && edge.to === i);
  }
})();

/** Scrolls so that a node is visible. */
function reveal(frame, left, top) {
  const scale = frame.querySelector("svg").getBoundingClientRect().width / frame.querySelector("svg").viewBox.baseVal.width;
  const [from, to] = [left * scale - 24, (left + NODE.width) * scale + 24];
  if (from < frame.scrollLeft || to > frame.scrollLeft + frame.clientWidth) frame.scrollLeft = (from + to - frame.clientWidth) / 2;
  const [high, low] = [top * scale - 24, (top + NODE.height) * scale + 24];
  if (high < frame.scrollTop || low > frame.scrollTop + frame.clientHeight) frame.scrollTop = (high + low - frame.clientHeight) / 2;
}

/** Whether the walk has passed an operation. */
const isPassed = (step, known) => edges.every((edge) => edge.step !== step || !edge.passes || known.edges.has(edge.id));

/** The values, gradients and edges that the steps up to a position have computed. */
function knownAt(position) {
  const values = new Set(variables.filter((v) => v.step === null).map((v) => v.id));
  const gradients = new Set();
  const passed = new Set();
  for (let p = 0; p <= position; p++) {
    const step = sequence[p];
    if (step.kind === "forward") values.add(data.steps[step.step].output);
    if (step.kind === "seed") gradients.add(lossId);
    if (step.kind === "sum") gradients.add(step.variable);
    if (step.kind === "backward") {
      passed.add(step.edge.id);
      if (variables[step.edge.from].uses.length === 1) gradients.add(step.edge.from);
    }
  }
  return { values, gradients, edges: passed };
}
