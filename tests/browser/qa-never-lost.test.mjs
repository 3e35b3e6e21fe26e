// Work is never lost: an engine that hangs or is ended in mid-training, and a reload in mid-training with own text or
// with full fine-tuning. Each time the run goes on from its last snapshot and takes exactly the course of a run that
// nobody interrupted. All weights of a finished run come back after a reload.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { screenshot } from './lib/browser.mjs';
import { eventually, kept, lab, siteAndBrowser, stored, trainToSnapshot, until } from './lib/qa-site.mjs';

const SLOW = { timeout: 900_000 };

const own = siteAndBrowser();

// enough steps that the run still goes on when something happens to it
const LINK = '#v=1&model=stories-300k&task=pirate&n=320&bs=2&lr=0.005&seed=3&w=1';

/** Names under which the page has stored something. @param {import('playwright-core').Page} page */
const names = (page) => page.evaluate(`new Promise((resolve) => { indexedDB.open('peftlab').onsuccess = ({ target }) => {
  target.result.transaction('values').objectStore('values')
    .getAllKeys().onsuccess = (event) => { target.result.close(); resolve(event.target.result.sort()); }; }; })`);

/** @param {import('node:test').TestContext} context @param {string} hash @param {(page: import('playwright-core').Page) => Promise<any>} [prepare] */
async function open(context, hash, prepare = async () => {}) {
  const watched = await own.browser.open(`${own.site.url}embed.html?element=none`);
  context.after(() => watched.page.context().close());
  await prepare(watched.page);
  await watched.page.goto(`${own.site.url}${hash}`);
  await until(watched.page, 'lab.status === "ready"');
  return watched;
}

/**
 * Resumes by the button, to the end; then the same run without any interruption must have gone the same way.
 * @param {import('playwright-core').Page} page
 */
async function goesOnAsIfNothingHappened(page) {
  await page.locator('#resume').click();
  await until(page, 'lab.run?.status === "done"', 400_000);
  const resumed = await lab(page, '({ losses: lab.run.losses, validations: lab.run.validations, after: lab.run.sample.after })');
  await lab(page, 'void await lab.train()');
  const whole = await lab(page, '({ losses: lab.run.losses, validations: lab.run.validations, after: lab.run.sample.after })');
  assert.equal(resumed.losses.length, whole.losses.length);
  assert.deepEqual(resumed, whole);
}

for (const how of ['loops for ever', 'is ended by the browser']) {
  test(`the engine ${how} in mid-training: said within three seconds, and the run goes on from its snapshot`, SLOW, async (context) => {
    const { page } = await open(context, LINK);
    await trainToSnapshot(page);
    const [worker] = page.workers();
    const began = Date.now();
    worker.evaluate(how === 'loops for ever' ? () => { for (;;); } : () => close()).catch(() => {});
    const item = page.locator('peft-notices .item', { hasText: 'worker' });
    await item.waitFor();
    const took = Date.now() - began;
    context.diagnostic(`noticed after ${took} ms`);
    // By the page's own clock, which stands still while the machine keeps the page waiting too: silence is no bad sign for two
    // seconds, or ten times what such work takes here.
    const said = await item.innerText();
    const [, silent = '0', usual = '0'] = /silent for ([\d.]+) s \([a-z ]+(?:, usually (\d+) ms)?\)/.exec(said) ?? [];
    assert.ok(1000 * Number(silent) < Math.max(2000, 10 * Number(usual)) + 3000, said);
    assert.ok(how === 'loops for ever' ? Number(silent) > 0 : took < 5000, `${took} ms: ${said}`);
    assert.match(
      await item.innerText(),
      how === 'loops for ever' ? /silent for \d\.\d s \((training step|evaluating|generating|snapshot)/ : /browser ended it/,
    );
    await page.locator('#resume').waitFor();
    if (how === 'loops for ever') {
      for (const theme of ['light', 'dark']) {
        await page.evaluate((value) => { document.documentElement.dataset.theme = value; }, theme);
        await screenshot(page, `qa-lost-engine-${theme}`);
      }
      await page.setViewportSize({ width: 390, height: 800 });
      await screenshot(page, 'qa-lost-engine-phone');
    }
    await goesOnAsIfNothingHappened(page);
  });
}

test('a reload in mid-training on own text: the text is still there and the run goes on', { timeout: 900_000 }, async (context) => {
  // Short texts train fast: enough steps that the run is still going when the page is reloaded.
  const { page, assertClean } = await open(context, LINK.replace('n=320', 'n=1600'));
  await page.evaluate(async () => {
    const { lab: inside } = /** @type {any} */ (document.querySelector('peft-playground'));
    await inside.useData(
      Array.from({ length: 30 }, (_, i) => ({
        prompt: `Dog number ${i} saw`,
        completion: ` ${i + 1} ducks and <b>ran</b> away.`,
        line: i + 1,
      })),
      'ducks.jsonl',
    );
  });
  await trainToSnapshot(page, { reload: true });
  await until(page, 'lab.status === "ready"');
  assert.deepEqual(
    await lab(
      page,
      '[lab.state.task, lab.task.title, lab.task.splits.train.length, lab.task.splits.validation.length, lab.task.splits.train[5].completion]',
    ),
    ['own-data', 'ducks.jsonl', 27, 3, ' 6 ducks and <b>ran</b> away.'],
  );
  await goesOnAsIfNothingHappened(page);
  assertClean();
});

test('a reload in mid-training with full fine-tuning: the weights are still there and the run goes on', { timeout: 900_000 }, async (context) => {
  const { page, assertClean } = await open(context, `${LINK}&m=full`);
  await trainToSnapshot(page, { reload: true });
  await until(page, 'lab.status === "ready"');
  await goesOnAsIfNothingHappened(page);
  assertClean();
});

test('a finished full fine-tuning outlives the tab: shown again it says, merges and exports the very same', { timeout: 900_000 }, async (context) => {
  const { page, assertClean } = await open(context, `${LINK.replace('n=320', 'n=12')}&m=full`);
  const sum = `crypto.subtle.digest('SHA-256', (await lab.work((session) => ` +
    `session.exportModel('F32')))['model.safetensors']).then((sum) => [...new Uint8Array(sum)].join())`;
  const seen = async () => ({
    sample: await lab(page, 'lab.sample'),
    held: await lab(page, '(await lab.work((session) => session.evaluate({ split: "validation" }))).loss'),
    merged: await lab(page, `(await lab.work((session) => session.merge()), await ${sum})`),
  });
  const base = await lab(page, `await ${sum}`);
  await lab(page, 'void await lab.train()');
  const before = await seen();
  assert.notEqual(before.merged, base);
  await eventually(
    () => stored(page, 'session', 'value?.runs.map((run) => Boolean(run.weights))'),
    [true],
    'the run is stored, and that its weights are',
  );
  await kept(page);
  await page.reload();
  await until(page, 'lab.status === "ready"');
  assert.equal(await lab(page, `await ${sum}`), base, 'another page, the model alone');
  await page.getByRole('button', { name: 'Load the weights of run 1' }).click();
  await until(page, 'lab.run?.status === "done" && lab.status === "ready" && lab.sample.after');
  assert.deepEqual(await seen(), before);
  await page.locator('peft-runs').scrollIntoViewIfNeeded();
  await screenshot(page, 'qa-full-again');
  await lab(page, 'void (await lab.unmerge(), lab.remove(lab.runs[0]))');
  await eventually(() => names(page), ['probe', 'session'], 'nothing is left of a run that was deleted');
  assertClean();
});

test('no room for the weights of every full fine-tuning: the oldest make room, which is said, and the rest comes back', SLOW, async (context) => {
  const { page } = await open(context, `${LINK.replace('n=320', 'n=2')}&m=full`, (p) => p.addInitScript(() => {
    const { put } = IDBObjectStore.prototype;
    const sizes = new Map();
    IDBObjectStore.prototype.put = function full(value, ...key) {
      if (value instanceof Uint8Array) {
        sizes.delete(key[0]);
        if ([...sizes.values()].reduce((sum, size) => sum + size, value.length) > 3e6)
          throw new DOMException('The disk is full.', 'QuotaExceededError');
        sizes.set(key[0], value.length);
      }
      return put.call(this, value, ...key);
    };
    const { delete: remove } = IDBObjectStore.prototype;
    IDBObjectStore.prototype.delete = function freed(key) { sizes.delete(key); return remove.call(this, key); };
  }));
  for (let run = 1; run <= 3; run++) await lab(page, 'void await lab.train()');
  await page.locator('peft-notices .item', { hasText: 'stored weights of run 1' }).waitFor();
  assert.deepEqual(await lab(page, 'lab.runs.map((run) => Boolean(run.weights))'), [true, true, true], 'until the reload');
  await eventually(() => stored(page, 'session', 'value?.runs.map((run) => Boolean(run.weights))'), [false, true, true]);
  for (const width of [1280, 360]) {
    await page.setViewportSize({ width, height: 800 });
    for (const theme of ['light', 'dark']) {
      await page.evaluate((value) => { document.documentElement.dataset.theme = value; }, theme);
      await screenshot(page, `qa-no-room-${width}-${theme}`);
    }
  }
  await page.reload();
  await until(page, 'lab.status === "ready" && lab.runs.length === 3');
  assert.deepEqual(await lab(page, 'lab.runs.map((run) => Boolean(run.weights))'), [false, true, true]);
  assert.deepEqual(await names(page), ['probe', 'session', 'weights-2', 'weights-3']);
  await lab(page, 'void await lab.load(lab.runs[1])');
  assert.equal(await lab(page, 'lab.sample.after === lab.runs[1].sample.after'), true);
});

test('a page that starts slowly is not taken for a second tab; a second tab is told that it saves nothing', SLOW, async (context) => {
  const link = '#v=1&model=stories-300k&task=pirate&n=1&bs=2';
  const { page, assertClean } = await open(context, link, (slow) => slow.addInitScript(() => {
    const usual = AbortSignal.timeout;
    AbortSignal.timeout = (ms) => { // the first wait is over before the browser has answered
      AbortSignal.timeout = usual;
      return ms > 5000 ? usual(ms) : AbortSignal.abort(new DOMException('late', 'TimeoutError'));
    };
  }));
  const other = (/** @type {import('playwright-core').Page} */ of) => of.getByText('Another tab of this page saves its runs').count();
  await lab(page, 'void await lab.train()');
  await kept(page);
  assert.equal(await other(page), 0);
  const second = await page.context().newPage();
  await second.goto(`${own.site.url}${link}`);
  await eventually(() => other(second), 1);
  assertClean();
});

test('a second tab takes over when the first is closed: both tabs\' runs are kept, with their weights', SLOW, async (context) => {
  const link = '#v=1&model=stories-300k&task=pirate&n=2&bs=2&w=1';
  const { page: first, assertClean } = await open(context, `${link}&m=lora&seed=1`);
  const seedsOf = (/** @type {import('playwright-core').Page} */ of) => lab(of, 'lab.runs.map((run) => [run.id, run.seed])');
  await lab(first, 'void await lab.train()');
  await kept(first);
  const second = await first.context().newPage();
  await second.goto(`${own.site.url}${link}&m=full&lr=0.001&seed=2`);
  await until(second, 'lab.status === "ready"');
  await second.getByText('Another tab of this page saves its runs').waitFor();
  assert.deepEqual(await seedsOf(second), [[1, 1]], 'what the first had kept by then');
  await lab(second, 'void await lab.train()'); // number 2 here …
  await lab(first, 'void (lab.set({ method: "full", lr: 0.001, options: {}, seed: 3 }), await lab.train())'); // … and there
  const weights = (/** @type {import('playwright-core').Page} */ of, /** @type {number} */ seed) =>
    lab(of, `Array.from((await lab.weights.of(lab.runs.find((run) => run.seed === ${seed}))).slice(-64))`);
  const [theirs, ours] = [await weights(first, 3), await weights(second, 2)];
  await eventually(() => stored(first, 'session', 'value.runs.map((run) => Boolean(run.weights)).join()'), 'false,true');
  await first.reload(); // a reload is no end: the first has the right again
  await until(first, 'lab.status === "ready"');
  assert.equal(await first.getByText('Another tab of this page').count(), 0);
  await first.close();
  await second.getByText('The other tab is closed.').waitFor();
  assert.equal(await second.getByText('Another tab of this page').count(), 0, 'that is no longer so');
  assert.deepEqual(await seedsOf(second), [[1, 1], [2, 2], [3, 3]]);
  await eventually(() => stored(second, 'session', 'value.runs.map((run) => run.seed).join()'), '1,2,3');
  await eventually(async () => (await names(second)).filter((name) => name.startsWith('weights')).join(), 'weights-2,weights-3');
  await second.reload();
  await until(second, 'lab.status === "ready"');
  assert.deepEqual(await seedsOf(second), [[1, 1], [2, 2], [3, 3]]);
  assert.deepEqual([await weights(second, 3), await weights(second, 2)], [theirs, ours]);
  assertClean();
});

test('a paused run outlives the tab, even before its first snapshot was due', { timeout: 600_000 }, async (context) => {
  const { page } = await open(context, LINK);
  await page.evaluate(() => {
    const { lab: inside } = /** @type {any} */ (document.querySelector('peft-playground'));
    inside.addEventListener('step', () => { if (inside.run.losses.length === 5) inside.pause(); });
    return inside.train();
  });
  const paused = await lab(page, 'lab.run.losses');
  await eventually(() => stored(page, 'open', 'value?.step'), paused.length);
  await page.reload();
  await page.locator('#resume').click();
  await until(page, `lab.run?.losses.length > ${paused.length}`);
  assert.deepEqual((await lab(page, 'lab.run.losses')).slice(0, paused.length), paused);
});

test('no room for own text: said, training goes on, and the next visit begins with a task of ours', { timeout: 600_000 }, async (context) => {
  const { page } = await open(context, LINK, (p) => p.addInitScript(() => {
    const { put } = IDBObjectStore.prototype;
    IDBObjectStore.prototype.put = function full(value, ...key) {
      if (value?.examples) throw new DOMException('The disk is full.', 'QuotaExceededError');
      return put.call(this, value, ...key);
    };
  }));
  await lab(
    page,
    'void (lab.set({ steps: 4 }), await lab.useData(Array.from({ length: 12 }, (_, i) => ({ text: `Line ${i} of mine.` })), ' +
      '"mine.txt"), await lab.train())',
  );
  await page.locator('peft-notices .item', { hasText: 'storage is full' }).waitFor();
  assert.equal(await lab(page, 'lab.run.status'), 'done');
  await page.reload();
  await until(page, 'lab.status === "ready"');
  assert.equal(await lab(page, 'lab.state.task'), 'pirate');
});

test('a comparison is there after a reload', SLOW, async (context) => {
  const { page, assertClean } = await open(context, LINK);
  await lab(page, 'void (lab.results.compare = { task: "mood", runs: [{ method: "lora", seed: 1, loss: 2 }] }, lab.emit("results"))');
  const runs = () => stored(page, 'session', 'value?.compare?.runs');
  await eventually(runs, [{ method: 'lora', seed: 1, loss: 2 }]);
  await page.reload();
  await until(page, 'lab.status === "ready"');
  assert.deepEqual(await lab(page, 'lab.results.compare'), { task: 'mood', runs: [{ method: 'lora', seed: 1, loss: 2 }] });
  assertClean();
});
