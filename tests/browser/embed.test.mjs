// The products for other people's pages: the single file by double click, an element in a sandboxed frame on another
// origin, the elements library from another origin, the notebook module.
import assert from 'node:assert/strict';
import { mkdtempSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { pathToFileURL } from 'node:url';

import { bundle } from '../../web/bundle.mjs';
import { startStaticServer } from '../../web/cli/static-server.mjs';
import { checkAxe, launchChromium } from './lib/browser.mjs';
import { putSite } from './lib/built-site.mjs';

const SLOWER = { timeout: 600_000 };
const SLOW = { timeout: 400_000 };

const OUT = mkdtempSync(join(tmpdir(), 'peftlab-out-'));

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
    await putSite(join(OUT, 'site'));
    await bundle(OUT);
    folder = await mkdtemp(join(tmpdir(), 'peftlab-host-'));
    chromium = await launchChromium();
    // A strict security policy on the frame's site would be its own business; the frame must be allowed to be framed by anybody.
    site = await startStaticServer({ root: join(OUT, 'site'), headers: { 'Access-Control-Allow-Origin': '*' } });
    // An ordinary static host, without our own policy: the single file's script is inline.
    library = await startStaticServer({ root: OUT, headers: { 'Access-Control-Allow-Origin': '*', 'Content-Security-Policy': '' } });
    await writeFile(join(folder, 'frame.html'), `<!doctype html><title>host</title><link rel="icon" href="data:,">
        <iframe id="plain" width="900" height="640" src="${site.url}embed.html?element=counter&allow=HOST#v=1&m=prompt"></iframe>
        <iframe id="sandboxed" sandbox="allow-scripts" width="900" height="640"
          src="${library.url}peftlab.html#v=1&m=lora&r=4&n=4&task=pirate"></iframe>
        <iframe id="strict" sandbox="allow-scripts" width="900" height="640"
          src="${site.url}embed.html#v=1&model=stories-300k&m=lora&r=4&n=4&task=pirate"></iframe>
        <script>addEventListener('message', (e) => { (window.seen ??= []).push(e.data); });</script>`,
    );
    await writeFile(
        join(folder, 'elements.html'),
        `<!doctype html><html lang="en"><title>host</title><link rel="icon" href="data:,"><peft-counter method="lora"></peft-counter>
        <peft-panel-calculator method="lora"
          rank="4"></peft-panel-calculator><peft-merge></peft-merge><peft-mix></peft-mix><peft-delta></peft-delta><peft-compare></peft-compare>
        <peft-export></peft-export>
        <script type="module" src="${library.url}peftlab-elements.js"></script><script
          type="module" src="${library.url}peftlab-elements.js?again"></script>`,
    );
    await writeFile(
        join(folder, 'widget.html'),
        `<!doctype html><html lang="en"><title>notebook</title><link rel="icon" href="data:,"><div id="cell"></div>
        <script type="module">const { default: widget } = await import('${library.url}anywidget.mjs');
        window.leave = await widget.render({ model: { get: (name) => ({ element: 'playground', attributes: { task: 'mood' } })[name] },
          el: document.getElementById('cell') });</script>`,
    );
    await writeFile(
        join(folder, 'traits.html'),
        `<!doctype html><html lang="en"><title>traits</title><link rel="icon" href="data:,"><div id="cell"></div><div id="other"></div>
        <script>
        window.traits = { element: 'playground', attributes: { steps: 3, lr: 0.01, 'batch-size': 4 },
          method: 'lora', rank: 4, training: false, status: '', state: {}, result: {}, error: '' };
        const heard = new EventTarget();
        const model = { get: (name) => traits[name],
          set(name, value) { traits[name] = value; heard.dispatchEvent(new Event('change:' + name)); }, save_changes() {},
            on: (event, act) => heard.addEventListener(event, act), off: (event, act) => heard.removeEventListener(event, act) };
        window.fromPython = (changes) => { Object.assign(traits, changes);
          for (const name of Object.keys(changes)) heard.dispatchEvent(new Event('change:' + name)); };
        window.lab = (place = 'cell') => document.getElementById(place).firstElementChild?.lab;
        const refuse = () => { throw new Error('nobody to tell'); };
        import('${library.url}anywidget.mjs').then(async ({ default: widget }) => {
            window.leave = await widget.render({ model, el: document.getElementById('cell') });
            await widget.render({ model: { get: (name) => ({ method: 'prompt', status: '' })[name],
              set: refuse, save_changes: refuse, on() {} }, el: document.getElementById('other') });
        });
        </script>`);
    host = await startStaticServer({ root: folder, headers: { 'Content-Security-Policy': '' } });
});
after(async () => {
    await chromium?.close();
    await Promise.all([site, library, host].map((server) => server?.close()));
    await Promise.all([OUT, folder].map((made) => rm(made, { recursive: true, force: true })));
});

/**
 * Waits until the playground's lab in a frame has this status.
 * @param {import('playwright-core').Page | import('playwright-core').Frame} frame @param {string} status
 */
const until = (frame, status) =>
    frame.waitForFunction(
        (wanted) => /** @type {any} */ (document.querySelector('peft-playground'))?.lab?.status === wanted,
        status,
        { timeout: 240_000 },
    );

test('the single file, opened from disk, trains without a server and asks nobody for anything', { timeout: 400_000 }, async () => {
    const { page, assertClean } = await chromium.open(`${pathToFileURL(join(OUT, 'peftlab.html'))}#v=1&m=lora&r=4&n=4&lr=0.001`);
    await until(page, 'ready');
    const run = await page.evaluate(async () => {
        const { lab } = /** @type {any} */ (document.querySelector('peft-playground'));
        await lab.train();
        return { status: lab.run.status, losses: lab.run.losses.length, after: lab.sample.after, trainable: lab.run.trainable };
    });
    assert.equal(run.status, 'done');
    assert.equal(run.losses, 4);
    assert.ok(run.after.length > 0 && run.trainable > 0);
    await page.evaluate(`document.querySelector('peft-playground').lab.set({ panel: 'export' })`);
    // The link opens this file, not the folder it lies in; the code for other pages needs more than one file.
    await page.locator('peft-panel-export pre', { hasText: `${pathToFileURL(join(OUT, 'peftlab.html'))}#v=1&` }).first().waitFor();
    await page.locator('peft-panel-export #only-here', { hasText: 'dist/site' }).waitFor();
    assertClean();
    await page.context().close();
});

test('a frame on another origin: one element alone, and the page in a sandbox without storage', { timeout: 400_000 }, async () => {
    const { page, errors } = await chromium.open(`${host.url}frame.html`);
    const plain = await (await page.waitForSelector('#plain')).contentFrame();
    await plain?.waitForFunction(
        () => /** @type {any} */ (document.querySelector('peft-counter'))?.lab?.description?.counts?.trainable > 0,
        null,
        { timeout: 240_000 },
    );
    // The single file, and the site's own page, whose worker has no address that a frame without an origin may start.
    for (const id of ['#sandboxed', '#strict']) {
        const sandboxed = await (await page.waitForSelector(id)).contentFrame();
        assert.ok(sandboxed);
        const read = (/** @type {string} */ expression) =>
            sandboxed
                .evaluate(
                    `(async () => { const { lab } = document.querySelector('peft-playground'); return (${expression}); })()`,
                )
                .catch(() => null);
        for (
            const end = Date.now() + 120_000;
            Date.now() < end && !['ready', 'failed'].includes(String(await read('lab.status')));
        )
            await page.waitForTimeout(100);
        assert.equal(await read('lab.status'), 'ready', id);
        assert.equal(await read('lab.train().then(() => lab.run.status)'), 'done', id);
    }
    await eventually(page, () => page.evaluate(() => {
        const { seen } = /** @type {any} */ (window);
        return seen.some((/** @type {any} */ m) => m?.type === 'peft:height' && m.height > 50)
            && seen.some((/** @type {any} */ m) => typeof m === 'string' && JSON.parse(m).subject === 'lti.frameResize');
    }), 'the frames told their height');
    assert.deepEqual(errors.filter((error) => !/storage|sandbox/i.test(error)), []);
    await page.context().close();
});

test('the elements library from another origin, loaded twice, counts in a foreign page', { timeout: 240_000 }, async () => {
    const { page, errors } = await chromium.open(`${host.url}elements.html`);
    await page.waitForFunction(async () => {
        const counter = /** @type {any} */ (document.querySelector('peft-counter'));
        return /[1-9]/.test(counter?.shadowRoot?.textContent ?? '');
    }, null, { timeout: 120_000 });
    // Panels by their full and by their short name, with the page's attributes, as the Export panel writes them.
    await page.locator('peft-panel-calculator', { hasText: '2,097,152' }).waitFor();
    await page.locator('peft-merge', { hasText: 'Merge into the weights' }).waitFor();
    for (const name of ['mix', 'delta', 'compare']) await page.locator(`peft-${name} h2`).waitFor();
    // What it gives to paste names the place the library came from, not the page it stands in.
    await page.locator('peft-export pre', { hasText: `src="${library.url}embed.html` }).first().waitFor({ state: 'attached' });
    await page.locator('peft-export pre', { hasText: `${library.url}#v=1` }).first().waitFor();
    // A page that says nothing about colour schemes: light, and dark as soon as it goes dark by its background alone.
    const colours = () => page.evaluate(() => ['--bg', '--accent'].map((name) => {
        const probe = document.createElement('i');
        probe.style.color = `var(${name})`;
        const root = /** @type {ShadowRoot} */ (document.querySelector('peft-counter')?.shadowRoot);
        root.append(probe);
        const { color } = getComputedStyle(probe);
        probe.remove();
        return color;
    }));
    const light = JSON.stringify(['rgb(255, 255, 255)', 'rgb(10, 99, 165)']);
    await eventually(page, async () => JSON.stringify(await colours()) === light, 'light');
    await page.evaluate(() => { document.body.style.background = '#101010'; });
    await page.waitForFunction(() => document.querySelector('peft-counter')?.getAttribute('host-scheme') === 'dark');
    assert.deepEqual(await colours(), ['rgb(20, 24, 29)', 'rgb(142, 195, 255)']);
    assert.deepEqual(errors, []);
    await page.context().close();
});

test('traits: settings go in, and settings and results come back; a model that cannot be told is no obstacle', { timeout: 400_000 }, async () => {
    const { page, errors } = await chromium.open(`${host.url}traits.html`);
    const until = async (/** @type {string} */ expression) => {
        for (const end = Date.now() + 120_000; Date.now() < end; await page.waitForTimeout(50)) if (await page.evaluate(expression)) return;
        throw new Error(`not true: ${expression}; traits ${await page.evaluate('JSON.stringify(traits).slice(0, 600)')}`);
    };
    await until("traits.status === 'ready'");
    assert.deepEqual(await page.evaluate('[lab().state.method, lab().state.options, traits.method, traits.rank]'), ['lora', { rank: 4 }, 'lora', 4]);
    // Both at once: the rank belongs to the new method, and is not lost when the page writes its own.
    await page.evaluate("fromPython({ method: 'prefix', rank: null })");
    await until("lab().state.method === 'prefix' && traits.status === 'ready'");
    await page.evaluate("fromPython({ method: 'lora', rank: 2, training: true })");
    await until("traits.training === false && traits.result.status === 'done'");
    assert.deepEqual(
        await page.evaluate(
            '[traits.result.losses.length, traits.result.options.rank, traits.result.method, "adapter" in traits.result]',
        ),
        [3, 2, 'lora', false],
    );
    await page.evaluate('lab().setOption("rank", 16)');
    await until('traits.rank === 16 && traits.state.options.rank === 16');
    await page.evaluate("fromPython({ rank: 100000000 })");
    await until("traits.error !== ''");
    assert.match(String(await page.evaluate('traits.error')), /rank/i);
    // Two widgets are two experiments; a model as MyST's, which throws when it is told something.
    await until("lab('other')?.status === 'ready'");
    assert.deepEqual(await page.evaluate("[lab('other').state.method, lab('other') === lab()]"), ['prompt', false]);
    await page.evaluate('leave()');
    assert.equal(await page.evaluate("document.getElementById('cell').childElementCount"), 0);
    assert.deepEqual(errors, []);
    await page.context().close();
});

/** @param {import('playwright-core').Page} page @param {() => Promise<boolean>} ask @param {string} what should be true soon */
async function eventually(page, ask, what) {
    for (const end = Date.now() + 120_000; Date.now() < end; await page.waitForTimeout(50)) if (await ask()) return;
    assert.fail(what);
}

/** @param {string} query of embed.html @param {string} [link] @param {import('playwright-core').BrowserContextOptions} [options] */
const embedded = async (query, link = '', options = {}) => chromium.open(`${site.url}embed.html?${query}#v=1${link}`, options);

test('Merge, Inspect and Coach alone: a ready adapter by its name, or trained on the spot; an unknown name is said', SLOWER, async () => {
    for (const [element, there] of [['merge', '#merge:enabled'], ['delta', 'peft-panel-inspect tr.chosen']]) {
        const { page, assertClean } = await embedded(`element=${element}&adapter=pirate-lora`);
        await page.locator(there).waitFor();
        if (element === 'merge') await page.locator('peft-panel-merge [data-map="ΔW"]').waitFor();
        else await eventually(page, async () => Number.parseFloat(await page.locator('tr.chosen td').nth(2).innerText()) > 0, 'ΔW is not empty');
        assertClean();
        await page.context().close();
    }
    const { page, assertClean } = await embedded('element=peft-panel-coach&adapter=nobody', '&model=stories-300k&n=8&bs=4&lang=de');
    await page.locator('peft-notices', { hasText: /„nobody“ gibt es nicht\. Es gibt: .*pirate-lora/ }).waitFor();
    await page.locator('peft-panel-coach peft-train #train:enabled').click();
    await page.locator('peft-coach .card').waitFor();
    assertClean();
    await page.context().close();
});

test('a quiz alone plays the lesson of the link; a name that no element has is said in the page\'s language, with the names ' +
    'there are', { timeout: 400_000 }, async () => {
    const { page, assertClean } = await embedded('element=quiz', '&model=stories-300k&lesson=few-numbers&lang=es');
    await page.locator('peft-quiz h3', { hasText: '¿Qué pocos números? – paso 1 de 4' }).waitFor();
    await page.locator('peft-quiz fieldset:enabled').waitFor();
    assertClean();
    await page.context().close();
    const { page: other } = await embedded('element=nonsense', '&lang=fr');
    await other.locator('p[lang="fr"]', { hasText: /« nonsense » n’existe pas.*quiz.*merge/ }).waitFor();
    await other.context().close();
});

for (const [width, height] of [[1280, 900], [390, 844]]) {
    test(`a lesson and what it points at are on the screen together at ${width} x ${height}; leaving it puts the settings back`, SLOW, async () => {
        const { page, assertClean } = await chromium.open(`${site.url}#v=1&model=stories-300k&r=3&n=6&bs=4&lesson=first-run`, {
            viewport: { width, height },
            reducedMotion: 'reduce',
        });
        const lesson = page.locator('peft-playground .foot > peft-lesson');
        await lesson.locator('h3', { hasText: 'step 1 of 3' }).waitFor();
        const box = async (/** @type {string} */ selector) =>
            /** @type {{y: number, height: number}} */ (await page.locator(selector).first().boundingBox());
        /** The part begins above the player and not above the screen; where there is room for all of it, all is seen. @param {string} name */
        const seen = async (name) => {
            const [part, player] = [await box(name), await box('.foot > peft-lesson .lesson')];
            const room = player.y - Math.max(0, part.y);
            return part.y >= 0 && room >= Math.min(part.height, 0.8 * player.y) && player.y + player.height <= height;
        };
        await lesson.getByRole('button', { name: 'Next', exact: true }).and(page.locator(':enabled')).waitFor();
        await eventually(page, () => seen('peft-diagram'), 'the diagram beside the text');
        await page.evaluate(() => /** @type {any} */ (document.querySelector('peft-playground')).lab.set({ steps: 3, batch_size: 4 })); // a short one
        await lesson.getByRole('button', { name: 'Next', exact: true }).click();
        await lesson.getByRole('button', { name: 'Train', exact: true }).click();
        await eventually(page, () => seen('peft-loss'), 'the chart beside the text');
        await lesson.getByText('held-out loss at the end').waitFor();
        await eventually(page, () => seen('peft-loss'), 'the chart beside what was measured');
        await lesson.getByRole('button', { name: 'Text of the lesson' }).click();
        await eventually(page, async () => (await box('.foot > peft-lesson')).height < 80, 'folded');
        await checkAxe(page);
        // Beside it: what next stands under Train, lessons in the toolbar with a neighbour, the choice in the row of the methods.
        const top = async (/** @type {string} */ name, /** @type {string} */ text) =>
            /** @type {any} */ (await page.locator(`${name} button`, { hasText: text }).first().boundingBox()).y;
        await eventually(page, async () => {
            const select = page.locator('peft-toolbar select').first().boundingBox().then((at) => at?.y ?? NaN);
            const [lessons, ...others] = await Promise.all([top('peft-toolbar', 'Lessons'), top('peft-toolbar', 'Undo'), select]);
            return others.some((y) => Math.abs(y - lessons) < 8);
        }, 'not alone in its line');
        await page.locator('peft-methods button', { hasText: 'Help me choose' }).waitFor();
        assert.equal(await page.locator('nav.next button', { hasText: /^(Lessons|Help me choose)$/ }).count(), 0);
        const apart = async () => (await box('.left > peft-next-step')).y - (await box('.left > peft-train')).y;
        if (width > 700) await eventually(page, async () => (await apart()) < 250, 'what next stands under Train');
        await lesson.getByRole('button', { name: 'Leave the lesson' }).click();
        await lesson.waitFor({ state: 'detached' });
        await eventually(page, () => page.evaluate(() => {
            const { state, description } = /** @type {any} */ (document.querySelector('peft-playground')).lab;
            return state.options.rank === 3 && state.steps === 6 && state.lesson === '' && description.modules[0].options.rank === 3;
        }), 'the settings from before');
        assertClean();
        await page.context().close();
    });
}

test('the notebook module renders into its cell and leaves it empty again', { timeout: 400_000 }, async () => {
    const { page, errors } = await chromium.open(`${host.url}widget.html`);
    await until(page, 'ready');
    assert.equal(await page.evaluate(() => /** @type {any} */ (document.querySelector('peft-playground')).lab.state.task), 'mood');
    await page.evaluate(() => /** @type {any} */ (window).leave());
    assert.equal(await page.evaluate(() => document.getElementById('cell')?.childElementCount), 0);
    assert.deepEqual(errors, []);
    await page.context().close();
});
