/** The laboratories of a page by session name: elements with the same `session` share engine, model, runs and settings. */
import { Lab } from '../lib/lab.js';

/** @type {Map<string, Lab>} */
const labs = new Map();
/** @type {{base?: string | URL, load?: import('../engine/index.js').LoadOptions}} */
let options = {};

/** Where models lie and how engines start, for labs made from now on (single-file page, notebooks). @param {typeof options} changes */
export function configureLabs(changes) {
    options = { ...options, ...changes };
}

/** @param {string} [name] @returns {Lab} */
export function getLab(name = 'page') {
    let lab = labs.get(name);
    if (!lab) labs.set(name, (lab = new Lab({ base: new URL('models/', document.baseURI), ...options })));
    return lab;
}

/** Ends a lab's workers and forgets it. @param {string} name */
export function dropLab(name) {
    labs.get(name)?.close();
    labs.delete(name);
}
