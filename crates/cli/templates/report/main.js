// Puts the page together.

function drawHead() {
  const { config, outcome, epochs } = data;
  const last = epochs[epochs.length - 1];
  const accuracy = outcome?.test_accuracy ?? last?.test.accuracy;
  $("title").textContent = `${config.data.name}${accuracy === undefined ? "" : `: ${(100 * accuracy).toFixed(2)} % of the ${labeled === "pixels" ? "pixels of the test images colored right" : "test images recognized"}`}`;
  const when = new Date(1000 * config.machine.started).toISOString().slice(0, 16).replace("T", " ");
  const state = outcome ? "finished" : `not finished: ${epochs.length} of ${config.epochs} epochs`;
  $("subtitle").textContent = `chainrule ${config.program} · ${state} · ${when} UTC · ${config.machine.arithmetic}, ${config.machine.threads} threads, ${config.machine.system}`;
  document.title = `${config.data.name} · chainrule ${config.program}`;
  const seconds = outcome?.seconds ?? last?.seconds ?? 0;
  const numbers = [
    ["test accuracy", accuracy === undefined ? "–" : `${(100 * accuracy).toFixed(2)} %`],
    ["test loss", last ? number(last.test.loss, 4) : "–"],
    ["training loss", last ? number(last.train.loss, 4) : "–"],
    ["epochs", `${epochs.length} of ${config.epochs}`],
    ["parameters", count(config.net.parameters)],
    ["images/s", last ? count(Math.round(last.images_per_second)) : "–"],
    ["time", duration(seconds)],
  ];
  $("numbers").replaceChildren(...numbers.map(([name, value]) => make("div", {}, make("b", {}, value), make("span", {}, name))));
  const marks = { good: "✓", note: "•", warning: "!" };
  $("findings").replaceChildren(...data.findings.map(({ level, text }) => make("li", {}, make("span", { className: level, title: level }, marks[level]), make("span", {}, text))));
  $("overview").hidden = !data.findings.length;
}

function learningCharts() {
  const { steps, epochs } = data;
  const dots = epochs.length <= 40;
  /** The curves of the sets that are evaluated after each epoch. */
  const evaluated = (of) =>
    [["validation", "var(--other)"], ["test", "var(--test)"]]
      .filter(([set]) => epochs.some((row) => row[set]))
      .map(([set, color]) => ({ name: set, color, points: epochs.map((row) => [row.step, row[set]?.[of]]), dots, width: 2.4 }));
  chart("loss", {
    title: "Loss",
    how: ["Lower is better; the axis is logarithmic. ", "Normal:", " both fall, the test loss flattens first. ", "A warning:", " the test loss rises while the training loss falls (overfitting), or the loss jumps up (learning rate too high)."],
    series: [
      { name: "training", color: "var(--train)", points: steps.map((row) => [row.step, row.loss]), width: 1.2 },
      ...evaluated("loss"),
    ],
    log: true,
  });
  chart("accuracy", {
    title: "Accuracy",
    how: [`The share of ${labeled} that are classified correctly. A large gap between training and test is overfitting; training below test is normal with dropout or augmentation.`],
    series: [
      { name: "training", color: "var(--train)", points: steps.map((row) => [row.step, row.accuracy]), width: 1.2 },
      ...evaluated("accuracy"),
    ],
    format: (x) => `${number(100 * x, 4)} %`,
    share: true,
  });
  chart("lr", {
    title: "Learning rate",
    how: ["The size of the steps, as the schedule sets it."],
    series: [{ name: "learning rate", color: "var(--other)", points: steps.map((row) => [row.step, row.lr]) }],
    include: [0],
  });
}

function drawTables() {
  const { net, machine } = data.config;
  const head = make("thead", {}, make("tr", {}, ...["layer", "operation", "output", "parameters", "multiply-adds"].map((text) => make("th", { scope: "col" }, text))));
  const rows = net.operations.map((row) => make("tr", {}, ...[row.layer, row.operation, row.output.join("×"), row.parameters ? count(row.parameters) : "", row.multiply_adds ? count(row.multiply_adds) : ""].map((text) => make("td", {}, text))));
  $("operations").replaceChildren(head, make("tbody", {}, ...rows));
  const settings = [...data.config.settings, ["--epochs", data.config.epochs], ...(net.input ? [["input of the net (C×H×W)", net.input.join("×")]] : []), ["training images", count(data.config.data.training_images)], ["test images", count(data.config.data.test_images)], ["device", machine.device], ["version", data.config.version], ...(data.outcome ? [["weights sha256", data.outcome.weights_sha256]] : [])];
  const seen = new Map(settings.map(([name, value]) => [name, String(value)]));
  $("settings").replaceChildren(make("tbody", {}, ...[...seen].map(([name, value]) => make("tr", {}, make("td", {}, name), make("td", {}, value)))));
  $("command").textContent = data.config.command.map((word) => (/^[\w./,:=@%+-]+$/.test(word) ? word : `'${word.replace(/'/g, "'\\''")}'`)).join(" ");
}

function drawPlayer() {
  $("slider").value = position.at;
  const row = data.steps.find((row) => row.step >= position.step) ?? data.steps[data.steps.length - 1];
  const loss = position.probe?.loss ?? row?.loss;
  const perEpoch = data.config.steps / data.config.epochs;
  const epoch = Math.min(data.config.epochs, Math.floor(position.step / perEpoch) + 1);
  $("count").textContent = `after step ${count(position.step)} of ${count(totalSteps)} · epoch ${epoch} · loss ${number(loss)}`;
}

let timer = null;
function play() {
  if (timer) {
    clearInterval(timer);
    timer = null;
  } else {
    if (position.at === position.steps.length - 1) position.move(0);
    timer = setInterval(() => {
      if (position.at === position.steps.length - 1) play();
      else position.move(position.at + 1);
    }, 160);
  }
  $("play").textContent = timer ? "❚❚" : "▶";
}

function listen() {
  $("slider").max = Math.max(0, position.steps.length - 1);
  $("slider").addEventListener("input", () => position.move(Number($("slider").value)));
  $("back").addEventListener("click", () => position.move(position.at - 1));
  $("next").addEventListener("click", () => position.move(position.at + 1));
  $("play").addEventListener("click", play);
  document.addEventListener("keydown", (event) => {
    // The slider and the matrix handle keys themselves.
    if (event.target !== document.body || event.ctrlKey || event.metaKey || event.altKey) return;
    const move = { ArrowLeft: position.at - 1, ArrowRight: position.at + 1, Home: 0, End: position.steps.length - 1 }[event.key];
    if (move === undefined) return;
    event.preventDefault();
    position.move(move);
  });
  for (const button of $("which-colorized").children) button.addEventListener("click", () => drawColorized(button.dataset.value));
  for (const button of $("which").children) button.addEventListener("click", () => drawImages(button.dataset.value));
  new ResizeObserver(() => charts.forEach(drawChart)).observe(document.body);
}

/** The parts for which there is data. */
async function start() {
  drawHead();
  drawTables();
  learningCharts();
  const probed = data.probes.length > 0;
  for (const id of ["layers", "outputs"]) $(id).hidden = !probed;
  $("filter-section").hidden = !data.probes[0]?.filters;
  if (probed) {
    layerCharts();
    outputCharts();
  }
  await decodeAll();
  const evaluated = data.matrices.length > 0 && (pictures.images ?? pictures.colorized) !== null;
  $("confusion-section").hidden = !evaluated;
  $("images-section").hidden = !evaluated || labeled === "pixels";
  $("colorized-section").hidden = !evaluated || labeled === "images";
  $("maps-section").hidden = !evaluated || !data.examples.maps.length;
  $("all-filters-section").hidden = !pictures.filters;
  $("player").hidden = !position.steps.length;
  if (evaluated) {
    openMistake();
    if (labeled === "pixels") drawColorized("first");
    else drawImages("samples");
    if (data.examples.maps.length) drawMaps(0);
  }
  if (pictures.filters) drawFilters();
  listen();
  charts.forEach(drawChart);
  position.listeners.push(() => {
    drawPlayer();
    charts.forEach(moveCursor);
    if (probed) {
      drawLayerTable();
      drawHistograms();
      drawStepFilters();
    }
    if (evaluated) drawMatrix();
  });
  position.move(position.steps.length - 1);
}

start();
