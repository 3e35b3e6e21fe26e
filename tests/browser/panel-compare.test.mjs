// Compare: recorded results first, then a sweep of its own beside the loaded model, cancel, overlay, table and exports.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import { pareto, points } from '../../web/lib/sweep.js';
import { gains } from '../../web/elements/compare-plot.js';
import { csv } from '../../web/lib/table-file.js';
import { checkLooks, startPanels } from './lib/panels.mjs';
import { eventually, says } from './lib/qa-site.mjs';

/** @type {Awaited<ReturnType<typeof startPanels>>} */
let site;
before(async () => { site = await startPanels('compare'); });
after(() => site.close());

test('CSV: formulas are made harmless, numbers and quotes survive', () => {
  assert.equal(
    csv(
      ['a', 'b'],
      [
        ['=1+1', -2.5],
        ['say "hi", you', null],
        ['@x', NaN],
        ['plain', 3],
      ],
    ),
    'a,b\r\n\'=1+1,-2.5\r\n"say ""hi"", you",\r\n\'@x,\r\nplain,3\r\n',
  );
});

test('points gather seeds; the Pareto line keeps what nothing smaller beats', () => {
  const run = (method, trainable, score) => ({
    method,
    size: '',
    options: {},
    train: { steps: 1 },
    seed: 1, status: 'done', trainable, seconds: 1, loss: 1, score,
  });
  const all = points([run('a', 10, 0.2), run('a', 10, 0.4), run('b', 20, 0.1), run('c', 30, 0.9)], 'score');
  assert.deepEqual(all.map(({ method, n, min, max }) => [method, n, min, max]), [['a', 2, 0.2, 0.4], ['b', 1, 0.1, 0.1], ['c', 1, 0.9, 0.9]]);
  assert.deepEqual(pareto(all, 1).map(({ method }) => method), ['a', 'c']);
});

test('the gain that the overlay stands on is one: a method that lost is not the measure, and without any gain there is none', () => {
  const point = (method, mean) => ({ method, size: '', trainable: 1, n: 1, mean, min: mean, max: mean, seconds: 1 });
  const lost = gains([point('full', 0.1), point('lora', 0.6), point('prompt', 0.4)], 0.2, 1);
  assert.equal(lost?.top, 'lora');
  assert.deepEqual(lost?.points.map(({ mean }) => Math.round(mean)), [-25, 100, 50]);
  assert.equal(gains([point('full', 2), point('lora', 1)], 4, -1)?.top, 'full', 'of losses, less is more');
  assert.equal(gains([point('full', 5), point('lora', 4)], 4, -1), null);
});

test('what was compared is there when the panel is opened again; text without a held-out part is not compared', { timeout: 400_000 }, async () => {
  const { page, assertClean } = await site.open({ task: 'mood' });
  const focused = () => page.evaluate(() => globalThis.panel.renderRoot.activeElement?.textContent.trim());
  await page.waitForFunction(() => globalThis.lab.status === 'ready' && globalThis.panel.result);
  await page.evaluate(() => { Object.assign(globalThis.panel, { methods: ['prompt', 'lora'], seeds: 1, steps: 3 }); });
  await page.locator('#run').focus();
  await page.locator('#run').press('Enter');
  await page.waitForFunction(({ panel } = globalThis) => panel.work.running && panel.renderRoot.activeElement?.textContent.trim() === 'Cancel');
  await page.waitForFunction(() => !globalThis.panel.work.running);
  await page.waitForFunction(() => globalThis.panel.renderRoot.activeElement?.id === 'run');
  await eventually(focused, 'Train 2 runs');
  await says(() => page.locator('peft-chart .grow').textContent(), /One run each: how much of this is chance/);
  const result = await page.evaluate(() => globalThis.panel.result);
  const again = async () => {
    await page.evaluate(() => {
      const { panel, lab } = globalThis;
      globalThis.panel = Object.assign(document.createElement('peft-panel-compare'), { lab });
      panel.replaceWith(globalThis.panel);
    });
    await page.waitForFunction(() => globalThis.panel.result);
  };
  await again();
  assert.deepEqual(await page.evaluate(() => globalThis.panel.result), result);
  await page.getByRole('button', { name: 'Show the recorded comparison' }).click();
  await page.waitForFunction(() => globalThis.panel.result?.recorded);
  await page.getByRole('button', { name: 'Show my own comparison' }).click();
  assert.deepEqual(await page.evaluate(() => globalThis.panel.result), result);
  await page.evaluate(() => globalThis.lab.useData([{ prompt: 'a cat', completion: ' sat' }, { prompt: 'a dog', completion: ' ran' }], 'mine'));
  await page.locator('#not-held').waitFor();
  await eventually(() => page.locator('#run').count(), 0);
  assertClean();
});

test('recorded results stand until a sweep of two methods and two seeds replaces them', { timeout: 600_000 }, async () => {
  const { page, assertClean } = await site.open({ task: 'mood' });
  await page.getByText('recorded', { exact: true }).first().waitFor();
  await eventually(() => page.locator('#held').textContent(), 'Held out: loss on test, 80 examples; score on test, the first 24 examples.');
  await says(() => page.locator('thead').innerText(), /Score\s+\(test, the first 24 examples\)/);
  await says(() => page.locator('tbody tr').first().innerText(), /%.*not recorded$/s, 'a record has no times');
  const ticks = (group) => page.locator(`peft-chart [aria-label="${group}"] text`).allTextContents();
  await page.locator('peft-chart svg').waitFor();
  await says(async () => (await ticks('y-axis tick label')).join(' '), /^(\d+(\.[1-9])?% ?)+$/, 'round percentages on the axis, none of them 5.0%');
  await says(() => page.locator('peft-chart .grow').textContent(), /^Best: .* with [\d.]+% from/);
  await page.waitForFunction(() => globalThis.lab.status === 'ready');
  const before = await page.evaluate(() => ({ task: globalThis.lab.state.task, modules: globalThis.lab.description.modules.length }));
  for (const name of ['prefix', 'adapter', 'full']) await page.locator(`input[name=${name}]`).uncheck();
  await page.locator('#seeds').fill('2');
  await page.locator('#seeds').blur();
  await page.locator('#steps').fill('4');
  await page.locator('#steps').blur();
  await page.locator('#run').click();
  await page.locator('progress').waitFor();
  await page.waitForFunction(
    () => globalThis.panel.result && !globalThis.panel.result.recorded && !globalThis.panel.work.running,
    undefined,
    { timeout: 400_000 },
  );
  const result = await page.evaluate(() => globalThis.panel.result);
  assert.deepEqual(
    result.runs.map((run) => `${run.method} ${run.seed} ${run.status}`),
    ['prompt 1 done', 'prompt 2 done', 'lora 1 done', 'lora 2 done'],
  );
  assert.ok(result.runs.every((run) => run.loss > 0 && run.score >= 0 && run.trainable > 0));
  assert.notEqual(result.runs[2].loss, result.runs[3].loss, 'seeds differ');
  assert.deepEqual(
    await page.evaluate(() => ({ task: globalThis.lab.state.task, modules: globalThis.lab.description.modules.length })),
    before,
    'the loaded model is left alone',
  );

  await page.locator('#sketch').check();
  await page.getByText('LoRA (chapter)').waitFor();
  await says(() => page.locator('peft-chart .grow').textContent(), /^Best: .* with [\d.]+% from/);
  // No label covers another: the chapter's Full stands where ours does when ours gained most.
  await page.evaluate(() => {
    const { result } = globalThis.panel;
    globalThis.panel.result = {
      ...result,
      runs: [
        ...result.runs,
        { ...result.runs[2], method: 'full', size: '', trainable: result.total, score: result.base.score + 0.5 },
      ],
    };
  });
  const labels = page.locator('peft-chart svg > g[aria-label="text"] text');
  await labels.filter({ hasText: /^Full$/ }).waitFor(); // the chapter's has stood there before
  const boxes = await labels.evaluateAll((all) =>
    all.map((node) => {
      const { left, right, top, bottom } = node.getBoundingClientRect();
      return { text: node.textContent, left, right, top, bottom };
    }),
  );
  assert.ok(boxes.some(({ text }) => text === 'Full') && boxes.some(({ text }) => text === 'Full (chapter)'), JSON.stringify(boxes));
  for (const [i, a] of boxes.entries())
    for (const b of boxes.slice(i + 1))
      assert.ok(
        a.right <= b.left || b.right <= a.left || a.bottom <= b.top + 3 || b.bottom <= a.top + 3,
        `${a.text} and ${b.text}`,
      );
  assert.equal(await page.locator('peft-chart svg').first().evaluate((node) => getComputedStyle(node).fontSize), '12px');
  // Without a gain there is no scale for it: the page says so.
  await page.evaluate((was) => { globalThis.panel.result = { ...was, runs: was.runs.map((run) => ({ ...run, score: was.base.score })) }; }, result);
  await page.locator('#no-sketch').waitFor();
  await page.evaluate((was) => { globalThis.panel.result = was; }, result);
  await page.locator('#no-sketch').waitFor({ state: 'detached' });
  await page.getByRole('button', { name: 'Loss', exact: true }).click();
  for (const [kind, has] of [['csv', 'method,size,seed'], ['json', '"runs"'], ['svg', '<svg']]) {
    const [download] = await Promise.all([page.waitForEvent('download'), page.locator(`#export-${kind}`).click()]);
    assert.equal(download.suggestedFilename(), `compare-mood.${kind}`);
    assert.ok((await readFile(await download.path(), 'utf8')).includes(has), kind);
  }
  await page.getByRole('button', { name: 'Show as table' }).click();
  await eventually(() => page.locator('peft-chart tbody tr').count(), 2 + 5, 'ours and the chapter\'s');
  await page.getByRole('button', { name: 'Show as chart' }).click();
  await checkLooks(page, 'compare');
  assertClean();
});

test('cancel keeps what is finished', { timeout: 400_000 }, async () => {
  const { page, assertClean } = await site.open({ task: 'mood' });
  await page.waitForFunction(() => globalThis.lab.status === 'ready');
  await page.evaluate(() => { Object.assign(globalThis.panel, { methods: ['lora', 'full'], seeds: 1, steps: 60 }); });
  await page.locator('#run').click();
  await page.getByRole('button', { name: 'Cancel' }).waitFor();
  await page.evaluate(async () => { // at that moment: the second run soon ends
    const { panel } = globalThis;
    while (!(panel.queue[1]?.status === 'running' && panel.work.done > 80)) await new Promise((resolve) => { setTimeout(resolve, 5); });
    [...panel.renderRoot.querySelectorAll('button')].find((button) => button.textContent.trim() === 'Cancel').click();
  });
  await page.getByText('Cancelled. What was finished before is kept.').waitFor();
  assert.deepEqual(await page.evaluate(() => globalThis.panel.result.runs.map((run) => run.status)), ['done', 'waiting']);
  await page.locator('#run:enabled').waitFor();
  assertClean();
});
