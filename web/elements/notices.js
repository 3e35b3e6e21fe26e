/** <peft-notices>: what went wrong or was corrected, each once, until dismissed. */
import { css, define, html, LabElement, nothing, t } from './base.js';
import { wrong } from './engine-said.js';

class PeftNotices extends LabElement {
    static styles = [LabElement.styles, css`
        .item { display: flex; gap: 10px; align-items: start; padding: 8px 12px; border: 1px solid var(--line-strong); border-radius: var(--radius); background: var(--warn-soft); margin-bottom: 8px; }
        .item.bad { background: var(--bad-soft); border-color: var(--bad); }
        .item p { overflow-wrap: anywhere; }
    `];
    static watch = ['notice', 'failure', 'ready'];
    static properties = { items: { state: true } };

    constructor() {
        super();
        /** @type {{text: string, hint: string, code: string, bad: boolean}[]} */
        this.items = [];
    }

    /** @param {string} type @param {any} detail */
    onLab(type, detail) {
        if (type === 'ready') this.items = this.items.filter((item) => !item.bad);
        else {
            const item = type === 'failure' ? { text: detail.message, hint: detail.hint ?? '', code: detail.code, bad: true } : { text: String(detail), hint: '', code: '', bad: false };
            if (!this.items.some((other) => other.text === item.text)) this.items = [...this.items, item].slice(-4);
        }
    }

    render() {
        const { lab } = this;
        return html`<div role="alert">${this.items.map((item) => html`<div class="item ${item.bad ? 'bad' : ''}"><p class="grow">${wrong({ ...item, message: item.text })} ${item.bad && lab.runs.length ? t('failure.safe') : ''}</p>
            ${item.bad && !lab.session ? html`<button @click=${() => { this.items = []; lab.ready().catch(() => {}); }}>${t('failure.retry')}</button>` : nothing}
            <button aria-label=${t('notice.dismiss')} @click=${() => { this.items = this.items.filter((other) => other !== item); }}>✕</button></div>`)}</div>`;
    }
}
define('peft-notices', PeftNotices);
