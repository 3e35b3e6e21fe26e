/**
 * Recommendations of the engine ("lora", "rank=8;alpha=16;target_modules=q_proj,v_proj") as settings of a lab, and the buttons
 * that load them.
 */
import { html, nothing, t } from './base.js';
import { optionLabel } from './options.js';
import { bookWords } from '../lib/engine-words.js';
import { optionValue } from '../lib/format.js';
import { methodColor, methodShape } from './look.js';

/** @typedef {{method: string, label: string, settings: string, merge?: boolean, quote?: string}} Recommendation */

/** @param {string} settings "rank=8;target_modules=q_proj,v_proj" @returns {Record<string, any>} */
export function optionsOf(settings) {
    return Object.fromEntries(settings.split(';').filter(Boolean).map((pair) => {
        const [name, text] = pair.split('=');
        const number = Number(text);
        if (name === 'target_modules') return [name, text.includes(',') || text.endsWith('_proj') ? text.split(',') : text];
        return [name, Number.isFinite(number) ? number : text];
    }));
}

/**
 * Puts a recommendation into the lab, and trains it when asked to.
 * @param {import('../lib/lab.js').Lab} lab
 * @param {{method: string, settings?: string, options?: Record<string, any>, task?: string, steps?: number, lr?: number,
 *   model?: string}} what
 * @param {boolean} [train]
 */
export async function load(lab, { method, settings = '', options, task, ...rest }, train = false) {
    await lab.ready();
    const own = lab.state.task === 'own-data' ? {} : task ? { task } : {};
    // Steps and rate of an earlier method would make a poor run of this one: take the preset's unless they are part of the wish.
    lab.set({ method, options: options ?? optionsOf(settings), steps: 0, lr: 0, batch_size: 0, ...own, ...rest });
    return train ? lab.train() : null;
}

/**
 * Whether it would change what a teacher's link has locked.
 * @param {import('../lib/lab.js').Lab} lab @param {any} what see load()
 */
function changesLocked({ state, description }, { settings = '', options = optionsOf(settings), task, ...rest }) {
    const now = { ...state, ...description?.modules[0]?.options, ...state.options };
    // What it does not say of these it leaves to the task's preset: no value of anybody's, so a locked one would change.
    const wanted = { steps: 0, lr: 0, batch_size: 0, ...rest, ...options };
    return state.lock.some((/** @type {string} */ name) => name === 'method' || (name === 'task' && Boolean(task))
        || (Object.hasOwn(wanted, name) && String(/** @type {any} */ (wanted)[name]) !== String(now[name])));
}

/** "rank 8, alpha 16, targets q, v" @param {string | Record<string, any>} settings */
export function settingsText(settings) {
    const options = typeof settings === 'string' ? optionsOf(settings) : settings;
    const label = (/** @type {string} */ name) => optionLabel(/** @type {any} */ ({ name, label: name }));
    return Object.entries(options).map(([name, value]) => `${label(name)} ${optionValue(value)}`).join(', ');
}

/** Words of the chapter, marked where they are not in the page's language. @param {string} english */
export function book(english) {
    const { text, ours } = bookWords(english);
    return ours ? text : html`<span lang="en">${text}</span>`;
}

/** A method's name with its colour and shape. @param {string} method @param {string} [label] */
export const methodName = (method, label) => html`<span style="color: ${methodColor(method)}"
    aria-hidden="true">${methodShape(method)}</span> ${label ? book(label) : t(`method.${method}`)}`;

/**
 * Buttons that load, and load and train.
 * @param {import('./base.js').LabElement} host @param {any} what see load() @param {{primary?: boolean, about?: string}} [looks]
 */
export function loadButtons(host, what, { primary = false, about = '' } = {}) {
    const { lab } = host;
    const locked = changesLocked(lab, what);
    const off = locked || ['training', 'busy', 'loading'].includes(lab.status);
    const run = (/** @type {boolean} */ train) => load(lab, what, train).then(() => host.fire('peft-change', what), () => {});
    const more = about ? html`<span class="sr">: ${about}</span>` : nothing;
    return html`<span class="row"><button type="button" class=${primary ? 'primary' : ''} ?disabled=${off}
        @click=${() => run(true)}>${t(primary ? 'choose.train' : 'choose.run')}${more}</button>
        <button type="button" class="link" ?disabled=${off} @click=${() => run(false)}>${t('choose.load')}${more}</button></span>`;
}
