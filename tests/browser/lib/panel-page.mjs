// One panel in a page of its own, built once per test file; models are under /models/.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from 'vite';
import { startStaticServer } from '../../../web/cli/static-server.mjs';
import { checkAxe, fits, launchChromium, PATIENCE, root, screenshot } from './browser.mjs';

/**
 * Waits until an expression is true in the page (waitForFunction needs eval, which the page's security policy forbids).
 * @param {import('playwright-core').Page} page @param {string} expression @param {number} [ms]
 */
export async function until(page, expression, ms = PATIENCE) {
  for (const end = Date.now() + ms; Date.now() < end; await page.waitForTimeout(50)) if (await page.evaluate(`Boolean(${expression})`)) return;
  throw new Error(`after ${ms} ms still not true: ${expression}`);
}

/** Builds the page of one panel, in a folder of its own, and serves it. @param {string} name of the panel */
export async function startPanel(name) {
  const folder = mkdtempSync(join(tmpdir(), 'peftlab-panel-'));
  await build({
    configFile: false, root: join(root, 'tests/browser/pages/panels'), base: './', logLevel: 'error', worker: { format: 'es' },
    resolve: { alias: { '#panel': join(root, `web/elements/panel-${name}.js`) } },
    build: { outDir: folder, emptyOutDir: true, target: 'es2022', minify: false, chunkSizeWarningLimit: 5000 },
  });
  const site = await startStaticServer({ root: folder, mounts: { '/models': join(root, 'models') } });
  const browser = await launchChromium();
  return {
    browser,
    /** @param {Record<string, string>} [query] @param {import('playwright-core').BrowserContextOptions} [options] */
    async open(query = {}, options = {}) {
      const watched = await browser.open(`${site.url}?${new URLSearchParams({ panel: name, ...query })}`, options);
      await until(watched.page, 'globalThis.panel').catch((error) => { throw new Error([error.message, ...watched.errors].join('\n')); });
      return { ...watched, panel: watched.page.locator(`peft-panel-${name}`) };
    },
    async close() {
      await browser.close();
      await site.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/**
 * axe in both themes, a screenshot of each and of a phone, and no sideways scrolling at 320 px.
 * @param {import('playwright-core').Page} page @param {string} name
 */
export async function checkLooks(page, name) {
  for (const theme of ['light', 'dark']) {
    await page.evaluate(`document.documentElement.dataset.theme = '${theme}'`);
    await checkAxe(page);
    await screenshot(page, `panel-${name}-${theme}`, { fullPage: true });
  }
  const before = page.viewportSize();
  await page.setViewportSize({ width: 320, height: 640 });
  await fits(page, 320);
  await screenshot(page, `panel-${name}-phone`, { fullPage: true });
  if (before) await page.setViewportSize(before);
}
