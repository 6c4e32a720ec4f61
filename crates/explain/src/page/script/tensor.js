// A tensor as a heat map: one plane of its last two axes, with the value on hover and a click for the element.

/** The color of a number: blue below 0, orange above, clear at 0. */
function heat(x, most) {
  if (!Number.isFinite(x)) return "rgb(200,0,200)";
  const share = most > 0 ? 0.9 * Math.sqrt(Math.min(1, Math.abs(x) / most)) : 0;
  return x < 0 ? `rgba(38,110,220,${share})` : `rgba(232,110,20,${share})`;
}

/** A number that fits into a cell. */
function short(x) {
  const text = number(x, 3);
  return text.length <= 8 ? text : x.toExponential(1).replace(/-/g, "−");
}

/** The size of a cell: large enough for its number if the plane is small. */
function cellSize(rows, columns) {
  if (columns <= 5 && rows <= 10) return [70, 27];
  const size = Math.max(2, Math.min(26, Math.floor(288 / columns), Math.floor(288 / rows)));
  return [size, size];
}

/**
 * Draws a plane. `chosen` is an element or null, `strong` a function of an element that is false for faint cells, `pick` is
 * called with the element that is clicked, `plane` is the plane shown first.
 */
function heatMap({ values, shape, label, chosen = null, strong = null, pick = null, plane = null }) {
  const [rows, columns] = shape.length >= 2 ? shape.slice(-2) : [1, shape[0] ?? 1];
  const area = rows * columns;
  const planes = values.length / Math.max(1, area);
  let shown = plane ?? (chosen === null ? 0 : Math.floor(chosen / area));
  const [width, height] = cellSize(rows, columns);
  const most = values.reduce((max, x) => (Number.isFinite(x) ? Math.max(max, Math.abs(x)) : max), 0);
  // Twice the resolution, for sharp text on fine screens.
  const canvas = make("canvas", { width: 2 * columns * width, height: 2 * rows * height, style: `width:${columns * width}px`, role: "img", "aria-label": label, tabindex: pick ? 0 : null });
  const reading = make("span", { class: "reading" });
  const context = canvas.getContext("2d");
  context.scale(2, 2);

  const draw = () => {
    const style = getComputedStyle(document.documentElement);
    const color = (name) => style.getPropertyValue(name);
    context.clearRect(0, 0, columns * width, rows * height);
    for (let k = 0; k < area; k++) {
      const i = shown * area + k;
      const [left, top] = [(k % columns) * width, Math.floor(k / columns) * height];
      context.globalAlpha = strong && !strong(i) ? 0.15 : 1;
      context.fillStyle = heat(values[i], most);
      context.fillRect(left, top, width, height);
      if (height >= 8) {
        context.strokeStyle = color("--line");
        context.strokeRect(left, top, width, height);
      }
      if (width >= 70) {
        context.fillStyle = color("--text");
        context.font = "12.5px system-ui, sans-serif";
        context.textAlign = "center";
        context.fillText(short(values[i]), left + width / 2, top + height / 2 + 4.5);
      }
      context.globalAlpha = 1;
    }
    if (chosen !== null && Math.floor(chosen / area) === shown) {
      const k = chosen % area;
      context.strokeStyle = color("--text");
      context.lineWidth = 2.5;
      context.strokeRect((k % columns) * width + 1, Math.floor(k / columns) * height + 1, width - 2, height - 2);
      context.lineWidth = 1;
    }
  };
  const elementAt = (event) => {
    const box = canvas.getBoundingClientRect();
    const cell = (offset, size, length) => Math.max(0, Math.min(length - 1, Math.floor((offset / size) * length)));
    return shown * area + cell(event.clientY - box.top, box.height, rows) * columns + cell(event.clientX - box.left, box.width, columns);
  };
  const read = (i) => (reading.textContent = `${indexText(i, shape)} ${number(values[i])}`);
  canvas.addEventListener("mousemove", (event) => read(elementAt(event)));
  // With the keyboard: the arrows move a cursor, Enter picks.
  let cursor = chosen ?? shown * area;
  canvas.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }[event.key];
    if (event.key === "Enter" && pick) pick(cursor);
    else if (by) cursor = shown * area + Math.max(0, Math.min(area - 1, (cursor % area) + by));
    else return;
    event.preventDefault();
    event.stopPropagation();
    read(cursor);
  });
  canvas.addEventListener("mouseleave", () => (reading.textContent = ""));
  if (pick) canvas.addEventListener("click", (event) => pick(elementAt(event)));

  const caption = make("figcaption", {}, label);
  if (planes > 1) {
    const where = make("span", { class: "plane" });
    const turn = (by) => {
      shown = (shown + by + planes) % planes;
      where.textContent = `[${unravel(shown, shape.slice(0, -2)).join(",")},·,·]`;
      draw();
    };
    const button = (by, sign, name) => make("button", { class: "small", onclick: () => turn(by), "aria-label": name }, sign);
    caption.append(" ", button(-1, "‹", "The plane before"), where, button(1, "›", "The next plane"));
    turn(0);
  } else {
    draw();
  }
  return make("figure", {}, caption, canvas, reading);
}
