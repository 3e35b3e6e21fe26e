// Combine: the counter adds, the ablation has the same budget, both end up in the page's model together.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { checkLooks, startPanels } from './lib/panels.mjs';
import { eventually, says } from './lib/qa-site.mjs';

/** @type {Awaited<ReturnType<typeof startPanels>>} */
let site;
before(async () => { site = await startPanels('combine'); });
after(() => site.close());

test('LoRA, prompt and both: counts add, rows are trained alike, the pair goes into the model', { timeout: 600_000 }, async () => {
  const { page, assertClean } = await site.open({ task: 'mood' });
  await page.locator('#sum').waitFor();
  const counts = await page.evaluate(() => ({
    each: globalThis.panel.fresh.modules.map((m) => m.parameters),
    all: globalThis.panel.fresh.counts.trainable,
  }));
  assert.equal(counts.each[0] + counts.each[1], counts.all);
  assert.equal(await page.locator('#method1').count(), 0, 'a student has one pair');
  await page.locator('peft-diagram .block.lit').first().waitFor();
  await page.locator('peft-diagram .row').first().waitFor(); // the prompt is lit too
  // Each in its own method's colour, and the legend names both.
  const colours = await page.evaluate(() => {
    const root = globalThis.panel.renderRoot.querySelector('peft-diagram').renderRoot;
    const style = (selector, name) => getComputedStyle(root.querySelector(selector))[name];
    const token = (name) => {
      const probe = document.createElement('i');
      probe.style.color = `var(${name})`;
      root.append(probe);
      const { color } = getComputedStyle(probe);
      probe.remove();
      return color;
    };
    return {
      lora: [style('.block.lit[data-method="lora"] > rect', 'stroke'), token('--m-lora')],
      prompt: [style('rect.row', 'fill'), token('--m-prompt')],
      legend: root.querySelector('.legend').textContent,
    };
  });
  assert.equal(colours.lora[0], colours.lora[1]);
  assert.equal(colours.prompt[0], colours.prompt[1]);
  assert.notEqual(colours.lora[0], colours.prompt[0]);
  assert.match(colours.legend, /LoRA: trains[\s\S]*Prompt: trains/);

  await page.evaluate(() => { Object.assign(globalThis.panel, { steps: 6, seeds: 2 }); });
  await page.locator('#run').click();
  await page.locator('#verdict').waitFor({ timeout: 240_000 });
  const { alone, rows } = await page.evaluate(() => globalThis.panel.result);
  assert.deepEqual(rows.map((row) => row.parts.map((part) => part.method).join('+')), ['lora', 'prompt', 'lora+prompt']);
  assert.equal(new Set(rows.map((row) => `${row.train.steps} ${row.train.batch_size}`)).size, 1);
  assert.equal(rows[2].train.lr, Math.min(rows[0].train.lr, rows[1].train.lr));
  assert.equal(rows[2].trainable, rows[0].trainable + rows[1].trainable);
  assert.ok(rows.every((row) => row.losses.length === 2 && row.losses.every((loss) => loss < alone.loss)), JSON.stringify(rows.map((r) => r.losses)));
  assert.equal(rows[2].files.length, 2);
  assert.match(await page.locator('#ablation thead').innerText(), /held-out loss\s+\(test, 80 examples\)[^]*\(test, the first 24 examples\)/);
  await checkLooks(page, 'combine');

  // What is set for the next time changes nothing about what was measured; both are there when the panel is opened again.
  const verdict = await page.locator('#verdict').textContent();
  await page.locator('#seeds').fill('1');
  await page.locator('#seeds').blur();
  await page.locator('#steps').fill('9');
  await page.locator('#steps').blur();
  assert.equal(await page.locator('#verdict').textContent(), verdict);
  await says(() => page.locator('#of').textContent(), /^6 steps of \d+ examples, 2 seeds\./);
  await page.evaluate(() => {
    const { panel, lab } = globalThis;
    globalThis.panel = Object.assign(document.createElement('peft-panel-combine'), { lab });
    panel.replaceWith(globalThis.panel);
  });
  await page.locator('#verdict').waitFor();
  assert.equal(await page.locator('#verdict').textContent(), verdict);

  await page.locator('#put').click();
  await page.getByText('Both are in the model now').waitFor();
  await eventually(() => page.evaluate(() => globalThis.lab.description.modules.map((m) => m.method)), ['lora', 'prompt']);
  const loss = await page.evaluate(() => globalThis.lab.work((session) => session.evaluate({ split: 'test' })).then((r) => r.loss));
  assert.ok(Math.abs(loss - rows[2].losses[1]) < 1e-4, `${loss} ${rows[2].losses}`);
  assertClean();
});

test('an explorer combines any two methods, and can cancel', { timeout: 400_000 }, async () => {
  const { page, assertClean } = await site.open({ task: 'mood', level: 'explorer' });
  await page.locator('#sum').waitFor();
  await page.locator('#method1').selectOption('adapter');
  await page.locator('#method2').selectOption('ia3');
  await page.waitForFunction(() => globalThis.panel.fresh?.modules.map((m) => m.method).join() === 'adapter,ia3');
  // LoRA beside (IA)³ on the same matrix: the drawing has the pieces of both, each in its colour, and both are named.
  await page.locator('#method1').selectOption('lora');
  const drawn = () => page.evaluate(() => {
    const root = globalThis.panel.renderRoot.querySelector('peft-diagram').renderRoot;
    const block = root.querySelector('[data-method="lora ia3"]');
    const pieces = [...(block?.querySelectorAll('.piece') ?? [])].map((piece) => ({
      method: piece.getAttribute('style').match(/--m-(\w+)/)?.[1], from: Number(piece.getAttribute('x')), wide: Number(piece.getAttribute('width')),
    })).sort((a, b) => a.from - b.from);
    return {
      pieces: pieces.map(({ method }) => method),
      apart: pieces.every(({ from }, i) => i === 0 || pieces[i - 1].from + pieces[i - 1].wide < from),
      named: /\(LoRA \+ \(IA\)³\): .*lora_A.*ia3/.test(block?.getAttribute('aria-label') ?? ''),
    };
  });
  await eventually(drawn, { pieces: ['ia3', 'lora', 'lora'], apart: true, named: true });
  await page.locator('#method1').selectOption('adapter');
  await page.waitForFunction(() => globalThis.panel.fresh?.modules.map((m) => m.method).join() === 'adapter,ia3');
  await page.evaluate(() => { globalThis.panel.steps = 200; });
  await page.locator('#run').click();
  await page.waitForFunction(() => globalThis.panel.work.done > 3);
  await page.getByRole('button', { name: 'Cancel' }).click();
  await page.getByText('Cancelled.').waitFor();
  await page.locator('#run').click();
  await page.evaluate(async () => { // at once: the training soon ends by itself
    while (!(globalThis.panel.work.done > 3)) await new Promise((resolve) => { setTimeout(resolve, 5); });
    globalThis.lab.set({ task: 'turtle' });
  });
  await page.getByText('The task or the model was changed, so this training was ended.').waitFor();
  await eventually(() => page.evaluate(() => globalThis.panel.result), null);
  assertClean();
});
