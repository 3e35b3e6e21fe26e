// What somebody trained is kept, in every installed engine: through a reload and a crash in mid-training, with two tabs at once, in
// a closed tab, and by files, which are really saved to the disk and chosen or dropped from there. A run goes on exactly as if
// nobody had interrupted it; and what is in the files is the same in every engine, so that one opens what another saved.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { unzipSync } from 'fflate';
import { engines } from './lib/browser.mjs';
import { agreement, giveEyes } from './lib/eyes.mjs';
import { removeFolder } from './lib/folders.mjs';
import { middle, press } from './lib/pointer.mjs';
import { buildSite, eventually, kept, lab, stored, trainToSnapshot, until } from './lib/qa-site.mjs';

/** Long enough that something can happen to it on the way. */
const LINK = '#v=1&model=stories-300k&task=pirate&n=240&bs=2&lr=0.005&seed=3&w=1&lang=en';
const ENDLESS = LINK.replace('n=240', 'n=5000');
const RUN = '({ losses: lab.run.losses, validations: lab.run.validations, after: lab.run.sample.after })';
const LOGITS = "await lab.work(async (session) => Array.from((await session.logits({ text: 'The cat' })).logits.slice(0, 40)))";
/** @param {Uint8Array} bytes */
const sum = (bytes) => createHash('sha256').update(bytes).digest('hex');
const NO_PROFILE = 'a driven WebKit keeps its storage in memory alone: nothing there could outlive it';
const NO_DROP = 'its driver has no file that another program drags; the event of a drop, made by the page, is in the test before';

/** @type {Awaited<ReturnType<typeof buildSite>>} */
let built;
/** @type {Awaited<ReturnType<Awaited<ReturnType<typeof buildSite>>['serve']>>} */
let site;
const folder = mkdtempSync(join(tmpdir(), 'peftlab-kept-'));
before(async () => {
  built = await buildSite();
  giveEyes(built.folder, ['index.html', 'embed.html']);
  site = await built.serve();
}, { timeout: 400_000 });
after(async () => {
  await built?.close();
  await removeFolder(folder);
});

const asElsewhere = agreement();
/** The session that the first engine saved, for all to open. */
const session = { path: '', logits: /** @type {number[]} */ ([]) };
/** @typedef {import('./lib/browser.mjs').Driver} Driver */

/** The page of a link, loaded anew whatever the tab showed before. @param {Driver} tab @param {string} link */
async function open(tab, link) {
  await tab.open(`${site.url}embed.html?element=none`);
  await tab.open(`${site.url}${link}`);
  await until(tab, 'lab.status === "ready"');
}
/** Once the page has been loaded again. @param {Driver} tab */
const resume = (tab) => until(tab, 'lab.status === "ready"').then(() => tab.evaluate("tools.press('#resume').then(() => 1)"));
/** @param {Driver} tab */
const reload = (tab) => tab.evaluate('void setTimeout(() => location.reload())');
/** @param {Driver} tab */
const offered = (tab) => tab.evaluate("Boolean(tools.find('#resume'))");
/** @param {Driver} tab @param {RegExp} words @returns {Promise<boolean>} whether the page says so in a notice */
const notice = (tab, words) => tab.evaluate(`Boolean(tools.find('peft-notices >>> .item', ${words}))`);
/** In the Export panel. @param {string} words of a button */
const button = (words) => `tools.one('peft-panel-export >>> button', '${words}')`;
/** In the Export panel. @param {RegExp} words of its status line */
const says = (words) => `tools.one('peft-panel-export >>> .note', ${words}).then(tools.words)`;

for (const { name: engine, launch } of engines()) {
  test(`${engine}: what was trained is kept`, { timeout: 1_800_000 }, async (t) => {
    const [profile, downloads] = ['profile', 'files'].map((name) => mkdtempSync(join(folder, `${engine}-${name}-`)));
    let driver = await launch({ profile, downloads });
    t.after(() => driver.close());
    /** What a press of a button really leaves on the disk. @param {string} words of the button @param {string} name */
    const saved = async (words, name) => {
      const path = join(downloads, name);
      rmSync(path, { force: true });
      await press(driver, button(words));
      let size = -1;
      for (const end = Date.now() + 120_000; Date.now() < end; await sleep(200)) {
        const now = statSync(path, { throwIfNoEntry: false })?.size ?? -1;
        if (now > 0 && now === size) return { path, bytes: readFileSync(path) };
        size = now;
      }
      throw new Error(`${name} was not saved; there is ${readdirSync(downloads)}`);
    };

    await t.test('a reload in mid-training: the run goes on as if nothing had happened', async () => {
      await open(driver, LINK);
      await trainToSnapshot(driver, { reload: true });
      await resume(driver);
      await until(driver, 'lab.run?.status === "done"');
      const resumed = await lab(driver, RUN);
      await lab(driver, 'void await lab.train()');
      assert.equal(resumed.losses.length, 240);
      assert.deepEqual(resumed, await lab(driver, RUN));
      asElsewhere('the whole run', resumed);
      assert.deepEqual(await driver.evaluate('tools.wrong()'), []);
    });

    await t.test('left at once after a run, and back: the site loads again, the run is there, and one can train', async () => {
      await lab(driver, 'void (lab.set({ steps: 30 }), await lab.train())');
      const runs = await lab(driver, 'lab.runs.length');
      await driver.open(`${site.url}embed.html?element=none`);
      await driver.open(`${site.url}index.html${LINK.replace('n=240', 'n=3')}`);
      await until(driver, 'lab.status === "ready"');
      assert.equal(await lab(driver, 'lab.runs.length'), runs);
      await driver.evaluate('void setTimeout(() => history.go(-2))');
      await eventually(() => driver.evaluate('location.pathname').catch(() => ''), '/', 'the page before');
      await until(driver, 'lab.status === "ready"');
      await lab(driver, 'void (lab.set({ steps: 3 }), await lab.train())');
      assert.equal(await lab(driver, 'lab.run.status'), 'done');
      await kept(driver);
      assert.equal(await stored(driver, 'session', 'value.runs.length'), runs + 1);
    });

    await t.test('two tabs at once: the second harms nothing, and the first keeps the right to save', async () => {
      await open(driver, ENDLESS);
      await trainToSnapshot(driver);
      await lab(driver, 'void await lab.pause()');
      await until(driver, 'lab.status === "paused"');
      const { id, losses } = await lab(driver, 'lab.run');
      await eventually(() => stored(driver, 'open', 'value.step'), losses.length);
      const finished = await stored(driver, 'session', 'value.runs.length');
      const two = await driver.tab();
      await open(two, LINK.replace('n=240', 'n=2'));
      await two.evaluate("tools.one('peft-notices >>> .item', /Another tab/).then(() => 1)");
      assert.equal(await lab(two, 'lab.runs.length'), finished, 'the finished runs are shown there too');
      await lab(two, 'void await lab.train()');
      assert.equal(await lab(two, 'lab.run.status'), 'done');
      await sleep(800); // would it save, it would have by now
      assert.equal(await offered(two), false, 'a run that goes on elsewhere is not offered');
      assert.deepEqual(
        [await stored(driver, 'open', 'value?.run.id'), await stored(driver, 'session', 'value.runs.length')], [id, finished],
        'nothing of the second is stored',
      );
      await reload(driver);
      await eventually(() => offered(driver).catch(() => false), true, 'offered to the first one');
      assert.deepEqual([await notice(driver, /Another tab/), await offered(two)], [false, false], 'the first one saves again');
      await two.close();
      await driver.evaluate("tools.press('.resume button', 'Discard it').then(() => 1)");
      await eventually(() => stored(driver, 'open', 'Boolean(value)'), false, 'and forgets what is discarded');
    });

    await t.test('a closed tab in mid-training, on own text and with all weights: the next one goes on', async () => {
      await driver.open(`${site.url}embed.html?element=none`); // gives the right to save up
      const two = await driver.tab();
      await open(two, `${ENDLESS}&m=full`);
      await lab(two, `void await lab.useData(Array.from({ length: 30 }, (_, i) => ({
        prompt: 'Dog number ' + i + ' saw', completion: ' ' + i + ' ducks and <b>ran</b> away.', line: i + 1 })), 'ducks.jsonl')`);
      await trainToSnapshot(two);
      const before = await stored(two, 'open', 'value.run.losses');
      await two.close();
      await driver.open(`${site.url}`);
      await resume(driver);
      await until(driver, `lab.run?.losses.length > ${before.length}`);
      assert.deepEqual(await lab(driver, '[lab.state.task, lab.state.method, lab.task.title]'), ['own-data', 'full', 'ducks.jsonl']);
      assert.deepEqual((await lab(driver, 'lab.run.losses')).slice(0, before.length), before);
      await lab(driver, 'void await lab.stop()');
      await until(driver, 'lab.status === "ready" && lab.run.status === "stopped"');
      const { id, weights } = await lab(driver, 'lab.run');
      await eventually(() => stored(driver, 'session', '[value.runs.at(-1).id, value.runs.at(-1).weights]'), [id, weights], 'its weights are stored');
      await kept(driver);
      const after = await lab(driver, LOGITS);
      await reload(driver);
      await eventually(() => lab(driver, 'lab.status === "ready" && !lab.run').catch(() => false), true, 'another page');
      await lab(driver, 'void await lab.load(lab.runs.at(-1))');
      assert.deepEqual(await lab(driver, LOGITS), after, 'and come back after a reload');
    });

    await t.test('the browser ends at once in mid-training: another one goes on', { skip: driver.kill ? false : NO_PROFILE }, async () => {
      await open(driver, ENDLESS);
      await trainToSnapshot(driver);
      const before = await stored(driver, 'open', 'value.run.losses');
      await /** @type {() => Promise<void>} */ (driver.kill)();
      await driver.close().catch(() => {});
      driver = await launch({ profile, downloads });
      await driver.open(`${site.url}${ENDLESS}`);
      await resume(driver);
      await until(driver, `lab.run?.losses.length > ${before.length}`);
      assert.deepEqual((await lab(driver, 'lab.run.losses')).slice(0, before.length), before);
      await lab(driver, 'void await lab.stop()');
    });

    await t.test('saved to the disk and chosen from there: adapter, session, model, table, script', async () => {
      await open(driver, `${LINK.replace('n=240', 'n=6')}&panel=export`);
      await lab(driver, 'void await lab.train()');
      const trained = await lab(driver, LOGITS);
      const adapter = await saved('Save the adapter', 'pirate-lora-stories-300k.zip');
      const files = unzipSync(adapter.bytes);
      assert.deepEqual(Object.keys(files).sort(), ['README.md', 'adapter_config.json', 'adapter_model.safetensors']);
      const whole = await saved('Save the session', 'peftlab-session.zip');
      const table = String((await saved('Runs as CSV', 'runs.csv')).bytes).trim().split('\r\n');
      assert.equal(table.length, 1 + await lab(driver, 'lab.runs.length'));
      const script = await saved('Save train.py', 'train.py');
      await lab(driver, 'void await lab.merge()');
      const model = unzipSync((await saved('Save the model', 'stories-300k-merged.zip')).bytes);
      const sums = Object.entries({ ...files, ...model, script: script.bytes }).map(([name, bytes]) => [name, sum(bytes)]);
      asElsewhere('bytes of what is saved', Object.fromEntries(sums));
      await lab(driver, 'void (await lab.unmerge(), await lab.reset())');
      await eventually(async () => isDeepStrictEqual(await lab(driver, LOGITS), trained), false, 'the model alone');
      await driver.choose("tools.every('peft-panel-export >>> peft-file >>> input')[0]", adapter.path);
      await driver.evaluate(says(/^Loaded: LoRA/));
      await until(driver, 'lab.status === "ready"');
      assert.deepEqual(await lab(driver, LOGITS), trained, 'chosen');
      if (!session.path) {
        session.path = join(folder, 'first-session.zip');
        copyFileSync(whole.path, session.path);
        session.logits = trained;
      }
      await open(driver, `${LINK}&panel=export`);
      await lab(driver, 'void [...lab.runs].forEach((run) => lab.remove(run))'); // a session's runs do not come twice
      await driver.choose("tools.every('peft-panel-export >>> peft-file >>> input').at(-1)", session.path);
      await driver.evaluate(says(/^[1-9]\d* runs? (is|are) back/));
      await until(driver, 'lab.status === "ready"');
      assert.deepEqual(await lab(driver, LOGITS), session.logits, "the first engine's session");
      await lab(driver, 'void await lab.reset()');
      await driver.evaluate(`(async () => { const zip = new File([new Uint8Array([${adapter.bytes.join()}])], 'mine.zip');
        const dataTransfer = new DataTransfer();
        dataTransfer.items.add(zip);
        (await tools.one('peft-panel-export >>> .drop')).dispatchEvent(new DragEvent('drop', { dataTransfer, bubbles: true, cancelable: true }));
        await ${says(/^Loaded: LoRA/)}; })()`);
      await until(driver, 'lab.status === "ready"');
      assert.deepEqual(await lab(driver, LOGITS), trained, 'dropped');
      assert.deepEqual(await driver.evaluate('tools.wrong()'), []);
    });

    await t.test('dropped from the disk by the system', { skip: driver.drop ? false : NO_DROP }, async () => {
      const before = await lab(driver, '[lab.runs.length, ' + LOGITS + ']');
      await lab(driver, 'void await lab.reset()');
      const [x, y] = await middle(driver.evaluate, "tools.one('peft-panel-export >>> .drop')");
      await /** @type {NonNullable<Driver['drop']>} */ (driver.drop)(x, y, join(downloads, 'pirate-lora-stories-300k.zip'));
      await driver.evaluate(says(/^Loaded: LoRA/));
      await until(driver, `lab.runs.length > ${before[0]} && lab.status === "ready"`);
      assert.deepEqual(await lab(driver, LOGITS), before[1]);
    });
  });
}
