/** <peft-panel-merge>: the trained change into the weights and out again, with what it does to the logits and to the time per token. */
import { badge, css, define, html, LabElement, nothing, t } from './base.js';
import { count, fixed, percent, significant } from '../lib/format.js';
import { number } from '../lib/i18n.js';
import { apart } from '../lib/measure.js';

class PeftPanelMerge extends LabElement {
    static styles = [LabElement.styles, css`
        .steps { display: flex; flex-wrap: wrap; gap: 8px; padding: 0; list-style: none; counter-reset: s; }
        .steps li { counter-increment: s; border: 1px solid var(--line-strong); border-radius: 99px; padding: 4px 12px; font-size: .9rem; }
        .steps li::before { content: counter(s) ". "; font-weight: 700; }
        .steps.done li { border-color: var(--good); background: color-mix(in oklab, var(--good) 12%, transparent); }
        .big { font-size: 1.2rem; font-weight: 700; } table { max-width: 640px; }
    `];
    static watch = ['merge', 'run', 'modules', 'status', 'state', 'ready'];
    static properties = { measuring: { state: true } };

    constructor() {
        super();
        this.measuring = false;
    }

    async #merge() {
        this.measuring = true;
        const report = await this.lab.merge().catch(() => null);
        this.measuring = false;
        if (report) {
            this.say(t('merge.say', { difference: significant(report.max_logit_difference) }));
            this.fire('peft-merge', { max_logit_difference: report.max_logit_difference });
        }
    }

    async #unmerge() {
        await this.lab.unmerge().catch(() => {});
        this.say(t('merge.say.undone'));
    }

    render() {
        const { lab } = this;
        const module = lab.description?.modules[0];
        const info = lab.engine?.methods.find((/** @type {any} */ m) => m.name === lab.state.method);
        const name = t(`method.${lab.state.method}`);
        const can = module?.can_merge ?? info?.can_merge;
        const trained = lab.run && ['done', 'stopped'].includes(lab.run.status);
        return html`<section class="stack"><h2>${t('merge.title')}</h2><p class="small">${t('merge.about')}</p>
            ${can === false ? html`<p><strong>${t('merge.cannot', { method: name })}</strong> ${info?.cannot_merge ?? ''}</p>` : html`
            <ol class="steps ${lab.merged ? 'done' : ''}">${[1, 2, 3].map((n) => html`<li>${t(`merge.step${n}`)}</li>`)}</ol>
            <div class="row">${lab.merged ? html`<button class="primary" id="unmerge" ?disabled=${lab.status !== 'ready'} @click=${() => this.#unmerge()}>${t('merge.undo')}</button>`
        : html`<button class="primary" id="merge" ?disabled=${lab.status !== 'ready' || !trained} @click=${() => this.#merge()}>${t('merge.do')}</button>`}
                <span class="muted small">${this.measuring ? t('merge.measuring') : !trained && lab.status === 'ready' ? t('merge.untrained', { method: name }) : ''}</span></div>
            ${lab.merged ? this.#report(lab.merged, module) : nothing}`}</section>`;
    }

    /** @param {any} report @param {any} module */
    #report(report, module) {
        const { before, after } = report;
        const cell = (/** @type {any} */ timing) => t('merge.iqr', { median: fixed(timing.median, 3), low: fixed(timing.low, 3), high: fixed(timing.high, 3), runs: timing.runs });
        const change = 1 - after.median / before.median;
        const verdict = !apart(before, after) ? t('merge.noise') : change > 0 ? t('merge.faster', { percent: percent(100 * change) }) : t('merge.slower', { percent: percent(-100 * change) });
        return html`<p>${t('merge.same')}: <span class="big num" id="difference" data-value=${report.max_logit_difference}>${significant(report.max_logit_difference)}</span>
            <span class="muted">${t('merge.same.about', { largest: number(report.max_logit, { maximumFractionDigits: 1 }) })}</span> ${badge('measured')}</p>
            <div class="scroll"><table><thead><tr><td></td><th scope="col">${t('merge.before')}</th><th scope="col">${t('merge.after')}</th></tr></thead><tbody>
                <tr><th scope="row">${t('merge.ms')}</th><td class="num">${cell(before)}</td><td class="num">${cell(after)}</td></tr>
                <tr><th scope="row">${t('merge.extra')}</th><td class="num">${count(module?.parameters ?? 0)}</td><td class="num">${count(0)}</td></tr></tbody></table></div>
            <p>${verdict} ${badge('measured')}</p>
            <p class="small muted">${t('merge.exact', { residual: significant(report.residual_of_subtracting) })} ${badge('measured')}</p>`;
    }
}
define('peft-panel-merge', PeftPanelMerge);
