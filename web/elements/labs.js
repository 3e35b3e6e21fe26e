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

/** Elements in a page, by lab. @type {WeakMap<Lab, number>} */
const users = new WeakMap();

/** An element that uses the lab came into the page. @param {Lab} lab */
export function enter(lab) {
    users.set(lab, (users.get(lab) ?? 0) + 1);
}

/** One left. After the last (moved elements are back at once) a training is paused, which keeps it, and the engine ends; ready() starts another. @param {Lab} lab */
export function leave(lab) {
    users.set(lab, (users.get(lab) ?? 1) - 1);
    setTimeout(() => {
        if (users.get(lab) || !lab.session) return;
        lab.pause();
        lab.during(null, async () => { if (!users.get(lab)) lab.close(); }).catch(() => {});
    });
}
