// Checks the pages in a folder in headless Chromium; scripts/check_pages.sh makes them. With a second argument, saves
// screenshots to that folder.
const assert = require("node:assert/strict");
const fs = require("node:fs");
const path = require("node:path");
const { inChromium, inWindows } = require("./chromium.cjs");

const [folder, shots] = process.argv.slice(2);

/** A printed number: with a true minus sign, perhaps after a sign for the gradient. */
const parse = (text) => Number(text.replace(/−/g, "-").replace(/[∂δ‖\s]/g, ""));
const near = (a, b, digits, what) => assert.ok(Math.abs(a - b) <= 10 ** -digits * Math.abs(b) + 1e-12, `${what}: ${a}, not ${b}`);

/** The data of a page, decoded here and not by its own script. */
function read(file) {
  const text = fs.readFileSync(file, "utf8");
  const data = JSON.parse(text.match(/<script type="application\/json" id="data">(.*?)<\/script>/s)[1]);
  const decode = (array) => {
    if (array === null || Array.isArray(array)) return array;
    const bytes = Buffer.from(array.base64, "base64");
    const size = array.kind === "f64" ? 8 : 4;
    return Array.from({ length: bytes.length / size }, (_, i) => (size === 8 ? bytes.readDoubleLE(8 * i) : bytes.readFloatLE(4 * i)));
  };
  const variables = data.variables.map((v) => ({ ...v, value: decode(v.value), gradient: decode(v.gradient) }));
  return { ...data, variables, size: text.length };
}

const node = (page, id) => page.locator(`[data-variable="${id}"]`);
const shown = async (page, id, what) => (await node(page, id).locator(`text.${what}`).textContent()).trim();
const lastOf = (data) => data.variables.length - 1;

/** A copy of a page as of a net with very large tensors, of which a page carries statistics and single elements only. */
function withoutLargeTensors(name, limit) {
  const text = fs.readFileSync(path.resolve(folder, `${name}.html`), "utf8");
  const [, before, json, after] = text.match(/^(.*<script type="application\/json" id="data">)(.*?)(<\/script>.*)$/s);
  const data = JSON.parse(json);
  for (const of of data.variables) {
    if (of.shape.reduce((a, b) => a * b, 1) > limit) Object.assign(of, { value: null, gradient: null });
  }
  fs.writeFileSync(path.resolve(folder, `${name}-large.html`), before + JSON.stringify(data).replace(/</g, "\\u003c") + after);
}

/** Stepping reveals values from the inputs to the loss, then gradients back to the parameters, each that of the engine. */
async function steps(page, data) {
  await page.keyboard.press("Home");
  const computed = data.variables.map((v, id) => ({ ...v, id })).filter((v) => v.step !== null);
  assert.equal(await shown(page, lastOf(data), "value"), "?", "the loss is not known at the start");
  const total = Number((await page.locator("#slider").getAttribute("max"))) + 1;
  const seen = new Set();
  for (let position = 0; position < total - 1; position++) {
    assert.ok((await page.locator("#count").textContent()).startsWith(`${position + 1} / ${total}`));
    const focus = page.locator(".node.focus");
    assert.equal(await focus.count(), 1, `step ${position} has one node in focus`);
    const id = Number(await focus.getAttribute("data-variable"));
    const isForward = position < computed.length;
    const of = data.variables[id];
    const text = await shown(page, id, isForward ? "value" : "gradient");
    if (of.value?.length === 1 && text) near(parse(text), (isForward ? of.value : of.gradient)[0], 4, `${of.name} at step ${position}`);
    if (isForward) {
      assert.equal(id, data.steps[data.steps.length - 1 - position].output, "the forward pass is in order");
      assert.equal(await shown(page, id, "gradient"), "", "no gradient before the loss");
    }
    if (position !== computed.length) assert.ok((await page.locator(".edge.active").count()) > 0, `step ${position} has an active edge`);
    assert.ok((await page.locator("#step math").count()) > 0, `step ${position} has a formula`);
    if (text) seen.add(`${isForward} ${id}`);
    await page.keyboard.press("ArrowRight");
  }
  for (const [id, v] of data.variables.entries()) {
    assert.ok(v.step === null || seen.has(`true ${id}`), `the value of ${v.name} was shown`);
    assert.ok(v.gradient_numbers === null || seen.has(`false ${id}`), `the gradient of ${v.name} was shown`);
    if (v.value?.length === 1) near(parse(await shown(page, id, "value")), v.value[0], 4, v.name);
  }
  await page.keyboard.press("Home");
  assert.equal(await shown(page, lastOf(data), "value"), "?", "stepping back hides again");
  await page.keyboard.press("End");
}

/** From an element up to the loss: at each level the terms add up to the gradient. */
async function drillDown(page, data, id, element) {
  if (!(await page.locator("table.terms").count())) {
    await node(page, id).click();
    if (element !== null) await page.locator(".maps canvas").first().click({ position: { x: 4, y: 4 } });
  }
  for (let level = 0; level < 40; level++) {
    const rows = page.locator("table.terms tbody tr");
    const cells = await rows.evaluateAll((all) => all.map((row) => [row.className, ...[...row.children].map((cell) => cell.textContent)]));
    const total = parse(cells.find(([kind]) => kind === "total")[5]);
    const terms = cells.filter(([kind]) => kind !== "total").map((row) => parse(row[row.length - 2]));
    const magnitude = terms.reduce((sum, x) => sum + Math.abs(x), 0);
    assert.ok(Math.abs(terms.reduce((a, b) => a + b, 0) - total) <= 5e-5 * magnitude + 1e-12, `${terms} add up to ${total}`);
    for (const [, label, dy, local, , product] of cells.filter(([kind]) => kind === "")) near(parse(dy) * parse(local), parse(product), 3, `the term through ${label}`);
    const up = page.locator("table.terms button.link").first();
    if (!(await up.count())) {
      const through = await page.locator("table.terms tbody tr th").first().textContent();
      assert.ok(through.startsWith(data.variables[lastOf(data)].name), `the way up ends at the loss, not at ${through}`);
      assert.equal(await page.locator("nav.trail button.link").count(), level, "the trail has every level");
      for (let back = level; back > 0; back--) await page.keyboard.press("Escape");
      assert.equal(await page.locator("nav.trail button.link").count(), 0, "the way back");
      await page.keyboard.press("Escape");
      assert.equal(await page.locator("nav.trail").count(), 0);
      return level;
    }
    await up.click();
  }
  throw new Error("the loss was not reached");
}

/** Answers are graded, hints come in stages, nothing is shown before it is answered, and there is a score. */
async function predict(page) {
  await page.click('#mode [data-value="predict"]');
  const answerOf = async () => {
    await page.click("#reveal");
    const text = await page.locator("#step .wrong, #step .right").first().textContent();
    return text.match(/([−\d.e]+)$/)[1].replace(/−/g, "-");
  };
  // A first pass reveals all, a second answers with what was learned.
  const answers = [];
  while (await page.locator("#reveal").count()) answers.push(await answerOf());
  assert.ok(answers.length > 5, `${answers.length} questions`);
  assert.ok((await page.locator("#score").textContent()).startsWith(`Score: 0 of ${3 * answers.length} points`));
  await page.getByRole("button", { name: "Start again" }).click();
  const inside = async () => (await page.locator("#step").innerText()) + (await page.locator("#inspector").innerText());
  assert.ok(!(await page.locator("#step").innerText()).includes("rule"), "the rule is hidden");
  await page.fill("#answer", "123456");
  await page.keyboard.press("Enter");
  assert.equal(await page.locator("#step .wrong").count(), 1, "a wrong answer is called wrong");
  await page.fill("#answer", "eleven");
  await page.keyboard.press("Enter");
  assert.ok((await page.locator("#step .wrong").textContent()).includes("enter a number"));
  for (let stage = 1; stage <= 3; stage++) {
    await page.click("#hint");
    assert.equal(await page.locator(".hints li").count(), stage, "hints come one by one");
  }
  for (const [i, answer] of answers.entries()) {
    if (i % 5 === 1) {
      const ids = await page.locator(".node").evaluateAll((all) => all.map((at) => at.dataset.variable));
      for (const id of ids) {
        await node(page, id).click();
        const isPassed = (await page.locator("#inspector .label", { hasText: "derivative" }).count()) > 0;
        const [value, gradient] = [await shown(page, id, "value"), await shown(page, id, "gradient")];
        if (isPassed) assert.ok(gradient !== "", `the derivative of ${id} is shown before it has a gradient`);
        assert.ok(value !== "?" || !/formula/.test(await inside()), `the formula of ${id} is shown before its value`);
      }
    }
    await page.fill("#answer", answer);
    await page.keyboard.press("Enter");
    assert.ok((await page.locator("#step .right").first().textContent()).startsWith("Right"), `question ${i}: ${answer}`);
  }
  const score = await page.locator("#score").textContent();
  assert.ok(score.startsWith(`Score: ${3 * (answers.length - 1)} of ${3 * answers.length} points`), score);
  await page.click('#mode [data-value="explore"]');
}

async function check(browser, name, limit, body) {
  const file = path.resolve(folder, `${name}.html`);
  const data = read(file);
  assert.ok(data.size < limit, `${name}.html has ${data.size} bytes`);
  await inWindows(browser, file, [[1280, "light"], [420, "dark"]], { name, shots }, async (page, width) => {
    if (width === 1280) await body(page, data);
  });
  console.log(`${name}: ${Math.ceil(data.size / 1000)} kB, ${data.steps.length} operations`);
}

inChromium(async (browser) => {
  await check(browser, "two-neurons", 300_000, async (page, data) => {
    await steps(page, data);
    const w1 = data.variables.findIndex((v) => v.name === "w1");
    // The exact values of this derivation, computed elsewhere.
    near(data.variables[w1].gradient[0], -0.0004765277136764892, 14, "∂E/∂w1");
    near(data.variables.find((v) => v.name === "w5").gradient[0], -0.0012707405698039712, 14, "∂E/∂w5");
    assert.equal(await drillDown(page, data, w1, null), 7);
    await node(page, w1).click();
    assert.equal(await page.locator(".edge.lit").count(), 8, "all edges on the path to the loss are lit");
    const product = await page.locator("#inspector ol .formula").textContent();
    near(parse(product.split("=")[1]), -0.0004765277136764892, 4, "the product along the path");
    assert.ok((await page.locator("#inspector").innerText()).includes("w1 → p1 → h1"));
    await page.click('#notation [data-value="matrix"]');
    assert.ok((await shown(page, w1, "gradient")).startsWith("δ"));
    await page.click('#notation [data-value="index"]');
    await predict(page);
  });
  await check(browser, "mazur", 300_000, async (page, data) => {
    await steps(page, data);
    const w1 = data.variables.findIndex((v) => v.name === "w1");
    await drillDown(page, data, w1, null);
    await node(page, w1).click();
    const paths = await page.locator("#inspector ol .formula").allTextContents();
    assert.equal(paths.length, 2, "w1 has two paths to the error");
    const [first, second] = paths.map((text) => parse(text.split("=")[1]));
    // The published derivative, to more digits.
    near(first + second, 0.0004385677344743465, 4, "the sum over paths");
    near(data.variables[w1].gradient[0], 0.0004385677344743465, 12, "∂E/∂w1");
    await predict(page);
  });
  await check(browser, "xor", 300_000, async (page, data) => {
    await steps(page, data);
    assert.ok((await drillDown(page, data, data.variables.findIndex((v) => v.name === "w1"), 0)) >= 6);
    await node(page, data.variables.findIndex((v) => v.name === "w1")).focus();
    await page.keyboard.press("Enter");
    await page.locator(".maps canvas").first().focus();
    for (const key of ["ArrowRight", "ArrowDown", "Enter"]) await page.keyboard.press(key);
    assert.ok((await page.locator("nav.trail").innerText()).includes("w1[1,1]"), "an element is picked with the keyboard");
    await page.keyboard.press("Escape");
    await predict(page);
  });
  await check(browser, "mnist", 3_000_000, async (page, data) => {
    const pictures = await page.locator("#inspector canvas").count();
    assert.equal(pictures, 3, "value, gradient, and the output gradients that reach the weight");
    assert.ok((await drillDown(page, data, null, null)) >= 9);
    await steps(page, data);
  });
  withoutLargeTensors("mnist", 1000);
  await check(browser, "mnist-large", 500_000, async (page, data) => {
    assert.ok((await drillDown(page, data, null, null)) >= 9);
    await steps(page, data);
    await node(page, data.variables.findIndex((v) => v.name === "fc1.weight")).click();
    await page.locator("#inspector .note button.link").first().click();
    assert.equal(await page.locator("table.terms").count(), 1, "a single element of a large tensor is explained");
    await page.click('#notation [data-value="matrix"]');
    await steps(page, data);
    await predict(page);
  });
  await check(browser, "resnet-block", 1_000_000, async (page, data) => {
    await steps(page, data);
    const x = data.variables.findIndex((v) => v.name === "x");
    await drillDown(page, data, x, 0);
    await page.locator("#slider").focus();
    for (let k = 0; k < 3; k++) await page.keyboard.press("ArrowLeft");
    assert.ok((await page.locator("#step").innerText()).includes("is used 2 times"), "the fan-out is a sum");
    await predict(page);
  });
});
