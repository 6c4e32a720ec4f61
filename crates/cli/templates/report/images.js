// Test images, feature maps and filters: parts of the pictures in the page.

/** The pictures, decoded. */
const pictures = { images: null, maps: [], filters: null, colorized: null };

function decode(address) {
  if (!address) return Promise.resolve(null);
  const image = new Image();
  image.src = address;
  return image.decode().then(() => image);
}

async function decodeAll() {
  const { images, maps, filters, colorized } = data.pictures;
  [pictures.images, pictures.filters, pictures.colorized, ...pictures.maps] = await Promise.all([images, filters, colorized, ...maps].map(decode));
}

/** A part of a picture. */
function part(source, [x, y, width, height]) {
  const canvas = make("canvas", { width, height });
  canvas.getContext("2d").drawImage(source, x, y, width, height, 0, 0, width, height);
  return canvas;
}

/** The k-th test image of the page. */
function picture(k) {
  const [, height, width] = data.config.data.image;
  const { columns } = data.examples;
  return part(pictures.images, [(k % columns) * width, Math.floor(k / columns) * height, width, height]);
}

/** What the net says of a test image. */
function caption(k) {
  const { label, top } = data.examples.images[k];
  const [[predicted, probability]] = top;
  const right = label === predicted;
  const said = make("span", { className: right ? "right" : "wrong" }, right ? `✓ ${classes[label]}` : `${classes[label]} ✗ ${classes[predicted]}`);
  return [said, make("br"), make("span", { className: "probability" }, percent(probability))];
}

function drawImages(which) {
  const { images, worst } = data.examples;
  const chosen = which === "worst" ? worst : images.map((_, k) => k).slice(0, 40);
  $("images-note").textContent =
    which === "worst"
      ? "The mistakes of which the net is most certain, by their loss: true class ✗ predicted class, and the probability of the predicted one. Look for images that are hard for you, too, and for wrong labels."
      : "The first images of the test set: ✓ class, or true class ✗ predicted class, and the probability of the predicted one.";
  const empty = which === "worst" && !worst.length ? ["There is no mistake."] : [];
  $("images").replaceChildren(...empty, ...chosen.map((k) => {
    const others = images[k].top.map(([name, p]) => `${classes[name]} ${percent(p)}`).join(", ");
    return make("div", { title: `test image ${images[k].index}: ${others}` }, picture(k), ...caption(k));
  }));
  for (const button of $("which").children) button.setAttribute("aria-pressed", String(button.dataset.value === which));
}

/** The tiles of a block, enlarged, with room between them. */
function enlarged(source, { shown, height, width, columns, top }, scale) {
  const [cell, line] = [width * scale + 4, height * scale + 4];
  const canvas = make("canvas", { width: columns * cell - 4, height: Math.ceil(shown / columns) * line - 4 });
  const context = canvas.getContext("2d");
  context.imageSmoothingEnabled = false;
  for (let k = 0; k < shown; k++) {
    const [i, j] = [Math.floor(k / columns), k % columns];
    context.drawImage(source, j * (width + 1), top + i * (height + 1), width, height, j * cell, i * line, width * scale, height * scale);
  }
  return canvas;
}

/** A block of tiles with its name. */
function block(source, tiles, side) {
  const { name, total, shown, height, width, low, high } = tiles;
  const scale = Math.max(1, Math.round(side / Math.max(height, width)));
  const more = shown < total ? ` · ${shown} of ${count(total)}` : ` · ${count(total)}`;
  const flat = height === 1 || (shown === 1 && total > 1);
  const size = flat ? ` · ${count(total)} outputs` : `${more} of ${height}×${width}`;
  return make("div", { className: "block" }, make("b", {}, name), make("small", {}, `${size} · ${number(low)} to ${number(high)}`), enlarged(source, tiles, flat ? 14 : scale));
}

function drawMaps(which) {
  const [, blocks] = data.examples.maps[which];
  const shown = (k) => (labeled === "pixels" ? [panel(k, 0), `image ${data.examples.colorized.images[k].index}`] : [picture(k), ...caption(k)]);
  $("mapped").replaceChildren(...data.examples.maps.map(([k], at) => {
    const button = make("button", { "aria-pressed": String(at === which) }, ...shown(k));
    button.addEventListener("click", () => drawMaps(at));
    return button;
  }));
  $("maps").replaceChildren(...blocks.map((tiles) => block(pictures.maps[which], tiles, 56)));
}

function drawFilters() {
  $("filters").replaceChildren(...data.examples.filters.map((tiles) => block(pictures.filters, tiles, 36)));
}
