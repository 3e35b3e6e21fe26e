/**
 * The chapter's reasons for its advice on each kind of task, against what was recorded on our task of that kind: the means of the test
 * scores over the seeds, the numbers trained and the processor time (models/recipes/tasks/results.json). A difference of scores below
 * twice its standard error is none. DOM-free.
 */
import { SAME_TIME } from './evidence.js';

/** @typedef {'agrees' | 'part' | 'differs'} Verdict part: some of it, or too little of it to be sure */
/** @typedef {{method: string, trainable: number, seconds: number, loss: number, score: {mean: number, spread: number | null}}} Row */
/** @typedef {{seeds: number, rows: Row[]}} Recorded one task of results.json */
/** @typedef {{outcome: Verdict, values: Record<string, any>}} Found */

/** From this share of full fine-tuning's gain on a method gets about as far. */
export const ABOUT = 0.9;
/** More than this share of a gain is most of it. */
const MOST = 0.5;

/** @param {boolean[]} parts of a claim @returns {Verdict} */
const together = (parts) => (parts.every(Boolean) ? 'agrees' : parts.some(Boolean) ? 'part' : 'differs');

/** @param {Recorded} recorded */
function read({ seeds, rows }) {
    const of = (/** @type {string} */ method) => /** @type {Row} */ (rows.find((row) => row.method === method));
    const trained = rows.filter(({ trainable }) => trainable > 0);
    const highest = (/** @type {Row[]} */ list) => list.reduce((a, b) => (b.score.mean > a.score.mean ? b : a));
    const base = of('base');
    return {
        of, base, full: of('full'), highest, best: highest(trained), fewest: trained.reduce((a, b) => (b.trainable < a.trainable ? b : a)),
        /** Whether b is better than a by more than the seeds explain. @param {Row} a @param {Row} b */
        clear: (a, b) => b.score.mean - a.score.mean > 2 * Math.sqrt(((a.score.spread ?? 0) ** 2 + (b.score.spread ?? 0) ** 2) / seeds),
        /** The part of b's gain over the model alone that a has. @param {Row} a @param {Row} b */
        share: (a, b) => (a.score.mean - base.score.mean) / (b.score.mean - base.score.mean),
        lowestLoss: Math.min(...trained.map(({ loss }) => loss)),
    };
}

/**
 * Two steps: from the fewest numbers to the method that is named, and from there to all numbers.
 * @param {Recorded} recorded @param {string[]} named @param {boolean} second whether the second step should help, too @returns {Found}
 */
function steps(recorded, named, second) {
    const { of, full, fewest, clear } = read(recorded);
    const middle = of(named[0]);
    const [first, last] = [clear(fewest, middle), clear(middle, full)];
    return { outcome: together([first, last === second]), values: { rows: [fewest, middle, full], first, last } };
}

/** @type {Record<string, (recorded: Recorded, named: string[]) => Found>} */
const JUDGE = {
    /** Few numbers are enough: each named method gets about as far as all numbers do. */
    few(recorded, named) {
        const { of, full, share, clear } = read(recorded);
        const rows = named.map(of);
        const parts = rows.map((row) => share(row, full) >= ABOUT);
        // Short of that, but by no more than the seeds explain, is not known to be wrong.
        const outcome = parts.some(Boolean) || rows.every((row) => clear(row, full)) ? together(parts) : 'part';
        return { outcome, values: { rows, full, shares: rows.map((row) => share(row, full)) } };
    },
    /** Each named method takes less time than full fine-tuning. */
    quick(recorded, named) {
        const { of, full } = read(recorded);
        const rows = named.map(of);
        return { outcome: together(rows.map(({ seconds }) => seconds < full.seconds * (1 - SAME_TIME))), values: { rows: [...rows, full] } };
    },
    moderate: (recorded, named) => steps(recorded, named, false),
    capacity: (recorded, named) => steps(recorded, named, true),
    /** Too much for the fewest numbers: they fall clearly behind, and have less than half of the best gain. */
    complex(recorded) {
        const { fewest, best, share, clear } = read(recorded);
        const reached = share(fewest, best);
        return { outcome: together([clear(fewest, best), reached < MOST]), values: { row: fewest, best, share: reached } };
    },
    /** What is asked for is not in the model: alone it has less than half of the named methods' score, which is clearly higher. */
    learn(recorded, named) {
        const { of, base, highest, clear } = read(recorded);
        const best = highest(named.map(of));
        return { outcome: together([clear(base, best), base.score.mean < best.score.mean * MOST]), values: { base, best } };
    },
    /** Methods that change no weight get more than half of the best gain, by score and by loss. */
    steer(recorded) {
        const { of, base, best, highest, share, lowestLoss } = read(recorded);
        const row = highest(['prompt', 'prefix'].map(of));
        const byLoss = (base.loss - row.loss) / (base.loss - lowestLoss);
        return { outcome: together([share(row, best) > MOST, byLoss > MOST]), values: { row, share: share(row, best), byLoss } };
    },
};

/**
 * @param {string} judge a name above @param {Recorded | undefined} recorded @param {string[]} named methods of the chapter's advice
 * @returns {Found | null} null: nothing recorded decides
 */
export const recordedReason = (judge, recorded, named) => (recorded && recorded.seeds > 1 && JUDGE[judge] ? JUDGE[judge](recorded, named) : null);

/** Merging spares what an unmerged module adds to each token. @param {number} extra percent of the arithmetic @returns {Found} */
export const mergingReason = (extra) => ({ outcome: extra > 0 ? 'agrees' : 'differs', values: { extra } });
