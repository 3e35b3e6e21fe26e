import { resolve } from 'node:path';

import { helpText, parse, usage } from '../args.mjs';
import { findModel, findTask, formatCount, loadSplits, MODEL_SPEC, table } from '../context.mjs';
import { fitPreset, PeftLab } from '../../engine/index.js';
import { measure } from '../measure.mjs';
import { prepareFile, writeSafely } from '../output.mjs';
import { scatterSvg } from '../scatter.mjs';

const SPEC = /** @type {import('../args.mjs').Spec} */ ({
    model: MODEL_SPEC.model,
    task: { kind: 'string', help: 'task name, task folder, or a data file' },
    methods: { kind: 'string', help: 'comma list', default: 'prompt,prefix,lora,adapter,full' },
    seeds: { kind: 'int', help: 'runs per method', default: 3, min: 1, max: 100 },
    steps: { kind: 'int', help: "instead of the presets' steps" },
    workers: { kind: 'int', help: 'engines that share each step', default: 1, min: 1, max: 64 },
    limit: { kind: 'int', help: 'metric on the first items only (default: all)', min: 1 },
    out: { kind: 'string', help: 'write all results as JSON to this file, anew after each run (complete: false until the last)' },
    svg: { kind: 'string', help: 'write the chart (quality against parameters) to this file' },
});

export const help = () => helpText('compare', 'train several methods and seeds, and put quality against parameters', SPEC);

/** @param {number[]} values */
export function spread(values) {
    const mean = values.reduce((a, b) => a + b, 0) / values.length;
    const sd = Math.sqrt(values.reduce((a, b) => a + (b - mean) ** 2, 0) / Math.max(1, values.length - 1));
    return { mean, sd: values.length > 1 ? sd : 0, min: Math.min(...values), max: Math.max(...values) };
}

/**
 * The methods to compare, checked before hours of training.
 * @param {string} text comma list @param {string[]} known @returns {string[]}
 */
function listed(text, known) {
    const methods = text.split(',').map((name) => name.trim());
    const strange = methods.find((name) => !known.includes(name));
    if (strange !== undefined) throw usage(`there is no method "${strange}"; there are ${known.join(', ')}`);
    const twice = methods.find((name, i) => methods.indexOf(name) < i);
    if (twice !== undefined) throw usage(`--methods names ${twice} twice: its runs would be the same`);
    return methods;
}

/**
 * One run from a fresh base.
 * @param {import('../../engine/session.js').Session} session @param {import('../../engine/tasks.js').Task} task
 * @param {string} method @param {number} seed @param {Record<string, any>} values
 * @returns {Promise<Record<string, any>>}
 */
async function oneRun(session, task, method, seed, values) {
    const { method: _, options = {}, ...preset } = task.presets.find((p) => p.method === method) ?? { method };
    await session.clear();
    const module = await session.addModule(method, options, { seed });
    const began = performance.now();
    const result = await session.train({ ...fitPreset(preset, values.steps), seed, workers: values.workers });
    const metrics = await measure(session, task, { limit: values.limit });
    return {
        method,
        seed,
        parameters: module.parameters,
        steps: result.steps,
        seconds: (performance.now() - began) / 1000,
        train_seconds: result.ms / 1000,
        ...metrics,
    };
}

/**
 * What --out and --json hold.
 * @param {import('../../engine/tasks.js').Task} task @param {string[]} argv
 * @param {Record<string, any>[]} runs the base, then what is finished @param {number} wanted runs without the base
 */
function reportOn(task, argv, runs, wanted) {
    const summary = [...new Set(runs.map((r) => r.method))]
        .map((method) => ({ method, list: runs.filter((r) => r.method === method) }))
        .map(({ method, list }) => ({
            method,
            parameters: list[0].parameters,
            runs: list.length,
            loss: spread(list.map((/** @type {any} */ r) => r.loss)),
            ...(list[0].score !== undefined && { score: spread(list.map((/** @type {any} */ r) => r.score)) }),
            seconds: spread(list.map((/** @type {any} */ r) => r.train_seconds ?? 0)).mean,
        }));
    return {
        task: task.name,
        metric: task.metric.name ?? 'loss',
        command: `peftlab compare ${argv.join(' ')}`,
        complete: runs.length === wanted + 1,
        summary,
        runs,
    };
}

/** @param {string[]} argv */
export async function run(argv) {
    const { values } = parse(argv, SPEC);
    const task = await findTask(values.task);
    const session = await PeftLab.load(await findModel(values.model), { inThread: true });
    const methods = listed(values.methods, (await session.describeStatic()).methods.map((/** @type {any} */ m) => m.name));
    if (values.out && values.svg && resolve(values.out) === resolve(values.svg)) throw usage('--out and --svg name the same file');
    await loadSplits(session, task);
    for (const file of [values.out, values.svg]) if (file) await prepareFile(file);
    const base = { method: 'base', seed: 0, parameters: 0, ...(await measure(session, task, { limit: values.limit })) };
    const wanted = methods.flatMap((method) => Array.from({ length: values.seeds }, (_, i) => ({ method, seed: i + 1 })));
    const rows = /** @type {Record<string, any>[]} */ ([base]);
    const finished = async (/** @type {Record<string, any>} */ made) => { // what is finished is not lost when the rest is cut off
        rows.push(made);
        const report = reportOn(task, argv, rows, wanted.length);
        if (values.out) await writeSafely(values.out, JSON.stringify(report, null, 1));
        if (values.svg) await writeSafely(values.svg, scatterSvg(report));
        return report;
    };
    let report = reportOn(task, argv, rows, wanted.length);
    for (const { method, seed } of wanted) {
        const made = await oneRun(session, task, method, seed, values);
        report = await finished(made);
        const score = made.score === undefined ? '' : `, ${task.metric.name ?? 'score'} ${made.score.toFixed(3)}`;
        const took = `${made.train_seconds.toFixed(1)} s`;
        process.stderr.write(`${method} seed ${seed}: loss ${made.loss.toFixed(4)}${score} (${took})\n`);
    }
    session.close();
    if (values.json) return void process.stdout.write(`${JSON.stringify(report)}\n`);
    const show = (/** @type {any} */ s, digits = 3) => (s ? `${s.mean.toFixed(digits)} ± ${s.sd.toFixed(digits)}` : '');
    process.stdout.write(
        `${table(
            ['method', 'parameters', 'test loss', report.metric, 'train s'],
            report.summary.map((s) => [s.method, formatCount(s.parameters), show(s.loss), show(s.score), s.seconds.toFixed(1)]),
        )}\n`,
    );
    return undefined;
}
