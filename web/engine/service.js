/**
 * The engine's commands. One Service owns one Core; it runs in a worker (worker.js) or in the caller's thread (protocol.js Local).
 * Long commands yield between steps, so that a cancel message gets through, and leave everything at the end of the last finished
 * step.
 */
import { Core } from './core.js';
import { PeftLabError } from './errors.js';
import { compile, instantiate } from './loader.js';
import { Remote } from './protocol.js';
import { evaluate, losses } from './evaluate.js';
import { computeShards } from './shared-step.js';
import { checkSplit, trainRun } from './training.js';

/** @typedef {import('./protocol.js').Context} Context */
/** @typedef {{text?: string, prompt?: string, completion?: string, line?: number}} Example */
/** @typedef {import('./examples.js').Problem} Problem */

const utf8 = () => new TextDecoder('utf-8', { fatal: false });
/** Generation yields this often, ms: 50 ms is the page's response budget, a message round trip must fit in. */
const YIELD_MS = 12;

export class Service {
    /** @type {Core | null} */
    #core = null;
    /** Replicas that compute shards of a training step. @type {Remote[]} */
    peers = [];
    /** A replica died since the training call in progress began, maybe between two steps: the call ends with this. @type {PeftLabError | null} */
    lost = null;
    /** The replicas have done the last step, or were dropped. @type {Promise<unknown> | null} */
    settled = null;
    /** When the run was last saved, or begun. */
    snapshotAt = 0;
    /** Runs so far that were begun, ended or replaced: a training in progress sees by it that its run is gone. */
    runs = 0;
    /** A text is being generated: the engine holds one at a time, the next waits. */
    generating = false;

    /** @returns {Core} */
    get core() {
        if (!this.#core) throw new PeftLabError('state', 'The engine has not been started.');
        return this.#core;
    }

    /**
     * @param {string} command
     * @param {any} args
     * @param {Context} context
     */
    async run(command, args, context) {
        if (!Object.hasOwn(COMMANDS, command)) throw new PeftLabError('argument', `The engine has no command "${command}".`);
        return COMMANDS[command](this, args ?? {}, context);
    }

    /** @param {BufferSource | WebAssembly.Module} wasm */
    async start(wasm) {
        const module = await compile(wasm);
        this.#core?.free();
        this.#core = new Core(await instantiate(module));
    }

    /**
     * Nothing is shared any more, and what waits for a replica fails.
     * @param {string} [why] a replica died, or went silent; else they are no longer wanted
     */
    dropPeers(why) {
        const error = new PeftLabError('worker-lost', why ?? 'The engine was shut down.', { hint: 'The run can go on from its last step.' });
        if (why && this.peers.length) this.lost = error;
        for (const peer of this.peers.splice(0)) peer.fail(error);
    }

    /** BOS + text as token ids. @param {{tokens?: ArrayLike<number>, prompt?: string}} from */
    tokens({ tokens, prompt }) {
        if (tokens !== undefined) return tokenIds(tokens);
        const { core } = this;
        const ids = core.encode(prompt ?? '', true);
        const bos = core.json('pl_describe').model.bos_token_id;
        return bos >= 0 && ids[0] !== bos ? Int32Array.of(bos, ...ids) : ids;
    }
}

/** Token ids for the engine; what would silently wrap to another id (1.5, 2**32 + 1, "x") is refused. @param {ArrayLike<number>} tokens */
function tokenIds(tokens) {
    const list = Array.isArray(tokens) || (ArrayBuffer.isView(tokens) && !(tokens instanceof DataView));
    if (!list || Array.from(tokens).some((token) => typeof token !== 'number'))
        throw new PeftLabError('argument', 'tokens must be a list of token ids, like [1, 2, 3]');
    const ids = Int32Array.from(tokens);
    const at = ids.findIndex((id, i) => id !== tokens[i]);
    if (at >= 0) throw new PeftLabError('range', `token ${tokens[at]} at position ${at} is no token id`);
    return ids;
}

/** @param {unknown} list @param {string} what @returns {string[]} */
function texts(list, what) {
    const good = Array.isArray(list) && list.every((text) => typeof text === 'string');
    if (!good) throw new PeftLabError('argument', `${what} must be a list of texts`);
    return list;
}

/** @type {Record<string, (service: Service, args: any, context: Context) => any>} */
const COMMANDS = {
    start: (s, { wasm }) => s.start(wasm),
    attachPeer: (s, { port }) => {
        const peer = new Remote(port);
        peer.onDied = ({ message }) => s.dropPeers(message);
        s.peers.push(peer);
    },
    dropPeers: (s, { why }) => s.dropPeers(why),

    loadModel: (s, { files }) => {
        const report = s.core.loadModel(files);
        s.runs++;
        return report;
    },
    exportModel: (s, { dtype = 'F32' }) => s.core.exportModel(dtype),
    describe: (s) => s.core.json('pl_describe'),
    describeStatic: (s) => s.core.json('pl_describe_static'),
    memory: (s) => ({ ...s.core.json('pl_session_memory'), heap: s.core.heap }),
    failAt: (s, { allocation }) => s.core.call('pl_session_fail_at', allocation),

    addModule: (s, request) => s.core.ask('pl_module_add', [], request),
    removeModule: (s, { id }) => s.core.call('pl_module_remove', id),
    setModule: (s, { id, changes }) => s.core.ask('pl_module_set', [id], changes),
    clear: (s) => {
        const { core } = s;
        const { modules } = core.json('pl_describe'); // needs memory; the rest does not
        s.runs++;
        core.call('pl_train_end');
        core.call('pl_unmerge_modules');
        for (const { id } of modules) core.call('pl_module_remove', id);
    },
    orderModules: (s, { ids }) => s.core.ask('pl_module_order', [], ids),
    importAdapter: (s, folder) => s.core.importAdapter(folder),
    exportAdapter: (s, { id }) => ({
        config: s.core.bytes('pl_module_export_config', id),
        weights: s.core.bytes('pl_module_export_weights', id),
    }),
    tensor: (s, { id, name }) => s.core.tensor(id, name),
    setTensor: (s, { id, name, values }) => {
        if (s.peers.length) {
            const hint = 'End the run first.';
            throw new PeftLabError('state', 'A tensor cannot be set while workers share the open run.', { hint });
        }
        s.core.setTensor(id, name, values);
    },
    gradient: (s, { id, name }) => s.core.gradient(id, name),
    gradients: (s, { split, from, to }) => s.core.json('pl_gradients', split, from, to),
    matrix: (s, { id, layer, site, what }) => s.core.matrix(id, layer, site, what),
    spectrum: (s, { id, layer, site }) => s.core.json('pl_module_spectrum', id, layer, site),
    mix: (s, request) => s.core.ask('pl_module_mix', [], request),
    compilePrompt: (s, { id, name }) => s.core.json('pl_module_compile_prompt', id, name ?? 'compiled'),
    merge: (s, { ids = [] }) => s.core.ask('pl_merge_modules', [], ids),
    unmerge: (s) => s.core.call('pl_unmerge_modules'),

    encode: (s, { text, special = true }) => s.core.encode(text, special),
    decode: (s, { tokens, skipSpecial = true }) => utf8().decode(s.core.decode(tokenIds(tokens), skipSpecial)),
    logits: (s, args) => {
        const tokens = s.tokens({ tokens: args.tokens, prompt: args.text });
        return { tokens, logits: s.core.logits(tokens) };
    },
    score: async (s, { prompt, completions }, context) => {
        const scores = [];
        for (const text of texts(completions, 'completions')) {
            scores.push(scoreCompletion(s, prompt, text));
            await context.breathe();
        }
        return scores;
    },
    generate: (s, args, context) => generate(s, args, context),

    setData: (s, args, context) => setData(s, args, context),
    dropData: (s, { split }) => s.core.call('pl_data_move', split, ''),
    setTokens: (s, { split, examples, labelFrom = 1 }) => {
        s.core.call('pl_data_begin', split, 0);
        for (const ids of examples) s.core.addTokens(split, tokenIds(ids), labelFrom, 0);
        return s.core.json('pl_data_stats', split);
    },
    dataStats: (s, { split }) => s.core.json('pl_data_stats', split),
    evaluate: (s, args, context) => evaluate(s.core, args, context),

    trainBegin: (s, { eval_split, ...options }) => {
        checkSplit(s.core, eval_split);
        s.snapshotAt = performance.now();
        const run = s.core.ask('pl_train_begin', [], options);
        s.runs++;
        return run;
    },
    train: (s, args, context) => trainRun(s, args, context),
    trainEnd: (s) => {
        s.runs++;
        s.core.call('pl_train_end');
    },
    snapshot: (s) => s.core.bytes('pl_snapshot'),
    restore: (s, { bytes }) => {
        s.snapshotAt = performance.now();
        const report = s.core.restore(bytes);
        s.runs++;
        return report;
    },
    shards: (s, { shards }) => computeShards(s.core, shards),
    applyShards: (s, { parts }) => s.core.applyShards(parts),
    losses: (s, args, context) => losses(s.core, args, context),

    count: (s, request) => s.core.ask('pl_count', [], request),
    memoryEstimate: (s, request) => s.core.ask('pl_estimate_memory', [], request),
    chapter: (s) => s.core.json('pl_chapter'),
    guide: (s) => s.core.json('pl_guide'),
    advise: (s, request) => s.core.ask('pl_advise', [], request),
    coach: (s, request) => s.core.ask('pl_coach_history', [], request),
};

/**
 * The next text, when the one before it is done: two at once would take each other's tokens.
 * @param {Service} s @param {GenerateArgs} args @param {Context} context
 */
async function generate(s, args, context) {
    while (s.generating) await context.breathe();
    s.generating = true;
    try {
        return await stream(s, args, context);
    } finally {
        s.generating = false;
    }
}

/**
 * Streams text: bytes that end inside a character wait for the rest.
 * @typedef {{prompt?: string, tokens?: number[], stop?: string | string[]} & Record<string, unknown>} GenerateArgs
 *   besides, sampling options of pl_generate_begin
 * @param {Service} s @param {GenerateArgs} args @param {Context} context
 */
async function stream(s, { prompt, tokens, stop: given = [], ...options }, context) {
    const { core } = s;
    const stop = texts(typeof given === 'string' ? [given] : given, 'stop');
    if (stop.includes('')) throw new PeftLabError('argument', 'stop must not be empty: every text has the empty one in it');
    const input = s.tokens({ tokens, prompt });
    core.generateBegin(input, options);
    const decoder = utf8();
    /** @type {number[]} */
    const made = [];
    let text = '';
    let yielded = performance.now();
    const began = yielded;
    for (let token = core.generateNext(); token >= 0; token = core.generateNext()) {
        made.push(token);
        const piece = decoder.decode(core.decode(Int32Array.of(token)), { stream: true });
        text += piece;
        context.emit({ type: 'token', token, text: piece });
        if (stop.some((mark) => text.includes(mark))) break;
        if (performance.now() - yielded > YIELD_MS) {
            await context.breathe();
            context.unit('generating');
            yielded = performance.now();
        }
    }
    text += decoder.decode();
    const ends = stop.map((mark) => text.indexOf(mark)).filter((at) => at >= 0);
    if (ends.length) text = text.slice(0, Math.min(...ends));
    const ms = performance.now() - began;
    return { text, tokens: made, prompt_tokens: input.length, ms, ms_per_token: made.length ? ms / made.length : 0 };
}

/** Log-probability (nats) of a completion after a prompt. @param {Service} s @param {string} prompt @param {string} completion */
function scoreCompletion(s, prompt, completion) {
    const head = s.tokens({ prompt });
    const tail = s.core.encode(completion, false);
    const all = Int32Array.of(...head, ...tail);
    const logits = s.core.logits(all);
    const vocab = logits.length / all.length;
    let sum = 0;
    for (let i = head.length ? 0 : 1; i < tail.length; i++) { // the first token of all is predicted by nothing
        const row = logits.subarray((head.length + i - 1) * vocab, (head.length + i) * vocab);
        let max = -Infinity;
        for (const v of row) max = Math.max(max, v);
        let total = 0;
        for (const v of row) total += Math.exp(v - max);
        sum += row[tail[i]] - max - Math.log(total);
    }
    if (!Number.isFinite(sum)) {
        const hint = 'Go back to an earlier state.';
        throw new PeftLabError('numeric', 'The logits are not finite: the weights have diverged.', { hint });
    }
    return { completion, tokens: tail.length, log_probability: sum };
}

/**
 * Replaces a data split. Examples that cannot be used are reported with their line, never dropped silently. A failure or an
 * abort leaves the old split.
 * @param {Service} s
 * @param {{split: string, examples: Example[], maxLength?: number}} args
 * @param {Context} context
 */
async function setData(s, { split, examples, maxLength = 0 }, context) {
    const { core } = s;
    if (!Array.isArray(examples)) throw new PeftLabError('argument', 'The examples must be a list of {prompt, completion} or {text}.');
    if (typeof split !== 'string' || !split) throw new PeftLabError('argument', 'A data split needs a name, like "train".');
    const incoming = `~${split}`;
    core.call('pl_data_begin', incoming, maxLength);
    try {
        const skipped = await addExamples(core, incoming, examples, context);
        const stats = core.json('pl_data_stats', incoming);
        if (stats.examples === 0) throw unusable(split, examples.length, skipped);
        core.call('pl_data_move', incoming, split); // last: nothing can fail any more
        return { ...stats, skipped };
    } catch (error) {
        core.call('pl_data_move', incoming, '');
        throw error;
    }
}

/** An empty split could not be trained on: what was loaded stays. @param {string} split @param {number} given @param {Problem[]} skipped */
function unusable(split, given, skipped) {
    const why = skipped[0]
        ? `None of the ${given} examples for "${split}" can be used; line ${skipped[0].line}: ${skipped[0].message}.`
        : `There are no examples for "${split}".`;
    return new PeftLabError('argument', why, { hint: 'What was loaded before stays.' });
}

/**
 * @param {Core} core @param {string} split @param {Example[]} examples @param {Context} context
 * @returns {Promise<Problem[]>} those left out
 */
async function addExamples(core, split, examples, context) {
    /** @type {Problem[]} */
    const skipped = [];
    let yielded = performance.now();
    for (let i = 0; i < examples.length; i++) {
        try {
            core.addExample(split, examples[i]);
        } catch (error) {
            if (!(error instanceof PeftLabError) || !['argument', 'range'].includes(error.code)) throw error;
            skipped.push({ line: examples[i]?.line ?? i + 1, message: error.message });
        }
        if (performance.now() - yielded > YIELD_MS) {
            context.emit({ type: 'data', done: i + 1, total: examples.length });
            await context.breathe();
            yielded = performance.now();
        }
    }
    return skipped;
}
