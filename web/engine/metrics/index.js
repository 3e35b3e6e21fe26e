/**
 * The metrics of the five tasks. Every one takes the test items and one generated text for each, and returns an
 * object with `score` (0..1, more is better), further figures and `items` with one row for each test item.
 */
import { scoreMood } from './mood.js';
import { scorePirate } from './pirate.js';
import { scoreShipLog } from './ship-log.js';
import { scoreTurtle } from './turtle.js';
import { scoreWordsToStory } from './words-to-story.js';

export { readLabel, scoreMood } from './mood.js';
export { PIRATE_WORDS, contentWords, scorePirate, styleScore, toPirate } from './pirate.js';
export { recalls, scoreShipLog } from './ship-log.js';
export { runTurtle, samePath, scoreTurtle } from './turtle.js';
export { requiredWords, scoreWordsToStory } from './words-to-story.js';

/**
 * @typedef {{prompt: string, completion: string}} Item
 * @typedef {{id: string, labels?: string[]}} Metric from the task's task.json
 */

/** @type {Record<string, (items: Item[], outputs: string[], metric: Metric) => {score: number, items: object[]}>} */
const METRICS = {
    'label-accuracy': (items, outputs, metric) => scoreMood(items, outputs, metric.labels ?? []),
    'required-words': scoreWordsToStory,
    'fact-recall': scoreShipLog,
    'pirate-style': scorePirate,
    'turtle-path': scoreTurtle,
};

/** Names a task.json may give as metric.id. */
export const METRIC_IDS = Object.freeze(Object.keys(METRICS));

/**
 * @param {Metric} metric
 * @param {Item[]} items
 * @param {string[]} outputs
 */
export function score(metric, items, outputs) {
    const compute = METRICS[metric.id];
    if (!compute) throw new RangeError(`there is no metric "${metric.id}"; there are ${METRIC_IDS.join(', ')}`);
    if (items.length !== outputs.length) throw new RangeError(`${items.length} items but ${outputs.length} outputs`);
    return compute(items, outputs, metric);
}
