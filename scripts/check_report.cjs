// Checks the reports of training runs in headless Chromium; scripts/check_pages.sh makes them. Arguments: folders of runs, and
// perhaps `--shots FOLDER` to save screenshots to.
const assert = require("node:assert/strict");
const fs = require("node:fs");
const path = require("node:path");
const { inChromium, inWindows } = require("./chromium.cjs");

const given = process.argv.slice(2);
const at = given.indexOf("--shots");
const shots = at < 0 ? null : given.splice(at, 2)[1];

/** A printed number: with a true minus sign, thin spaces and perhaps a unit. */
const parse = (text) => Number(text.replace(/−/g, "-").replace(/[\s\u202f%]/g, ""));
const near = (a, b, what) => assert.ok(Math.abs(a - b) <= 6e-3 * Math.abs(b) + 1e-12, `${what}: ${a}, not ${b}`);
const lines = (file) => fs.readFileSync(file, "utf8").trim().split("\n").map((line) => JSON.parse(line));

/** The slider shows each measurement: its step, the numbers of each layer, a histogram and the filters of each output. */
async function slider(page, run) {
  const probes = lines(path.join(run, "probes.jsonl"));
  const table = page.locator("#layer-table tbody tr");
  const check = async (probe) => {
    const count = await page.locator("#count").textContent();
    assert.equal(parse(count.match(/after step ([\d\u202f]+) of/)[1]), probe.step, "the step of the slider");
    const rows = await table.evaluateAll((all) => all.map((row) => [...row.children].map((cell) => cell.textContent)));
    assert.equal(rows.length, probe.layers.length);
    for (const [k, [name, gradient, weight, update, ratio]] of rows.entries()) {
      const layer = probe.layers[k];
      assert.equal(name, layer.layer);
      near(parse(gradient), layer.gradient, `gradient of ${name} at ${probe.step}`);
      near(parse(weight), layer.weight, `weight of ${name} at ${probe.step}`);
      if (layer.update === null) assert.equal(ratio, "", "there is no step after the last");
      else near(parse(ratio), layer.update / layer.weight, `ratio of ${name} at ${probe.step}: ${update}`);
    }
    const outputs = await page.locator("#histograms > div").evaluateAll((all) => all.map((box) => [box.querySelector("b").textContent, box.querySelectorAll("rect").length]));
    assert.deepEqual(outputs, probe.outputs.map((output) => [output.name, output.counts.length]));
    assert.equal(await page.locator("#step-filters canvas").count(), probe.filters.shape[0]);
  };
  await check(probes[probes.length - 1]);
  const pixels = () => page.locator("#step-filters canvas").first().evaluate((canvas) => [...canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data].join());
  const end = await pixels();
  await page.keyboard.press("Home");
  await check(probes[0]);
  assert.notEqual(await pixels(), end, "the filters change during the run");
  for (let k = 1; k < probes.length; k += Math.ceil(probes.length / 8)) {
    await page.locator("#slider").evaluate((slider, k) => {
      slider.value = k;
      slider.dispatchEvent(new Event("input"));
    }, k);
    await check(probes[k]);
  }
  await page.keyboard.press("Home");
  await page.click("#next");
  await check(probes[1]);
  await page.click("#back");
  await check(probes[0]);
  // A click into the middle of a chart.
  const box = await page.locator("#loss svg").boundingBox();
  await page.mouse.click(box.x + 58 + (box.width - 68) / 2, box.y + box.height / 2);
  const middle = probes[probes.length - 1].step / 2;
  const nearest = probes.reduce((best, probe) => (Math.abs(probe.step - middle) < Math.abs(best.step - middle) ? probe : best));
  await check(nearest);
  await page.click("#play");
  await page.waitForFunction((last) => document.getElementById("slider").value === String(last) && document.getElementById("play").textContent === "▶", probes.length - 1);
  await check(probes[probes.length - 1]);
  // A highlighted layer is drawn stronger in both charts of layers.
  await table.first().click();
  assert.equal(await page.locator(".series.strong").count(), 2);
  await table.first().click();
  assert.equal(await page.locator(".series.strong").count(), 0);
}

/** The legends show the numbers of the records. */
async function curves(page, run) {
  const epochs = lines(path.join(run, "metrics.jsonl")).filter((row) => row.event === "epoch");
  const last = epochs[epochs.length - 1];
  const legend = async (id, name) => {
    const text = await page.locator(`#${id} .legend span`, { hasText: name }).locator("b").textContent();
    return parse(text);
  };
  near(await legend("loss", "test"), last.test.loss, "test loss");
  near(await legend("accuracy", "test"), 100 * last.test.accuracy, "test accuracy");
  if (last.validation) near(await legend("loss", "validation"), last.validation.loss, "validation loss");
  assert.ok((await page.locator("#title").textContent()).includes(`${(100 * last.test.accuracy).toFixed(2)} %`));
  for (const path of await page.locator(".chart path.series").all()) {
    const d = await path.getAttribute("d");
    assert.ok(/^M/.test(d) && !/NaN|undefined/.test(d), `a curve of numbers: ${d.slice(0, 60)}`);
  }
}

/** Each cell has the count of the last evaluation, and opens images of its own. */
async function confusion(page, run) {
  const history = lines(path.join(run, "predictions.jsonl"));
  const { images } = JSON.parse(fs.readFileSync(path.join(run, "examples/examples.json"), "utf8"));
  const opens = async ({ confusion, predicted }) => {
    const cells = await page.locator("#matrix button").allTextContents();
    assert.deepEqual(cells.map(Number), confusion.flat());
    let opened = 0;
    for (const [label, row] of confusion.entries()) {
      for (const [said, n] of row.entries()) {
        if ((n === 0 && said !== (label + 1) % row.length) || (label > 3 && n > 0 && label !== said)) continue;
        await page.click(`#matrix button[data-label="${label}"][data-predicted="${said}"]`);
        const shown = await page.locator("#cell [data-image]").evaluateAll((all) => all.map((one) => Number(one.dataset.image)));
        const all = images.filter((image) => image.label === label && predicted[image.index] === said).map((image) => image.index);
        assert.deepEqual(shown, all.slice(0, 24), `the images of ${label} as ${said}`);
        assert.ok(n === 0 || shown.length > 0, `an image of ${label} as ${said}`);
        opened += shown.length;
      }
    }
    return opened;
  };
  await page.keyboard.press("End");
  assert.ok((await opens(history[history.length - 1])) > 20, "images behind the cells");
  if (history.length > 1) {
    await page.locator("#slider").evaluate((slider, step) => {
      const probes = JSON.parse(document.getElementById("data").textContent).probes;
      slider.value = probes.findIndex((probe) => probe.step >= step);
      slider.dispatchEvent(new Event("input"));
    }, history[0].step);
    assert.ok((await page.locator("#matrix-note").textContent()).includes("after epoch 1"));
    await opens(history[0]);
  }
  const drawn = await page.locator("#cell canvas, #images canvas").evaluateAll((all) => all.map((canvas) => new Set(canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data).size));
  assert.ok(drawn.length > 20 && drawn.every((colors) => colors > 2), "no image is empty");
}

async function pictures(page, run) {
  const { maps, filters, worst } = JSON.parse(fs.readFileSync(path.join(run, "examples/examples.json"), "utf8"));
  await page.click('#which [data-value="worst"]');
  assert.equal(await page.locator("#images canvas").count(), worst.length);
  assert.equal(await page.locator("#images .wrong").count(), worst.length, "mistakes only");
  await page.click('#which [data-value="samples"]');
  for (const [k, [, blocks]] of maps.entries()) {
    await page.locator("#mapped button").nth(k).click();
    assert.deepEqual(await page.locator("#maps .block b").allTextContents(), blocks.map((block) => block.name));
  }
  assert.equal(await page.locator("#filters canvas").count(), filters.length);
}

/** Of a run that colorizes: the counts of the colors, and a row of pictures for each image. */
async function colors(page, run) {
  const history = lines(path.join(run, "predictions.jsonl"));
  const { confusion } = history[history.length - 1];
  const { colorized, maps, filters } = JSON.parse(fs.readFileSync(path.join(run, "examples/examples.json"), "utf8"));
  await page.keyboard.press("End");
  assert.deepEqual((await page.locator("#matrix button").allTextContents()).map(Number), confusion.flat());
  await page.click('#matrix button[data-label="1"][data-predicted="0"]');
  const said = await page.locator("#cell").textContent();
  assert.ok(said.startsWith(`${String(confusion[1][0]).replace(/\B(?=(\d{3})+$)/g, "\u202f")} of `) && said.includes("were classified as"), said);
  assert.ok(await page.locator("#images-section").isHidden(), "there are no classes of images");
  const columns = colorized.panels.length;
  const known = new Set(JSON.parse(fs.readFileSync(path.join(run, "config.json"), "utf8")).data.classes);
  const first = colorized.images.filter((image, k) => image.index === k).length;
  for (const [which, count] of [["best", colorized.best.length], ["worst", colorized.worst.length], ["first", first]]) {
    await page.click(`#which-colorized [data-value="${which}"]`);
    const drawn = await page.locator("#colorized canvas").evaluateAll((all) => all.map((canvas) => [...canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data].filter((_, k) => k % 4 < 3)));
    assert.equal(drawn.length, columns * count, which);
    for (let row = 0; row < count; row++) {
      const [gray, original, palette, probable] = drawn.slice(row * columns);
      assert.ok(gray.every((x, k) => k % 3 === 0 || x === gray[k - 1]), "the first picture is gray");
      const mean = (pixels) => pixels.reduce((sum, x) => sum + x, 0) / pixels.length;
      for (const other of [original, palette]) assert.ok(Math.abs(mean(other) - mean(gray)) < 20, "about as bright");
      const color = (pixels, k) => `#${pixels.slice(k, k + 3).map((x) => x.toString(16).padStart(2, "0")).join("")}`;
      for (const image of [palette, probable]) assert.ok(image.every((_, k) => k % 3 > 0 || known.has(color(image, k))), "colors of the palette");
    }
  }
  for (const [k, [, blocks]] of maps.entries()) {
    await page.locator("#mapped button").nth(k).click();
    assert.deepEqual(await page.locator("#maps .block b").allTextContents(), blocks.map((block) => block.name));
  }
  assert.equal(await page.locator("#filters canvas").count(), filters.length);
}

async function check(browser, run) {
  const file = path.resolve(run, "report.html");
  const { size } = fs.statSync(file);
  assert.ok(size < 12_000_000, `${file} has ${size} bytes`);
  const name = path.basename(run);
  const windows = [[1280, "light"], [1280, "dark"], [420, "light"], [420, "dark"]];
  await inWindows(browser, file, windows, { name, shots }, async (page, width, scheme) => {
    const drawn = () => page.waitForFunction(() => document.getElementById("count").textContent !== "");
    await drawn();
    if (width === 1280 && scheme === "light") {
      await curves(page, run);
      await slider(page, run);
      if (JSON.parse(fs.readFileSync(path.join(run, "config.json"), "utf8")).data.labeled === "pixels") await colors(page, run);
      else {
        await confusion(page, run);
        await pictures(page, run);
      }
      await page.reload();
      await drawn();
    }
    const luminance = await page.evaluate(() => getComputedStyle(document.body).backgroundColor.match(/\d+/g).slice(0, 3).reduce((sum, c) => sum + Number(c), 0));
    assert.equal(luminance < 300, scheme === "dark", `the background is ${scheme}`);
  });
  console.log(`${name}: ${Math.ceil(size / 1000)} kB`);
}

inChromium(async (browser) => {
  for (const run of given) await check(browser, run);
});
