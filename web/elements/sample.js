/**
 * <peft-sample>: what the model says before and after, from the same prompt and seed, with changed words marked; the texts on the
 * way, with a cursor shared with the loss chart; the task's score before and after.
 */
import { badge, css, define, html, LabElement, nothing, t } from './base.js';
import { hasText } from '../lib/i18n.js';
import { metricWords } from '../lib/engine-words.js';
import { count, percent } from '../lib/format.js';
import { changedWords } from '../lib/words.js';
import { recorded, showsRecorded } from './recorded.js';
import { usePanelTexts } from './texts.js';

const SCORED = 24;

class PeftSample extends LabElement {
    static styles = [LabElement.styles, css`
        .two { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 170px), 1fr)); gap: 10px; }
        blockquote {
            margin: 0; padding: 8px 10px; background: var(--raised); border: 1px solid var(--line);
            border-radius: 6px; min-height: 4.4em; white-space: pre-wrap; overflow-wrap: anywhere;
            font-size: .95rem;
        }
        .after { border-color: var(--line-strong); }
        h3 { margin-bottom: 3px; }
        form { display: flex; gap: 6px; } input { flex: 1; min-width: 0; }
        .way { display: flex; flex-wrap: wrap; gap: 4px; align-items: center; font-size: .85rem; }
        .way button { min-height: 28px; padding: 0 9px; border-radius: 99px; font-size: .82rem; }
        @media (pointer: coarse) { .way button { min-height: 44px; min-width: 44px; } }
    `];
    static watch = ['sample', 'run', 'runs', 'state', 'ready', 'status', 'merge', 'cursor'];
    static properties = { progress: { state: true }, step: { state: true }, cursor: { state: true } };

    constructor() {
        super();
        /** @type {null | {done: number, total: number}} */
        this.progress = null;
        this.step = 0;
        /** The step looked at, chosen here or in the loss chart. @type {number | null} */
        this.cursor = null;
    }

    /** @param {string} type @param {any} detail */
    onLab(type, detail) {
        if (type === 'cursor') this.cursor = detail;
        if (type === 'run' && this.cursor !== null) this.lab.emit('cursor', null);
        if (type === 'run' && detail?.status === 'done' && detail.score === null && this.lab.task?.metric.id !== 'none') this.#score();
        if (type === 'sample') this.step = detail.when === 'during' ? detail.step : 0;
        super.onLab(type, detail);
    }

    get #shown() {
        const { sample, session } = this.lab;
        return session && sample.prompt && !showsRecorded(this.lab)
            ? { ...sample, kind: /** @type {'measured'} */ ('measured') }
            : { ...recorded.run.sample, kind: /** @type {'recorded'} */ ('recorded') };
    }

    /** What the run said on the way. */
    get #way() {
        const { status, run, sample } = this.lab;
        return (status === 'training' || run?.sample.prompt !== sample.prompt ? [] : run?.samples) ?? [];
    }

    /**
     * The text at the cursor: the last one said up to that step; step 0 is before training.
     * @returns {{step: number, text: string} | null}
     */
    get #past() {
        const way = this.#way;
        if (this.cursor === null || way.length < 2) return null;
        return way.findLast(({ step }) => step <= /** @type {number} */ (this.cursor)) ?? { step: 0, text: this.lab.sample.before };
    }

    async #score() {
        usePanelTexts().catch(() => {});
        this.progress = { done: 0, total: SCORED };
        const onProgress = (/** @type {number} */ done, /** @type {number} */ total) => { this.progress = { done, total }; };
        const result = await this.lab.scoreAside({ limit: SCORED, onProgress }).catch(() => null); // something else was wanted
        this.progress = null;
        if (result && this.lab.run) this.say(this.#scored(this.lab.run));
    }

    /** Asked for by its button, which goes once it is there. */
    async #asked() {
        await this.#score();
        await this.updateComplete;
        if (document.activeElement !== document.body) return;
        /** @type {HTMLElement | null} */ (this.renderRoot.querySelector('.scored'))?.focus({ preventScroll: true });
    }

    /** @param {import('../lib/runs.js').Run} run */
    #scored({ score, base_score: before }) {
        const name = metricWords(this.lab.task?.metric.name ?? '');
        const value = percent(100 * (score ?? 0));
        return before === undefined ? t('metric.value', { name, value })
            : t('metric.both', { name, value, before: percent(100 * before) });
    }

    render() {
        const { lab } = this;
        const { prompt, before, after, kind } = this.#shown;
        const training = lab.status === 'training';
        const locked = lab.state.lock.includes('prompt');
        const past = kind === 'measured' ? this.#past : null;
        const said = past ? past.text : after;
        const ask = (/** @type {any} */ e) => {
            e.preventDefault();
            lab.set({ prompt: e.target.elements.prompt.value });
        };
        const when = past ? t('sample.during', { step: past.step })
            : this.step && training ? t('sample.during', { step: this.step }) : t('sample.after');
        const nothingSaid = training ? 'sample.waiting' : lab.run && kind === 'measured' ? 'sample.empty' : 'sample.none';
        return html`<section class="stack">
            <h2>${t('sample.title')} ${badge(kind)}</h2>
            ${lab.state.level === 'student' || !lab.session || lab.state.hide.includes('prompt')
                ? html`<p class="small"><span class="muted">${t('sample.prompt')}:</span> <bdi>${prompt}</bdi></p>`
                : html`<form @submit=${ask}>
                    <input type="text" name="prompt" dir="auto" aria-label=${t('sample.yours')} maxlength="400" .value=${prompt}
                        ?disabled=${training || locked}>
                    <button ?disabled=${training || locked || lab.status === 'loading'}>${t('sample.try')}</button></form>`}
            <div class="two"><div><h3>${t('sample.before')}</h3><blockquote dir="auto">${before.trim()
                || html`<span class="muted">${t(lab.status === 'loading' ? 'sample.waiting' : 'sample.empty')}</span>`}</blockquote></div>
                <div><h3>${when}</h3><blockquote dir="auto" class="after">${said.trim()
                    ? changedWords(before.trim(), said.trim()).map(({ text, changed }) => (changed ? html`<mark>${text}</mark>` : text))
                    : html`<span class="muted">${t(nothingSaid)}</span>`}</blockquote></div></div>
            ${kind === 'measured' ? this.#wayList(past) : nothing}
            <div class="row"><span class="small muted grow">${t('sample.same')}</span>${lab.session ? this.#metric() : nothing}</div></section>`;
    }

    /**
     * The steps at which it was asked; pointing at one, or choosing it, moves the cursor of the chart too.
     * @param {{step: number} | null} past
     */
    #wayList(past) {
        const way = this.#way;
        if (way.length < 2) return nothing;
        const go = (/** @type {number | null} */ step) => this.lab.emit('cursor', step);
        return html`<div class="way" role="group" aria-label=${t('sample.way')}><span class="muted">${t('sample.way')}</span>
            ${[{ step: 0 }, ...way].map(({ step }) => html`<button class="num"
                aria-pressed=${past?.step === step} aria-label=${t('sample.during', { step })}
                @click=${() => go(past?.step === step ? null : step)}>${count(step)}</button>`)}</div>`;
    }

    #metric() {
        const { lab } = this;
        const { task, run } = lab;
        if (!task) return nothing;
        if (task.metric.id === 'none') return html`<p class="small muted">${t('metric.none')}</p>`;
        const about = `metric.about.${task.metric.name.replaceAll(' ', '-')}`;
        const scored = run && run.score !== null;
        const off = lab.status !== 'ready' || this.progress !== null || !run || Boolean(lab.merged);
        const open = !scored || run.base_score === undefined || this.progress; // the same examples would give the same score
        return html`${open ? html`<button ?disabled=${off} @click=${this.#asked}>${t('metric.check', { n: SCORED })}</button>` : nothing}
            ${this.progress ? html`<span class="num muted">${t('metric.running', this.progress)}</span>
                <button class="link" @click=${() => lab.stopScoring()}>${t('train.stop')}</button>` : nothing}
            ${scored ? html`<span class="scored" tabindex="-1"><strong>${this.#scored(run)}</strong> ${badge('measured')}</span>
                ${hasText(about) ? html`<p class="small muted">${t(about)}</p>` : nothing}` : nothing}`;
    }
}
define('peft-sample', PeftSample);
