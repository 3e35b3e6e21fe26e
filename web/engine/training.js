/**
 * The training loop around the C state machine: steps, periodic validation, snapshots; replicas, where there are any, share the
 * steps and validations.
 */
import { PeftLabError } from './errors.js';
import { evaluate, spreadOf } from './evaluate.js';
import { sharedStep } from './shared-step.js';

/** @typedef {import('./protocol.js').Context} Context */
/** @typedef {{step: number, loss: number, lr: number, grad_norm: number, tokens: number, labels: number, ms?: number}} Report */
/** @typedef {{step: number, steps: number, done: boolean, ms: number, tokens: number}} Outcome of a call that trains: step is the last one */

/**
 * @typedef {object} RunArgs
 * @property {number} [eval_every] steps between validations, 0 = only at the end (when the split exists)
 * @property {string} [eval_split] default: "validation", if there is one
 * @property {number} [eval_limit] validate on the first examples only
 * @property {number} [snapshot_every] steps between snapshot events, 0 = none
 * @property {number} [snapshot_seconds] seconds between them, 0 = none
 * @property {number} [best_below] the trained weights are handed out after each validation with a lower loss than this and than
 *   any before, none = never
 * @property {number} [until] stop (without ending the run) when this step is reached
 */

/** Steps are reported in bundles at most this often, ms (15 Hz): a page cannot show more. */
const REPORT_MS = 66;

/**
 * Runs the open run (trainBegin) to its end, or until the caller aborts; then the run stays open and can be continued or ended.
 * @param {import('./service.js').Service} service
 * @param {RunArgs} args
 * @param {Context} context emits {type:'steps', steps:[Report]}, {type:'validation', step, …}, {type:'snapshot', step, bytes},
 *   {type:'best', step, loss, modules}
 * @returns {Promise<Outcome>}
 */
export async function trainRun(service, {
    eval_every = 0, eval_split: given, eval_limit, snapshot_every = 0, snapshot_seconds = 0, best_below = -Infinity, until,
}, context) {
    const { core, runs } = service;
    const { run, data } = core.json('pl_describe');
    if (!run) {
        const hint = 'Begin one with train(), or restore() a snapshot.';
        throw new PeftLabError('state', 'There is no open run to go on with.', { hint });
    }
    checkSplit(core, given);
    const eval_split = given ?? 'validation';
    const last = Math.min(until ?? run.steps, run.steps);
    const validates = Boolean(data[eval_split]);
    const spread = spreadOf(data[run.split] ?? { examples: 0, tokens: 0, longest: 0 });
    const bundle = new Bundle(context);
    const began = performance.now();
    let { step } = run;
    let best = best_below;
    let tokens = 0;
    service.lost = null; // a paused run whose replica died goes on alone
    try {
        while (step < last) {
            context.check();
            if (service.lost) throw service.lost;
            if (service.runs !== runs) throw new PeftLabError('state', 'The run was ended or replaced while it trained.');
            context.unit('training step', spread);
            const from = performance.now();
            const report = service.peers.length
                ? await sharedStep(service, context.usual('training step', spread))
                : core.json('pl_train_step');
            report.ms = performance.now() - from; // here, because reports travel in bundles
            step = report.step;
            tokens += report.tokens;
            bundle.add(report);
            if (validates && (step === run.steps || (eval_every && step % eval_every === 0))) {
                bundle.flush();
                const result = await evaluate(core, { split: eval_split, limit: eval_limit }, quiet(context), service.peers);
                context.emit({ type: 'validation', step, ...result });
                if (result.loss < best) {
                    best = result.loss;
                    context.emit({ type: 'best', step, loss: best, modules: trainedTensors(core) });
                }
            }
            const due = snapshot_seconds && performance.now() - service.snapshotAt >= 1000 * snapshot_seconds;
            if (due || (snapshot_every && step % snapshot_every === 0)) {
                bundle.flush(); // a run that goes on from this snapshot has seen every step before it
                context.unit('snapshot');
                service.snapshotAt = performance.now();
                context.emit({ type: 'snapshot', step, bytes: core.bytes('pl_snapshot') });
            }
            await context.breathe();
        }
    } finally {
        bundle.flush();
        await service.settled;
    }
    return { step, steps: run.steps, done: step === run.steps, ms: performance.now() - began, tokens };
}

/** A split that is asked for by name must be there: a misspelt one would be none. @param {import('./core.js').Core} core @param {string} [split] */
export function checkSplit(core, split) {
    if (split !== undefined) core.call('pl_data_stats', split);
}

/**
 * What is being trained, as it is now.
 * @param {import('./core.js').Core} core @returns {{id: number, tensors: Record<string, Float32Array>}[]}
 */
function trainedTensors(core) {
    const { modules } = core.json('pl_describe');
    const values = (/** @type {any} */ m) => m.tensors.map((/** @type {any} */ { name }) => [name, core.tensor(m.id, name)]);
    return modules.filter((/** @type {any} */ m) => m.active && m.trainable && !m.merged)
        .map((/** @type {any} */ m) => ({ id: m.id, tensors: Object.fromEntries(values(m)) }));
}

/** Collects step reports and emits them at most every REPORT_MS. */
class Bundle {
    /** @type {Report[]} */
    #steps = [];
    #sent = 0;
    /** @param {Context} context */
    constructor(context) {
        this.context = context;
    }

    /** @param {Report} report */
    add(report) {
        this.#steps.push(report);
        if (performance.now() - this.#sent >= REPORT_MS) this.flush();
    }

    flush() {
        if (this.#steps.length) this.context.emit({ type: 'steps', steps: this.#steps });
        this.#steps = [];
        this.#sent = performance.now();
    }
}

/** The caller's context without progress events. @param {Context} context */
function quiet(context) {
    return /** @type {Context} */ (/** @type {unknown} */ ({
        emit() {},
        breathe: () => context.breathe(),
        check: () => context.check(),
        unit: (/** @type {string} */ what, /** @type {number} */ spread) => context.unit(what, spread),
    }));
}
