// In other people's hands, in every installed engine: the single file opened from the disk; frames of another site, with and without a
// sandbox, pressed by the mouse and asked by messages; the elements library and the notebook module in a page of another origin.
// All of them train to the same numbers, say it where nothing can be kept, and ask nobody for anything.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { unzipSync } from 'fflate';
import { bundle } from '../../web/bundle.mjs';
import { startStaticServer } from '../../web/cli/static-server.mjs';
import { engines } from './lib/browser.mjs';
import { agreement, giveEyes } from './lib/eyes.mjs';
import { removeFolder } from './lib/folders.mjs';
import { press } from './lib/pointer.mjs';
import { buildSite, eventually, lab, trainToSnapshot, until } from './lib/qa-site.mjs';

const SETTINGS = '#v=1&model=stories-300k&task=pirate&n=6&bs=4&lr=0.01&r=4&w=1&lang=en';
/** @typedef {Awaited<ReturnType<typeof startStaticServer>>} Server */
/** @type {Awaited<ReturnType<typeof buildSite>>} */
let built;
/** @type {Server} */
let site;
/** @type {Server} */
let library;
/** @type {Server} */
let host;
const folder = mkdtempSync(join(tmpdir(), 'peftlab-embedded-'));
const [out, pages] = ['out', 'host'].map((name) => mkdtempSync(join(folder, name)));

before(async () => {
  built = await buildSite();
  await bundle(out);
  giveEyes(built.folder, ['embed.html']);
  giveEyes(out, ['peftlab.html']);
  site = await built.serve({ 'Access-Control-Allow-Origin': '*' }); // with its policy; a sandboxed frame has no origin of its own
  library = await startStaticServer({ root: out, headers: { 'Access-Control-Allow-Origin': '*', 'Content-Security-Policy': '' } });
  host = await startStaticServer({ root: pages, host: 'localhost', headers: { 'Content-Security-Policy': '' } }); // another site than 127.0.0.1
  const allow = `allow=${new URL(host.url).origin}`;
  const page = (/** @type {string} */ name, /** @type {string} */ body) =>
    writeFileSync(join(pages, name), `<!doctype html><html lang="en"><head><title>host</title><link rel="icon" href="data:,"></head><body>${body}`);
  page('frames.html', `<script>addEventListener('message', ({ data, source }) => {
      const { id } = [...document.querySelectorAll('iframe')].find((frame) => frame.contentWindow === source);
      (window.heard ??= []).push({ from: id, data });
    });
    window.ask = (id, message) => document.getElementById(id).contentWindow.postMessage({ peft: 1, ...message }, '*');</script>
    <iframe id="train" width="420" height="380" src="${site.url}embed.html?element=train&${allow}${SETTINGS}"></iframe>
    <iframe id="page" sandbox="allow-scripts" width="420" height="380" src="${site.url}embed.html?${allow}${SETTINGS}"></iframe>
    <iframe id="file" sandbox="allow-scripts" width="420" height="380" src="${library.url}peftlab.html${SETTINGS}"></iframe>`);
  giveEyes(pages, []);
  page('elements.html', `<script src="visit-tools.js"></script><peft-counter method="lora"></peft-counter>
    <peft-panel-calculator method="lora" rank="4"></peft-panel-calculator><peft-merge></peft-merge><peft-mix></peft-mix><peft-delta></peft-delta>
    <peft-playground session="own" no-link no-save model="stories-300k" task="pirate" steps="6" batch-size="4" lr="0.01" rank="4"></peft-playground>
    <script type="module" src="${library.url}peftlab-elements.js"></script>`);
  page('widget.html', `<script src="visit-tools.js"></script><div id="cell"></div><script>
    window.traits = { element: 'playground', attributes: { steps: 6, lr: 0.01, 'batch-size': 4, model: 'stories-300k', task: 'pirate' },
      method: 'lora', rank: 4, training: false, status: '', state: {}, result: {}, error: '' };
    const heard = new EventTarget();
    const model = { get: (name) => traits[name], save_changes() {},
      set(name, value) { traits[name] = value; heard.dispatchEvent(new Event('change:' + name)); },
      on: (event, act) => heard.addEventListener(event, act), off: (event, act) => heard.removeEventListener(event, act) };
    window.fromPython = (changes) => { for (const name of Object.keys(changes)) model.set(name, changes[name]); };
    import('${library.url}anywidget.mjs').then(async ({ default: widget }) => {
      window.leave = await widget.render({ model, el: document.getElementById('cell') });
    });</script>`);
}, { timeout: 600_000 });
after(async () => {
  await Promise.all([library, host].map((server) => server?.close()));
  await built?.close();
  await removeFolder(folder);
});

const asElsewhere = agreement();
const LOSSES = 'lab.run.losses.map(({ loss }) => loss)';
/** What went wrong, but for the files that the page asked of the library. @param {string} url of the library */
const wrong = (url) => `tools.wrong().filter((line) => !line.startsWith('asked: ${url}'))`;

for (const { name: engine, launch } of engines()) {
  test(`${engine}: in other people's hands`, { timeout: 900_000 }, async (t) => {
    const downloads = mkdtempSync(join(folder, `${engine}-files-`));
    const driver = await launch({ downloads });
    t.after(() => driver.close());

    await t.test('the single file from the disk: trains by its button, saves an adapter, and asks nobody', async () => {
      await driver.open(`${pathToFileURL(join(out, 'peftlab.html'))}${SETTINGS}`);
      const { said, drawn, ...seen } = await driver.evaluate('visits.first()');
      assert.ok(drawn && said.length > 0, 'the recorded run at first, then the curve');
      asElsewhere('losses', seen.losses.map((/** @type {any} */ { loss }) => loss));
      asElsewhere('the single file', seen);
      await lab(driver, "void lab.set({ panel: 'export' })");
      await driver.evaluate("tools.press('peft-panel-export >>> button', 'Save the adapter').then(() => 1)");
      const path = join(downloads, 'pirate-lora-stories-300k.zip');
      await eventually(async () => (statSync(path, { throwIfNoEntry: false })?.size ?? 0) > 1000, true, 'saved');
      await driver.evaluate("tools.one('peft-panel-export >>> .note', /is in your downloads/).then(() => 1)");
      const files = unzipSync(readFileSync(path));
      assert.deepEqual(Object.keys(files).sort(), ['README.md', 'adapter_config.json', 'adapter_model.safetensors']);
      assert.deepEqual(await driver.evaluate('tools.wrong()'), []);
    });

    await t.test('the single file, loaded again in mid-training: what it says of keeping is true', async () => {
      const kept = !(await driver.evaluate("tools.find('peft-notices >>> .item', /does not store data here/)"));
      t.diagnostic(`${engine} ${kept ? 'keeps' : 'does not keep'} what a page from the disk stores`);
      await lab(driver, 'void lab.set({ steps: 5000 })');
      if (kept) await trainToSnapshot(driver, { reload: true });
      else await driver.evaluate('void setTimeout(() => location.reload())');
      await eventually(() => lab(driver, 'lab.status === "ready" && !lab.run').catch(() => false), true, 'another page');
      if (kept) {
        await driver.evaluate("tools.press('#resume').then(() => 1)");
        await until(driver, 'lab.status === "training" && lab.run.losses.length > 0');
        await lab(driver, 'void await lab.stop()');
      }
      assert.equal(await lab(driver, 'lab.runs.length > 0'), kept);
    });

    await t.test('a frame of another site, pressed by the mouse; its host is told its height', async () => {
      await driver.open(`${host.url}frames.html`);
      const inside = await driver.within("document.getElementById('train')");
      await eventually(() => inside("document.querySelector('peft-train')?.lab?.status").catch(() => ''), 'ready', 'the frame is ready');
      await press(driver, "tools.one('peft-train >>> #train:enabled')", { evaluate: inside, corner: () => driver.evaluate(`(() => {
        const at = document.getElementById('train');
        const { left, top } = at.getBoundingClientRect();
        return [left + at.clientLeft, top + at.clientTop]; })()`) });
      const run = "document.querySelector('peft-train').lab.run";
      await eventually(() => inside(`${run}?.status`), 'done', 'trained by a press of the mouse');
      asElsewhere('losses', await inside(`${run}.losses.map(({ loss }) => loss)`));
      await eventually(() => driver.evaluate(`(() => { const told = heard.filter(({ from }) => from === 'train').map(({ data }) => data);
        return [told.some((data) => data?.type === 'peft:height' && data.height > 50),
          told.some((data) => typeof data === 'string' && JSON.parse(data).subject === 'lti.frameResize')]; })()`), [true, true], 'told its height');
      assert.deepEqual(await inside('tools.wrong()'), []);
    });

    for (const [id, what] of [['page', "the site's page, under its policy"], ['file', 'the single file']]) {
      await t.test(`in a sandbox without an origin: ${what} trains, and says that it keeps nothing`, async () => {
        const inside = await driver.within(`document.getElementById('${id}')`);
        await eventually(() => inside("document.querySelector('peft-playground')?.lab?.status").catch(() => ''), 'ready', 'ready');
        assert.equal(await inside('origin'), 'null');
        await inside("tools.one('peft-notices >>> .item', /does not store data here/).then(() => 1)");
        await inside("tools.press('peft-train >>> #train').then(() => 1)");
        const run = "document.querySelector('peft-playground').lab.run";
        await eventually(() => inside(`${run}?.status`), 'done', 'trained');
        asElsewhere('losses', await inside(`${run}.losses.map(({ loss }) => loss)`));
        assert.deepEqual(await inside('tools.wrong()'), []);
      });
    }

    await t.test('a host that may asks and steers a sandboxed frame by messages', async () => {
      const answer = (/** @type {string} */ id) => driver.evaluate(`heard.find(({ data }) => data?.id === '${id}')?.data`);
      await driver.evaluate("ask('page', { id: 'look', type: 'peft:getState' })");
      await eventually(async () => (await answer('look'))?.state?.options?.rank, 4);
      await driver.evaluate("ask('page', { id: 'steer', type: 'peft:set', state: { seed: 7, steps: 3 } })");
      await eventually(async () => (await answer('steer'))?.state?.seed, 7);
      const inside = await driver.within("document.getElementById('page')");
      await eventually(() => inside("document.querySelector('peft-playground').lab.status"), 'ready');
      await driver.evaluate("ask('page', { id: 'go', type: 'peft:train' })");
      const run = "document.querySelector('peft-playground').lab.run";
      await eventually(() => inside(`((run) => run && [run.status, run.losses.length, run.seed])(${run})`),
        ['done', 3, 7], 'trained by a message');
    });

    await t.test('the elements library in a page of another origin', async () => {
      await driver.open(`${host.url}elements.html`);
      const counted = "/2,097,152/.test(document.querySelector('peft-panel-calculator').shadowRoot.textContent)";
      await driver.evaluate(`tools.until(() => ${counted})`);
      await driver.evaluate("tools.one('peft-merge >>> *', /Merge into the weights/).then(() => 1)");
      for (const name of ['mix', 'delta']) await driver.evaluate(`tools.one('peft-${name} >>> h2').then(() => 1)`);
      // The recorded count stands there until the engine has counted.
      await eventually(() => driver.evaluate("document.querySelector('peft-counter').lab.status"), 'ready', 'the counter has its engine');
      const counter = "tools.one('peft-counter >>> .card:not(:has(.badge.recorded)) [part=count]', /[1-9]/)";
      asElsewhere('the counter alone', await driver.evaluate(`${counter}.then(tools.words)`));
      await until(driver, 'lab.status === "ready"');
      await lab(driver, 'void await lab.train()');
      asElsewhere('losses', await lab(driver, LOSSES));
      const colour = `(() => { const at = document.querySelector('peft-counter').shadowRoot; const probe = document.createElement('i');
        probe.style.color = 'var(--bg)'; at.append(probe); const { color } = getComputedStyle(probe); probe.remove(); return color; })()`;
      await eventually(() => driver.evaluate(colour), 'rgb(255, 255, 255)');
      await driver.evaluate("void (document.body.style.background = '#101010')");
      await eventually(() => driver.evaluate(colour), 'rgb(20, 24, 29)', 'dark as soon as its page goes dark');
      assert.deepEqual(await driver.evaluate(wrong(library.url)), []);
    });

    await t.test('the notebook module: Python sets, trains, reads, and leaves the cell empty', async () => {
      await driver.open(`${host.url}widget.html`);
      await eventually(() => driver.evaluate('traits.status'), 'ready', 'ready');
      await driver.evaluate('fromPython({ training: true })');
      await eventually(() => driver.evaluate('[traits.training, traits.result.status]'), [false, 'done'], 'trained');
      asElsewhere('losses', await lab(driver, LOSSES));
      await driver.evaluate('fromPython({ rank: 100000000 })');
      await eventually(() => driver.evaluate('/rank/i.test(traits.error)'), true, 'what is wrong is said to Python');
      await driver.evaluate('void leave()');
      await eventually(() => driver.evaluate("document.getElementById('cell').childElementCount"), 0);
      assert.deepEqual(await driver.evaluate(wrong(library.url)), []);
    });
  });
}
