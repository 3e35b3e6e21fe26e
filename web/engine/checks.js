/**
 * Are the arguments of the public API what they should be? What JavaScript would pass over, or turn into a default, is
 * an error of code "argument" or "range" that says how the call is meant.
 */
import { PeftLabError, shown } from './errors.js';

/** @typedef {import('./session.js').StepReport} StepReport */
/** @typedef {import('./session.js').ValidationReport} ValidationReport */

/**
 * @typedef {object} TrainOptions snake_case names go to the engine as they are
 * @property {number} [steps]
 * @property {number} [batch_size]
 * @property {number} [shards] parts a step is cut into; more than one lets workers share it
 * @property {number} [gradient_accumulation_steps]
 * @property {number} [lr]
 * @property {'constant' | 'linear' | 'cosine'} [schedule]
 * @property {number} [warmup_steps]
 * @property {number} [weight_decay]
 * @property {number} [beta1]
 * @property {number} [beta2]
 * @property {number} [eps]
 * @property {number} [max_grad_norm]
 * @property {number} [seed]
 * @property {string} [split]
 */

/**
 * @typedef {object} RunOptions
 * @property {number} [eval_every] steps between validations (0: only at the end)
 * @property {string} [eval_split]
 * @property {number} [eval_limit] validate on the first examples only
 * @property {number} [snapshot_every] steps between onSnapshot calls
 * @property {number} [snapshot_seconds] seconds between onSnapshot calls
 * @property {number} [best_below] after each validation with a lower loss than this and than any before in this call, onBest gets
 *   the trained weights
 * @property {number} [until] pause when this step is reached
 * @property {AbortSignal} [signal] pauses after the step in progress; the run stays open
 * @property {(report: StepReport) => void} [onStep]
 * @property {(report: ValidationReport) => void} [onValidation]
 * @property {(snapshot: {step: number, bytes: Uint8Array}) => void} [onSnapshot]
 * @property {(best: {step: number, loss: number, modules: {id: number, tensors: Record<string, Float32Array>}[]}) => void} [onBest] for setTensor()
 */

/**
 * @typedef {object} Workers
 * @property {number} [workers] engines that share each step (same result for any number)
 * @property {(fewer: {workers: number, asked: number, error: import('./errors.js').PeftLabError}) => void} [onFewerWorkers] not all of
 *   them could be started, and why; the work goes on with those there are
 */

/** Each worker is a whole engine with a model of its own. @param {Workers} options */
export function checkWorkers({ workers = 1, onFewerWorkers }) {
    checkCallbacks({ onFewerWorkers });
    if (Number.isInteger(workers) && workers >= 1 && workers <= 64) return;
    throw new PeftLabError('range', `workers must be a whole number from 1 to 64, not ${shown(workers)}`);
}

/**
 * @template T @param {T} value @param {string} call how it is meant
 * @param {string[]} [known] names of what it may have; default: whoever takes it says that
 * @returns {T} the value, which has named members
 */
export function record(value, call, known) {
    if (!value || typeof value !== 'object' || Array.isArray(value) || ArrayBuffer.isView(value))
        throw new PeftLabError('argument', `this call is meant as ${call}, with an object in braces, not ${shown(value)}`);
    if (known) checkKeys(value, known, call.replace(/\(.*/, ''));
    return value;
}

/** A misspelt one would be left out without a word. @param {object} given @param {string[]} known @param {string} call */
function checkKeys(given, known, call) {
    const strange = Object.keys(given).find((key) => !known.includes(key));
    if (strange !== undefined) throw new PeftLabError('argument', `${call}: "${strange}" is unknown; there are ${known.join(', ')}`);
}

/** @param {Record<string, unknown>} callbacks by name */
export function checkCallbacks(callbacks) {
    const strange = Object.keys(callbacks).find((name) => !['undefined', 'function'].includes(typeof callbacks[name]));
    if (strange !== undefined) throw new PeftLabError('argument', `${strange} must be a function`);
}

/** Below zero or no number, they would mean never, or always, without a word. @param {Record<string, any>} run */
export function checkRun(run) {
    const { onStep, onValidation, onSnapshot, onBest } = run;
    checkCallbacks({ onStep, onValidation, onSnapshot, onBest });
    for (const key of ['eval_every', 'snapshot_every', 'snapshot_seconds', 'until']) {
        const value = run[key];
        if (value !== undefined && !(typeof value === 'number' && value >= 0))
            throw new PeftLabError('range', `${key} must be 0 or more, not ${shown(value)}`);
    }
    const { eval_limit: limit } = run;
    if (limit !== undefined && !(typeof limit === 'number' && limit >= 1)) // else the first validation would end the run
        throw new PeftLabError('range', `eval_limit must be 1 or more, not ${shown(limit)}`);
}

/** Options of a call that trains; the others are the run's, and the engine's to check. */
export const RUN_KEYS = [
    'eval_every', 'eval_split', 'eval_limit', 'snapshot_every', 'snapshot_seconds', 'best_below', 'until',
    'signal', 'onStep', 'onValidation', 'onSnapshot', 'onBest',
];

/** @param {Record<string, any>} options @returns {{run: any, engine: any}} */
export function splitOptions(options) {
    /** @type {Record<string, any>} */
    const run = {};
    /** @type {Record<string, any>} */
    const engine = {};
    for (const [key, value] of Object.entries(options)) if (value !== undefined) (RUN_KEYS.includes(key) ? run : engine)[key] = value;
    return { run, engine };
}
