// The coach: its rule for each kind of curve, the suggestion as one click, never by itself.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { checkLooks, startPanel, until } from './lib/panel-page.mjs';
import { eventually } from './lib/qa-site.mjs';

/** @type {Awaited<ReturnType<typeof startPanel>>} */
let site;
before(async () => { site = await startPanel('coach'); });
after(() => site.close());

/** A run with these curves, put into the lab as if it had been trained. @param {string} curve @param {string} held @param {string} [options] */
const pretend = (curve, held, options = '{ rank: 32, alpha: 64 }') => `(async () => {
  await lab.ready();
  const losses = Array.from({ length: 60 }, (_, i) => ({ step: i + 1, loss: (${curve})(i / 59) }));
  const validations = [10, 20, 30, 40, 50, 60].map((step) => ({ step, loss: (${held})(step / 60), bits_per_byte: 1 }));
  lab.run = { id: (globalThis.made = (globalThis.made ?? 0) + 1), task: 'pirate', model: lab.state.model, method: 'lora', options: ${options},
    train: { steps: 60, lr: 0.01, batch_size: 8 }, seed: 1, trainable: 1, total: 2, base_loss: 4, losses, validations,
    sample: { before: '', after: '', prompt: '' }, seconds: 1, score: null, status: 'done', adapter: null };
  lab.runs = [lab.run];
  lab.emit('run', lab.run);
})()`;

test('over-fitting: rank down, applied by one click only', { timeout: 240_000 }, async () => {
  const { page, panel, assertClean } = await site.open();
  await panel.getByText('Train first').waitFor();
  await page.evaluate(pretend('(x) => 3 - 2.5 * x', '(x) => 2.5 + (x - 0.4) ** 2 * 3'));
  await panel.getByText('over-fitting').first().waitFor();
  await panel.getByText('Suggestion: Rank r from 32 to 4. Alpha goes with it, from 64 to 8: the strength alpha / r stays 2').waitFor();
  assert.deepEqual(await page.evaluate('lab.state.options'), {}, 'nothing changes by itself');
  await panel.getByText('Why am I told this?').click();
  await eventually(() => panel.locator('li').count(), 7);
  await eventually(() => panel.locator('li.applies').count(), 1);
  await checkLooks(page, 'coach');
  await page.evaluate('lab.set({ lock: ["rank"] })');
  await eventually(() => panel.getByRole('button', { name: 'Apply', exact: true }).isDisabled(), true, 'what a teacher locked stays');
  await page.evaluate('lab.set({ lock: [] })');
  await panel.getByRole('button', { name: 'Apply', exact: true }).click();
  const { rank, alpha } = await page.evaluate('lab.state.options');
  assert.deepEqual({ rank, alpha }, { rank: 4, alpha: 8 }, 'the change is as strong as it was');
  await panel.getByText('Rank r is now 4, alpha 8.').waitFor();
  // Where alpha may not be changed, or has its own rule, the advice is about the rank alone.
  for (const [lock, options] of /** @type {const} */ ([
    ['["alpha"]', '{ rank: 32, alpha: 64 }'], ['[]', '{ rank: 32, alpha: 64, use_rslora: true }'],
  ])) {
    await page.evaluate(`lab.set({ lock: ${lock} })`);
    await page.evaluate(pretend('(x) => 3 - 2.5 * x', '(x) => 2.5 + (x - 0.4) ** 2 * 3', options));
    await panel.getByText('Suggestion: Rank r from 32 to 4.', { exact: true }).waitFor();
    await panel.getByRole('button', { name: 'Apply', exact: true }).click();
    assert.equal(await page.evaluate('lab.state.options.alpha'), 64);
  }
  assertClean();
});

test('over-fitting for real: one click goes back to the best step, and the words with it', { timeout: 400_000 }, async () => {
  const { page, panel, assertClean } = await site.open();
  await page.evaluate(
    `(lab.set({ model: 'stories-300k', task: 'words-to-story', method: 'lora', steps: 40, batch_size: 4, lr: 0.02, seed: 2, ` +
      `workers: 1, options: { rank: 16, alpha: 32, target_modules: 'all-linear' } }), lab.ready())`,
  );
  await page.evaluate('lab.train().then(() => {})');
  const { best, last, sample } = /** @type {any} */ (
    await page.evaluate(
      '({ best: { step: lab.run.best.step, loss: lab.run.best.loss }, last: lab.run.validations.at(-1).loss, sample: lab.sample.after })',
    )
  );
  assert.ok(best.loss < last);
  await checkLooks(page, 'coach-back');
  await panel
    .getByRole('button', {
      name: `Go back to step ${best.step} (held-out loss ${best.loss.toFixed(3)} instead of ${last.toFixed(3)})`,
    })
    .click();
  await panel.getByText(`The model holds run 1 as it was after step ${best.step}`).waitFor();
  assert.equal(await page.evaluate('lab.during(null, () => lab.session.evaluate({ split: "validation" })).then(({ loss }) => loss)'), best.loss);
  assert.deepEqual(
    await page.evaluate('[lab.run.id, lab.run.back, lab.runs.length, lab.run.sample.after === lab.sample.after]'),
    [2, { run: 1, step: best.step }, 2, true],
  );
  await checkLooks(page, 'coach-went-back');
  await page.evaluate('lab.load(lab.runs[0]).then(() => {})');
  assert.equal(await page.evaluate('lab.sample.after'), sample, 'and forth again');
  await panel.getByRole('button', { name: 'Go back to step' }).waitFor();
  await page.evaluate('(delete lab.run.best, lab.emit("run", lab.run))');
  await panel.getByText(/Its weights are no longer there/).waitFor();
  await page.evaluate('(lab.run.best_kept = false, lab.emit("run", lab.run))');
  await panel.getByText(/large for the memory there is/).waitFor();
  assertClean();
});

test('diverging with a loss that is no number; under-fitting; apply and train', { timeout: 400_000 }, async () => {
  const { page, panel } = await site.open();
  await page.evaluate(pretend('(x) => x > 0.8 ? NaN : 3 - x', '() => 3'));
  await panel.getByText('the training diverges').first().waitFor();
  await panel.getByText(/Learning rate from 0.01 to 0.0033/).waitFor();
  await page.evaluate(pretend('(x) => 3 - 0.01 * x', '() => 3', '{ rank: 4, alpha: 8 }'));
  await panel.getByText('under-fitting').first().waitFor();
  await panel.getByText('Suggestion: Rank r from 4 to 16.').waitFor();
  await panel.getByRole('button', { name: 'Apply and train' }).click();
  await until(page, 'lab.run?.options.rank === 16 && lab.run.losses.length > 1');
  await page.evaluate('lab.stop()');
});
