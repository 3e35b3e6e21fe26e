// Experiments beside a lab (lib/aside.js, sweep.js, combine.js, distill.js, mixing.js) without a page: they leave the lab alone, survive a run that
// diverges, and work on the visitor's own text.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { aside, recipe } from '../../web/lib/aside.js';
import { ablation, putTogether, runAblation } from '../../web/lib/combine.js';
import { distil } from '../../web/lib/distill.js';
import { Lab } from '../../web/lib/lab.js';
import { AVERAGE, candidates, Mixer, sources } from '../../web/lib/mixing.js';
import { measuringWork, plan, points, sweep, workOf } from '../../web/lib/sweep.js';
import { placeLabels } from '../../web/elements/compare-plot.js';

/** @type {Lab} */
let lab;
before(async () => {
  lab = new Lab({ base: fileURLToPath(new URL('../../models', import.meta.url)), load: { inThread: true } });
  lab.set({ model: 'stories-300k', task: 'mood', method: 'lora', steps: 8 });
  await lab.ready();
});
after(() => lab.close());

test('a sweep: one rate that diverges is a failed run, not the end; the lab keeps its module', async () => {
  const { id } = lab.description.modules[0];
  const own = await aside(lab);
  const runs = plan(lab, { methods: ['lora', 'prompt'], sizes: 'one', seeds: 1, steps: 4 });
  runs.unshift({ ...runs[0], train: { ...runs[0].train, lr: 1e12 } });
  const done = [];
  const result = await sweep(own, runs, { limit: 4, onProgress: (work) => done.push(work) });
  assert.equal(done[0], measuringWork(own.task, runs[0].train.batch_size, 4), 'the model alone is measured first');
  assert.ok(Math.abs(done.at(-1) - workOf(runs, own.task, 4)) < 1e-9, 'and in the end all is done');
  assert.deepEqual([result.split, result.items], ['test', own.task.splits.test.length]);
  assert.ok(result.base.loss > 0 && result.total === 312000);
  assert.ok(runs[0].status === 'failed' || !Number.isFinite(runs[0].loss) || runs[0].loss > result.base.loss, JSON.stringify(runs[0]));
  assert.deepEqual(runs.slice(1).map((run) => run.status), ['done', 'done']);
  assert.ok(points(result.runs, 'loss').every((point) => Number.isFinite(point.mean)));
  own.close();
  assert.equal((await lab.session.describe()).modules[0].id, id);
});

test('sizes: three of each method, and the strength of a LoRA stays the same at every rank', () => {
  const runs = plan(lab, { methods: ['lora', 'full'], sizes: 'three', seeds: 2, steps: 0 });
  assert.equal(runs.length, 3 * 2 + 2);
  assert.equal(new Set(runs.filter((run) => run.method === 'lora').map((run) => run.options.alpha / run.options.rank)).size, 1);
  assert.equal(runs[0].train.steps, recipe(lab, 'lora').train.steps);
});

test('the estimate of a sweep counts what is measured: the model alone and every run, more where more is scored and longer ' +
  'answers are written', () => {
  const runs = plan(lab, { methods: ['lora'], sizes: 'one', seeds: 2, steps: 5 });
  const { task } = lab;
  const one = measuringWork(task, runs[0].train.batch_size, 24);
  assert.ok(one > measuringWork(task, runs[0].train.batch_size, 0) && measuringWork(task, runs[0].train.batch_size, 0) > 0);
  assert.ok(measuringWork({ ...task, generation: { ...task.generation, max_new_tokens: 80 } }, runs[0].train.batch_size, 24) > one);
  assert.ok(Math.abs(workOf(runs, task, 24) - (2 * 5 + 3 * one)) < 1e-9);
  assert.equal(workOf([], task, 24), 0);
});

test('labels of a chart: none covers a mark or another label, none leaves the plot; two at one place stand apart', () => {
  const marks = [
    { x: 380, y: 50, text: 'Full' },
    { x: 380, y: 50, text: 'Full (chapter)' },
    { x: 60, y: 50, text: 'LoRA 8' },
    { x: 90, y: 42, text: 'Prefix' },
    { x: 5, y: 90, text: 'Prompt' },
  ];
  const places = placeLabels(marks, 400);
  assert.deepEqual(places.slice(0, 2).map(({ anchor, dy }) => [anchor, Math.sign(dy)]), [['end', -1], ['end', 1]]);
  assert.deepEqual([places[2].anchor, places[4].anchor], ['end', 'start'], 'away from the mark beside it; inside the plot');
  assert.equal(placeLabels([{ x: 20, y: 10, text: 'a label much too long' }], 60)[0], null, 'no room, no label');
});

test('ready adapters bear the title of their task in the language of the page', () => {
  const fake = {
    state: { model: 'm' },
    runs: [],
    index: { adapters: [{ name: 'mood-lora', method: 'lora', model: 'm', task: 'mood', title: 'How does it feel?' }] },
    adapterPlace: () => '',
  };
  assert.deepEqual(
    sources(
      fake,
      () => '',
      (task) => ({ mood: 'Wie fühlt es sich an?' })[task],
    ).map(({ name }) => name),
    ['Wie fühlt es sich an? (mood-lora)'],
  );
});

test('adapters of one shape are averaged, in proportion to their weights; one that is alone is named, not offered', async () => {
  const own = new Lab({ base: fileURLToPath(new URL('../../models', import.meta.url)), load: { inThread: true } });
  own.set({ model: 'stories-300k', task: 'mood', method: 'adapter', options: { bottleneck_size: 4 }, steps: 2 });
  await own.ready();
  const train = async (/** @type {Record<string, any>} */ change) => {
    own.set(change);
    await own.work(async () => {});
    return own.train();
  };
  const [a, b] = [await train({}), await train({ seed: 7 })];
  await train({ options: { bottleneck_size: 8 } });
  const { mixed, alone } = candidates(own, (run) => `run ${run.id}`, (task) => task);
  assert.deepEqual(mixed.map(({ key }) => key), [`run ${a.id}`, `run ${b.id}`]);
  assert.deepEqual(alone.map(({ key }) => key), ['run 3']);
  const mixer = new Mixer(await aside(own));
  await mixer.load(mixed);
  const logits = async (/** @type {number[]} */ weights) => {
    const { exact, error, rank } = await mixer.apply(AVERAGE, weights);
    assert.deepEqual([exact, error, rank], [false, NaN, 0], 'an average is no sum of changes');
    return Array.from((await mixer.session.logits({ text: 'Once' })).logits);
  };
  const [one, other, both] = [await logits([1, 0]), await logits([0, 2]), await logits([1, 1])];
  assert.notDeepEqual(one, other);
  assert.deepEqual(await logits([0.5, 0.5]), both, 'in proportion');
  assert.deepEqual(await logits([1, 0]), one);
  await assert.rejects(mixer.apply(AVERAGE, [1, -1]), { code: 'range' });
  const { module, files } = await mixer.keep(AVERAGE, [1, 1]);
  assert.equal(module.method, 'adapter');
  mixer.own.close();
  const again = await own.work(async (session) => {
    await session.clear();
    await session.importAdapter(files, { name: 'kept' });
    return Array.from((await session.logits({ text: 'Once' })).logits);
  });
  assert.deepEqual(again, both, 'what is kept is what was heard');
  own.close();
});

test('own text: a lab aside has it, and can be compared and combined on it', async () => {
  const own = new Lab({ base: fileURLToPath(new URL('../../models', import.meta.url)), load: { inThread: true } });
  own.set({ model: 'stories-300k', task: 'mood' });
  await own.ready();
  await own.useData(Array.from({ length: 20 }, (_, i) => ({ prompt: `Question ${i}:`, completion: ` answer ${i % 4}.`, line: i + 1 })), 'mine');
  const beside = await aside(own);
  assert.equal(beside.task.name, 'own-data');
  const { rows, alone } = await runAblation(beside, ablation(own, ['lora', 'prompt'], 6), { seeds: 1, limit: 4 });
  assert.deepEqual(rows.map((row) => [row.losses.length, row.scores.length]), [[1, 0], [1, 0], [1, 0]]);
  assert.ok(rows[2].losses[0] < alone.loss);
  await putTogether(own, rows[2].files);
  assert.deepEqual(own.description.modules.map((module) => module.method), ['lora', 'prompt']);
  beside.close();
  own.close();
});

test('distilling brings a LoRA nearer to its teacher than the bare model is; mixing with weight 1 and 0 is that LoRA', async () => {
  lab.set({ method: 'adapter', steps: 12 });
  await lab.work(async () => {});
  const teacher = await lab.train();
  const own = await aside(lab);
  const made = await distil(own, teacher.adapter, { rank: 4, steps: 20, seed: 1 });
  assert.ok(made.student.kl < made.base.kl, JSON.stringify([made.student, made.base]));
  own.close();

  lab.adopt([
    { ...teacher, id: 50, method: 'lora', options: made.module.options, adapter: made.adapter },
    { ...teacher, id: 51, method: 'lora', options: made.module.options, adapter: made.adapter },
  ]);
  const all = sources(lab, (run) => `run ${run.id}`, (task) => task);
  assert.equal(all.length, 2);
  const mixer = new Mixer(await aside(lab));
  await mixer.load(all);
  await mixer.apply('sum', [1, 0]);
  const one = (await mixer.session.logits({ text: 'Once' })).logits;
  await mixer.apply('sum', [0.25, 0.75]);
  const both = (await mixer.session.logits({ text: 'Once' })).logits;
  assert.ok(one.every((value, i) => Math.abs(value - both[i]) < 1e-3), 'halves of the same LoRA are that LoRA');
  assert.ok(await mixer.loss('mood') < await mixer.baseLoss('mood'));
  mixer.own.close();
});
