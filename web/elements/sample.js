/** <peft-sample>: what the model says before and after, from the same prompt and seed, with changed words marked; the task's score on demand. */
import { badge, css, define, html, LabElement, nothing, t } from './base.js';
import { percent } from '../lib/format.js';
import { changedWords } from '../lib/words.js';
import { recorded, showsRecorded } from './recorded.js';

const SCORED = 24;

class PeftSample extends LabElement {
    static styles = [LabElement.styles, css`
        .two { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 170px), 1fr)); gap: 10px; }
        blockquote { margin: 0; padding: 8px 10px; background: var(--raised); border: 1px solid var(--line); border-radius: 6px; min-height: 4.4em; white-space: pre-wrap; overflow-wrap: anywhere; font-size: .95rem; }
        .after { border-color: var(--line-strong); }
        h3 { margin-bottom: 3px; }
        form { display: flex; gap: 6px; } input { flex: 1; min-width: 0; }
    `];
    static watch = ['sample', 'run', 'runs', 'state', 'ready', 'status', 'merge'];
    static properties = { progress: { state: true }, step: { state: true } };

    constructor() {
        super();
        /** @type {null | {done: number, total: number}} */
        this.progress = null;
        this.step = 0;
    }

    /** @param {string} type @param {any} detail */
    onLab(type, detail) {
        if (type === 'sample') this.step = detail.when === 'during' ? detail.step : 0;
        super.onLab(type, detail);
    }

    get #shown() {
        const { sample, session } = this.lab;
        return session && sample.prompt && !showsRecorded(this.lab) ? { ...sample, kind: /** @type {'measured'} */ ('measured') } : { ...recorded.run.sample, kind: /** @type {'recorded'} */ ('recorded') };
    }

    async #score() {
        this.progress = { done: 0, total: SCORED };
        const result = await this.lab.score({ limit: SCORED, onProgress: (done, total) => { this.progress = { done, total }; } }).catch(() => null);
        this.progress = null;
        if (result && this.lab.task) this.say(t('metric.value', { name: this.lab.task.metric.name, value: percent(100 * result.score) }));
    }

    render() {
        const { lab } = this;
        const { prompt, before, after, kind } = this.#shown;
        const training = lab.status === 'training';
        return html`<section class="stack">
            <h2>${t('sample.title')} ${badge(kind)}</h2>
            ${lab.state.level === 'student' || !lab.session ? html`<p class="small"><span class="muted">${t('sample.prompt')}:</span> <bdi>${prompt}</bdi></p>` : html`<form @submit=${(/** @type {any} */ e) => {
        e.preventDefault();
        lab.set({ prompt: e.target.elements.prompt.value });
    }}><input type="text" name="prompt" dir="auto" aria-label=${t('sample.yours')} maxlength="400" .value=${prompt} ?disabled=${training}><button ?disabled=${training || lab.status === 'loading'}>${t('sample.try')}</button></form>`}
            <div class="two"><div><h3>${t('sample.before')}</h3><blockquote dir="auto">${before.trim() || html`<span class="muted">${t(lab.status === 'loading' ? 'sample.waiting' : 'sample.empty')}</span>`}</blockquote></div>
                <div><h3>${this.step && training ? t('sample.during', { step: this.step }) : t('sample.after')}</h3>
                <blockquote dir="auto" class="after">${after.trim() ? changedWords(before, after).map(({ text, changed }) => (changed ? html`<mark>${text}</mark>` : text)) : html`<span class="muted">${t(training ? 'sample.waiting' : lab.run && kind === 'measured' ? 'sample.empty' : 'sample.none')}</span>`}</blockquote></div></div>
            <div class="row"><span class="small muted grow">${t('sample.same')}</span>${lab.session ? this.#metric() : nothing}</div></section>`;
    }

    #metric() {
        const { lab } = this;
        const { task, run } = lab;
        if (!task) return nothing;
        if (task.metric.id === 'none') return html`<p class="small muted">${t('metric.none')}</p>`;
        return html`<button ?disabled=${lab.status !== 'ready' || this.progress !== null || !run} @click=${() => this.#score()}>${t('metric.check', { n: SCORED })}</button>
            ${this.progress ? html`<span class="num muted">${t('metric.running', this.progress)}</span>` : run?.score !== null && run?.score !== undefined
        ? html`<span><strong>${t('metric.value', { name: task.metric.name, value: percent(100 * run.score) })}</strong> ${badge('measured')}</span>` : nothing}`;
    }
}
define('peft-sample', PeftSample);
