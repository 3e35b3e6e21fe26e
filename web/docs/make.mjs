// The pictures of this folder: the page and every panel, in light and dark and on a phone, after a real training in the browser.
//   node web/docs/make.mjs [NAME …]         (needs Chromium, as the browser tests do)
import { mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'vite';

import { launchChromium } from '../../tests/browser/lib/browser.mjs';
import { startStaticServer } from '../cli/static-server.mjs';
import { PANELS } from '../lib/store.js';

const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, '../..');
const out = join(root, 'build/docs-site');
const LOOKS = /** @type {const} */ ([
    ['light', { viewport: { width: 1280, height: 900 }, colorScheme: 'light' }],
    ['dark', { viewport: { width: 1280, height: 900 }, colorScheme: 'dark' }],
    ['phone', { viewport: { width: 390, height: 844 }, colorScheme: 'light' }],
]);
const wanted = process.argv.slice(2);
const names = ['page', ...PANELS.filter(Boolean)].filter((name) => wanted.length === 0 || wanted.includes(name));

await build({ configFile: join(root, 'web/vite.config.js'), logLevel: 'warn', build: { outDir: out } });
const site = await startStaticServer({ root: out });
const chromium = await launchChromium();
await mkdir(here, { recursive: true });
for (const [look, options] of LOOKS) {
    const { page, errors } = await chromium.open(`${site.url}index.html#v=1&m=lora&task=pirate&level=explorer`, options);
    await page.waitForFunction(
        () => /** @type {any} */ (document.querySelector('peft-playground'))?.lab?.status === 'ready',
        null,
        { timeout: 60_000 },
    );
    // Two LoRAs and a prompt, so that panels which need runs have some.
    for (const method of ['prompt', 'lora', 'lora']) {
        await page.evaluate(async (name) => {
            const { lab } = /** @type {any} */ (document.querySelector('peft-playground'));
            lab.set({ method: name, seed: lab.state.seed + 1 });
            await new Promise((resolve) => setTimeout(resolve, 600));
            await lab.train();
        }, method);
    }
    for (const name of names) {
        await page.evaluate(
            (panel) =>
                /** @type {any} */ (document.querySelector('peft-playground')).lab.set({ panel: panel === 'page' ? '' : panel }),
            name,
        );
        await page.waitForTimeout(name === 'page' ? 1500 : 3500);
        const panel = name === 'page' ? null : await page.$(`peft-panel-${name}`);
        const picture = { path: join(here, `${name}-${look}.jpg`), type: /** @type {const} */ ('jpeg'), quality: 72 };
        // the phone's bar would stand in the middle of a long panel
        if (panel) await panel.screenshot({ ...picture, style: '.bottom { visibility: hidden }' });
        // what stays at the window's edge would stand in the middle of the whole page
        else if (look !== 'phone') {
            await page.screenshot({ ...picture, fullPage: true, style: '.next, .left > peft-train { position: static !important }' });
        } else {
            // A window as tall as the page: the bar stays at the bottom.
            const height = await page.evaluate(() => document.documentElement.scrollHeight);
            await page.setViewportSize({ width: options.viewport.width, height });
            await page.waitForTimeout(500);
            await page.screenshot(picture);
            await page.setViewportSize(options.viewport);
        }
    }
    if (errors.length) console.log(look, errors);
    await page.context().close();
}
await chromium.close();
await site.close();
