/**
 * An engine without a model for counts, tables and advice: it is there while a lab's own engine loads or trains, and costs no
 * download but the engine itself.
 * One per page, shared by all panels; it ends with the page's last element, and the next question starts another.
 */
import { PeftLab } from '../engine/index.js';
import { afterLast, anyElement } from './labs.js';

/** @typedef {import('../engine/session.js').Session} Session */

/** @type {Promise<Session> | null} */
let engine = null;
/** Questions that are not answered yet. */
let open = 0;
/** @type {Map<string, Promise<any>>} */
const answers = new Map();

function end() {
    if (open || anyElement()) return;
    engine?.then((session) => session.close(), () => {});
    engine = null;
}
afterLast(end);

/** @param {import('../lib/lab.js').Lab} lab */
function start(lab) {
    const started = PeftLab.open(null, lab.loadOptions);
    started.catch(() => { if (engine === started) engine = null; });
    return started;
}

/**
 * @template T
 * @param {import('../lib/lab.js').Lab} lab whose way of starting engines is used
 * @param {(session: Session) => Promise<T>} ask
 * @returns {Promise<T>}
 */
export async function calculator(lab, ask) {
    open++;
    try {
        engine ??= start(lab);
        return await ask(await engine);
    } finally {
        open--;
        end();
    }
}

/**
 * A table that never changes, asked for once.
 * @param {import('../lib/lab.js').Lab} lab @param {'guide' | 'chapter' | 'describeStatic'} name @returns {Promise<any>}
 */
export function table(lab, name) {
    let answer = answers.get(name);
    if (!answer) {
        answers.set(name, (answer = calculator(lab, (session) => session[name]())));
        answer.catch(() => answers.delete(name));
    }
    return answer;
}
