/** Measurements around a merge: the prompt's logits and the time per token, on the engine as it is. */

/** @typedef {{median: number, low: number, high: number, runs: number}} Timing ms per token: median and quartiles */

const RUNS = 30;
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
 * @param {import('../engine/session.js').Session} session @param {string} prompt @param {number} [runs]
 * @returns {Promise<{logits: Float32Array, timing: Timing}>}
 */
export async function measure(session, prompt, runs = RUNS) {
    const { logits } = await session.logits({ text: prompt });
    const once = async () => (await session.generate({ prompt, max_new_tokens: TOKENS, temperature: 0, stop_at_eos: false })).ms_per_token;
    await once(); // the first one warms up
    const times = [];
    for (let i = 0; i < runs; i++) times.push(await once());
    return { logits, timing: quartiles(times) };
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
