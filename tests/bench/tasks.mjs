// ./build.sh bench --tasks: trains every preset again (25 presets, 3 seeds: 17 minutes on two cores) and holds the results
// against the tables of the task cards. Training is deterministic, so scores and losses must come out as recorded.
//   ./build.sh bench --tasks [--only mood,pirate] [--seeds N]
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { runJobs } from '../../models/recipes/preset-run.mjs';

const models = new URL('../../models/', import.meta.url);

/** @param {number} x */
const percent = (x) => `${(100 * x).toFixed(1)} %`.padStart(8);
/** @param {number[]} list */
const mean = (list) => list.reduce((a, b) => a + b, 0) / list.length;

/**
 * @param {string[]} names tasks
 * @param {number} seeds
 * @returns {Promise<boolean>} whether every preset meets its margin and every mean over all recorded seeds is the recorded one
 */
export async function benchTasks(names, seeds) {
  const model = fileURLToPath(new URL('stories-1m', models));
  let good = true;
  for (const name of names) {
    const task = JSON.parse(readFileSync(new URL(`tasks/${name}/task.json`, models), 'utf8'));
    const presets = [{ method: 'base', options: {} }, ...task.presets];
    const jobs = presets.flatMap(({ method, options, ...engine }) => Array.from({ length: method === 'base' ? 1 : seeds }, (_, i) => (
      { model, task: name, method, options, engine, seed: i + 1, split: 'test' })));
    /** @type {Map<string, any[]>} */
    const rows = new Map(presets.map(({ method }) => [method, []]));
    await runJobs(jobs, availableParallelism(), (row) => rows.get(row.method)?.push(row));
    console.log(`\n${name}: ${task.metric.name} on test, ${seeds} seed${seeds > 1 ? 's' : ''}; "card" is what models/tasks/${name}/README.md says`);
    console.log('  method    trainable     score      card    loss    card   seconds of processor');
    const [base] = /** @type {any[]} */ (rows.get('base'));
    for (const recorded of task.results.rows) {
      const runs = /** @type {any[]} */ (rows.get(recorded.method));
      const verdict = judge(recorded, runs, base);
      good &&= verdict.length === 0;
      const [score, loss, cpu] = ['score', 'loss', 'cpu'].map((figure) => mean(runs.map((r) => r[figure])));
      const scores = `${percent(score)}  ${percent(recorded.score.mean)}`;
      const losses = `${loss.toFixed(3)}   ${recorded.loss.toFixed(3)}`;
      console.log(`  ${recorded.method.padEnd(8)} ${runs[0].trainable.toLocaleString('en').padStart(10)}  ${scores}  ${losses}  ${
        cpu.toFixed(1).padStart(6)}   ${verdict.join('; ') || 'as recorded'}`);
    }
  }
  return good;
}

/** What is wrong with these runs, in words. */
function judge(/** @type {any} */ recorded, /** @type {any[]} */ runs, /** @type {any} */ base) {
  const wrong = [];
  const first = runs.find((r) => r.seed === 1);
  if (first.score !== recorded.score.seed_1) wrong.push(`seed 1 scored ${percent(recorded.score.seed_1)} when it was recorded`);
  if (Math.abs(first.loss - recorded.loss_seed_1) > 1e-9) wrong.push('seed 1 has another loss than when it was recorded');
  if (runs.length === recorded.seeds && Math.abs(mean(runs.map((r) => r.score)) - recorded.score.mean) > 1e-9) wrong.push('the mean differs');
  if (recorded.margin?.loss && base.loss - first.loss < recorded.margin.loss) wrong.push('MISSES its margin in loss');
  if (recorded.margin?.score && first.score - base.score < recorded.margin.score) wrong.push('MISSES its margin in score');
  return wrong;
}
