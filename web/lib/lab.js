/**
 * The laboratory behind a page: settings, the engine session, runs. Free of DOM, so that elements, lessons and Node
 * tests drive the same object. Several elements on a page share one Lab. Work on the engine waits for its turn;
 * pause and stop act at once.
 *
 * Events (CustomEvent, detail in parentheses): status (Status) · state (changed keys) · ready · counts · data
 * (statistics by split) · step (StepReport) · validation (ValidationReport) · sample ({when: before | during | after,
 * text, step}) · run (Run) · runs · modules · merge (MergeReport | null) · snapshot ({step, bytes}) · weights ({run,
 * bytes, gone}) · results · notice (text, or {corrections} of what came from outside) · failure (PeftLabError)
 */
import { evaluateTask, PeftLabError } from '../engine/index.js';
import { Loader } from './loader.js';
import { defaults, read } from './store.js';
import { Trainer, trainOptions } from './trainer.js';
import { Weights } from './weights.js';

/** @typedef {'idle' | 'loading' | 'ready' | 'training' | 'paused' | 'busy' | 'failed'} Status */
/** @typedef {import('./runs.js').Run} Run */
/** @typedef {import('../engine/session.js').Session} Session */

const SAMPLE_TOKENS = 60;
/** Settings that change what the engine holds; they wait while it trains. */
const ENGINE_KEYS = ['method', 'options', 'model', 'task', 'prompt', 'seed'];

export class Lab extends EventTarget {
    state = defaults();
    /** @type {Status} */
    status = 'idle';
    /** @type {Session | null} */
    session = null;
    /** @type {any} describeStatic() of the engine */
    engine = null;
    /** @type {any} describe() of the session */
    description = null;
    /** @type {{models: any[], tasks: any[], adapters?: any[]}} */
    index = { models: [], tasks: [] };
    /** @type {import('../engine/tasks.js').Task | null} */
    task = null;
    /** @type {import('./own.js').OwnData | null} the user's own examples, once there are any */
    own = null;
    /** @type {any[]} statistics of the data, by split */
    data = [];
    /** @type {Run[]} newest last */
    runs = [];
    /** @type {Run | null} the run whose weights the session holds */
    run = null;
    /** Held-out loss of the model alone, by model and task. @type {Map<string, number | null>} */
    baseLosses = new Map();
    /** The task's metric of the model alone, by model and task. @type {Map<string, number>} */
    baseScores = new Map();
    /** @type {any} report of the last merge, null when nothing is merged */
    merged = null;
    sample = { prompt: '', before: '', after: '' };
    /** Why the engine would not have the module of the settings. @type {PeftLabError | null} */
    refused = null;
    /** What panels have made, by panel, for when they are opened again. @type {Record<string, any>} */
    results = {};
    snapshotSeconds = 5;
    /** @type {number | undefined} bytes an engine may have; undefined: what WebAssembly allows */
    memoryLimit;
    /** Weights of full fine-tunings. */
    weights = new Weights();
    #base;
    #options;
    #loader;
    #trainer = new Trainer(this);
    /** @type {Promise<unknown>} the end of the queue of work on the engine */
    #queue = Promise.resolve();
    /** @type {{state: Record<string, any>, run: Run | null}[]} */
    #past = [];
    /** The scoring that nobody asked for. @type {import('./scoring.js').Aside | null} */
    #aside = null;

    /**
     * @param {{base?: string | URL, load?: import('../engine/index.js').LoadOptions}} [options] base: where models/
     *   lies (a URL, or a path in Node)
     */
    constructor({ base = 'models/', load = {} } = {}) {
        super();
        this.#base = String(base).replace(/\/?$/, '/');
        this.#options = load;
        this.#loader = new Loader(this, this.#base, load);
    }

    /** @param {string} type @param {any} [detail] */
    emit(type, detail) { this.dispatchEvent(new CustomEvent(type, { detail })); }

    /** @param {Status} status */
    setStatus(status) {
        if (this.status === status) return;
        this.status = status;
        this.emit('status', status);
    }

    /**
     * Runs work when the engine is free; a failure is announced and re-thrown, and the lab stays usable.
     * @template T @param {Status | null} status shown meanwhile; null: too short to show @param {() => Promise<T>} work @returns {Promise<T>}
     */
    during(status, work) {
        this.#interrupt(status !== null); // what was done for want of anything better
        const turn = this.#queue.then(async () => {
            const before = this.status;
            if (status) this.setStatus(status);
            try {
                return await work();
            } catch (thrown) {
                const error = PeftLabError.from(thrown);
                if (error.code === 'worker-lost') this.close('failed'); // ready() starts a new engine
                if (error.code !== 'aborted') this.emit('failure', error);
                throw error;
            } finally {
                if (status && [status, 'busy'].includes(this.status))
                    this.setStatus(this.session ? (before === 'paused' ? 'paused' : 'ready') : 'failed');
            }
        });
        this.#queue = turn.catch(() => {});
        return turn;
    }

    /** For panels: work with the session when it is free. @template T @param {(session: Session) => Promise<T>} use @returns {Promise<T>} */
    async work(use) {
        await this.ready();
        return this.during('busy', () => use(/** @type {Session} */ (this.session)));
    }

    /** How engines are started here, for engines without a model. */
    get loadOptions() { return this.#options; }

    /** A lab with an engine of its own, the same places and settings: its work leaves this one's model alone. @returns {Lab} */
    fork() {
        const lab = new Lab({ base: this.#base, load: this.#options });
        Object.assign(lab.state, structuredClone(this.state));
        lab.own = this.own;
        lab.weights.limit = 0; // nobody puts its runs back
        return lab;
    }

    // ---- settings ----

    /** @param {import('./store.js').Correction[]} corrections said in one notice */
    tell(corrections) { if (corrections.length) this.emit('notice', { corrections }); }

    /** Settings of a link: what the engine would refuse is corrected, as far as it can be. @param {ReturnType<typeof read>} link */
    async follow({ state, notices }) {
        const fitted = await this.#loader.fit(state.method ?? this.state.method, state.options ?? {});
        this.tell([...notices, ...fitted.notices]);
        this.set(state.options ? { ...state, options: fitted.options } : state);
    }

    /**
     * @param {Record<string, unknown>} patch untrusted; unknown and impossible values are dropped with a notice
     * @param {boolean} [undoing] there is nothing to come back to
     */
    set(patch, undoing = false) {
        const { state, notices } = read(patch);
        this.tell(notices);
        let changed = Object.keys(state).filter((key) => JSON.stringify(state[key]) !== JSON.stringify(this.state[key]));
        if (this.status === 'training' && changed.some((key) => ENGINE_KEYS.includes(key))) {
            this.emit('notice', 'notice.training');
            changed = changed.filter((key) => !ENGINE_KEYS.includes(key));
        }
        if (changed.length === 0) return;
        if (changed.includes('method')) changed = [...changed, ...this.#ofTheMethod(state, changed)];
        const touches = changed.some((key) => ENGINE_KEYS.includes(key));
        if (touches && !undoing && this.state.model) this.remember(); // what the page begins with (no model yet) is no change
        for (const key of changed) this.state[key] = state[key];
        if (touches && this.status === 'paused') this.setStatus('ready');
        this.emit('state', changed);
        if (touches) this.#loader.refresh(changed);
    }

    /**
     * Options and learning rate belong to a method: another method starts from its own, unless it comes with others or the rate is locked.
     * @param {Record<string, any>} state of the patch @param {string[]} changed @returns {string[]} what changes too
     */
    #ofTheMethod(state, changed) {
        state.options ??= {};
        const rate = state.lr === undefined && this.state.lr > 0 && !this.state.lock.includes('lr');
        if (rate) state.lr = 0;
        return [...(changed.includes('options') ? [] : ['options']), ...(rate ? ['lr'] : [])];
    }

    /** Steps, rate and batch that are the preset's own count as not set, or they would go along to another method or task. */
    settle() {
        const usual = trainOptions(this.preset, { ...this.state, steps: 0, lr: 0, batch_size: 0 });
        const same = ['steps', 'lr', 'batch_size'].filter((key) => this.state[key] === usual[key]);
        this.set(Object.fromEntries(same.map((key) => [key, 0])));
    }

    /** One option of the method; undefined takes the preset's again. @param {string} name @param {unknown} value */
    setOption(name, value) {
        const { [name]: _, ...rest } = this.state.options;
        this.set({ options: value === undefined ? rest : { ...rest, [name]: value } });
    }

    /** Keeps the present settings and weights for undo(). */
    remember() {
        this.#past.push({ state: structuredClone(this.state), run: this.run });
        if (this.#past.length > 50) this.#past.shift();
    }

    get canUndo() { return this.#past.length > 0 && this.status !== 'training'; }

    /** Back to the settings, and the trained weights, before the last change. */
    async undo() {
        const last = this.canUndo ? this.#past.pop() : undefined;
        if (!last) return;
        const { level, panel, lang, theme } = this.state;
        this.set({ ...last.state, level, panel, lang, theme }, true);
        if (last.run) await this.load(last.run, true).catch(() => {});
        this.emit('state', []);
    }

    /** The preset of the chosen task and method. @returns {Record<string, any>} */
    get preset() { return this.task?.presets?.find((p) => p.method === this.state.method) ?? {}; }

    /** Options of the module to train: the preset's, overridden by what the user set. @returns {Record<string, any>} */
    get options() { return { ...this.preset.options, ...this.state.options }; }

    /** @returns {Record<string, any>} training options: the preset's, overridden */
    get train_options() { return trainOptions(this.preset, this.state); }

    /** Engines that share each step: what was asked for, else two where the machine has them. */
    get workers() {
        return this.state.workers || Math.min(2, globalThis.navigator?.hardwareConcurrency ?? 1);
    }

    // ---- loading ----

    /** Resolves when engine, model and task are loaded; starts loading if nobody did. @returns {Promise<void>} */
    ready() { return this.#loader.ready(); }
    /** Starts the engine; its model comes with ready(). */
    warm() { this.#loader.warm(); }

    /**
     * Resolves when no engine is being loaded (any more), at the latest after `ms`: for what would hold it up.
     * @param {number} ms @returns {Promise<void>}
     */
    async settled(ms) {
        let timer; // AbortSignal.timeout() would not keep Node waiting
        const late = new Promise((resolve) => { timer = setTimeout(resolve, ms, 'late'); });
        const change = () => new Promise((resolve) => { this.addEventListener('status', resolve, { once: true }); });
        while (this.#loader.loading && (await Promise.race([late, change()])) !== 'late');
        clearTimeout(timer);
    }

    /** Loads engine, model and task named by the settings. @returns {Promise<void>} */
    start() { return this.#loader.start(); }
    /** Where a ready adapter of the index lies. @param {string} name */
    adapterPlace(name) { return this.#loader.adapterPlace(name); }
    /** A task's texts, without putting it to use. @param {string} name */
    readTask(name) { return this.#loader.readTask(name); }
    /**
     * Replaces the task by the user's own examples; if none can be used, everything stays as it is.
     * @param {import('../engine/data.js').Example[]} examples @param {string} title
     */
    useData(examples, title) { return this.#loader.useData(examples, title); }
    /** Puts a fresh module of the settings into the session (nothing else), so that the counter is the engine's own count. */
    setModule() { return this.#loader.setModule(); }

    async describe() {
        this.description = (await this.session?.describe()) ?? null;
        this.emit('modules', this.description?.modules ?? []);
        this.emit('counts', this.description?.counts);
        return this.description;
    }

    // ---- text ----

    /** @param {string} prompt @returns {Promise<string>} the same prompt and seed before and after */
    async generate(prompt) {
        const { session, task, state } = this;
        if (!session) return '';
        const { max_new_tokens = SAMPLE_TOKENS, ...rest } = task?.generation ?? {};
        return (await session.generate({ prompt, seed: state.seed, max_new_tokens: Math.min(max_new_tokens, 100), ...rest })).text;
    }

    /** @param {string} prompt */
    ask(prompt) { return this.during('busy', () => this.generate(prompt)); }

    /** Where baseLosses keeps the present model and task. */
    get baseKey() { return `${this.state.model} ${this.state.task}`; }

    /**
     * The task's metric on held-out items for the weights as they are.
     * @param {{limit?: number, onProgress?: (done: number, total: number) => void}} [options]
     */
    async score({ limit = 24, onProgress } = {}) {
        const { session, task, run } = this;
        if (!session || !task || task.metric.id === 'none') return null;
        return this.during('busy', async () => {
            const result = await evaluateTask(session, task, { limit, onProgress });
            if (run) run.score = result.score;
            this.emit('runs');
            return result;
        });
    }

    /**
     * Scores the run in the model, and once per model and task the model alone, while nobody wants anything else:
     * whatever is asked of the engine next ends it; for a panel's look it begins anew.
     * @param {import('./scoring.js').How} [how]
     */
    async scoreAside(how = {}) {
        const { task, run } = this;
        this.stopScoring();
        if (!run || !task || task.metric.id === 'none') return null;
        const aside = this.#aside = { ended: false, now: new AbortController() };
        const { scoreAside } = await import('./scoring.js'); // not before something was trained
        return scoreAside(this, run, aside, evaluateTask, how);
    }

    /** Ends scoreAside(). */
    stopScoring() { this.#interrupt(true); }

    /** @param {boolean} end for good */
    #interrupt(end) {
        if (!this.#aside) return;
        this.#aside.ended ||= end;
        this.#aside.now.abort();
    }

    /** A fresh module with the current settings, to the end. Resolves with the run when it is done, paused or stopped. */
    train() { return this.#trainer.train(); }
    /** Goes on with a paused run. */
    resume() { return this.#trainer.resume(); }
    /** One optimiser step of the open run, beginning one if there is none. */
    step() { return this.#trainer.step(); }
    /** Pauses after the step in progress; the run can be resumed, stopped or left. */
    pause() { this.#trainer.pause(); }
    /** Ends the run: its weights stay. */
    stop() { return this.#trainer.stop(); }
    /** Throws the trained weights away (undo() brings them back). */
    reset() { return this.#trainer.reset(); }
    /** Puts a finished run's weights back into the model, with its settings. @param {Run} run @param {boolean} [undoing] */
    load(run, undoing) { return this.#trainer.load(run, undoing); }
    /** A run's weights at its lowest held-out loss, as a new run. @param {Run} run */
    back(run) { return this.#trainer.back(run); }
    /** Goes on with a run that a reload interrupted. @param {{run: Run, bytes: Uint8Array}} saved */
    recover(saved) { return this.#trainer.recover(saved); }

    /** Runs of an earlier visit. @param {Run[]} runs */
    adopt(runs) { this.#trainer.adopt(runs); }

    /** @param {Run} run */
    remove(run) { this.emit('runs', (this.runs = this.runs.filter((other) => other !== run))); }

    // ---- merging ----

    /** Merges the trained module, measuring max|Δlogit| and ms/token before and after. */
    async merge() {
        const { session, sample } = this;
        if (!session || this.status === 'training') return null;
        return this.during('busy', async () => {
            const { measuredMerge } = await import('./measure.js'); // not before somebody merges
            this.merged = await measuredMerge(session, sample.prompt);
            await this.describe();
            this.emit('merge', this.merged);
            return this.merged;
        });
    }

    unmerge() {
        return this.during('busy', async () => {
            await this.session?.unmerge();
            this.merged = null;
            await this.describe();
            this.emit('merge', null);
        });
    }

    /** @param {Status} [status] */
    close(status = 'idle') {
        this.#trainer.pause();
        this.session?.close();
        this.session = null;
        this.#loader.forget();
        this.setStatus(status);
    }
}
