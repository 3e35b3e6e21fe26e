// The weights of full fine-tunings, held up to a limit, and those at a run's best step: they are the very weights, and
// going back is as if training had stopped there.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Lab } from '../../web/lib/lab.js';
import { mayKeepBest, Weights } from '../../web/lib/weights.js';
import { sha, weightHash } from './lib/session.mjs';

const models = join(dirname(fileURLToPath(import.meta.url)), '../../models');
const settings = { steps: 24, batch_size: 4, workers: 1 };
/** Nine examples to learn from, ten times over, whatever base and presets are: the held-out loss is best on the way. */
const OVERFITS = /** @type {Record<string, any>} */ ({
  lora: { lr: 0.02, seed: 1, options: { rank: 8, alpha: 16, target_modules: 'all-linear' } },
  prefix: { lr: 0.2, seed: 2, options: { num_virtual_tokens: 8, prefix_projection: true } },
  full: { lr: 0.01, seed: 2, options: {} },
});

/** @type {Lab} */
let lab;
before(async () => {
  lab = new Lab({ base: models });
  lab.set({ ...settings, model: 'stories-300k', task: 'pirate' });
  await lab.ready();
  const few = lab.task.splits.train.slice(0, 10);
  await lab.useData(few.map((/** @type {any} */ { prompt, completion }, /** @type {number} */ i) => ({ prompt, completion, line: i + 1 })), 'few');
});
after(() => lab.close());
const idle = () => lab.during(null, async () => {});
const hash = () => weightHash(/** @type {any} */ (lab.session));

for (const [method, wish] of Object.entries(OVERFITS)) {
  test(`${method}: back to the best step is the run stopped at that step, bit for bit`, async () => {
    lab.set({ ...settings, method, ...wish });
    await idle();
    const run = /** @type {import('../../web/lib/runs.js').Run} */ (await lab.train());
    const held = async () => (await lab.session?.evaluate({ split: 'validation' }))?.loss;
    const [hashEnd, end] = [await hash(), { held: await held(), sample: lab.sample.after }];
    const trained = run.validations.filter(({ step }) => step > 0);
    const best = trained.reduce((low, at) => (at.loss < low.loss ? at : low));
    assert.ok(best.step < 24, `the best step is the last one: ${JSON.stringify(trained)}`);
    assert.deepEqual([run.best?.step, run.best?.loss], [best.step, best.loss]);
    const back = await lab.back(run);
    const [hashBack, then] = [await hash(), { held: await held(), sample: lab.sample.after }];
    assert.notEqual(hashBack, hashEnd);
    assert.equal(then.held, best.loss);
    assert.deepEqual(
      [lab.run, back.back, back.status, back.validations.at(-1)?.loss, back.losses.length],
      [back, { run: run.id, step: best.step }, 'stopped', best.loss, best.step],
    );
    assert.deepEqual([run.losses.length, run.status], [24, 'done'], 'the run itself stays as it was');

    const stopped = await stepTo(best.step);
    assert.equal(stopped.losses.length, best.step);
    assert.equal(await hash(), hashBack);
    assert.deepEqual(stopped.adapter, back.adapter);

    assert.equal(run.best?.step, method === 'full' ? undefined : best.step, 'large ones go when the next run begins');
    await lab.load(run);
    assert.deepEqual({ held: await held(), sample: lab.sample.after }, end);
    await lab.load(back);
    assert.deepEqual({ held: await held(), sample: lab.sample.after }, then);
  });
}

/** The run of the settings, stopped after a step. @param {number} last @returns {Promise<import('../../web/lib/runs.js').Run>} */
async function stepTo(last) {
  await lab.reset();
  for (let step = 0; step < last; step++) await lab.step();
  await lab.stop();
  return /** @type {any} */ (lab.run);
}

test('full fine-tuning: its run comes back after others, by loading and by undo; merging and exporting give the same files', async () => {
  lab.set({ ...settings, steps: 4, method: 'full', lr: 0.002, options: {} });
  await idle();
  const run = /** @type {any} */ (await lab.train());
  assert.equal(run.adapter, null);
  assert.ok(run.weights > 4 * run.trainable, 'all weights, and how to build them');
  const shown = { hash: await hash(), sample: lab.sample.after };
  const merged = async () => {
    await lab.session?.merge();
    const files = await lab.session?.exportModel('F32');
    await lab.session?.unmerge();
    return files;
  };
  const files = await merged();
  lab.set({ method: 'prompt', lr: 0, steps: 2 });
  await idle();
  await lab.train();
  await lab.load(run);
  assert.deepEqual({ hash: await hash(), sample: lab.sample.after }, shown);
  assert.deepEqual(await merged(), files);
  await lab.reset();
  assert.notEqual(await hash(), shown.hash);
  await lab.undo();
  assert.equal(await hash(), shown.hash);
});

test('more than is held: the oldest run lets its weights go, pinned ones last, and it is said; too large ones are not kept', async () => {
  lab.weights = new Weights();
  lab.runs = [];
  const notices = /** @type {string[]} */ ([]);
  const listen = (/** @type {Event} */ event) => notices.push(/** @type {CustomEvent} */ (event).detail);
  lab.addEventListener('notice', listen);
  lab.set({ ...settings, steps: 1, method: 'full', lr: 0.002, options: {} });
  await idle();
  const first = /** @type {any} */ (await lab.train());
  lab.weights.limit = 2.5 * first.weights;
  const second = /** @type {any} */ (await lab.train());
  first.pinned = true;
  const third = /** @type {any} */ (await lab.train());
  assert.deepEqual([Boolean(first.weights), second.weights, Boolean(third.weights)], [true, undefined, true]);
  assert.deepEqual(notices, ['notice.weights_gone']);
  await assert.rejects(lab.load(second), { code: 'state' });
  await lab.load(first);
  lab.weights.limit = 1000;
  assert.equal(/** @type {any} */ (await lab.train()).weights, undefined);
  assert.deepEqual(notices, ['notice.weights_gone', 'notice.weights_large']);
  lab.removeEventListener('notice', listen);
});

test('the best step is kept where memory allows', () => {
  const where = { workers: 1, limit: 100e6 };
  const run = (/** @type {number} */ trainable) => /** @type {any} */ ({ trainable });
  assert.equal(mayKeepBest(run(1000), 99e6, where), true, 'a small adapter always');
  assert.equal(mayKeepBest(run(5e6), 50e6, where), true);
  assert.equal(mayKeepBest(run(5e6), 70e6, where), false, 'the engine is full');
  assert.equal(mayKeepBest(run(5e6), 50e6, { ...where, device: 0.25 }), false, 'the device is small');
  assert.equal(mayKeepBest(run(50e6), 1e6, { workers: 1 }), false, 'more than is ever held');
});

test('Weights: those of an earlier visit count, and are asked for', async () => {
  const weights = new Weights();
  weights.limit = 100;
  const asked = /** @type {any[]} */ ([]);
  weights.stored = async (run) => { asked.push(run.id); return new Uint8Array(run.weights ?? 0); };
  const old = /** @type {any} */ ({ id: 1, weights: 60 });
  const run = /** @type {any} */ ({ id: 2 });
  assert.equal((await weights.of(old))?.length, 60);
  assert.equal(await weights.of(run), undefined);
  assert.deepEqual(weights.keep(run, new Uint8Array(50), [old, run]), [old]);
  assert.deepEqual([old.weights, run.weights, asked], [undefined, 50, [1]]);
  assert.equal((await weights.of(run))?.length, 50);
});

const CHANGED = /** @type {Record<string, any>} */ ({
  'LoRA from PiSSA': { method: 'lora', options: { rank: 4, alpha: 8, init: 'pissa', target_modules: 'q_proj,v_proj' } },
  'LoRA from OLoRA': { method: 'lora', options: { rank: 4, alpha: 8, init: 'olora', target_modules: 'q_proj,v_proj' } },
  'a prefix from a network': { method: 'prefix', options: { num_virtual_tokens: 4, prefix_projection: true } },
});
for (const [name, wish] of Object.entries(CHANGED)) {
  test(`${name}: its run comes back as the module it was, not as its files hold it, and trains on the same`, async () => {
    lab.weights = new Weights();
    lab.set({ ...settings, steps: 4, lr: 0.01, seed: 1, ...wish });
    await idle();
    const run = /** @type {any} */ (await lab.train());
    const session = /** @type {any} */ (lab.session);
    const shown = async () => {
      const { counts, modules: [{ method, options, parameters }] } = await lab.describe();
      return { counts, method, options, parameters, hash: await hash(), sample: lab.sample.after };
    };
    const further = async () => {
      const [{ id }] = (await session.describe()).modules;
      await session.train({ steps: 3, lr: 0.01, batch_size: 4, seed: 5 });
      return sha(await session.tensor(id, (await session.describe()).modules[0].tensors[0].name));
    };
    const before = await shown();
    assert.ok(run.adapter && run.weights > 0);
    const trained = await further();
    await lab.reset();
    await lab.load(run);
    assert.deepEqual(await shown(), before);
    assert.equal(await further(), trained);
    lab.weights = new Weights(); // let go: the files still give the same text
    delete run.weights;
    await lab.load(run);
    assert.equal(lab.sample.after, before.sample);
    assert.notEqual((await lab.describe()).counts.trainable, before.counts.trainable);
  });
}
