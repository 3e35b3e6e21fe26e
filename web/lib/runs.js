/** Runs: what a training was, how it went, and how it differs from the one before. Plain data, so that it can be stored and exported. */

/**
 * @typedef {object} Run one finished or running training
 * @property {number} id
 * @property {string} task
 * @property {string} model
 * @property {string} method
 * @property {Record<string, any>} options of the module, complete
 * @property {Record<string, any>} train steps, lr, …
 * @property {number} seed
 * @property {number} trainable
 * @property {number} total
 * @property {number | null} base_loss held-out loss of the model without any module
 * @property {{step: number, loss: number}[]} losses
 * @property {{step: number, loss: number, bits_per_byte: number}[]} validations
 * @property {{before: string, after: string, prompt: string}} sample
 * @property {{step: number, text: string}[]} [samples] what the model said on the way, to the same prompt and seed
 * @property {number[]} [pauses] steps after which it was paused
 * @property {number} seconds
 * @property {number | null} score
 * @property {number} [base_score] of the model alone, on the same items
 * @property {'running' | 'paused' | 'done' | 'stopped' | 'failed'} status
 * @property {Record<string, Uint8Array> | null} adapter exported files
 * @property {number} [weights] bytes of its weights, which are held elsewhere (weights.js), where an adapter's files are not the module itself
 * @property {{step: number, loss: number, tensors: Record<string, Float32Array>}} [best] weights at the lowest
 *   held-out loss, if that was before the end
 * @property {boolean} [best_kept] false: memory was too short to keep them
 * @property {{run: number, step: number}} [back] it is another run's weights after this step
 * @property {{rule: string, parts: {run: number, name: string, weight: number}[]}} [mixture] it was mixed of these, not trained:
 *   runs, or (run 0) ready adapters by name
 * @property {boolean} [recorded]
 * @property {boolean} [pinned]
 */

/** Training rates that work on the small models here when a task has no preset for the method. */
const RATES = /** @type {Record<string, number>} */ (
    Object.freeze({ prompt: 0.03, prefix: 0.02, lora: 0.01, adapter: 0.004, ia3: 0.03, norms: 0.01, full: 0.001 })
);

/** @param {string} method @returns {{steps: number, batch_size: number, lr: number}} */
export const usualTraining = (method) => ({ steps: 80, batch_size: 8, lr: RATES[method] ?? 0.005 });

/**
 * @param {{id: number, state: Record<string, any>, module: any, counts: any, train: Record<string, any>,
 *   sample: Run['sample'], base: number | null}} from
 * @returns {Run}
 */
export function makeRun({ id, state, module, counts, train, sample, base }) {
    return {
        id, task: state.task, model: state.model, method: module.method, options: module.options, train, seed: state.seed,
        trainable: counts.trainable, total: counts.total, base_loss: base, losses: [], validations: [], sample: { ...sample, after: '' },
        seconds: 0, score: null, status: 'running', adapter: null,
    };
}

/** @param {Run} run @param {number} step @param {string} text what the model says after this step */
export function keepSample(run, step, text) {
    run.samples = [...(run.samples ?? []).filter((at) => at.step < step), { step, text }];
}

/** @param {Run} run @returns {{step: number, loss: number} | null} the lowest validation */
export function bestValidation(run) {
    return run.validations.reduce((/** @type {any} */ best, at) => (best && best.loss <= at.loss ? best : at), null);
}

/** The last validation loss, else null. @param {Run} run @returns {number | null} */
export const lastValidation = (run) => run.validations.at(-1)?.loss ?? null;

/** @typedef {{key: string, from: any, to: any}} Difference */

/**
 * What a run was given that another was not: settings, options of the method (only when the method is the same), training.
 * @param {Run | undefined} before @param {Run} after @returns {Difference[]}
 */
export function configDiff(before, after) {
    if (!before) return [];
    const same = before.method === after.method;
    const flat = (/** @type {Run} */ run) => ({
        model: run.model, task: run.task, method: run.method, seed: run.seed,
        ...Object.fromEntries(Object.entries(run.train).filter(([key]) => !['seed', 'split', 'shards'].includes(key))),
        ...(same && run.options),
    });
    const [a, b] = /** @type {Record<string, any>[]} */ ([flat(before), flat(after)]);
    return [...new Set([...Object.keys(a), ...Object.keys(b)])].filter((key) => JSON.stringify(a[key]) !== JSON.stringify(b[key]))
        .map((key) => ({ key, from: a[key], to: b[key] }));
}

/**
 * Losses without the noise of single batches: an exponential mean whose start is not pulled to zero.
 * @param {{step: number, loss: number}[]} losses @param {number} [keep] share of the past kept per step
 */
export function smooth(losses, keep = 0.85) {
    let mean = 0;
    let weight = 0;
    return losses.map(({ step, loss }) => {
        mean = keep * mean + (1 - keep) * loss;
        weight = keep * weight + (1 - keep);
        return { step, loss: mean / weight };
    });
}
