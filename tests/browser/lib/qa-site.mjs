// The published site in a folder of its own, for the tests of what goes wrong and of who uses the page how.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { startStaticServer } from '../../../web/cli/static-server.mjs';
import { launchChromium, PATIENCE } from './browser.mjs';
import { putSite } from './built-site.mjs';

/** Everything the tests count on is in the link: presets may change. */
export const LINK = '#v=1&model=stories-300k&task=pirate&n=10&bs=16&lr=0.01&r=8&a=16&t=qv';

/** The site in a folder of its own; serve() starts servers on it, each with headers of its own. */
export async function buildSite() {
  const folder = mkdtempSync(join(tmpdir(), 'peftlab-site-'));
  /** @type {Awaited<ReturnType<typeof startStaticServer>>[]} */
  const servers = [];
  await putSite(folder);
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
 * @returns {{built: Awaited<ReturnType<typeof buildSite>>, site: Awaited<ReturnType<typeof startStaticServer>>,
 *   browser: Awaited<ReturnType<typeof launchChromium>>}}
 */
export function siteAndBrowser(headers) {
  const own = /** @type {any} */ ({});
  before(async () => {
    own.built = await buildSite();
    own.site = await own.built.serve(headers);
    own.browser = await launchChromium();
  }, { timeout: 600_000 });
  after(async () => {
    await own.browser?.close();
    await own.built?.close();
  });
  return own;
}

/**
 * A way to open the page, in a context of its own that ends with the test, and to wait until one can train on it.
 * @param {ReturnType<typeof siteAndBrowser>} own
 * @param {{width?: number}} [usual] of the window
 */
export function opener(own, { width = 1400 } = {}) {
  /** @param {import('node:test').TestContext} context @param {string} hash @param {import('playwright-core').BrowserContextOptions} [options] */
  return async (context, hash, options = {}) => {
    const watched = await own.browser.open(`${own.site.url}${hash}`, { viewport: { width, height: 900 }, ...options });
    context.after(() => watched.page.context().close());
    await until(watched.page, 'lab.status === "ready"');
    return watched;
  };
}

/**
 * Somebody else's pages, for all tests of a file: an empty folder, and a server of it on an origin of
 * its own, without our policy.
 * @returns {{folder: string, host: Awaited<ReturnType<typeof startStaticServer>>}}
 */
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

/** A page of playwright's, or a driver of any engine. @typedef {{evaluate: (expression: string) => Promise<any>}} Evaluates */

/** An expression of `lab`, in the page. @param {Evaluates} page @param {string} expression */
export const lab = (page, expression) =>
  page.evaluate(`(async () => { const { lab } = document.querySelector('peft-playground'); return (${expression}); })()`);

/**
 * Waits until an expression of `lab` is true (polled from outside: the page's policy forbids eval).
 * @param {Evaluates} page @param {string} expression @param {number} [ms]
 */
export async function until(page, expression, ms = PATIENCE) {
  for (const end = Date.now() + ms; Date.now() < end; await sleep(50))
    if (await lab(page, `Boolean(${expression})`).catch(() => false)) return;
  throw new Error(`after ${ms} ms still not true: ${expression}; status ${await lab(page, 'lab.status')}`);
}

/**
 * Asserts what a page shows or stores a little later than it knows it, on a busy machine later still.
 * @param {() => Promise<any>} read @param {any} expected @param {string} [message] @param {number} [ms]
 */
export async function eventually(read, expected, message, ms = PATIENCE) {
  for (const end = Date.now() + ms; Date.now() < end; await sleep(50)) if (isDeepStrictEqual(await read(), expected)) return;
  assert.deepEqual(await read(), expected, message);
}

/**
 * Asserts words that the page shows a little later than it knows them.
 * @param {() => Promise<any>} read @param {RegExp} pattern @param {string} [message]
 */
export async function says(read, pattern, message) {
  for (const end = Date.now() + PATIENCE; Date.now() < end; await sleep(50)) if (pattern.test(await read() ?? '')) return;
  assert.match(await read(), pattern, message);
}

/** `stored(NAME)` in the page: what its storage has under a name. The page must have opened its storage before. */
const STORED = `const stored = (name) => new Promise((resolve) => { indexedDB.open('peftlab').onsuccess = ({ target: { result } }) => {
  result.transaction('values').objectStore('values').get(name).onsuccess = (event) => { result.close(); resolve(event.target.result); }; }; });`;

/**
 * Whether everything is where the next visit finds it: settings and finished runs in the storage, own text too; task
 * and language also in the address.
 */
const KEPT = `(async () => { const { lab } = document.querySelector('peft-playground');
  const [session, own] = [await stored('session'), await stored('own')];
  const runs = lab.runs.filter(({ status }) => ['done', 'stopped'].includes(status)).map(({ id, status }) => id + status);
  return JSON.stringify(session?.state) === JSON.stringify(lab.state)
    && JSON.stringify(session.runs.map(({ id, status }) => id + status)) === JSON.stringify(runs)
    && (lab.state.task !== 'own-data' || (own && location.hash.includes('task=own-data')))
    && (!lab.state.lang || location.hash.includes('lang=' + lab.state.lang)); })()`;

/** Waits until the next visit finds settings and runs as they are. @param {Evaluates} page */
export const kept = (page) =>
  eventually(() => page.evaluate(`(() => { ${STORED} return ${KEPT}; })().then(Boolean)`), true, 'settings and runs are stored');

/**
 * What the page's storage has.
 * @param {Evaluates} page @param {string} name @param {string} [of] an expression of it, `value`
 */
export const stored = (page, name, of = 'value') =>
  page.evaluate(`(async () => { ${STORED} const value = await stored('${name}'); return ${of}; })()`);

/**
 * Begins a training, or looks at the one that runs, until a snapshot of some steps of it is stored, and with it all that
 * a later visit needs. Looked at from within the page: the run must not end meanwhile.
 * @param {Evaluates} page
 * @param {{begin?: boolean, seconds?: number, reload?: boolean}} [options] seconds between snapshots; reload: at once
 */
export async function trainToSnapshot(page, { begin = true, seconds = 0.3, reload = false } = {}) {
  const waiting = page.evaluate(`(async () => { ${STORED}
    const { lab } = document.querySelector('peft-playground');
    globalThis.visit = true;
    lab.snapshotSeconds = ${seconds};
    const before = ${begin} ? lab.run : null;
    if (${begin}) lab.train().catch(() => {});
    const enough = (open) => open && open.run.id === lab.run?.id && open.step >= 5;
    while (!(enough(await stored('open')) && await ${KEPT})) {
      if (lab.run !== before && ['done', 'failed'].includes(lab.run?.status)) throw new Error('over before a snapshot was stored: ' + lab.run.status);
      await new Promise((resolve) => { setTimeout(resolve, 10); });
    }
    const { status } = lab;
    if (${reload}) setTimeout(() => location.reload()); // once the answer is on its way
    return status; })()`);
  const status = await waiting.catch((error) => { if (!reload || /over before/.test(error)) throw error; }); // a reload may be faster
  assert.ok([undefined, 'training'].includes(status), `in mid-training, but ${status}`);
  if (reload) await eventually(() => page.evaluate('Boolean(globalThis.visit)').catch(() => true), false, 'the page is another');
}
