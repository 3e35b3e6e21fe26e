/**
 * A tab that may not save, since another one does, takes that over when the other is closed: what the other kept meanwhile is
 * brought in first, so that neither tab's runs are lost.
 */
import { newcomers } from '../lib/packages.js';
import { load, remove } from '../lib/storage.js';

/** @typedef {import('../lib/runs.js').Run} Run */

/** A page that is being reloaded leaves the lock free for a while, and is to have it again: only what stays free is taken. */
const LOOK_MS = 3000;
const LOOKS = 2;

/** @param {() => Promise<boolean>} isHeld ends when the lock has been free at `LOOKS` looks in a row */
export async function left(isHeld) {
    for (let free = 0; free < LOOKS;) {
        await new Promise((resolve) => { setTimeout(resolve, LOOK_MS); });
        free = (await isHeld()) ? 0 : free + 1;
    }
}

/**
 * Adds the stored runs that are not here, those whose number another run has here under a new one.
 * @param {import('../lib/lab.js').Lab} lab @param {Run[]} runs stored ones
 * @param {(run: {id: number}) => string} placeOf where a run's weights are stored
 * @returns {Promise<{run: Run, bytes: Uint8Array}[]>} weights of all runs, to be stored anew: a place goes by a run's number
 */
export async function inherit(lab, runs, placeOf) {
    const { fresh, was } = newcomers(lab.runs, runs);
    lab.adopt(fresh);
    const weighty = lab.runs.filter((run) => run.weights);
    const placed = (/** @type {Run} */ run) => load(placeOf({ id: was.get(run) ?? run.id }));
    const weights = await Promise.all(weighty.map(async (run) => ({ run, bytes: await (was.has(run) ? placed(run) : lab.weights.of(run)) })));
    for (const [run, id] of was) if (id !== run.id) await remove(placeOf({ id }));
    return weights.filter(({ bytes }) => bytes);
}
