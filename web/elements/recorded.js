/** The run that is shown until the visitor has one: made by content/recorded/make.mjs with the same engine. */
import first from '../content/recorded/first-run.json';

/** @typedef {{command: string, commit: string, date: string, model: string, run: import('../lib/runs.js').Run}} Recording */

export const recorded = /** @type {Recording} */ (/** @type {unknown} */ (first));
