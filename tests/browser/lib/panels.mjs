// Panels alone in a foreign page (pages/panel.html), for the panels' tests.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from 'vite';
import { startStaticServer } from '../../../web/cli/static-server.mjs';
import { checkAxe, fits, launchChromium, root, screenshot } from './browser.mjs';

/** Builds the page for one panel and serves it with the models. @param {string} name of the panel */
export async function startPanels(name) {
  const folder = mkdtempSync(join(tmpdir(), 'peftlab-panel-'));
  const pages = join(root, 'tests/browser/pages');
  await build({
    plugins: [{ name: 'panel', resolveId: (id) => (id === 'virtual:panel' ? join(root, `web/elements/panel-${name}.js`) : undefined) }],
    configFile: false, root: pages, base: './', logLevel: 'error', worker: { format: 'es' },
    build: {
      outDir: folder, emptyOutDir: true, target: 'es2022', minify: false, modulePreload: false,
      chunkSizeWarningLimit: 4000,
      rollupOptions: { input: join(pages, 'panel.html') },
    },
  });
  const site = await startStaticServer({ root: folder, mounts: { '/models': join(root, 'models') } });
  const browser = await launchChromium();
  return {
    /**
     * @param {Record<string, string | number>} settings panel, model, task, method, theme, …
     * @param {import('playwright-core').BrowserContextOptions} [options]
     */
    async open(settings, options = {}) {
      const query = new URLSearchParams({ panel: name, model: 'stories-300k', task: 'mood', ...settings });
      const watched = await browser.open(`${new URL('panel.html', site.url).href}?${query}`, {
        viewport: { width: 1200, height: 900 },
        reducedMotion: 'reduce',
        ...options,
      });
      await watched.page
        .waitForFunction(() => /** @type {any} */ (globalThis).panel?.shadowRoot?.firstElementChild)
        .catch((error) => {
          throw new Error(`${watched.errors.join('; ')} ${error.message}`);
        });
      return watched;
    },
    async close() {
      await browser.close();
      await site.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/**
 * axe in both themes, and no sideways scrolling at 320 px; leaves screenshots light, dark and phone.
 * @param {import('playwright-core').Page} page @param {string} name
 */
export async function checkLooks(page, name) {
  for (const theme of ['dark', 'light']) {
    await page.evaluate((name) => { document.documentElement.dataset.theme = /** @type {any} */ (globalThis).panel.theme = name; }, theme);
    await checkAxe(page);
    await screenshot(page, `panel-${name}-${theme}`, { fullPage: true });
  }
  const before = page.viewportSize();
  await page.setViewportSize({ width: 320, height: 640 });
  await fits(page, 320);
  await screenshot(page, `panel-${name}-phone`, { fullPage: true });
  if (before) await page.setViewportSize(before);
}
