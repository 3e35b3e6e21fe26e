// What the trials share: the published site on a port of its own, the real tool in a folder of its own, and a browser
// that looks at what the tool made. Not part of ./build.sh test: the tools are large and come from npm and PyPI.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { startStaticServer } from '../../web/cli/static-server.mjs';
import { attributesOf, embedCode } from '../../web/lib/embed.js';
import { defaults, toLink } from '../../web/lib/store.js';
import { launchChromium, root } from '../browser/lib/browser.mjs';

/** Tools are installed, and projects built, below this folder. */
const PLACE = process.env.PEFTLAB_RECIPES || join(root, 'build/recipes');

/** @typedef {import('playwright-core').Page} Page */
/** @typedef {import('playwright-core').Frame} Frame */
/** @typedef {Awaited<ReturnType<typeof launchChromium>>} Browser */

/** A folder for one tool. @param {string} name @param {string} [below] */
export function folderOf(name, below = '') {
    const folder = join(PLACE, name, below);
    mkdirSync(folder, { recursive: true });
    return folder;
}

/**
 * Runs a program to its end, while the servers of this process go on answering; its output is shown when it fails.
 * @param {string} program @param {string[]} args
 * @param {{cwd?: string, env?: Record<string, string>, codes?: number[]}} [options] codes: exit
 *   codes that are no failure
 * @returns {Promise<string>}
 */
export async function run(program, args, { cwd, env, codes = [0] } = {}) {
  const child = spawn(program, args, { cwd, env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'], timeout: 540_000 });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (data) => { output += data; });
  const code = await new Promise((done, failed) => {
    child.once('error', failed);
    child.once('close', done);
  });
  if (!codes.includes(code)) throw new Error(`${program} ${args.join(' ')}: exit code ${code}\n${output}`);
  return output;
}

/** Installs npm packages into a folder and says their versions. @param {string} folder @param {string[]} packages */
export async function npm(folder, packages) {
    if (!existsSync(join(folder, 'package.json'))) writeFileSync(join(folder, 'package.json'), '{"private": true}\n');
    const name = (/** @type {string} */ text) => text.replace(/(?<=.)@[^/]*$/, '');
    if (!packages.every((text) => existsSync(join(folder, 'node_modules', name(text)))))
      await run('npm', ['install', '--no-fund', '--no-audit', '--loglevel=error', ...packages], { cwd: folder });
    return packages
      .map(
        (text) =>
          `${name(text)} ${JSON.parse(readFileSync(join(folder, 'node_modules', name(text), 'package.json'), 'utf8')).version}`,
      )
      .join(', ');
}

/**
 * Installs PyPI packages into a virtual environment of the folder and says their versions.
 * @param {string} folder @param {string[]} packages
 * @returns {Promise<{versions: string, bin: (name: string) => string}>}
 */
export async function pip(folder, packages) {
    const bin = (/** @type {string} */ name) => join(folder, 'venv/bin', name);
    if (!existsSync(bin('python'))) await run('python3', ['-m', 'venv', join(folder, 'venv')]);
    const names = packages.map((text) => text.replace(/[<>=!~].*/, ''));
    const versions = async () =>
      (
        await run(bin('python'), [
          '-c',
          'import sys; from importlib.metadata import version; print(", ".join(f"{n} {version(n)}" for n in sys.argv[1:]))',
          ...names,
        ])
      ).trim();
    try {
        return { versions: await versions(), bin };
    } catch {
        await run(bin('python'), ['-m', 'pip', 'install', '--quiet', ...packages]);
        return { versions: await versions(), bin };
    }
}

/** A port that nobody uses now. @returns {Promise<number>} */
export const freePort = () => new Promise((done) => {
  const server = createServer();
  server.listen(0, '127.0.0.1', () => {
    const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
    server.close(() => done(port));
  });
});

/**
 * A server of the tool's own; ends with the trial.
 * @param {string} program @param {string[]} args @param {{cwd: string, env?: Record<string, string>}} options
 */
export async function background(program, args, { cwd, env }) {
    const child = spawn(program, args, { cwd, env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'], detached: true });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (data) => { output += data; });
    return {
        output: () => output,
        /** @param {string} url */
        async answers(url) {
            for (const end = Date.now() + 90_000; Date.now() < end; await new Promise((done) => { setTimeout(done, 300); })) {
                if (child.exitCode !== null) break;
                if (await fetch(url).then((answer) => answer.status < 500, () => false)) return;
            }
            throw new Error(`${program} does not answer at ${url}\n${output.slice(-4000)}`);
        },
        close: () => { if (child.pid && child.exitCode === null) process.kill(-child.pid, 'SIGTERM'); },
    };
}

/** What a visitor set before he opened Share and embed. Four steps: enough to see that it trains. */
const STATE = Object.freeze({
  model: 'stories-300k', task: 'pirate', steps: 4, lr: 0.01, batch_size: 8, seed: 7,
  hide: ['coach', 'lr'],
  options: { rank: 4, use_rslora: true },
});

/** The code as Share and embed writes it. @param {string} page the published site @param {string} [element] @returns {Record<string, string>} */
export function recipes(page, element = 'playground') {
    const state = { ...defaults(), ...structuredClone(STATE) };
    return Object.fromEntries(embedCode({ page, element, link: toLink(state), settings: attributesOf(state) }).map(({ id, code }) => [id, code]));
}

/**
 * An expression of `lab`, of the playground somewhere in this document, shadow roots included.
 * @param {Page | Frame} frame @param {string} expression
 */
export const lab = (frame, expression) => frame.evaluate(`(async () => {
    const find = (root) => root.querySelector('peft-playground')
      ?? [...root.querySelectorAll('*')].map((e) => e.shadowRoot && find(e.shadowRoot)).find(Boolean);
    const playground = find(document); const { lab } = playground; return (${expression}); })()`);

/** Polled from outside, so that no page's policy is in the way. @param {() => Promise<unknown>} ask @param {string} what @param {number} [ms] */
export async function until(ask, what, ms = 60_000) {
    let last;
    for (const end = Date.now() + ms; Date.now() < end; await new Promise((done) => { setTimeout(done, 100); })) {
        try {
            if (await ask()) return;
            last = undefined;
        } catch (error) { last = error; }
    }
    throw new Error(`after ${ms} ms still not: ${what}${last ? ` (${/** @type {Error} */ (last).message.split('\n')[0]})` : ''}`);
}

/**
 * The frame that shows the published site's embed.html, or another address.
 * @param {Page} page @param {string} [address] a part of it @returns {Promise<Frame>}
 */
export async function frameOf(page, address = '/embed.html') {
    /** @type {Frame | undefined} */
    let frame;
    await until(async () => (frame = page.frames().find((each) => each.url().includes(address))), `a frame with ${address}`);
    return /** @type {Frame} */ (frame);
}

/** The panel becomes ready with the recipe's settings, and trains by its own button, in a narrow frame the bar's. @param {Page | Frame} frame */
export async function trains(frame) {
    await until(() => lab(frame, "lab.status === 'ready'"), 'ready');
    const { task, model, seed, steps, options } = /** @type {any} */ (await lab(frame, 'lab.state'));
    assert.deepEqual(
      { task, model, seed, steps, options },
      { task: STATE.task, model: STATE.model, seed: STATE.seed, steps: STATE.steps, options: STATE.options },
      'the settings arrived',
    );
    await frame.locator('peft-train button.primary:visible').first().click();
    await until(() => lab(frame, "lab.run?.status === 'done'"), 'trained');
    const losses = /** @type {number[]} */ (await lab(frame, 'lab.run.losses.map((at) => at.loss)'));
    assert.equal(losses.length, STATE.steps);
    return `trained ${losses.length} steps, loss ${losses[0].toFixed(3)} -> ${/** @type {number} */ (losses.at(-1)).toFixed(3)}`;
}

/**
 * One trial: servers, browser, report. Noise of the tool itself is passed in `known`, and said in the report.
 * @param {string} name
 * @param {(with_: {site: Awaited<ReturnType<typeof startStaticServer>>, code: Record<string, string>, folder: string,
 *   browser: Browser, serve: (root: string) => Promise<string>,
 *   look: (page: Page, name: string) => Promise<void>, say: (text: string) => void, later: (close: () => unknown) =>
 *   void, clean: (errors: string[], known?: RegExp) => void}) => Promise<void>} act
 */
export async function trial(name, act) {
    const published = join(root, 'dist/site');
    if (!existsSync(join(published, 'anywidget.mjs'))) throw new Error('dist/site is missing: ./build.sh dist first');
    /** @type {Page | undefined} */
    let last;
    /** @type {(() => unknown)[]} */
    const closing = [];
    const folder = folderOf(name);
    const say = (/** @type {string} */ text) => console.log(`${name}: ${text}`);
    try {
        // As a static host publishes it: readable from other origins (a host without this header serves the frames, but not the two modules).
        const site = await startStaticServer({ root: published, headers: { 'Access-Control-Allow-Origin': '*' } });
        closing.push(() => site.close());
        const chromium = await launchChromium();
        closing.push(() => chromium.close());
        const browser = {
          ...chromium,
          /** @type {typeof chromium.open} */
          async open(address, options) {
            const opened = await chromium.open(address, options);
            last = opened.page;
            return opened;
          },
        };
        await act({
            site, folder, browser, say, code: recipes(site.url), later: (close) => closing.push(close),
            async serve(place) {
                const server = await startStaticServer({ root: place, headers: { 'Content-Security-Policy': '' } });
                closing.push(() => server.close());
                return server.url;
            },
            async look(page, picture) {
                const path = join(folderOf('pictures'), `${name}${picture ? `-${picture}` : ''}.png`);
                await page.screenshot({ path });
                say(`picture ${path}`);
            },
            clean(errors, known) {
                const ours = errors.filter((error) => !known?.test(error));
                if (ours.length < errors.length)
                  say(
                    `${errors.length - ours.length} messages of the tool ` +
                      `itself: ${[...new Set(errors.filter((error) => known?.test(error)))].join(' | ').slice(0, 400)}`,
                  );
                assert.deepEqual(ours, [], 'no errors in the console');
            },
        });
        say('works');
    } catch (error) {
        say(`FAILED: ${/** @type {Error} */ (error).stack}`);
        process.exitCode = 1;
    const path = join(folderOf('pictures'), `${name}-failed.png`);
    await last?.screenshot({ path }).then(() => say(`picture ${path}`), () => {});
    } finally {
        for (const close of closing.reverse()) await close();
    }
}
