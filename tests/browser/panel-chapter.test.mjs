// The chapter: every section and claim with a verdict, the book's figure beside ours, recorded points with their source, "run it".
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { CLAIMS, SECTIONS } from '../../web/elements/chapter-data.js';
import { checkLooks, startPanel, until } from './lib/panel-page.mjs';

/** @type {{rows: {model: string, methods: {loss: number}[]}[]}} */
const BASES = JSON.parse(readFileSync(new URL('../../web/content/recorded/base-size.json', import.meta.url), 'utf8'));
/** @type {Awaited<ReturnType<typeof startPanel>>} */
let site;
before(async () => { site = await startPanel('chapter'); });
after(() => site.close());

test('all sections, claims with verdicts, figures and sources; a claim is run', { timeout: 120_000 }, async () => {
  const { page, panel, assertClean } = await site.open();
  await panel.getByText('50,331,648').first().waitFor();
  assert.equal(await panel.locator('section').count(), SECTIONS.length);
  assert.equal(await panel.locator('.claim').count(), CLAIMS.length);
  assert.equal(await panel.locator('.claim .verdict').count(), CLAIMS.length);
  const missing = await page.evaluate(
    `(() => { const out = []; const walk = (n) => { for (const c of n.childNodes) { if (c.nodeType === 3) { const m = ` +
      `c.data.match(/\\b(chapter|choose|calc|merge|panel)\\.[a-z_.]{3,}/g); if (m) out.push(...m); } if (c.shadowRoot) ` +
      `walk(c.shadowRoot); walk(c); } }; walk(panel.shadowRoot); return out; })()`,
  );
  assert.deepEqual(missing, [], 'texts that are missing');
  await panel.getByText("PEFT's benchmark, all points").click();
  await panel.getByText('method_comparison/MetaMathQA').waitFor();
  assert.match(await panel.locator('#s-scaling').innerText(), /~280GB \/ ~40GB = 7x/);
  for (const { model, methods } of BASES.rows) { // what the size of the base changes, as it was recorded
    const row = panel.locator('peft-chapter-base tr', { hasText: model });
    for (const { loss } of methods) assert.match(await row.innerText(), new RegExp(loss.toFixed(2).replace('.', '\\.')), model);
  }
  await panel.locator('peft-chapter-base').getByText('make-base-size.mjs pirate 3').waitFor();
  assert.match(await panel.locator('#s-combine').innerText(), /soft_prompt\.parameters/);
  await panel.locator('peft-chart svg').first().waitFor();
  await checkLooks(page, 'chapter');

  await page.evaluate('lab.set({ steps: 3 })');
  await panel.locator('[data-claim="pit.one"]').getByRole('button', { name: 'only load' }).first().click();
  await until(page, 'lab.state.lr === 0.0001 && lab.status === "ready"');
  await page.evaluate('lab.set({ steps: 3 }), lab.train()');
  await panel.locator('[data-claim="pit.one"]').getByText('held-out').first().waitFor();
  await panel.locator('[data-claim="overfit"]').getByRole('button', { name: 'Run it' }).first().click();
  await until(page, 'lab.run?.options.rank === 64 && lab.run.losses.length > 0');
  assert.equal(await page.evaluate('lab.run.task'), 'mood');
  await page.evaluate('lab.stop()');
  assertClean();
});
