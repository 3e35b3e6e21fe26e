/**
 * Weights of finished full fine-tunings, which are as large as the model, and of runs whose adapter files hold another
 * module; and the weights at a run's best step. The first are held up to a limit, the oldest let go first; that they
 * outlive the tab is the page's business (elements/autosave.js).
 */
import { checkMemory } from './need.js';

/** @typedef {import('./runs.js').Run} Run */

/** Bytes held at most, in the tab and in its storage. */
const LIMIT = 96 * 2 ** 20;
/** Weights at the best step up to this size stay with their run; of larger ones only the latest run's are kept, and not over a reload. */
const SMALL = 2 ** 20;
/** Weights are 32-bit numbers. */
const FLOAT = 4;

export class Weights {
    limit = LIMIT;
    /** Those of an earlier visit, set by who stored them. @type {(run: Run) => Promise<Uint8Array | undefined>} */
    stored = async () => undefined;
    /** @type {Map<Run, Uint8Array>} */
    #held = new Map();

    /** @param {number} numbers @returns {boolean} whether so many could be held at all */
    fits(numbers) { return numbers * FLOAT <= this.limit; }

    /**
     * @param {Run} run whose weights these are @param {Uint8Array} bytes a snapshot of the session
     * @param {Run[]} runs others, of which some may be in the storage only
     * @returns {Run[]} those whose weights were let go to make room: the oldest, pinned ones last
     */
    keep(run, bytes, runs) {
        const others = [...new Set([...this.#held.keys(), ...runs])].filter((other) => other !== run && other.weights)
            .sort((a, b) => Number(a.pinned ?? false) - Number(b.pinned ?? false) || a.id - b.id);
        const gone = /** @type {Run[]} */ ([]);
        for (let sum = others.reduce((all, other) => all + (other.weights ?? 0), bytes.length); sum > this.limit && gone.length < others.length;) {
            const oldest = others[gone.length];
            sum -= oldest.weights ?? 0;
            this.#held.delete(oldest);
            delete oldest.weights;
            gone.push(oldest);
        }
        run.weights = bytes.length;
        this.#held.set(run, bytes);
        return gone;
    }

    /** @param {Run} run @returns {Promise<Uint8Array | undefined>} */
    async of(run) { return this.#held.get(run) ?? (run.weights ? this.stored(run) : undefined); }
}

/**
 * Full fine-tuning has no adapter; PiSSA and OLoRA are written as plain LoRA of twice the rank, a prefix without the
 * network that made it. From such files a run would come back as a module of another size, which trains differently.
 * @param {Run} run
 */
export const changesInFiles = ({ method, options }) =>
    method === 'full' || ['pissa', 'olora'].includes(options.init) || options.prefix_projection === true;

// ---- the best step of a run ----

/** @param {Run} run */
const bestBytes = ({ trainable }) => trainable * FLOAT;

/** @param {Run} run */
export const hasLargeBest = (run) => bestBytes(run) > SMALL;

/**
 * Whether a run may keep its weights at the lowest held-out loss: small ones always, others where memory allows.
 * @param {Run} run @param {number} need bytes of the run @param {Parameters<typeof checkMemory>[1]} where
 */
export function mayKeepBest(run, need, where) {
    if (!hasLargeBest(run)) return true;
    try {
        return bestBytes(run) <= LIMIT && !checkMemory(need + 2 * bestBytes(run), where);
    } catch {
        return false;
    }
}

/** The lowest held-out loss after a step of training; what is better is kept. @param {Run} run */
export const bestSoFar = (run) => run.validations.reduce((low, { step, loss }) => (step > 0 && loss < low ? loss : low), Infinity);

/** A run as it is stored: without the weights at its best step where they are large. @param {Run} run @returns {Run} */
export function withoutLarge(run) {
    const { best, ...rest } = run;
    return best && hasLargeBest(run) ? rest : run;
}
