// Opens pages in headless Chromium, and checks what holds for all of them.
const assert = require("node:assert/strict");
const path = require("node:path");
const { chromium } = require("playwright-core");

/** Runs checks that need a browser, and ends the program with 1 if one fails. */
function inChromium(checks) {
  const run = async () => {
    const browser = await chromium.launch({
      executablePath: process.env.CHROMIUM,
      args: ["--no-sandbox", "--disable-quic", "--disable-background-networking"],
    });
    try {
      await checks(browser);
    } finally {
      await browser.close();
    }
  };
  run().catch((error) => {
    console.error(error);
    process.exit(1);
  });
}

/**
 * Opens a file in windows of these widths and color schemes, where `checks(page, width, scheme)` looks at it: it must not
 * report an error or a message, request anything, or be wider than the window. `shots` is a folder for screenshots, or null.
 */
async function inWindows(browser, file, windows, { name, shots }, checks) {
  for (const [width, scheme] of windows) {
    const page = await browser.newPage({ viewport: { width, height: 900 }, colorScheme: scheme });
    const problems = [];
    page.on("pageerror", (error) => problems.push(error.message));
    page.on("console", (message) => problems.push(message.text()));
    page.on("request", (request) => request.url() === `file://${file}` || request.url().startsWith("data:") || problems.push(`a request to ${request.url()}`));
    await page.goto(`file://${file}`);
    await checks(page, width, scheme);
    const [inner, scroll] = await page.evaluate(() => [innerWidth, document.documentElement.scrollWidth]);
    assert.ok(scroll <= inner, `${name} is ${scroll} wide in a window of ${inner}`);
    if (shots) await page.screenshot({ path: path.join(shots, `${name}-${width}-${scheme}.png`), fullPage: true });
    assert.deepEqual(problems, [], name);
    await page.close();
  }
}

module.exports = { inChromium, inWindows };
