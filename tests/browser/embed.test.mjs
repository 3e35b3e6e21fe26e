// The products for other people's pages: the single file by double click, an element in a sandboxed frame on another origin, the elements library from
// another origin, the notebook module.
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { pathToFileURL } from 'node:url';

import { bundle } from '../../web/bundle.mjs';
import { startStaticServer } from '../../web/cli/static-server.mjs';
import { launchChromium, root } from './lib/browser.mjs';

const OUT = join(root, 'build/embed');

/** @type {Awaited<ReturnType<typeof launchChromium>>} */
let chromium;
/** @type {Awaited<ReturnType<typeof startStaticServer>>} */
let site;
/** @type {Awaited<ReturnType<typeof startStaticServer>>} */
let library;
/** @type {Awaited<ReturnType<typeof startStaticServer>>} */
let host;
let folder = '';

before(async () => {
    const { build } = await import('vite');
    await build({ configFile: join(root, 'web/vite.config.js'), logLevel: 'warn', build: { outDir: join(OUT, 'site') } });
    await bundle(OUT);
    folder = await mkdtemp(join(tmpdir(), 'peftlab-host-'));
    chromium = await launchChromium();
    // A strict security policy on the frame's site would be its own business; the frame must be allowed to be framed by anybody.
    site = await startStaticServer({ root: join(OUT, 'site'), headers: { 'Access-Control-Allow-Origin': '*' } });
    // An ordinary static host, without our own policy: the single file's script is inline.
    library = await startStaticServer({ root: OUT, headers: { 'Access-Control-Allow-Origin': '*', 'Content-Security-Policy': '' } });
    await writeFile(join(folder, 'frame.html'), `<!doctype html><title>host</title><link rel="icon" href="data:,">
        <iframe id="plain" width="900" height="640" src="${site.url}embed.html?element=counter&allow=HOST#v=1&m=prompt"></iframe>
        <iframe id="sandboxed" sandbox="allow-scripts" width="900" height="640" src="${library.url}peftlab.html#v=1&m=lora&r=4&n=4&task=pirate"></iframe>
        <script>addEventListener('message', (e) => { (window.seen ??= []).push(e.data); });</script>`);
    await writeFile(join(folder, 'elements.html'), `<!doctype html><html lang="en"><title>host</title><link rel="icon" href="data:,"><peft-counter method="lora"></peft-counter>
        <peft-panel-calculator method="lora" rank="4"></peft-panel-calculator><peft-merge></peft-merge>
        <script type="module" src="${library.url}peftlab-elements.js"></script><script type="module" src="${library.url}peftlab-elements.js?again"></script>`);
    await writeFile(join(folder, 'widget.html'), `<!doctype html><html lang="en"><title>notebook</title><link rel="icon" href="data:,"><div id="cell"></div>
        <script type="module">const { default: widget } = await import('${library.url}anywidget.mjs');
        window.leave = await widget.render({ model: { get: (name) => ({ element: 'playground', attributes: { task: 'mood' } })[name] }, el: document.getElementById('cell') });</script>`);
    host = await startStaticServer({ root: folder, headers: { 'Content-Security-Policy': '' } });
});
after(async () => {
    await chromium?.close();
    await Promise.all([site, library, host].map((server) => server?.close()));
    await rm(folder, { recursive: true, force: true });
});

/** Waits until the playground's lab in a frame has this status. @param {import('playwright-core').Page | import('playwright-core').Frame} frame @param {string} status */
const until = (frame, status) => frame.waitForFunction((wanted) => /** @type {any} */ (document.querySelector('peft-playground'))?.lab?.status === wanted, status, { timeout: 60_000 });

test('the single file, opened from disk, trains without a server and asks nobody for anything', { timeout: 120_000 }, async () => {
    const { page, assertClean } = await chromium.open(`${pathToFileURL(join(OUT, 'peftlab.html'))}#v=1&m=lora&r=4&n=4`);
    await until(page, 'ready');
    const run = await page.evaluate(async () => {
        const { lab } = /** @type {any} */ (document.querySelector('peft-playground'));
        await lab.train();
        return { status: lab.run.status, losses: lab.run.losses.length, after: lab.sample.after, trainable: lab.run.trainable };
    });
    assert.equal(run.status, 'done');
    assert.equal(run.losses, 4);
    assert.ok(run.after.length > 0 && run.trainable > 0);
    assertClean();
    await page.context().close();
});

test('a frame on another origin: one element alone, and the page in a sandbox without storage', { timeout: 120_000 }, async () => {
    const { page, errors } = await chromium.open(`${host.url}frame.html`);
    const plain = await (await page.waitForSelector('#plain')).contentFrame();
    await plain?.waitForFunction(() => /** @type {any} */ (document.querySelector('peft-counter'))?.lab?.description?.counts?.trainable > 0, null, { timeout: 60_000 });
    const sandboxed = await (await page.waitForSelector('#sandboxed')).contentFrame();
    assert.ok(sandboxed);
    await until(sandboxed, 'ready');
    const done = await sandboxed.evaluate(async () => {
        const { lab } = /** @type {any} */ (document.querySelector('peft-playground'));
        await lab.train();
        return lab.run.status;
    });
    assert.equal(done, 'done');
    const seen = await page.evaluate(() => /** @type {any} */ (window).seen);
    assert.ok(seen.some((/** @type {any} */ m) => m?.type === 'peft:height' && m.height > 50));
    assert.ok(seen.some((/** @type {any} */ m) => typeof m === 'string' && JSON.parse(m).subject === 'lti.frameResize'));
    assert.deepEqual(errors.filter((error) => !/storage|sandbox/i.test(error)), []);
    await page.context().close();
});

test('the elements library from another origin, loaded twice, counts in a foreign page', { timeout: 60_000 }, async () => {
    const { page, errors } = await chromium.open(`${host.url}elements.html`);
    await page.waitForFunction(async () => {
        const counter = /** @type {any} */ (document.querySelector('peft-counter'));
        return /[1-9]/.test(counter?.shadowRoot?.textContent ?? '');
    }, null, { timeout: 30_000 });
    // Panels by their full and by their short name, with the page's attributes, as the Export panel writes them.
    await page.locator('peft-panel-calculator', { hasText: '2,097,152' }).waitFor({ timeout: 20_000 });
    await page.locator('peft-merge', { hasText: 'Merge into the weights' }).waitFor({ timeout: 20_000 });
    assert.deepEqual(errors, []);
    await page.context().close();
});

test('the notebook module renders into its cell and leaves it empty again', { timeout: 90_000 }, async () => {
    const { page, errors } = await chromium.open(`${host.url}widget.html`);
    await until(page, 'ready');
    assert.equal(await page.evaluate(() => /** @type {any} */ (document.querySelector('peft-playground')).lab.state.task), 'mood');
    await page.evaluate(() => /** @type {any} */ (window).leave());
    assert.equal(await page.evaluate(() => document.getElementById('cell')?.childElementCount), 0);
    assert.deepEqual(errors, []);
    await page.context().close();
});
