// Firefox through puppeteer-core and WebDriver BiDi: the stock binary, no patched build and no geckodriver.
import { once } from 'node:events';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import puppeteer from 'puppeteer-core';
import { arrived } from './arrived.mjs';
import { removeFolder } from './folders.mjs';

/**
 * @param {string} executablePath @param {import('./browser.mjs').Wishes} [wishes]
 * @returns {Promise<import('./browser.mjs').Driver>}
 */
export async function launchFirefox(executablePath, { profile, downloads, still, forced } = {}) {
  // A profile of puppeteer's own is removed after five seconds, also under a Firefox that is still ending; what fails then fails the file.
  const own = profile ? '' : mkdtempSync(join(tmpdir(), 'peftlab-firefox-'));
  const browser = await puppeteer.launch({
    browser: 'firefox', executablePath, headless: true, timeout: 180_000, protocolTimeout: 300_000, userDataDir: profile || own,
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
        // While a way that the page took by itself has not ended for puppeteer, it never sees the beginning of another one.
        await page.goto(url, { timeout: 30_000 }).catch((error) => { if (error.name !== 'TimeoutError') throw error; });
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
      async close() {
        if (page !== first) return page.close();
        const child = browser.process();
        const gone = child && child.exitCode === null && child.signalCode === null && once(child, 'exit');
        await browser.close();
        await gone;
        if (own) await removeFolder(own);
      },
    };
  };
  return driver(first);
}
