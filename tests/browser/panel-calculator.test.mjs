// The calculator: oracle values, editable dimensions, a dropped config.json, the chapter's numbers, and a page that forbids WebAssembly.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { checkLooks, startPanel } from './lib/panel-page.mjs';
import { eventually, says } from './lib/qa-site.mjs';

/** @type {Awaited<ReturnType<typeof startPanel>>} */
let site;
before(async () => { site = await startPanel('calculator'); });
after(() => site.close());

test('counts, memory, own dimensions, config.json, chapter numbers', { timeout: 400_000 }, async () => {
  const { page, panel, assertClean } = await site.open();
  const big = panel.locator('.big');
  const is = (/** @type {string} */ text) => panel.locator('.big', { hasText: text }).waitFor();
  await is('4,194,304');
  await panel.getByLabel('Model shape').selectOption('llama-2-70b');
  await is('16,384,000');
  await panel.getByRole('combobox', { name: 'Method' }).selectOption('prefix');
  await is('1,638,400');
  await says(() => panel.locator('.big + *, p[role=status]').first().innerText(), /68,976,648,192/);

  await panel.getByText('Formula and terms').click();
  await says(() => panel.locator('table.terms').first().innerText(), /10 rows × 80 layers × 2 \(key, value\) × 1,024\s+1,638,400/);

  await panel.locator('summary', { hasText: 'Dimensions' }).click();
  await panel.getByLabel('layers', { exact: true }).fill('40');
  await panel.getByLabel('layers', { exact: true }).press('Tab');
  await is('819,200');
  assert.equal(await panel.getByLabel('Model shape').inputValue(), 'own');

  await panel
    .locator('input[type=file]')
    .setInputFiles({ name: 'config.json', mimeType: 'application/json', buffer: Buffer.from('{"hidden_size": "<b>x</b>"}') });
  await panel.getByRole('alert').waitFor();
  await panel.locator('input[type=file]').setInputFiles({ name: 'config.json', mimeType: 'application/json', buffer: Buffer.from(JSON.stringify({
    model_type: 'llama', hidden_size: 64, intermediate_size: 128, num_hidden_layers: 2, num_attention_heads: 4,
    vocab_size: 100, tie_word_embeddings: true, max_position_embeddings: 64,
  })) });
  await is('2,560');
  // What transformers leaves open or rounds down: null is the usual, and a width that the heads do not divide loses the rest.
  const config = (/** @type {Record<string, any>} */ more) => panel.locator('input[type=file]').setInputFiles({
    name: 'config.json', mimeType: 'application/json', buffer: Buffer.from(JSON.stringify({
      model_type: 'llama', hidden_size: 64, intermediate_size: 128, num_hidden_layers: 2, num_attention_heads: 4, vocab_size: 100, ...more,
    })),
  });
  const base = () => panel.locator('table.terms').last().locator('tr').last().innerText();
  await config({ num_key_value_heads: null, head_dim: null });
  await panel.locator('p[role=status]', { hasText: 'of 95,040 numbers' }).waitFor();
  await says(base, /95,040/, "the formula's sum is the engine's count");
  await config({ hidden_size: 66 });
  await panel.locator('p[role=status]', { hasText: 'of 98,010 numbers' }).waitFor();
  await says(base, /98,010/);
  await eventually(() => panel.getByRole('alert').count(), 0);

  // Dimensions that cannot be: no figures of earlier ones beside them. What has a count but no memory shows its count.
  await panel.getByLabel('key/value heads').fill('3');
  await panel.getByLabel('key/value heads').press('Tab');
  await panel.getByRole('alert').getByText('must divide').waitFor();
  await eventually(() => big.count(), 0);
  await panel.getByLabel('Model shape').selectOption('llama-2-7b');
  await panel.getByRole('combobox', { name: 'Method' }).selectOption('full');
  await panel.getByRole('combobox', { name: 'Weights' }).selectOption('nf4');
  await panel.getByRole('alert').getByText('cannot be trained themselves').waitFor();
  await is('6,738,415,616');
  await eventually(() => panel.getByRole('heading', { name: 'Memory while training' }).count(), 0);
  await panel.getByRole('combobox', { name: 'Weights' }).selectOption('bf16');
  await panel.getByRole('heading', { name: 'Memory while training' }).waitFor();
  await eventually(() => panel.getByRole('alert').count(), 0);

  await panel.getByRole('button', { name: 'Chapter numbers' }).click();
  await panel.getByText('50,331,648').first().waitFor();
  await is('4,194,304');
  const text = async () => (await panel.locator('table').allInnerTexts()).join('\n');
  await says(text, /~280GB \/ ~40GB = 7x/);
  await says(text, /7\.92 GB/);
  await eventually(() => big.count(), 1);

  // One way of counting for both bars, the same as the table's; what it fixes stands in the chips and cannot be chosen.
  await says(() => panel.locator('figcaption').innerText(), /^7\.92 GB against 27 GB .* 3\.4 times less/);
  const weights = () => panel.getByRole('combobox', { name: 'Weights' }).evaluate((/** @type {any} */ node) => [node.disabled, node.value]);
  await eventually(weights, [true, 'int8']);
  await eventually(() => panel.getByLabel('checkpointing').isDisabled(), true);
  const terms = panel.locator('#memory');
  await says(() => terms.textContent(), /^Memory = weights × bytes.*activations per token × tokens\. Left out, as in the chapter: logits\.$/);
  await panel.getByRole('combobox', { name: 'Method' }).selectOption('full');
  await is('6,738,415,616');
  await says(
    () => terms.textContent(),
    /^Memory = weights × bytes\. Left out, as in the chapter: gradients, optimiser, activations, logits\.$/,
  );
  await eventually(() => panel.getByRole('combobox', { name: 'Optimiser' }).isDisabled(), true, 'nothing is counted for it');
  await panel.getByLabel('as the chapter').uncheck();
  await panel.locator('#memory', { hasText: '8 bytes per logit' }).waitFor({ state: 'attached' });
  await eventually(weights, [false, 'bf16']);

  // On a phone the letters in the bar keep their shape, and the table of parts shows all its columns.
  await page.setViewportSize({ width: 320, height: 640 });
  const bent = () => panel
    .locator('svg.bar text')
    .evaluateAll(
      (all) => all.map((/** @type {any} */ node) => node.getScreenCTM()).filter(({ a, d }) => Math.abs(a / d - 1) > 0.01).length,
    );
  await eventually(bent, 0);
  const parts = panel.getByRole('region', { name: 'Parts' });
  await eventually(() => parts.evaluate((node) => node.scrollWidth <= node.clientWidth), true, 'no column is cut off');
  await page.setViewportSize({ width: 1280, height: 720 });
  await checkLooks(page, 'calculator');
  assertClean();
});

test('as an element of its own, set by attributes', { timeout: 240_000 }, async () => {
  const { page } = await site.open();
  await page.evaluate(
    `(() => { const made = document.createElement('peft-calculator'); made.setAttribute('model', 'llama-2-13b'); ` +
      `made.setAttribute('method', 'prompt'); document.querySelector('main').append(made); })()`,
  );
  await page.locator('peft-calculator .big', { hasText: '102,400' }).waitFor();
});

test('WebAssembly forbidden: says so, and counts in plain arithmetic', { timeout: 240_000 }, async () => {
  const { page } = await site.open({}, { bypassCSP: true });
  await page.addInitScript(() => {
    Object.assign(WebAssembly, {
      compile: () => Promise.reject(new WebAssembly.CompileError('blocked by CSP')),
      Module: function Module() {
        throw new WebAssembly.CompileError('blocked by CSP');
      },
    });
  });
  await page.reload();
  await page.getByRole('alert').waitFor();
  await says(() => page.locator('table').innerText(), /LoRA\s+4,194,304/);
});
