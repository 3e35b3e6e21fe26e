/** Comparing methods fairly: the same data, seeds, steps rule and measurement for each, one run after the other from the same base. DOM-free. */
import { PeftLabError } from '../engine/index.js';
import { comparedOn, quality, recipe, trainFresh } from './aside.js';

/**
 * @typedef {{method: string, size: string, options: Record<string, any>, train: Record<string, any>, seed: number,
 *   status: 'waiting' | 'running' | 'done' | 'failed',
 *   trainable: number, seconds: number, loss: number | null, score: number | null, message?: string}} SweepRun
 * @typedef {{model: string, task: string, metric: string, split: string, items?: number, total: number,
 *   base: {loss: number | null, score: number | null}, limit: number, runs: SweepRun[]}} SweepResult
 * @typedef {{method: string, size: string, trainable: number, n: number, mean: number, min: number, max: number,
 *   seconds: number}} Point one method at one size, over its seeds
 */

/** The option that makes a method larger, and three values of it. */
export const SIZES = /** @type {Record<string, {option: string, values: number[]}>} */ (Object.freeze({
    prompt: { option: 'num_virtual_tokens', values: [4, 20, 60] },
    prefix: { option: 'num_virtual_tokens', values: [3, 10, 30] },
    lora: { option: 'rank', values: [1, 8, 32] },
    adapter: { option: 'bottleneck_size', values: [4, 16, 64] },
}));
/**
 * Only the estimate of the time depends on these: a loss reads each example once and goes no way back; an answer reads
 * a prompt, then token after token.
 */
const LOSS_SHARE = 1 / 3;
const STEPS_PER_PROMPT = 1 / 48;
const STEPS_PER_TOKEN = 1 / 1200;

/**
 * @param {import('./lab.js').Lab} lab
 * @param {{methods: string[], sizes: 'one' | 'three', seeds: number, steps: number}} wish steps 0: the presets'
 * @returns {SweepRun[]}
 */
export function plan(lab, { methods, sizes, seeds, steps }) {
    const runs = [];
    for (const method of methods) {
        const { options, train } = recipe(lab, method);
        const scale = SIZES[method];
        const variants = sizes === 'three' && scale ? scale.values.map((value) => ({ ...options, [scale.option]: value })) : [options];
        for (const own of variants) {
            // LoRA's strength alpha / r stays the same at every rank: only the size is compared.
            if (method === 'lora' && own !== options) own.alpha = ((options.alpha ?? 16) / (options.rank ?? 8)) * own.rank;
            const size = scale && own[scale.option] !== undefined ? `${own[scale.option]}` : '';
            for (let seed = 1; seed <= seeds; seed++) {
                runs.push({
                    method,
                    size,
                    options: own,
                    train: { ...train, ...(steps && { steps }) },
                    seed,
                    status: /** @type {const} */ ('waiting'),
                    trainable: 0,
                    seconds: 0,
                    loss: null,
                    score: null,
                });
            }
        }
    }
    return runs;
}

/**
 * What one measurement (loss and score) costs, in steps of training.
 * @param {import('../engine/tasks.js').Task | null} task @param {number} batch examples in a step
 * @param {number} limit items that are scored
 */
export function measuringWork(task, batch, limit) {
    const split = comparedOn(task);
    if (!task || !split) return 0;
    const answers = task.metric.id === 'none' ? 0 : Math.min(limit, task.items[split]?.length ?? 0);
    return (task.splits[split].length / batch) * LOSS_SHARE + answers * (STEPS_PER_PROMPT + task.generation.max_new_tokens * STEPS_PER_TOKEN);
}

/** @param {SweepRun} run @param {import('../engine/tasks.js').Task | null} task @param {number} limit */
const workOfRun = ({ train }, task, limit) => train.steps + measuringWork(task, train.batch_size ?? 1, limit);

/**
 * What the progress bar counts, in steps of training: the model alone is measured too.
 * @param {SweepRun[]} runs @param {import('../engine/tasks.js').Task | null} task
 * @param {number} limit items that are scored
 */
export const workOf = (runs, task, limit) =>
    runs.reduce(
        (sum, run) => sum + workOfRun(run, task, limit),
        runs.length ? measuringWork(task, runs[0].train.batch_size ?? 1, limit) : 0,
    );

/**
 * @param {import('./lab.js').Lab} own a lab aside (aside.js) @param {SweepRun[]} runs changed in place
 * @param {{limit: number, signal?: AbortSignal, onProgress?: (done: number, run: SweepRun) => void, onResult?: (result: SweepResult) => void}} how
 *   limit: items of the task's metric per run, 0 = loss only; onResult: after every run, what is known so far
 * @returns {Promise<SweepResult>}
 */
export async function sweep(own, runs, { limit, signal, onProgress, onResult }) {
    const session = /** @type {import('../engine/session.js').Session} */ (own.session);
    await session.clear();
    const { split, items, ...base } = await quality(own, { limit, signal });
    const { counts } = await session.describe();
    const result = {
        model: own.state.model,
        task: own.state.task,
        metric: own.task?.metric.name ?? '',
        split, items, total: counts.total, base, limit, runs,
    };
    let before = runs.length ? measuringWork(own.task, runs[0].train.batch_size ?? 1, limit) : 0;
    for (const run of runs) {
        run.status = 'running';
        try {
            let step = 0;
            onProgress?.(before, run);
            const { modules, seconds } = await trainFresh(own, [run], run.train, {
                seed: run.seed,
                signal,
                onStep: () => onProgress?.(before + ++step, run),
            });
            const { loss, score } = await quality(own, { limit, signal });
            Object.assign(run, { status: 'done', trainable: modules[0].parameters, seconds, loss, score });
        } catch (thrown) {
            const error = PeftLabError.from(thrown);
            if (error.code === 'aborted') {
                run.status = 'waiting';
                throw error;
            }
            // One run that diverges or does not fit is a result of its own; the others go on.
            Object.assign(run, { status: 'failed', message: error.message });
        }
        before += workOfRun(run, own.task, limit);
        onProgress?.(before, run);
        onResult?.(result);
    }
    return result;
}

/**
 * Runs of the same method and size as one point.
 * @param {SweepRun[]} runs @param {'loss' | 'score'} of @returns {Point[]}
 */
export function points(runs, of) {
    /** @type {Map<string, SweepRun[]>} */
    const groups = new Map();
    for (const run of runs.filter((r) => r.status === 'done' && Number.isFinite(r[of]))) {
        const key = `${run.method} ${run.size} ${run.trainable}`;
        groups.set(key, [...(groups.get(key) ?? []), run]);
    }
    return [...groups.values()].map((list) => {
        const values = list.map((run) => /** @type {number} */ (run[of]));
        const mean = (/** @type {number[]} */ all) => all.reduce((a, b) => a + b, 0) / all.length;
        const { method, size, trainable } = list[0];
        return {
            method, size, trainable, n: list.length, mean: mean(values), min: Math.min(...values),
            max: Math.max(...values),
            seconds: mean(list.map((run) => run.seconds)),
        };
    });
}

/**
 * Points that no other beats with fewer or equally many numbers, by size.
 * @param {Point[]} all @param {1 | -1} better 1: more is better @returns {Point[]}
 */
export function pareto(all, better) {
    const best = [];
    let top = -Infinity;
    for (const point of [...all].sort((a, b) => a.trainable - b.trainable || better * (b.mean - a.mean))) {
        if (better * point.mean <= top) continue;
        top = better * point.mean;
        best.push(point);
    }
    return best;
}

/**
 * The chapter's drawing "Quality vs Efficiency Trade-off": heights as drawn (each name stands beside or below its dot); for the
 * width the chapter's own table of parameters at 7B, because the drawing's axis has too few marks to read them off.
 */
export const CHAPTER_SKETCH = Object.freeze([
    { method: 'prompt', percent: (80e3 / 7e9) * 100, quality: 85 },
    { method: 'prefix', percent: (2.6e6 / 7e9) * 100, quality: 90 },
    { method: 'lora', percent: (4e6 / 7e9) * 100, quality: 98 },
    { method: 'adapter', percent: (50e6 / 7e9) * 100, quality: 100 },
    { method: 'full', percent: 100, quality: 100 },
]);
