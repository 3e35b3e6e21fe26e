/** Two methods alone and together, from the same base with the same number of steps and the same data. DOM-free. */
import { quality, recipe, trainFresh } from './aside.js';

/** @typedef {import('./lab.js').Lab} Lab */
/** @typedef {import('./aside.js').Part} Part */
/**
 * @typedef {{parts: Part[], train: Record<string, any>, seeds: number, trainable: number, losses: number[], scores: number[],
 *   seconds: number, text: string, files: Record<string, Uint8Array>[]}} Row losses and scores by seed; text
 *   and files of the last seed
 */
/**
 * @typedef {{loss: number | null, score: number | null, text: string, prompt: string, split: string,
 *   items: number}} Alone the model without any module
 */

/**
 * The three rows to train. All take the same steps and batch. Each method alone has its own tuned rate; together there is one rate for both,
 * the lower of the two, because too high a rate breaks a run and too low a one only slows it.
 * @param {Lab} lab @param {[string, string]} methods @param {number} [steps] 0: the longer of the two presets
 * @returns {{parts: Part[], train: Record<string, any>}[]}
 */
export function ablation(lab, methods, steps = 0) {
    const each = methods.map((method) => ({ method, ...recipe(lab, method), ...(method === lab.state.method && { options: lab.options }) }));
    const same = {
        steps: steps || Math.max(...each.map(({ train }) => train.steps)),
        batch_size: Math.max(...each.map(({ train }) => train.batch_size)),
    };
    const rows = each.map(({ method, options, train }) => ({ parts: [{ method, options }], train: { ...train, ...same } }));
    const lr = Math.min(...each.map(({ train }) => train.lr));
    return [...rows, { parts: each.map(({ method, options }) => ({ method, options })), train: { ...each[0].train, ...same, lr } }];
}

/** Untrained modules of both methods in the session, for the drawing and the counter. @param {Lab} own @param {Part[]} parts @param {number} seed */
export async function putFresh(own, parts, seed) {
    await own.session?.clear();
    for (const { method, options } of parts) await own.session?.addModule(method, options, { seed, name: method });
    return own.describe();
}

/**
 * @param {Lab} own a lab aside @param {{parts: Part[], train: Record<string, any>}[]} plan the last row's modules stay in the session
 * @param {{seeds: number, limit: number, signal?: AbortSignal, onStep?: () => void, onRow?: (rows: Row[], alone: Alone) => void}} how
 * @returns {Promise<{alone: Alone, rows: Row[]}>}
 */
export async function runAblation(own, plan, { seeds, limit, signal, onStep, onRow }) {
    const session = /** @type {import('../engine/session.js').Session} */ (own.session);
    await session.clear();
    const { prompt } = own.sample;
    const alone = { ...(await quality(own, { limit, signal })), text: await own.generate(prompt), prompt };
    /** @type {Row[]} */
    const rows = [];
    for (const { parts, train } of plan) {
        const row = {
            parts,
            train,
            seeds,
            trainable: 0,
            losses: /** @type {number[]} */ ([]),
            scores: /** @type {number[]} */ ([]),
            seconds: 0,
            text: '',
            files: /** @type {any[]} */ ([]),
        };
        for (let seed = 1; seed <= seeds; seed++) {
            const { modules, seconds } = await trainFresh(own, parts, train, { seed, signal, onStep });
            const { loss, score } = await quality(own, { limit, signal });
            if (loss !== null) row.losses.push(loss);
            if (score !== null) row.scores.push(score);
            row.trainable = modules.reduce((sum, module) => sum + module.parameters, 0);
            row.seconds += seconds / seeds;
            row.text = await own.generate(prompt);
            row.files = [];
            for (const { id, method } of modules) if (method !== 'full') row.files.push(await session.exportAdapter(id));
        }
        rows.push(row);
        onRow?.([...rows], alone);
    }
    await own.describe();
    return { alone, rows };
}

/**
 * Puts trained modules into the page's model together; the run in it is left.
 * @param {Lab} lab @param {Record<string, Uint8Array>[]} files in the order they shall run
 */
export async function putTogether(lab, files) {
    await lab.work(async (session) => {
        await session.clear();
        for (const folder of files) await session.importAdapter(folder);
        lab.run = null;
        lab.merged = null;
        await lab.describe();
        lab.sample = { ...lab.sample, after: await lab.generate(lab.sample.prompt) };
    });
    lab.emit('merge', null);
    lab.emit('run', null);
    lab.emit('sample', { when: 'after', text: lab.sample.after, step: 0 });
}

/** @param {number[]} values */
export const spread = (values) => ({ mean: values.reduce((a, b) => a + b, 0) / values.length, min: Math.min(...values), max: Math.max(...values) });
