/**
 * Held-out loss, example by example and added in their order, so that the result does not depend on how the work was cut or
 * who did it.
 */

import { PeftLabError, shown } from './errors.js';

/** @typedef {import('./core.js').Core} Core */
/** @typedef {import('./protocol.js').Context} Context */
/** @typedef {{examples: number[], labels: number, bytes: number}} Block nats of each example, targets, bytes they stand for */
/** @typedef {{loss: number, perplexity: number, bits_per_byte: number, labels: number, bytes: number, examples: number}} HeldOut */

/** Examples that are evaluated between two looks at the messages. */
const BLOCK = 4;

/**
 * @param {Core} core
 * @param {{split?: string, limit?: number}} args limit: only the first examples
 * @param {Context} context
 * @param {import('./protocol.js').Remote[]} [peers] replicas in the same state, which take their share
 * @returns {Promise<HeldOut>} loss in nats per target
 */
export async function evaluate(core, { split = 'validation', limit = Infinity }, context, peers = []) {
    if (typeof limit !== 'number' || !(limit >= 1)) throw new PeftLabError('range', `limit must be 1 or more, not ${shown(limit)}`);
    const stats = core.json('pl_data_stats', split);
    const total = Math.min(Math.floor(limit), stats.examples);
    const count = Math.ceil(total / BLOCK);
    const workers = peers.length + 1;
    // Blocks are dealt out in turn: neighbours are as long as each other or not, all the same.
    const shares = Array.from({ length: workers }, (_, worker) =>
        Array.from({ length: Math.ceil((count - worker) / workers) }, (_block, i) => worker + i * workers));
    const same = { split, fingerprint: stats.fingerprint, total };
    const ended = new AbortController();
    const asked = peers.map((peer, i) => peer.request('losses', { ...same, blocks: shares[i + 1] }, { signal: ended.signal }).catch(() => null));
    const done = (/** @type {number} */ blocks) => context.emit({ type: 'evaluate', done: Math.min(total, blocks * workers * BLOCK), total });
    /** @type {Block[]} */
    const blocks = [];
    try {
        const found = [await losses(core, { ...same, blocks: shares[0] }, context, done), ...await Promise.all(asked)];
        for (const [worker, share] of shares.entries()) {
            // A replica that has other data under this name, or that died, leaves its share to us.
            const part = found[worker] ?? await losses(core, { ...same, blocks: share }, context);
            share.forEach((block, i) => { blocks[block] = /** @type {Block[]} */ (part)[i]; });
        }
    } finally {
        ended.abort();
    }
    return summary(blocks, total);
}

/**
 * Losses of some blocks of a split.
 * @param {Core} core
 * @param {{split: string, fingerprint: string, total: number, blocks: number[]}} args
 *   fingerprint: of the split that is meant; total: examples counted
 * @param {Context} context
 * @param {(blocks: number) => void} [done]
 * @returns {Promise<Block[] | null>} null: there is no such split here
 */
export async function losses(core, { split, fingerprint, total, blocks }, context, done) {
    if (!core.json('pl_describe').data[split]) return null;
    const stats = core.json('pl_data_stats', split);
    if (stats.fingerprint !== fingerprint) return null;
    /** @type {Block[]} */
    const found = [];
    for (const block of blocks) {
        context.unit('evaluating', spreadOf(stats));
        found.push(core.json('pl_data_loss', split, block * BLOCK, Math.min(total, (block + 1) * BLOCK)));
        done?.(found.length);
        await context.breathe();
    }
    return found;
}

/** @param {Block[]} blocks @param {number} examples */
function summary(blocks, examples) {
    let sum = 0;
    let labels = 0;
    let bytes = 0;
    for (const block of blocks) {
        for (const nats of block.examples) sum += nats;
        labels += block.labels;
        bytes += block.bytes;
    }
    const loss = labels ? sum / labels : NaN;
    return { loss, perplexity: Math.exp(loss), bits_per_byte: bytes ? sum / Math.LN2 / bytes : NaN, labels, bytes, examples };
}

/** How many times longer than the average the longest example of a split is. @param {{examples: number, tokens: number, longest: number}} stats */
export const spreadOf = ({ examples, tokens, longest }) => (tokens > 0 ? Math.max(1, (longest * examples) / tokens) : 1);
