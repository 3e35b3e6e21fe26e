// Browsers for the tests. Chromium (playwright-core with the system's own binary) does the page tests; Firefox and WebKit join
// the cross-engine tests where they are installed (./build.sh setup --all-browsers). Every launch has a fresh profile.
import assert from 'node:assert/strict';
import {
  accessSync, closeSync, constants, mkdirSync, mkdtempSync, openSync, readdirSync, readFileSync, readSync, realpathSync,
  rmSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';
import { build } from 'vite';
import { startStaticServer } from '../../../web/cli/static-server.mjs';
import { putSite } from './built-site.mjs';
import { launchChromiumProfile } from './chromium.mjs';
import { launchFirefox } from './firefox.mjs';
import { removeFolder } from './folders.mjs';
import { launchWebKit } from './webkit.mjs';

export const root = join(dirname(fileURLToPath(import.meta.url)), '../../..');
/** How long anything that is waited for may take, ms: no wait of a passing test comes near it, also on a machine that is busy elsewhere. */
export const PATIENCE = 120_000;
const CHROMIUM_FLAGS = [
  '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync',
];

/** The first of these programs that exists, with its path, or ''. @param {string[]} names */
export function findProgram(names) {
  const folders = (process.env.PATH ?? '').split(delimiter);
  for (const name of names.filter(Boolean)) {
    for (const path of name.includes('/') ? [name] : folders.map((folder) => join(folder, name))) {
      try {
        accessSync(path, constants.X_OK);
        if (path === process.env.CHROME || !isSnap(path)) return path;
      } catch { /* the next one */ }
    }
  }
  return '';
}

/** A snap, or Ubuntu's script that starts one: it cannot see the profiles these tests make in /tmp. @param {string} path */
function isSnap(path) {
  if (/\/snap$/.test(realpathSync(path))) return true;
  const head = Buffer.alloc(2000);
  const file = openSync(path, 'r');
  readSync(file, head);
  closeSync(file);
  return head.includes('/snap/bin/');
}

export const findChromium = () => findProgram([
  process.env.CHROME ?? '', 'chromium', 'google-chrome', 'google-chrome-stable', 'chromium-browser',
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
]);
function chromiumPath() {
  const path = findChromium();
  assert.ok(path, 'no Chromium found: run ./build.sh setup, or set CHROME to its path');
  return path;
}
export const findFirefox = () => findProgram(['firefox-esr', 'firefox', '/Applications/Firefox.app/Contents/MacOS/firefox']);
export function findWebKit() {
  const tools = ['WebKitWebDriver', 'Xvfb', 'dbus-run-session'].every((name) => findProgram([name]));
  const folders = readdirSafe('/usr/lib').flatMap((name) =>
    readdirSafe(`/usr/lib/${name}`)
      .filter((sub) => sub.startsWith('webkit2gtk-'))
      .map((sub) => `/usr/lib/${name}/${sub}/MiniBrowser`),
  );
  return tools ? findProgram(folders) : '';
}

/** @param {string} path */
function readdirSafe(path) {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}

/**
 * Serves the site as it is published, or with engine: true the page of the engine tests (pages/), bundled like any page that uses
 * the engine; models are under /models/.
 * @param {{engine?: boolean, headers?: Record<string, string>}} [options]
 */
export async function startSite({ engine = false, headers } = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'peftlab-site-'));
  const external = [/^node:/]; // only used in Node
  if (!engine) await putSite(folder);
  else await build({
    configFile: false, root: join(root, 'tests/browser/pages'), base: './', logLevel: 'warn',
    worker: { format: 'es', rollupOptions: { external } },
    build: { outDir: folder, emptyOutDir: true, target: 'es2022', rollupOptions: { external } },
  });
  const site = await startStaticServer({ root: folder, mounts: engine ? { '/models': join(root, 'models') } : {}, headers });
  return {
    ...site,
    async close() {
      await site.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/**
 * @typedef {object} Watched a page and what went wrong on it
 * @property {import('playwright-core').Page} page
 * @property {string[]} errors console errors, uncaught exceptions, failed requests
 * @property {string[]} foreign requests to any other origin
 * @property {() => void} assertClean throws if there is an error or a foreign request
 */

/**
 * Chromium. `open(url, contextOptions)` gives a watched page in a context of its own (nothing shared, nothing stored);
 * `persistent` keeps one profile for all pages instead, for tests of what survives a reload.
 * @param {{persistent?: boolean, args?: string[]}} [options]
 */
export async function launchChromium({ persistent = false, args = [] } = {}) {
  const executablePath = chromiumPath();
  const profile = mkdtempSync(join(tmpdir(), 'peftlab-chromium-'));
  const launch = { executablePath, headless: true, timeout: 2 * PATIENCE, args: [...CHROMIUM_FLAGS, ...args] };
  const browser = persistent ? null : await chromium.launch(launch);
  const shared = persistent ? await chromium.launchPersistentContext(profile, launch) : null;
  return {
    context: shared,
    /** @param {string} url @param {import('playwright-core').BrowserContextOptions} [options] @returns {Promise<Watched>} */
    async open(url, options = {}) {
      const context = shared ?? (await /** @type {import('playwright-core').Browser} */ (browser).newContext(options));
      const page = await context.newPage();
      page.setDefaultTimeout(PATIENCE);
      const watched = watch(page, new URL(url).origin);
      await page.goto(url);
      return watched;
    },
    async close() {
      await (shared ?? browser)?.close();
      await removeFolder(profile);
    },
  };
}

/** @param {import('playwright-core').Page} page @param {string} origin @returns {Watched} */
function watch(page, origin) {
  /** @type {string[]} */
  const errors = [];
  /** @type {string[]} */
  const foreign = [];
  page.on('console', (message) => {
    if (message.type() === 'error') errors.push(`console: ${message.text()} (${message.location().url})`);
  });
  page.on('pageerror', (error) => errors.push(`uncaught: ${error.message}`));
  page.on('crash', () => errors.push('the page crashed'));
  page.on('requestfailed', (request) => {
    // A request that the page itself gave up (navigation, AbortSignal) is no error.
    if (request.failure()?.errorText !== 'net::ERR_ABORTED') errors.push(`failed: ${request.url()} ${request.failure()?.errorText}`);
  });
  page.on('request', (request) => {
    const url = request.url();
    if (/^https?:|^wss?:/.test(url) && new URL(url).origin !== origin) foreign.push(url);
  });
  const assertClean = () => {
    assert.deepEqual(errors, [], 'errors in the page');
    assert.deepEqual(foreign, [], 'requests to other origins');
  };
  return { page, errors, foreign, assertClean };
}

/**
 * Waits until the page has drawn what it was told and nothing fades or slides any more: on its way a text may well be too pale. What
 * pulses by a rule of its own may go on.
 * @param {import('playwright-core').Page} page
 */
const still = (page) => page.evaluate(async (end) => {
  const every = (/** @type {any} */ at) => /** @type {Element[]} */ ([...at.querySelectorAll('*')]
    .flatMap((node) => [node, ...(node.shadowRoot ? every(node.shadowRoot) : [])]));
  const moves = (/** @type {Animation} */ animation) => animation.playState === 'running' && !('animationName' in animation)
    && animation.effect?.getComputedTiming().iterations !== Infinity;
  for (const late = performance.now() + end; performance.now() < late;) {
    for (let frames = 0; frames < 2; frames++) await new Promise((resolve) => { requestAnimationFrame(resolve); });
    if (!every(document).some((node) => node.getAnimations().some(moves))) return;
  }
}, PATIENCE);

/**
 * axe-core on the page as it is once it stands still; throws with one line per violation.
 * @param {import('playwright-core').Page} page @param {{include?: string, tags?: string[]}} [options]
 */
export async function checkAxe(page, { include, tags = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] } = {}) {
  const source = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
  await page.evaluate(source);
  await still(page);
  const violations = await page.evaluate(async ({ selector, values }) => {
    const axe = /** @type {any} */ (globalThis).axe;
    const result = await axe.run(selector ?? document, { runOnly: { type: 'tag', values } });
    return result.violations.map(
      (/** @type {any} */ item) =>
        `${item.id} (${item.impact}): ${item.help} at ${item.nodes
          .slice(0, 4)
          .map((/** @type {any} */ node) => node.target.flat().join(' '))
          .join(' | ')}`,
    );
  }, { selector: include, values: tags });
  assert.deepEqual(violations, [], 'accessibility');
}

/** Waits until a page has drawn what it was told, twice: what watches sizes answers a frame later. @param {import('playwright-core').Page} page */
export const drawn = (page) => page.evaluate(async () => {
  for (let frames = 0; frames < 4; frames++) await new Promise((resolve) => { requestAnimationFrame(resolve); });
});

/**
 * Waits until the page, just made so wide, does not scroll sideways: it turns to another width within some
 * frames, on a busy machine later.
 * @param {import('playwright-core').Page} page @param {number} width
 */
export async function fits(page, width) {
  await drawn(page);
  const wide = () => page.evaluate(() => document.documentElement.scrollWidth);
  for (const end = Date.now() + PATIENCE; Date.now() < end && (await wide()) > width;) await page.waitForTimeout(50);
  assert.ok((await wide()) <= width, `${await wide()} px wide in a window of ${width} px`);
}

/** Saves build/screenshots/<name>.png. @param {import('playwright-core').Page} page @param {string} name @param {{fullPage?: boolean}} [options] */
export async function screenshot(page, name, { fullPage = false } = {}) {
  const folder = join(root, 'build/screenshots');
  mkdirSync(folder, { recursive: true });
  const path = join(folder, `${name}.png`);
  await page.screenshot({ path, fullPage });
  return path;
}

/**
 * @typedef {object} Wishes of a browser that the tests of all engines start
 * @property {string} [profile] folder of what outlives the browser; WebKit's under a driver keeps nothing
 * @property {string} [downloads] folder of what is saved
 * @property {boolean} [still] prefers-reduced-motion
 * @property {boolean} [forced] forced colours; WebKit has none
 */
/**
 * @typedef {object} Driver what all three engines can do, each by its own input
 * @property {string} name
 * @property {(url: string) => Promise<void>} open
 * @property {(expression: string) => Promise<any>} evaluate awaits the expression in the page; its value must be JSON
 * @property {(keys: string) => Promise<void>} press a key as a person presses it: Tab, Enter, Control+V
 * @property {(x: number, y: number) => Promise<void>} click where something is in the window
 * @property {(width: number, height: number) => Promise<void>} resize the window; WebKit's is at least 447 wide
 * @property {(input: string, path: string) => Promise<void>} choose a file of the disk in the file input of this expression
 * @property {(frame: string) => Promise<(expression: string) => Promise<any>>} within evaluates in the frame of this expression
 * @property {() => Promise<Driver>} tab another window of the same profile; close() ends it alone
 * @property {(x: number, y: number, path: string) => Promise<void>} [drop] a file of the disk, dropped by the system
 * @property {() => Promise<void>} [kill] ends the browser at once, as a crash does
 * @property {() => Promise<void>} close
 */

/** The engines of this machine; Chromium is always among them, and its launch fails where it is missing. */
export function engines() {
  const firefox = findFirefox();
  const webkit = findWebKit();
  /** @type {{name: string, launch: (wishes?: Wishes) => Promise<Driver>}[]} */
  const found = [{ name: 'chromium', launch: (wishes) => launchChromiumProfile(chromiumPath(), CHROMIUM_FLAGS, wishes) }];
  if (firefox) found.push({ name: 'firefox', launch: (wishes) => launchFirefox(firefox, wishes) });
  if (webkit) found.push({ name: 'webkit', launch: (wishes) => launchWebKit(webkit, wishes) });
  return found;
}
