/**
 * What a panel needs that stands alone in somebody's page, without the playground around it: the train control, and what went
 * wrong.
 */
import { html, nothing, playgroundAround } from './base.js';
import './notices.js';
import './train.js';

/** Whether the page trains the same lab elsewhere. @param {import('../lib/lab.js').Lab} lab */
const trainsElsewhere = (lab) => [...document.querySelectorAll('peft-playground, peft-train')]
    .some((other) => /** @type {any} */ (other).lab === lab);

/** For a panel that shows something only of a trained model. @param {import('./base.js').LabElement} panel */
export function trainHere(panel) {
    const { lab, theme } = panel;
    if (playgroundAround(panel) || trainsElsewhere(lab)) return nothing;
    return html`<peft-notices theme=${theme ?? nothing} .lab=${lab}></peft-notices><peft-train theme=${theme ?? nothing} .lab=${lab}></peft-train>`;
}
