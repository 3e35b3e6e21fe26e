/** The training part of a Lab: runs from beginning to end, with pause, single steps, samples on the way, snapshots and recovery. */
import { PeftLabError } from '../engine/index.js';
import { checkMemory, memoryNeed } from './need.js';
import { byteSize } from './format.js';
import { t } from './i18n.js';
import { keepSample, makeRun, usualTraining } from './runs.js';
import { bestSoFar, changesInFiles, hasLargeBest, mayKeepBest } from './weights.js';

/** @typedef {import('./runs.js').Run} Run */
/** @typedef {import('../engine/session.js').Session} Session */

/** Validations, and looks at the sample text, per run. */
const VALIDATIONS = 8;
const SAMPLES = 4;

/**
 * What a run is given: the usual, the preset's, what the user set.
 * @param {Record<string, any>} preset @param {Record<string, any>} state @returns {Record<string, any>}
 */
export function trainOptions({ method: _, options: __, ...preset }, state) {
    const own = Object.fromEntries(['steps', 'lr', 'batch_size'].filter((key) => state[key]).map((key) => [key, state[key]]));
    const train = /** @type {Record<string, any>} */ ({ ...usualTraining(state.method), ...preset, ...own, seed: state.seed });
    // A preset's warm-up may be longer than a run the user made short.
    return train.warmup_steps > train.steps ? { ...train, warmup_steps: train.steps } : train;
}

export class Trainer {
    /** @type {import('./lab.js').Lab} */
    #lab;
    /** @type {AbortController | null} */
    #abort = null;
    #stopping = false;
    #nextRun = 1;
    /** The latest run whose best step takes much room. @type {Run | null} */
    #large = null;

    /** @param {import('./lab.js').Lab} lab */
    constructor(lab) {
        this.#lab = lab;
    }

    /** @returns {Session} */
    get #session() {
        return /** @type {Session} */ (this.#lab.session);
    }

    async train() {
        const lab = this.#lab;
        if (!lab.session || !lab.task) return null;
        return this.#turn(async () => {
            const run = await this.#begin();
            const options = { ...run.train, ...this.#workers(run) };
            return this.#follow(run, (hooks) => this.#session.train({ ...options, ...hooks }));
        });
    }

    /** How many engines share its steps, and that it is said where some cannot start. @param {Run} run */
    #workers({ train }) {
        const lab = this.#lab;
        return {
            workers: train.shards === 1 ? 1 : lab.workers,
            onFewerWorkers: (/** @type {{workers: number, asked: number}} */ { workers, asked }) =>
                lab.emit('notice', t('notice.fewer_workers', { n: workers, asked })),
        };
    }

    async resume() {
        const lab = this.#lab;
        const { run } = lab;
        if (!lab.session || !run || lab.status !== 'paused') return null;
        return this.#turn(() => this.#follow(run, (hooks) => this.#session.resume(hooks)));
    }

    async step() {
        const lab = this.#lab;
        if (!lab.session) return null;
        return this.#turn(async (paused) => {
            if (!paused) {
                const run = await this.#begin();
                await this.#session.request('trainBegin', run.train);
            }
            const run = /** @type {Run} */ (lab.run);
            const until = (run.losses.at(-1)?.step ?? 0) + 1;
            return this.#follow(run, (hooks) => this.#session.resume({ ...hooks, until }), until);
        });
    }

    /**
     * A training in its turn, one at a time; pause and stop act on it from now on.
     * @param {(paused: boolean) => Promise<Run>} work @returns {Promise<Run | null>} null: another one is under way
     */
    async #turn(work) {
        if (this.#abort) return null;
        this.#stopping = false;
        this.#abort = new AbortController();
        const paused = this.#lab.status === 'paused';
        try {
            return await this.#lab.during('training', () => work(paused));
        } finally {
            this.#abort = null;
        }
    }

    pause() {
        this.#abort?.abort();
    }

    async stop() {
        const lab = this.#lab;
        this.#stopping = true;
        this.#abort?.abort();
        const { run } = lab;
        if (lab.status === 'paused' && run) await lab.during('busy', () => this.#finish(run, 'stopped')).then(() => lab.setStatus('ready'));
    }

    async reset() {
        const lab = this.#lab;
        if (!lab.session) return;
        lab.remember();
        if (lab.status === 'training') await this.stop();
        await lab.during('busy', () => lab.setModule());
        lab.setStatus('ready');
        lab.emit('sample', { when: 'before', text: lab.sample.before, step: 0 });
        lab.emit('run', null);
    }

    /** The base's loss, a fresh module, a new run. @returns {Promise<Run>} */
    async #begin() {
        const lab = this.#lab;
        const session = this.#session;
        const evaluate = async () => (lab.task?.splits.validation ? session.evaluate({ split: 'validation' }) : null);
        if (!lab.baseLosses.has(lab.baseKey)) {
            await session.clear();
            lab.baseLosses.set(lab.baseKey, (await evaluate())?.loss ?? null);
        }
        await lab.setModule();
        const module = lab.description.modules[0];
        const need = await memoryNeed(session, module, lab.train_options, lab.data.find((part) => part.split === 'train'));
        const device = /** @type {any} */ (globalThis.navigator)?.deviceMemory;
        const where = { workers: lab.workers, limit: lab.memoryLimit, device };
        if (checkMemory(need, where)) lab.emit('notice', 'notice.memory');
        const base = lab.baseLosses.get(lab.baseKey) ?? null;
        const run = makeRun({
            id: this.#nextRun++, state: lab.state, module, counts: lab.description.counts, train: lab.train_options,
            sample: lab.sample, base,
        });
        run.best_kept = mayKeepBest(run, need, where);
        delete this.#large?.best;
        this.#large = hasLargeBest(run) ? run : null;
        lab.run = run;
        lab.runs.push(run);
        const fresh = await evaluate();
        if (fresh) run.validations.push({ step: 0, loss: fresh.loss, bits_per_byte: fresh.bits_per_byte });
        lab.emit('run', run);
        lab.emit('runs');
        return run;
    }

    /**
     * Trains in stretches, with a look at the sample text between them.
     * @param {Run} run @param {(hooks: any) => Promise<any>} begin the first stretch @param {number} [last] stop after this step
     */
    async #follow(run, begin, last = run.train.steps) {
        const lab = this.#lab;
        run.status = 'running';
        const { steps } = run.train;
        const looks = Array.from({ length: SAMPLES - 1 }, (_, i) => Math.round((steps * (i + 1)) / SAMPLES));
        const began = performance.now();
        try {
            let work = begin;
            for (let at = run.losses.at(-1)?.step ?? 0; at < last; work = (hooks) => this.#session.resume(hooks)) {
                const until = Math.min(last, looks.find((step) => step > at) ?? steps);
                const result = await work({ ...this.#hooks(run), until });
                run.seconds += result.ms / 1000;
                at = result.step;
                if (result.done) return await this.#finish(run, 'done');
                if (at < last) await this.#look(run, at);
            }
            return await this.#keep(run);
        } catch (thrown) {
            const error = PeftLabError.from(thrown);
            if (error.code !== 'aborted') {
                run.status = 'failed';
                lab.emit('run', run);
                throw error;
            }
            run.seconds = Math.max(run.seconds, (performance.now() - began) / 1000);
            return this.#stopping ? await this.#finish(run, 'stopped') : await this.#keep(run);
        }
    }

    /** @param {Run} run */
    #hooks(run) {
        const lab = this.#lab;
        return {
            signal: this.#abort?.signal,
            eval_every: Math.max(1, Math.round(run.train.steps / VALIDATIONS)),
            snapshot_seconds: lab.snapshotSeconds,
            best_below: run.best_kept ? bestSoFar(run) : undefined,
            onStep: (/** @type {any} */ report) => {
                run.losses.push({ step: report.step, loss: report.loss });
                lab.emit('step', report);
            },
            onValidation: (/** @type {any} */ report) => {
                run.validations.push({ step: report.step, loss: report.loss, bits_per_byte: report.bits_per_byte });
                lab.emit('validation', report);
            },
            onBest: (/** @type {any} */ { step, loss, modules }) => { run.best = { step, loss, tensors: modules[0].tensors }; },
            onSnapshot: (/** @type {any} */ snapshot) => lab.emit('snapshot', snapshot),
        };
    }

    /** The sample text on the way. @param {Run} run @param {number} step */
    async #look(run, step) {
        const lab = this.#lab;
        const text = await lab.generate(lab.sample.prompt);
        lab.sample = { ...lab.sample, after: text };
        run.sample = { ...lab.sample };
        keepSample(run, step, text);
        lab.emit('sample', { when: 'during', text, step });
        if (this.#abort?.signal.aborted) throw PeftLabError.aborted();
    }

    /** A paused run outlives the tab. @param {Run} run */
    async #keep(run) {
        const step = run.losses.at(-1)?.step ?? 0;
        const bytes = step > 0 ? await this.#session.snapshot().catch(() => null) : null;
        if (bytes) this.#lab.emit('snapshot', { step, bytes });
        return this.#pauseRun(run);
    }

    /** @param {Run} run */
    #pauseRun(run) {
        run.status = 'paused';
        run.pauses = [...(run.pauses ?? []), run.losses.at(-1)?.step ?? 0];
        this.#lab.setStatus('paused');
        this.#lab.emit('run', run);
        return run;
    }

    /** After the last step: held-out loss, sample, files. @param {Run} run @param {'done' | 'stopped'} status */
    async #finish(run, status) {
        const lab = this.#lab;
        if (status === 'stopped') lab.setStatus('busy'); // it does not train any more, as was asked
        await this.#session.endRun();
        await this.#validateEnd(run);
        lab.sample = { ...lab.sample, after: await lab.generate(lab.sample.prompt) };
        run.sample = { ...lab.sample };
        keepSample(run, run.losses.at(-1)?.step ?? 0, lab.sample.after);
        run.status = status;
        const module = (await lab.describe()).modules[0];
        if (run.best && run.best.step === run.losses.at(-1)?.step) delete run.best; // those are the run's own
        if (module) await this.#keepTrained(run, module.id);
        lab.setStatus('ready');
        lab.emit('sample', { when: 'after', text: lab.sample.after, step: run.losses.at(-1)?.step ?? 0 });
        lab.emit('run', run);
        lab.emit('runs');
        return run;
    }

    /** A run stopped between two validations has no held-out loss of its last step yet. @param {Run} run */
    async #validateEnd(run) {
        const step = run.losses.at(-1)?.step ?? 0;
        if (!this.#lab.task?.splits.validation || step === (run.validations.at(-1)?.step ?? 0)) return;
        // the page then names the step of the last value there is
        const report = await this.#session.evaluate({ split: 'validation' }).catch(() => null);
        if (!report) return;
        const { loss, bits_per_byte } = report;
        run.validations.push({ step, loss, bits_per_byte });
        if (run.best && loss < run.best.loss) delete run.best; // the end is the best
        this.#lab.emit('validation', { step, loss, bits_per_byte });
    }

    /**
     * So that the run can be put back into the model: an adapter as files, what files would change as it is.
     * @param {Run} run @param {number} id of the module
     */
    async #keepTrained(run, id) {
        const lab = this.#lab;
        if (run.method !== 'full') run.adapter = await this.#session.exportAdapter(id);
        if (!changesInFiles(run)) return;
        const limit = byteSize(lab.weights.limit);
        const bytes = lab.weights.fits(run.trainable) ? await this.#session.snapshot().catch(() => null) : null;
        if (!bytes) {
            if (!run.adapter) lab.emit('notice', t('notice.weights_large', { run: run.id, limit }));
            return;
        }
        const gone = lab.weights.keep(run, bytes, lab.runs);
        const lost = gone.filter((old) => !old.adapter);
        if (lost.length) lab.emit('notice', t('notice.weights_gone', { run: lost.map((old) => old.id).join(', '), limit }));
        lab.emit('weights', { run, bytes, gone });
    }

    /** The settings of a run into the lab. @param {Run} run @param {boolean} [undoing] */
    #setAs({ model, task, method, options, seed, train: { steps, lr, batch_size } }, undoing) {
        this.#lab.set({ model, task, method, options, seed, steps, lr, batch_size }, undoing);
    }

    /** The model holds this run's weights now. @param {Run} run */
    async #loaded(run) {
        const lab = this.#lab;
        lab.run = run;
        lab.settle(); // its task is there now, with its presets
        await lab.describe();
        lab.sample = { ...lab.sample, after: await lab.generate(lab.sample.prompt) };
        lab.emit('run', run);
        lab.emit('sample', { when: 'after', text: lab.sample.after, step: run.losses.at(-1)?.step ?? 0 });
    }

    /** A run's weights at its lowest held-out loss, as a run of its own: as if it had been stopped there. @param {Run} run @returns {Promise<Run>} */
    async back(run) {
        const lab = this.#lab;
        const { best } = run;
        if (!best) throw new PeftLabError('state', 'The weights of the best step were not kept.', { hint: 'Train again, and stop at that step.' });
        this.#setAs(run);
        return lab.during('busy', async () => {
            await lab.setModule();
            const { id } = lab.description.modules[0];
            for (const [name, values] of Object.entries(best.tensors)) await this.#session.setTensor(id, name, values);
            const upTo = (/** @type {any[] | undefined} */ list) => list?.filter((at) => at.step <= best.step);
            const { best: _, adapter: __, weights: ___, ...rest } = run;
            const made = /** @type {Run} */ ({
                ...rest, id: this.#nextRun++, status: 'stopped', losses: upTo(run.losses),
                validations: upTo(run.validations), samples: upTo(run.samples),
                pauses: run.pauses?.filter((step) => step <= best.step), score: null, adapter: null, pinned: false,
                back: { run: run.id, step: best.step },
            });
            lab.runs.push(made);
            await this.#loaded(made);
            made.sample = { ...lab.sample };
            keepSample(made, best.step, lab.sample.after);
            await this.#keepTrained(made, id);
            lab.emit('runs');
            return made;
        });
    }

    /** @param {Run} run @param {boolean} [undoing] */
    async load(run, undoing) {
        const lab = this.#lab;
        const { adapter } = run;
        const weights = await lab.weights.of(run);
        if (!adapter && !weights)
            throw new PeftLabError('state', 'The weights of this run were not kept.', {
                hint: 'Train it again: the same settings and seed give the same weights.',
            });
        this.#setAs(run, undoing);
        return lab.during('busy', async () => {
            await lab.setModule();
            for (const { id } of lab.description.modules) await this.#session.removeModule(id);
            if (weights) await this.#session.restore(weights);
            else if (adapter) await this.#session.importAdapter(adapter, { name: run.method });
            await this.#session.endRun(); // a file from outside may hold an open one
            await this.#loaded(run);
        });
    }

    /** Each stands where its number has it; numbers of later runs come after these. @param {Run[]} runs */
    adopt(runs) {
        this.#lab.runs = [...runs, ...this.#lab.runs].sort((a, b) => a.id - b.id);
        this.#nextRun = Math.max(this.#nextRun, ...runs.map((run) => run.id + 1));
        this.#lab.emit('runs');
    }

    /** @param {{run: Run, bytes: Uint8Array}} saved the settings must be the run's already */
    async recover({ run, bytes }) {
        const lab = this.#lab;
        await lab.during('busy', async () => {
            await this.#session.clear();
            await this.#session.restore(bytes, this.#workers(run));
            await lab.describe();
            const step = lab.description.run?.step ?? 0;
            run.losses = run.losses.filter((at) => at.step <= step);
            run.validations = run.validations.filter((at) => at.step <= step);
            run.samples = run.samples?.filter((at) => at.step <= step);
            if (run.best && run.best.step > step) delete run.best;
            lab.run = run;
            if (!lab.runs.includes(run)) lab.runs = [...lab.runs.filter((other) => other.id !== run.id), run];
        });
        this.#pauseRun(run);
        lab.emit('runs');
        return this.resume();
    }
}
