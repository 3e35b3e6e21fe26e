// A newcomer's path through the built page in Chromium: read, train, compare before and after, merge, unmerge, another method, reload.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { checkAxe, fits, launchChromium, screenshot, startSite } from './lib/browser.mjs';
import { eventually, kept, lab, says, trainToSnapshot, until } from './lib/qa-site.mjs';

const SLOW = { timeout: 400_000 };

/** Everything the test counts on is in the link: presets may change. */
const LINK = '#v=1&model=stories-300k&task=pirate&n=24&bs=16&lr=0.01&r=8&a=16&t=qv';
/** @typedef {import('./lib/browser.mjs').Watched} Watched */
/** @type {Awaited<ReturnType<typeof startSite>>} */
let site;
/** @type {Awaited<ReturnType<typeof launchChromium>>} */
let browser;
before(async () => {
  site = await startSite(); // as it would be published
  browser = await launchChromium({ persistent: true });
}, { timeout: 400_000 });
after(async () => {
  await browser?.close();
  await site?.close();
});

/**
 * A page that is closed after the test, whatever happens: an open one would keep the right to save.
 * @param {import('node:test').TestContext} context @param {string} hash
 */
async function open(context, hash) {
  const watched = await browser.open(`${site.url}${hash}`);
  context.after(() => watched.page.close());
  await watched.page.setViewportSize({ width: 1400, height: 900 });
  return watched;
}

/** @param {import('playwright-core').Page} page @param {string} status */
const reach = (page, status) =>
  page.waitForFunction((wanted) => /** @type {any} */ (document.querySelector('peft-playground')).lab.status === wanted, status);
const recording = JSON.parse(readFileSync(new URL('../../web/content/recorded/first-run.json', import.meta.url), 'utf8'));
/** @param {import('playwright-core').Page} page @param {string} selector */
const text = async (page, selector) => (await page.locator(selector).first().innerText()).trim();

test('the first run: load, train LoRA, before and after, merge, unmerge, prompt tuning, the run list, reload', SLOW, async (context) => {
  const { page, assertClean } = await open(context, LINK);
  // Meaningful before the engine is there, and then ready without a click.
  await page.locator('peft-sample blockquote').first().waitFor();
  await page.locator('peft-loss h2', { hasText: `Recorded run: LoRA r = 8, ${recording.run.train.steps} steps` }).waitFor();
  await reach(page, 'ready');
  const counted = () => text(page, 'peft-counter [part="count"]');
  await eventually(async () => Number((await counted()).replaceAll(',', '')), await lab(page, 'lab.description.counts.trainable'));
  const counter = await counted();
  await page.locator('peft-counter [part="large"]').waitFor();
  await eventually(() => text(page, 'peft-counter [part="large"]'), '4,194,304');
  await eventually(() => page.locator('peft-diagram .lit').count(), 2, 'Q and V are lit');

  const waits = page.evaluate(async () => { // all the while it trains
    const { lab: inside } = /** @type {any} */ (document.querySelector('peft-playground'));
    while (inside.status !== 'training') await new Promise((resolve) => { setTimeout(resolve); });
    const found = /** @type {number[]} */ ([]);
    for (let from = performance.now(); inside.status === 'training'; from = performance.now()) {
      await new Promise((resolve) => { setTimeout(resolve); });
      found.push(performance.now() - from);
    }
    return found.sort((a, b) => a - b);
  });
  await page.locator('.left #train').click();
  const waited = (await waits).at((await waits).length / 2);
  assert.ok(waited < 50, `the page answered after ${waited} ms while training`);
  await until(page, 'lab.run?.status === "done" && lab.status === "ready"');
  const run = await lab(page, 'structuredClone({ ...lab.run, adapter: Object.keys(lab.run.adapter) })');
  assert.equal(run.losses.length, 24);
  assert.ok(run.validations.at(-1).loss < run.base_loss - 0.2, `held-out loss ${run.validations.at(-1).loss} of ${run.base_loss}`);
  assert.deepEqual(run.adapter, ['adapter_config.json', 'adapter_model.safetensors']);
  const quoted = async () => [await text(page, 'peft-sample blockquote'), await text(page, 'peft-sample blockquote.after')];
  await eventually(quoted, [run.sample.before, run.sample.after].map((words) => words.trim()));
  assert.notEqual(run.sample.before, run.sample.after);
  await page.locator('peft-loss peft-chart svg').first().waitFor();
  await says(() => text(page, 'peft-loss peft-chart figcaption'), /After step 24 the loss is .* the model alone has/);
  await says(() => page.locator('peft-loss details p').textContent(), /a loss of ([\d.]+) nats/);
  const about = await page.locator('peft-loss details p').textContent() ?? '';
  const [, nats, share] = /a loss of ([\d.]+) nats .* probability of ([\d.]+)%/.exec(about) ?? [];
  assert.ok(Math.abs(Number(share) / 100 / Math.exp(-Number(nats)) - 1) < 0.05, `${nats} nats are a probability of ${share}%`);

  await page.locator('peft-sample strong', { hasText: /style times content: before [\d.]+%, after [\d.]+%/ }).waitFor(); // by itself
  await page.locator('peft-sample', { hasText: /the share of words said the pirate.s way/ }).waitFor();
  await eventually(() => page.locator('peft-sample button', { hasText: 'Score it' }).count(), 0, 'scored already');
  assert.ok((await lab(page, 'lab.run.score')) >= 0);
  await page.locator('peft-next-step button').first().click(); // "put it inside the model"
  await page.locator('#merge').click();
  await page.locator('#difference').waitFor();
  const difference = Number(await page.locator('#difference').getAttribute('data-value'));
  assert.ok(difference < 1e-3, `max|Δlogit| ${difference}`);
  assert.match(await text(page, 'peft-panel-merge tbody'), /quartiles .* 30 runs/);
  await page.locator('#unmerge').click();
  await page.locator('#merge').waitFor();
  assert.equal(await lab(page, 'lab.merged'), null);
  assert.equal(await lab(page, 'lab.ask(lab.sample.prompt)'), run.sample.after, 'the trained module is back');

  await page.locator('peft-methods input[value="prompt"]').check();
  await until(page, 'lab.description.modules[0]?.method === "prompt"');
  await eventually(async () => (await counted()) !== counter, true);
  await says(() => text(page, 'peft-panel-merge section'), /cannot be merged/);
  await says(() => text(page, 'peft-loss h2'), /Run 1: LoRA r = 8, 24 steps/, 'the curve of another method says whose it is');
  await page.locator('.left #train').click();
  await until(page, 'lab.runs.length === 2 && lab.run?.status === "done" && lab.status === "ready"');
  await says(() => text(page, 'peft-runs tbody'), /Method LoRA → Prompt/);
  await screenshot(page, 'page-first-run', { fullPage: true });

  await kept(page);
  await page.reload();
  await reach(page, 'ready');
  assert.deepEqual(await lab(page, 'lab.runs.map((r) => [r.id, r.method, r.status])'), [[1, 'lora', 'done'], [2, 'prompt', 'done']]);
  await page.locator('peft-runs button', { hasText: 'Load' }).last().click();
  await page.waitForFunction(() => /** @type {any} */ (document.querySelector('peft-playground')).lab.run?.id === 1);
  await page.waitForFunction((words) => /** @type {any} */ (document.querySelector('peft-playground')).lab.sample.after === words, run.sample.after);
  assertClean();
});

test('pause, one step, go on, stop; undo brings a reset run back', { timeout: 240_000 }, async (context) => {
  const { page, assertClean } = await open(context, '#v=1&model=stories-300k&task=pirate&n=5000');
  await reach(page, 'ready');
  await page.keyboard.press('Space');
  await page.waitForFunction(() => /** @type {any} */ (document.querySelector('peft-playground')).lab.run?.losses.length >= 3);
  await page.locator('.left button.primary').click();
  await reach(page, 'paused');
  const at = await lab(page, 'lab.run.losses.length');
  if (at < 50)
    await eventually(
      async () => /held-out it was [\d.]+ after step 0\./.test(await text(page, 'peft-loss peft-chart figcaption')),
      true,
      'before the first validation on the way the value is said to be that of step 0',
    );
  await page.keyboard.press('s');
  await page.waitForFunction((n) => {
    const { lab } = /** @type {any} */ (document.querySelector('peft-playground'));
    return lab.status === 'paused' && lab.run.losses.length === n + 1;
  }, at);
  await page.locator('.left button.primary').click();
  await reach(page, 'training');
  const took = await page.evaluate(async () => {
    const { lab } = /** @type {any} */ (document.querySelector('peft-playground'));
    const from = performance.now();
    await lab.stop();
    while (lab.status === 'training') await new Promise((resolve) => { setTimeout(resolve, 5); });
    return performance.now() - from;
  });
  assert.ok(took < 1500, `stop took ${took} ms`);
  await reach(page, 'ready');
  assert.equal(await lab(page, 'lab.run.status'), 'stopped');
  const stopped = await lab(page, '({ step: lab.run.losses.at(-1).step, held: lab.run.validations.at(-1) })');
  assert.equal(stopped.held.step, stopped.step);
  await eventually(
    async () =>
      new RegExp(`^After step ${stopped.step} the loss is [\\d.]+ in training and ${stopped.held.loss.toFixed(2)} held-out`).test(
        await text(page, 'peft-loss peft-chart figcaption'),
      ),
    true,
  );
  await eventually(async () => (await text(page, 'peft-runs td[data-name="Held-out loss"]')).endsWith(stopped.held.loss.toFixed(3)), true);
  const words = await lab(page, 'lab.sample.after');
  await page.locator('.left button', { hasText: 'Reset' }).click();
  await page.waitForFunction(() => /** @type {any} */ (document.querySelector('peft-playground')).lab.run === null);
  await page.keyboard.press('u');
  await page.waitForFunction((sample) => {
    const { lab } = /** @type {any} */ (document.querySelector('peft-playground'));
    return lab.run && lab.sample.after === sample;
  }, words);
  assertClean();
});

test('a reload in mid-training offers to resume, and goes on from the snapshot', { timeout: 240_000 }, async (context) => {
  const { page, assertClean } = await open(context, '#v=1&model=stories-300k&task=pirate&n=5000&bs=2&seed=3');
  await reach(page, 'ready');
  await trainToSnapshot(page, { reload: true });
  await page.locator('#resume').click();
  await reach(page, 'training');
  assert.ok((await lab(page, 'lab.run.losses.length')) >= 5, 'the steps before the reload are kept');
  await lab(page, 'lab.stop()');
  await reach(page, 'ready');
  assertClean();
});

test('levels show more controls and hide none of the values; hide and lock by link', { timeout: 240_000 }, async (context) => {
  const { page, assertClean } = await open(context, '#v=1&model=stories-300k&r=4');
  await reach(page, 'ready');
  const controls = () => page.evaluate(() => {
    const inside = /** @type {any} */ (document.querySelector('peft-playground')).shadowRoot;
    const shown = [...inside.querySelector('peft-controls').shadowRoot.querySelectorAll('select, input[type="number"]')];
    return { names: shown.map((node) => node.id), buttons: inside.querySelector('.left peft-train').shadowRoot.querySelectorAll('button').length };
  });
  await eventually(async () => (await controls()).names, ['task', 'o-rank']);
  const student = await controls();
  assert.ok(1 + student.names.length + student.buttons <= 6, 'method, task, size, and the buttons: at most six');
  const { rank, alpha } = await lab(page, 'lab.preset.options');
  await lab(page, `lab.set({ options: { rank: ${rank}, alpha: ${alpha}, target_modules: lab.engine.sites } })`);
  assert.deepEqual((await controls()).names, ['task', 'o-rank'], 'the preset, spelt otherwise');
  await lab(page, `lab.set({ options: { rank: 4, alpha: ${alpha + 1} } })`);
  await page.locator('peft-controls').getByRole('button', { name: `default ${alpha}` }).click();
  assert.deepEqual((await controls()).names, ['task', 'o-rank'], 'what is not as the preset has it is shown, with the way back');
  await page.locator('peft-toolbar input').nth(2).check({ force: true });
  await page.locator('peft-controls #o-loraplus_lr_ratio').waitFor();
  assert.equal(await page.locator('peft-controls #o-rank').inputValue(), '4');
  await eventually(() => page.locator('peft-methods input[value="ia3"]').isEnabled(), true);
  const followed = '#v=1&model=stories-300k&seed=9';
  await lab(page, `[lab.set({ seed: 5 }), history.replaceState(null, '', '${followed}')].length`);
  await page.waitForTimeout(500);
  assert.equal(await page.evaluate('location.hash'), followed, 'a link is not written over by what was set before it');
  await page.goto(`${site.url}embed.html?element=none`); // an open page would follow the link, and write it as it understands it
  await page.goto(`${site.url}#v=1&model=stories-300k&hide=method&lock=rank&nonsense=1&n=9999999`);
  await reach(page, 'ready');
  assert.equal(await page.locator('peft-methods').count(), 0);
  await eventually(() => page.locator('peft-controls #o-rank').isDisabled(), true);
  assert.equal(await lab(page, 'lab.state.steps'), 5000);
  await says(() => text(page, 'peft-notices [role="alert"]'), /nonsense/);
  assertClean();
});

test('whatever a teacher may hide or lock is hidden or locked, and nothing else loads another value', { timeout: 240_000 }, async (context) => {
  const { page } = await open(context, '#v=1&model=stories-300k&level=developer');
  await reach(page, 'ready');
  const CONTROLS = {
    method: 'peft-methods input', task: 'peft-controls #task', rank: 'peft-controls #o-rank', alpha: 'peft-controls #o-alpha',
    target_modules: 'peft-controls #o-target_modules button, peft-controls #o-target_modules input', steps: 'peft-controls #s-steps',
    lr: 'peft-controls #s-lr', batch_size: 'peft-controls #s-batch_size', seed: 'peft-controls #s-seed',
    prompt: 'peft-sample input, peft-sample form button', model: 'peft-controls #model', shape: 'peft-counter select',
  };
  const offered = await page.evaluate(`document.querySelector('peft-playground').lab.set({ panel: 'export' })`)
    .then(() => page.locator('peft-panel-export .narrow tbody input[aria-label^="Hide"]'));
  await eventually(() => offered.count(), Object.keys(CONTROLS).length, 'as many as the Export panel offers');
  for (const [name, selector] of Object.entries(CONTROLS)) {
    const found = page.locator(selector);
    await eventually(async () => await found.count() > 0, true, name);
    await lab(page, `lab.set({ hide: ['${name}'] })`);
    await eventually(() => found.count(), 0, `${name} is hidden`);
    await lab(page, `lab.set({ hide: [], lock: ['${name}'] })`);
    await eventually(async () => (await found.count()) > 0 && (await found.evaluateAll((all) =>
      all.every((/** @type {any} */ each) => each.disabled))), true, `${name} is locked`);
    await lab(page, 'lab.set({ lock: [] })');
  }
  // "Run it" of the chapter and the wizard's recommendation go through the same door.
  const recommended = page.locator('peft-panel-chapter button', { hasText: 'Run it: Maximum efficiency' });
  const lora = page.locator('peft-panel-chapter button', { hasText: 'Run it: Maximum quality (near full fine-tuning): Rank r 32' });
  await lab(page, `lab.set({ panel: 'chapter', lock: ['rank'] })`);
  await eventually(() => lora.isDisabled(), true, 'it would change the rank');
  assert.equal(await recommended.isDisabled(), false, 'it has no rank');
  await lab(page, `lab.set({ lock: ['steps'], steps: 12 })`);
  await eventually(() => recommended.isDisabled(), true, 'it would take the preset\'s steps');
});

test('a model that cannot be fetched: one sentence, and a way to try again', { timeout: 240_000 }, async (context) => {
  const { page } = await open(context, '#v=1&model=stories-300k');
  await page.route('**/model.safetensors', (route) => route.abort());
  await page.reload();
  await reach(page, 'failed');
  await says(() => text(page, 'peft-notices [role="alert"]'), /model\.safetensors could not be fetched/);
  await page.unroute('**/model.safetensors');
  await page.locator('peft-notices button', { hasText: 'Try again' }).click();
  await reach(page, 'ready');
});

test('axe finds nothing in light and dark, at desktop and at phone width; 320 px do not scroll sideways', { timeout: 240_000 }, async (context) => {
  const { page, assertClean } = await open(context, '#v=1&model=stories-300k&n=24&panel=merge&level=developer');
  await page.emulateMedia({ reducedMotion: 'reduce' });
  await reach(page, 'ready');
  await page.locator('peft-loss peft-chart svg').first().waitFor();
  for (const colorScheme of /** @type {const} */ (['light', 'dark'])) {
    await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
    for (const [name, width, height] of /** @type {const} */ ([['desktop', 1400, 900], ['phone', 390, 844], ['small', 320, 640]])) {
      await page.setViewportSize({ width, height });
      await fits(page, width);
      if (name !== 'small') await checkAxe(page);
      await screenshot(page, `page-${name}-${colorScheme}-developer`, { fullPage: true });
    }
  }
  assertClean();
});
