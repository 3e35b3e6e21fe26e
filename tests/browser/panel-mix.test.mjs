// Mix: two LoRAs trained from the panel, weights, live text, scores, the strip, exact and approximate rules.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { fits } from './lib/browser.mjs';
import { checkLooks, startPanels } from './lib/panels.mjs';
import { eventually, says } from './lib/qa-site.mjs';

/** @type {Awaited<ReturnType<typeof startPanels>>} */
let site;
before(async () => { site = await startPanels('mix'); });
after(() => site.close());

test('the ready adapters: titles in the language of the page, and nothing wider than a phone', { timeout: 240_000 }, async () => {
  const { page, assertClean } = await site.open({ model: 'stories-1m' }, { viewport: { width: 320, height: 640 } });
  await page.locator('.sources select').first().waitFor();
  await fits(page, 320);
  await says(() => page.locator('.sources select').first().innerText(), /How does it feel\? \(mood-lora\)/);
  const over = () => page
    .locator('.sources')
    .evaluate(
      (node) =>
        [...node.querySelectorAll('.card, select, input')].filter((part) => part.getBoundingClientRect().right > innerWidth)
          .length,
    );
  await eventually(over, 0);
  assertClean();
});

test('two LoRAs are trained, weighed, heard, scored and swept; only exact rules have no error', { timeout: 600_000 }, async () => {
  const { page, assertClean } = await site.open({ level: 'explorer' });
  await page.getByText('Mixing needs two trained LoRAs').waitFor();
  await page.evaluate(() => { Object.assign(globalThis.panel, { steps: 10, pair: ['turtle', 'mood'] }); });
  await page.locator('#train-pair').click();
  await page.locator('#rule').waitFor({ timeout: 240_000 });
  assert.deepEqual(await page.evaluate(() => globalThis.lab.runs.map((run) => run.task).sort()), ['mood', 'turtle']);
  const settled = () =>
    page.waitForFunction(
      () => {
        const p = globalThis.panel;
        return p.applied && !p.thinking && !p.dirty && !p.work.running;
      },
      undefined,
      { timeout: 240_000 },
    );
  await settled();

  // The sum of the changes is what runs: the logits are those of cat, which stores it in one LoRA, and of a LoRA alone when the other weighs 0.
  const logits = (rule, weights) => page.evaluate(async ([name, list]) => {
    const mixer = await globalThis.panel.mixer;
    await mixer.apply(name, list);
    return Array.from((await mixer.session.logits({ text: 'Once upon a time' })).logits);
  }, [rule, weights]);
  const far = (a, b) => a.reduce((max, v, i) => Math.max(max, Math.abs(v - b[i])), 0);
  const sum = await logits('sum', [0.7, -0.4]);
  assert.ok(far(sum, await logits('cat', [0.7, -0.4])) < 1e-4);
  assert.ok(far(sum, await logits('linear', [0.7, 0.4])) > 1e-3);
  assert.ok(far(await logits('sum', [1, 0]), await logits('sum', [0, 1])) > 1e-2);

  // Weights by keyboard, live text.
  const slider = page.locator('input[type=range]').first();
  await slider.focus();
  await slider.press('ArrowLeft');
  await eventually(() => page.evaluate(() => globalThis.panel.weights[0]), 0.95);
  await slider.press('Home');
  await settled();
  await eventually(() => page.evaluate(() => globalThis.panel.weights[0]), -1);
  await page.locator('input[type=number]').first().fill('9');
  await page.locator('input[type=number]').first().blur();
  await eventually(() => page.evaluate(() => globalThis.panel.weights[0]), 1.5);
  await settled();
  assert.notEqual(await page.evaluate(() => globalThis.panel.text), '');

  await page.locator('#rules').click();
  await page.locator('#errors').waitFor();
  const errors = await page.evaluate(() => Object.fromEntries(globalThis.panel.errors.map((row) => [row.type, row.exact ? 0 : row.error])));
  assert.equal(errors.cat, 0);
  for (const type of ['linear', 'svd', 'ties', 'dare_linear'])
    assert.ok(errors[type] > 0.01 || Number.isNaN(errors[type]), `${type} ${errors[type]}`);
  assert.ok(errors.svd < errors.ties);

  await page.locator('#score').click();
  await page.locator('#scores').waitFor();
  const scores = await page.evaluate(() => globalThis.panel.scores);
  assert.deepEqual(scores.map((row) => row.task).sort(), ['mood', 'turtle']);
  assert.ok(scores.every((row) => row.loss !== row.base && row.score >= 0));
  await says(() => page.locator('#scores').innerText(), /\(validation, 32 examples\)/);

  // A table that is of another mixture than the one that is set says so, also when the panel is opened again.
  await says(() => page.locator('#of-scores').innerText(), /^(?!.*changed since)/s);
  await page.locator('input[type=number]').first().fill('0.5');
  await page.locator('input[type=number]').first().blur();
  await settled();
  await says(() => page.locator('#of-scores').innerText(), /^Measured with: A × 1.5 · B × 1 · exact sum .*changed since\.$/);
  await page.evaluate(() => {
    const { panel, lab } = globalThis;
    globalThis.panel = Object.assign(document.createElement('peft-panel-mix'), { lab });
    panel.replaceWith(globalThis.panel);
  });
  await page.waitForFunction(() => globalThis.panel.applied);
  await settled();
  assert.deepEqual(await page.evaluate(() => [globalThis.panel.weights, globalThis.panel.scores]), [[0.5, 1, 0], scores]);
  await says(() => page.locator('#of-scores').innerText(), /changed since/);

  await page.locator('#strip').click();
  await page.getByRole('heading', { name: 'From A to B' }).waitFor();
  const strip = await page.evaluate(() => globalThis.panel.strip);
  assert.equal(strip.length, 11);
  await says(() => page.locator('#held').textContent(), /^A: .*: validation, 32 examples; B: .*: validation, 32 examples$/);
  assert.ok(strip[0].losses[0] < strip[10].losses[0] && strip[10].losses[1] < strip[0].losses[1], 'each end is good at its own task');

  // The exact mixture as a LoRA of its own, loaded into the page's model, computes the same.
  await page.evaluate(() => { globalThis.panel.weights = [0.5, 0.5, 0]; });
  await page.locator('#keep').click();
  await page.getByText('Kept as run 3').waitFor();
  const half = await logits('sum', [0.5, 0.5]);
  const kept = await page.evaluate(async () => {
    await globalThis.lab.load(globalThis.lab.runs.find((run) => run.id === 3));
    return globalThis.lab.work(async (session) => Array.from((await session.logits({ text: 'Once upon a time' })).logits));
  });
  assert.ok(far(half, kept) < 1e-4, String(far(half, kept)));

  await page.locator('#rule').selectOption('svd');
  await settled();
  await page.getByText('Distance from the weighted sum').waitFor();
  await checkLooks(page, 'mix');
  assertClean();
});

test('adapters of one shape are averaged: why no other rule is there is said, and which has no partner', { timeout: 400_000 }, async () => {
  const { page, assertClean } = await site.open({ model: 'stories-1m', level: 'explorer' });
  await page.locator('#alone', { hasText: 'no second one of its shape: Three words, one story (words-to-story-adapter) (198,912).' }).waitFor();
  const train = (change) => page.evaluate(async (patch) => {
    const { lab } = globalThis;
    lab.set({ method: 'adapter', steps: 1, batch_size: 1, ...patch });
    await lab.work(async () => {});
    return (await lab.train()).id;
  }, change);
  const ids = [await train({ task: 'mood', options: { bottleneck_size: 4 } }), await train({ task: 'turtle', options: { bottleneck_size: 4 } })];
  const [a, b] = ids.map((id) => `run ${id}`);
  const selects = page.locator('.sources select');
  const settled = () => page.waitForFunction(() => {
    const p = globalThis.panel;
    return p.applied && !p.thinking && !p.dirty && !p.work.running && !p.problem;
  });
  await page.waitForFunction((key) => globalThis.panel.all.some((source) => source.key === key), b);
  await selects.first().selectOption(a);
  await says(() => page.locator('.sources label').first().innerText(), /^Adapter A/);
  await eventually(() => selects.nth(1).locator('option').evaluateAll((all) => all.map((option) => option.value)), [a, b], 'what goes with A');
  await eventually(() => selects.nth(1).inputValue(), b);
  await settled();
  await eventually(() => page.locator('#rule option').allInnerTexts(), ['average of the numbers']);
  await says(() => page.locator('#rule-text').innerText(), /^Every number of the new adapter is the weighted average .* for LoRAs only/);
  await eventually(() => page.locator('#rules').count(), 0, 'nothing to compare');
  const weigh = async (i, value) => {
    await page.locator('.sources input[type=number]').nth(i).fill(value);
    await page.locator('.sources input[type=number]').nth(i).blur();
  };
  await weigh(0, '-1');
  await page.getByRole('alert').filter({ hasText: 'must add up to more than 0' }).waitFor();
  await weigh(0, '0.5');
  await settled();
  const heard = await page.evaluate(() => globalThis.panel.text);
  assert.notEqual(heard, '');
  await page.getByRole('button', { name: 'Keep this mixture as an adapter' }).click();
  await page.getByText('Kept as run 3: load or export it from there.').waitFor(); // nothing is merged
  await eventually(() => page.evaluate(() => {
    const { method, mixture } = globalThis.lab.runs.at(-1);
    return { method, ...mixture };
  }), {
    method: 'adapter', rule: 'linear',
    parts: ids.map((run, i) => ({ run, name: `run ${run}`, weight: [0.5, 1][i] })),
  });
  // Back to LoRAs: their rules are there again.
  await selects.first().selectOption('mood-lora');
  await settled();
  await says(() => page.locator('.sources label').first().innerText(), /^LoRA A/);
  await eventually(() => page.locator('#rule').inputValue(), 'sum');
  await page.locator('#rules').waitFor();
  assertClean();
});
