/**
 * <peft-takeaway>: what the merge has just shown, in three lines with this tab's own numbers, and one question whose answer the
 * engine knows. Fires peft-answer.
 */
import { apart } from '../lib/measure.js';
import { count, fixed, percent, significant } from '../lib/format.js';
import { lastValidation } from '../lib/runs.js';
import { badge, css, define, html, LabElement, nothing, t } from './base.js';
import { methodColor, methodShape } from './look.js';
import { whyNotMerged } from './reasons.js';

/** Full fine-tuning adds nothing to begin with, so it is no answer and no trap. */
const ASKED = ['prompt', 'prefix', 'lora', 'adapter'];

class PeftTakeaway extends LabElement {
    static styles = [LabElement.styles, css`
        ol { padding-inline-start: 1.4em; display: grid; gap: 4px; }
        fieldset { display: flex; flex-wrap: wrap; gap: 6px; }
        legend { font-weight: 650; padding-bottom: 4px; }
        .shape { color: var(--mc); }
        .right { color: var(--good); font-weight: 650; } .wrong { color: var(--bad); font-weight: 650; }
    `];
    static watch = ['merge', 'status'];
    static properties = { given: { state: true } };

    constructor() {
        super();
        /** The method chosen as the answer. */
        this.given = '';
    }

    /** @param {string} type @param {any} detail */
    onLab(type, detail) {
        if (type === 'merge') this.given = '';
        super.onLab(type, detail);
    }

    /** Whether the engine can merge a method. @param {string} method @returns {boolean} */
    #right(method) {
        return Boolean(this.lab.engine?.methods.find((/** @type {any} */ m) => m.name === method)?.can_merge);
    }

    /** @param {string} method */
    #answer(method) {
        this.given = method;
        this.fire('peft-answer', { question: 'inference', given: method, right: this.#right(method) });
    }

    render() {
        const { lab } = this;
        const { merged, run } = lab;
        if (!merged || !lab.engine) return nothing;
        return html`<div class="stack"><ol>
            ${run ? html`<li>${this.#trained(run)} ${badge('measured')}</li>` : nothing}
            <li>${t('take.same', {
                difference: significant(merged.max_logit_difference), largest: fixed(merged.max_logit, 1),
            })} ${badge('measured')}</li>
            <li>${this.#time(merged)} ${badge('measured')}</li></ol>
            <fieldset><legend>${t('take.question')}</legend>
                ${ASKED.map((method) => html`<button type="button"
                    aria-pressed=${this.given === method} style="--mc: ${methodColor(method)}" @click=${() => this.#answer(method)}>
                <span class="shape" aria-hidden="true">${methodShape(method)}</span> ${t(`method.${method}`)}</button>`)}</fieldset>
            <p role="status">${this.given ? this.#verdict(this.given) : nothing}</p></div>`;
    }

    /** @param {import('../lib/runs.js').Run} run */
    #trained(run) {
        const held = lastValidation(run);
        const numbers = { trained: count(run.trainable), share: percent((100 * run.trainable) / run.total) };
        return held === null || run.base_loss === null ? t('take.trained', numbers)
            : t('take.trained.held', { ...numbers, base: fixed(run.base_loss), held: fixed(held) });
    }

    /** @param {any} merged */
    #time({ before, after }) {
        const numbers = { before: fixed(before.median, 2), after: fixed(after.median, 2) };
        if (!apart(before, after)) return t('take.time.alike', numbers);
        return t(after.median < before.median ? 'take.time.less' : 'take.time.noise', numbers);
    }

    /** @param {string} method */
    #verdict(method) {
        const name = t(`method.${method}`);
        if (this.#right(method)) return html`<span class="right">✓ ${t('lessons.right')}</span> ${t('take.right', { method: name })}`;
        return html`<span class="wrong">✗ ${t('lessons.wrong')}</span> ${whyNotMerged(this.lab, method)}`;
    }
}
define('peft-takeaway', PeftTakeaway);
