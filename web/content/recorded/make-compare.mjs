// Records the comparison that the Compare panel shows before its own: node web/content/recorded/make-compare.mjs [MODEL] [TASK] [SEEDS]
// It is the panel's own sweep (lib/sweep.js), run in Node.
import { writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { aside } from '../../lib/aside.js';
import { Lab } from '../../lib/lab.js';
import { plan, sweep, workOf } from '../../lib/sweep.js';

const SCORED = 24;
const here = dirname(fileURLToPath(import.meta.url));
const [model = 'stories-1m', task = 'pirate', seeds = '3'] = process.argv.slice(2);
const lab = new Lab({ base: join(here, '../../../models') });
lab.set({ model, task });
await lab.ready();
const own = await aside(lab);
const runs = plan(lab, { methods: ['prompt', 'prefix', 'lora', 'adapter', 'full'], sizes: 'one', seeds: Number(seeds), steps: 0 });
const all = workOf(runs, own.task, SCORED);
const result = await sweep(own, runs, {
    limit: SCORED, onProgress: (done, run) => process.stderr.write(`\r${run.method} seed ${run.seed}: ${Math.round((100 * done) / all)} %   `),
});
own.close();
lab.close();
const short = (/** @type {number | null} */ value) => (value === null ? null : Math.round(value * 1e4) / 1e4);
// Times say more about the machine and what else it did than about the methods: a recording has none.
for (const run of result.runs) Object.assign(run, { loss: short(run.loss), score: short(run.score), seconds: 0 });
const record = { command: `node web/content/recorded/make-compare.mjs ${model} ${task} ${seeds}`, ...result };
writeFileSync(join(here, `compare-${task}.json`), `${JSON.stringify(record, null, 1)}\n`);
process.stderr.write('\n');
