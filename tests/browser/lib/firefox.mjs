// Firefox through puppeteer-core and WebDriver BiDi: the stock binary, no patched build and no geckodriver.
import puppeteer from 'puppeteer-core';

/** @param {string} executablePath @returns {Promise<import('./browser.mjs').Driver>} */
export async function launchFirefox(executablePath) {
  const browser = await puppeteer.launch({ browser: 'firefox', executablePath, headless: true, protocolTimeout: 300_000 });
  const page = await browser.newPage();
  return {
    name: 'firefox',
    async open(url) {
      await page.goto(url, { timeout: 60_000 });
    },
    evaluate: (expression) => page.evaluate(expression),
    async press(keys) {
      const names = /** @type {any[]} */ (keys.split('+').map((name) => (name.length === 1 ? name.toLowerCase() : name)));
      for (const name of names) await page.keyboard.down(name);
      for (const name of names.reverse()) await page.keyboard.up(name);
    },
    close: () => browser.close(),
  };
}
