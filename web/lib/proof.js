/**
 * The checks behind the numbers, run on a session as it is in a page: gradients against finite differences, what
 * merging does to the outputs, and whether a training gives the same bits again. The same code makes the recorded
 * figures (content/recorded/make-proof.mjs) and answers the button of the Proof panel. DOM-free. The recipe is fixed,
 * and no preset: what was recorded must be repeatable when presets change.
 */
import { largestDifference } from './measure.js';

/** @typedef {import('../engine/session.js').Session} Session */
/** @typedef {{signal?: AbortSignal, tick?: () => void}} How */
/**
 * @typedef {{tensors: number, directions: number, worst: number, tensor: string}} GradientCheck worst: the largest
 *   relative gap, and the tensor it is in
 */
/**
 * @typedef {{difference: number, largest: number, same_choice: boolean, restored: boolean}} MergeCheck restored:
 *   unmerged outputs are the earlier ones bit for bit
 */
/** @typedef {{hash: string, steps: number, same: boolean}} BitsCheck same: two trainings gave the same bytes */
/** @typedef {{method: string, fingerprint: string, gradients: GradientCheck, merge: MergeCheck | null, bits: BitsCheck}} Proof */

/** Examples the checks train on, and those of them the gradient is taken of. */
const EXAMPLES = 16;
const BATCH = 4;
const STEPS = 6;
const RECIPE = Object.freeze({ batch_size: BATCH, shards: 2, lr: 0.003, seed: 1, split: 'proof' });
/** A gradient that is wrong is off by its own size; in 32-bit arithmetic a right one agrees to a few thousandths in the worst tensor. */
export const GRADIENT_LIMIT = 0.02;
/** The loss must change by about this much: less drowns in rounding, more bends. */
const CHANGE = 6e-3;
const PROMPT = 'Once upon a time';

/** A number from -0.5 to 0.5, the same in every engine. @param {number} seed */
function random(seed) {
    let state = seed;
    return () => {
        state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
        return state / 0x7fffffff - 0.5;
    };
}

/** @param {ArrayLike<number>} values */
function length(values) {
    let sum = 0;
    for (let i = 0; i < values.length; i++) sum += values[i] * values[i];
    return Math.sqrt(sum);
}

/** 64 bits of FNV-1a, as hex. @param {Uint8Array[]} parts */
export function hash(parts) {
    return [0x811c9dc5, 0x9747b28c].map((start) => {
        let value = start;
        for (const part of parts) for (const byte of part) value = Math.imul(value ^ byte, 0x01000193) >>> 0;
        return value.toString(16).padStart(8, '0');
    }).join('');
}

/**
 * Every trained tensor of a module: the engine's gradient along a direction against (L(θ + h·v) − L(θ − h·v)) / 2h,
 * with h halved once to take the bend out (Richardson). The direction is half the gradient itself, so that the change
 * stands out of the rounding, and half random, so that no part can hide.
 * @param {Session} session with data in the split "proof" @param {any} module as addModule() answers @param {How} [how]
 * @returns {Promise<GradientCheck>}
 */
export async function checkGradients(session, module, { signal, tick } = {}) {
    const loss = async () => (await session.evaluate({ split: 'proof', limit: BATCH, signal })).loss;
    await session.request('gradients', { split: 'proof', from: 0, to: BATCH });
    /** @type {Float32Array[]} */
    const gradients = [];
    for (const { name } of module.tensors) gradients.push(await session.request('gradient', { id: module.id, name }));
    const result = { tensors: module.tensors.length, directions: module.tensors.length, worst: 0, tensor: '' };
    for (const [i, { name }] of module.tensors.entries()) {
        const gradient = gradients[i];
        const size = length(gradient);
        if (size === 0) throw new Error(`${name} has no gradient at all`);
        const next = random(7 + i);
        const noise = Float64Array.from(gradient, next);
        const loud = length(noise);
        const direction = Float64Array.from(gradient, (g, k) => (g / size + noise[k] / loud) / Math.SQRT2);
        const expected = direction.reduce((sum, v, k) => sum + v * gradient[k], 0);
        const values = await session.tensor(module.id, name);
        const room = 0.2 * Math.max(length(values), 0.05 * Math.sqrt(values.length));
        const h = Math.min(CHANGE / Math.abs(expected), room);
        const at = async (/** @type {number} */ by) => {
            await session.request('setTensor', { id: module.id, name, values: values.map((v, k) => v + by * direction[k]) });
            return loss();
        };
        try {
            const wide = ((await at(h)) - (await at(-h))) / (2 * h);
            const near = ((await at(h / 2)) - (await at(-h / 2))) / h;
            const found = (4 * near - wide) / 3;
            const gap = Math.abs(found - expected) / Math.max(Math.abs(found), Math.abs(expected));
            if (!(gap <= result.worst)) Object.assign(result, { worst: gap, tensor: name });
        } finally {
            await session.request('setTensor', { id: module.id, name, values });
        }
        tick?.();
    }
    return result;
}

/** Merged against not merged, and taken out again. @param {Session} session @returns {Promise<MergeCheck>} */
export async function checkMerge(session) {
    const read = async () => (await session.logits({ text: PROMPT })).logits;
    const before = await read();
    await session.merge();
    const merged = await read();
    await session.unmerge();
    const again = await read();
    const width = (await session.describe()).model.vocab_size;
    const best = (/** @type {Float32Array} */ row) => row.reduce((at, value, i) => (value > row[at] ? i : at), 0);
    let same = true;
    for (let at = 0; at < before.length; at += width) same &&= best(before.subarray(at, at + width)) === best(merged.subarray(at, at + width));
    const bits = (/** @type {Float32Array} */ values) => new Uint32Array(values.buffer, values.byteOffset, values.length);
    const [a, b] = [bits(before), bits(again)];
    return { ...largestDifference(before, merged), same_choice: same, restored: a.every((word, i) => word === b[i]) };
}

/**
 * All checks of one method. Leaves the session empty of modules.
 * @param {Session} session with a model @param {string} method @param {import('../engine/data.js').Example[]} examples the first few are used
 * @param {How & {workers?: number}} [how] workers of the second training: its bits must not depend on them @returns {Promise<Proof>}
 */
export async function prove(session, method, examples, { signal, tick, workers = 2 } = {}) {
    const { fingerprint } = await session.setData('proof', examples.slice(0, EXAMPLES));
    /** @param {number} shared @param {number} steps */
    const train = async (shared, steps) => {
        await session.clear();
        const module = await session.addModule(method, {}, { seed: 1, name: 'proof' });
        await session.train({ ...RECIPE, steps, workers: shared, signal });
        tick?.();
        /** @type {Uint8Array[]} */
        const bytes = [];
        for (const { name } of module.tensors) {
            const values = await session.tensor(module.id, name);
            bytes.push(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
        }
        return { module, hash: hash(bytes) };
    };
    const alone = await train(1, STEPS);
    const { module, hash: shared } = await train(workers, STEPS);
    const { can_merge: can } = (await session.describe()).modules[0];
    const merge = can ? await checkMerge(session) : null;
    const gradients = await checkGradients(session, module, { signal, tick });
    await session.clear();
    return { method, fingerprint, gradients, merge, bits: { hash: alone.hash, steps: STEPS, same: alone.hash === shared } };
}
