/** The laboratories of a page by session name: elements with the same `session` share engine, model, runs and settings. */
import { Lab } from '../lib/lab.js';

/** @type {Map<string, Lab>} */
const labs = new Map();
/** @type {{base?: string | URL, load?: import('../engine/index.js').LoadOptions}} */
let options = {};

/**
 * Where models lie and how engines start, for labs made from now on (single-file page, notebooks).
 * @param {typeof options} changes
 */
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
/** All of them. */
let present = 0;
/** What else ends with the last element of the page. @type {Set<() => void>} */
const endings = new Set();

/** Whether the page has an element of ours. */
export const anyElement = () => present > 0;

/** @param {() => void} end is called whenever the last element has left the page */
export function afterLast(end) {
    endings.add(end);
}

/** An element that uses the lab came into the page. @param {Lab} lab */
export function enter(lab) {
    present++;
    users.set(lab, (users.get(lab) ?? 0) + 1);
}

/**
 * One left. After the last (moved elements are back at once) a training is paused, which keeps it, and the engine ends, also one
 * that is still being loaded; ready() starts another. @param {Lab} lab
 */
export function leave(lab) {
    present--;
    users.set(lab, (users.get(lab) ?? 1) - 1);
    setTimeout(() => {
        if (!anyElement()) endings.forEach((end) => end());
        if (users.get(lab)) return;
        lab.pause();
        lab.during(null, async () => { if (!users.get(lab)) lab.close(); }).catch(() => {});
    });
}
