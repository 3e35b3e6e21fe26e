/**
 * <peft-file>: a button that asks for files, and the name of what was chosen, in the page's language (the browser's own control
 * speaks the browser's).
 * It stays a native file input under its label, so keyboard, screen reader and file dialogs work as everywhere.
 *     <peft-file .lab=${lab} .label=${'A zip:'} .accept=${'.zip'} .pick=${(files) => …} multiple></peft-file>
 */
import { css, define, html, LabElement, t } from './base.js';
import { number } from '../lib/i18n.js';

class PeftFile extends LabElement {
    static watch = /** @type {readonly string[]} */ ([]);
    static styles = [LabElement.styles, css`
        :host { display: block; max-width: 100%; }
        label { display: flex; flex-wrap: wrap; gap: 6px 10px; align-items: center; position: relative; overflow-wrap: anywhere; }
        .button {
            border: 1px solid var(--line-strong); border-radius: 6px; background: var(--raised);
            padding: 6px 12px; min-height: 36px; cursor: pointer; display: inline-flex; align-items: center;
        }
        .button:hover { background: var(--accent-soft); }
        input:focus-visible + .button { outline: 3px solid var(--focus, var(--accent)); outline-offset: 2px; }
        input:disabled + .button { cursor: not-allowed; opacity: 0.6; }
        @media (pointer: coarse) { .button { min-height: 44px; } }
    `];
    static properties = {
        label: { attribute: false }, accept: { attribute: false }, multiple: { type: Boolean }, disabled: { type: Boolean },
        pick: { attribute: false }, chosen: { state: true },
    };

    constructor() {
        super();
        this.label = '';
        this.accept = '';
        this.multiple = false;
        this.disabled = false;
        /** @type {(files: File[]) => void} */
        this.pick = () => {};
        /** Names of what was chosen last. @type {string[]} */
        this.chosen = [];
    }

    /** @param {Event} event */
    #change({ target }) {
        const files = [.../** @type {HTMLInputElement} */ (target).files ?? []];
        this.chosen = files.map(({ name }) => name);
        this.pick(files);
    }

    render() {
        const [first, ...more] = this.chosen;
        return html`<label><span>${this.label}</span> <input class="sr" type="file" accept=${this.accept}
            ?multiple=${this.multiple} ?disabled=${this.disabled} aria-describedby="chosen" @change=${this.#change}>
            <span class="button">${t(this.multiple ? 'file.choose.several' : 'file.choose')}</span>
            <span class="small muted" id="chosen" role="status">${
                first === undefined ? t('file.none') : more.length ? t('file.several', { name: first, n: number(more.length) }) : first
            }</span></label>`;
    }
}
define('peft-file', PeftFile);
