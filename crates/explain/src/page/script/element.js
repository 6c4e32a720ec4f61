// The inspector: a variable with its formula and numbers, an element with its terms, and the way up to the loss and back.

/** The name of the element that a local derivative is. */
function factorName(factor) {
  if (!factor) return "";
  const [id, i] = factor;
  const of = variables[id];
  return of.name + (of.count === 1 ? "" : indexText(i, of.shape));
}

/** The table of the terms of an element. `go` opens another element. */
function termsTable(id, i, found, go) {
  const of = variables[id];
  const most = Math.max(...found.terms.map((term) => Math.abs(term.product)), Number.MIN_VALUE);
  const line = (term) => {
    const target = variables[term.edge.to];
    const text = `${target.name}${target.count === 1 ? "" : indexText(term.j, target.shape)}`;
    const open = term.edge.to !== lossId && isExplained(term.edge.to, term.j);
    const label = open
      ? make("button", { class: "link", onclick: () => go(term.edge.to, term.j), title: "Explain this gradient in turn" }, `${text} ↗`)
      : make("span", {}, text);
    const bar = make("div", { class: `bar ${term.product < 0 ? "negative" : "positive"}`, style: `width:${(60 * Math.abs(term.product)) / most}px` });
    const cell = (x) => make("td", {}, number(x, 5));
    return make("tr", {}, make("th", { scope: "row" }, label), cell(term.dy), cell(term.local), make("td", { class: "factor" }, factorName(term.factor)), make("td", { class: "product" }, number(term.product, 5)), make("td", {}, bar));
  };
  const rows = found.terms.map(line);
  for (const edge of found.blocked) {
    rows.push(make("tr", { class: "blocked" }, make("th", { scope: "row" }, variables[edge.to].name), make("td", { colspan: 3 }, "no path: ∂y/∂x is 0"), make("td", {}, "0"), make("td")));
  }
  if (found.rest.count) {
    rows.push(make("tr", { class: "rest" }, make("th", { scope: "row" }, `${found.rest.count} smaller terms`), make("td"), make("td"), make("td"), make("td", {}, number(found.rest.sum, 5)), make("td")));
  }
  rows.push(make("tr", { class: "total" }, make("th", { scope: "row" }, "sum"), make("td"), make("td"), make("td"), make("td", { "data-sum": gradientAt(id, i) }, number(gradientAt(id, i), 5)), make("td")));
  const head = make("tr", {}, ...["through", "dy", "· ∂y/∂x", "which is", "= term", ""].map((text) => make("th", { scope: "col" }, text)));
  return make("table", { class: "terms" }, make("thead", {}, head), make("tbody", {}, ...rows));
}

/** The output gradients that an element reaches, one picture for each use. */
function reachPictures(id, i, found, go) {
  const pictures = [];
  for (const edge of variables[id].uses) {
    const target = variables[edge.to];
    const reached = new Map(found.reach.filter((term) => term.edge === edge).map((term) => [term.j, term.local]));
    if (target.gradient === null || target.count < 2 || target.shape.length < 2 || reached.size < 2 || reached.size === target.count) continue;
    const products = Float64Array.from(target.gradient, (dy, j) => (reached.has(j) ? dy * reached.get(j) : 0));
    let strongest = reached.keys().next().value;
    for (const j of reached.keys()) if (Math.abs(products[j]) > Math.abs(products[strongest])) strongest = j;
    const size = target.shape.slice(-2).reduce((a, b) => a * b, 1);
    pictures.push(
      heatMap({
        values: products,
        shape: target.shape,
        label: `dy · ∂y/∂x at each output of ${target.name}: it reaches ${reached.size} of ${target.count}`,
        strong: (j) => reached.has(j),
        plane: Math.floor(strongest / size),
        pick: (j) => isExplained(edge.to, j) && go(edge.to, j),
      }),
    );
  }
  return pictures;
}

/** The paths from a scalar to the loss, each the product of its local derivatives. */
function pathsTable(id) {
  const paths = listPaths(id);
  if (!paths || !paths.length) return null;
  const local = (edge) => column(edge.step, edge.input, 0)[0]?.[1] ?? 0;
  const items = paths.map((path) => {
    const names = [id, ...path.map((edge) => edge.to)].map((at) => (isUnnamed(variables[at]) ? operationLabel(variables[at]) : variables[at].name));
    const product = path.reduce((product, edge) => product * local(edge), 1);
    const factors = path.map((edge) => factor(local(edge), 4)).join(" · ");
    return make("li", {}, make("div", { class: "path" }, names.join(" → ")), make("div", { class: "formula" }, `${factors} = ${number(product)}`));
  });
  const total = paths.length > 1 ? make("p", { class: "formula", html: `sum over ${paths.length} paths <span class="equals">=</span> <b>${number(variables[id].gradient[0])}</b>` }) : null;
  return make("div", {}, make("h3", {}, paths.length > 1 ? `All ${paths.length} paths to the loss` : "The path to the loss"), make("ol", {}, ...items), total);
}

/** The statistics of a variable. */
function statistics(of, hidden) {
  const line = (label, numbers) =>
    make("tr", {}, make("th", { scope: "row" }, label), ...[numbers.norm, numbers.min, numbers.max].map((x) => make("td", {}, number(x, 4))), make("td", {}, `${Math.round((100 * numbers.zeros) / of.count)} %`));
  const head = make("tr", {}, ...["", "norm", "min", "max", "zeros"].map((text) => make("th", { scope: "col" }, text)));
  return make("table", { class: "statistics" }, make("thead", {}, head), make("tbody", {}, line("value", of.value_numbers), of.gradient_numbers && !hidden ? line("gradient", of.gradient_numbers) : null));
}

/** The inspector of the last entry of the trail: { variable, element }. */
function inspector(state, actions) {
  const view = state.trail.at(-1);
  if (!view) {
    const hint = data.chosen.length ? [] : [make("p", { class: "note" }, "Click a node of the graph for its formula and its numbers. Click a weight to light all paths from it to the loss.")];
    return [make("h2", {}, "The whole net"), ...hint, netTable(state, actions)];
  }
  const of = variables[view.variable];
  const hidden = state.mode === "predict" && !knownAt(state.position).gradients.has(of.id);
  const hiddenValue = state.mode === "predict" && !knownAt(state.position).values.has(of.id);
  const parts = [];
  const crumbs = state.trail.map((entry, k) => {
    const at = variables[entry.variable];
    const text = at.name + (entry.element === null || at.count === 1 ? "" : indexText(entry.element, at.shape));
    return k + 1 === state.trail.length ? make("b", {}, text) : make("button", { class: "link", onclick: () => actions.back(k + 1) }, text);
  });
  const trail = make("nav", { class: "trail", "aria-label": "The way back" });
  trail.append(make("button", { class: "small", onclick: () => actions.back(state.trail.length - 1), title: "Back (Esc)" }, "← back"), " ");
  crumbs.forEach((crumb, k) => trail.append(k ? " › " : "", crumb));
  parts.push(trail);
  const step = of.step === null ? null : data.steps[of.step];
  parts.push(make("h2", { html: `${escapeHtml(of.name)} <small>${escapeHtml(step ? step.op : of.kind)} · ${shapeText(of.shape)}</small>` }));
  if (step && !hiddenValue) {
    parts.push(row("formula", step.formula.symbols));
    if (state.mode !== "predict" || isPassed(of.step, knownAt(state.position))) parts.push(row("derivative", step.derivative));
    if (step.formula.numbers && of.count === 1) parts.push(row("numbers", withResult(step.formula, of.value[0])));
    parts.push(row("where", legend(step)));
    if (where(step)) parts.push(row("settings", escapeHtml(where(step))));
  }
  if (step?.mark && (state.mode !== "predict" || isPassed(of.step, knownAt(state.position)))) parts.push(make("p", { class: "warning" }, step.mark));
  if (hiddenValue) {
    parts.push(make("p", { class: "note" }, "This number comes later. Answer first."));
    return parts;
  }
  const element = view.element ?? (of.count === 1 ? 0 : null);
  if (of.count > 1) {
    parts.push(statistics(of, hidden));
    const pick = (i) => actions.open(of.id, i, true);
    const maps = make("div", { class: "maps" });
    if (of.value) maps.append(heatMap({ values: of.value, shape: of.shape, label: "value", chosen: element, pick }));
    else parts.push(make("p", { class: "note" }, "Too large to be in this file, except for single elements of the gradient:", ...elementLinks(of, actions)));
    if (of.gradient && !hidden) maps.append(heatMap({ values: of.gradient, shape: of.shape, label: "gradient", chosen: element, pick }));
    parts.push(maps);
    if (element === null && of.value && of.hasGradient) parts.push(make("p", { class: "note" }, "Click a cell to explain its gradient."));
  } else {
    parts.push(row("value", `<b>${number(of.value[0], 10)}</b>`));
  }
  if (!of.hasGradient) {
    parts.push(make("p", { class: "note" }, "No gradient: a constant."));
  } else if (hidden) {
    parts.push(make("p", { class: "note" }, "The gradient comes later. Answer first."));
  } else if (element !== null) {
    parts.push(...elementParts(of, element, state, actions));
  }
  return parts;
}

/** Links to elements that a large page explains. */
function elementLinks(of, actions) {
  const known = data.locals ? [] : explainedElements(of.id).slice(0, 8);
  return known.flatMap((i) => [" ", make("button", { class: "link", onclick: () => actions.open(of.id, i, true) }, indexText(i, of.shape))]);
}

function elementParts(of, i, state, actions) {
  const index = of.count === 1 ? "" : indexText(i, of.shape);
  const parts = [];
  parts.push(row("gradient", math(`${partial(of.id, index)}<mo>=</mo><mn class="total">${number(gradientAt(of.id, i), 10)}</mn>`)));
  if (of.id === lossId) {
    parts.push(make("p", { class: "note" }, "The way up ends here: the gradient of the loss itself is 1."));
    return parts;
  }
  const found = explainElement(of.id, i);
  if (!found) {
    parts.push(make("p", { class: "note" }, `The terms of this element are not in this file. Make one that has them: --element "${of.name}${index}"`));
    const links = elementLinks(of, actions);
    if (links.length) parts.push(make("p", { class: "note" }, "It has those of", ...links));
    return parts;
  }
  parts.push(termsTable(of.id, i, found, (id, j) => actions.open(id, j, false)));
  parts.push(make("div", { class: "maps" }, ...reachPictures(of.id, i, found, (id, j) => actions.open(id, j, false))));
  if (isScalarGraph && state.notation === "index" && data.locals) parts.push(pathsTable(of.id));
  return parts;
}

/** All variables with the norms of values and gradients. */
function netTable(state, actions) {
  const known = state.mode === "predict" ? knownAt(state.position) : null;
  const show = (x, isKnown) => make("td", {}, isKnown ? number(x, 4) : "?");
  const rows = variables.map((of) => {
    const name = make("button", { class: "link", onclick: () => actions.select(of.id) }, of.name);
    const value = of.count === 1 ? of.value[0] : of.value_numbers.norm;
    const gradient = of.hasGradient && (of.count === 1 ? of.gradient[0] : of.gradient_numbers.norm);
    const zeros = of.hasGradient && Math.round((100 * of.gradient_numbers.zeros) / of.count);
    const isKnown = !known || known.gradients.has(of.id);
    const mark = of.step !== null && data.steps[of.step].mark && (!known || isPassed(of.step, known)) ? make("td", { class: "warning", title: data.steps[of.step].mark }, data.steps[of.step].mark.split(":")[0]) : make("td");
    return make("tr", {}, make("th", { scope: "row" }, name), isScalarGraph ? null : make("td", {}, shapeText(of.shape)), show(value, !known || known.values.has(of.id)), of.hasGradient ? show(gradient, isKnown) : make("td", {}, "–"), isScalarGraph ? null : make("td", {}, of.hasGradient && isKnown ? `${zeros} %` : ""), mark);
  });
  const columns = isScalarGraph ? ["value", "gradient"] : ["shape", "‖value‖", "‖gradient‖", "zeros"];
  const head = make("tr", {}, ...["", ...columns, ""].map((text) => make("th", { scope: "col" }, text)));
  return make("table", { class: "statistics" }, make("thead", {}, head), make("tbody", {}, ...rows));
}
