/**
 * What merging does, measured: time with and without a module in alternation, rounding to 16 bits, and distilling what
 * cannot be merged. DOM-free.
 */
import { largestDifference, quartiles } from './measure.js';

/** @typedef {import('../engine/session.js').Session} Session */
/** @typedef {import('./measure.js').Timing} Timing */

/** Tokens per timed generation: browsers round clocks to 0.1 ms, so one generation must take a good many times that. */
const TOKENS = 96;

/** One generation's pace: ms per new token, and ms until the first token can be chosen. @param {Session} session @param {string} prompt */
async function pace(session, prompt) {
    const began = performance.now();
    const { ms, ms_per_token: token } = await session.generate({ prompt, max_new_tokens: TOKENS, temperature: 0, stop_at_eos: false });
    return { token, start: Math.max(0, performance.now() - began - ms) };
}

/**
 * Times two states of a session in turns, so that other load on the machine meets both alike.
 * @param {Session} session @param {string} prompt @param {[() => Promise<unknown>, () => Promise<unknown>]} states put the session into a state
 * @param {{rounds?: number, tick?: () => void}} [how] @returns {Promise<{token: Timing, start: Timing}[]>} ms per token and ms before the first one
 */
export async function alternate(session, prompt, states, { rounds = 30, tick } = {}) {
    /** @type {{token: number, start: number}[][]} */
    const seen = [[], []];
    for (let round = -1; round < rounds; round++) {
        // Who goes first changes, and the first round only warms up.
        for (const which of round % 2 ? [1, 0] : [0, 1]) {
            await states[which]();
            const one = await pace(session, prompt);
            if (round >= 0) seen[which].push(one);
        }
        tick?.();
    }
    return seen.map((list) => ({ token: quartiles(list.map(({ token }) => token)), start: quartiles(list.map(({ start }) => start)) }));
}

/**
 * Merges, and measures before against after: logits, ms per token in alternation, files, numbers. The model ends merged; if stopped, unmerged.
 * @param {Session} session @param {string} prompt @param {{rounds?: number, tick?: () => void, check?: () => void}} [how]
 * @returns {Promise<any>} as Lab.merge reports, with sizes
 */
export async function mergeMeasured(session, prompt, { rounds = 30, tick, check } = {}) {
    const { modules } = await session.describe();
    const active = modules.filter((/** @type {any} */ m) => m.active && m.can_merge);
    const before = (await session.logits({ text: prompt })).logits;
    try {
        const report = await session.merge();
        const after = (await session.logits({ text: prompt })).logits;
        const { difference, largest } = largestDifference(before, after);
        const [apart, merged] = await alternate(session, prompt, [() => session.unmerge(), () => session.merge()], {
            rounds,
            tick: () => {
                tick?.();
                check?.();
            },
        });
        await session.merge();
        const same = argmaxAgreement(before, after, await session.describe());
        const model = (await session.exportModel('F16'))['model.safetensors'].length;
        await session.unmerge();
        let adapter = 0;
        for (const { id, method } of active)
            if (method !== 'full')
                adapter += Object.values(await session.exportAdapter(id)).reduce((sum, file) => sum + file.length, 0);
        const final = await session.merge();
        return {
            ...report, ...final, max_logit_difference: difference, max_logit: largest, same_choice: same, before: apart.token, after: merged.token,
            bytes: { model, adapter }, numbers: active.reduce((/** @type {number} */ sum, /** @type {any} */ m) => sum + m.parameters, 0),
        };
    } catch (error) {
        await session.unmerge();
        throw error;
    }
}

/** Share of positions where both choose the same next token. @param {Float32Array} a @param {Float32Array} b @param {any} description */
function argmaxAgreement(a, b, { model }) {
    const width = model.vocab_size;
    const best = (/** @type {Float32Array} */ row) => row.reduce((at, value, i) => (value > row[at] ? i : at), 0);
    let same = 0;
    for (let at = 0; at < a.length; at += width) same += Number(best(a.subarray(at, at + width)) === best(b.subarray(at, at + width)));
    return same / (a.length / width);
}

// ---- 16-bit files ----

const word = new Float32Array(1);
const bits = new Uint32Array(word.buffer);

/** The nearest bfloat16, ties to even. @param {number} value */
export function toBf16(value) {
    word[0] = value;
    bits[0] = (bits[0] + 0x7fff + ((bits[0] >>> 16) & 1)) & 0xffff0000;
    return word[0];
}

/** The nearest IEEE half, ties to even. @param {number} value */
export function toF16(value) {
    const size = Math.abs(value);
    if (size >= 65520) return Math.sign(value) * Infinity;
    // Halves are spaced 2^(e-10) apart at 2^e, and 2^-24 below 2^-14.
    const step = 2 ** (Math.max(-14, Math.floor(Math.log2(size || 1e-30))) - 10);
    const scaled = size / step;
    const low = Math.floor(scaled);
    const rest = scaled - low;
    return Math.sign(value) * step * (rest > 0.5 || (rest === 0.5 && low % 2 === 1) ? low + 1 : low);
}

/**
 * What is left of a change when W + ΔW is stored with 16 bits: the realised change is round(W + ΔW) − round(W).
 * @param {{base: Float32Array, delta: Float32Array}[]} maps @param {(value: number) => number} round @param {number} [scale] multiplies ΔW
 * @returns {{error: number, unchanged: number}} |realised − ΔW| / |ΔW|, and the share of weights that did not change at all
 */
export function realised(maps, round, scale = 1) {
    let miss = 0;
    let size = 0;
    let unchanged = 0;
    let all = 0;
    for (const { base, delta } of maps) {
        for (let i = 0; i < base.length; i++) {
            const d = delta[i] * scale;
            if (d === 0) continue;
            const real = round(Math.fround(base[i] + d)) - round(base[i]);
            miss += (real - d) ** 2;
            size += d ** 2;
            unchanged += Number(real === 0);
            all++;
        }
    }
    return { error: size > 0 ? Math.sqrt(miss / size) : 0, unchanged: all > 0 ? unchanged / all : 0 };
}
