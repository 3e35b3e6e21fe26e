// Merge: what the panel claims is what the engine does; unmerging is exact; what cannot be merged says why, is timed, and can be distilled.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { realised, toBf16, toF16 } from '../../web/lib/merging.js';
import { checkLooks, startPanels } from './lib/panels.mjs';
import { eventually, says } from './lib/qa-site.mjs';

/** @type {Awaited<ReturnType<typeof startPanels>>} */
let site;
before(async () => { site = await startPanels('merge'); });
after(() => site.close());

test('16 bits: rounding to even, overflow, subnormals; a large change survives, a small one does not', () => {
  assert.deepEqual([1.00390625, 1.01171875, -0.1, 0].map(toBf16), [1, 1.015625, -0.10009765625, 0]);
  assert.deepEqual([0.1, 65519, 65520, -65520, 5.9604644775390625e-8, 2.9e-8, 1 + 2 ** -11, 1 + 3 * 2 ** -11].map(toF16), [
    0.0999755859375, 65504, Infinity, -Infinity, 5.9604644775390625e-8, 0, 1,
    1 + 2 ** -9,
  ]);
  // The figures of PEFT.md for W ~ N(0, 0.02): about 3 % error at 1e-3, 33 % at 1e-4, 90 % at 1e-5.
  let state = 7;
  const uniform = () => (state = (state * 16807) % 2147483647) / 2147483647;
  const normal = () => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform());
  const base = Float32Array.from({ length: 40_000 }, () => toBf16(0.02 * normal()));
  const delta = Float32Array.from(base, () => 1e-3 * normal());
  const errors = [1, 0.1, 0.01].map((scale) => realised([{ base, delta }], toBf16, scale).error);
  assert.ok(errors[0] > 0.02 && errors[0] < 0.05 && errors[1] > 0.25 && errors[1] < 0.42 && errors[2] > 0.8, String(errors));
  assert.ok(realised([{ base, delta }], Math.fround).error < 1e-4);
});

test('merging a trained LoRA: same logits, time in turns, files, exact unmerge, rounding lesson', { timeout: 600_000 }, async () => {
  const { page, assertClean } = await site.open({ method: 'lora', steps: 5 });
  await page.waitForFunction(() => globalThis.lab.status === 'ready');
  await eventually(() => page.locator('#merge').isDisabled(), true, 'nothing to merge yet');
  await page.evaluate(() => globalThis.lab.train());
  const weights = () =>
    page.evaluate(async () =>
      globalThis.lab.work(async (session) => Array.from((await session.logits({ text: 'Once upon a time' })).logits)),
    );
  const trained = await weights();
  await page.locator('#merge').click();
  await page.locator('#difference').waitFor();
  const report = await page.evaluate(() => globalThis.lab.merged);
  assert.ok(report.max_logit_difference > 0 && report.max_logit_difference < 1e-3 * report.max_logit, JSON.stringify(report));
  assert.equal(report.same_choice, 1);
  assert.ok(report.before.runs >= 30 && report.after.runs >= 30);
  assert.ok(report.before.low <= report.before.median && report.before.median <= report.before.high);
  assert.ok(report.bytes.adapter > 4 * report.numbers && report.bytes.model > 600_000);
  assert.ok(report.residual_of_subtracting > 0 && report.residual_of_subtracting < 1e-6);
  const merged = await weights();
  assert.ok(merged.some((v, i) => v !== trained[i]), 'rounding differs');

  await page.locator('summary', { hasText: '16-bit' }).click();
  await page.locator('#rounding').click();
  await page.locator('#error-bf16').waitFor();
  const errors = () =>
    page.evaluate(() => {
      const at = (name) =>
        Number(
          globalThis.panel.renderRoot.querySelector('peft-merge-rounding').renderRoot.querySelector(`#error-${name}`).dataset
            .value,
        );
      return [at('fp32'), at('fp16'), at('bf16')];
    });
  const [fp32, fp16, bf16] = await errors();
  assert.ok(fp32 < fp16 && fp16 < bf16, `${fp32} ${fp16} ${bf16}`);
  await page.locator('#scale').fill('-3');
  await eventually(async () => (await errors())[2] > bf16, true);
  // On a phone the equation breaks before a sign, never after it.
  await page.setViewportSize({ width: 320, height: 640 });
  const apart = () => page.locator('.sign').evaluateAll((signs) =>
    signs
      .filter((sign) => {
        const [a, b] = [sign, sign.nextElementSibling].map((node) => node.getBoundingClientRect());
        return b.left < a.right || a.bottom < b.top || a.top > b.bottom;
      })
      .map((sign) => sign.textContent),
  );
  await eventually(async () => [await page.locator('.sign').count(), await apart()], [3, []]);
  await page.setViewportSize({ width: 1200, height: 900 });
  await checkLooks(page, 'merge');

  await page.locator('#unmerge').click();
  await page.locator('#merge').waitFor();
  assert.deepEqual(await weights(), trained, 'bit for bit');
  await says(() => page.evaluate(() => globalThis.said.join(' ')), /Unmerged/);
  assertClean();
});

test('what is not W + (α/r)·B·A is not called so: DoRA has no product, full fine-tuning nothing to merge', { timeout: 240_000 }, async () => {
  const { page, assertClean } = await site.open({ method: 'lora', steps: 2 });
  await page.waitForFunction(() => globalThis.lab.status === 'ready');
  const trained = (settings) => page.evaluate(async (patch) => {
    const { lab } = globalThis;
    lab.set(patch);
    await lab.work(async () => {});
    await lab.train();
  }, settings);
  const maps = () => page.locator('peft-heatmap').evaluateAll((all) => all.map((map) => map.dataset.map));
  await trained({ options: { rank: 4, use_rslora: true } });
  await page.getByText('multiply B·A, times α/√r').waitFor();
  await eventually(maps, ['B', 'A', 'ΔW', 'W', 'W + ΔW']);
  await trained({ options: { rank: 4, use_dora: true } });
  await page.getByText('compute the change ΔW').waitFor();
  await eventually(maps, ['ΔW', 'W', 'W + ΔW']);
  await trained({ method: 'full', options: {} });
  await page.locator('#own', { hasText: "trains the model's own numbers" }).waitFor();
  await eventually(async () => [await page.locator('#merge').count(), await maps()], [0, []]);
  await page.locator('summary', { hasText: '16-bit' }).click();
  await page.locator('#rounding').click();
  await page.locator('#error-bf16').waitFor();
  assertClean();
});

test('an adapter cannot be merged: why, the overhead of all methods, and a LoRA distilled from it that can', { timeout: 600_000 }, async () => {
  const { page, assertClean } = await site.open({ method: 'adapter', steps: 12 });
  await page.waitForFunction(() => globalThis.lab.status === 'ready');
  await page.getByText('bend their input').first().waitFor();
  await page.evaluate(() => globalThis.lab.train());
  await page.evaluate(() => { globalThis.panel.renderRoot.querySelector('peft-merge-overhead').rounds = 4; });
  await page.locator('#overhead').click();
  await page.waitForFunction(
    () => {
      const part = globalThis.panel.renderRoot.querySelector('peft-merge-overhead');
      return part.rows.size === 5 && !part.work.running;
    },
    undefined,
    { timeout: 240_000 },
  );

  await page.evaluate(() => { globalThis.panel.renderRoot.querySelector('peft-merge-distil').steps = 25; });
  await page.locator('#distil').click();
  await page.locator('#distil-load').waitFor({ timeout: 240_000 });
  const { teacher, student, base } = await page.evaluate(() => globalThis.panel.renderRoot.querySelector('peft-merge-distil').result);
  assert.ok(teacher.kl === 0 && teacher.agree === 1);
  assert.ok(student.kl < base.kl && student.loss < base.loss, JSON.stringify({ teacher, student, base }));
  await checkLooks(page, 'merge-distil');
  await page.locator('#distil-load').click();
  await page.waitForFunction(() => globalThis.lab.description.modules[0]?.method === 'lora' && globalThis.lab.status === 'ready');
  await page.locator('#merge').click();
  await page.locator('#difference').waitFor();
  assertClean();
});
