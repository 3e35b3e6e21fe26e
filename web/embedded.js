/**
 * Entry of the bundles that carry everything in one file: the single-file page, the elements library and the notebook module.
 */
import './embedded-files.js'; // first: elements start their lab as soon as they are defined
import './elements/playground.js';
import { loadPanel, panelNames } from './elements/panels.js';

/** Every panel's element, so that it can stand in the HTML of any page (the playground would load them when they are opened). */
export const panels = Promise.all(panelNames().map(loadPanel));

/**
 * anywidget's protocol (Jupyter, Colab, marimo, MyST's {anywidget} directive): model values `element`, `link` and any attribute in `attributes`.
 * @param {{model?: {get(name: string): any}, el: HTMLElement}} widget
 */
export async function render({ model, el }) {
    const name = String(model?.get('element') ?? 'playground');
    const tag = name === 'playground' ? 'peft-playground' : panelNames().includes(name) ? await loadPanel(name) : `peft-${name.replace(/[^a-z-]/g, '')}`;
    const element = document.createElement(tag);
    const attributes = model?.get('attributes');
    if (attributes && typeof attributes === 'object') {
        for (const [key, value] of Object.entries(attributes)) if (/^[a-z-]{1,30}$/.test(key) && !key.startsWith('on')) element.setAttribute(key, String(value));
    }
    if (tag === 'peft-playground') element.setAttribute('no-link', '');
    el.replaceChildren(element);
    return () => element.remove();
}

export default { render };
