#!/usr/bin/env node
/**
 * Finds and measures the presets of the tasks with the engine itself (build/wasm must exist).
 *
 *   node presets.mjs search [TASK…]   tries the grid of search.json, one seed, judged on validation -> tasks/presets.json
 *   node presets.mjs test [TASK…]     trains every preset with seeds 1..N, measured on test         -> tasks/results.json
 *
 * Options: --model ../stories-1m  --seeds 3  --methods lora,full  --limit 48 (items generated in search)
 *          --adapters (test, seed 1: also write the ready adapters of adapters.mjs)
 * Every run is a line of presets-log.jsonl; a run that is there already (same model, engine options, seed) is not repeated.
 */
import { createHash } from 'node:crypto';
import { appendFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { ALL, writeAdapter } from './adapters.mjs';
import { PeftLab, evaluateTask, loadTask } from '../../web/engine/index.js';

const here = (/** @type {string} */ name) => fileURLToPath(new URL(name, import.meta.url));
const TASKS = ['mood', 'words-to-story', 'ship-log', 'pirate', 'turtle'];
const LOG = here('presets-log.jsonl');

const readJson = (/** @type {string} */ path, /** @type {any} */ none) => (existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) : none);
const writeJson = (/** @type {string} */ path, /** @type {any} */ value) => writeFileSync(path, `${JSON.stringify(value, null, 2)}\n`);
const past = new Map(existsSync(LOG) ? readFileSync(LOG, 'utf8').trim().split('\n').map((line) => JSON.parse(line)).map((r) => [r.key, r]) : []);

/**
 * One training run and its measurement. method "base": no training.
 * @param {{model: string, modelHash: string, task: string, method: string, options: any, engine: any, seed: number, split: string, limit?: number, keep?: boolean}} job
 */
async function run(job) {
    const { model, task: name, method, options, engine, seed, split, limit } = job;
    const key = createHash('sha256').update(JSON.stringify([job.modelHash, name, dataHash(name), method, options, engine, seed, split, limit])).digest('hex').slice(0, 16);
    if (past.has(key)) return past.get(key);
    const task = await loadTask(here(`../tasks/${name}`));
    const session = await PeftLab.load(model, { inThread: true });
    let trainable = 0;
    let id = 0;
    let seconds = 0;
    let cpu = 0;
    if (method !== 'base') {
        ({ id } = await session.addModule(method, options, { seed, name }));
        await session.setData('train', task.splits.train);
        trainable = (await session.count()).trainable;
        const [wall, before] = [performance.now(), process.cpuUsage()];
        await session.train({ ...engine, seed });
        seconds = (performance.now() - wall) / 1000;
        const used = process.cpuUsage(before);
        cpu = (used.user + used.system) / 1e6;
    }
    await session.setData(split, task.splits[split]);
    const { loss, bits_per_byte } = await session.evaluate({ split });
    const { score, outputs, items: _, ...more } = await evaluateTask(session, task, { split, limit });
    const row = { key, model: basename(model), model_sha256: job.modelHash.slice(0, 12), task: name, method, options, ...engine, seed, split, trainable, score, loss, bits_per_byte, ...more, seconds, cpu, example: outputs[0] };
    if (task.files.forgetting) row.forgetting = await forgetting(session, name, task);
    if (job.keep) await writeAdapter(session, id, model, task, { method, options, ...engine }, row);
    session.close();
    appendFileSync(LOG, `${JSON.stringify(row)}\n`);
    past.set(key, row);
    console.log(`${name} ${method} ${JSON.stringify(options)} lr ${engine.lr ?? '-'} seed ${seed} ${split}: score ${score.toFixed(3)} loss ${loss.toFixed(3)} (${seconds.toFixed(1)} s, ${cpu.toFixed(1)} s of processor)`);
    return row;
}

/** Loss on ordinary stories after the training. */
async function forgetting(session, name, task) {
    const lines = readFileSync(here(`../tasks/${name}/${task.files.forgetting}`), 'utf8').trim().split('\n');
    await session.setData('forgetting', lines.map((line, i) => ({ ...JSON.parse(line), line: i + 1 })));
    return (await session.evaluate({ split: 'forgetting' })).loss;
}

function dataHash(/** @type {string} */ name) {
    const hash = createHash('sha256');
    for (const file of ['train', 'validation', 'test']) hash.update(readFileSync(here(`../tasks/${name}/${file}.jsonl`)));
    return hash.digest('hex').slice(0, 12);
}

/** Best of the grid on validation: score first, then loss. */
async function search(names, methods, base, limit) {
    const grid = readJson(here('search.json'), null);
    const presets = readJson(here('tasks/presets.json'), {});
    for (const task of names) {
        presets[task] ??= {};
        for (const method of methods) {
            const { steps, lr: rates, options: variants } = { ...grid.methods[method], ...grid.tasks?.[task]?.[method] };
            let best = null;
            for (const options of variants) {
                for (const lr of rates) {
                    const engine = { steps, batch_size: grid.batch_size, lr, warmup_steps: Math.round(steps / 20) };
                    const row = await run({ ...base, task, method, options, engine, seed: 1, split: 'validation', limit });
                    if (!best || row.score > best.row.score || (row.score === best.row.score && row.loss < best.row.loss)) best = { row, options, engine };
                }
            }
            presets[task][method] = { options: best.options, ...best.engine, schedule: 'cosine' };
            writeJson(here('tasks/presets.json'), presets);
        }
    }
}

const mean = (/** @type {number[]} */ list) => list.reduce((a, b) => a + b, 0) / list.length;
const spread = (/** @type {number[]} */ list) => (list.length < 2 ? null : Math.sqrt(mean(list.map((x) => (x - mean(list)) ** 2)) * list.length / (list.length - 1)));

/** Every preset on test, with several seeds. */
async function measure(names, methods, base, seeds) {
    const presets = readJson(here('tasks/presets.json'), {});
    const results = readJson(here('tasks/results.json'), {});
    for (const task of names) {
        const rows = [];
        for (const method of ['base', ...methods]) {
            if (method !== 'base' && !presets[task]?.[method]) continue;
            const { options = {}, ...engine } = method === 'base' ? {} : presets[task][method];
            const runs = [];
            for (let seed = 1; seed <= (method === 'base' ? 1 : seeds); seed++) {
                runs.push(await run({ ...base, task, method, options, engine, seed, split: 'test', keep: values.adapters && seed === 1 && ALL.includes(`${task}-${method}`) }));
            }
            const scores = runs.map((r) => r.score);
            rows.push({
                method, trainable: runs[0].trainable, seeds: runs.length, score: { mean: mean(scores), spread: spread(scores) }, loss: mean(runs.map((r) => r.loss)),
                bits_per_byte: mean(runs.map((r) => r.bits_per_byte)), ...(runs[0].forgetting !== undefined && { forgetting_loss: mean(runs.map((r) => r.forgetting)) }),
                seconds: mean(runs.map((r) => r.cpu)),
            });
        }
        results[task] = {
            model: basename(base.model), model_sha256: base.modelHash, seeds,
            note: `\`${basename(base.model)}\` (model.safetensors ${base.modelHash.slice(0, 12)}…), ${seeds === 1 ? 'seed 1' : `seeds 1 to ${seeds}: mean and standard deviation`}, presets chosen on validation. Seconds: processor time of the training on one core of a busy machine.`,
            rows,
        };
        writeJson(here('tasks/results.json'), results);
    }
}

const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { model: { type: 'string', default: here('../stories-1m') }, seeds: { type: 'string', default: '3' }, limit: { type: 'string', default: '48' },
        methods: { type: 'string', default: 'prompt,prefix,lora,adapter,full' }, adapters: { type: 'boolean', default: false } },
});
const [what, ...chosen] = positionals;
const names = chosen.length ? chosen : TASKS;
const base = { model: values.model, modelHash: createHash('sha256').update(readFileSync(`${values.model}/model.safetensors`)).digest('hex') };
if (what === 'search') await search(names, values.methods.split(','), base, Number(values.limit));
else if (what === 'test') await measure(names, values.methods.split(','), base, Number(values.seeds));
else throw new Error('say search or test');
