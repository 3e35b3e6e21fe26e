/**
 * A tab that may not save, since another one does, takes that over when the other is closed: what the other kept meanwhile is
 * brought in first, so that neither tab's runs are lost.
 */
import { newcomers } from '../lib/packages.js';

/** @typedef {import('../lib/runs.js').Run} Run */
/**
 * What autosave.js works with: handed over, not imported, as code that the page's own shares with a later file becomes one more file
 * that every visitor fetches.
 * @typedef {{lockHeld: () => Promise<boolean>, takeLock: () => Promise<boolean>, stored: () => Promise<{left: any, kept: any, runs: Run[]}>,
 *   placeOf: (run: {id: number}) => string, follow: (lab: any, own: any, runs: Run[]) => void, load: (key: string) => Promise<any>,
 *   remove: (key: string) => Promise<void>, usePanelTexts: () => Promise<void>}} By
 */

/** A page that is being reloaded leaves the lock free for a while, and is to have it again: only what stays free is taken. */
const LOOK_MS = 3000;
const LOOKS = 2;

/** @param {() => Promise<boolean>} isHeld ends when the lock has been free at `LOOKS` looks in a row */
async function left(isHeld) {
    for (let free = 0; free < LOOKS;) {
        await new Promise((resolve) => { setTimeout(resolve, LOOK_MS); });
        free = (await isHeld()) ? 0 : free + 1;
    }
}

/**
 * Adds the stored runs that are not here, those whose number another run has here under a new one.
 * @param {import('../lib/lab.js').Lab} lab @param {Run[]} runs stored ones
 * @param {By} by
 * @returns {Promise<{run: Run, bytes: Uint8Array}[]>} weights of all runs, to be stored anew: a place goes by a run's number
 */
async function inherit(lab, runs, { placeOf, load, remove }) {
    const { fresh, was } = newcomers(lab.runs, runs);
    lab.adopt(fresh);
    const weighty = lab.runs.filter((run) => run.weights);
    const placed = (/** @type {Run} */ run) => load(placeOf({ id: was.get(run) ?? run.id }));
    const weights = await Promise.all(weighty.map(async (run) => ({ run, bytes: await (was.has(run) ? placed(run) : lab.weights.of(run)) })));
    for (const [run, id] of was) if (id !== run.id) await remove(placeOf({ id }));
    return weights.filter(({ bytes }) => bytes);
}

/**
 * Ends when this tab saves, and says so.
 * @param {import('../lib/lab.js').Lab} lab
 * @param {By} by
 * @returns {Promise<{left: any, kept: any}>} what the other tab left
 */
export async function waitForTurn(lab, by) {
    const { lockHeld, takeLock, stored, follow, usePanelTexts } = by;
    do await left(lockHeld); while (!(await takeLock()));
    const there = await stored();
    lab.own ??= there.kept;
    const weights = await inherit(lab, there.runs, by);
    follow(lab, there.kept, []);
    for (const { run, bytes } of weights) lab.emit('weights', { run, bytes, gone: lab.weights.keep(run, bytes, lab.runs) });
    lab.emit('runs'); // what this tab has done so far is to be kept, too
    await usePanelTexts().catch(() => {}); // the next words are among them
    lab.emit('notice', { instead: 'notice.other_tab', text: 'notice.this_tab' });
    return there;
}
