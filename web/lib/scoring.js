/** The scoring that nobody asked for: a finished run's, and the model's alone, while nobody wants anything else of the engine. DOM-free. */
import { PeftLabError } from '../engine/index.js';

/** @typedef {import('./lab.js').Lab} Lab */
/** @typedef {typeof import('../engine/index.js').evaluateTask} Evaluate given, not imported: the page has it, and this file comes later */
/** @typedef {{ended: boolean, now: AbortController}} Aside ended: for good; now: what ends the present attempt */
/** @typedef {{limit?: number, onProgress?: (done: number, total: number) => void}} How */

/** A panel looks at one matrix after the other: it has done so once it asks for nothing for this long. */
const QUIET_MS = 100;

/**
 * Whatever is asked of the engine ends it; a look of a panel (work without a status) only interrupts it, and it begins anew when
 * the panel has seen enough.
 * @param {Lab} lab @param {import('./runs.js').Run} run the one in the model @param {Aside} aside @param {Evaluate} evaluate
 * @param {How} how
 * @returns {Promise<any>} what evaluateTask() gives
 */
export async function scoreAside(lab, run, aside, evaluate, { limit = 24, onProgress }) {
    const task = /** @type {import('../engine/tasks.js').Task} */ (lab.task);
    for (;;) {
        const now = new AbortController();
        const { signal } = now;
        if (aside.ended) throw PeftLabError.aborted();
        const scored = lab.during(null, async () => {
            if (signal.aborted || !lab.session || lab.run !== run || lab.task !== task || lab.merged) throw PeftLabError.aborted();
            const result = await evaluate(lab.session, task, { limit, onProgress, signal });
            run.score = result.score;
            lab.emit('runs');
            const key = `${run.model} ${run.task}`; // lab.baseKey, which the visitor may have changed meanwhile
            run.base_score = lab.baseScores.get(key) ?? run.base_score ?? await alone(lab, task, evaluate, { limit, onProgress, signal });
            lab.baseScores.set(key, run.base_score);
            lab.emit('runs');
            return result;
        });
        aside.now = now; // not before during(), which ends what was going on
        try {
            return await scored;
        } catch (error) {
            if (aside.ended || !signal.aborted) throw error;
        }
        await quiet(aside);
    }
}

/** @param {Aside} aside */
async function quiet(aside) {
    let seen;
    do {
        seen = aside.now = new AbortController();
        await new Promise((resolve) => { setTimeout(resolve, QUIET_MS); });
    } while (seen.signal.aborted && !aside.ended);
}

/**
 * @param {Lab} lab @param {import('../engine/tasks.js').Task} task @param {Evaluate} evaluate
 * @param {How & {signal: AbortSignal}} how
 */
async function alone(lab, task, evaluate, how) {
    const session = /** @type {import('../engine/session.js').Session} */ (lab.session);
    const active = lab.description.modules.filter((/** @type {any} */ module) => module.active);
    for (const { id } of active) await session.setModule(id, { active: false });
    try {
        return (await evaluate(session, task, how)).score;
    } finally {
        for (const { id } of active) await session.setModule(id, { active: true });
    }
}
