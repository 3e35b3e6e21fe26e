// Records what the size of the base changes: the same presets of one task on every base model, several seeds.
//   node web/content/recorded/make-base-size.mjs [TASK] [SEEDS]
// It is the Compare panel's own sweep (lib/sweep.js), run in Node once for each model.
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { aside } from '../../lib/aside.js';
import { Lab } from '../../lib/lab.js';
import { plan, sweep } from '../../lib/sweep.js';

const here = dirname(fileURLToPath(import.meta.url));
const models = join(here, '../../../models');
const [task = 'pirate', seeds = '3'] = process.argv.slice(2);
const METHODS = ['prompt', 'lora', 'adapter', 'full'];
const { models: list } = JSON.parse(readFileSync(join(models, 'index.json'), 'utf8'));
const short = (/** @type {number} */ value) => Math.round(value * 1e4) / 1e4;
const mean = (/** @type {number[]} */ all) => all.reduce((a, b) => a + b, 0) / all.length;

const rows = [];
for (const { name, parameters, bits_per_byte } of list) {
    const lab = new Lab({ base: models });
    lab.set({ model: name, task });
    await lab.ready();
    const own = await aside(lab);
    const { base, runs } = await sweep(own, plan(lab, { methods: METHODS, sizes: 'one', seeds: Number(seeds), steps: 0 }), { limit: 24 });
    own.close();
    lab.close();
    const methods = METHODS.map((method) => {
        const of = runs.filter((/** @type {any} */ run) => run.method === method);
        const losses = of.map((/** @type {any} */ run) => run.loss);
        return {
            method,
            trainable: of[0].trainable,
            loss: short(mean(losses)),
            low: short(Math.min(...losses)),
            high: short(Math.max(...losses)),
            score: short(mean(of.map((/** @type {any} */ run) => run.score))),
        };
    });
    rows.push({ model: name, parameters, bits_per_byte, base: { loss: short(base.loss), score: short(base.score) }, methods });
    process.stderr.write(`${name} done\n`);
}
writeFileSync(
    join(here, 'base-size.json'),
    `${JSON.stringify({ command: `node web/content/recorded/make-base-size.mjs ${task} ${seeds}`, task, seeds: Number(seeds), rows }, null, 1)}\n`,
);
