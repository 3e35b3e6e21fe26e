/**
 * Entry of the bundles that carry everything in one file: the single-file page, the elements library and the notebook module.
 */
import './embedded-files.js'; // first: elements start their lab as soon as they are defined
import './elements/playground.js';
import { loadPanel, panelNames } from './elements/panels.js';
import { render } from './elements/widget.js';

/** Every panel's element, so that it can stand in the HTML of any page (the playground would load them when they are opened). */
export const panels = Promise.all(panelNames().map(loadPanel));

export { render };
export default { render };
