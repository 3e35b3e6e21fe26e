// WebKitGTK through WebKitWebDriver: a display of its own (Xvfb), a message bus of its own, and the few WebDriver calls we need.
// It is not Safari: no SharedArrayBuffer by default, no navigator.storage.
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { arrived } from './arrived.mjs';
import { removeFolder } from './folders.mjs';

/** Keys that are no characters, as WebDriver names them. @type {Record<string, string>} */
const KEYS = { Tab: '\uE004', Enter: '\uE007', Shift: '\uE008', Control: '\uE009', ArrowLeft: '\uE012', ArrowRight: '\uE014' };

/** @returns {Promise<number>} */
function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer().on('error', reject).listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address ? address.port : 0));
    });
  });
}

/** Starts Xvfb on a free display. @returns {Promise<{display: string, stop: () => void}>} */
function startDisplay() {
  return new Promise((resolve, reject) => {
    const child = spawn('Xvfb', ['-displayfd', '1', '-screen', '0', '1280x900x24', '-nolisten', 'tcp'], { stdio: ['ignore', 'pipe', 'ignore'] });
    const timer = setTimeout(() => reject(new Error('Xvfb gave no display within two minutes')), 120_000);
    child.on('error', reject);
    child.stdout.once('data', (data) => {
      clearTimeout(timer);
      resolve({ display: `:${String(data).trim()}`, stop: () => child.kill() });
    });
  });
}

/** Ends a process and everything it started (it leads its own group). @param {import('node:child_process').ChildProcess} child */
function endGroup(child) {
  try {
    if (child.pid) process.kill(-child.pid, 'SIGTERM');
  } catch { /* it has ended already */ }
}

/**
 * @param {string} browser path of MiniBrowser @param {import('./browser.mjs').Wishes} [wishes]
 * @returns {Promise<import('./browser.mjs').Driver>}
 */
export async function launchWebKit(browser, { downloads, still } = {}) {
  const screen = await startDisplay();
  const folder = mkdtempSync(join(tmpdir(), 'peftlab-webkit-')); // mode 0700, as XDG_RUNTIME_DIR must be
  const settings = join(folder, '.config');
  mkdirSync(join(settings, 'gtk-3.0'), { recursive: true });
  if (still) writeFileSync(join(settings, 'gtk-3.0/settings.ini'), '[Settings]\ngtk-enable-animations=0\n');
  if (downloads) writeFileSync(join(settings, 'user-dirs.dirs'), `XDG_DOWNLOAD_DIR="${downloads}"\n`);
  const start = (/** @type {number} */ port) => spawn('dbus-run-session', ['--', 'WebKitWebDriver', `--port=${port}`, '--host=127.0.0.1'], {
    detached: true,
    stdio: 'ignore',
    env: {
      ...process.env, DISPLAY: screen.display, XDG_RUNTIME_DIR: folder, HOME: folder, WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS: '1',
      WEBKIT_DISABLE_COMPOSITING_MODE: '1', LIBGL_ALWAYS_SOFTWARE: '1',
    },
  });
  let port = await freePort();
  let child = start(port);
  /** @param {string} method @param {string} path @param {object} [body] */
  async function call(method, path, body) {
    const response = await fetch(`http://127.0.0.1:${port}${path}`, { method, body: body && JSON.stringify(body) });
    const { value } = /** @type {{value: any}} */ (await response.json());
    if (!response.ok) throw new Error(`WebKitWebDriver: ${value?.error}: ${value?.message}`);
    return value;
  }
  for (let tries = 0; ; tries++) {
    if (await call('GET', '/status').catch(() => null)) break;
    if (tries > 1200) throw new Error('WebKitWebDriver did not answer within two minutes');
    await sleep(100);
    if (child.exitCode === null) continue;
    port = await freePort(); // somebody took it between our asking and its listening
    child = start(port);
  }
  const options = { 'webkitgtk:browserOptions': { binary: browser, args: ['--automation'] } };
  const { sessionId } = await call('POST', '/session', { capabilities: { alwaysMatch: options } });
  const session = `/session/${sessionId}`;
  await call('POST', `${session}/timeouts`, { script: 300_000, pageLoad: 120_000 });
  let front = await call('GET', `${session}/window`);
  /** @param {string} handle of the window @returns {import('./browser.mjs').Driver} */
  const driver = (handle) => {
    /** Everything happens in the window that is chosen. */
    const seen = async () => {
      if (front === handle) return;
      front = handle;
      await call('POST', `${session}/window`, { handle });
    };
    /** @param {string} expression */
    const element = async (expression) => {
      await seen();
      const found = await call('POST', `${session}/execute/sync`, { script: `return ${expression}`, args: [] });
      if (!found) throw new Error(`no element: ${expression}`);
      return found;
    };
    /** @param {string} expression @returns {Promise<any>} */
    const evaluate = async (expression) => {
      await seen();
      const script = `const done = arguments[arguments.length - 1];
        (async () => (${expression}))().then((value) => done({ value }), (error) => done({ error: String(error) }));`;
      const { value, error } = await call('POST', `${session}/execute/async`, { script, args: [] });
      if (error) throw new Error(error);
      return value;
    };
    const act = (/** @type {object} */ actions) => call('POST', `${session}/actions`, { actions: [actions] });
    return {
      name: 'webkit',
      async open(url) {
        await seen();
        await call('POST', `${session}/url`, { url });
        await arrived(evaluate, url);
      },
      evaluate,
      async press(keys) {
        const values = keys.split('+').map((name) => KEYS[name] ?? name.toLowerCase());
        const moves = [...values.map((value) => ({ type: 'keyDown', value })), ...values.reverse().map((value) => ({ type: 'keyUp', value }))];
        await act({ type: 'key', id: 'keyboard', actions: moves });
      },
      async click(x, y) {
        await seen();
        const moves = [
          { type: 'pointerMove', x: Math.round(x), y: Math.round(y) },
          { type: 'pointerDown', button: 0 }, { type: 'pointerUp', button: 0 },
        ];
        await act({ type: 'pointer', id: 'mouse', parameters: { pointerType: 'mouse' }, actions: moves });
      },
      async resize(width, height) {
        await seen();
        await call('POST', `${session}/window/rect`, { x: 0, y: 0, width, height });
      },
      async choose(expression, path) {
        const [id] = Object.values(await element(expression));
        await call('POST', `${session}/element/${id}/value`, { text: path });
      },
      async within(expression) {
        const id = await element(expression);
        return async (inner) => {
          await call('POST', `${session}/frame`, { id });
          try {
            return await evaluate(inner);
          } finally {
            await call('POST', `${session}/frame`, { id: null });
          }
        };
      },
      tab: async () => driver((await call('POST', `${session}/window/new`, { type: 'window' })).handle), // a tab behind draws nothing
      async close() {
        if (handle !== first) {
          await seen();
          await call('DELETE', `${session}/window`);
          return;
        }
        await call('DELETE', session).catch(() => {});
        endGroup(child);
        screen.stop();
        await removeFolder(folder);
      },
    };
  };
  const first = front;
  return driver(first);
}
