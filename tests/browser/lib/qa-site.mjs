// The published site in a folder of its own, for the tests of what goes wrong and of who uses the page how.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before } from 'node:test';
import { build } from 'vite';
import { startStaticServer } from '../../../web/cli/static-server.mjs';
import { launchChromium, root } from './browser.mjs';

/** Everything the tests count on is in the link: presets may change. */
export const LINK = '#v=1&model=stories-300k&task=pirate&n=10&bs=16&lr=0.01&r=8&a=16&t=qv';

/** Builds the site; serve() starts servers on it, each with headers of its own. */
export async function buildSite() {
  const folder = mkdtempSync(join(tmpdir(), 'peftlab-site-'));
  /** @type {Awaited<ReturnType<typeof startStaticServer>>[]} */
  const servers = [];
  await build({ configFile: join(root, 'web/vite.config.js'), logLevel: 'error', build: { outDir: folder } });
  return {
    folder,
    /** @param {Record<string, string>} [headers] */
    async serve(headers) {
      const server = await startStaticServer({ root: folder, headers });
      servers.push(server);
      return server;
    },
    async close() {
      await Promise.all(servers.map((server) => server.close()));
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/**
 * The built site, a server on it and a browser, for all tests of a file: there once its tests run, taken away after them.
 * @param {Record<string, string>} [headers] of the server
 * @returns {{built: Awaited<ReturnType<typeof buildSite>>, site: Awaited<ReturnType<typeof startStaticServer>>, browser: Awaited<ReturnType<typeof launchChromium>>}}
 */
export function siteAndBrowser(headers) {
  const own = /** @type {any} */ ({});
  before(async () => {
    own.built = await buildSite();
    own.site = await own.built.serve(headers);
    own.browser = await launchChromium();
  }, { timeout: 120_000 });
  after(async () => {
    await own.browser?.close();
    await own.built?.close();
  });
  return own;
}

/** Somebody else's pages, for all tests of a file: an empty folder, and a server of it on an origin of its own, without our policy. @returns {{folder: string, host: Awaited<ReturnType<typeof startStaticServer>>}} */
export function foreignHost() {
  const own = /** @type {any} */ ({});
  before(async () => {
    own.folder = mkdtempSync(join(tmpdir(), 'peftlab-host-'));
    own.host = await startStaticServer({ root: own.folder, headers: { 'Content-Security-Policy': '' } });
  });
  after(async () => {
    await own.host?.close();
    if (own.folder) rmSync(own.folder, { recursive: true, force: true });
  });
  return own;
}

/** An expression of `lab`, in the page. @param {import('playwright-core').Page} page @param {string} expression */
export const lab = (page, expression) => page.evaluate(`(async () => { const { lab } = document.querySelector('peft-playground'); return (${expression}); })()`);

/** Waits until an expression of `lab` is true (polled from outside: the page's policy forbids eval). @param {import('playwright-core').Page} page @param {string} expression @param {number} [ms] */
export async function until(page, expression, ms = 30_000) {
  for (const end = Date.now() + ms; Date.now() < end; await page.waitForTimeout(50)) if (await lab(page, `Boolean(${expression})`).catch(() => false)) return;
  throw new Error(`after ${ms} ms still not true: ${expression}; status ${await lab(page, 'lab.status')}`);
}
