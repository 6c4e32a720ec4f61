// Test images that are colorized: a row of pictures for each, and the palette.

/** A picture of the k-th image. */
function panel(k, column) {
  const [, height, width] = data.config.data.image;
  return part(pictures.colorized, [column * width, k * height, width, height]);
}

/** A square of a color. */
const swatch = (color) => make("i", { className: "swatch", style: { background: color } });

function drawColorized(which) {
  const { images, panels, best, worst, temperature } = data.examples.colorized;
  // All images are in the order of the test set, so that the first ones have their own numbers as positions.
  const chosen = { first: images.map((_, k) => k).filter((k) => images[k].index === k), best, worst }[which];
  $("temperature").textContent = temperature;
  $("palette").replaceChildren(...classes.map((color) => make("i", { className: "swatch", title: color, style: { background: color } })));
  const head = make("thead", {}, make("tr", {}, ...["image", ...panels, "pixels right", "loss"].map((text) => make("th", { scope: "col" }, text))));
  const rows = chosen.map((k) => {
    const { index, accuracy, loss } = images[k];
    return make("tr", {}, make("td", {}, String(index)), ...panels.map((_, column) => make("td", {}, panel(k, column))), make("td", {}, percent(accuracy)), make("td", {}, number(loss)));
  });
  $("colorized").replaceChildren(head, make("tbody", {}, ...rows));
  for (const button of $("which-colorized").children) button.setAttribute("aria-pressed", String(button.dataset.value === which));
}
