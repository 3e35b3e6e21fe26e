/**
 * Runs as evidence: which run is the experiment that a claim asks for, and what two of them say about it. A verdict compares
 * finished runs of the same model and task, one seed each; what chance alone changes from seed to seed counts as no difference.
 * DOM-free.
 */
import { recipe } from './aside.js';
import { bestValidation, smooth } from './runs.js';

/** @typedef {import('./lab.js').Lab} Lab */
/** @typedef {import('./runs.js').Run} Run */
/**
 * @typedef {{method: string, options?: Record<string, any>, task?: string, steps?: number, lr?: number, batch_size?: number}} Wish
 *   an experiment; what it leaves open is the preset's (task: the loaded one)
 */
/** @typedef {'agrees' | 'differs' | 'even'} Outcome */

/**
 * Losses closer than this, in nats per token, are no difference: three seeds of one method lie up to 0.18 apart in our sweeps
 * (content/recorded/compare-*.json), whether the loss is 3 or 0.3.
 */
export const SAME_LOSS = 0.19;
/** Seconds closer than this share of the longer time are none: a machine has other things to do. */
export const SAME_TIME = 0.1;
/** The same for the distance of held-out and training loss. */
const SAME_GAP = 0.1;
/** Shares of full fine-tuning's gain: from the first on as good as all of it, from the second on undecided. */
const NEAR = { all: 0.97, most: 0.9 };

/** Presets of the tasks that were loaded, by lab. @type {WeakMap<Lab, Map<string, Record<string, any>[]>>} */
const presets = new WeakMap();

/**
 * The preset's options and training of a method on a task; null: that task was not loaded yet.
 * @param {Lab} lab @param {string} task @param {string} method
 */
function presetOf(lab, task, method) {
    const known = presets.get(lab) ?? new Map();
    presets.set(lab, known);
    if (lab.task) known.set(lab.task.name, lab.task.presets ?? []);
    const found = known.get(task);
    return found ? recipe(/** @type {any} */ ({ task: { presets: found } }), method) : null;
}

const equal = (/** @type {any} */ a, /** @type {any} */ b) => JSON.stringify(a) === JSON.stringify(b);
/** "all-linear" and the seven names are the same. */
const all = (/** @type {any} */ value) => value === 'all-linear' || (Array.isArray(value) && value.length === 7);

/** @param {Lab} lab @param {Wish} wish @param {Run} run */
function optionsFit(lab, { method, options = {} }, run) {
    const own = presetOf(lab, run.task, method)?.options ?? {};
    const usual = lab.engine?.methods.find((/** @type {any} */ m) => m.name === method)?.options ?? [];
    return Object.entries(run.options).every(([name, value]) => {
        if (name in options) return equal(value, options[name]) || (name === 'target_modules' && all(value) && all(options[name]));
        // What the wish leaves open is as the engine or the preset has it: a run with DoRA is no run of plain LoRA.
        const open = usual.find((/** @type {any} */ o) => o.name === name);
        return !open || equal(value, open.default) || equal(value, own[name]) || (name === 'target_modules' && all(value) && all(own[name]));
    });
}

/** @param {Lab} lab @param {Wish} wish @param {Run} run */
function trainingFits(lab, wish, run) {
    const usual = presetOf(lab, run.task, wish.method)?.train;
    return ['lr', 'batch_size', 'steps'].every((key) => {
        // A run of fewer steps than the preset's is the same experiment, cut short: complete() tells.
        const want = /** @type {any} */ (wish)[key] ?? (key === 'steps' ? undefined : usual?.[key]);
        return want === undefined || run.train[key] === want;
    });
}

const lastStep = (/** @type {Run} */ run) => run.losses.at(-1)?.step ?? 0;

/** The latest run of this page that is the experiment. @param {Lab} lab @param {Wish} wish @returns {Run | undefined} */
export const runOf = (lab, wish) => lab.runs.findLast((run) =>
    ['done', 'stopped'].includes(run.status) && run.validations.length > 0 && lastStep(run) > 0 && !run.back && !run.recorded
    && run.method === wish.method && run.model === lab.state.model && run.task === (wish.task ?? lab.state.task)
    && optionsFit(lab, wish, run) && trainingFits(lab, wish, run));

/** Whether it went as far as was asked for. @param {Lab} lab @param {Wish} wish @param {Run} run */
export function complete(lab, wish, run) {
    const steps = wish.steps ?? presetOf(lab, run.task, wish.method)?.train.steps ?? run.train.steps;
    return run.status === 'done' && lastStep(run) >= steps;
}

/**
 * The numbers of a run; training: smoothed, as single batches jump.
 * @param {Run} run
 */
export const figures = (run) => ({
    steps: lastStep(run), seconds: run.seconds, training: smooth(run.losses).at(-1)?.loss ?? NaN,
    held: run.validations.at(-1)?.loss ?? NaN, best: bestValidation(run), base: run.base_loss, trainable: run.trainable,
    total: run.total,
});

/** Whether a is below b by more than the share. @param {number} a @param {number} b @param {number} share @returns {Outcome} */
const below = (a, b, share) => (a < b * (1 - share) ? 'agrees' : b < a * (1 - share) ? 'differs' : 'even');
/** Whether a takes less time than b. @param {number} a @param {number} b @returns {Outcome} */
export const shorter = (a, b) => below(a, b, SAME_TIME);
/** Whether the loss a is lower than b by more than seeds explain. @param {number} a @param {number} b nats @returns {Outcome} */
const lower = (a, b) => (a < b - SAME_LOSS ? 'agrees' : b < a - SAME_LOSS ? 'differs' : 'even');

/** What is learned by heart: held-out above training loss. @param {ReturnType<typeof figures>} of */
const gap = ({ held, training }) => held - training;

/**
 * What a claim says of two runs, and whether they do: "better": the second is better; "faster": the first takes less time; "gap":
 * the first learns more by heart; "near": the second comes near the first (full fine-tuning), by its gain over the model alone;
 * "enough": the second is no better.
 * @type {Record<string, (a: ReturnType<typeof figures>, b: ReturnType<typeof figures>) => {outcome: Outcome,
 *   values: Record<string, number>}>}
 */
export const JUDGES = Object.freeze({
    better: (a, b) => ({ outcome: lower(b.held, a.held), values: { first: a.held, second: b.held } }),
    faster: (a, b) => ({ outcome: shorter(a.seconds, b.seconds), values: { first: a.seconds, second: b.seconds } }),
    gap: (a, b) => ({ outcome: below(gap(b), gap(a), SAME_GAP), values: { first: gap(a), second: gap(b) } }),
    near: (full, part) => {
        const share = (Number(full.base) - part.held) / (Number(full.base) - full.held);
        return {
            outcome: share >= NEAR.all ? 'agrees' : share >= NEAR.most ? 'even' : 'differs',
            values: { share: 100 * share, numbers: (100 * part.trainable) / full.trainable },
        };
    },
    enough: (a, b) => ({
        outcome: lower(b.held, a.held) === 'agrees' ? 'differs' : 'agrees', values: { first: a.held, second: b.held },
    }),
});

/**
 * @param {Lab} lab @param {string} judge @param {Wish[]} wishes two
 * @returns {{outcome: Outcome, values: Record<string, number>} | null} null: not both were run to their end, on one task
 */
export function verdictOf(lab, judge, wishes) {
    const found = wishes.map((wish) => ({ wish, run: runOf(lab, wish) }));
    const runs = found.flatMap(({ wish, run }) => (run && complete(lab, wish, run) ? [run] : []));
    if (runs.length < wishes.length || new Set(runs.map((run) => run.task)).size > 1) return null;
    const all = runs.map(figures);
    return all.every(({ held, training }) => Number.isFinite(held) && Number.isFinite(training)) ? JUDGES[judge](all[0], all[1]) : null;
}

/**
 * A recommendation for a task against all that was run on it: does a method that the chapter names have the lowest held-out loss?
 * @param {Lab} lab @param {string} task @param {string[]} named methods @returns {{outcome: Outcome, best: Run, runs: number} | null}
 *   null: not yet one of the named and one of the others
 */
export function ranking(lab, task, named) {
    const runs = lab.runs.filter((run) => run.task === task && run.model === lab.state.model && run.status === 'done' && !run.back
        && run.validations.length > 0 && complete(lab, { method: run.method }, run));
    const lowest = (/** @type {Run[]} */ list) => list.reduce((a, b) => (figures(b).held < figures(a).held ? b : a));
    const [ours, others] = [true, false].map((yes) => runs.filter((run) => named.includes(run.method) === yes));
    if (!ours.length || !others.length) return null;
    return { outcome: lower(figures(lowest(ours)).held, figures(lowest(others)).held), best: lowest(runs), runs: runs.length };
}

/**
 * A recommendation for a task against the recorded scores of its card: does a method that the chapter names have the highest mean? A difference
 * below twice its standard error over the seeds is none.
 * @param {Record<string, any> | undefined} scores of models/index.json: seeds, a mean for each method, their spread (standard deviation)
 * @param {string[]} named methods
 * @returns {{outcome: Outcome, ours: string, other: string, error: number} | null} the best of each, and the standard error of their difference
 */
export function recordedRanking(scores, named) {
    if (!scores?.spread || !(scores.seeds > 1)) return null;
    const { seeds, spread } = scores;
    const best = (/** @type {boolean} */ yes) => Object.keys(spread).filter((method) => named.includes(method) === yes)
        .reduce((a, b) => (scores[b] > (scores[a] ?? -Infinity) ? b : a), '');
    const [ours, other] = [best(true), best(false)];
    if (!ours || !other) return null;
    const error = Math.sqrt((spread[ours] ** 2 + spread[other] ** 2) / seeds);
    const ahead = scores[ours] - scores[other];
    return { outcome: ahead > 2 * error ? 'agrees' : ahead < -2 * error ? 'differs' : 'even', ours, other, error };
}
