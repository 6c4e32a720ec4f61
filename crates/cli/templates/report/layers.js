// The layers of the net at a step: gradients, updates, outputs, filters.

const layerNames = data.probes[0]?.layers.map((layer) => layer.layer) ?? [];
const ratioOf = (layer) => (layer.update === null || !layer.weight ? null : layer.update / layer.weight);
/** Updates outside of this range are marked: a thousandth of the weights, within a factor of ten, is usual. */
const USUAL = [1e-4, 1e-2];

const layerSeries = (value) =>
  layerNames.map((name, k) => ({
    name,
    color: layerColor(k, layerNames.length),
    points: data.probes.map((probe) => [probe.step, value(probe.layers[k])]),
  }));

function layerCharts() {
  $("probe-note").textContent =
    `The net was measured ${data.probes.length} times in ${count(totalSteps)} steps, always on the same ${data.probes[0].images} training images, so that its numbers can be compared. ` +
    "Colors go from blue for the first layer to orange for the last. Click a row of the table to highlight its layer.";
  const gradients = chart("gradients", {
    title: "Gradient norm of each layer",
    how: ["How strongly the loss pulls at the weights. ", "Normal:", " falls slowly, the layers within a factor of about 100. ", "A warning:", " upward spikes of a hundred times (exploding), or first layers far below the last (vanishing)."],
    series: layerSeries((layer) => layer.gradient),
    log: true,
    legend: false,
  });
  const updates = chart("updates", {
    title: "Update-to-weight ratio of each layer",
    how: ["The norm of what one step adds to the weights, divided by the norm of the weights. ", "Normal:", " near 1e−3 (the shaded band is a factor of ten around it), and lower as the learning rate falls. ", "A warning:", " above it the learning rate is too high, far below it the layer hardly learns."],
    series: layerSeries(ratioOf),
    log: true,
    usual: USUAL,
    include: [1e-3],
    legend: false,
  });
  for (const one of [gradients, updates]) one.isOfLayers = true;
}

function selectLayer(k) {
  for (const one of charts.filter((one) => one.isOfLayers)) {
    one.selected = one.selected === k ? null : k;
    drawChart(one);
  }
  drawLayerTable();
}

function drawLayerTable() {
  const selected = charts.find((one) => one.isOfLayers).selected;
  const head = make("thead", {}, make("tr", {}, ...["layer", "gradient norm", "weight norm", "update norm", "update / weight"].map((text) => make("th", { scope: "col" }, text))));
  const rows = position.probe.layers.map((layer, k) => {
    const ratio = ratioOf(layer);
    const unusual = ratio !== null && (ratio > USUAL[1] || ratio < USUAL[0]);
    const name = make("td", {}, make("i", { style: { background: layerColor(k, layerNames.length) } }), layer.layer);
    const cells = [layer.gradient, layer.weight].map((x) => make("td", {}, number(x)));
    const update = layer.update === null ? "none: the end" : number(layer.update);
    const row = make("tr", { className: selected === k ? "selected" : "" }, name, ...cells, make("td", {}, update), make("td", { className: unusual ? "warning" : "" }, ratio === null ? "" : number(ratio)));
    row.addEventListener("click", () => selectLayer(k));
    return row;
  });
  $("layer-table").replaceChildren(head, make("tbody", {}, ...rows));
}

/** The smallest and the largest bound of an output's histograms over the run. */
const outputRanges = (data.probes[0]?.outputs ?? []).map((_, k) => {
  const bounds = data.probes.map((probe) => probe.outputs[k]).filter((output) => output.low !== null && output.high !== null);
  return [Math.min(...bounds.map((output) => output.low)), Math.max(...bounds.map((output) => output.high))];
});

function outputCharts() {
  const outputs = data.probes[0].outputs;
  const over = (k, value) => data.probes.map((probe) => [probe.step, value(probe.outputs[k])]);
  const color = (k) => layerColor(k, outputs.length);
  const units = outputs.map((output, k) => [output, k]).filter(([output]) => output.dead !== null || output.saturated !== null);
  if (units.length) {
    chart("dead", {
      title: units.some(([output]) => output.dead !== null) ? "Dead units" : "Saturated outputs",
      how: ["The share of each layer. ", "Normal:", " a few percent, steady. ", "A warning:", " it rises with every epoch."],
      series: units.map(([output, k]) => ({ name: output.name, color: color(k), points: over(k, (at) => at.dead ?? at.saturated) })),
      format: percent,
      share: true,
      include: [0, 0.05],
      legend: units.length <= 12,
    });
  }
  chart("deviations", {
    title: "Standard deviation σ of the outputs",
    how: ["How far the outputs of each operation spread. ", "Normal:", " all layers within a factor of ten, no jumps."],
    series: outputs.map((output, k) => ({ name: output.name, color: color(k), points: over(k, (at) => at.std) })),
    log: true,
    legend: outputs.length <= 12,
  });
}

function drawHistograms() {
  const boxes = position.probe.outputs.map((output, k) => {
    const [low, high] = outputRanges[k];
    const most = Math.max(1, ...output.counts);
    const x = (value) => (100 * (value - low)) / (high - low || 1);
    const width = (x(output.high) - x(output.low)) / output.counts.length;
    const bars = output.counts.map((n, bin) => draw("rect", { x: x(output.low) + bin * width, width: Math.max(0.7, width * 0.92), y: 40 * (1 - n / most), height: (40 * n) / most }));
    const zero = low <= 0 && high >= 0 ? [draw("line", { x1: x(0), x2: x(0), y1: 0, y2: 40, "stroke-dasharray": "2 2", "vector-effect": "non-scaling-stroke" })] : [];
    const picture = draw("svg", { viewBox: "0 0 100 40", preserveAspectRatio: "none", role: "img", "aria-label": `histogram of ${output.name}` }, ...zero, ...bars, draw("line", { x1: 0, x2: 100, y1: 40, y2: 40, "vector-effect": "non-scaling-stroke" }));
    const share = output.dead ?? output.saturated;
    const word = output.dead !== null ? "dead" : "saturated";
    const warning = share !== null && share >= (word === "dead" ? 0.1 : 0.4);
    const units = share === null ? [] : [make("br"), make(warning ? "b" : "span", { className: warning ? "warning" : "" }, `${percent(share)} ${word}`), `, ${percent(output.zeros)} zeros`];
    return make("div", {}, make("b", {}, output.name), picture, `${number(low, 2)} … ${number(high, 2)}`, make("br"), `mean ${number(output.mean)}, σ ${number(output.std)}`, ...units);
  });
  $("histograms").replaceChildren(...boxes);
}

/** From blue at −1 over white to red at 1. */
function diverging(x) {
  const end = x < 0 ? [5, 48, 97] : [178, 24, 43];
  return end.map((c) => 255 + (c - 255) * Math.min(1, Math.abs(x)));
}

function drawStepFilters() {
  const filters = position.probe?.filters;
  if (!filters) return;
  const [o, c, h, w] = filters.shape;
  const size = Math.max(3, Math.round(54 / w));
  const canvases = Array.from({ length: o }, (_, filter) => {
    const canvas = make("canvas", { width: w, height: h, style: { width: `${w * size}px`, height: `${h * size}px` } });
    const image = new ImageData(w, h);
    for (let k = 0; k < h * w; k++) {
      const at = (channel) => filters.values[(filter * c + channel) * h * w + k] / 127;
      const color = c === 3 ? [0, 1, 2].map((channel) => 127.5 * (1 + at(channel))) : diverging(at(0));
      image.data.set([...color, 255], 4 * k);
    }
    canvas.getContext("2d").putImageData(image, 0, 0);
    return canvas;
  });
  $("filter-note").textContent =
    `${filters.layer}, ${o} filters of ${h}×${w}. ` +
    (c === 3 ? "The color that a filter answers to; middle gray is 0. " : c === 1 ? "Red is positive, blue negative, white 0. " : "The weights of the first input channel: red is positive, blue negative. ") +
    `The deepest color is ±${number(filters.scale)}. Press ▶ to watch them learn: they begin as noise.`;
  $("step-filters").replaceChildren(...canvases);
}
