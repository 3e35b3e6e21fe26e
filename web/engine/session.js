/**
 * The public session: a base model with modules, data and a run, behind an asynchronous interface that is the same whether the
 * engine runs in a worker or in this thread.
 */
import { checkCallbacks, checkRun, checkWorkers, record, RUN_KEYS, splitOptions } from './checks.js';
import { PeftLabError } from './errors.js';
import { adapterFileName, readAdapterFolder } from './files.js';
import { Replicas } from './replicas.js';
import { shardWeights } from './shards.js';

/** @typedef {import('./protocol.js').Remote | import('./protocol.js').Local} Engine */
/** @typedef {import('./files.js').FolderSource} FolderSource */
/** @typedef {import('./files.js').ModelFiles} ModelFiles */
/** @typedef {import('./data.js').Example} Example */
/** @typedef {{signal?: AbortSignal}} Signal */
/** @typedef {import('./evaluate.js').HeldOut} HeldOut */
/** @typedef {import('./training.js').Outcome} Outcome */
/** @typedef {{name: string, shape: number[], layer: number, site: number, transient?: boolean}} TensorInfo */
/**
 * @typedef {{id: number, name: string, method: string, label: string, options: Record<string, any>, seed: number, active: boolean,
 *   trainable: boolean, merged: boolean, weight: number, can_merge: boolean, parameters: number, virtual_tokens: number,
 *   memory_tokens: number, tensors: TensorInfo[]}} ModuleInfo
 */
/** @typedef {{rows: number, cols: number, singular_values: number[], effective_rank: number, frobenius: number, relative: number}} Spectrum */
/** @typedef {(done: number, total: number) => void} OnProgress */
/** @typedef {{step: number, loss: number, lr: number, grad_norm: number, tokens: number, labels: number, ms: number}} StepReport */
/** @typedef {{step: number, loss: number, perplexity: number, bits_per_byte: number}} ValidationReport */
/** @typedef {import('./checks.js').TrainOptions} TrainOptions */
/** @typedef {import('./checks.js').RunOptions} RunOptions */
/** @typedef {import('./checks.js').Workers} Workers */

const DATA_KEYS = ['maxLength', 'onProgress', 'signal'];
const EVALUATE_KEYS = ['split', 'limit', 'onProgress', 'signal'];

export class Session {
    #engine;
    /** @type {ModelFiles} kept to give replicas the same model */
    #files = { config: new Uint8Array(), weights: [] };
    /** Examples by split, kept to give replicas the same data. @type {Map<string, {examples: Example[], maxLength: number}>} */
    #data = new Map();
    #replicas;
    /** The call that trains, if one does. @type {object | null} */
    #training = null;

    /**
     * @param {Engine} engine
     * @param {null | (() => Promise<import('./protocol.js').Remote>)} spawn starts one more engine in a worker of its own
     */
    constructor(engine, spawn) {
        this.#engine = engine;
        this.#replicas = new Replicas(spawn);
    }

    /**
     * Any command of the service (service.js).
     * @param {string} command @param {any} [args] @param {import('./protocol.js').RequestOptions} [options] @returns {Promise<any>}
     */
    request(command, args, options) {
        return this.#engine.request(command, args, options);
    }

    get #original() {
        return { request: this.request.bind(this), files: this.#files, data: this.#data };
    }

    /** Ends the workers, also those of a run that is still open. */
    close() {
        this.#replicas.terminate();
        this.#engine.terminate();
    }

    // ---- what is there ----

    /** The base model, for a session that was opened without one. @param {ModelFiles} files @param {Signal} [options] */
    async loadModel(files, options = {}) {
        const { signal } = record(options, 'loadModel(files, {signal})', ['signal']);
        await this.request('loadModel', { files }, { signal });
        this.#training = null;
        this.#files = files;
        this.#data.clear(); // it went with the old model
        await this.#replicas.drop(this.#original);
    }

    /** The session as the page draws it: model, modules, data, run, counts. @returns {Promise<any>} */
    describe() { return this.request('describe'); }

    /** Methods with their options, shapes, sites. @returns {Promise<any>} */
    describeStatic() { return this.request('describeStatic'); }

    /** @returns {Promise<{trainable: number, total: number, percent: number}>} of the loaded model and its active modules */
    async count() { return (await this.describe()).counts; }

    // ---- modules ----

    /**
     * @param {string} method "lora", "prompt", …
     * @param {Record<string, any>} [options] of the method, see describeStatic()
     * @param {{name?: string, seed?: number, trainable?: boolean}} [more]
     * @returns {Promise<ModuleInfo>}
     */
    async addModule(method, options = {}, more = {}) {
        record(options, 'addModule(method, {rank: 8, …})');
        record(more, 'addModule(method, options, {name, seed, trainable})');
        return this.request('addModule', { ...more, method, options });
    }

    /** @param {number} id */
    removeModule(id) { return this.request('removeModule', { id }); }

    /** Removes every module; an open run is given up and a merge taken back first. */
    async clear() {
        this.#training = null;
        await this.#replicas.drop(this.#original);
        await this.request('clear');
    }

    /** @param {number} id @param {{active?: boolean, weight?: number, trainable?: boolean}} changes @returns {Promise<ModuleInfo>} */
    async setModule(id, changes) { return this.request('setModule', { id, changes: record(changes, 'setModule(id, {active, weight, trainable})') }); }

    /** @param {number[]} ids every module once, in the order they shall run */
    orderModules(ids) { return this.request('orderModules', { ids }); }

    /** @param {number} id @param {string} name @returns {Promise<Float32Array>} */
    tensor(id, name) { return this.request('tensor', { id, name }); }

    /** @param {number} id @param {string} name @param {Float32Array} values finite ones */
    setTensor(id, name, values) { return this.request('setTensor', { id, name, values }); }

    /**
     * @param {number} id @param {number} layer @param {string} site
     * @param {'base' | 'delta' | 'merged' | 'A' | 'B'} what @returns {Promise<Float32Array>}
     */
    matrix(id, layer, site, what) { return this.request('matrix', { id, layer, site, what }); }

    /** @param {number} id @param {number} layer @param {string} site @returns {Promise<Spectrum>} */
    spectrum(id, layer, site) { return this.request('spectrum', { id, layer, site }); }

    /**
     * Several LoRAs into one new module.
     * @param {{type: string, modules: {id: number, weight: number}[], name?: string} & Record<string, any>} request
     * @param {Signal} [options] @returns {Promise<any>}
     */
    async mix(request, options = {}) {
        const { signal } = record(options, 'mix({type, modules}, {signal})', ['signal']);
        return this.request('mix', record(request, "mix({type: 'cat', modules: [{id, weight}]})"), { signal });
    }

    /** @param {number} id a trained prompt @param {string} [name] @returns {Promise<ModuleInfo>} an equivalent prefix */
    compilePrompt(id, name) { return this.request('compilePrompt', { id, name }); }

    /**
     * @param {number[]} [ids] default: every active module that can @param {Signal} [options]
     * @returns {Promise<{merged: number[], residual_of_subtracting: number}>}
     */
    async merge(ids = [], options = {}) {
        const { signal } = record(options, 'merge([1, 2], {signal})', ['signal']);
        return this.request('merge', { ids }, { signal });
    }

    /** Restores the base bit for bit. */
    unmerge() { return this.request('unmerge'); }

    // ---- files ----

    /**
     * @param {FolderSource} source @param {{name?: string} & Signal} [options]
     * @returns {Promise<{module: ModuleInfo, ignored: string[], notes: string[]}>}
     */
    async importAdapter(source, options = {}) {
        const { name, signal } = record(options, 'importAdapter(source, {name, signal})', ['name', 'signal']);
        const { config, weights } = await readAdapterFolder(source, { signal });
        return this.request('importAdapter', { name, config, weights }, { signal });
    }

    /** @param {number} id @returns {Promise<Record<string, Uint8Array>>} files by name, a peft (or AdapterHub) folder */
    async exportAdapter(id) {
        const { config, weights } = await this.request('exportAdapter', { id });
        return { 'adapter_config.json': config, [adapterFileName(config)]: weights };
    }

    /**
     * The current weights as a Hugging Face folder, with what lay beside them in the folder they came from.
     * @param {'F32' | 'F16' | 'BF16'} [dtype] @param {{maxShardBytes?: number} & Signal} [options]
     * @returns {Promise<Record<string, Uint8Array>>}
     */
    async exportModel(dtype = 'F32', options = {}) {
        const { maxShardBytes = Infinity, signal } = record(options, "exportModel('F32', {maxShardBytes, signal})", ['maxShardBytes', 'signal']);
        const { config, weights } = await this.request('exportModel', { dtype }, { signal });
        const { tokenizer, beside } = this.#files;
        return { 'config.json': config, ...shardWeights(weights, maxShardBytes), ...(tokenizer && { 'tokenizer.json': tokenizer }), ...beside };
    }

    // ---- text ----

    /** @param {string} text @param {boolean} [special] @returns {Promise<Int32Array>} */
    encode(text, special = true) { return this.request('encode', { text, special }); }

    /** @param {ArrayLike<number>} tokens @param {boolean} [skipSpecial] @returns {Promise<string>} */
    decode(tokens, skipSpecial = true) { return this.request('decode', { tokens, skipSpecial }); }

    /**
     * @param {{tokens?: number[], text?: string}} input @param {Signal} [options]
     * @returns {Promise<{tokens: Int32Array, logits: Float32Array}>}
     */
    async logits(input, options = {}) {
        const { signal } = record(options, 'logits(input, {signal})', ['signal']);
        const { tokens, text } = record(input, "logits({tokens: [1, 2]}) or logits({text: '…'})");
        if ((tokens === undefined) === (text === undefined)) throw new PeftLabError('argument', 'logits takes {tokens} or {text}, one of them');
        return this.request('logits', { tokens, text }, { signal });
    }

    /**
     * @param {string} prompt @param {string[]} completions @param {Signal} [options]
     * @returns {Promise<{completion: string, tokens: number, log_probability: number}[]>}
     */
    async score(prompt, completions, options = {}) {
        const { signal } = record(options, 'score(prompt, completions, {signal})', ['signal']);
        return this.request('score', { prompt, completions }, { signal });
    }

    /**
     * Texts that are asked for at the same time are made one after the other.
     * @param {{prompt?: string, tokens?: number[], max_new_tokens?: number, temperature?: number, top_k?: number, top_p?: number,
     *   seed?: number, stop?: string | string[], stop_at_eos?: boolean,
     *   onToken?: (piece: string, token: number) => void} & Signal} options
     * @returns {Promise<{text: string, tokens: number[], prompt_tokens: number, ms: number, ms_per_token: number}>}
     */
    async generate(options) {
        const { onToken, signal, ...args } = record(options, "generate({prompt: '…', seed: 1})");
        checkCallbacks({ onToken });
        return this.request('generate', args, { signal, onEvent: (event) => onToken?.(event.text, event.token) });
    }

    // ---- data ----

    /**
     * @param {string} split "train", "validation", …
     * @param {Example[]} examples
     * @param {{maxLength?: number, onProgress?: OnProgress} & Signal} [options]
     * @returns {Promise<import('./examples.js').SplitReport>}
     */
    async setData(split, examples, options = {}) {
        const { maxLength = 0, onProgress, signal } = record(options, 'setData(split, examples, {maxLength})', DATA_KEYS);
        checkCallbacks({ onProgress });
        const onEvent = (/** @type {any} */ event) => onProgress?.(event.done, event.total);
        const report = await this.request('setData', { split, examples, maxLength }, { signal, onEvent });
        this.#data.set(split, { examples, maxLength });
        return report;
    }

    /** Forgets a split. @param {string} split */
    async dropData(split) {
        await this.request('dropData', { split });
        this.#data.delete(split);
    }

    /** @param {{split?: string, limit?: number, onProgress?: OnProgress} & Signal} [options] @returns {Promise<HeldOut>} */
    async evaluate(options = {}) {
        const { onProgress, signal, ...args } = record(options, "evaluate({split: 'validation', limit})", EVALUATE_KEYS);
        checkCallbacks({ onProgress });
        return this.request('evaluate', args, { signal, onEvent: (event) => onProgress?.(event.done, event.total) });
    }

    // ---- training ----

    /**
     * Begins a run over all active trainable modules and trains to its end. When the signal fires the promise rejects with code
     * "aborted" after the step in progress; resume() goes on, endRun() gives up the optimiser state. Weights are always those of
     * the last finished step.
     * @param {TrainOptions & RunOptions & Workers & {task?: import('./tasks.js').Task}} options task: loads its splits first
     * @returns {Promise<Outcome>} one training at a time: another one meanwhile is refused with code "state"
     */
    async train(options) {
        const { workers, onFewerWorkers, task, ...others } = record(options, 'train({steps: 50, lr: 5e-3, …})');
        const { run, engine } = splitOptions(others);
        checkWorkers({ workers, onFewerWorkers });
        checkRun(run);
        return this.#alone(async (givenUp) => {
            await this.#end();
            for (const [split, examples] of Object.entries(task?.splits ?? {})) await this.setData(split, examples, { signal: run.signal });
            if (givenUp()) throw new PeftLabError('state', 'The run was ended before it began.');
            await this.request('trainBegin', { ...engine, eval_split: run.eval_split });
            await this.#replicas.add(this.#original, { workers, onFewerWorkers });
            return this.#goOn(run);
        });
    }

    /** Goes on with the open run. @param {RunOptions} [options] @returns {Promise<Outcome>} */
    async resume(options = {}) {
        checkRun(record(options, 'resume({until, signal, …})', RUN_KEYS));
        return this.#alone(() => this.#goOn(options));
    }

    /**
     * A second loop over the one run there is would take steps from the first.
     * @template T @param {(givenUp: () => boolean) => Promise<T>} work @returns {Promise<T>}
     */
    async #alone(work) {
        if (this.#training) {
            const hint = 'Wait for it, or stop it by its AbortSignal first.';
            throw new PeftLabError('state', 'This session is training already.', { hint });
        }
        const mine = (this.#training = {});
        try {
            return await work(() => this.#training !== mine);
        } finally {
            if (this.#training === mine) this.#training = null;
        }
    }

    /** @param {RunOptions} options @returns {Promise<Outcome>} */
    async #goOn({ signal, onStep, onValidation, onSnapshot, onBest, ...args }) {
        const result = await this.request('train', args, {
            signal,
            onEvent: (event) => {
                if (event.type === 'steps') event.steps.forEach((/** @type {StepReport} */ report) => onStep?.(report));
                else if (event.type === 'validation') onValidation?.(event);
                else if (event.type === 'snapshot') onSnapshot?.(event);
                else if (event.type === 'best') onBest?.(event);
            },
        });
        if (result.done) await this.#end();
        return result;
    }

    /** Ends the open run, if any: modules stay, optimiser state goes. A call that trains it is rejected with code "state". */
    async endRun() {
        this.#training = null;
        await this.#end();
    }

    async #end() {
        await this.#replicas.drop(this.#original);
        await this.request('trainEnd');
    }

    /** Modules, optimiser state and position of the run as bytes. @returns {Promise<Uint8Array>} */
    snapshot() { return this.request('snapshot'); }

    /** Needs the same model and data. @param {Uint8Array} bytes @param {Workers} [options] @returns {Promise<any>} */
    async restore(bytes, options = {}) {
        const workers = record(options, 'restore(bytes, {workers})', ['workers', 'onFewerWorkers']);
        checkWorkers(workers);
        const result = await this.request('restore', { bytes }); // refused while a run is open, which must not notice
        this.#training = null;
        await this.#replicas.drop(this.#original);
        if (result.run) await this.#replicas.add(this.#original, workers);
        return result;
    }

    // ---- calculators and advice ----

    /** @param {any} request see pl_count in src/session/peftlab.h @returns {Promise<any>} */
    countFor(request) { return this.request('count', request); }

    /** @param {any} request see pl_estimate_memory @returns {Promise<any>} */
    memoryFor(request) { return this.request('memoryEstimate', request); }

    /** The chapter's tables with what they assume. @returns {Promise<any>} */
    chapter() { return this.request('chapter'); }

    /** The chapter's tree, recommendations and tables as data. @returns {Promise<any>} */
    guide() { return this.request('guide'); }

    /** @param {any} answers see pl_advise @returns {Promise<any>} */
    advise(answers) { return this.request('advise', answers); }

    /** @param {any} history see pl_coach_history @returns {Promise<any>} */
    coach(history) { return this.request('coach', history); }
}
