/** The user's own examples as a task like ours, and a task's texts on their way into the engine. */
import { PeftLabError } from '../engine/index.js';

export const OWN = 'own-data';
/** One of this many examples is held out. */
const HELD = 10;

/**
 * @typedef {{title: string, examples: import('../engine/data.js').Example[],
 *   presets: import('../engine/tasks.js').Preset[]}} OwnData what a reload has to bring back
 */

/** @param {OwnData} own @returns {import('../engine/tasks.js').Task} the last of every ten examples is held out */
export function ownTask({ title, examples, presets }) {
    const isHeld = (/** @type {number} */ i) => examples.length >= HELD && i % HELD === HELD - 1;
    const held = examples.filter((_, i) => isHeld(i));
    return /** @type {any} */ ({
        name: OWN, title, story: '', metric: { id: 'none', name: '' }, presets, files: {}, generation: { max_new_tokens: 60, temperature: 0.7 },
        splits: { train: examples.filter((_, i) => !isHeld(i)), ...(held.length && { validation: held }) }, items: {},
    });
}

/** @param {any} kept from storage @returns {OwnData | null} */
export function readOwn(kept) {
    const usable = typeof kept?.title === 'string' && Array.isArray(kept.examples) && kept.examples.length > 0 && Array.isArray(kept.presets);
    return usable ? { title: kept.title, examples: kept.examples, presets: kept.presets } : null;
}

/**
 * The texts of a task into the session, and nothing of the task before. A held-out part without a usable example is
 * left out; what is trained on must have one.
 * @param {import('../engine/session.js').Session} session @param {import('../engine/tasks.js').Task} task
 * @returns {Promise<any[]>} statistics by split
 */
export async function loadSplits(session, task) {
    const loaded = [];
    for (const [split, examples] of Object.entries(task.splits)) {
        try {
            loaded.push({ split, ...(await session.setData(split, examples)) });
        } catch (thrown) {
            if (split === 'train' || PeftLabError.from(thrown).code !== 'argument') throw thrown;
        }
    }
    for (const split of Object.keys((await session.describe()).data)) if (!loaded.some((part) => part.split === split)) await session.dropData(split);
    return loaded;
}
