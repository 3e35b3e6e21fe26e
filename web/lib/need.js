/** What a run will take of the tab's memory, said before it starts. */
import { PeftLabError } from '../engine/index.js';

/** The engine's memory cannot grow beyond this (MAXIMUM_MEMORY in src/Makefile). */
const ENGINE_LIMIT = 2 ** 31;
/** A tab that takes more than this share of the device's memory may be ended by the browser. */
const SHARE = 0.25;
const MB = 2 ** 20;

/**
 * Bytes of one engine in a run. What it holds now is known; what comes is the engine's account for these dimensions,
 * whose 16-bit activations are 32-bit here, and whose gradients are held twice (of a shard, and their sum).
 * @param {import('../engine/session.js').Session} session with the module to train @param {{method: string, options: Record<string, any>}} module
 * @param {Record<string, any>} train @param {any} data statistics of the training split @returns {Promise<number>}
 */
export async function memoryNeed(session, { method, options }, { batch_size = 8, shards = 4, gradient_accumulation_steps = 1 }, data) {
    const { virtual_tokens = 0 } = (await session.describe()).modules.at(-1) ?? {};
    const { bytes } = await session.request('memory');
    const batch = Math.max(1, Math.ceil(batch_size / Math.max(1, Math.min(shards, batch_size)) / gradient_accumulation_steps));
    const account = await session.memoryFor({ method, options, dtype: 'f32', batch, seq: (data?.longest ?? 1) + virtual_tokens });
    return bytes + 2 * account.gradients + account.optimizer + 2 * (account.activations + account.logits);
}

/**
 * Throws when the engine could not hold it; true when the device may be short of memory.
 * @param {number} need bytes of one engine
 * @param {{workers: number, limit?: number, device?: number}} where limit: of one engine; device: GiB, 0 = unknown
 */
export function checkMemory(need, { workers, limit = ENGINE_LIMIT, device = 0 }) {
    const size = (/** @type {number} */ bytes) => `${Math.ceil(bytes / MB).toLocaleString('en-US')} MB`;
    if (need > limit) {
        throw new PeftLabError('memory', `This run needs about ${size(need)}, and the engine can have ${size(limit)}.`, {
            hint: 'Take a smaller batch, shorter examples, a smaller model, or a method that trains fewer numbers.',
        });
    }
    return device > 0 && need * workers > SHARE * device * 2 ** 30;
}
