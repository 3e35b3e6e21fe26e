// The laboratory behind the page, without a page: train, pause, step, stop, reset, undo, load, merge, settings while training, recovery.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { Lab } from '../../web/lib/lab.js';
import { fromLink } from '../../web/lib/store.js';

const models = join(dirname(fileURLToPath(import.meta.url)), '../../models');
const settings = {
  model: 'stories-300k', task: 'pirate', steps: 12, batch_size: 4, lr: 0.01, workers: 1,
  options: { rank: 8, alpha: 16, target_modules: ['q_proj', 'v_proj'] },
};
/** @type {Lab} */
let lab;
before(async () => {
  lab = new Lab({ base: models });
  lab.set(settings);
  await lab.ready();
});
after(() => lab.close());
/** Until all work begun so far is done. */
const idle = () => lab.during(null, async () => {});

test('ready: model, task, data, the engine\'s count, a sample; nothing trained', () => {
  assert.equal(lab.status, 'ready');
  assert.deepEqual([lab.state.model, lab.state.task], ['stories-300k', 'pirate']);
  assert.equal(lab.description.counts.trainable, 8960);
  assert.ok(lab.sample.prompt && lab.sample.after === '');
  assert.ok(lab.data.find((part) => part.split === 'train').examples > 100);
  assert.equal(lab.run, null);
  assert.equal(lab.canUndo, false, 'what a page begins with is no change');
});

test('warm: the engine starts before its model is known, ready() uses it; closed before that, it ends', async () => {
  const created = /** @type {Worker[]} */ ([]);
  const ended = /** @type {Promise<number>[]} */ ([]);
  const createWorker = () => {
    const worker = new Worker(new URL('../../web/engine/worker.js', import.meta.url));
    created.push(worker);
    ended.push(new Promise((resolve) => { worker.once('exit', resolve); }));
    return worker;
  };
  const own = new Lab({ base: models, load: { createWorker } });
  own.warm();
  own.warm();
  own.set({ ...settings, model: 'stories-300k' });
  await own.ready();
  own.warm();
  assert.equal(created.length, 1);
  assert.equal(own.description.model.parameters > 0, true);
  await own.settled(60_000); // at once
  own.close();
  await ended[0];
  own.warm();
  assert.equal(created.length, 2);
  const from = performance.now();
  await own.settled(100);
  assert.ok(performance.now() - from >= 90, 'an engine on its way is waited for');
  own.close();
  await ended[1];
  await own.settled(60_000);
});

test('train: steps in order, validation from the start, sample, adapter files; the same settings give the same weights', async () => {
  const steps = /** @type {number[]} */ ([]);
  lab.addEventListener('step', (event) => steps.push(/** @type {CustomEvent} */ (event).detail.step), { once: false });
  const run = await lab.train();
  assert.equal(run?.status, 'done');
  assert.deepEqual(steps, Array.from({ length: 12 }, (_, i) => i + 1));
  assert.equal(run?.validations[0].step, 0);
  assert.ok(Math.abs(/** @type {any} */ (run).validations[0].loss - /** @type {any} */ (run).base_loss) < 1e-9, 'an untrained LoRA changes nothing');
  assert.ok(/** @type {any} */ (run).validations.at(-1).loss < /** @type {any} */ (run).base_loss);
  assert.deepEqual(Object.keys(run?.adapter ?? {}), ['adapter_config.json', 'adapter_model.safetensors']);
  const again = await lab.train();
  assert.deepEqual(again?.losses, run?.losses);
  assert.deepEqual(again?.adapter?.['adapter_model.safetensors'], run?.adapter?.['adapter_model.safetensors']);
});

test('merge and unmerge', async () => {
  const words = lab.sample.after;
  const report = await lab.merge();
  assert.ok(report.max_logit_difference < 1e-3 && report.max_logit > 1);
  assert.equal(report.before.runs, 30);
  assert.equal(lab.description.model.merged, true);
  assert.equal(await lab.ask(lab.sample.prompt), words);
  await lab.unmerge();
  assert.equal(lab.merged, null);
  assert.equal(await lab.ask(lab.sample.prompt), words);
});

test('another method starts from its own options; undo brings settings and trained weights back', async () => {
  const { run, sample } = lab;
  lab.set({ method: 'prompt' });
  await idle();
  assert.equal(lab.description.modules[0].method, 'prompt');
  assert.equal(lab.run, null);
  await lab.undo();
  await idle();
  assert.equal(lab.state.method, 'lora');
  assert.equal(lab.run, run);
  assert.equal(lab.sample.after, sample.after);
  await lab.reset();
  assert.equal(lab.run, null);
  await lab.undo();
  assert.equal(lab.run, run);
});

test('undo goes back one change at a time, also past a run that it loads', async () => {
  const { run } = lab;
  lab.set({ method: 'prompt', steps: 3 });
  const prompt = await lab.train();
  lab.set({ task: 'mood' });
  await idle();
  await lab.undo();
  assert.deepEqual([lab.state.task, lab.state.method, lab.run], ['pirate', 'prompt', prompt]);
  await lab.undo();
  assert.deepEqual([lab.state.method, lab.run], ['lora', run]);
  assert.equal(lab.state.steps, settings.steps);
  lab.remove(/** @type {any} */ (prompt));
});

test('a rate stays with its method, unless it is locked; what a loaded run had from its preset does not go along to others', async () => {
  const own = new Lab({ base: models });
  own.set({ model: 'stories-300k', task: 'pirate', workers: 1, steps: 2, lr: 0.02 });
  await own.ready();
  own.set({ method: 'prefix' });
  assert.deepEqual([own.state.steps, own.state.lr, own.train_options.lr], [2, 0, own.preset.lr]);
  own.set({ method: 'lora', lr: 0.02, lock: ['lr'] });
  own.set({ method: 'prompt' });
  assert.equal(own.state.lr, 0.02);
  own.set({ lock: [], lr: 0, batch_size: 3 });
  const run = /** @type {any} */ (await own.train());
  assert.equal(run.train.lr, own.preset.lr);
  own.set({ task: 'mood', method: 'lora', steps: 0, batch_size: 0 });
  await own.load(run);
  assert.deepEqual(['task', 'method', 'steps', 'lr', 'batch_size'].map((key) => own.state[key]), ['pirate', 'prompt', 2, 0, 3]);
  assert.equal(own.train_options.lr, run.train.lr);
  own.close();
});

test('pause, step, go on: the same weights as without; stop keeps them', async () => {
  const whole = /** @type {import('../../web/lib/runs.js').Run} */ (lab.runs.at(-1));
  const pauseAt = (/** @type {Event} */ event) => { if (/** @type {CustomEvent} */ (event).detail.step >= 3) lab.pause(); };
  lab.addEventListener('step', pauseAt);
  await lab.train();
  lab.removeEventListener('step', pauseAt);
  assert.equal(lab.status, 'paused');
  const at = /** @type {any} */ (lab.run).losses.length;
  assert.ok(at >= 3 && at < 12, `paused at ${at}`);
  await lab.step();
  assert.equal(lab.status, 'paused');
  assert.equal(lab.run?.losses.length, at + 1);
  const run = await lab.resume();
  assert.equal(run?.status, 'done');
  assert.deepEqual(run?.losses, whole.losses);
  assert.deepEqual(run?.adapter?.['adapter_model.safetensors'], whole.adapter?.['adapter_model.safetensors']);
  const begun = lab.train();
  await lab.stop();
  assert.equal((await begun)?.status, 'stopped');
  assert.equal(lab.status, 'ready');
});

test('stop: the status leaves training at once, and the last held-out loss is that of the step it stopped at', async () => {
  const { steps } = lab.state;
  lab.set({ steps: 400 });
  const seen = /** @type {string[]} */ ([]);
  const watch = (/** @type {Event} */ event) => seen.push(/** @type {CustomEvent} */ (event).detail);
  const stopAt = (/** @type {Event} */ event) => { if (/** @type {CustomEvent} */ (event).detail.step === 3) lab.stop(); };
  lab.addEventListener('step', stopAt);
  lab.addEventListener('status', watch);
  const run = /** @type {import('../../web/lib/runs.js').Run} */ (await lab.train());
  lab.removeEventListener('step', stopAt);
  lab.removeEventListener('status', watch);
  assert.deepEqual([run.status, seen], ['stopped', ['training', 'busy', 'ready']]);
  const last = run.losses.at(-1)?.step ?? 0;
  assert.ok(last >= 3 && last < 50, `stopped at ${last}, before the first validation on the way`);
  assert.deepEqual(run.validations.map(({ step }) => step), [0, last]);
  assert.equal(run.validations.at(-1)?.loss, (await lab.work((session) => session.evaluate({ split: 'validation' }))).loss);
  const pauseAt = (/** @type {Event} */ event) => { if (/** @type {CustomEvent} */ (event).detail.step === 3) lab.pause(); };
  lab.addEventListener('step', pauseAt);
  await lab.train();
  lab.removeEventListener('step', pauseAt);
  await lab.stop();
  assert.deepEqual([lab.run?.status, lab.run?.validations.at(-1)?.step], ['stopped', lab.run?.losses.at(-1)?.step], 'also after a pause');
  const { session } = lab;
  const evaluate = /** @type {any} */ (session).evaluate;
  lab.addEventListener('step', stopAt);
  lab.addEventListener('step', () => { /** @type {any} */ (session).evaluate = () => Promise.reject(new Error('no')); }, { once: true });
  const without = await lab.train();
  /** @type {any} */ (session).evaluate = evaluate;
  lab.removeEventListener('step', stopAt);
  assert.deepEqual(
    [without?.status, lab.status, without?.validations.map(({ step }) => step)],
    ['stopped', 'ready', [0]],
    'without it the run is kept all the same',
  );
  lab.set({ steps });
  await idle();
});

test('scored aside: the run and, once, the model alone; it delays nothing, what comes next ends it, and the weights stay', async () => {
  const run = /** @type {import('../../web/lib/runs.js').Run} */ (await lab.train());
  const words = lab.sample.after;
  const aside = lab.scoreAside({ limit: 3 });
  assert.equal(lab.status, 'ready', 'nobody has to wait for it');
  await aside;
  assert.ok(run.score !== null && run.base_score !== undefined && run.score >= 0 && run.base_score >= 0);
  assert.equal(run.base_score, lab.baseScores.get(lab.baseKey));
  assert.equal((await lab.score({ limit: 3 })).score, run.score, 'the same items, the same score');
  assert.equal(await lab.ask(lab.sample.prompt), words, 'the trained part is in the model again');
  let items = 0;
  await lab.scoreAside({ limit: 3, onProgress: () => { items++; } });
  assert.equal(items, 3, 'the model alone is not scored again');
  const failures = /** @type {any[]} */ ([]);
  const failed = (/** @type {Event} */ event) => failures.push(event);
  lab.addEventListener('failure', failed);
  lab.baseScores.clear();
  delete run.base_score;
  let asked = /** @type {Promise<string> | null} */ (null);
  const cut = lab.scoreAside({
    limit: 24,
    onProgress: (done, total) => {
      if (run.score !== null && total === 24 && ++items === 3 + 24 + 2) asked = lab.ask(lab.sample.prompt);
    },
  });
  await assert.rejects(cut, { code: 'aborted' });
  assert.equal(await asked, words, 'ended while the model alone was scored, the trained part is back');
  lab.removeEventListener('failure', failed);
  assert.deepEqual([failures.length, run.base_score, lab.status], [0, undefined, 'ready']);
  const never = lab.scoreAside({ limit: 24 });
  lab.stopScoring();
  await assert.rejects(never, { code: 'aborted' });
  lab.baseScores.clear();
  run.score = null;
  const looks = /** @type {Promise<boolean>[]} */ ([]);
  const look = () => { looks.push(lab.during(null, async () => run.score === null)); };
  const began = lab.scoreAside({ limit: 3, onProgress: () => { if (looks.length < 4) look(); } });
  look();
  assert.ok(await began, 'looks of panels, before it began and in its midst, only put it off');
  assert.deepEqual(await Promise.all(looks), [true, true, true, true], 'and need not wait for it');
  assert.ok(run.score !== null && run.base_score !== undefined);
});

test('impossible settings from outside: corrected with one notice each time, at the start and later; the rest is loaded', async () => {
  const own = new Lab({ base: models });
  const told = /** @type {any[]} */ ([]);
  own.addEventListener('notice', (event) =>
    told.push(/** @type {CustomEvent} */ (event).detail.corrections.map(({ key, values }) => [key, values.name, values.to])),
  );
  try {
    own.set({ model: 'stories-300k', task: 'nope', method: 'banana', options: { rank: 9999, foo: 1 } });
    assert.deepEqual(
      [own.state.method, told],
      ['lora', [[['correct.choice', 'method', undefined]]]],
      'an unknown method is known to be one before there is an engine',
    );
    await own.ready();
    assert.deepEqual(told.slice(1), [
      [['correct.absent', 'task', undefined]],
      [
        ['correct.range', 'rank', '1024'],
        ['correct.unknown', 'foo', undefined],
      ],
    ]);
    assert.deepEqual(
      [own.status, own.state.task, own.state.options, own.description.modules[0].options.rank],
      ['ready', 'pirate', { rank: 1024 }, 1024],
    );
    await own.follow(fromLink('#v=1&m=prompt&vt=99999&n=9999'));
    await own.during(null, async () => {});
    assert.deepEqual(told.slice(3), [[['correct.range', 'steps', '5000'], ['correct.range', 'num_virtual_tokens', '1024']]]);
    assert.deepEqual([own.state.method, own.state.options], ['prompt', { num_virtual_tokens: 1024 }]);
  } finally {
    own.close();
  }
});

test('a module that the engine refuses at the start: all else is loaded, the reason is kept, and other settings work', async () => {
  const own = new Lab({ base: models });
  const failures = /** @type {any[]} */ ([]);
  own.addEventListener('failure', (event) => failures.push(/** @type {CustomEvent} */ (event).detail));
  try {
    own.set({ ...settings, steps: 2, options: { target_modules: ['nope'] } });
    await own.ready();
    assert.deepEqual([own.status, failures.length, own.refused], ['ready', 1, failures[0]]);
    assert.match(failures[0].message, /nope/);
    assert.deepEqual(own.description.modules, []);
    assert.ok(own.description.model.parameters > 0 && own.sample.before && own.data.length);
    own.set({ options: {} });
    await own.during(null, async () => {});
    assert.deepEqual([own.refused, own.description.modules.length, failures.length], [null, 1, 1]);
    assert.equal((await own.train().then((run) => run?.status)), 'done');
  } finally {
    own.close();
  }
});

test('settings of the engine wait while it trains; a bad option is one failure and leaves the lab usable', async () => {
  const notices = /** @type {string[]} */ ([]);
  lab.addEventListener('notice', (event) => notices.push(/** @type {CustomEvent} */ (event).detail));
  const begun = lab.train();
  await new Promise((resolve) => { lab.addEventListener('step', resolve, { once: true }); });
  lab.set({ method: 'full', level: 'developer' });
  assert.deepEqual([lab.state.method, lab.state.level, notices.at(-1)], ['lora', 'developer', 'notice.training']);
  await begun;
  const failures = /** @type {any[]} */ ([]);
  lab.addEventListener('failure', (event) => failures.push(/** @type {CustomEvent} */ (event).detail));
  lab.setOption('rank', 100000);
  await idle();
  assert.equal(failures.length, 1);
  assert.match(failures[0].message, /rank/);
  lab.setOption('rank', 8);
  await idle();
  assert.equal(lab.description.counts.trainable, 8960);
});

test('a snapshot taken in mid-run is gone on with after a reload, to the same weights', async () => {
  const whole = await lab.train();
  const snapshots = /** @type {{step: number, bytes: Uint8Array}[]} */ ([]);
  lab.addEventListener('snapshot', (event) => snapshots.push(/** @type {CustomEvent} */ (event).detail));
  lab.snapshotSeconds = 0.1;
  lab.set({ steps: 30 });
  const long = await lab.train();
  assert.ok(snapshots.length >= 1, 'a run of 30 short steps is kept at least once');
  const kept = structuredClone({ run: { ...long, status: 'running' }, bytes: snapshots[0].bytes });
  const fresh = new Lab({ base: models });
  try {
    fresh.set({ ...settings, steps: 30 });
    await fresh.ready();
    const run = await fresh.recover(/** @type {any} */ (kept));
    assert.equal(run?.status, 'done');
    assert.equal(run?.losses.length, 30);
    assert.deepEqual(run?.losses, long?.losses);
    assert.deepEqual(run?.adapter?.['adapter_model.safetensors'], long?.adapter?.['adapter_model.safetensors']);
  } finally {
    fresh.close();
  }
  assert.equal(whole?.status, 'done');
});

test('a custom prompt: the model alone before, the trained one after, for every method', async () => {
  for (const method of ['full', 'prompt', 'prefix', 'adapter']) {
    lab.set({ method, steps: 4, prompt: 'Tom had a dog.' });
    await idle();
    const alone = lab.sample.before;
    await lab.train();
    lab.set({ prompt: 'The cat sat on a big red mat.' });
    await idle();
    lab.set({ prompt: 'Tom had a dog.' });
    await idle();
    assert.equal(lab.sample.before, alone, method);
    assert.equal(lab.sample.after, await lab.ask('Tom had a dog.'), method);
  }
});

test('own text: few examples leave no held-out part behind; unusable ones are refused and everything stays; it comes back ' +
  'after other tasks', async () => {
  lab.set({ method: 'lora', task: 'pirate', prompt: '' });
  await idle();
  await lab.useData(Array.from({ length: 4 }, (_, i) => ({ prompt: `Cat ${i}`, completion: ' sat.' })), 'four');
  assert.deepEqual(Object.keys((await lab.session?.describe()).data), ['train'], 'nothing of the task before');
  const { task, data } = lab;
  await assert.rejects(lab.useData([{ prompt: 'x '.repeat(3000), completion: ' y' }], 'bad'), { code: 'argument' });
  assert.deepEqual([lab.task, lab.state.task, lab.own?.title], [task, 'own-data', 'four']);
  assert.deepEqual(lab.data, data);
  assert.equal(lab.description.modules.length, 1);
  lab.set({ task: 'pirate' });
  await idle();
  assert.ok(lab.data.some((part) => part.split === 'validation'));
  lab.set({ task: 'own-data' });
  await idle();
  assert.equal(lab.task?.title, 'four');
  assert.equal(lab.data[0].examples, 4);
});
