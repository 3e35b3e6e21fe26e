/** <peft-merge-distil>: a trained prompt, prefix or adapter taught to a LoRA, which then can be merged. */
import { aside } from '../lib/aside.js';
import { distil, distilWork } from '../lib/distill.js';
import { fixed, percent, significant } from '../lib/format.js';
import { badge, css, define, html, LabElement, nothing, t } from './base.js';
import { methodShape } from './look.js';
import { wholeNumber } from './options.js';
import { Work } from './work.js';

class PeftMergeDistil extends LabElement {
    static styles = [LabElement.styles, css`table { max-width: 760px; } label { display: grid; gap: 2px; font-size: 0.85rem; }`];
    static watch = ['ready', 'runs', 'run', 'status', 'state'];
    static properties = { chosen: { state: true }, rank: { state: true }, steps: { state: true }, result: { state: true } };

    constructor() {
        super();
        this.work = new Work(this);
        this.chosen = 0;
        this.rank = 8;
        this.steps = 80;
        /** @type {any} */
        this.result = null;
    }

    /** @param {string} type @param {any} detail */
    onLab(type, detail) {
        const elsewhere = type === 'state' && (detail?.includes('model') || detail?.includes('task'));
        if (elsewhere && this.result?.run.task !== this.lab.state.task) this.result = null;
        this.requestUpdate();
    }

    disconnectedCallback() {
        super.disconnectedCallback();
        this.work.cancel();
    }

    /** Finished runs that cannot be merged, of the model in use. */
    get teachers() {
        const { lab } = this;
        const fixedOnes = new Set((lab.engine?.methods ?? [])
            .filter((/** @type {any} */ m) => !m.can_merge).map((/** @type {any} */ m) => m.name));
        return lab.runs.filter((run) =>
            run.adapter && fixedOnes.has(run.method) && run.model === lab.state.model && run.task === lab.state.task);
    }

    async #distil() {
        const { lab, rank, steps, teachers } = this;
        const teacher = teachers.find((run) => run.id === this.chosen) ?? teachers.at(-1);
        if (!teacher) return;
        const made = await this.work.run(distilWork(lab.task, steps), t('merge.distil.writing'), async ({ signal, tick }) => {
            const own = await aside(lab);
            try {
                return await distil(own, /** @type {any} */ (teacher.adapter), {
                    rank, steps, seed: lab.state.seed, signal, tick: (done, what) => tick(done, t(`merge.distil.${what}`)),
                });
            } finally {
                own.close();
            }
        });
        if (!made) return;
        const { module, train, losses, seconds, student } = made;
        const run = {
            ...teacher, id: Math.max(0, ...lab.runs.map((r) => r.id)) + 1, distilled_from: teacher.id,
            method: 'lora', options: module.options, train: { ...train, split: 'train' }, trainable: module.parameters,
            losses, seconds, score: student.score, adapter: made.adapter, status: /** @type {const} */ ('done'),
            validations: student.loss === null ? [] : [{ step: train.steps, loss: student.loss, bits_per_byte: 0 }],
            pinned: false, best: undefined, back: undefined,
        };
        lab.adopt([run]);
        this.result = { ...made, run, from: teacher.method };
        this.say(t('merge.distil.say', { agree: percent((student.agree ?? 0) * 100) }));
    }

    render() {
        const { lab, teachers, result } = this;
        /** @param {string} key @param {number} value @param {number} max @param {(v: number) => void} set */
        const number = (key, value, max, set) => html`<label>${t(key)}<input type="number" min="1" max=${max} .value=${String(value)}
            ?disabled=${this.work.running} @change=${(/** @type {Event} */ e) => set(wholeNumber(e, 1, max))}></label>`;
        const choice = (/** @type {import('../lib/runs.js').Run} */ { id, method }) => html`<option value=${id}
            ?selected=${id === this.chosen}>${
            methodShape(method)} ${t(`method.${method}`)}, ${t('runs.name', { n: id })}</option>`;
        return html`<div class="stack"><p>${t('merge.distil.about')}</p>
            ${teachers.length === 0 ? html`<p class="muted small">${t('merge.distil.none')}</p>` : html`<div class="row">
                <label>${t('merge.distil.teacher')}<select @change=${(/** @type {any} */ e) => { this.chosen = Number(e.target.value); }}>${
                    teachers.map(choice)}</select></label>
                ${number('option.rank', this.rank, 64, (v) => { this.rank = v; })}
                ${number('settings.steps', this.steps, 1000, (v) => { this.steps = v; })}
                ${this.work.running ? nothing
                    : html`<button id="distil" ?disabled=${lab.status === 'training'}
                        @click=${this.#distil}>${t('merge.distil.do')}</button>`}</div>
                ${this.work.bar()}`}
            ${result ? this.#report(result) : nothing}</div>`;
    }

    /** @param {any} result */
    #report({ teacher, student, base, examples, from, run }) {
        const cell = (/** @type {number | null} */ value, /** @type {(value: number) => string} */ show) =>
            html`<td class="num">${value === null ? '–' : show(value)}</td>`;
        const share = (/** @type {number} */ v) => percent(v * 100);
        const row = (/** @type {string} */ name, /** @type {import('../lib/distill.js').Closeness} */ v) => html`<tr>
            <th scope="row">${name}</th>${cell(v.loss, (loss) => fixed(loss, 3))}${cell(v.score, share)}
            ${cell(v.kl, significant)}${cell(v.agree, share)}</tr>`;
        return html`<div class="scroll" tabindex="0" role="region" aria-label=${t('merge.distil')}><table>
            <thead><tr><td></td>
                ${['loss', 'score', 'kl', 'agree'].map((key) => html`<th scope="col" class="num">${t(`merge.distil.${key}`)}</th>`)}</tr></thead>
            <tbody>${row(t('merge.distil.is.teacher', { method: t(`method.${from}`) }), teacher)}
                ${row(t('merge.distil.is.student'), student)}${row(t('compare.base'), base)}</tbody></table></div>
            <p class="small muted">${t('merge.distil.how', { n: examples })} ${badge('measured')}</p>
            <div class="row"><button id="distil-load" ?disabled=${this.lab.status === 'training' || this.lab.run === run}
                @click=${() => this.lab.load(run).catch(() => {})}>${t('merge.distil.load')}</button>
                <span class="small muted">${this.lab.run === run ? t('merge.distil.loaded') : ''}</span></div>`;
    }
}
define('peft-merge-distil', PeftMergeDistil);
