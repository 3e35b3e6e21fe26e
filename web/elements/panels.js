/**
 * Panels by name. A panel is a file panel-NAME.js beside this one that defines <peft-panel-NAME>; it is loaded when first
 * opened.
 */
import { html, nothing, t } from './base.js';
import { PANELS } from '../lib/store.js';
import { usePanelTexts } from './texts.js';

const files = import.meta.glob('./panel-*.js');

/** Names of the panels that exist, in the page's order. @returns {string[]} */
export const panelNames = () => PANELS.filter((name) => name && files[`./panel-${name}.js`]);

/** Opens and closes a panel. @param {import('../lib/lab.js').Lab} lab @param {string} name */
export function panelButton(lab, name) {
    const { panel, hide } = lab.state;
    if (!hasPanel(name) || hide.includes(name) || hide.includes('panels')) return nothing;
    const go = () => lab.set({ panel: panel === name ? '' : name });
    return html`<button type="button" class="toggle" title=${t(`panel.${name}.about`)} aria-expanded=${panel === name}
        @click=${go}>${t(`panel.${name}`)}</button>`;
}

/** @param {string} name @returns {boolean} */
export const hasPanel = (name) => Boolean(files[`./panel-${name}.js`]);

/**
 * The panels' short names for other people's pages: <peft-merge>, <peft-mix>, …; a name that is another element's already stays its.
 * @type {Record<string, string>}
 */
const SHORT = { inspect: 'delta' };

/** The panel that a full or a short name means. @param {string} name @returns {string} */
export const panelOf = (name) => Object.keys(SHORT).find((panel) => SHORT[panel] === name) ?? name;

/** Loads a panel's code and texts. @param {string} name @returns {Promise<string>} the name of its element */
export async function loadPanel(name) {
    await Promise.all([files[`./panel-${name}.js`]?.(), usePanelTexts()]);
    const element = await customElements.whenDefined(`peft-panel-${name}`);
    const short = `peft-${SHORT[name] ?? name}`;
    if (!customElements.get(short)) customElements.define(short, class extends element {});
    return `peft-panel-${name}`;
}
