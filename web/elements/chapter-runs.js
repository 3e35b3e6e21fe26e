/** Experiments of the chapter on the page: what loads and trains them, what came of it in this tab, and whether the chapter is right. */
import { html, nothing, t } from './base.js';
import { TRY } from './chapter-data.js';
import { book, loadButtons, methodName, settingsText } from './recommend.js';
import { itemsOf } from '../lib/aside.js';
import { complete, figures, ranking, recordedRanking, runOf, SAME_LOSS, SAME_TIME, verdictOf } from '../lib/evidence.js';
import { metricWords } from '../lib/engine-words.js';
import { count, duration, fixed, optionValue, percent, splitWords } from '../lib/format.js';
import { number } from '../lib/i18n.js';

/** @typedef {import('./base.js').LabElement} Host */
/** @typedef {import('../lib/evidence.js').Wish} Wish */

const MARKS = Object.freeze({ agrees: '✓', differs: '≠', even: '≈', part: '≈', see: '▷', untested: '–' });
/** What the values of a verdict are. */
const WORDS = /** @type {Record<string, (value: number) => string>} */ (Object.freeze({
    better: (value) => fixed(value), enough: (value) => fixed(value), gap: (value) => fixed(value), faster: duration, near: percent,
}));

/** What the last run of this tab with these very settings gave. @param {Host} host @param {Wish} wish */
export function measured(host, wish) {
    const { lab } = host;
    const run = runOf(lab, wish);
    if (!run) return nothing;
    const { steps, seconds, training, held, base, trainable } = figures(run);
    const values = {
        run: run.id, steps, seconds: duration(seconds), training: fixed(training), held: fixed(held), numbers: count(trainable),
        base: base === null ? '–' : fixed(base), split: splitWords('validation', itemsOf(lab, run.task, 'validation')),
    };
    return html`<span class="came">${t('chapter.measured', values)} ${host.value('', 'measured')}
        ${complete(lab, wish, run) ? nothing : html`<br>${t('chapter.measured.short')}`}</span>`;
}

/**
 * A run to try: settings, the buttons that load it, what came of it here.
 * @param {Host} host @param {Wish} run @param {{about?: string, task?: boolean}} [looks] task: whether its task is said
 */
export function experiment(host, run, { about = '', task = true } = {}) {
    const more = [
        settingsText(run.options ?? {}),
        ...(['steps', 'lr', 'batch_size'].filter((key) => key in run)
            .map((key) => `${t(`settings.${key}`)} ${optionValue(/** @type {any} */ (run)[key])}`)),
        ...(run.task && task ? [t('chapter.on', { task: t(`task.${run.task}`) })] : []),
    ].filter(Boolean).join(', ');
    return html`<div class="row small"><span>${methodName(run.method)}${more ? `, ${more}` : ''}</span>
        ${loadButtons(host, run, { about: about || more || t(`method.${run.method}`) })}${measured(host, run)}</div>`;
}

/**
 * A verdict and what it rests on.
 * @param {Host} host @param {keyof typeof MARKS} outcome @param {string} words
 * @param {'measured' | 'recorded' | 'calculated' | null} [kind] null: nothing was measured
 */
export const line = (host, outcome, words, kind = 'measured') => html`<p class="small ${kind === 'measured' ? 'here' : ''}" data-outcome=${
    outcome}><span class="verdict ${outcome === 'agrees' ? 'holds' : outcome}">${MARKS[outcome]} ${
    t(`chapter.${kind === 'measured' ? 'here' : kind ?? 'verdict'}.${outcome}`)}</span>
    ${words} ${kind ? host.value('', kind) : nothing}</p>`;

/** A run in few words. @param {Wish} wish */
const named = ({ method, options = {}, lr }) => [
    t(`method.${method}`), settingsText(options), lr ? `${t('settings.lr')} ${optionValue(lr)}` : '',
].filter(Boolean).join(', ');

/**
 * Whether the chapter is right about these runs, once all of them were made here.
 * @param {Host} host @param {string} judge @param {Wish[]} wishes
 */
export function verdictHere(host, judge, wishes) {
    const found = verdictOf(host.lab, judge, wishes);
    if (!found) return nothing;
    const values = Object.fromEntries(Object.entries(found.values).map(([name, value]) => [name, WORDS[judge](value)]));
    const words = judge === 'enough' ? 'better' : judge;
    return line(host, found.outcome, t(`chapter.judge.${words}`, { ...values, a: named(wishes[0]), b: named(wishes[1]) }));
}

/** The same for a task's recommendation. @param {Host} host @param {string} task @param {string[]} named methods */
export function rankingHere(host, task, named) {
    const found = ranking(host.lab, task, named);
    if (!found) return nothing;
    const { outcome, best, runs } = found;
    const values = { runs, run: best.id, method: t(`method.${best.method}`), loss: fixed(figures(best).held) };
    return line(host, outcome, t('chapter.judge.ranking', values));
}

/**
 * The same by the recorded scores of the task's card, before anything was run here.
 * @param {Host} host @param {string} task @param {string[]} named methods
 */
export function rankingRecorded(host, task, named) {
    const entry = host.lab.index?.tasks.find(({ name }) => name === task);
    const scores = /** @type {Record<string, any>} */ (entry?.scores);
    const found = recordedRanking(scores, named);
    if (!found) return nothing;
    const { outcome, ours, other, error } = found;
    const of = (/** @type {string} */ method) => `${t(`method.${method}`)} ${percent(100 * scores[method])}`;
    const values = { ours: of(ours), other: of(other), model: scores.model, seeds: scores.seeds, error: fixed(200 * error, 1) };
    return html`${line(host, outcome, t('chapter.judge.recorded', { ...values, metric: metricWords(entry?.metric_name ?? '') }), 'recorded')}
        <code class="small">./build.sh bench --tasks --only ${task}</code>`;
}

/** What a verdict "here" rests on. */
export const verdictNote = () => html`<p class="small muted">${t('chapter.here.note', {
    loss: number(SAME_LOSS), time: number(SAME_TIME, { style: 'percent' }),
})}</p>`;

/**
 * A table of advice as printed, with what is to be tried for each row.
 * @param {Host} host @param {'quick' | 'summary' | 'pitfalls'} name @param {any[]} rows of the engine's guide
 */
export function adviceTable(host, name, rows) {
    const tries = TRY[name];
    const cell = (/** @type {any} */ row, /** @type {number} */ i) => html`<td><div class="stack">${
        tries[i].runs.map((run) => experiment(host, run, { about: `${row.when}: ${settingsText(run.options ?? {})}` }))}
        ${tries[i].panel ? html`<div><button type="button" @click=${() => host.lab.set({ panel: tries[i].panel })}>${
            t(`panel.${tries[i].panel}`)}<span class="sr">: ${row.when}</span></button></div>` : nothing}</div></td>`;
    return html`<div class="scroll" tabindex="0" role="region" aria-label=${t(`choose.${name}`)}><table>
        <thead><tr>
            <th scope="col">${t(`choose.${name}.when`)}</th>
            ${rows[0].why ? html`<th scope="col">${t('choose.col.why')}</th>` : nothing}
            <th scope="col">${t(`choose.${name}.use`)}</th>
            ${tries ? html`<th scope="col">${t('choose.col.try')}</th>` : nothing}</tr></thead>
        <tbody>${rows.map((row, i) => html`<tr>
            <td>${book(row.when)}</td>
            ${row.why ? html`<td>${book(row.why)}</td>` : nothing}<td>${book(row.use)}</td>
            ${tries ? cell(row, i) : nothing}</tr>`)}</tbody></table></div>`;
}
