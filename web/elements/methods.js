/** <peft-methods>: the method switch. */
import { css, define, html, LabElement, t } from './base.js';
import { METHODS } from '../lib/store.js';
import { methodColor, methodShape } from './look.js';
import { panelButton } from './panels.js';

const COMMON = ['prompt', 'prefix', 'lora', 'adapter', 'full'];

/** Methods of this level, in the order of the shortcuts 1, 2, …. @param {import('../lib/lab.js').Lab} lab @returns {string[]} */
export function methodsOf(lab) {
    const known = lab.engine?.methods.map((/** @type {any} */ m) => m.name) ?? METHODS;
    const others = known.filter((/** @type {string} */ name) => !COMMON.includes(name));
    const shown = lab.state.level === 'developer' || others.includes(lab.state.method) ? others : [];
    return [...COMMON.filter((name) => known.includes(name)), ...shown];
}

class PeftMethods extends LabElement {
    static styles = [LabElement.styles, css`
        fieldset { display: flex; gap: 8px; flex-wrap: wrap; align-items: center; }
        legend { float: inline-start; font-weight: 650; font-size: .95rem; margin-inline-end: 8px; padding-block: 8px; }
        label {
            position: relative; display: inline-flex; align-items: center; gap: 7px; padding: 6px 14px;
            min-height: 40px; border: 1.5px solid var(--line-strong); border-radius: 99px;
            background: var(--raised); cursor: pointer;
        }
        label:hover { background: var(--accent-soft); }
        label.on { border-color: var(--mc); box-shadow: inset 0 0 0 1.5px var(--mc); font-weight: 650; }
        @media (forced-colors: active) { label.on { border: 4px solid Highlight; } }
        label.off { cursor: not-allowed; opacity: .65; }
        .shape { color: var(--mc); }
        input { position: absolute; inset: 0; width: 100%; height: 100%; cursor: inherit; }
        input, input:disabled { opacity: 0; }
        label:focus-within { outline: 3px solid var(--accent); outline-offset: 2px; }
        /* Beside the methods where there is room for two lines of it. */
        .about { display: flex; flex: 1 1 500px; flex-wrap: wrap; gap: 6px 14px; align-items: center; }
        p { font-size: .9rem; flex: 1 1 280px; }
        .head { display: flex; gap: 6px 14px; align-items: center; flex-wrap: wrap; }
        fieldset { min-width: 0; max-width: 100%; }
        @media (max-width: 700px) {
            fieldset { flex-wrap: nowrap; overflow-x: auto; padding: 3px; margin: -3px; scrollbar-width: thin; }
            legend { position: absolute; clip-path: inset(50%); }
            label { flex: none; min-height: 44px; }
        }
    `];
    static watch = ['state', 'ready', 'status'];

    render() {
        const { lab } = this;
        const { method, lock } = lab.state;
        const off = lab.status === 'training' || lock.includes('method');
        return html`<div class="head"><fieldset>
            <legend>${t('method.legend')}</legend>
            ${methodsOf(lab).map((name) => html`<label class="${name === method ? 'on' : ''} ${off ? 'off' : ''}"
                style="--mc: ${methodColor(name)}">
                <input type="radio" name="method" .value=${name} .checked=${name === method} ?disabled=${off}
                    @change=${() => lab.set({ method: name })}>
                <span class="shape" aria-hidden="true">${methodShape(name)}</span>${t(`method.${name}`)}</label>`)}
        </fieldset>
            <div class="about"><p class="muted">${t(`method.${method}.about`)}</p>${panelButton(lab, 'choose')}</div></div>`;
    }
}
define('peft-methods', PeftMethods);
