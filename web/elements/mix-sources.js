/** What is mixed in Mix: which source, with which weight, and by which rule. */
import { count, percent } from '../lib/format.js';
import { mixSummary } from '../lib/engine-words.js';
import { AVERAGE, LORA, SUM } from '../lib/mixing.js';
import { badge, html, nothing, t } from './base.js';
import { onSliderKey } from './options.js';
import { LETTERS } from './mix-results.js';
import { taskTitle } from './work.js';

const STEP = 0.05;
const FINE = 0.01;
const [LOW, HIGH] = [-1, 1.5];
/** Rules a student sees; the others come with the level. */
const STUDENT_RULES = [SUM, 'cat', 'linear', 'svd', 'ties', 'dare_linear'];

/** @typedef {import('../lib/mixing.js').Source} Source */

/** @param {import('../lib/runs.js').Run} run */
export function sourceName(run) {
    const what = run.mixture ? t('mix.mixture') : taskTitle(run.task);
    const size = run.method === LORA ? `r = ${run.options.rank}` : t(`method.${run.method}`);
    return t('word.pair', { name: t('runs.name', { n: run.id }), text: `${what}, ${size}` });
}

/** @param {Source[]} used */
export const areLoras = (used) => used[0]?.kind === LORA;

/** @param {number} value @returns {number} a weight that can be set */
export const weightNear = (value) => Math.round(Math.max(LOW, Math.min(HIGH, value)) / FINE) / (1 / FINE);

/** @param {import('../lib/lab.js').Lab} lab @param {Source[]} used @returns {string[]} */
export const rulesFor = ({ engine, state }, used) => (!areLoras(used) ? [AVERAGE]
    : [SUM, ...(engine?.mix_types ?? []).map((/** @type {any} */ m) => m.name)]
        .filter((name) => state.level !== 'student' || STUDENT_RULES.includes(name)));

/** @param {string} rule @param {Source[]} used */
export const ruleName = (rule, used) => (rule === SUM ? t('mix.rule.sum') : areLoras(used) ? rule : t('mix.rule.average'));

/**
 * What the rule does, and what it has cost.
 * @param {string} rule @param {Source[]} used @param {any[] | undefined} types the engine's rules
 * @param {import('../lib/mixing.js').Applied | null} applied
 */
export function ruleText(rule, used, types, applied) {
    if (!areLoras(used)) return t('mix.rule.average.about');
    const lost = applied && (applied.exact ? t('mix.exact') : t('mix.error', { percent: percent(applied.error * 100) }));
    return html`${rule === SUM ? t('mix.rule.sum.about') : mixSummary(types, rule)} ${lost ? html`${lost} ${badge('measured')}` : nothing}`;
}

/** Adapters that nothing can be done with here yet, with their size, by which they differ. @param {Source[]} alone */
export function aloneText(alone) {
    const names = alone.map(({ name, kind }) => `${name} (${count(Number(kind.split(' ')[1]))})`);
    return names.length ? html`<p class="small muted" id="alone">${t('mix.alone', { names: names.join('; ') })}</p>` : nothing;
}

/**
 * @param {number} i @param {Source[]} all @param {Source[]} used @param {number} weight @param {boolean} busy
 * @param {{choose: (key: string) => void, weigh: (value: number) => void}} on
 */
export function sourceCard(i, all, used, weight, busy, { choose, weigh }) {
    const letter = LETTERS[i];
    const source = used[i];
    const offered = i ? all.filter(({ kind }) => kind === used[0].kind) : all; // what the first one can be mixed with
    const label = t('mix.weight', { letter });
    const slider = { value: weight, min: LOW, max: HIGH, step: STEP, fine: FINE, big: 0.25 };
    const slid = (/** @type {any} */ e) => weigh(Math.round(Number(e.target.value) / STEP) * STEP);
    return html`<div class="card stack"><label>${t(areLoras(used) ? 'mix.source' : 'mix.source.adapter', { letter })}<select ?disabled=${busy}
            @change=${(/** @type {any} */ e) => choose(e.target.value)}>
            ${i === 2 ? html`<option value="" ?selected=${!source}>${t('word.none')}</option>` : nothing}
            ${offered.map((s) => html`<option value=${s.key} ?selected=${s === source || s.key === source?.key}>${s.name}</option>`)}
            </select></label>
        ${source ? html`<div class="slide"><input type="range" min="-1" max="1.5" step=${FINE} aria-label=${label}
                .value=${String(weight)} ?disabled=${busy} @input=${slid}
                @keydown=${(/** @type {KeyboardEvent} */ e) => onSliderKey(e, slider, weigh)}>
            <input type="number" min="-1" max="1.5" step=${FINE} aria-label=${label} .value=${String(weight)} ?disabled=${busy}
                @change=${(/** @type {any} */ e) => weigh(Number(e.target.value))}></div>` : nothing}</div>`;
}
