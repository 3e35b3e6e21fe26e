/**
 * The front end of an anywidget (Jupyter, Colab, marimo, MyST's {anywidget} directive): one element in a cell, and a Python object
 * that sees and steers it.
 * A trait is used if the Python class has it; a class without any shows the whole page.
 *
 *   element, attributes   read once: which element, and attributes it starts with
 *   method task model seed rank alpha targets steps lr …   both ways; None is the preset's (allow_none=True). An attribute's name with "_" for "-".
 *   training              both ways: True starts a run with the settings, False ends it
 *   status state result error   written here: the lab's status, all settings as they are in force, the last run, the last failure
 */
import { defaults } from '../lib/store.js';
import { attributeSettings, OPTIONS, SETTINGS } from './attributes.js';
import { dropLab, getLab } from './labs.js';
import { loadPanel, panelNames } from './panels.js';

/**
 * @typedef {{get(name: string): any, set?(name: string, value: any): void, save_changes?(): void,
 *   on?(event: string, act: () => void): void, off?(event: string, act: () => void): void}} Model
 */

/** Trait -> what it is in the lab's settings. */
const TRAITS = Object.freeze(Object.fromEntries(
    Object.entries({ ...SETTINGS, ...OPTIONS }).map(([attribute, name]) => [attribute.replaceAll('-', '_'), name]),
));
const isOption = (/** @type {string} */ trait) => Object.hasOwn(OPTIONS, trait.replaceAll('_', '-'));
const unset = (/** @type {unknown} */ value) => value === null || value === undefined || value === '' || value === 0
    || (Array.isArray(value) && value.length === 0);
/** The result is written this often while it grows, in ms. */
const PACE = 500;

let widgets = 0;

/** @param {Element} element @param {string} trait an attribute's name, with "_" or "-" @param {unknown} value */
function put(element, trait, value) {
    const name = trait.replaceAll('_', '-');
    if (!/^[a-z][a-z-]{0,30}$/.test(name) || name.startsWith('on')) return;
    const text = Array.isArray(value) ? value.join(',') : typeof value === 'object' ? JSON.stringify(value) : String(value);
    element.setAttribute(name, text);
}

/**
 * The settings that changed traits ask for; a method's options belong to it, so another method starts from none.
 * @param {Model} model @param {string[]} changed @param {Record<string, any>} state
 */
function asked(model, changed, state) {
    const element = document.createElement('i');
    const given = changed.filter((trait) => !unset(model.get(trait)));
    for (const trait of given) put(element, trait, model.get(trait));
    const patch = attributeSettings(element);
    const initial = defaults();
    for (const trait of changed) if (!given.includes(trait) && !isOption(trait)) patch[TRAITS[trait]] = initial[TRAITS[trait]];
    if (!changed.some((trait) => isOption(trait))) return patch;
    const kept = patch.method && patch.method !== state.method ? {} : structuredClone(state.options);
    for (const trait of changed) delete kept[TRAITS[trait]];
    return { ...patch, options: { ...kept, ...patch.options } };
}

/** As the trait keeps it; what is not set is None. @param {any} before @param {any} value */
function asTrait(before, value) {
    if (unset(value)) return Array.isArray(before) ? [] : null;
    return typeof before === 'string' && Array.isArray(value) ? value.join(',') : value;
}

/** @param {import('../lib/lab.js').Lab} lab */
const inForce = (lab) => ({
    method: lab.state.method, task: lab.state.task, model: lab.state.model, options: lab.options,
    train: lab.train_options, trainable: lab.description?.counts?.trainable ?? null,
    total: lab.description?.counts?.total ?? null,
});

/** Keeps traits and lab alike. @param {Model} model @param {import('../lib/lab.js').Lab} lab @param {AbortSignal} signal */
function synchronise(model, lab, signal) {
    const has = (/** @type {string} */ trait) => model.get(trait) !== undefined;
    const traits = Object.keys(TRAITS).filter(has);
    /** @type {Set<string>} */
    const changed = new Set();
    let writing = false;
    let wanted = false;
    let error = '';
    let later = 0;
    const write = () => {
        /** @type {Record<string, any>} */
        const values = { status: lab.status, state: inForce(lab), error, training: wanted || lab.status === 'training' };
        if (lab.run) values.result = (({ adapter: _, pinned: __, ...run }) => run)(lab.run);
        for (const trait of traits) {
            const now = (isOption(trait) ? lab.state.options : lab.state)[TRAITS[trait]];
            if (!changed.has(trait)) values[trait] = asTrait(model.get(trait), now);
        }
        const fresh = Object.entries(values)
            .filter(([name, value]) => has(name) && JSON.stringify(value) !== JSON.stringify(model.get(name)));
        if (fresh.length === 0 || signal.aborted) return;
        writing = true;
        try {
            for (const [name, value] of fresh) model.set?.(name, structuredClone(value));
            model.save_changes?.();
        } catch { /* MyST's model has nobody to tell, and throws */ } finally {
            writing = false;
        }
    };
    const soon = (/** @type {number} */ ms) => { later ||= window.setTimeout(() => { later = 0; write(); }, ms); };
    const start = async () => {
        wanted = true;
        error = '';
        try {
            await lab.ready();
            await lab.train();
        } catch { /* shown by the element, and written by the failure's own event */ } finally {
            wanted = false;
            write();
        }
    };
    const apply = () => {
        const names = [...changed];
        changed.clear();
        if (signal.aborted) return;
        const settings = names.filter((name) => name !== 'training');
        if (settings.length) lab.set(asked(model, settings, lab.state));
        if (names.includes('training')) {
            if (!model.get('training')) lab.stop().catch(() => {});
            else if (!wanted && lab.status !== 'training') start();
        }
        soon(0);
    };
    const told = (/** @type {string} */ trait) => () => {
        if (writing) return;
        if (changed.size === 0) queueMicrotask(apply); // traits that are set together are taken together
        changed.add(trait);
    };
    const listening = [...traits, ...(has('training') ? ['training'] : [])]
        .map((trait) => /** @type {[string, () => void]} */ ([`change:${trait}`, told(trait)]));
    for (const [event, act] of listening) model.on?.(event, act);
    signal.addEventListener('abort', () => {
        try {
            for (const [event, act] of listening) model.off?.(event, act);
        } catch { /* MyST's model cannot forget a listener; apply() does nothing any more */ }
    });
    lab.addEventListener('failure', (event) => {
        const { message, hint } = /** @type {CustomEvent} */ (event).detail;
        error = [message, hint].filter(Boolean).join(' ');
        soon(0);
    }, { signal });
    for (const type of ['status', 'state', 'counts', 'run', 'runs']) lab.addEventListener(type, () => soon(0), { signal });
    for (const type of ['step', 'validation', 'sample']) lab.addEventListener(type, () => soon(PACE), { signal });
    if (model.get('training')) start();
}

/** @param {{model?: Model, el: HTMLElement}} widget @returns {Promise<() => void>} takes the element away again */
export async function render({ model, el }) {
    const name = String(model?.get('element') ?? 'playground');
    const tag = name === 'playground' ? 'peft-playground'
        : panelNames().includes(name) ? await loadPanel(name) : `peft-${name.replace(/[^a-z-]/g, '')}`;
    const element = document.createElement(tag);
    const attributes = model?.get('attributes');
    if (attributes && typeof attributes === 'object') for (const [key, value] of Object.entries(attributes)) put(element, key, value);
    for (const trait of Object.keys(TRAITS)) if (model && !unset(model.get(trait))) put(element, trait, model.get(trait));
    // Several widgets of a notebook are several experiments, unless they name one session.
    const own = !element.hasAttribute('session');
    if (own) element.setAttribute('session', `widget-${++widgets}`);
    const session = /** @type {string} */ (element.getAttribute('session'));
    if (tag === 'peft-playground') for (const flag of ['no-link', 'no-save']) element.setAttribute(flag, '');
    element.setAttribute('data-lm-suppress-shortcuts', 'true'); // JupyterLab: keys pressed in here are no commands for the notebook
    const leave = new AbortController();
    el.replaceChildren(element);
    // JupyterLab refuses line breaks in a cell's output, and with them the Enter that ends typing in a field; heard inside, it
    // never gets there.
    element.shadowRoot?.addEventListener('beforeinput', (event) => event.stopPropagation());
    if (model) synchronise(model, getLab(session), leave.signal);
    return () => {
        leave.abort();
        element.remove();
        if (own) dropLab(session);
    };
}
