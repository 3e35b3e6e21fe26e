// The chapter: every section and claim with a verdict, the book's figure beside ours, recorded points with their source, "run it".
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { CLAIMS, REASONS, SECTIONS } from '../../web/elements/chapter-data.js';
import { recordedReason } from '../../web/lib/bullets.js';
import { checkLooks, startPanel, until } from './lib/panel-page.mjs';
import { eventually, says } from './lib/qa-site.mjs';

/** @type {{rows: {model: string, methods: {loss: number}[]}[]}} */
const BASES = JSON.parse(readFileSync(new URL('../../web/content/recorded/base-size.json', import.meta.url), 'utf8'));
/** @type {{tasks: {name: string, scores: Record<string, any>}[]}} */
const INDEX = JSON.parse(readFileSync(new URL('../../models/index.json', import.meta.url), 'utf8'));
/** @type {Record<string, import('../../web/lib/bullets.js').Recorded>} */
const RECORDED = JSON.parse(readFileSync(new URL('../../models/recipes/tasks/results.json', import.meta.url), 'utf8'));
/** @type {Awaited<ReturnType<typeof startPanel>>} */
let site;
before(async () => { site = await startPanel('chapter'); });
after(() => site.close());

test('all sections, claims with verdicts, figures and sources; a claim is run', { timeout: 400_000 }, async () => {
  const { page, panel, assertClean } = await site.open();
  await panel.getByText('50,331,648').first().waitFor();
  await eventually(() => panel.locator('section').count(), SECTIONS.length);
  await eventually(() => panel.locator('.claim').count(), CLAIMS.length);
  await eventually(() => panel.locator('.claim .verdict').count(), CLAIMS.length);
  const missing = await page.evaluate(
    `(() => { const out = []; const walk = (n) => { for (const c of n.childNodes) { if (c.nodeType === 3) { const m = ` +
      `c.data.match(/\\b(chapter|choose|calc|merge|panel)\\.[a-z_.]{3,}/g); if (m) out.push(...m); } if (c.shadowRoot) ` +
      `walk(c.shadowRoot); walk(c); } }; walk(panel.shadowRoot); return out; })()`,
  );
  assert.deepEqual(missing, [], 'texts that are missing');
  // Before the engine has a model the page knows already what cannot be merged.
  assert.match(await panel.locator('peft-merge-overhead tr', { hasText: '▲' }).innerText(), /no fixed weight matrix/);
  assert.match(await panel.locator('#s-tree').innerText(), /four factors/i);
  assert.match(await panel.locator('#s-tree svg').textContent() ?? '', /Prompt Tuning or\s*LoRA \(r=4\)/, 'the whole answer, as printed');
  await panel.getByText("PEFT's benchmark, the methods of this page").click();
  await panel.getByText('method_comparison/MetaMathQA').waitFor();
  assert.match(await panel.locator('#s-scaling').innerText(), /~280GB \/ ~40GB = 7x/);
  for (const { model, methods } of BASES.rows) { // what the size of the base changes, as it was recorded
    const row = panel.locator('peft-chapter-base tr', { hasText: model });
    for (const { loss } of methods) await says(() => row.innerText(), new RegExp(loss.toFixed(2).replace('.', '\\.')), model);
  }
  await panel.locator('peft-chapter-base').getByText('make-base-size.mjs pirate 3').waitFor();
  assert.match(await panel.locator('#s-combine').innerText(), /soft_prompt\.parameters/);
  // What was recorded on each kind of task says whether the chapter's choice is the best one, before anything is run here.
  await eventually(() => panel.locator('#s-tasks td.why > [data-outcome]').count(), 5);
  for (const { name, scores } of INDEX.tasks) {
    const row = panel.locator('#s-tasks tr', { hasText: `--only ${name}` });
    const highest = Math.max(...Object.keys(scores.spread).map((method) => scores[method]));
    await says(() => row.innerText(), new RegExp(` ${Math.round(100 * highest)}%`), name);
  }
  // So has each of the reasons below it, with the recorded numbers that it rests on.
  const reasons = panel.locator('#s-tasks [data-reason]');
  await eventually(() => reasons.locator('.verdict').count(), Object.values(REASONS).flat().length);
  await eventually(() => reasons.count(), Object.values(REASONS).flat().length);
  const reason = (/** @type {string} */ judge) => panel.locator(`#s-tasks [data-reason="${judge}"]`);
  const outcome = async (/** @type {string} */ judge, /** @type {string} */ task, /** @type {string[]} */ named) =>
    eventually(() => reason(judge).locator('[data-outcome]').getAttribute('data-outcome'),
      recordedReason(judge, RECORDED[task], named)?.outcome ?? '', judge);
  for (const [judge, task, ...named] of [
    ['quick', 'mood', 'prompt', 'lora'], ['moderate', 'words-to-story', 'lora'], ['learn', 'ship-log', 'lora', 'adapter'],
    ['capacity', 'ship-log', 'lora', 'adapter'], ['steer', 'pirate', 'lora', 'prefix'], ['complex', 'turtle', 'lora'],
  ]) await outcome(judge, task, named);
  const seconds = (/** @type {string} */ method) => RECORDED.mood.rows.find((row) => row.method === method)?.seconds ?? NaN;
  const tenth = (/** @type {number} */ x) => (x < 10 ? Math.round(10 * x) / 10 : Math.round(x)); // as the page says seconds
  await says(() => reason('quick').innerText(), new RegExp(`Prompt ${tenth(seconds('prompt'))}\\s*s`), 'recorded seconds');
  await says(() => reason('studied').innerText(), /cannot be tested here/);
  await says(() => reason('overfit').innerText(), /try it/);
  await says(() => reason('merged').innerText(), /calculated: as the chapter says .*adds 0\.0\d+%/s);
  await panel.locator('peft-chart svg').first().waitFor();
  await checkLooks(page, 'chapter');

  await page.evaluate('lab.set({ steps: 3 })');
  await panel.locator('[data-claim="pit.one"]').getByRole('button', { name: 'only load' }).first().click();
  await until(page, 'lab.state.lr === 0.0001 && lab.status === "ready"');
  await page.evaluate('lab.set({ steps: 3 }), lab.train()');
  const one = panel.locator('[data-claim="pit.one"]');
  await one.getByText('held-out').first().waitFor();
  await eventually(() => one.locator('.came').count(), 1, 'a run at another rate is not the second experiment');
  assert.equal(await panel.locator('[data-claim="start"] .came').count(), 0);
  await says(() => one.innerText(), /run \d+: 3 steps .* decides nothing/s, 'shorter than the preset');
  assert.equal(await one.locator('.here').count(), 0);
  await panel.locator('[data-claim="overfit"]').getByRole('button', { name: 'Run it' }).first().click();
  await until(page, 'lab.run?.options.rank === 64 && lab.run.losses.length > 0');
  assert.equal(await page.evaluate('lab.run.task'), 'mood');
  await page.evaluate('lab.stop()');
  assertClean();
});

test('runs of this tab stand beside the book and decide, however they were started', { timeout: 600_000 }, async () => {
  const { page, panel, assertClean } = await site.open({ task: 'mood' });
  await panel.getByText('50,331,648').first().waitFor();
  assert.equal(await panel.locator('.here').count(), 0, 'nothing was run');
  // Before the model is there the index is not, and the recorded reasons do without it; then what was measured has its name.
  const few = panel.locator('#s-tasks [data-reason="few"]').first();
  await says(() => few.innerText(), /full fine-tuning's gain in score\./);
  await page.evaluate('lab.ready()');
  await says(() => few.innerText(), /full fine-tuning's gain in accuracy\./);
  const shapes = panel.getByRole('region', { name: 'The same recipes on other models' });
  await shapes.getByText('the model loaded here').waitFor();
  const recipes = () => shapes.getByRole('row', { name: /LoRA/ }).innerText();
  for (const number of ['8,960', '4,194,304', '3,407,872', '6,553,600', '16,384,000']) await says(recipes, new RegExp(number));

  // The first from the claim, the second from a row of a table, the third by hand, as in the rest of the page.
  const done = (/** @type {number} */ n) => until(page, `lab.runs.length === ${n} && lab.run.status === "done" && lab.status === "ready"`, 400_000);
  const claim = (/** @type {string} */ id) => panel.locator(`[data-claim="${id}"]`);
  await claim('pit.one').getByRole('button', { name: 'Run it' }).first().click();
  await done(1);
  await panel.locator('#s-quick table').getByRole('button', { name: /^Run it.*Balance/ }).click();
  await done(2);
  const one = claim('pit.one').locator('.here');
  await one.waitFor();
  await eventually(() => one.getAttribute('data-outcome'), 'agrees', 'a hundredth of the rate learns less');
  await says(() => one.innerText(), /as the chapter says Held-out loss: \d.*Learning rate 0\.0001; \d.*measured here/s);
  await page.evaluate('lab.set({ method: "full", options: {}, lr: 0, steps: 0 }), lab.train()');
  await done(3);
  const near = claim('pit.full').locator('.here');
  await near.waitFor();
  const [full, lora] = await page.evaluate('[2, 1].map((i) => lab.runs[i].base_loss - lab.runs[i].validations.at(-1).loss)');
  await says(() => near.innerText(), new RegExp(`reaches ${Math.round((100 * lora) / full)}%`), 'the share of the gain, worked out here');
  await says(() => panel.locator('#s-tasks tr', { hasText: 'Classification' }).innerText(), /Full.*run 3: 200 steps/s, 'the same run in the table');
  // The reasons: LoRA had the chapter's rank 8 until now, not the 4 that is named for this kind of task.
  const reason = (/** @type {string} */ judge) => panel.locator('#s-tasks tr', { hasText: 'Classification' }).locator(`[data-reason="${judge}"]`);
  assert.equal(await panel.locator('#s-tasks [data-reason] .here').count(), 0);
  await says(() => reason('overfit').innerText(), /try it/);
  await panel.locator('#s-tasks tr', { hasText: 'Classification' }).getByRole('button', { name: /^Run it.*LoRA/ }).click();
  await done(4);
  const small = await page.evaluate('(({ base_loss, validations }) => base_loss - validations.at(-1).loss)(lab.runs[3])');
  await says(() => reason('few').locator('.here').innerText(), new RegExp(`reaches ${Math.round((100 * small) / full)}%`));
  await says(() => reason('quick').locator('.here').innerText(), /Training took/);
  await says(() => reason('overfit').innerText(), /^(?!.*try it).*above the training loss by/s, 'the runs of this tab decide now');
  for (const verdict of await panel.locator('.here').allInnerTexts()) assert.match(verdict, /measured here/);
  assertClean();
});
