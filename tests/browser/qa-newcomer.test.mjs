// The first minute of somebody who has never seen the page, with the page's own presets and the default model: read,
// train, compare, train even less, merge. Times are printed; PEFTLAB_BUDGETS=1 makes them count (30 s to a trained
// model, 60 s to a merged one, of which the reader needs some).
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { screenshot } from './lib/browser.mjs';
import { eventually, lab, says, siteAndBrowser, until } from './lib/qa-site.mjs';

const own = siteAndBrowser();

test('the first minute: recorded run, training, before and after, an even smaller method, merging', { timeout: 900_000 }, async (context) => {
  const began = Date.now();
  const times = /** @type {[string, number][]} */ ([]);
  const mark = (/** @type {string} */ what) => times.push([what, (Date.now() - began) / 1000]);
  const { page, assertClean } = await own.browser.open(own.site.url, { viewport: { width: 1280, height: 900 } });
  await page.getByText(/Recorded run/).first().waitFor();
  await says(() => page.locator('peft-sample blockquote.after').innerText(), /\w/);
  mark('recorded run to read');
  const promised = await page.locator('.left #train').innerText();
  await until(page, 'lab.status === "ready"');
  mark('ready');
  // What is needed stands on the first screen.
  const train = page.locator('.left #train');
  const box = await train.boundingBox();
  assert.ok(box && box.y + box.height <= 900, 'the train button is on the first screen');
  const expected = page.locator('.left peft-train .line', { hasText: /^about .* on this machine/ });
  await expected.waitFor();
  const about = await expected.innerText(); // told before the first run, from a trial step
  await page.evaluate(() => {
    const { lab } = /** @type {any} */ (document.querySelector('peft-playground'));
    /** @type {any} */ (globalThis).texts = [];
    lab.addEventListener('sample', (/** @type {any} */ e) => {
      if (e.detail.when === 'during') /** @type {any} */ (globalThis).texts.push(e.detail.step);
    });
  });
  await eventually(() => train.innerText(), promised, 'the steps were right before the engine was there');
  await page.locator('peft-counter [part="chapter"]', { hasText: '4,194,304' }).waitFor(); // the chapter's number, by the engine
  await says(() => page.locator('peft-counter [part="narrow"]').innerText(), /all seven matrices of each layer/);
  const shift = await page.evaluate(() => new Promise((resolve) => {
    new PerformanceObserver((list) =>
      resolve(list.getEntries().reduce((sum, entry) => sum + /** @type {any} */ (entry).value, 0)),
    ).observe({ type: 'layout-shift', buffered: true });
    setTimeout(resolve, 500, 0);
  }));
  context.diagnostic(`layout shift until ready ${shift.toFixed(3)}`);
  assert.ok(shift < 0.1, `the page jumped while it loaded: ${shift}`);
  await eventually(() => train.innerText(), `Train ${await lab(page, 'lab.preset.steps')} steps`, 'the preset says how long');
  await train.click();
  await until(page, 'lab.run?.losses.length > 0');
  mark('loss moves');
  const stop = page.locator('.left button', { hasText: 'Stop' });
  await eventually(() => stop.isEnabled(), true, 'Stop is always in reach');
  await until(page, 'lab.run?.status === "done"', 400_000);
  mark('LoRA trained');
  const run = await lab(
    page,
    '({ steps: lab.run.losses.length, base: lab.run.base_loss, held: lab.run.validations.at(-1).loss, seconds: ' +
      'lab.run.seconds, trainable: lab.run.trainable })',
  );
  assert.ok(run.held < run.base - 0.3, `held-out loss ${run.held} of ${run.base}`);
  await page.locator('peft-sample mark').first().waitFor(); // changed words are marked
  assert.ok((await page.evaluate('texts.length')) >= 3, 'the text was refreshed on the way');
  await page.locator('peft-coach').waitFor();
  await page.locator('peft-next-step button').first().waitFor();
  await page.locator('peft-next-step button', { hasText: /merge/i }).click();
  await page.locator('#merge').click();
  await page.locator('#difference').waitFor();
  mark('merged');
  assert.ok(Number(await page.locator('#difference').getAttribute('data-value')) < 1e-3);
  const take = page.locator('peft-next-step peft-takeaway');
  await eventually(() => take.locator('li').count(), 3, 'three lines say what it showed');
  await take.getByText('Which method leaves no extra inference work once merged?').waitFor();
  await take.getByRole('button', { name: 'LoRA' }).click();
  await take.getByText('Right.').waitFor();
  await page.locator('peft-next-step button', { hasText: 'Next: compare all five' }).waitFor();
  mark('question answered');
  await page.locator('peft-next-step button', { hasText: /even less/i }).click();
  await until(page, 'lab.description.modules[0]?.method === "prompt"');
  assert.ok((await lab(page, 'lab.description.counts.trainable')) < run.trainable, 'a prompt trains fewer numbers');
  await eventually(
    () => page.locator('peft-runs', { hasText: 'In the model' }).count(),
    0,
    'the trained LoRA is not in the model any more, and the list does not say so',
  );
  mark('even less');
  await screenshot(page, 'qa-newcomer', { fullPage: true });
  context.diagnostic(
    `${about}; ${times.map(([what, at]) => `${what} ${at.toFixed(1)} s`).join(', ')}; ${run.steps} steps ` +
      `in ${run.seconds.toFixed(1)} s, held-out loss ${run.base.toFixed(2)} -> ${run.held.toFixed(2)}`,
  );
  const at = Object.fromEntries(times);
  if (process.env.PEFTLAB_BUDGETS) {
    assert.ok(at['LoRA trained'] < 30, `trained after ${at['LoRA trained']} s`);
    assert.ok(at.merged < 60, `merged after ${at.merged} s`);
  }
  assertClean();
});
