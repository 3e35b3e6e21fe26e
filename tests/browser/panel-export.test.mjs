// Export and import: adapter zip out and in, a wrong one refused, merged model, script, session file, links and embed code.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { unzipSync } from 'fflate';
import { checkLooks, startPanel, until } from './lib/panel-page.mjs';
import { eventually, says } from './lib/qa-site.mjs';

/** @type {Awaited<ReturnType<typeof startPanel>>} */
let site;
before(async () => { site = await startPanel('export'); });
after(() => site.close());

/** @param {import('playwright-core').Page} page @param {() => Promise<void>} act @returns {Promise<{name: string, bytes: Buffer}>} */
async function saved(page, act) {
  const [file] = await Promise.all([page.waitForEvent('download'), act()]);
  return { name: file.suggestedFilename(), bytes: readFileSync(await file.path()) };
}

test('adapter out and in again, a foreign file, the model, the session', { timeout: 400_000 }, async () => {
  const { page, panel, assertClean } = await site.open();
  await page.evaluate('(async () => { await lab.ready(); lab.set({ steps: 3 }); await lab.train(); })()');
  const adapter = await saved(page, () => panel.getByRole('button', { name: 'Save the adapter' }).click());
  assert.equal(adapter.name, 'pirate-lora-stories-300k.zip');
  const files = unzipSync(adapter.bytes);
  assert.deepEqual(Object.keys(files).sort(), ['README.md', 'adapter_config.json', 'adapter_model.safetensors']);
  assert.equal(JSON.parse(Buffer.from(files['adapter_config.json']).toString()).peft_type, 'LORA');
  const logits = `lab.work(async (s) => Array.from((await s.logits({ text: 'The cat' })).logits.slice(0, 50)))`;
  const before = await page.evaluate(logits);

  const session = await saved(page, () => panel.getByRole('button', { name: 'Save the session' }).click());
  const sheet = await saved(page, () => panel.getByRole('button', { name: 'Runs as CSV' }).click());
  assert.match(sheet.bytes.toString(), /^run,task.*\r\n1,pirate,stories-300k,lora,/);

  const load = panel.getByLabel(/Load one/);
  await says(() => panel.locator('peft-file label').first().innerText(), /Choose files\s+no file chosen$/);
  await load.setInputFiles({ name: 'holiday.zip', mimeType: 'application/zip', buffer: Buffer.from('PK\u0003\u0004 no zip') });
  await panel.getByRole('alert').waitFor();
  await says(
    () => panel.locator('peft-file label').first().innerText(),
    /Choose files\s+holiday\.zip$/,
    'in the language of the page, not of the browser',
  );
  await load.setInputFiles({ name: 'adapter_config.json', mimeType: 'application/json', buffer: Buffer.from('{}') });
  await panel.getByRole('alert').filter({ hasText: 'adapter_model.safetensors' }).waitFor();
  assert.deepEqual(await page.evaluate(logits), before, 'a refused file changes nothing');

  await page.evaluate('lab.reset()');
  await load.setInputFiles({ name: 'mine.zip', mimeType: 'application/zip', buffer: adapter.bytes });
  await panel
    .getByText(/Loaded: LoRA/)
    .waitFor()
    .catch(async () => {
      throw new Error((await panel.locator('.note, .warn').allInnerTexts()).join(' '));
    });
  assert.deepEqual(await page.evaluate(logits), before, 'the imported adapter computes the same bits');
  await eventually(() => page.evaluate('lab.runs.length'), 2);

  await page.evaluate('lab.merge()');
  await panel.getByText('it is inside these weights').waitFor();
  const model = unzipSync((await saved(page, () => panel.getByRole('button', { name: 'Save the model' }).click())).bytes);
  assert.deepEqual(Object.keys(model).sort(), [
    'config.json', 'generation_config.json', 'model.safetensors', 'special_tokens_map.json', 'tokenizer.json',
    'tokenizer_config.json',
  ]);

  const again = await site.open();
  await again.panel.getByLabel(/Bring one back/).setInputFiles({ name: 's.zip', mimeType: 'application/zip', buffer: session.bytes });
  await again.panel.getByText('1 run is back.').waitFor();
  await until(again.page, 'lab.run');
  assert.deepEqual(await again.page.evaluate(logits), before, 'the session brings the weights back');
  await checkLooks(page, 'export');
  assertClean();
});

test('full fine-tuning has no adapter to save; the model that is saved is the trained one', { timeout: 240_000 }, async () => {
  const { page, panel, assertClean } = await site.open();
  await page.evaluate(`(async () => { await lab.ready(); lab.set({ method: 'full', options: {}, steps: 2 }); await lab.train(); })()`);
  await panel.locator('#no-adapter').waitFor();
  await panel.getByText('with the training inside').waitFor();
  for (const name of ['Save the adapter', 'Merge first']) assert.equal(await panel.getByRole('button', { name }).count(), 0);
  const saves = async () => unzipSync((await saved(page, () => panel.getByRole('button', { name: 'Save the model' }).click())).bytes);
  const full = (await saves())['model.safetensors'];
  await page.evaluate('lab.reset()');
  assert.notDeepEqual((await saves())['model.safetensors'], full);
  assertClean();
});

test('a paused run travels in the session file and goes on', { timeout: 400_000 }, async () => {
  const { page, panel } = await site.open();
  await page.evaluate(`(async () => { await lab.ready(); lab.set({ steps: 6 }); await lab.step(); await lab.step(); })()`);
  const session = await saved(page, () => panel.getByRole('button', { name: 'Save the session' }).click());
  assert.equal(await page.evaluate('lab.status'), 'paused');
  const again = await site.open();
  await again.panel.getByLabel(/Bring one back/).setInputFiles({ name: 's.zip', mimeType: 'application/zip', buffer: session.bytes });
  await until(again.page, 'lab.run?.status === "done"');
  await page.evaluate('lab.resume()');
  const losses = 'lab.run.losses.map((at) => at.loss)';
  assert.deepEqual(await again.page.evaluate(losses), await page.evaluate(losses));
});

test('script, link with teacher switches, embed code', { timeout: 240_000 }, async () => {
  const { page, panel } = await site.open();
  await page.evaluate('lab.set({ options: { rank: 4 }, seed: 7 })');
  await panel.getByText('LoraConfig(').first().waitFor();
  await says(() => panel.locator('pre').first().innerText(), /r=4,[^]*target_modules=/);
  await panel.getByText('For teachers').click();
  await panel.getByLabel('Hide: seed').check();
  await panel.getByLabel('Lock: method').check();
  await panel.getByText('open to your computer or network only').waitFor(); // the tests' server is 127.0.0.1
  const texts = () => panel.locator('pre').allTextContents();
  await says(async () => (await texts()).find((code) => code.startsWith('http')), /&hide=seed&lock=method&/);
  const codes = await texts();
  const link = codes.find((code) => code.startsWith('http')) ?? '';
  assert.match(link, /#v=1&.*seed=7&hide=seed&lock=method&r=4$/);
  assert.ok(codes.some((code) => code.startsWith('<iframe src="http') && code.includes('&amp;hide=seed')));
  assert.ok(codes.some((code) => code.includes('<peft-playground') && code.includes('lock="method"') && code.includes('rank="4"')));
  for (const start of ['```{=html}', ':::{iframe}', 'from IPython', '<section']) assert.ok(codes.some((code) => code.startsWith(start)), start);
  await panel.getByLabel('What').selectOption('calculator');
  await eventually(async () => (await texts()).some((code) => code.includes('embed.html?element=calculator#v=1')), true);
});
