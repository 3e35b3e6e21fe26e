/** Panels by name. A panel is a file panel-NAME.js beside this one that defines <peft-panel-NAME>; it is loaded when first opened. */
import { PANELS } from '../lib/store.js';
import { usePanelTexts } from './texts.js';

const files = import.meta.glob('./panel-*.js');

/** Names of the panels that exist, in the page's order. @returns {string[]} */
export const panelNames = () => PANELS.filter((name) => name && files[`./panel-${name}.js`]);

/** @param {string} name @returns {boolean} */
export const hasPanel = (name) => Boolean(files[`./panel-${name}.js`]);

/** Loads a panel's code and texts. @param {string} name @returns {Promise<string>} the name of its element */
export async function loadPanel(name) {
    await Promise.all([files[`./panel-${name}.js`]?.(), usePanelTexts()]);
    await customElements.whenDefined(`peft-panel-${name}`);
    return `peft-panel-${name}`;
}
