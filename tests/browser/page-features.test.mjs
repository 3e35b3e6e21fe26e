// Rows of the feature matrix that no other test holds: runs overlaid and told apart, pause / step / cancel / time left, what a merge has
// shown, one cursor for curve and texts, keys of sliders and shortcuts, motion, the instrumented interface, and the proof.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkAxe, fits, screenshot } from './lib/browser.mjs';
import { eventually, lab, LINK, opener, says, siteAndBrowser, until } from './lib/qa-site.mjs';

const SLOW = { timeout: 400_000 };

const own = siteAndBrowser();
const open = opener(own);

/**
 * An expression with `$(selector, …)`, which looks through shadow roots from the playground.
 * @param {import('playwright-core').Page} page @param {string} expression
 */
const inside = (page, expression) =>
  page.evaluate(
    `(async () => { const pg = document.querySelector('peft-playground'), { lab } = pg; const $ = (...path) => ` +
      `path.reduce((at, name) => (at?.shadowRoot ?? at)?.querySelector(name), pg); return (${expression}); })()`,
  );

test('runs overlaid: five earlier ones behind the present one, pinned ones stay; each row says what it changed', SLOW, async (context) => {
  const { page, assertClean } = await open(context, '#v=1&model=stories-300k&task=pirate&n=2&bs=4&lr=0.01&r=8&a=16&t=qv');
  const runs = () => inside(page, 'lab.runs.length');
  for (const change of [
    '{}', '{ options: { ...lab.state.options, rank: 4 } }', '{ lr: 0.02 }', '{ seed: 5 }', '{ steps: 3 }', '{ method: "prompt" }',
    '{ method: "lora", options: { rank: 2 } }', '{}',
  ]) {
    await lab(page, `void (lab.set(${change}), await lab.work(async () => {}), await lab.train())`);
  }
  assert.equal(await runs(), 8);
  const ghosts = () =>
    inside(page, '[...$("peft-loss", "peft-chart", ".plot").querySelectorAll("[class*=ghost]")].map((node) => node.getAttribute("class"))');
  await eventually(ghosts, [3, 4, 5, 6, 7].map((n) => `ghost run-${n}`));
  await page.locator('peft-runs button', { hasText: 'Pin' }).last().click();
  await eventually(ghosts, [1, 3, 4, 5, 6, 7].map((n) => `ghost run-${n}`), 'the pinned first run comes on top');
  // Newest first in the table: what was changed, from what to what, and nothing else.
  const changes = (await page.locator('peft-runs tbody tr .diff').allInnerTexts()).map((text) => text.replaceAll(/\s+/g, ' ').trim());
  assert.match(changes[3], /^Steps 2 → 3( Warm-up steps 2 → 3)?$/); // a preset's warm-up is cut to the steps
  assert.deepEqual(changes.slice(4), ['Seed 1 → 5', 'Learning rate 0.01 → 0.02', 'Rank r 8 → 4', 'first run']);
  assert.equal(changes[0], 'same settings');
  assert.match(changes[1], /^Method Prompt → LoRA/);
  assert.match(changes[2], /^Method LoRA → Prompt/);
  // Another task's runs are another story.
  await lab(page, 'void (lab.set({ task: "mood" }), await lab.work(async () => {}), await lab.train())');
  await eventually(ghosts, []);
  assertClean();
});

test('time left before and while training, pause with its mark, one step, stop; a comparison is cancelled', { timeout: 400_000 }, async (context) => {
  const { page, assertClean } = await open(context, '#v=1&model=stories-300k&task=pirate&n=5000&bs=8');
  const line = page.locator('.left peft-train .line');
  await line.getByText(/^about [\d.]+ (s|ms|min)/).waitFor(); // by a trial step on this machine, before any run
  assert.equal(await inside(page, 'lab.runs.length'), 0);
  assert.ok((await inside(page, '$("peft-train").pace')) > 0);
  await page.locator('.left #train').click();
  await until(page, 'lab.run?.losses.length >= 8');
  const left = async () => {
    const [, n, unit] = /([\d.]+) (s|min|ms)(?: [\d.]+ s)? left/.exec(await line.innerText()) ?? [];
    return Number(n) * (unit === 'min' ? 60 : unit === 'ms' ? 0.001 : 1);
  };
  await eventually(async () => (await left()) > 0, true, 'it says how long it still takes');
  const pace = await inside(page, '(() => { const { run } = lab; return [run.losses.length, run.train.steps]; })()');
  assert.ok(pace[0] < pace[1]);
  await page.locator('.left button', { hasText: 'Pause' }).click();
  await until(page, 'lab.status === "paused"');
  const at = await inside(page, 'lab.run.losses.length');
  await page.waitForTimeout(400);
  assert.equal(await inside(page, 'lab.run.losses.length'), at, 'paused is paused');
  assert.deepEqual(await inside(page, 'lab.run.pauses'), [at]);
  await says(() => inside(page, '$("peft-loss", "peft-chart", ".plot")?.textContent'), /paused/);
  await page.locator('.left button', { hasText: 'One step' }).click();
  await until(page, `lab.status === "paused" && lab.run.losses.length === ${at + 1}`);
  await page.locator('.left button', { hasText: 'Go on' }).click();
  await until(page, `lab.run.losses.length > ${at + 2}`);
  await page.locator('.left button', { hasText: 'Stop' }).click();
  await until(page, 'lab.status === "ready"');
  assert.equal(await inside(page, 'lab.run.status'), 'stopped');
  await lab(page, 'void lab.set({ panel: "compare" })');
  const panel = page.locator('peft-panel-compare');
  await panel.locator('#run').click();
  await panel.getByText(/left/).first().waitFor();
  await panel.getByRole('button', { name: 'Cancel' }).click();
  await panel.locator('#run:enabled').waitFor();
  assertClean();
});

test('after merging: B·A slides into W, three measured lines, a question the engine answers, compare all five is next', SLOW, async (context) => {
  const { page, assertClean } = await open(context, LINK);
  await lab(page, 'void await lab.train()');
  await page.locator('peft-next-step button', { hasText: /merge/i }).click();
  await page.locator('#merge:enabled').waitFor();
  await page.waitForFunction(() =>
    /** @type {any} */ (document.querySelector('peft-playground')).shadowRoot
      .querySelector('peft-panel-merge')
      .shadowRoot.querySelector('[data-map="W"]'),
  );
  await page.evaluate(() => {
    /** @type {any} */ (globalThis).slides = [];
    const { animate } = Element.prototype;
    Element.prototype.animate = function (frames, how) {
      /** @type {any} */ (globalThis).slides.push([this.dataset?.map, how]);
      return animate.call(this, frames, how);
    };
  });
  await page.locator('peft-panel-coach').getByText('Coach:').waitFor(); // nothing is still to come above the panel
  const top = (/** @type {string} */ id) => inside(page, `Math.round($("peft-panel-merge", "#${id}").getBoundingClientRect().top + scrollY)`);
  const pressed = await top('merge');
  await page.locator('#merge').click();
  const take = page.locator('peft-next-step peft-takeaway');
  await take.locator('li').nth(2).waitFor();
  assert.ok((await top('unmerge')) <= pressed + 2, `the button pressed was at ${pressed} and is at ${await top('unmerge')}: nothing grew above it`);
  assert.ok((await take.boundingBox())?.y > (await page.locator('#unmerge').boundingBox())?.y, 'what was shown stands below it');
  const slid = () => page.evaluate(() => /** @type {any} */ (globalThis).slides.filter((/** @type {any} */ s) => s[1].id === 'slide'));
  await eventually(async () => (await slid()).map((/** @type {any} */ s) => s[0]), ['ΔW']);
  const slides = await slid();
  assert.ok(slides[0][1].duration <= 400);
  const lines = await take.locator('li').allInnerTexts();
  const known = await inside(
    page,
    '({ trained: lab.run.trainable, before: lab.merged.before.median, base: lab.run.base_loss, held: lab.run.validations.at(-1).loss })',
  );
  assert.ok(
    lines[0].includes(known.trained.toLocaleString('en')) && lines[0].includes(known.base.toFixed(2)) && lines[0].includes(known.held.toFixed(2)),
    lines[0],
  );
  assert.match(lines[1], /no logit moved by more than/);
  assert.ok(lines[2].includes(`before ${known.before.toFixed(2)} ms`), lines[2]);
  for (const text of lines) assert.match(text, /measured here/);
  await page.evaluate(() => {
    document.addEventListener('peft-answer', (event) => {
      /** @type {any} */ (globalThis).answer = /** @type {any} */ (event).detail;
    });
  });
  await page.locator('#take').click(); // from the panel down to the question
  assert.equal(await inside(page, 'document.activeElement === pg'), true);
  await take.getByRole('button', { name: 'Prefix' }).click();
  await take.getByText('no fixed weight matrix does the same').waitFor();
  await eventually(() => page.evaluate('answer.right'), false);
  await take.getByRole('button', { name: 'LoRA' }).click();
  await take.getByText('Right.').waitFor();
  await eventually(() => page.evaluate('answer.right'), true);
  await page.setViewportSize({ width: 1400, height: 900 });
  await checkAxe(page);
  await screenshot(page, 'page-merged', { fullPage: true });
  await page.locator('peft-next-step button', { hasText: 'compare all five' }).click();
  await page.locator('peft-panel-compare').waitFor();
  await eventually(() => page.locator('peft-panel-compare fieldset input[type="checkbox"]:checked').count(), 5);
  assertClean();
});

test('one cursor for the loss chart and the texts on the way', { timeout: 240_000 }, async (context) => {
  const { page, assertClean } = await open(context, LINK);
  await lab(page, 'void await lab.train()');
  await page.locator('peft-sample .scored').waitFor(); // by itself: from then on everything stays where it is
  await eventually(() => page.locator('peft-sample').getByRole('button', { name: 'Score it' }).count(), 0);
  const samples = await inside(page, 'lab.run.samples');
  assert.deepEqual(samples.map((/** @type {any} */ s) => s.step), [3, 5, 8, 10]);
  const plot = page.locator('peft-loss peft-chart .plot');
  const rule = () =>
    inside(
      page,
      '(() => { const node = $("peft-loss", "peft-chart", ".cursor"); return node?.hidden ? null : node?.getBoundingClientRect().left; })()',
    );
  const said = () => page.locator('peft-sample blockquote.after').innerText();
  await eventually(rule, null);
  // From the texts to the chart …
  const chips = page.locator('peft-sample .way button');
  await eventually(() => chips.allInnerTexts(), ['0', '3', '5', '8', '10']);
  await chips.nth(1).click();
  const heading = () => page.locator('peft-sample h3').nth(1).innerText();
  await eventually(heading, 'At step 3');
  assert.equal((await said()).trim(), samples[0].text.trim());
  await eventually(async () => (await rule()) > 0, true);
  const third = await rule();
  await chips.nth(0).click();
  await eventually(async () => (await said()).trim(), (await inside(page, 'lab.sample.before')).trim());
  await eventually(async () => (await rule()) < third, true);
  // … and from the chart to the texts.
  const box = /** @type {any} */ (await plot.boundingBox());
  await page.mouse.move(box.x + box.width - 20, box.y + 60);
  await eventually(heading, 'At step 10');
  await eventually(async () => (await rule()) > third, true);
  await page.mouse.move(box.x + 5, box.y - 100);
  await eventually(rule, null);
  await eventually(heading, 'After training');
  await page.locator('peft-toolbar input').nth(1).check({ force: true });
  await page.locator('peft-loss label', { hasText: 'Log scale' }).click();
  await eventually(() => inside(page, '$("peft-loss").log'), true);
  assertClean();
});

test('sliders and shortcuts by key; shortcuts can be switched off and sleep in text fields', { timeout: 240_000 }, async (context) => {
  const { page, assertClean } = await open(context, LINK);
  const slider = page.locator('peft-controls input[type="range"]').first();
  const box = page.locator('peft-controls #o-rank');
  await slider.focus();
  for (const [key, value] of [
    ['ArrowRight', '9'],
    ['Shift+ArrowRight', '10'],
    ['ArrowDown', '9'],
    ['PageUp', '17'],
    ['PageDown', '9'],
    ['End', '64'],
    ['Home', '1'],
    ['ArrowLeft', '1'],
  ]) {
    await page.keyboard.press(key);
    await eventually(() => box.inputValue(), value, key);
    await eventually(() => slider.inputValue(), value, key);
  }
  await box.fill('12');
  await box.press('1'); // typing is typing
  await box.press('Enter');
  assert.equal(await inside(page, 'lab.state.method'), 'lora');
  await page.locator('body').click({ position: { x: 2, y: 2 } });
  for (const [key, method] of [['1', 'prompt'], ['2', 'prefix'], ['4', 'adapter'], ['5', 'full'], ['3', 'lora']]) {
    await page.keyboard.press(key);
    await eventually(() => inside(page, 'lab.state.method'), method);
  }
  await page.keyboard.press('m');
  await page.locator('peft-panel-merge').waitFor();
  await page.keyboard.press('m');
  await page.locator('peft-panel-merge').waitFor({ state: 'detached' });
  await until(page, 'lab.status === "ready" && lab.description.modules[0]?.method === "lora"');
  await page.keyboard.press('s');
  await until(page, 'lab.run?.losses.length === 1 && lab.status === "paused"');
  await page.keyboard.press('Space');
  await until(page, 'lab.run?.status === "done"');
  await page.keyboard.press('?');
  const help = page.locator('peft-toolbar dialog');
  await help.getByText('Sliders: arrows one step').waitFor();
  await help.locator('input[type="checkbox"]').uncheck();
  await help.getByRole('button', { name: 'Close' }).click();
  await page.locator('body').click({ position: { x: 2, y: 2 } });
  await page.keyboard.press('1');
  assert.equal(await inside(page, 'lab.state.method'), 'lora', 'shortcuts are off');
  // A lit block of the drawing is a button like any other.
  await page.locator('peft-diagram [role="button"]').first().focus();
  await page.keyboard.press('Space');
  await page.locator('peft-panel-inspect').waitFor();
  assertClean();
});

for (const reducedMotion of /** @type {const} */ (['no-preference', 'reduce'])) {
  test(`the counter runs to its new number (motion: ${reducedMotion})`, { timeout: 240_000 }, async (context) => {
    const { page, assertClean } = await open(context, LINK, { reducedMotion });
    /** From LoRA to a prompt: every number on the way, until it has come to rest. */
    const change = () => page.evaluate(async () => {
      const playground = /** @type {any} */ (document.querySelector('peft-playground'));
      const { lab: inner } = playground;
      const root = playground.shadowRoot.querySelector('peft-counter').shadowRoot;
      const shown = () => Number(root.querySelector('[part="count"]').textContent.replaceAll(',', ''));
      const rests = async (/** @type {string} */ method) => {
        const there = () => inner.description.modules[0]?.method === method && shown() === inner.description.counts.trainable;
        const frame = () => new Promise((resolve) => { requestAnimationFrame(resolve); });
        while (!there() || root.querySelector('.run').textContent) await frame();
        for (let i = 0; i < 5; i++) await frame();
      };
      inner.set({ method: 'lora' });
      await rests('lora');
      const found = new Set();
      const running = new MutationObserver(() => found.add(root.querySelector('.run').textContent));
      running.observe(root.querySelector('.run'), { childList: true, characterData: true, subtree: true });
      inner.set({ method: 'prompt' });
      await rests('prompt');
      running.disconnect();
      return {
        found: [...found].filter(Boolean).map((text) => Number(text.replaceAll(',', ''))),
        shown: shown(),
        real: inner.description.counts.trainable,
      };
    });
    let seen = await change();
    // It runs for a third of a second: a busy machine may draw only once in that time.
    for (let i = 0; i < 10 && reducedMotion !== 'reduce' && seen.found.length < 2; i++) seen = await change();
    assert.equal(seen.shown, seen.real);
    if (reducedMotion === 'reduce') assert.deepEqual(seen.found, []);
    else {
      assert.ok(seen.found.length >= 2, `${seen.found}`);
      assert.ok(seen.found.every((n, i) => n >= seen.real && (i === 0 || n < seen.found[i - 1])), `downwards: ${seen.found}`);
    }
    assertClean();
  });
}

test('instrumented: settings in, events out, and the laboratory as an object', { timeout: 400_000 }, async (context) => {
  const { page, assertClean } = await open(context, '#v=1&model=stories-300k&task=pirate&n=3&bs=4&lr=0.01');
  await page.evaluate(() => {
    const seen = /** @type {any} */ (globalThis).seen = [];
    for (const type of ['ready', 'change', 'step', 'done', 'error', 'select', 'merge', 'run', 'answer'])
      document.addEventListener(`peft-${type}`, (event) => seen.push([type, structuredClone(/** @type {any} */ (event).detail) ?? null]));
  });
  const seen = (/** @type {string} */ type) =>
    page.evaluate(
      (wanted) => /** @type {any} */ (globalThis).seen.filter((/** @type {any} */ [name]) => name === wanted).map((/** @type {any} */ s) => s[1]),
      type,
    );
  await lab(page, 'void (lab.set({ method: "lora", options: { rank: 4 } }), await lab.work(async () => {}))');
  await eventually(async () => (await seen('change')).length > 0, true);
  const change = (await seen('change')).at(-1);
  assert.ok(change.changed.includes('options') && change.state.options.rank === 4);
  const run = await lab(page, 'lab.train().then(({ id, losses }) => ({ id, losses }))');
  const steps = await seen('step');
  assert.deepEqual(steps.map((/** @type {any} */ { step, loss }) => ({ step, loss })), run.losses, 'every step, with the loss of the run');
  await eventually(async () => (await seen('done')).length, 1);
  const done = await seen('done');
  assert.deepEqual([done.length, done[0].run.id, done[0].run.status], [1, run.id, 'done']);
  await page.locator('peft-diagram [role="button"]').first().click();
  await eventually(async () => Boolean((await seen('select'))[0]?.site), true);
  await lab(page, 'void lab.set({ panel: "merge" })');
  await page.locator('#merge').click();
  await page.locator('#difference').waitFor();
  await eventually(async () => (await seen('merge')).length, 1);
  const [merged] = await seen('merge');
  assert.equal(merged.max_logit_difference, await lab(page, 'lab.merged.max_logit_difference'));
  // An impossible wish is an event too, not an exception.
  await lab(
    page,
    'void (lab.set({ method: "lora", options: { rank: 4, target_modules: ["nowhere"] } }), await lab.work(async () => {}).catch(() => {}))',
  );
  await eventually(async () => (await seen('error')).length > 0, true);
  assert.ok((await seen('error')).every((/** @type {any} */ e) => typeof e.code === 'string' && e.message.length > 5));
  assert.ok((await seen('error')).length >= 1, 'a refused setting is told');
  // The engine's own interface, from the page.
  const text = await lab(
    page,
    'lab.work(async (session) => { await session.clear(); return (await session.generate({ prompt: "The cat", seed: 1, ' +
      'max_new_tokens: 8 })).text; })',
  );
  assert.ok(text.length > 0);
  assertClean();
});

test('a kept mixture is called one, where its number has it; the chart says why it has no curve, and without a plot none', SLOW, async (context) => {
  const { page, assertClean } = await open(context, '#v=1&model=stories-1m&task=pirate&n=2&bs=2');
  await lab(page, 'void await lab.train()');
  await lab(page, 'void lab.set({ panel: "mix" })');
  const mix = page.locator('peft-panel-mix');
  await eventually(() => mix.evaluate((/** @type {any} */ panel) => Boolean(panel.applied && !panel.thinking && !panel.dirty)), true);
  await mix.locator('input[type=number]').first().fill('0.4');
  await mix.locator('input[type=number]').first().blur();
  await mix.locator('#keep').click();
  await mix.getByText('Kept as run 2').waitFor();
  const rows = page.locator('peft-runs tbody tr');
  await eventually(() => rows.count(), 2);
  await says(() => rows.first().innerText(), /^\S Run 2 · LoRA\s+mixture: Run 1 × 0\.4 \+ mood-lora × 1\s/);
  await rows.first().getByRole('button', { name: 'Load the weights of run 2' }).click();
  await says(() => page.locator('peft-loss peft-chart figcaption').innerText(), /Run 2 was mixed or read from a file, not trained here/);
  await eventually(async () => (await page.locator('peft-loss .keys > span').allTextContents()).some((key) => /smoothed/.test(key)), false);
  await lab(page, 'void await lab.train()');
  await says(() => rows.first().innerText(), /^\S Run 3 · (?!.*mixture)/s);
  await eventually(() => mix.locator('select').first().locator('option', { hasText: 'Run 2: mixture' }).count(), 1);

  await inside(page, `document.body.append(Object.assign(document.createElement('peft-chart'), { id: 'own', lab,
    plot: () => document.createElementNS('http://www.w3.org/2000/svg', 'svg') }))`);
  await page.locator('#own svg').waitFor({ state: 'attached' });
  await page.locator('#own').evaluate((/** @type {any} */ chart) => { chart.plot = null; });
  await eventually(() => page.locator('#own svg').count(), 0);
  assertClean();
});

test('the proof: recorded with its command, and checked again in this tab, with the recorded bits', { timeout: 600_000 }, async (context) => {
  const { page, assertClean } = await open(context, '#v=1&task=pirate&m=prompt');
  await page.locator('footer button', { hasText: 'See the proof' }).click();
  const panel = page.locator('peft-panel-proof');
  await panel.locator('#recorded').waitFor();
  assert.match(await panel.locator('section').innerText(), /node web\/content\/recorded\/make-proof\.mjs/);
  await eventually(() => panel.locator('#recorded tbody tr').count(), 7);
  await panel.locator('#check').click();
  await panel.locator('#own').waitFor();
  const worst = Number(await panel.locator('#own tbody tr').getAttribute('data-worst'));
  assert.ok(worst > 0 && worst < 0.02, `${worst}`);
  await panel.locator('#bits[data-same="true"]').waitFor();
  // What was in the model stays; a check can be cancelled.
  assert.equal(await inside(page, 'lab.description.modules[0].method'), 'prompt');
  await page.locator('peft-methods input[value="full"]').check();
  await panel.locator('#check').click();
  await panel.getByRole('button', { name: 'Cancel' }).click();
  await panel.locator('#check:enabled').waitFor();
  assert.equal(await panel.locator('#own tbody tr').count(), 1);
  await page.emulateMedia({ reducedMotion: 'reduce' });
  for (const colorScheme of /** @type {const} */ (['light', 'dark'])) {
    await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
    await checkAxe(page);
    await screenshot(page, `panel-proof-${colorScheme}`, { fullPage: true });
  }
  await page.setViewportSize({ width: 320, height: 700 });
  await fits(page, 320);
  await screenshot(page, 'panel-proof-phone', { fullPage: true });
  assertClean();
});
