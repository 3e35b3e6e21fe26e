// A quick subset of the tables of the task cards: one preset of every task, each method once, trained in full with seed 1 and held
// to its margin. The whole tables: ./build.sh bench --tasks.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { runJobs } from '../../models/recipes/preset-run.mjs';

const models = new URL('../../models/', import.meta.url);
const task = (/** @type {string} */ name) => JSON.parse(readFileSync(new URL(`tasks/${name}/task.json`, models), 'utf8'));
const SUBSET = [['mood', 'full'], ['words-to-story', 'prompt'], ['ship-log', 'prefix'], ['pirate', 'lora'], ['turtle', 'adapter']];
const ALL_TASKS = ['mood', 'words-to-story', 'ship-log', 'pirate', 'turtle'];

test('every preset states a margin on the base, over three seeds, measured on the default model as it is', () => {
  const { model_sha256: hash } = JSON.parse(readFileSync(new URL('adapters/mood-lora/info.json', models), 'utf8'));
  for (const name of ALL_TASKS) {
    const { presets, results } = task(name);
    assert.equal(results.seeds, 3, name);
    assert.equal(results.model_sha256, hash, name);
    assert.deepEqual(presets.map((/** @type {any} */ p) => p.method), ['prompt', 'prefix', 'lora', 'adapter', 'full'], name);
    for (const { method } of presets) {
      const row = results.rows.find((/** @type {any} */ r) => r.method === method);
      assert.ok((row.margin.loss ?? 0) >= 0.1 || (row.margin.score ?? 0) >= 0.1, `${name} ${method}: ${JSON.stringify(row.margin)}`);
    }
    assert.ok(results.rows.filter((/** @type {any} */ r) => r.margin?.score >= 0.03).length >= 3, `${name}: at least three methods gain in score`);
  }
});

test('presets train and meet their margins with seed 1', async (t) => {
  const model = fileURLToPath(new URL('stories-1m', models));
  const jobs = SUBSET.map(([name, method]) => {
    const { method: _, options, ...engine } = task(name).presets.find((/** @type {any} */ p) => p.method === method);
    return { model, task: name, method, options, engine, seed: 1, split: 'test' };
  });
  await runJobs(jobs, 2, (row) => {
    const { rows } = task(row.task).results;
    const [base, recorded] = ['base', row.method].map((method) => rows.find((/** @type {any} */ r) => r.method === method));
    t.diagnostic(`${row.task} ${row.method}: score ${row.score}, loss ${row.loss}`);
    if (recorded.margin.loss)
      assert.ok(
        base.loss - row.loss >= recorded.margin.loss,
        `${row.task} ${row.method}: loss ${row.loss}, base ${base.loss}, margin ${recorded.margin.loss}`,
      );
    if (recorded.margin.score) assert.ok(row.score - base.score.mean >= recorded.margin.score, `${row.task} ${row.method}: score ${row.score}`);
    assert.equal(row.score, recorded.score.seed_1, `${row.task} ${row.method}: the score of seed 1, which the card shows`);
    assert.ok(Math.abs(row.loss - recorded.loss_seed_1) < 1e-9, `${row.task} ${row.method}: loss ${row.loss}, recorded ${recorded.loss_seed_1}`);
  });
});
