// Looks at status pages in Chromium: pictures, accessibility, what the script makes of the figures.
//
// Standard input: {"chromium": path, "folder": for pictures, "pages": {state: url}}.
// Standard output: {"faults": [sentence]}; none means that everything is as it should be.
"use strict";

const { join } = require("node:path");
const { readFileSync } = require("node:fs");
const { chromium } = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf-8");

const SCREENS = {
  light: { viewport: { width: 1000, height: 620 }, colorScheme: "light" },
  dark: { viewport: { width: 1000, height: 620 }, colorScheme: "dark" },
  phone: { viewport: { width: 360, height: 740 }, colorScheme: "light", isMobile: true, hasTouch: true },
};
const faults = [];

async function opened(browser, url, options, before = async () => {}) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  const where = new URL(url).origin;
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) faults.push(`${url}: the console says ${message.text()}`);
  });
  page.on("pageerror", (error) => faults.push(`${url}: the script fails with ${error.message}`));
  page.on("request", (request) => {
    if (new URL(request.url()).origin !== where) faults.push(`${url}: asks outside, for ${request.url()}`);
  });
  await before(page);
  await page.goto(url);
  return page;
}

// So that a countdown shows what the gateway wrote.
async function stopClock(page) {
  await page.clock.install();
  await page.clock.pauseAt(Date.now() + 60000);
}

const renewed = (page, times) => page.waitForFunction((n) => Number(document.body.dataset.renewals) >= n, times);

// The body as it stands, without what only the script writes.
const body = (page) =>
  page.evaluate(() => {
    const copy = document.body.cloneNode(true);
    delete copy.dataset.renewals;
    for (const element of copy.querySelectorAll("#renewal, noscript, template")) element.remove();
    for (const element of copy.querySelectorAll("[hidden]")) {
      element.removeAttribute("hidden"); // where it stands among the attributes says nothing
      element.setAttribute("hidden", "");
    }
    return `${document.title}\n${copy.outerHTML.replaceAll("><", ">\n<")}`;
  });

async function checkScreen(browser, [state, url], [screen, options], folder) {
  const page = await opened(browser, url, { ...options, bypassCSP: true }); // for axe; the policy is checked elsewhere
  await renewed(page, 1);
  await page.screenshot({ path: join(folder, `${state}-${screen}.png`), fullPage: screen !== "light" });
  await page.evaluate(axe);
  for (const found of (await page.evaluate(() => window.axe.run())).violations) {
    faults.push(`${state}, ${screen}: axe finds ${found.id}: ${found.nodes.map((node) => node.html).join(" ").slice(0, 300)}`);
  }
  if (await page.evaluate(() => document.documentElement.scrollWidth > window.innerWidth)) {
    faults.push(`${state}, ${screen}: wider than the screen`);
  }
  await page.context().close();
}

// The script must make of a page, whatever it showed before, what the gateway makes of the same figures.
async function checkRenewal(browser, pages) {
  const urls = Object.values(pages);
  for (const [state, url] of Object.entries(pages)) {
    const plain = await opened(browser, url, {}, (page) =>
      page.route("**/page.js", (route) => route.fulfill({ contentType: "text/javascript", body: "" })),
    );
    const expected = await body(plain);
    await plain.context().close();
    for (const start of new Set([urls[0], urls[urls.length - 1], url])) {
      const page = await opened(browser, start, {}, async (fresh) => {
        await stopClock(fresh);
        await fresh.route("**/status", async (route) => route.fulfill({ response: await route.fetch({ url: `${url}/status` }) }));
      });
      await renewed(page, 1);
      const made = await body(page);
      if (made !== expected) faults.push(`${state}: the script and the gateway differ: ${difference(made, expected)}`);
      await page.context().close();
    }
  }
}

function difference(made, expected) {
  const [left, right] = [made.split("\n"), expected.split("\n")];
  const place = left.findIndex((line, at) => line !== right[at]);
  return `${left[place]} is not ${right[place]}`;
}

async function checkScript(browser, [state, url]) {
  const page = await opened(browser, url, {}, (fresh) => fresh.clock.install());
  await renewed(page, 1);
  await page.clock.runFor(5000);
  await renewed(page, 2);
  const before = await page.locator(".windows [data-as=left] >> nth=0").innerText();
  await page.clock.runFor(1000);
  const after = await page.locator(".windows [data-as=left] >> nth=0").innerText();
  if (before === after) faults.push(`${state}: the countdown stands still at ${before}`);
  await page.context().close();
}

async function checkSilence(browser, [state, url]) {
  const page = await opened(browser, url, {}, async (fresh) => {
    await fresh.clock.install();
    await fresh.route("**/status", (route) => route.fulfill({ status: 503, body: "" }));
  }).catch((error) => faults.push(String(error)));
  await renewed(page, 1);
  if (!(await page.locator("#renewal").innerText()).startsWith("Not renewed")) faults.push(`${state}: an old page looks new`);
  faults.splice(0, faults.length, ...faults.filter((fault) => !fault.includes("503"))); // the browser tells of it too
  await page.context().close();
}

async function checkPolicy(browser, [state, url]) {
  const page = await opened(browser, url, {});
  const ran = await page.evaluate(() => {
    const script = document.createElement("script");
    script.textContent = "window.ran = true";
    document.body.append(script);
    return window.ran === true;
  });
  if (ran) faults.push(`${state}: a script inside the page runs`);
  faults.splice(0, faults.length, ...faults.filter((fault) => !fault.includes("Content Security Policy")));
  await page.context().close();
}

async function main({ chromium: executablePath, folder, pages }) {
  const args = process.getuid() === 0 ? ["--no-sandbox"] : [];
  const browser = await chromium.launch({ executablePath, args });
  const [healthy] = Object.entries(pages);
  try {
    for (const page of Object.entries(pages)) {
      for (const screen of Object.entries(SCREENS)) await checkScreen(browser, page, screen, folder);
    }
    await checkRenewal(browser, pages);
    await checkScript(browser, healthy);
    await checkSilence(browser, healthy);
    await checkPolicy(browser, healthy);
  } finally {
    await browser.close();
  }
  console.log(JSON.stringify({ faults }));
}

main(JSON.parse(readFileSync(0, "utf-8"))).catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
