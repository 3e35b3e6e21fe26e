/** <peft-panel-coach>: the coach with the chapter's advice beside it, for pages that embed only this; in the playground's result just the coach. */
import { define, html, LabElement, nothing, t } from './base.js';
import './coach.js';

class PeftPanelCoach extends LabElement {
    static watch = ['run', 'status'];

    /** Whether the playground is around, which has the chapter in a panel of its own. */
    get #inside() {
        for (let node = /** @type {any} */ (this); node; node = node.parentNode ?? node.host ?? null) if (node.nodeName === 'PEFT-PLAYGROUND') return true;
        return false;
    }

    render() {
        const coach = html`<peft-coach .lab=${this.lab}></peft-coach>`;
        if (this.#inside) return coach;
        return html`<div class="stack"><h2>${t('coach.title')}</h2><p>${t('coach.about')}</p>${coach}${this.lab.run ? nothing : html`<p class="muted">${t('coach.none')}</p>`}
            <blockquote class="small">${t('coach.chapter')}</blockquote></div>`;
    }
}
define('peft-panel-coach', PeftPanelCoach);
