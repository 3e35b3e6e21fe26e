/**
 * Mixing trained LoRAs in an engine of its own: exact weighted sums, peft's other rules with their error, losses and scores per task;
 * of bottleneck adapters, the average. DOM-free.
 */
import { evaluateTask, PeftLabError } from '../engine/index.js';

/** @typedef {import('./lab.js').Lab} Lab */
/**
 * @typedef {{key: string, name: string, task: string, kind: string, files: import('../engine/session.js').FolderSource}} Source a
 *   trained LoRA or bottleneck adapter: files, or the folder's place; kind: those of one can be mixed
 */
/**
 * @typedef {{exact: boolean, error: number, rank: number}} Applied error: |what runs − weighted sum| / |weighted sum|; NaN where
 *   there is no such sum
 */

/** Held-out examples that a loss is computed on, and those that are scored: few, because every change of the weights asks again. */
const HELD = 32;
export const SCORED = 12;

/** Rules that keep a share of the numbers only. */
export const PRUNES = /ties|dare|magnitude/;

/** The rule that needs no new module: all sources run beside each other, each with its weight. */
export const SUM = 'sum';

/** The one rule for bottleneck adapters. */
export const AVERAGE = 'linear';

export const LORA = 'lora';

/** Adapters of as many numbers have, as a rule, one shape; the engine refuses those that have not. @param {string} method @param {number} numbers */
const kindOf = (method, numbers) => (method === LORA ? LORA : `${method} ${numbers}`);

/**
 * LoRAs and bottleneck adapters of the page's model: finished runs, and the ready adapters of the index.
 * @param {Lab} lab @param {(run: import('./runs.js').Run) => string} nameOf
 * @param {(task: string, fallback: string) => string} titleOf a task's title in the language of the page
 * @returns {{mixed: Source[], alone: Source[]}} alone: adapters of whose shape there is no other
 */
export function candidates(lab, nameOf, titleOf) {
    const { model } = lab.state;
    const methods = [LORA, 'adapter'];
    const own = lab.runs
        .filter(
            (run) =>
                methods.includes(run.method) &&
                run.adapter &&
                run.model === model &&
                !run.options.use_dora &&
                ['done', 'stopped'].includes(run.status),
        )
        .map((run) => ({
            key: `run ${run.id}`,
            name: nameOf(run),
            task: run.task,
            kind: kindOf(run.method, run.trainable),
            files: /** @type {any} */ (run.adapter),
        }));
    const ready = (lab.index.adapters ?? [])
        .filter((item) => methods.includes(item.method) && item.model === model)
        .map((item) => ({
            key: item.name,
            name: `${titleOf(item.task, item.title ?? item.task)} (${item.name})`,
            task: item.task,
            kind: kindOf(item.method, item.parameters),
            files: lab.adapterPlace(item.name),
        }));
    const all = [...own, ...ready];
    const alone = all.filter(({ kind }) => kind !== LORA && all.filter((other) => other.kind === kind).length < 2);
    return { mixed: all.filter((source) => !alone.includes(source)), alone };
}

/** What can be mixed. @param {Parameters<typeof candidates>} of */
export const sources = (...of) => candidates(...of).mixed;

/** @param {import('../engine/tasks.js').Task} task */
const heldSplit = ({ splits }) => (splits.validation ? 'validation' : 'test');

export class Mixer {
    /** Module ids of the sources, in their order. @type {number[]} */
    ids = [];
    /** @type {Source[]} */
    sources = [];
    #mixed = 0;
    /** @type {Map<string, import('../engine/tasks.js').Task>} */
    #tasks = new Map();
    /** Held-out losses of the bare model. @type {Map<string, number>} */
    #base = new Map();

    /** @param {Lab} own a lab aside */
    constructor(own) {
        this.own = own;
    }

    get session() {
        return /** @type {import('../engine/session.js').Session} */ (this.own.session);
    }

    /** @param {Source[]} chosen two or three */
    async load(chosen) {
        await this.session.clear();
        this.#mixed = 0;
        this.ids = [];
        this.sources = chosen;
        for (const [i, { files }] of chosen.entries()) {
            const { module } = /** @type {any} */ (await this.session.importAdapter(files, { name: `source-${i + 1}` }));
            this.ids.push(module.id);
            await this.session.setModule(module.id, { active: false }); // two adapters at one place do not run together
        }
    }

    /**
     * Puts the mixture to work.
     * @param {string} rule SUM or a mix type of the engine @param {number[]} weights
     * @param {{density?: number, compat?: boolean}} [options] @returns {Promise<Applied>}
     */
    async apply(rule, weights, options = {}) {
        const made = rule === SUM ? null : await this.#mix(rule, weights, options);
        if (made) await this.session.setModule(made.module.id, { active: false });
        if (this.#mixed) await this.session.removeModule(this.#mixed);
        this.#mixed = made?.module.id ?? 0;
        for (const [i, id] of this.ids.entries()) await this.session.setModule(id, { active: !made, weight: made ? 1 : weights[i] });
        if (made) await this.session.setModule(made.module.id, { active: true });
        const { exact = false, relative_error: error = NaN, rank = 0 } = made ?? { exact: true, relative_error: 0 };
        return { exact, error, rank };
    }

    /** @param {string} type @param {number[]} weights @param {{density?: number, compat?: boolean}} options */
    #mix(type, weights, { density, compat }) {
        return this.session.mix({
            type,
            modules: this.ids.map((id, i) => ({ id, weight: weights[i] })),
            name: 'mixture',
            seed: 1,
            ...(PRUNES.test(type) && density && { density }),
            ...(compat && { compat }),
        });
    }

    /**
     * How far every rule lands from the weighted sum; what runs is not changed.
     * @param {string[]} types @param {number[]} weights @param {{density?: number, compat?: boolean}} [options]
     */
    async errors(types, weights, options = {}) {
        const rows = [];
        for (const type of types) {
            try {
                const made = await this.#mix(type, weights, options);
                await this.session.removeModule(made.module.id);
                rows.push({ type, error: made.relative_error, exact: made.exact, rank: made.rank, message: '' });
            } catch (thrown) {
                rows.push({ type, error: NaN, exact: false, rank: 0, message: PeftLabError.from(thrown).message });
            }
        }
        return rows;
    }

    /**
     * The mixture as one module: with the rule SUM the exact one, else the rule's.
     * @param {string} rule @param {number[]} weights @param {{density?: number, compat?: boolean}} [options]
     */
    async keep(rule, weights, options = {}) {
        const { module } = await this.#mix(rule === SUM ? 'cat' : rule, weights, options);
        const files = await this.session.exportAdapter(module.id);
        await this.session.removeModule(module.id);
        return { module, files };
    }

    /** Names of the sources' tasks whose texts are at hand, each once: the visitor's own are there only while they are in use. */
    get tasks() {
        const own = this.own.task?.name;
        return [...new Set(this.sources.map(({ task }) => task))].filter((name) => name !== 'own-data' || own === name);
    }

    /** @param {string} name */
    async task(name) {
        const known =
            this.#tasks.get(name) ??
            (name === 'own-data'
                ? /** @type {import('../engine/tasks.js').Task} */ (this.own.task)
                : await this.own.readTask(name));
        if (!this.#tasks.has(name)) {
            this.#tasks.set(name, known);
            await this.session.setData(name, (known.splits[heldSplit(known)] ?? []).slice(0, HELD));
        }
        return known;
    }

    /** What the losses of a task are computed on. @param {string} name @returns {{split: string, items: number}} */
    heldOut(name) {
        const task = this.#tasks.get(name);
        const split = task ? heldSplit(task) : '';
        return { split, items: Math.min(HELD, task?.splits[split]?.length ?? 0) };
    }

    /** Held-out loss on a task as things are. @param {string} name @param {AbortSignal} [signal] */
    async loss(name, signal) {
        await this.task(name);
        return (await this.session.evaluate({ split: name, signal })).loss;
    }

    /** The same of the bare model, once. @param {string} name @param {AbortSignal} [signal] */
    async baseLoss(name, signal) {
        const known = this.#base.get(name);
        if (known !== undefined) return known;
        const { modules } = await this.session.describe();
        const active = modules.filter((/** @type {any} */ m) => m.active);
        for (const { id } of active) await this.session.setModule(id, { active: false });
        const loss = await this.loss(name, signal).finally(async () => {
            for (const { id } of active) await this.session.setModule(id, { active: true });
        });
        this.#base.set(name, loss);
        return loss;
    }

    /** @param {string} name @param {{limit?: number, signal?: AbortSignal, onProgress?: () => void}} [how] @returns {Promise<number | null>} 0..1 */
    async score(name, { limit = SCORED, signal, onProgress } = {}) {
        const task = await this.task(name);
        if (task.metric.id === 'none' || !task.items.validation?.some((item) => item.prompt !== undefined)) return null;
        return (await evaluateTask(this.session, task, { split: 'validation', limit, signal, onProgress })).score;
    }

    /** @param {string} prompt @param {AbortSignal} [signal] */
    async say(prompt, signal) {
        return (await this.session.generate({ prompt, max_new_tokens: 60, temperature: 0, stop: ['\n\n'], signal })).text;
    }
}

/**
 * Trains a LoRA on a task beside the page's model.
 * @param {Lab} lab @param {string} task @param {{steps?: number, signal?: AbortSignal, onStep?: () => void}} how
 * @returns {Promise<import('./runs.js').Run | null>}
 */
export async function trainLora(lab, task, { steps = 0, signal, onStep }) {
    const own = lab.fork();
    const stop = () => own.stop();
    signal?.addEventListener('abort', stop);
    try {
        own.set({ task, method: 'lora', options: {}, steps, lr: 0, batch_size: 0, prompt: '' });
        own.addEventListener('step', () => onStep?.());
        await own.ready();
        if (signal?.aborted) throw PeftLabError.aborted(); // before there was anything to stop
        const run = await own.train();
        if (signal?.aborted) throw PeftLabError.aborted();
        return run;
    } finally {
        signal?.removeEventListener('abort', stop);
        own.close();
    }
}
