#!/usr/bin/env node
/**
 * Finds and measures the presets of the tasks with the engine itself (build/wasm must exist).
 *
 *   node presets.mjs search [TASK…]   tries the grid of search.json, judged on validation           -> tasks/presets.json
 *   node presets.mjs test [TASK…]     trains every preset with seeds 1..N, measured on test         -> tasks/results.json
 *
 * Options: --model ../stories-1m  --seeds 3  --methods lora,full  --limit 48 (items generated in search)
 *          --jobs 2 (runs side by side)
 *          --adapters (test, seed 1: also write the ready adapters of adapters.mjs)
 * Every run is a line of presets-log.jsonl; a run that is there already (same model, engine options, seed) is not repeated.
 */
import { createHash } from 'node:crypto';
import { appendFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { ALL } from './adapters.mjs';
import { runJobs } from './preset-run.mjs';

const here = (/** @type {string} */ name) => fileURLToPath(new URL(name, import.meta.url));
const TASKS = ['mood', 'words-to-story', 'ship-log', 'pirate', 'turtle'];
const LOG = here('presets-log.jsonl');

const readJson = (/** @type {string} */ path, /** @type {any} */ none) => (existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) : none);
const writeJson = (/** @type {string} */ path, /** @type {any} */ value) => writeFileSync(path, `${JSON.stringify(value, null, 2)}\n`);
const past = new Map(existsSync(LOG) ? readFileSync(LOG, 'utf8').trim().split('\n').map((line) => JSON.parse(line)).map((r) => [r.key, r]) : []);

/**
 * Runs those jobs that the log does not hold yet, side by side, and returns the rows of all in the order of the jobs.
 * @param {{modelHash: string, model: string, task: string, method: string, options: any, engine: any, seed: number,
 *   split: string, limit?: number, keep?: boolean}[]} jobs
 */
async function runAll(jobs) {
    const keys = jobs.map(({ modelHash, task, method, options, engine, seed, split, limit }) =>
        createHash('sha256')
            .update(JSON.stringify([modelHash, task, dataHash(task), method, options, engine, seed, split, limit]))
            .digest('hex')
            .slice(0, 16),
    );
    const open = jobs
        .map((job, i) => ({ ...job, key: keys[i] }))
        .filter(({ key, keep }, i) => (keep || !past.has(key)) && keys.indexOf(key) === i);
    await runJobs(open, Number(values.jobs), (result, job) => {
        const { key, modelHash } = /** @type {any} */ (job);
        const row = { key, model_sha256: modelHash.slice(0, 12), ...result };
        appendFileSync(LOG, `${JSON.stringify(row)}\n`);
        past.set(key, row);
        console.log(
            `${row.task} ${row.method} ${JSON.stringify(row.options)} lr ${row.lr ?? '-'} seed ${row.seed} ${row.split}: ` +
                `score ${row.score.toFixed(3)} loss ${row.loss.toFixed(3)} (${row.seconds.toFixed(1)} s, ${row.cpu.toFixed(1)} s of processor)`,
        );
    });
    return keys.map((key) => past.get(key));
}

function dataHash(/** @type {string} */ name) {
    const hash = createHash('sha256');
    for (const file of ['train', 'validation', 'test']) hash.update(readFileSync(here(`../tasks/${name}/${file}.jsonl`)));
    return hash.digest('hex').slice(0, 12);
}

/**
 * Best of the grid on validation: score first, then loss; runs whose loss is above the untrained base's only if there are no others.
 * Where the grid says several seeds, their mean is what counts: near the step at which a task is suddenly understood, one says little.
 */
async function search(names, methods, base, limit) {
    const grid = readJson(here('search.json'), null);
    const points = names.flatMap((task) => methods.flatMap((method) => {
        const entry = { seeds: 1, schedule: 'cosine', ...grid, ...grid.methods[method], ...grid.tasks?.[task]?.[method] };
        const { steps, batch_size, schedule, lr: rates, options: variants, seeds } = entry;
        return variants.flatMap((options) => rates.map((lr) => {
            const engine = { steps, batch_size, lr, warmup_steps: Math.round(steps / 20), ...(schedule !== 'cosine' && { schedule }) };
            return { task, method, options, engine, seeds };
        }));
    }));
    const jobs = points.flatMap(({ seeds, ...point }, at) =>
        Array.from({ length: seeds }, (_, i) => ({ ...base, ...point, at, seed: i + 1, split: 'validation', limit })));
    const bases = names.map((task) => ({ ...base, task, method: 'base', options: {}, engine: {}, seed: 1, split: 'validation', limit }));
    const rows = await runAll([...bases, ...jobs]);
    const untrained = new Map(rows.slice(0, names.length).map(({ task, loss }) => [task, loss]));
    const of = (/** @type {number} */ at, /** @type {string} */ field) =>
        mean(jobs.flatMap((job, i) => (job.at === at ? [rows[names.length + i][field]] : [])));
    const tried = points.map((point, at) => ({ ...point, score: of(at, 'score'), loss: of(at, 'loss') }));
    const presets = readJson(here('tasks/presets.json'), {});
    for (const task of names) {
        for (const method of methods) {
            const over = (/** @type {any} */ { loss }) => Number(loss >= /** @type {number} */ (untrained.get(task)));
            const [best] = tried.filter((t) => t.task === task && t.method === method)
                .sort((a, b) => over(a) - over(b) || b.score - a.score || a.loss - b.loss);
            (presets[task] ??= {})[method] = { options: best.options, ...best.engine, schedule: best.engine.schedule ?? 'cosine' };
        }
    }
    writeJson(here('tasks/presets.json'), presets);
}

const mean = (/** @type {number[]} */ list) => list.reduce((a, b) => a + b, 0) / list.length;
const spread = (/** @type {number[]} */ list) =>
    list.length < 2 ? null : Math.sqrt((mean(list.map((x) => (x - mean(list)) ** 2)) * list.length) / (list.length - 1));

/** Every preset on test, with several seeds. */
async function measure(names, methods, base, seeds) {
    const presets = readJson(here('tasks/presets.json'), {});
    const jobs = names.flatMap((task) =>
        ['base', ...methods.filter((m) => presets[task]?.[m])].flatMap((method) => {
            const { options = {}, ...engine } = method === 'base' ? {} : presets[task][method];
            return Array.from({ length: method === 'base' ? 1 : seeds }, (_, i) => ({
                ...base, task, method, options, engine,
                seed: i + 1,
                split: 'test',
                keep: values.adapters && i === 0 && ALL.includes(`${task}-${method}`),
            }));
        }),
    );
    const rows = await runAll(jobs);
    const results = readJson(here('tasks/results.json'), {});
    for (const task of names) {
        results[task] = {
            model: basename(base.model), model_sha256: base.modelHash, seeds,
            note: `\`${basename(base.model)}\` (model.safetensors ${base.modelHash.slice(0, 12)}…), ` +
                `${seeds === 1 ? 'seed 1' : `seeds 1 to ${seeds}: mean and standard deviation`}, presets chosen on validation. ` +
                'Seconds: processor time of the training, on one core of a busy machine.',
            rows: tableRows(jobs.map((job, i) => ({ job, row: rows[i] })).filter(({ job }) => job.task === task)),
        };
    }
    writeJson(here('tasks/results.json'), results);
}

/**
 * Rows of a card's table, one a method, with the margin that tests hold seed 1 to: two thirds of what the worst seed
 * gained, so that a better or worse rounding elsewhere does not matter but a broken preset does.
 */
function tableRows(/** @type {{job: any, row: any}[]} */ runs) {
    const methods = [...new Set(runs.map(({ job }) => job.method))];
    const base = /** @type {any} */ (runs.find(({ job }) => job.method === 'base')).row;
    return methods.map((method) => {
        const rows = runs.filter(({ job }) => job.method === method).map(({ row }) => row);
        const [scores, losses] = [rows.map((r) => r.score), rows.map((r) => r.loss)];
        return {
            method, trainable: rows[0].trainable, seeds: rows.length, score: { mean: mean(scores), spread: spread(scores), seed_1: scores[0] },
            loss: mean(losses), loss_seed_1: losses[0], bits_per_byte: mean(rows.map((r) => r.bits_per_byte)),
            ...(rows[0].forgetting !== undefined && { forgetting_loss: mean(rows.map((r) => r.forgetting)) }),
            ...(method !== 'base' && { margin: margin(base, Math.min(...scores), Math.max(...losses)) }),
            seconds: mean(rows.map((r) => r.cpu)),
        };
    });
}

/** What a preset must gain on the base, on test: nats a token where it gains at least 0.05, score where it gains at least 5 points. */
function margin(/** @type {any} */ base, /** @type {number} */ score, /** @type {number} */ loss) {
    const share = 2 / 3;
    const down = (/** @type {number} */ x) => Math.floor(x * share * 100) / 100;
    return {
        ...(base.loss - loss >= 0.05 && { loss: down(base.loss - loss) }),
        ...(score - base.score >= 0.05 && { score: down(score - base.score) }),
    };
}

const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
        model: { type: 'string', default: here('../stories-1m') },
        seeds: { type: 'string', default: '3' },
        limit: { type: 'string', default: '48' },
        methods: { type: 'string', default: 'prompt,prefix,lora,adapter,full' },
        adapters: { type: 'boolean', default: false },
        jobs: { type: 'string', default: '2' },
    },
});
const [what, ...chosen] = positionals;
const names = chosen.length ? chosen : TASKS;
const base = { model: values.model, modelHash: createHash('sha256').update(readFileSync(`${values.model}/model.safetensors`)).digest('hex') };
if (what === 'search') await search(names, values.methods.split(','), base, Number(values.limit));
else if (what === 'test') await measure(names, values.methods.split(','), base, Number(values.seeds));
else throw new Error('say search or test');
