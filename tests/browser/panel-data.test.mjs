// Own text: paste, upload, drop; problems with line numbers, statistics before training, hostile text as text, then a training on it.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { checkLooks, startPanel, until } from './lib/panel-page.mjs';

/** @type {Awaited<ReturnType<typeof startPanel>>} */
let site;
before(async () => { site = await startPanel('data'); });
after(() => site.close());

const ROWS = Array.from({ length: 12 }, (_, i) =>
  JSON.stringify({ prompt: `The cat number ${i}`, completion: ` says ${i % 3 ? 'arr' : 'meow'}, and runs away.` }),
);

test('upload with problems, statistics, preview, use and train', { timeout: 400_000 }, async () => {
  const { page, panel, assertClean } = await site.open();
  const content = [
    ...ROWS.slice(0, 5),
    'not json',
    ...ROWS.slice(5),
    '{"prompt": "x", "completion": ""}',
    '{"prompt": "a", "completion": " <img src=x onerror=\\"window.hacked=1\\">"}',
    ROWS[0],
  ].join('\n');
  await panel.locator('input[type=file]').setInputFiles({ name: 'mine.jsonl', mimeType: 'text/plain', buffer: Buffer.from(content) });
  await panel.getByText('What is in it').waitFor();
  await panel.locator('dl').getByText('held out').waitFor();
  const stats = await panel.locator('dl').innerText();
  assert.match(stats, /Examples\s+14/);
  assert.match(stats, /Duplicates\s+1/);
  assert.match(stats, /1 held out/);
  assert.match(await panel.locator('.warn').first().innerText(), /2 lines cannot be used\s+line 6: not JSON.*\s+line 14: the completion is empty/s);
  assert.equal(await panel.locator('.example mark').first().innerText(), ' says meow, and runs away.');
  await checkLooks(page, 'data');
  assert.equal(await page.evaluate('globalThis.hacked'), undefined);

  await page.evaluate('lab.set({ steps: 4, method: "prompt" })');
  await panel.getByRole('button', { name: 'Use it and train' }).click();
  await until(page, 'lab.run?.status === "done"');
  assert.deepEqual(
    await page.evaluate('[lab.run.task, lab.run.losses.length, lab.task.splits.train.length, lab.task.splits.validation.length]'),
    ['own-data', 4, 13, 1],
  );
  assertClean();
});

test('paste and drop, a file that is no text, a csv', { timeout: 240_000 }, async () => {
  const { page, panel } = await site.open({}, { permissions: ['clipboard-read', 'clipboard-write'] });
  const area = panel.getByLabel('Or paste text:');

  // What is pasted is checked without leaving the field, and so is what is typed into it.
  await page.evaluate(
    (text) => navigator.clipboard.writeText(text),
    '{"prompt": "The cat", "completion": " says arr."}\n{"prompt": "The dog", "completion": " barks."}',
  );
  await area.focus();
  await page.keyboard.press('Control+V');
  assert.match(await page.evaluate('panel.text'), /barks/, 'at once, not after a rest');
  await panel.getByText('pasted text is read as jsonl').waitFor();
  await panel.locator('dl').getByText('2', { exact: true }).first().waitFor();
  await page.keyboard.type('\n{"prompt": "A", "completion": " b"}');
  await panel.locator('dl dd', { hasText: /^3/ }).first().waitFor();
  assert.equal(await area.evaluate((/** @type {any} */ node) => node.getRootNode().activeElement === node), true, 'the field was never left');
  assert.equal(await panel.getByRole('button', { name: 'Use it and train' }).isEnabled(), true);

  await area.fill('Once upon a time there was a very small ship.');
  await area.blur();
  await panel.getByText('Plain text: every token is learned but the first of each example').waitFor();
  await panel.getByText('Fewer than 10 examples').waitFor();

  await panel.locator('input[type=file]').setInputFiles({ name: 'photo.txt', mimeType: 'text/plain', buffer: Buffer.from([72, 105, 10, 255, 254]) });
  await panel.getByRole('alert').filter({ hasText: 'line 2' }).waitFor();

  await page.evaluate(() => {
    const transfer = new DataTransfer();
    transfer.items.add(new File(['prompt,completion\n"Hi, you"," arr"\n,\nThe dog," barks"\n'], 'table.csv'));
    const place = /** @type {any} */ (globalThis).panel.renderRoot.querySelector('.drop');
    place.dispatchEvent(new DragEvent('drop', { dataTransfer: transfer, bubbles: true, cancelable: true }));
  });
  await panel.getByText('table.csv is read as csv').waitFor();
  await panel.getByText('What is in it').waitFor();
  assert.match(await panel.locator('dl').innerText(), /Examples\s+2/);
});
