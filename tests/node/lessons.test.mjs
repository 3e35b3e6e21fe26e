// The lessons' own files run against the engine: every step's settings and action, every condition is met, every answer is right.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Lab } from '../../web/lib/lab.js';
import { ACTIONS, facts, holds, isRight, readLesson, rightAnswer } from '../../web/lib/lessons.js';

const root = join(dirname(fileURLToPath(import.meta.url)), '../..');
const folder = join(root, 'web/content/lessons');
const files = readdirSync(folder).filter((name) => name.endsWith('.json'));

test('there are at least six lessons, each named as its file', () => {
  assert.ok(files.length >= 6);
  for (const file of files) assert.equal(`${readLesson(JSON.parse(readFileSync(join(folder, file), 'utf8'))).id}.json`, file);
});

for (const file of files) {
  test(`${file}: steps can be done, conditions are met, answers are right`, { timeout: 240_000 }, async () => {
    const lesson = readLesson(JSON.parse(readFileSync(join(folder, file), 'utf8')));
    const lab = new Lab({ base: join(root, 'models') });
    const notices = /** @type {string[]} */ ([]);
    lab.addEventListener('notice', (event) => notices.push(/** @type {CustomEvent} */ (event).detail));
    lab.state.model = 'stories-300k';
    try {
      await lab.ready();
      for (const [i, step] of lesson.steps.entries()) {
        if (step.set) lab.set({ lr: 0, batch_size: 0, ...step.set });
        await lab.during(null, async () => {}); // what set() began
        if (step.do) await ACTIONS[step.do](lab);
        const known = facts(lab);
        const where = `${lesson.id}, step ${i + 1}: ${JSON.stringify(known)}`;
        assert.ok(holds(known, step.wait?.cond), `condition of ${where}`);
        for (const path of step.show ?? []) assert.equal(typeof path.split('.').reduce((value, key) => value?.[key], /** @type {any} */ (known)), 'number', `${path} in ${where}`);
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

test('bad lessons are refused with the step that is wrong', () => {
  const good = { id: 'x', title: 'X', steps: [{ text: 'a' }] };
  assert.throws(() => readLesson({ ...good, id: '../x' }), /"id"/);
  assert.throws(() => readLesson({ ...good, steps: [] }), /steps/);
  assert.throws(() => readLesson({ ...good, steps: [{ text: 'a' }, { text: 'b', do: 'constructor' }] }), /step 2 "do"/);
  assert.throws(() => readLesson({ ...good, steps: [{ text: 'a', wait: { cond: [['x', 'eval', 1]] } }] }), /step 1 "wait/);
  assert.throws(() => readLesson({ ...good, steps: [{ text: 'a', check: { question: 'q', choices: ['1', '2'], answer: 2 } }] }), /"answer"/);
  assert.equal(holds({ a: {} }, [['a.constructor', '!=', 0]]), false, 'inherited names are no facts');
});
