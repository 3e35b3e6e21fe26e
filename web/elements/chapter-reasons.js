/** The chapter's reasons below each task's recommendation, a verdict for each: from recorded runs, arithmetic, or runs of this tab. */
import { html, nothing, t } from './base.js';
import { REASONS } from './chapter-data.js';
import { experiment, line, verdictHere } from './chapter-runs.js';
import { book, settingsText } from './recommend.js';
import { ABOUT, mergingReason, recordedReason } from '../lib/bullets.js';
import { bookWords, metricWords } from '../lib/engine-words.js';
import { SAME_TIME, shorter } from '../lib/evidence.js';
import { count, duration, fixed, percent } from '../lib/format.js';
import { number } from '../lib/i18n.js';

/** @typedef {import('./base.js').LabElement} Host */
/** @typedef {import('../lib/bullets.js').Row} Row */
/** @typedef {import('../lib/bullets.js').Recorded} Recorded */

const name = (/** @type {Row} */ { method }) => t(`method.${method}`);
const score = (/** @type {Row} */ row) => percent(100 * row.score.mean);
const part = (/** @type {number} */ share) => percent(100 * share);

/** @param {'moderate' | 'capacity'} judge */
const steps = (judge) => (/** @type {any} */ { rows, first, last }, /** @type {string} */ metric) => {
    const [few, middle, full] = rows.map(name);
    const step = (/** @type {boolean} */ clear, /** @type {string} */ a, /** @type {string} */ b) =>
        t(`chapter.reason.step.${clear ? 'clear' : 'same'}`, { a, b });
    const scores = rows.map((/** @type {Row} */ row) =>
        t('chapter.reason.score', { method: name(row), score: score(row), numbers: count(row.trainable) })).join(', ');
    return [
        t('chapter.reason.scores', { metric, scores }), step(first, few, middle), step(last, middle, full), t(`chapter.reason.${judge}`),
    ].join(' ');
};

/** What was recorded, in words. @type {Record<string, (values: any, metric: string) => string>} */
const WORDS = {
    few: ({ rows, full, shares }, metric) => [...rows.map((/** @type {Row} */ row, /** @type {number} */ i) => t('chapter.reason.few', {
        method: name(row), numbers: percent((100 * row.trainable) / full.trainable), share: part(shares[i]), metric,
    })), t('chapter.reason.few.rule', { about: part(ABOUT) })].join(' '),
    quick: ({ rows }) => t('chapter.reason.quick', {
        times: rows.map((/** @type {Row} */ row) => `${name(row)} ${duration(row.seconds).replaceAll(' ', '\u00a0')}`).join(', '),
        same: number(SAME_TIME, { style: 'percent' }),
    }),
    moderate: steps('moderate'),
    capacity: steps('capacity'),
    complex: ({ row, best, share }, metric) => t('chapter.reason.complex', {
        a: name(row), numbers: count(row.trainable), share: part(share), b: name(best), metric,
    }),
    learn: ({ base, best }, metric) => t('chapter.reason.learn', { metric, base: score(base), method: name(best), score: score(best) }),
    steer: ({ row, share, byLoss }, metric) => t('chapter.reason.steer', { method: name(row), share: part(share), loss: part(byLoss), metric }),
};

/** Merging is the same for every task: arithmetic, or what it gave in this tab. @param {Host} host @param {number} extra percent */
function merging(host, extra) {
    const { merged } = host.lab;
    if (!merged) {
        const { outcome, values } = mergingReason(extra);
        return line(host, outcome, t('chapter.reason.merged', { extra: percent(values.extra) }), 'calculated');
    }
    const [before, after] = [merged.before.median, merged.after.median];
    return line(host, shorter(after, before), t('chapter.reason.merged.here', { before: fixed(before, 3), after: fixed(after, 3) }));
}

/**
 * @param {Host} host @param {any} row a task of the engine's guide
 * @param {{recorded: Recorded | undefined, extra: number}} from extra: percent that an unmerged LoRA adds on a 7B model
 */
export function reasons(host, row, { recorded, extra }) {
    // What was measured has a name once the index is there, with the model; what was recorded is known before.
    const { metric_name } = host.lab.index?.tasks.find((/** @type {any} */ task) => task.name === row.task) ?? {};
    const metric = metric_name ? metricWords(metric_name) : t('merge.distil.score');
    const named = [row, row.other].filter(Boolean).map((rec) => rec.method);
    const one = (/** @type {string} */ text, /** @type {import('./chapter-data.js').Reason} */ { judge, open, runs = [], here, pairs = [] }) => {
        const found = recordedReason(judge, recorded, named);
        const seen = pairs.map((pair) => verdictHere(host, String(here), pair.map((wish) => ({ ...wish, task: row.task }))))
            .filter((verdict) => verdict !== nothing);
        const verdict = judge === 'merged' ? merging(host, extra)
            : found ? line(host, found.outcome, WORDS[judge](found.values, metric), 'recorded')
                : open && !seen.length ? line(host, open, t(`chapter.reason.${judge}`), null) : nothing;
        return html`<li data-reason=${judge}>${book(text)}${verdict}${seen}
            ${runs.map((wish) => experiment(host, { ...wish, task: row.task }, {
                about: `${bookWords(text).text}, ${settingsText(wish.options ?? {})}`, task: false,
            }))}</li>`;
    };
    return html`<ul class="reasons small">${row.reasons.map((/** @type {string} */ text, /** @type {number} */ i) =>
        one(text, REASONS[row.key][i]))}</ul>`;
}
