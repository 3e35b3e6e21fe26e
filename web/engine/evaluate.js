/** Held-out loss, example by example, so that the result does not depend on how the work was cut. */

import { PeftLabError } from './errors.js';

/**
 * @param {import('./core.js').Core} core
 * @param {{split?: string, limit?: number}} args limit: only the first examples
 * @param {import('./protocol.js').Context} context
 * @returns {Promise<{loss: number, perplexity: number, bits_per_byte: number, labels: number, bytes: number, examples: number}>} loss in nats per target
 */
export async function evaluate(core, { split = 'validation', limit = Infinity }, context) {
    if (!(limit >= 1)) throw new PeftLabError('range', `limit must be 1 or more, not ${limit}`);
    const stats = core.json('pl_data_stats', split);
    const total = Math.min(Math.floor(limit), stats.examples);
    let sum = 0;
    let labels = 0;
    let bytes = 0;
    for (let from = 0; from < total; from += 4) {
        context.unit('evaluating', spreadOf(stats));
        const part = core.json('pl_data_loss', split, from, Math.min(total, from + 4));
        for (const nats of part.examples) sum += nats;
        labels += part.labels;
        bytes += part.bytes;
        context.emit({ type: 'evaluate', done: Math.min(total, from + 4), total });
        await context.breathe();
    }
    const loss = labels ? sum / labels : NaN;
    return { loss, perplexity: Math.exp(loss), bits_per_byte: bytes ? sum / Math.LN2 / bytes : NaN, labels, bytes, examples: total };
}

/** How many times longer than the average the longest example of a split is. @param {{examples: number, tokens: number, longest: number}} stats */
export const spreadOf = ({ examples, tokens, longest }) => (tokens > 0 ? Math.max(1, (longest * examples) / tokens) : 1);
