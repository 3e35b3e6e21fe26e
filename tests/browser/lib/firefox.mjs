// Firefox through puppeteer-core and WebDriver BiDi: the stock binary, no patched build and no geckodriver.
import puppeteer from 'puppeteer-core';
import { arrived } from './arrived.mjs';

/**
 * @param {string} executablePath @param {import('./browser.mjs').Wishes} [wishes]
 * @returns {Promise<import('./browser.mjs').Driver>}
 */
export async function launchFirefox(executablePath, { profile, downloads, still, forced } = {}) {
  const browser = await puppeteer.launch({
    browser: 'firefox', executablePath, headless: true, timeout: 180_000, protocolTimeout: 300_000, userDataDir: profile,
    extraPrefsFirefox: {
      ...(downloads && { 'browser.download.folderList': 2, 'browser.download.dir': downloads }),
      ...(still && { 'ui.prefersReducedMotion': 1 }),
      ...(forced && { 'browser.display.document_color_use': 2 }), // the page's colours never: what forced colours are here
    },
  });
  const front = { page: await browser.newPage() };
  const first = front.page;
  /** @param {import('puppeteer-core').Page} page @returns {import('./browser.mjs').Driver} */
  const driver = (page) => {
    /** What is behind another tab draws nothing. */
    const seen = async () => {
      if (front.page === page) return;
      front.page = page;
      await page.bringToFront();
    };
    const element = async (/** @type {string} */ expression) => {
      const found = (await page.evaluateHandle(expression)).asElement();
      if (!found) throw new Error(`no element: ${expression}`);
      return /** @type {import('puppeteer-core').ElementHandle<any>} */ (found);
    };
    return {
      name: 'firefox',
      async open(url) {
        await seen();
        await page.goto(url, { timeout: 120_000 });
        await arrived((expression) => page.evaluate(expression), url);
      },
      async evaluate(expression) {
        await seen();
        return page.evaluate(expression);
      },
      async press(keys) {
        const names = /** @type {any[]} */ (keys.split('+').map((name) => (name.length === 1 ? name.toLowerCase() : name)));
        for (const name of names) await page.keyboard.down(name);
        for (const name of names.reverse()) await page.keyboard.up(name);
      },
      click: (x, y) => page.mouse.click(x, y),
      resize: (width, height) => page.setViewport({ width, height }),
      async choose(expression, path) { await (await element(expression)).uploadFile(path); },
      async within(expression) {
        const frame = await (await element(expression)).contentFrame();
        if (!frame) throw new Error(`no frame: ${expression}`);
        return (inner) => frame.evaluate(inner);
      },
      async tab() {
        front.page = await browser.newPage();
        return driver(front.page);
      },
      async kill() {
        const child = browser.process();
        const gone = new Promise((resolve) => { child?.once('exit', resolve); });
        child?.kill('SIGKILL');
        await gone;
      },
      close: () => (page === first ? browser.close() : page.close()),
    };
  };
  return driver(first);
}
