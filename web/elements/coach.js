/**
 * <peft-coach>: reads the curves of the run in the lab, says one thing about them, and offers one change that one click applies; never
 * by itself. Its rules are the engine's (src/advise/coach.c) and can be printed. Where a run over-fits, another click goes back to its
 * best step. Shows nothing before there is a run.
 */
import { css, define, html, LabElement, nothing, t } from './base.js';
import { wrong } from './engine-said.js';
import { calculator } from './calculator-engine.js';
import { optionLabel } from './options.js';
import { usePanelTexts } from './texts.js';
import { fixed, percent, significant } from '../lib/format.js';
import { hasText, language } from '../lib/i18n.js';
import { bestValidation, lastValidation } from '../lib/runs.js';

/** A loss that is no number is handed over as a huge one: JSON has no word for it, and the rule for diverging is the same. */
const NO_NUMBER = 1e30;
/** Longer curves are thinned; the engine looks at thirds and sixths of a run. */
const MOST_POINTS = 600;
const TRAINING = ['lr', 'steps'];
const SIGNS = /** @type {Record<string, string>} */ ({
    good: '✓', plateau: '→', underfitting: '↘', overfitting: '↗', diverging: '⚠', too_early: '…', unfinished: '…',
});

/**
 * The engine's sentence in English, ours in other languages.
 * @param {string} key @param {string} words @param {Record<string, any>} [values]
 */
const inOurWords = (key, words, values) => (language() !== 'en' && hasText(key) ? t(key, values) : words);

/** What the engine's coach reads. @param {import('../lib/runs.js').Run} run */
export function coachRequest(run) {
    const finite = (/** @type {number} */ value) => (Number.isFinite(value) ? value : NO_NUMBER);
    const held = new Map(run.validations.map(({ step, loss }) => [step, finite(loss)]));
    const every = Math.max(1, Math.ceil(run.losses.length / MOST_POINTS));
    const history = run.losses.filter(({ step }, i) => i % every === 0 || held.has(step) || i === run.losses.length - 1)
        .map(({ step, loss }) => ({ step, loss: finite(loss), ...(held.has(step) && { val_loss: held.get(step) }) }));
    // A stopped run is judged by what it did, one under way by its plan too.
    const ended = run.status === 'done' || run.status === 'stopped';
    return { history, method: run.method, options: run.options, steps: ended ? history.at(-1)?.step : run.train.steps, lr: run.train.lr };
}

/**
 * The alpha that goes with another rank, so that LoRA's strength alpha / r stays what it was and only the capacity changes, as in all
 * of the chapter's recipes here; null where it stays. rsLoRA's own rule is for that, ranks per module have none.
 * @param {{option: string, from: string, to: string}} suggestion @param {Record<string, any>} options of the run
 * @param {string[]} [lock] what may not be changed
 */
export function alphaWith({ option, from, to }, { alpha, use_rslora: own, rank_pattern: ranks }, lock = []) {
    if (option !== 'rank' || !(alpha > 0) || own || Object.keys(ranks ?? {}).length || lock.includes('alpha')) return null;
    return (alpha / Number(from)) * Number(to);
}

/**
 * A suggestion as a patch of settings.
 * @param {{option: string, from: string, to: string}} suggestion @param {Record<string, any>} options those set now
 * @param {string[]} [lock]
 */
export function patchOf(suggestion, options, lock) {
    const { option, to } = suggestion;
    const alpha = alphaWith(suggestion, options, lock);
    const number = Number(to);
    const value = option === 'target_modules' ? (to.includes(',') ? to.split(',') : to) : Number.isFinite(number) ? number : to;
    if (TRAINING.includes(option)) return { [option]: option === 'steps' ? Math.round(number) : number };
    return { options: { ...options, [option]: value, ...(alpha && { alpha }) } };
}

class PeftCoach extends LabElement {
    static watch = ['run', 'modules', 'validation', 'status', 'state'];
    static properties = { report: { state: true }, applied: { state: true }, problem: { state: true }, about: { state: true } };
    static styles = [LabElement.styles, css`
        .card { padding: 10px 12px; gap: 6px; font-size: .92rem; }
        summary { cursor: pointer; min-height: 32px; }
        ol { padding-inline-start: 22px; display: grid; gap: 8px; }
        li.applies { font-weight: 600; }
        .warn { color: var(--bad); }
    `];

    #ticket = 0;

    constructor() {
        super();
        /** @type {any} */
        this.report = null;
        this.applied = '';
        /** @type {Error | null} */
        this.problem = null;
        this.about = 0;
    }

    connectedCallback() {
        super.connectedCallback();
        usePanelTexts();
        this.#look();
    }

    /** @param {string} type @param {any} detail */
    onLab(type, detail) {
        super.onLab(type, detail);
        if (type === 'run' || type === 'validation') this.#look();
    }

    async #look() {
        const { run } = this.lab;
        const ticket = ++this.#ticket;
        if (!run || run.losses.length === 0) {
            this.report = null;
            return;
        }
        try {
            const report = await calculator(this.lab, (session) => session.coach(coachRequest(run)));
            if (ticket !== this.#ticket) return;
            if (report.state !== this.report?.state || run.id !== this.about) this.applied = '';
            Object.assign(this, { report, about: run.id, problem: null });
        } catch (error) {
            if (ticket === this.#ticket) this.problem = /** @type {Error} */ (error);
        }
    }

    /** @param {boolean} train */
    #apply(train) {
        const { run } = this.lab;
        const { suggestion } = this.report;
        if (!run || !suggestion) return;
        // The advice is about the run's settings, which may have been changed since.
        const { steps, lr, batch_size } = run.train;
        this.lab.set({
            method: run.method, steps, lr, batch_size, ...patchOf(suggestion, run.options, this.lab.state.lock),
            ...(TRAINING.includes(suggestion.option) && { options: run.options }),
        });
        this.lab.settle();
        const alpha = alphaWith(suggestion, run.options, this.lab.state.lock);
        this.applied = t(alpha ? 'coach.applied.alpha' : 'coach.applied', { ...this.#change(suggestion), alpha: significant(alpha ?? 0) });
        this.say(this.applied);
        if (train) this.lab.train().catch(() => {}); // failures are shown by the page
    }

    /** @param {{option: string, from: string, to: string}} suggestion */
    #change({ option, from, to }) {
        const name = hasText(`settings.${option}`) ? t(`settings.${option}`)
            : optionLabel(/** @type {any} */ ({ name: option, label: option }));
        const short = (/** @type {string} */ text) => text.replaceAll('_proj', '').replaceAll(',', ', ');
        return { option: name, from: short(from), to: short(to) };
    }

    /** "Then merge" is for what can be merged. @param {{state: string, advice: string}} report @param {import('../lib/runs.js').Run} run */
    #advice({ state, advice }, { method }) {
        const can = this.lab.engine?.methods.find((/** @type {any} */ m) => m.name === method)?.can_merge ?? true;
        return state === 'good' && !can ? t('coach.advice.good.kept') : inOurWords(`coach.advice.${state}`, advice);
    }

    /** What else moves. @param {{option: string, from: string, to: string}} suggestion @param {import('../lib/runs.js').Run} run */
    #alpha(suggestion, { options }) {
        const to = alphaWith(suggestion, options, this.lab.state.lock);
        const [scale, from] = [options.alpha / options.rank, options.alpha].map((value) => significant(value));
        return to ? html` <span class="small">${t('coach.alpha', { from, to: significant(to), scale })}</span>` : nothing;
    }

    /**
     * The weights of the best step, where the run went on to a worse one; or why there are none.
     * @param {import('../lib/runs.js').Run} run
     */
    #back(run) {
        const { lab } = this;
        const low = bestValidation(run);
        const last = run.validations.at(-1)?.step;
        if (!['done', 'stopped'].includes(run.status) || !low || low.step === 0 || low.step === last) return nothing;
        if (!run.best) {
            const why = run.best_kept === false ? 'coach.back.memory' : 'coach.back.gone';
            return html`<p class="small">${t(why, { step: low.step })}</p>`;
        }
        const go = async () => {
            const made = await lab.back(run).catch(() => null); // failures are shown by the page
            if (!made) return;
            this.say(this.#went(made));
            await this.updateComplete;
            /** @type {HTMLElement | null} */ (this.renderRoot.querySelector('.went'))?.focus(); // its button is gone
        };
        return html`<div><button type="button" class="back" ?disabled=${lab.status !== 'ready'} @click=${go}>${t('coach.back', {
            step: run.best.step, best: fixed(run.best.loss, 3), now: fixed(lastValidation(run) ?? NaN, 3),
        })}</button></div>`;
    }

    /** @param {import('../lib/runs.js').Run} run */
    #went({ back, validations }) {
        return t('coach.back.done', { run: back?.run ?? 0, step: back?.step ?? 0, loss: fixed(validations.at(-1)?.loss ?? NaN, 3) });
    }

    /** Why, in the engine's words, or from its numbers in another language. @param {any} report */
    #because({ state, why, best_step: step, gap, recent }) {
        const size = (/** @type {number} */ share) => ({ n: percent(Math.abs(100 * share)) });
        return inOurWords(`coach.because.${state}`, why, {
            step, gap: t(gap < 0 ? 'coach.below' : 'coach.above', size(gap)), recent: t(recent < 0 ? 'coach.rose' : 'coach.fell', size(recent)),
        });
    }

    render() {
        const { report, lab } = this;
        if (this.problem) return html`<p class="small warn">${wrong(this.problem)}</p>`;
        // Settings that rebuild the trained part put the run away: what was applied stays said until the next run.
        if (!report || !lab.run) return this.applied ? html`<p class="small" role="status">${this.applied}</p>` : nothing;
        const { run } = lab;
        if (run.back) {
            return html`<div class="card stack went" tabindex="-1" role="group" aria-label=${t('coach.title')}>
                <p><strong>${t('coach.title')}: <span aria-hidden="true">✓</span> ${t('coach.back.title')}</strong></p>
                <p class="small">${this.#went(run)}</p></div>`;
        }
        const { suggestion } = report;
        if (report.state === 'too_early' && lab.task && !lab.task.splits.validation) { // more steps would change nothing
            return html`<div class="card stack" role="group" aria-label=${t('coach.title')}><p><strong>${t('coach.title')}</strong></p>
                <p class="small">${t('data.no_held')}</p></div>`;
        }
        const open = lab.status === 'training';
        const off = open || Boolean(this.applied) || lab.state.lock.includes(suggestion?.option);
        return html`<div class="card stack" role="group" aria-label=${t('coach.title')}>
            <p><strong>${t('coach.title')}: <span aria-hidden="true">${SIGNS[report.state] ?? ''}</span> ${
                t(`coach.state.${report.state}`)}</strong></p>
            <p class="small">${this.#because(report)}</p>
            ${suggestion ? html`<p>${t('coach.suggest', this.#change(suggestion))}${this.#alpha(suggestion, run)}</p><div class="row">
                <button type="button" ?disabled=${off} @click=${() => this.#apply(false)}>${t('coach.apply')}</button>
                <button type="button" ?disabled=${off} @click=${() => this.#apply(true)}>${t('coach.apply_train')}</button>
                    ${open ? html`<span class="small muted">${t('coach.later')}</span>` : nothing}</div>`
                : html`<p class="small">${this.#advice(report, run)}</p>`}
            ${report.state === 'overfitting' ? this.#back(run) : nothing}
            ${this.applied ? html`<p class="small" role="status">${this.applied}</p>` : nothing}
            <details><summary class="small">${t('coach.why')}</summary>
                <p class="small muted">${t('coach.rules')}</p>
                <ol class="small">
                ${report.rules.map((/** @type {any} */ rule) => html`<li class=${rule.applies ? 'applies' : ''}>
                ${t(`coach.state.${rule.state}`)}${rule.applies ? ` (${t('coach.applies')})` : ''}: ${
                    inOurWords(`coach.rule.${rule.state}`, rule.condition)} ${
                    inOurWords(`coach.advice.${rule.state}`, rule.advice)}</li>`)}</ol></details></div>`;
    }
}
define('peft-coach', PeftCoach);
