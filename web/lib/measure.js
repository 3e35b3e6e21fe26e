/** Measurements around a merge: the prompt's logits and the time per token, on the engine as it is. */

/** @typedef {{median: number, low: number, high: number, runs: number}} Timing ms per token: median and quartiles */

const RUNS = 30;
const ROUNDS = 3;
const TOKENS = 16;

/** @param {number[]} values @returns {Timing} */
export function quartiles(values) {
    const sorted = [...values].sort((a, b) => a - b);
    const at = (/** @type {number} */ q) => {
        const place = q * (sorted.length - 1);
        const low = Math.floor(place);
        return sorted[low] + (place - low) * ((sorted[low + 1] ?? sorted[low]) - sorted[low]);
    };
    return { median: at(0.5), low: at(0.25), high: at(0.75), runs: sorted.length };
}

/**
 * @param {import('../engine/session.js').Session} session @param {string} prompt @param {number} runs
 * @returns {Promise<number[]>} ms per token of each
 */
async function time(session, prompt, runs) {
    const times = [];
    for (let i = 0; i <= runs; i++)
        times.push((await session.generate({ prompt, max_new_tokens: TOKENS, temperature: 0, stop_at_eos: false })).ms_per_token);
    return times.slice(1); // the first one warms up
}

/**
 * Merges, and says what that changed. The two states take turns, so that a machine that gets slower or faster meanwhile does not favour one of them.
 * @param {import('../engine/session.js').Session} session @param {string} prompt
 */
export async function measuredMerge(session, prompt) {
    const { logits } = await session.logits({ text: prompt });
    /** @type {{before: number[], after: number[]}} */
    const times = { before: [], after: [] };
    let report;
    for (let round = 0; round < ROUNDS; round++) {
        if (round > 0) await session.unmerge();
        times.before.push(...(await time(session, prompt, RUNS / ROUNDS)));
        report = await session.merge();
        times.after.push(...(await time(session, prompt, RUNS / ROUNDS)));
    }
    const { difference, largest } = largestDifference(logits, (await session.logits({ text: prompt })).logits);
    return { ...report, max_logit_difference: difference, max_logit: largest, before: quartiles(times.before), after: quartiles(times.after) };
}

/** @param {ArrayLike<number>} a @param {ArrayLike<number>} b @returns {{difference: number, largest: number}} max|a-b| and max|a| */
export function largestDifference(a, b) {
    let difference = 0;
    let largest = 0;
    for (let i = 0; i < a.length; i++) {
        difference = Math.max(difference, Math.abs(a[i] - b[i]));
        largest = Math.max(largest, Math.abs(a[i]));
    }
    return { difference, largest };
}

/** Whether two timings differ by more than their quartiles overlap. @param {Timing} a @param {Timing} b */
export const apart = (a, b) => a.low > b.high || b.low > a.high;
