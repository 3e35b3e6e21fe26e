/** <peft-notices>: what went wrong or was corrected, each once, until dismissed. */
import { css, define, html, LabElement, nothing, t } from './base.js';
import { hasText } from '../lib/i18n.js';
import { wrong } from './engine-said.js';
import { usePanelTexts } from './texts.js';

/** @typedef {import('../lib/store.js').Correction} Correction */
/** @typedef {{text: string, hint: string, code: string, bad: boolean, corrections: Correction[]}} Item */

/** A correction in the page's language, the setting by the name the page has for it. @param {Correction} correction */
function corrected({ key, values }) {
    const name = ['settings', 'option'].map((group) => `${group}.${values.name}`).find(hasText);
    return t(key, { ...values, name: name ? t(name) : values.name });
}

class PeftNotices extends LabElement {
    static styles = [LabElement.styles, css`
        .item {
            display: flex; gap: 10px; align-items: start; padding: 8px 12px;
            border: 1px solid var(--line-strong); border-radius: var(--radius); background: var(--warn-soft);
            margin-bottom: 8px;
        }
        .item.bad { background: var(--bad-soft); border-color: var(--bad); }
        .item p { overflow-wrap: anywhere; }
    `];
    static watch = ['notice', 'failure', 'ready'];
    static properties = { items: { state: true } };

    constructor() {
        super();
        /** @type {Item[]} */
        this.items = [];
    }

    /** @param {string} type @param {any} detail */
    onLab(type, detail) {
        if (type === 'ready') this.items = this.items.filter((item) => !item.bad);
        else if (detail.corrections) this.#correct(detail.corrections);
        else {
            const item = type === 'failure'
                ? { text: detail.message, hint: detail.hint ?? '', code: detail.code, bad: true }
                : { text: detail.instead ? detail.text ?? '' : String(detail), hint: '', code: '', bad: false };
            const others = this.items.filter((other) => other.text !== detail.instead); // that is no longer so
            const more = !item.text || others.some((other) => other.text === item.text) ? [] : [{ ...item, corrections: [] }];
            this.items = [...others, ...more].slice(-4);
        }
    }

    /** All corrections stand in one item, also those that had to wait for the engine. @param {Correction[]} more */
    #correct(more) {
        usePanelTexts().catch(() => {});
        const before = this.items.find((item) => item.corrections.length)?.corrections ?? [];
        const same = (/** @type {Correction} */ one) => before.some((other) => JSON.stringify(other) === JSON.stringify(one));
        const corrections = [...before, ...more.filter((one) => !same(one))];
        const item = { text: '', hint: '', code: '', bad: false, corrections };
        this.items = [...this.items.filter((other) => !other.corrections.length), item].slice(-4);
    }

    /** @param {Item} item */
    #text(item) {
        if (item.corrections.length === 0) {
            return html`${wrong({ ...item, message: item.text })} ${item.bad && this.lab.runs.length ? t('failure.safe') : ''}`;
        }
        if (!hasText('correct.title')) return nothing; // its words are on their way
        const all = item.corrections.map((one) => html`<span class="one">${corrected(one)}</span> `);
        return html`${t('correct.title')} ${all}${t('correct.on')}`;
    }

    render() {
        const { lab } = this;
        const again = () => { this.items = []; lab.ready().catch(() => {}); };
        const dismiss = (/** @type {Item} */ item) => { this.items = this.items.filter((other) => other !== item); };
        return html`<div role="alert">${this.items.map((item) => html`<div class="item ${item.bad ? 'bad' : ''}">
            <p class="grow">${this.#text(item)}</p>
            ${item.bad && !lab.session ? html`<button @click=${again}>${t('failure.retry')}</button>` : nothing}
            <button aria-label=${t('notice.dismiss')} @click=${() => dismiss(item)}>✕</button></div>`)}</div>`;
    }
}
define('peft-notices', PeftNotices);
