/** <peft-merge-overhead>: which methods merge, why the others cannot, and what each costs per token while it is not merged. */
import { aside, recipe } from '../lib/aside.js';
import { fixed, percent } from '../lib/format.js';
import { apart } from '../lib/measure.js';
import { alternate } from '../lib/merging.js';
import { badge, css, define, html, LabElement, nothing, t } from './base.js';
import { methodShape } from './look.js';
import { Work } from './work.js';
import { whyNotMerged } from './reasons.js';

const ROUNDS = 30;
const METHODS = ['lora', 'adapter', 'prefix', 'prompt', 'ia3'];

/** @typedef {import('../lib/measure.js').Timing} Timing */

class PeftMergeOverhead extends LabElement {
    static styles = [LabElement.styles, css`td { min-width: 7em; } td.why { min-width: 16em; }`];
    static watch = ['ready', 'state'];
    static properties = { rows: { state: true } };

    constructor() {
        super();
        this.work = new Work(this);
        /** @type {Map<string, {token: Timing, start: Timing, base: {token: Timing, start: Timing}}>} */
        this.rows = new Map();
        this.rounds = ROUNDS;
    }

    disconnectedCallback() {
        super.disconnectedCallback();
        this.work.cancel();
    }

    /** @param {string} type @param {any} detail */
    onLab(type, detail) {
        if (type === 'state' && detail?.includes('model')) this.rows = new Map();
        this.requestUpdate();
    }

    async #measure() {
        const { lab } = this;
        await this.work.run(METHODS.length * (this.rounds + 1), t('merge.others.running'), async ({ tick, check }) => {
            const own = await aside(lab);
            const session = /** @type {import('../engine/session.js').Session} */ (own.session);
            try {
                for (const method of METHODS) {
                    await session.clear();
                    const options = method === lab.state.method ? lab.options : recipe(lab, method).options;
                    const { id } = await session.addModule(method, options, { seed: 1 });
                    const turn = (/** @type {boolean} */ active) => () => session.setModule(id, { active });
                    const prompt = own.sample.prompt || lab.sample.prompt;
                    const [base, on] = await alternate(session, prompt, [turn(false), turn(true)], {
                        rounds: this.rounds, tick: () => { tick(); check(); },
                    });
                    this.rows = new Map(this.rows).set(method, { ...on, base });
                }
            } finally {
                own.close();
            }
        });
    }

    /** @param {Timing} on @param {Timing} base */
    #more(on, base) {
        const change = (on.median / base.median - 1) * 100;
        if (!apart(on, base)) return t('merge.others.noise');
        return change > 0 ? `+${percent(change)}` : `−${percent(-change)}`;
    }

    render() {
        const { lab, rows } = this;
        const time = (/** @type {Timing} */ { median, low, high }) =>
            html`${fixed(median, 3)} <span class="small muted">(${fixed(low, 3)}–${fixed(high, 3)})</span>`;
        return html`<div class="stack"><p class="small">${t('merge.others.about')}</p>
            <div class="row">${this.work.running ? nothing
                : html`<button id="overhead" ?disabled=${!lab.engine}
                    @click=${this.#measure}>${t('merge.others.do', { n: this.rounds })}</button>`}</div>
            ${this.work.bar()}
            <div class="scroll" tabindex="0" role="region" aria-label=${t('merge.others')}><table>
            <thead><tr>
                <th scope="col">${t('compare.col.method')}</th><th scope="col">${t('merge.others.can')}</th>
                ${rows.size ? ['base', 'with', 'more', 'start'].map((key) =>
                    html`<th scope="col" class="num">${t(`merge.others.${key}`)}</th>`) : nothing}</tr></thead>
            <tbody>${METHODS.map((method) => {
                const row = rows.get(method);
                return html`<tr><th scope="row"><span aria-hidden="true">${methodShape(method)}</span> ${t(`method.${method}`)}</th>
                    <td class="why">${whyNotMerged(this.lab, method) || t('merge.others.yes')}</td>
                    ${row ? html`<td class="num">${time(row.base.token)}</td><td class="num">${time(row.token)}</td>
                        <td class="num">${this.#more(row.token, row.base.token)}</td>
                        <td class="num">${this.#more(row.start, row.base.start)}</td>`
                        : rows.size ? html`<td colspan="4"></td>` : nothing}</tr>`;
            })}</tbody></table></div>
            ${rows.size ? html`<p class="small muted">${t('merge.others.legend', { n: this.rounds })} ${badge('measured')}</p>`
                : nothing}</div>`;
    }
}
define('peft-merge-overhead', PeftMergeOverhead);
