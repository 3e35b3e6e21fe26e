// The lessons' own files run against the engine: every step's settings and action, every condition is met, every answer is right.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Lab } from '../../web/lib/lab.js';
import { evaluateTask } from '../../web/engine/index.js';
import { ACTIONS, facts, holds, isRight, keepSettings, numbersOf, readLesson, rightAnswer, settingsOf } from '../../web/lib/lessons.js';

const root = join(dirname(fileURLToPath(import.meta.url)), '../..');
const folder = join(root, 'web/content/lessons');
const SLOW = { timeout: 240_000 };
const files = readdirSync(folder).filter((name) => name.endsWith('.json'));

test('there are at least six lessons, each named as its file', () => {
  assert.ok(files.length >= 6);
  for (const file of files) assert.equal(`${readLesson(JSON.parse(readFileSync(join(folder, file), 'utf8'))).id}.json`, file);
});

for (const file of files) {
  test(`${file}: steps can be done, conditions are met, answers are right`, SLOW, async () => {
    const lesson = readLesson(JSON.parse(readFileSync(join(folder, file), 'utf8')));
    const lab = new Lab({ base: join(root, 'models') });
    const notices = /** @type {string[]} */ ([]);
    lab.addEventListener('notice', (event) => notices.push(/** @type {CustomEvent} */ (event).detail));
    lab.state.model = 'stories-300k';
    try {
      await lab.ready();
      for (const [i, step] of lesson.steps.entries()) {
        if (step.set) lab.set(/** @type {any} */ (settingsOf(step)));
        await lab.during(null, async () => {}); // what set() began
        if (step.do && step.wait) assert.ok(!holds(facts(lab), step.wait.cond), `${lesson.id}, step ${i + 1} waits for what its button does`);
        if (step.do) await ACTIONS[step.do](lab);
        const known = facts(lab);
        const where = `${lesson.id}, step ${i + 1}: ${JSON.stringify(known)}`;
        assert.ok(holds(known, step.wait?.cond), `condition of ${where}`);
        for (const path of step.show ?? [])
          assert.equal(
            typeof path.split('.').reduce((value, key) => value?.[key], /** @type {any} */ (known)),
            'number',
            `${path} in ${where}`,
          );
        if (!step.check) continue;
        assert.ok(holds(known, step.check.proof), `proof of ${where}`);
        const answer = rightAnswer(step.check, known);
        assert.ok(step.check.choices ? answer >= 0 : Number.isFinite(answer), `answer of ${where}`);
        assert.ok(isRight(step.check, known, answer));
        if (step.check.choices) assert.equal(step.check.choices.filter((_, n) => isRight(/** @type {any} */ (step.check), known, n)).length, 1);
        else assert.ok(!isRight(step.check, known, answer * 1.5 + 1));
      }
      assert.deepEqual(notices, []);
    } finally {
      lab.close();
    }
  });
}

/** What the first lesson promises is seen only if the score of the task's own metric at least doubles and is no sliver. */
const CLEARLY = Object.freeze({ times: 2, more: 0.1 });

test("the first lesson trains the task's preset on the page's model, and it talks like a pirate by the task's own metric", SLOW, async () => {
  const lesson = readLesson(JSON.parse(readFileSync(join(folder, 'first-run.json'), 'utf8')));
  const lab = new Lab({ base: join(root, 'models') });
  try {
    await lab.ready();
    const { session, task } = /** @type {any} */ (lab);
    const score = async () => (await evaluateTask(session, task, { limit: 12 })).score;
    await session.clear();
    const untrained = await score();
    lab.set({ options: { rank: 2, target_modules: ['q_proj'] }, steps: 3, lr: 0.5 }); // of somebody who has played before
    for (const step of lesson.steps) {
      if (step.set) lab.set(/** @type {any} */ (settingsOf(step)));
      await lab.during(null, async () => {});
      if (step.do) await ACTIONS[step.do](lab);
    }
    const preset = task.presets.find((/** @type {any} */ one) => one.method === 'lora');
    assert.deepEqual([lab.run?.task, lab.run?.train.steps, lab.run?.train.lr], ['pirate', preset.steps, preset.lr]);
    const trained = await score();
    assert.ok(trained >= CLEARLY.times * untrained && trained >= untrained + CLEARLY.more, `trained ${trained}, untrained ${untrained}`);
  } finally {
    lab.close();
  }
});

const leaving = { timeout: 120_000 };
test('leaving a lesson puts the settings back that it changed, and the weights that were in the model; nothing else', leaving, async () => {
  const lesson = readLesson({ id: 'x', title: 'X', steps: [{ text: 'a', set: { method: 'prompt', task: 'mood', steps: 400 }, do: 'train' }] });
  const lab = new Lab({ base: join(root, 'models') });
  Object.assign(lab.state, { model: 'stories-300k', method: 'lora', options: { rank: 3 }, steps: 2, batch_size: 2, seed: 9 });
  try {
    await lab.ready();
    const run = await lab.train();
    const back = keepSettings(lab, lesson);
    lab.set(/** @type {any} */ (settingsOf(lesson.steps[0])));
    await lab.during(null, async () => {});
    assert.deepEqual([lab.state.method, lab.state.options, lab.state.steps, lab.run], ['prompt', {}, 400, null]);
    const training = ACTIONS.train(lab);
    await new Promise((resolve) => { lab.addEventListener('step', resolve, { once: true }); });
    lab.set({ theme: 'dark' });
    await back(); // in mid-training
    assert.equal((await training).status, 'stopped');
    const { method, options, task, steps, batch_size, seed, theme } = lab.state;
    assert.deepEqual(
      { method, options, task, steps, batch_size, seed, theme },
      { method: 'lora', options: { rank: 3 }, task: 'pirate', steps: 2, batch_size: 2, seed: 9, theme: 'dark' },
    );
    assert.equal(lab.run, run);
    assert.equal(lab.description.modules[0].options.rank, 3);
  } finally {
    lab.close();
  }
});

test('typed numbers: with groups of thousands or a fraction, as people write them', () => {
  for (const text of ['4,194,304', '4.194.304', '4 194 304', '4’194’304']) assert.ok(numbersOf(text).includes(4194304), text);
  for (const text of ['0.062', '0,062', ' 0.062 %']) assert.ok(numbersOf(text).includes(0.062), text);
  assert.ok(numbersOf('1.234,5').includes(1234.5) && numbersOf('1,234.5').includes(1234.5));
  assert.ok(numbersOf('−3').includes(-3));
  for (const text of ['', ' ', '%', 'many']) assert.deepEqual(numbersOf(text), [], text);
});

test('the best run is one of this task and model: losses of others say nothing about it', () => {
  const run = (/** @type {string} */ task, /** @type {string} */ model, /** @type {number} */ loss) => ({
    task, model, method: 'lora', status: 'done', train: {}, options: {}, losses: [], total: 1, sample: { before: '', after: '' },
    base_loss: null, validations: [{ step: 1, loss, bits_per_byte: 1 }],
  });
  const runs = [run('turtle', 'a', 0.1), run('pirate', 'b', 0.2), run('pirate', 'a', 2), run('pirate', 'a', 3)];
  assert.equal(facts(/** @type {any} */ ({ runs, run: null, state: { task: 'pirate', model: 'a' } })).best.validation.last, 2);
});

test('mixing takes the last LoRA and the last of another task; leaving ends the training of two together', leaving, async () => {
  const lab = new Lab({ base: join(root, 'models') });
  Object.assign(lab.state, { model: 'stories-300k', method: 'lora', task: 'pirate', steps: 1, batch_size: 2 });
  try {
    await lab.ready();
    await lab.train();
    lab.set({ task: 'turtle' });
    await lab.during(null, async () => {});
    for (let i = 0; i < 2; i++) await lab.train();
    const session = /** @type {any} */ (lab.session);
    const mixed = /** @type {any[]} */ ([]);
    const importAdapter = session.importAdapter.bind(session);
    session.importAdapter = (/** @type {any} */ files) => {
      mixed.push(lab.runs.find(({ adapter }) => adapter === files)?.task);
      return importAdapter(files);
    };
    await ACTIONS.mix(lab);
    assert.deepEqual(mixed, ['pirate', 'turtle']);
    const lesson = readLesson({ id: 'x', title: 'X', steps: [{ text: 'a', set: { method: 'lora', steps: 2000 }, do: 'joint' }] });
    const back = keepSettings(lab, lesson);
    lab.set(/** @type {any} */ (settingsOf(lesson.steps[0])));
    await lab.during(null, async () => {});
    const joint = ACTIONS.joint(lab);
    await new Promise((resolve) => { lab.addEventListener('lesson', resolve, { once: true }); });
    assert.deepEqual(facts(lab).progress, { step: 1, steps: 2000 });
    const ended = assert.rejects(joint, { code: 'aborted' });
    await back();
    await ended;
    assert.equal(lab.state.steps, 1);
  } finally {
    lab.close();
  }
});

test('bad lessons are refused with the step that is wrong', () => {
  const good = { id: 'x', title: 'X', steps: [{ text: 'a' }] };
  assert.throws(() => readLesson({ ...good, id: '../x' }), /"id"/);
  assert.throws(() => readLesson({ ...good, steps: [] }), /steps/);
  assert.throws(() => readLesson({ ...good, steps: [{ text: 'a' }, { text: 'b', do: 'constructor' }] }), /step 2 "do"/);
  assert.throws(() => readLesson({ ...good, steps: [{ text: 'a', wait: { cond: [['x', 'eval', 1]] } }] }), /step 1 "wait/);
  assert.throws(() => readLesson({ ...good, steps: [{ text: 'a', check: { question: 'q', choices: ['1', '2'], answer: 2 } }] }), /"answer"/);
  assert.equal(holds({ a: {} }, [['a.constructor', '!=', 0]]), false, 'inherited names are no facts');
});
