// Compare: recorded results first, then a sweep of its own beside the loaded model, cancel, overlay, table and exports.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import { pareto, points } from '../../web/lib/sweep.js';
import { csv } from '../../web/lib/table-file.js';
import { checkLooks, startPanels } from './lib/panels.mjs';

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

test('recorded results stand until a sweep of two methods and two seeds replaces them', { timeout: 180_000 }, async () => {
  const { page, assertClean } = await site.open({ task: 'mood' });
  await page.getByText('recorded', { exact: true }).first().waitFor();
  assert.equal(await page.locator('#held').textContent(), 'Held out: loss on test, 80 examples; score on test, the first 24 examples.');
  assert.match(await page.locator('thead').innerText(), /Score\s+\(test, the first 24 examples\)/);
  assert.match(await page.locator('tbody tr').first().innerText(), /%.*not recorded$/s, 'a record has no times');
  const ticks = (group) => page.locator(`peft-chart [aria-label="${group}"] text`).allTextContents();
  await page.locator('peft-chart svg').waitFor();
  assert.match((await ticks('y-axis tick label')).join(' '), /^(\d+(\.[1-9])?% ?)+$/, 'round percentages on the axis, none of them 5.0%');
  assert.match(await page.locator('peft-chart .grow').textContent() ?? '', /^Best: .* with [\d.]+% from/);
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
    { timeout: 120_000 },
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
  assert.match(await page.locator('peft-chart .grow').textContent() ?? '', /^Best: .* with [\d.]+% from/);
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
  await page.getByText('Full (chapter)').waitFor();
  const boxes = await page.locator('peft-chart svg > g[aria-label="text"] text').evaluateAll((all) =>
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
  assert.equal(await page.locator('peft-chart tbody tr').count(), 2 + 5, 'ours and the chapter\'s');
  await page.getByRole('button', { name: 'Show as chart' }).click();
  await checkLooks(page, 'compare');
  assertClean();
});

test('cancel keeps what is finished', { timeout: 120_000 }, async () => {
  const { page, assertClean } = await site.open({ task: 'mood' });
  await page.waitForFunction(() => globalThis.lab.status === 'ready');
  await page.evaluate(() => { Object.assign(globalThis.panel, { methods: ['lora', 'full'], seeds: 1, steps: 60 }); });
  await page.locator('#run').click();
  await page.waitForFunction(
    () => globalThis.panel.queue[1]?.status === 'running' && globalThis.panel.work.done > 80,
    undefined,
    { timeout: 60_000 },
  );
  await page.getByRole('button', { name: 'Cancel' }).click();
  await page.getByText('Cancelled. What was finished before is kept.').waitFor();
  assert.deepEqual(await page.evaluate(() => globalThis.panel.result.runs.map((run) => run.status)), ['done', 'waiting']);
  await page.locator('#run').isEnabled();
  assertClean();
});
