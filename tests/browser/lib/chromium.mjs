// Chromium through playwright-core as one of the three engines: one profile for all its windows, which may outlive the browser.
import { rename } from 'node:fs/promises';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

/**
 * @param {string} executablePath @param {string[]} flags @param {import('./browser.mjs').Wishes} [wishes]
 * @returns {Promise<import('./browser.mjs').Driver>}
 */
export async function launchChromiumProfile(executablePath, flags, { profile = '', downloads = '', still, forced } = {}) {
  const context = await chromium.launchPersistentContext(profile, {
    executablePath, headless: true, timeout: 180_000, args: flags, viewport: { width: 1280, height: 800 },
    reducedMotion: still ? 'reduce' : 'no-preference', forcedColors: forced ? 'active' : 'none',
  });
  /** @param {import('playwright-core').Page} page @returns {import('./browser.mjs').Driver} */
  const driver = (page) => {
    page.setDefaultTimeout(120_000);
    page.on('download', (file) => { // under its name once it is whole
      const path = join(downloads, file.suggestedFilename());
      if (downloads) file.saveAs(`${path}.part`).then(() => rename(`${path}.part`, path)).catch(() => {});
    });
    const element = async (/** @type {string} */ expression) => {
      const found = (await page.evaluateHandle(expression)).asElement();
      if (!found) throw new Error(`no element: ${expression}`);
      return /** @type {import('playwright-core').ElementHandle<any>} */ (found);
    };
    return {
      name: 'chromium',
      async open(url) { await page.goto(url); },
      evaluate: (expression) => page.evaluate(expression),
      press: (keys) => page.keyboard.press(keys),
      click: (x, y) => page.mouse.click(x, y),
      resize: (width, height) => page.setViewportSize({ width, height }),
      async choose(expression, path) { await (await element(expression)).setInputFiles(path); },
      async drop(x, y, path) {
        const session = await context.newCDPSession(page);
        const data = { items: [], files: [path], dragOperationsMask: 1 };
        for (const type of /** @type {const} */ (['dragEnter', 'dragOver', 'drop']))
          await session.send('Input.dispatchDragEvent', { type, x, y, data });
        await session.detach();
      },
      async within(expression) {
        const frame = await (await element(expression)).contentFrame();
        if (!frame) throw new Error(`no frame: ${expression}`);
        return (inner) => frame.evaluate(inner);
      },
      tab: async () => driver(await context.newPage()),
      async kill() {
        const session = await context.newCDPSession(page);
        const gone = new Promise((resolve) => { context.once('close', () => resolve(undefined)); });
        session.send('Browser.crash').catch(() => {});
        await gone;
      },
      close: () => (page === first ? context.close() : page.close()),
    };
  };
  const first = context.pages()[0] ?? await context.newPage();
  return driver(first);
}
