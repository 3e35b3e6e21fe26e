// Inspect: matrices, cursor by keyboard, spectrum with the rule at r, full fine-tuning beside, methods without ΔW.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { checkLooks, startPanels } from './lib/panels.mjs';
import { eventually, says } from './lib/qa-site.mjs';

/** @type {Awaited<ReturnType<typeof startPanels>>} */
let site;
before(async () => { site = await startPanels('inspect'); });
after(() => site.close());

test('LoRA: five maps that agree, cell by cell, and a change of rank r', { timeout: 400_000 }, async () => {
  const { page, assertClean } = await site.open({ method: 'lora', steps: 4 });
  await page.getByText('is fresh').waitFor();
  await page.locator('peft-heatmap[data-map="ΔW"] output').waitFor();
  assert.equal(await page.getByText('NaN').count(), 0, 'nothing is compared with a change of nothing');
  const legend = (/** @type {string} */ map) => page.locator(`peft-heatmap[data-map="${map}"] .legend`).textContent();
  await says(() => legend('ΔW'), /^all zero$/);
  await says(() => page.locator('#zero').textContent(), /^ΔW is zero because B starts at zero/);
  await eventually(() => page.locator('peft-heatmap[data-map="ΔW"] [role="application"]').getAttribute('aria-label')
    .then((label) => /columns, all zero\. /.test(label ?? '')), true);
  await says(() => legend('W'), /−[\d.]+\s*\+[\d.]+/);
  await page.evaluate(() => globalThis.lab.train());
  await page.waitForFunction(() => globalThis.panel.view?.spectrum?.frobenius > 0);
  const names = () => page.locator('peft-heatmap').evaluateAll((maps) => maps.map((map) => map.dataset.map));
  await eventually(names, ['W', 'B', 'A', 'ΔW', 'W + ΔW']);
  await eventually(() => page.locator('#zero').count(), 0);

  // W, the factors, ΔW and W + ΔW stand in one row, B above A.
  await page.setViewportSize({ width: 940, height: 900 });
  await eventually(async () => {
    const at = Object.fromEntries(
      await page
        .locator('peft-heatmap')
        .evaluateAll((maps) =>
          maps.map((map) => [map.dataset.map, [map.getBoundingClientRect().left, map.getBoundingClientRect().top]]),
        ),
    );
    const row = ['B', 'ΔW', 'W + ΔW'].every((name) => at[name][1] === at.W[1]);
    return row && at.A[0] === at.B[0] && at.A[1] > at.B[1] || JSON.stringify(at);
  }, true);
  await page.setViewportSize({ width: 1200, height: 900 });
  await page.getByText('The first 48 of 64 are drawn').waitFor();
  await page.locator('peft-chart [aria-label="y-axis tick label"] text').nth(1).waitFor();
  const ticks = await page.locator('peft-chart [aria-label="y-axis tick label"] text').allTextContents();
  assert.ok(ticks.length > 1 && ticks.every((tick) => /^(0\.\d|\d{1,3}|10⁻[¹²³⁴⁵⁶⁷⁸⁹]+|[\d.]+·10⁻[¹²³⁴⁵⁶⁷⁸⁹]+)$/.test(tick)), ticks.join(' '));

  // What the cursor reads is W + s·B·A, computed here from the maps' own numbers.
  const delta = page.locator('peft-heatmap[data-map="ΔW"] .map');
  await delta.focus();
  for (const key of ['ArrowDown', 'ArrowRight', 'Shift+ArrowRight']) await delta.press(key);
  const seen = await page.evaluate(() => {
    const { view, cell, module } = globalThis.panel;
    const map = Object.fromEntries(view.maps.map((m) => [m.name, m]));
    const at = (name) => map[name].values[cell.row * map[name].cols + cell.col];
    let dot = 0;
    for (let k = 0; k < map.B.cols; k++) dot += map.B.values[cell.row * map.B.cols + k] * map.A.values[k * map.A.cols + cell.col];
    return {
      cell,
      error: Math.abs(at('ΔW') - (dot * module.options.alpha) / module.options.rank),
      sum: Math.abs(at('W + ΔW') - at('W') - at('ΔW')),
      rank: module.options.rank,
      values: view.spectrum.singular_values,
    };
  });
  assert.deepEqual(seen.cell, { row: 1, col: 11 });
  assert.ok(seen.error < 1e-6 && seen.sum < 1e-6, JSON.stringify(seen));
  assert.ok(seen.values[seen.rank - 1] > 0);
  assert.ok(seen.values.slice(seen.rank).every((v) => v === 0), 'nothing beyond r');
  await says(() => page.locator('peft-heatmap[data-map="ΔW"] output').textContent(), /row 2, column 12: /);
  await page.getByText('that is what low rank means').waitFor();

  // The same scale is taken only when asked for.
  const scales = () => page.locator('peft-heatmap').evaluateAll((maps) => maps.map((map) => map.scale));
  const apart = async () => { const all = await scales(); return all[0] - all[3]; };
  await eventually(async () => (await apart()) > 0, true);
  await page.locator('#same').check();
  await eventually(apart, 0);

  await page.locator('#site').selectOption('v_proj');
  await page.waitForFunction(() => globalThis.panel.view?.site === 'v_proj');
  await page.locator('#full').click();
  await page.waitForFunction(() => globalThis.panel.full, undefined, { timeout: 120_000 });
  await page.getByText('The change of full fine-tuning keeps going').waitFor();
  await page.evaluate(() => { globalThis.panel.same = false; });
  await checkLooks(page, 'inspect');
  assertClean();
});

test('DoRA, (IA)³ and full fine-tuning show their ΔW, prompt tuning says why it has none', { timeout: 400_000 }, async () => {
  const { page, assertClean } = await site.open({ method: 'full', steps: 2 });
  const train = async (settings) => {
    await page.evaluate(async (s) => { globalThis.lab.set(s); await globalThis.lab.work(async () => {}); await globalThis.lab.train(); }, settings);
    await page.waitForFunction(
      (method) => globalThis.panel.module?.method === method && !globalThis.panel.stale && globalThis.panel.view,
      settings.method ?? 'full',
    );
    await page.evaluate(() => globalThis.lab.during(null, async () => {})); // the look that began then is over
  };
  for (const settings of [{ method: 'full' }, { method: 'ia3' }, { method: 'lora', options: { use_dora: true } }]) {
    await train(settings);
    const { names, frobenius } = await page.evaluate(() => ({
      names: globalThis.panel.view.maps.map((m) => m.name),
      frobenius: globalThis.panel.view.spectrum.frobenius,
    }));
    assert.deepEqual(names, settings.method === 'lora' ? ['W', 'B', 'A', 'ΔW', 'W + ΔW'] : ['W', 'ΔW', 'W + ΔW']);
    assert.ok(frobenius > 0, settings.method);
  }
  await train({ method: 'prompt', options: {} });
  await page.getByText('there is no matrix it could be added to').waitFor();
  assert.equal(await page.locator('peft-heatmap').count(), 1);
  await train({ method: 'adapter', options: {} });
  const tensors = await page.locator('select option').allTextContents();
  assert.ok(tensors.length > 4 && tensors.every((name) => !name.includes('{')), tensors.join(' '));
  assertClean();
});
