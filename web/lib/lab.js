/**
 * The laboratory behind a page: settings, the engine session, runs. Free of DOM, so that elements, lessons and Node tests drive the same object. Several
 * elements on a page share one Lab.
 *
 * Events (CustomEvent, detail in parentheses): status (Status) · state (changed keys) · ready · counts · data · step (StepReport) · validation
 * (ValidationReport) · sample ({when, text, step}) · run (Run) · modules · merge (MergeReport | null) · notice (text) · failure (PeftLabError)
 */
import { evaluateTask, loadIndex, loadTask, PeftLab, PeftLabError } from '../engine/index.js';
import { defaults, read } from './store.js';

/** @typedef {'idle' | 'loading' | 'ready' | 'training' | 'paused' | 'busy' | 'failed'} Status */

/**
 * @typedef {object} Run one finished or running training
 * @property {number} id
 * @property {string} task
 * @property {string} model
 * @property {string} method
 * @property {Record<string, any>} options of the module, complete
 * @property {Record<string, any>} train steps, lr, …
 * @property {number} seed
 * @property {number} trainable
 * @property {number} total
 * @property {{step: number, loss: number}[]} losses
 * @property {{step: number, loss: number, bits_per_byte: number}[]} validations the first is the untrained model's
 * @property {{before: string, after: string, prompt: string}} sample
 * @property {number} seconds
 * @property {number | null} score
 * @property {'running' | 'paused' | 'done' | 'stopped' | 'failed'} status
 * @property {Record<string, Uint8Array> | null} adapter exported files
 * @property {boolean} [recorded]
 */

const SAMPLE_TOKENS = 60;

export class Lab extends EventTarget {
    state = defaults();
    /** @type {Status} */
    status = 'idle';
    /** @type {import('../engine/session.js').Session | null} */
    session = null;
    /** @type {any} describeStatic() of the engine */
    engine = null;
    /** @type {any} describe() of the session */
    description = null;
    /** @type {{models: any[], tasks: any[]}} */
    index = { models: [], tasks: [] };
    /** @type {import('../engine/tasks.js').Task | null} */
    task = null;
    /** @type {Run[]} newest last */
    runs = [];
    /** @type {Run | null} */
    run = null;
    /** @type {any} report of the last merge, null when nothing is merged */
    merged = null;
    sample = { prompt: '', before: '', after: '' };
    #base;
    #options;
    /** @type {AbortController | null} */
    #abort = null;
    #nextRun = 1;
    #changed = 0;

    /** @param {{base?: string | URL, load?: import('../engine/index.js').LoadOptions}} [options] base: where models/ lies */
    constructor({ base = 'models/', load = {} } = {}) {
        super();
        this.#base = base;
        this.#options = load;
    }

    /** @param {string} type @param {any} [detail] */
    emit(type, detail) {
        this.dispatchEvent(new CustomEvent(type, { detail }));
    }

    /** @param {Status} status */
    #setStatus(status) {
        if (this.status === status) return;
        this.status = status;
        this.emit('status', status);
    }

    /** Runs work; a failure is announced and re-thrown, and the lab stays usable. @template T @param {Status} status @param {() => Promise<T>} work @returns {Promise<T>} */
    async #during(status, work) {
        const before = this.status;
        this.#setStatus(status);
        try {
            return await work();
        } catch (thrown) {
            const error = PeftLabError.from(thrown);
            if (error.code !== 'aborted') this.emit('failure', error);
            throw error;
        } finally {
            if (this.status === status) this.#setStatus(this.session ? (before === 'paused' ? 'paused' : 'ready') : 'failed');
        }
    }

    // ---- settings ----

    /** @param {Record<string, unknown>} patch untrusted; unknown and impossible values are dropped with a notice */
    set(patch) {
        const { state, notices } = read(patch);
        notices.forEach((notice) => this.emit('notice', notice));
        const changed = Object.keys(state).filter((key) => JSON.stringify(state[key]) !== JSON.stringify(this.state[key]));
        if (changed.length === 0) return;
        // Options belong to a method: another method starts from its own.
        if (changed.includes('method') && !changed.includes('options')) state.options = {};
        Object.assign(this.state, state);
        this.emit('state', changed);
        this.#changed++;
        if (this.session && changed.some((key) => ['method', 'options', 'model', 'task'].includes(key))) this.#refresh(changed);
    }

    /** The preset of the chosen task and method. @returns {Record<string, any>} */
    get preset() {
        return this.task?.presets.find((p) => p.method === this.state.method) ?? {};
    }

    /** Options of the module to train: the preset's, overridden by what the user set. @returns {Record<string, any>} */
    get options() {
        return { ...this.preset.options, ...this.state.options };
    }

    /** @returns {Record<string, any>} training options: the preset's, overridden */
    get train_options() {
        const { method: _, options: __, ...preset } = this.preset;
        const own = Object.fromEntries(['steps', 'lr', 'batch_size'].filter((key) => this.state[key]).map((key) => [key, this.state[key]]));
        return { steps: 100, batch_size: 8, lr: 1e-3, ...preset, ...own, seed: this.state.seed };
    }

    // ---- loading ----

    /** Loads engine, model and task named by the settings. */
    async start() {
        await this.#during('loading', async () => {
            this.index = await loadIndex(this.#base);
            const chosen = this.index.models.find((m) => m.name === this.state.model) ?? this.index.models.find((m) => m.default) ?? this.index.models[0];
            if (!chosen) throw new PeftLabError('load', 'No model is installed.');
            this.state.model = chosen.name;
            if (!this.index.tasks.some((t) => t.name === this.state.task)) this.state.task = this.index.tasks[0]?.name ?? '';
            await Promise.all([this.#loadModel(chosen.name), this.#loadTask(this.state.task)]);
            await this.#prepare();
        });
        this.emit('ready');
    }

    /** @param {string} name */
    async #loadModel(name) {
        const folder = new URL(`${name}/`, new URL(String(this.#base), globalThis.document?.baseURI ?? 'file:///'));
        const made = await PeftLab.load(folder, this.#options);
        this.session?.close();
        this.session = made;
        this.merged = null;
        this.engine ??= await made.describeStatic();
    }

    /** @param {string} name */
    async #loadTask(name) {
        const folder = new URL(`tasks/${name}/`, new URL(String(this.#base), globalThis.document?.baseURI ?? 'file:///'));
        this.task = await loadTask(folder, { splits: ['train', 'validation', 'test'] });
    }

    /** Replaces the task by the user's own examples. @param {import('../engine/data.js').Example[]} examples @param {string} title */
    async useData(examples, title) {
        const held = examples.filter((_, i) => examples.length >= 10 && i % 10 === 9);
        this.task = /** @type {any} */ ({
            name: 'own-data', title, story: '', metric: { id: 'none', name: '' }, presets: this.task?.presets ?? [], files: {},
            generation: { max_new_tokens: SAMPLE_TOKENS, temperature: 0.7 },
            splits: { train: examples.filter((e) => !held.includes(e)), ...(held.length && { validation: held }) }, items: {},
        });
        this.state.task = 'own-data';
        return this.#during('busy', () => this.#prepare());
    }

    /** Data into the session, the module of the settings, the counter, the sample of the untrained model. */
    async #prepare() {
        const { session, task } = this;
        if (!session || !task) return [];
        await session.clear();
        this.merged = null;
        this.run = null;
        const stats = [];
        for (const [split, examples] of Object.entries(task.splits)) stats.push({ split, ...(await session.setData(split, examples)) });
        await this.#setModule();
        const prompt = this.state.prompt || task.items.validation?.[0]?.prompt || task.splits.validation?.[0]?.prompt || 'Once upon a time';
        this.sample = { prompt, before: await this.#generate(prompt), after: '' };
        this.emit('data', stats);
        this.emit('sample', { when: 'before', text: this.sample.before, step: 0 });
        return stats;
    }

    /** Puts the module of the settings into the session (nothing else), so that the counter is the engine's own count. */
    async #setModule() {
        const session = /** @type {import('../engine/session.js').Session} */ (this.session);
        await session.clear();
        this.merged = null;
        await session.addModule(this.state.method, this.options, { seed: this.state.seed, name: this.state.method });
        await this.describe();
    }

    async describe() {
        this.description = (await this.session?.describe()) ?? null;
        this.emit('modules', this.description?.modules ?? []);
        this.emit('counts', this.description?.counts);
        return this.description;
    }

    /** After settings changed: reload what they touch. Only the latest change counts. @param {string[]} changed */
    async #refresh(changed) {
        if (this.status === 'training') return;
        const ticket = ++this.#changed;
        await this.#during(changed.includes('model') ? 'loading' : 'busy', async () => {
            if (changed.includes('model')) await this.#loadModel(this.state.model);
            if (changed.includes('task') && this.state.task !== 'own-data') await this.#loadTask(this.state.task);
            if (ticket !== this.#changed) return;
            if (changed.includes('model') || changed.includes('task')) await this.#prepare();
            else await this.#setModule();
        }).catch(() => {});
    }

    // ---- training ----

    /** @param {string} prompt @returns {Promise<string>} the same prompt and seed before and after */
    async #generate(prompt) {
        const { session, task, state } = this;
        if (!session) return '';
        const { max_new_tokens = SAMPLE_TOKENS, ...rest } = task?.generation ?? {};
        return (await session.generate({ prompt, seed: state.seed, max_new_tokens: Math.min(max_new_tokens, 100), ...rest })).text;
    }

    /** Trains a fresh module with the current settings. Resolves when the run is done or stopped. */
    async train() {
        const { session, task } = this;
        if (!session || !task || this.status === 'training') return null;
        return this.#during('training', async () => {
            await this.#setModule();
            const options = this.train_options;
            const module = this.description.modules[0];
            const run = this.#newRun(module, options);
            const base = await session.evaluate({ split: 'validation' }).catch(() => null);
            if (base) run.validations.push({ step: 0, loss: base.loss, bits_per_byte: base.bits_per_byte });
            this.emit('run', run);
            const workers = this.state.workers || Math.min(4, Math.max(1, (globalThis.navigator?.hardwareConcurrency ?? 2) - 1));
            await this.#follow(run, (hooks) => session.train({ ...options, workers: workers > 1 && options.shards !== 1 ? workers : 1, ...hooks }));
            return run;
        });
    }

    /** Goes on with a paused run. */
    async resume() {
        const { session, run } = this;
        if (!session || !run || this.status !== 'paused') return null;
        return this.#during('training', () => this.#follow(run, (hooks) => session.resume(hooks)).then(() => run));
    }

    /** One optimiser step of the open run, beginning one if there is none. */
    async step() {
        const { session } = this;
        if (!session || this.status === 'training') return null;
        if (this.status !== 'paused') {
            await this.#setModule();
            this.#newRun(this.description.modules[0], this.train_options);
            await session.request('trainBegin', this.train_options);
            this.#setStatus('paused');
        }
        const run = /** @type {Run} */ (this.run);
        return this.#during('training', () => this.#follow(run, (hooks) => session.resume({ ...hooks, until: (run.losses.at(-1)?.step ?? 0) + 1 })).then(() => run));
    }

    /** Pauses after the step in progress; the run can be resumed, stopped or left. */
    pause() {
        this.#abort?.abort();
    }

    /** Ends a paused run: its weights stay. */
    async stop() {
        this.#abort?.abort();
        if (this.status === 'paused' && this.run) {
            await this.#finish(this.run, 'stopped');
            this.#setStatus('ready');
        }
    }

    /** @param {any} module @param {Record<string, any>} options @returns {Run} */
    #newRun(module, options) {
        const { counts } = this.description;
        const run = /** @type {Run} */ ({
            id: this.#nextRun++, task: this.state.task, model: this.state.model, method: module.method, options: module.options, train: options, seed: this.state.seed,
            trainable: counts.trainable, total: counts.total, losses: [], validations: [], sample: { ...this.sample }, seconds: 0, score: null, status: 'running', adapter: null,
        });
        this.run = run;
        this.runs.push(run);
        return run;
    }

    /** @param {Run} run @param {(hooks: any) => Promise<any>} work */
    async #follow(run, work) {
        const steps = run.train.steps;
        this.#abort = new AbortController();
        run.status = 'running';
        try {
            const result = await work({
                signal: this.#abort.signal,
                eval_every: Math.max(1, Math.round(steps / 12)),
                onStep: (/** @type {any} */ report) => {
                    run.losses.push({ step: report.step, loss: report.loss });
                    this.emit('step', report);
                },
                onValidation: (/** @type {any} */ report) => {
                    run.validations.push({ step: report.step, loss: report.loss, bits_per_byte: report.bits_per_byte });
                    this.emit('validation', report);
                },
            });
            run.seconds += result.ms / 1000;
            if (result.done) await this.#finish(run, 'done');
            else this.#pauseRun(run);
        } catch (thrown) {
            const error = PeftLabError.from(thrown);
            if (error.code === 'aborted') return this.#pauseRun(run);
            run.status = 'failed';
            this.emit('run', run);
            throw error;
        } finally {
            this.#abort = null;
        }
        return undefined;
    }

    /** @param {Run} run */
    #pauseRun(run) {
        run.status = 'paused';
        this.#setStatus('paused');
        this.emit('run', run);
    }

    /** After the last step: sample, score, files. @param {Run} run @param {'done' | 'stopped'} status */
    async #finish(run, status) {
        const session = /** @type {import('../engine/session.js').Session} */ (this.session);
        await session.endRun();
        this.sample = { ...this.sample, after: await this.#generate(this.sample.prompt) };
        run.sample = { ...this.sample };
        run.status = status;
        this.emit('sample', { when: 'after', text: this.sample.after, step: run.losses.at(-1)?.step ?? 0 });
        const module = (await this.describe()).modules[0];
        if (module && run.method !== 'full') run.adapter = await session.exportAdapter(module.id);
        this.emit('run', run);
    }

    /** The task's metric on held-out items for the weights as they are. @param {{limit?: number, onProgress?: (done: number, total: number) => void}} [options] */
    async score({ limit = 24, onProgress } = {}) {
        const { session, task, run } = this;
        if (!session || !task || task.metric.id === 'none') return null;
        return this.#during('busy', async () => {
            const result = await evaluateTask(session, task, { limit, onProgress });
            if (run) run.score = result.score;
            this.emit('run', run);
            return result;
        });
    }

    /** @param {string} prompt */
    async ask(prompt) {
        return this.#during('busy', () => this.#generate(prompt));
    }

    // ---- merging ----

    /** Merges the trained module, measuring max|Δlogit| and ms/token before and after. */
    async merge() {
        const { session, sample } = this;
        if (!session || this.status === 'training') return null;
        return this.#during('busy', async () => {
            const before = await this.#measure(sample.prompt);
            const report = await session.merge();
            const after = await this.#measure(sample.prompt);
            let difference = 0;
            let largest = 0;
            for (let i = 0; i < before.logits.length; i++) {
                difference = Math.max(difference, Math.abs(before.logits[i] - after.logits[i]));
                largest = Math.max(largest, Math.abs(before.logits[i]));
            }
            this.merged = { ...report, max_logit_difference: difference, max_logit: largest, before: before.timing, after: after.timing };
            await this.describe();
            this.emit('merge', this.merged);
            return this.merged;
        });
    }

    async unmerge() {
        return this.#during('busy', async () => {
            await this.session?.unmerge();
            this.merged = null;
            await this.describe();
            this.emit('merge', null);
        });
    }

    /** Logits of the prompt and ms per token over several generations. @param {string} prompt */
    async #measure(prompt) {
        const session = /** @type {import('../engine/session.js').Session} */ (this.session);
        const { logits } = await session.logits({ text: prompt });
        /** @type {number[]} */
        const times = [];
        for (let i = 0; i < 12; i++) times.push((await session.generate({ prompt, max_new_tokens: 24, temperature: 0, stop_at_eos: false })).ms_per_token);
        times.sort((a, b) => a - b);
        const at = (/** @type {number} */ q) => times[Math.min(times.length - 1, Math.floor(q * times.length))];
        return { logits, timing: { median: at(0.5), low: at(0.25), high: at(0.75), runs: times.length } };
    }

    close() {
        this.#abort?.abort();
        this.session?.close();
        this.session = null;
        this.#setStatus('idle');
    }
}
