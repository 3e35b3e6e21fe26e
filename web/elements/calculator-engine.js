/**
 * An engine without a model for counts, tables and advice: it is there while a lab's own engine loads or trains, and costs no download but the engine itself.
 * One per page, shared by all panels.
 */
import { PeftLab } from '../engine/index.js';

/** @typedef {import('../engine/session.js').Session} Session */

/** @type {Promise<Session> | null} */
let engine = null;
/** @type {Map<string, Promise<any>>} */
const answers = new Map();

/** @param {import('../lib/lab.js').Lab} lab whose way of starting engines is used @returns {Promise<Session>} */
export function calculator(lab) {
    if (!engine) {
        engine = PeftLab.open(null, lab.loadOptions);
        engine.catch(() => { engine = null; });
    }
    return engine;
}

/**
 * A table that never changes, asked for once.
 * @param {import('../lib/lab.js').Lab} lab @param {'guide' | 'chapter' | 'describeStatic'} name @returns {Promise<any>}
 */
export function table(lab, name) {
    let answer = answers.get(name);
    if (!answer) {
        answers.set(name, (answer = calculator(lab).then((session) => session[name]())));
        answer.catch(() => answers.delete(name));
    }
    return answer;
}
