// The confusion matrix, the images behind its cells, and the accuracy of each class.

const opened = { label: null, predicted: null };

/** A class by its name; a color by a square of it, too. */
const named = (name) => (labeled === "pixels" ? [swatch(name), name] : [name]);

/** The matrix of the last evaluation at the step of the slider, or of the first one if there was none yet. */
function matrixAt(step) {
  const done = data.matrices.filter((matrix) => matrix.step <= step);
  return done.length ? done[done.length - 1] : data.matrices[0];
}

function drawMatrix() {
  const matrix = matrixAt(position.step);
  const early = matrix.step > position.step;
  $("matrix-note").textContent = early
    ? `At step ${count(position.step)} the net had not been evaluated yet; this is after epoch ${matrix.epoch}.`
    : `This is after epoch ${matrix.epoch}; it follows the slider.`;
  if (labeled === "pixels") {
    $("confusion-title").textContent = "Which colors are confused";
    $("confusion-what").textContent = "color";
    $("confusion-cell").textContent = "how many pixels it counts";
  }
  const small = classes.length > 20;
  $("matrix").className = `${small ? "small" : ""} ${classes.some((name) => name.length > 3) ? "long" : ""}`;
  const head = make("thead", {}, make("tr", {}, make("th"), ...classes.map((name) => make("th", { scope: "col", title: name }, make("span", {}, ...named(name))))));
  const rows = matrix.counts.map((row, label) => {
    const total = Math.max(1, row.reduce((a, b) => a + b, 0));
    const cells = row.map((n, predicted) => {
      const share = n / total;
      // The square root makes few mistakes visible.
      const style = `--shade: var(${label === predicted ? "--cell" : "--cell-wrong"}); --share: ${(0.85 * Math.sqrt(share)).toFixed(3)}`;
      const title = `${n} of ${total} ${labeled} of ${classes[label]} were classified as ${classes[predicted]} (${percent(share)})`;
      const pressed = String(opened.label === label && opened.predicted === predicted);
      const button = make("button", { title, "aria-label": title, "aria-pressed": pressed, dataset: { label, predicted } }, n ? String(n) : "");
      button.setAttribute("style", style);
      button.addEventListener("click", () => {
        [opened.label, opened.predicted] = [label, predicted];
        drawMatrix();
      });
      return make("td", {}, button);
    });
    return make("tr", {}, make("th", { scope: "row" }, ...named(classes[label])), ...cells);
  });
  const focused = document.activeElement?.dataset?.label ? { ...document.activeElement.dataset } : null;
  $("matrix").replaceChildren(head, make("tbody", {}, ...rows));
  if (focused) $("matrix").querySelector(`[data-label="${focused.label}"][data-predicted="${focused.predicted}"]`)?.focus({ preventScroll: true });
  drawCell(matrix);
  drawClasses(matrix);
}

/** The most frequent mistake, which is open at first. */
function openMistake() {
  const { counts } = data.matrices[data.matrices.length - 1];
  let most = -1;
  for (const [label, row] of counts.entries()) {
    for (const [predicted, n] of row.entries()) if (label !== predicted && n > most) [most, opened.label, opened.predicted] = [n, label, predicted];
  }
}

function drawCell(matrix) {
  const { label, predicted } = opened;
  const n = matrix.counts[label][predicted];
  if (labeled === "pixels") {
    const said = label === predicted ? ["are right"] : ["were classified as ", ...named(classes[predicted])];
    const total = matrix.counts[label].reduce((a, b) => a + b, 0);
    $("cell").replaceChildren(make("p", {}, `${count(n)} of ${count(total)} pixels of `, ...named(classes[label]), " ", ...said));
    return;
  }
  const images = data.examples?.images ?? [];
  const shown = images.map((_, k) => k).filter((k) => images[k].label === label && matrix.predicted[k] === predicted);
  const title = label === predicted ? `${classes[label]}, classified correctly` : `${classes[label]}, classified as ${classes[predicted]}`;
  const isLast = matrix === data.matrices[data.matrices.length - 1];
  const note = n === 0 ? "No image." : `${count(n)} ${n === 1 ? "image" : "images"}${shown.length < n ? `, ${shown.length} of them in this page` : ""}. Below each image: its number in the test set${isLast ? ", and the probability of the predicted class" : ""}.`;
  $("cell").replaceChildren(
    make("h3", {}, title),
    make("p", { className: "how" }, note),
    make("div", { className: "gallery" }, ...shown.slice(0, 24).map((k) => make("div", { dataset: { image: images[k].index } }, picture(k), `${images[k].index}`, ...(isLast ? [make("br"), make("span", { className: "probability" }, percent(images[k].top[0][1]))] : [])))),
  );
}

function drawClasses(matrix) {
  const shares = matrix.counts.map((row, label) => row[label] / Math.max(1, row.reduce((a, b) => a + b, 0)));
  const bars = shares.flatMap((share, label) => [
    make("span", {}, ...named(classes[label])),
    make("div", {}, make("i", { style: { width: `${100 * share}%` } })),
    make("span", {}, percent(share)),
  ]);
  $("per-class").replaceChildren(
    make("figcaption", {}, make("b", {}, `Accuracy of each ${labeled === "pixels" ? "color" : "class"}`), make("p", {}, `The share of its ${labeled} that are classified correctly, after epoch ${matrix.epoch}.${labeled === "pixels" ? "" : " Classes far below the others need more or other training images."}`)),
    make("div", { className: "bars" }, ...bars),
  );
}
