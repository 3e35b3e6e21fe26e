/** <peft-chapter-base>: what the size of the base changes, measured on our own models: the same presets of one task on each. */
import { css, define, html, LabElement, nothing, t } from './base.js';
import { methodName } from './recommend.js';
import { count, fixed, percent } from '../lib/format.js';

class PeftChapterBase extends LabElement {
    static styles = [LabElement.styles, css`th[scope="row"], .range { white-space: nowrap; } td, th { vertical-align: top; }`];
    static properties = { record: { state: true } };

    constructor() {
        super();
        /** @type {any} recorded/base-size.json */
        this.record = null;
    }

    connectedCallback() {
        super.connectedCallback();
        const [load] = Object.values(import.meta.glob('../content/recorded/base-size.json', { import: 'default' }));
        load?.().then((record) => { this.record = record; }, () => {});
    }

    /**
     * Loss, how much of full fine-tuning's gain this is, share of numbers trained.
     * @param {any} row one base @param {any} run one method on it
     */
    #cell(row, run) {
        const full = row.methods.find((/** @type {any} */ m) => m.method === 'full');
        const gain = (row.base.loss - run.loss) / (row.base.loss - full.loss);
        return html`<td class="num">${this.value(fixed(run.loss), 'recorded')}
            <span class="small muted range">${fixed(run.low)} – ${fixed(run.high)}</span><br>
            <span class="small">${t('chapter.base.cell', {
                share: percent((100 * run.trainable) / row.parameters), gain: percent(100 * gain),
            })}</span></td>`;
    }

    render() {
        const { record } = this;
        if (!record) return nothing;
        const title = t('chapter.base.title', { task: t(`task.${record.task}`) });
        return html`<h4>${title}</h4><div class="scroll" tabindex="0" role="region" aria-label=${title}><table>
            <thead><tr>
                <th scope="col">${t('chapter.base.model')}</th>
                <th scope="col" class="num">${t('chapter.base.bits')}</th>
                <th scope="col" class="num">${t('chapter.base.untrained')}</th>
                ${record.rows[0].methods.map((/** @type {any} */ run) =>
                    html`<th scope="col" class="num">${methodName(run.method)}</th>`)}</tr></thead>
            <tbody>${record.rows.map((/** @type {any} */ row) => html`<tr>
                    <th scope="row">${row.model}<br><span class="small muted">${count(row.parameters)}</span></th>
                    <td class="num">${fixed(row.bits_per_byte)}</td>
                    <td class="num">${fixed(row.base.loss)}</td>
                    ${row.methods.map((/** @type {any} */ run) => this.#cell(row, run))}</tr>`)}</tbody></table></div>
            <p class="small muted">${t('chapter.base.how', { seeds: record.seeds, command: record.command })}</p>`;
    }
}
define('peft-chapter-base', PeftChapterBase);
