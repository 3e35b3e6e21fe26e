/** The run that is shown until the visitor has one: made by content/recorded/make.mjs with the same engine. */
import first from '../content/recorded/first-run.json';

/** @typedef {{command: string, commit: string, date: string, model: string, run: import('../lib/runs.js').Run}} Recording */

export const recorded = /** @type {Recording} */ (/** @type {unknown} */ (first));

/**
 * Whether the recorded run still stands for the visitor's own: same task, nothing trained.
 * @param {import('../lib/lab.js').Lab} lab
 */
export const showsRecorded = (lab) => !lab.run && lab.runs.length === 0 && lab.state.task === recorded.run.task && !lab.state.prompt;
