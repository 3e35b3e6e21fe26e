/**
 * <peft-merge-rounding>: how much of ΔW survives when W + ΔW is stored with 16 bits, computed from the matrices of the loaded
 * module.
 */
import { percent, significant } from '../lib/format.js';
import { realised, toBf16, toF16 } from '../lib/merging.js';
import { badge, css, define, html, LabElement, nothing, t } from './base.js';
import { wrong } from './engine-said.js';
import { onSliderKey } from './options.js';

const FORMATS = /** @type {const} */ ([['fp32', Math.fround], ['fp16', toF16], ['bf16', toBf16]]);

class PeftMergeRounding extends LabElement {
    static styles = [LabElement.styles, css`table { max-width: 620px; } label { display: grid; gap: 2px; max-width: 420px; }`];
    static watch = ['run', 'modules', 'status'];
    static properties = { exponent: { state: true }, maps: { state: true }, problem: { state: true } };

    constructor() {
        super();
        this.exponent = 0;
        /** @type {{base: Float32Array, delta: Float32Array}[] | null} */
        this.maps = null;
        /** @type {Error | null} */
        this.problem = null;
        this.key = '';
    }

    onLab() {
        const key = `${this.lab.run?.id} ${this.lab.description?.modules[0]?.id}`;
        if (key !== this.key) this.maps = null;
        this.requestUpdate();
    }

    async #read() {
        const { lab } = this;
        const module = lab.description?.modules[0];
        this.key = `${lab.run?.id} ${module?.id}`;
        try {
            this.maps = await lab.work(async (session) => {
                const placed = module.tensors.filter((/** @type {any} */ x) => x.site >= 0);
                const places = new Map(placed.map((/** @type {any} */ x) => [`${x.layer} ${x.site}`, x]));
                const maps = [];
                for (const { layer, site } of places.values()) {
                    const name = lab.engine.sites[site];
                    const read = (/** @type {'base' | 'delta'} */ of) => session.matrix(module.id, layer, name, of);
                    maps.push({ base: await read('base'), delta: await read('delta') });
                }
                return maps;
            });
        } catch (error) {
            this.problem = /** @type {Error} */ (error);
        }
    }

    render() {
        const { maps, exponent } = this;
        const scale = 10 ** exponent;
        const slider = { value: exponent, min: -4, max: 0, step: 0.25, fine: 0.05, big: 1 };
        const set = (/** @type {number} */ value) => { this.exponent = value; };
        return html`<div class="stack"><p>${t('merge.rounding.about')}</p>
            ${this.problem ? html`<p role="alert">${wrong(this.problem)}</p>` : nothing}
            ${maps ? html`<label>${t('merge.rounding.scale', { scale: significant(scale, 2) })}<input id="scale" type="range"
                min="-4" max="0" step="0.05" .value=${String(exponent)}
                @input=${(/** @type {any} */ e) => set(Number(e.target.value))}
                @keydown=${(/** @type {KeyboardEvent} */ e) => onSliderKey(e, slider, set)}></label>
            <div class="scroll" tabindex="0" role="region" aria-label=${t('merge.rounding')}><table>
                <thead><tr>
                    <th scope="col">${t('merge.rounding.format')}</th><th scope="col" class="num">${t('merge.rounding.error')}</th>
                    <th scope="col" class="num">${t('merge.rounding.unchanged')}</th></tr></thead>
                <tbody>${FORMATS.map(([name, round]) => {
                    const { error, unchanged } = realised(maps, round, scale);
                    const shown = error < 1e-4 ? `${significant(error * 100, 2)} %` : percent(error * 100);
                    return html`<tr><th scope="row">${name}</th><td class="num" id=${`error-${name}`} data-value=${error}>${shown}</td>
                        <td class="num">${percent(unchanged * 100)}</td></tr>`;
                })}</tbody></table></div>
            <p class="small muted">${t('merge.rounding.lesson')} ${badge('calculated')}</p>`
        : html`<div><button id="rounding" ?disabled=${!['ready', 'paused'].includes(this.lab.status)}
            @click=${this.#read}>${t('merge.rounding.do')}</button></div>`}</div>`;
    }
}
define('peft-merge-rounding', PeftMergeRounding);
