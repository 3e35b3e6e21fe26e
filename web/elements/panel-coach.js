/**
 * <peft-panel-coach>: the coach with the chapter's advice beside it, for pages that embed only this; in the playground's result
 * just the coach.
 */
import { trainHere } from './alone.js';
import { define, html, LabElement, nothing, playgroundAround, t } from './base.js';
import './coach.js';

class PeftPanelCoach extends LabElement {
    static watch = ['run', 'status'];

    render() {
        const coach = html`<peft-coach .lab=${this.lab}></peft-coach>`;
        if (playgroundAround(this)) return coach; // which has the chapter in a panel of its own
        return html`<div class="stack"><h2>${t('coach.title')}</h2>
            <p>${t('coach.about')}</p>${trainHere(this)}${coach}
            ${this.lab.run ? nothing : html`<p class="muted">${t('coach.none')}</p>`}
            <blockquote class="small">${t('coach.chapter')}</blockquote></div>`;
    }
}
define('peft-panel-coach', PeftPanelCoach);
