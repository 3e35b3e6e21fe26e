/** Experiments beside the page's model: an engine of their own with the same model, task and data, so that what is loaded stays as it is. */
import { evaluateTask } from '../engine/index.js';
import { usualTraining } from './runs.js';

/** @typedef {import('./lab.js').Lab} Lab */
/** @typedef {{method: string, options?: Record<string, any>}} Part */
/**
 * @typedef {{loss: number | null, score: number | null, split: string, items: number}} Quality held-out loss in nats
 *   per token on so many items of the split; score 0..1 of the task's metric
 */

/** @param {Lab} lab @returns {Promise<Lab>} close() it when done */
export async function aside(lab) {
    await lab.ready();
    const own = lab.fork();
    await own.ready();
    if (lab.state.task === 'own-data' && lab.task) {
        own.task = lab.task;
        own.state.task = 'own-data';
        for (const [split, examples] of Object.entries(lab.task.splits)) await own.session?.setData(split, examples);
    }
    return own;
}

/** What a method is trained with in this task: its preset, else what usually works. @param {Lab} lab @param {string} method */
export function recipe(lab, method) {
    const { method: _, options = {}, ...train } = /** @type {any} */ (lab.task?.presets?.find((preset) => preset.method === method) ?? {});
    return { options, train: { ...usualTraining(method), ...train } };
}

/**
 * What methods are compared on: the test part, else the validation part.
 * @param {import('../engine/tasks.js').Task | null} task @returns {string} '' where nothing is held out
 */
export const comparedOn = (task) => ['test', 'validation'].find((name) => task?.splits[name]?.length) ?? '';

/**
 * Examples in a split of a task, also of one that is not loaded.
 * @param {Lab} lab @param {string} name of the task @param {string} split @returns {number} 0: not known
 */
export const itemsOf = (lab, name, split) =>
    (lab.task?.name === name
        ? lab.task.splits[split]?.length
        : lab.index.tasks.find((task) => task.name === name)?.counts?.[split]) ?? 0;

/**
 * Loss and score on the test part, else on the validation part.
 * @param {Lab} own @param {{limit?: number, signal?: AbortSignal}} [options] @returns {Promise<Quality>}
 */
export async function quality(own, { limit = 24, signal } = {}) {
    const { session, task } = own;
    const split = comparedOn(task);
    if (!session || !task || !split) return { loss: null, score: null, split, items: 0 };
    const { loss } = await session.evaluate({ split, signal });
    const scored = task.metric.id !== 'none' && limit > 0 && task.items[split]?.some((item) => item.prompt !== undefined);
    return {
        loss,
        score: scored ? (await evaluateTask(session, task, { split, limit, signal })).score : null,
        split,
        items: task.splits[split].length,
    };
}

/**
 * Trains fresh modules together from the bare base; they stay in the session.
 * @param {Lab} own @param {Part[]} parts @param {Record<string, any>} train
 * @param {{seed: number, signal?: AbortSignal, onStep?: (report: {step: number, loss: number}) => void}} how
 */
export async function trainFresh(own, parts, train, { seed, signal, onStep }) {
    const session = /** @type {import('../engine/session.js').Session} */ (own.session);
    await session.clear();
    const modules = [];
    for (const { method, options = {} } of parts) modules.push(await session.addModule(method, options, { seed, name: method }));
    const warmup_steps = Math.min(train.warmup_steps ?? 0, train.steps); // a preset's may be longer than a short run
    const result = await session.train({ ...train, warmup_steps, seed, workers: 1, signal, onStep });
    return { modules, seconds: result.ms / 1000, steps: result.steps };
}
