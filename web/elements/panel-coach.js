/** <peft-panel-coach>: the coach as a panel of its own, with the advice of the chapter beside it, for pages that embed only this. */
import { define, html, LabElement, nothing, t } from './base.js';
import './coach.js';

class PeftPanelCoach extends LabElement {
    static watch = ['run', 'status'];

    render() {
        return html`<div class="stack"><h2>${t('coach.title')}</h2><p>${t('coach.about')}</p><peft-coach .lab=${this.lab}></peft-coach>${this.lab.run ? nothing : html`<p class="muted">${t('coach.none')}</p>`}
            <blockquote class="small">${t('coach.chapter')}</blockquote></div>`;
    }
}
define('peft-panel-coach', PeftPanelCoach);
