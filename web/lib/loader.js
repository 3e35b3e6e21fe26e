/**
 * The loading part of a Lab: engine, model, task, data and a fresh module, as the settings name them; and again, what
 * a change of settings touches.
 */
import { loadIndex, loadTask, PeftLab, PeftLabError } from '../engine/index.js';
import { loadSplits, OWN, ownTask } from './own.js';
import { correction, FIELDS } from './store.js';

/** @typedef {import('../engine/session.js').Session} Session */

export class Loader {
    /** @type {import('./lab.js').Lab} */
    #lab;
    #base;
    #options;
    /** @type {Promise<void> | null} */
    #started = null;
    #changed = 0;

    /**
     * @param {import('./lab.js').Lab} lab @param {string} base where models/ lies, with a slash at its end
     * @param {import('../engine/index.js').LoadOptions} options
     */
    constructor(lab, base, options) {
        this.#lab = lab;
        this.#base = base;
        this.#options = options;
    }

    /** @type {Promise<Session> | undefined} an engine without a model yet */
    #early;

    /**
     * Starts the engine before anybody knows which model it will get: it is fetched and compiled in its worker while this thread draws the page and
     * reads the storage.
     */
    warm() {
        if (this.#started || this.#early) return;
        this.#early = PeftLab.open(null, this.#options);
        this.#early.catch(() => {}); // ready() says it
    }

    /** The engine is on its way: what can wait should not stand in its way. */
    get loading() { return Boolean(this.#early) || this.#lab.status === 'loading'; }

    /** @returns {Promise<void>} */
    ready() {
        this.#started ??= this.start();
        return this.#started;
    }

    /** After the engine is gone: ready() starts a new one. */
    forget() {
        this.#started = null;
        this.#early?.then((session) => session.close(), () => {});
        this.#early = undefined;
    }

    /** @returns {Promise<void>} */
    start() {
        const lab = this.#lab;
        const loading = lab.during('loading', async () => {
            lab.index = await loadIndex(this.#base);
            const { models, tasks } = lab.index;
            const chosen =
                models.find((m) => m.name === lab.state.model) ??
                models.find((m) => m.default) ??
                models.find((m) => m.name === 'stories-1m') ??
                models[0];
            if (!chosen) throw new PeftLabError('load', 'No model is installed.');
            const absent = lab.state.model && lab.state.model !== chosen.name ? [correction('absent', 'model', lab.state.model)] : [];
            lab.state.model = chosen.name;
            if (!(lab.own && lab.state.task === OWN) && !tasks.some((t) => t.name === lab.state.task)) {
                absent.push(correction('absent', 'task', lab.state.task));
                lab.state.task = (tasks.find((t) => t.name === FIELDS.task.initial) ?? tasks[0])?.name ?? '';
            }
            lab.tell(absent);
            await Promise.all([this.#loadModel(chosen.name), this.#loadTask(lab.state.task)]);
            const fitted = await this.fit(lab.state.method, lab.state.options);
            lab.tell(fitted.notices);
            lab.state.options = fitted.options;
            if (absent.length || fitted.notices.length) lab.emit('state', ['model', 'task', 'options']);
            await this.#prepare();
        }).then(() => lab.emit('ready'));
        this.#started = loading;
        loading.catch(() => { this.#started = null; });
        return loading;
    }

    /**
     * Options from outside, brought to what the engine takes, once it can be asked.
     * @param {string} name of the method @param {Record<string, any>} options
     */
    async fit(name, options) {
        const method = this.#lab.engine?.methods.find((/** @type {any} */ each) => each.name === name);
        if (!method || Object.keys(options).length === 0) return { options, notices: [] };
        const { fitOptions } = await import('./fit.js'); // most visits bring none
        return fitOptions(method, options);
    }

    /** @param {string} name */
    async #loadModel(name) {
        const lab = this.#lab;
        const session = this.#early;
        this.#early = undefined;
        const made = await PeftLab.load(`${this.#base}${name}/`, { ...this.#options, session });
        lab.session?.close();
        lab.session = made;
        lab.engine ??= await made.describeStatic();
    }

    /** @param {string} name */
    async #loadTask(name) {
        const lab = this.#lab;
        if (name !== OWN) lab.task = await this.readTask(name);
        else if (lab.own) lab.task = ownTask(lab.own);
        else lab.state.task = lab.task?.name ?? ''; // there is no such text
    }

    /** @param {string} name */
    adapterPlace(name) { return `${this.#base}adapters/${name}/`; }

    /** @param {string} name */
    readTask(name) { return loadTask(`${this.#base}tasks/${name}/`, { splits: ['train', 'validation', 'test'] }); }

    /** @param {import('../engine/data.js').Example[]} examples @param {string} title */
    async useData(examples, title) {
        const lab = this.#lab;
        const { task, own } = lab;
        const { task: name } = lab.state;
        lab.own = { title, examples, presets: task?.presets ?? [] };
        try {
            lab.task = ownTask(lab.own);
            lab.state.task = OWN;
            await lab.during('busy', () => this.#prepare());
        } catch (error) {
            Object.assign(lab, { task, own });
            lab.state.task = name;
            await lab.during('busy', () => this.#prepare()).catch(() => {});
            throw error;
        }
        lab.baseLosses.delete(lab.baseKey);
        lab.emit('state', ['task']);
        return lab.data;
    }

    /** Data into the session, the module of the settings, the counter, the sample of the untrained model. */
    async #prepare() {
        const lab = this.#lab;
        const { session, task } = lab;
        if (!session || !task) return;
        await session.clear();
        lab.data = await loadSplits(session, task);
        await this.setModule().catch((error) => {
            if (!lab.refused) throw error;
            lab.emit('failure', lab.refused); // all else is loaded, so that other settings can be tried
        });
        await this.#sampleAgain();
        lab.emit('data', lab.data);
    }

    async setModule() {
        const lab = this.#lab;
        const session = /** @type {Session} */ (lab.session);
        lab.run = null;
        lab.sample = { ...lab.sample, after: '' };
        if (lab.merged) lab.emit('merge', (lab.merged = null));
        await session.clear();
        lab.refused = null;
        try {
            await session.addModule(lab.state.method, lab.options, { seed: lab.state.seed, name: lab.state.method });
        } catch (thrown) {
            const error = PeftLabError.from(thrown);
            if (!['aborted', 'worker-lost'].includes(error.code)) {
                lab.refused = error;
                await lab.describe(); // the model without it
            }
            throw error;
        }
        await lab.describe();
    }

    /** The sample of the model alone, and of the trained module if there is one. */
    async #sampleAgain() {
        const lab = this.#lab;
        const session = /** @type {Session} */ (lab.session);
        const { task } = lab;
        const prompt = lab.state.prompt || task?.items.validation?.[0]?.prompt || task?.splits.validation?.[0]?.prompt || 'Once upon a time';
        const after = lab.run ? await lab.generate(prompt) : '';
        if (lab.merged) await session.unmerge();
        const modules = (lab.description?.modules ?? []).filter((/** @type {any} */ m) => m.active);
        for (const { id } of modules) await session.setModule(id, { active: false });
        const before = await lab.generate(prompt);
        for (const { id } of modules) await session.setModule(id, { active: true });
        if (lab.merged) await session.merge();
        lab.sample = { prompt, before, after };
        lab.emit('sample', { when: 'before', text: before, step: 0 });
    }

    /** After settings changed: loads again what they touch, once anything was loaded. Only the latest change counts. @param {string[]} changed */
    async refresh(changed) {
        if (!this.#started) return;
        const lab = this.#lab;
        const ticket = ++this.#changed;
        const has = (/** @type {string} */ key) => changed.includes(key);
        const status = has('model') ? 'loading' : has('task') || has('prompt') ? 'busy' : null;
        await lab.during(status, async () => {
            if (!lab.session) return undefined;
            if (has('model')) await this.#loadModel(lab.state.model);
            if (has('task')) await this.#loadTask(lab.state.task);
            if (has('model') || has('task')) return this.#prepare();
            if (ticket !== this.#changed) return undefined;
            if (has('method') || has('options') || has('seed')) await this.setModule();
            if (has('prompt') || has('seed')) await this.#sampleAgain();
            lab.emit('sample', { when: 'before', text: lab.sample.before, step: 0 });
            return undefined;
        }).catch(() => {});
    }
}
