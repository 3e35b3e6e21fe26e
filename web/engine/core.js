/**
 * One C session, synchronously: a thin, typed mirror of src/session/peftlab.h. Everything above (service, workers, public API) goes through it.
 * No view of the WASM memory is kept between calls: memory growth detaches views, and writes through a stale one vanish silently.
 */
import { withAdvice } from './broken-weights.js';
import { PeftLabError, shown } from './errors.js';

const encoder = new TextEncoder();
const decoder = new TextDecoder();
/** A C function's name as words. @param {string} name */
const spoken = (name) => name.replace('pl_', '').replaceAll('_', ' ');

/** @typedef {import('./loader.js').EngineExports} EngineExports */
/** @typedef {number | string | Uint8Array | Int32Array | null} Argument of a C function; a string becomes a C string, an array a pointer */
/** @typedef {{shards: number[], bytes: Uint8Array}} Part shards of a training step and their bytes, one behind the other */

/**
 * What the functions take behind the session, where it comes from outside: $ a text, else a whole number. To WebAssembly
 * both are numbers, and a number in a text's place would be an address to read at.
 * @type {Record<string, string>}
 */
export const TAKES = {
    module_remove: 'id', module_set: 'id', module_export_config: 'id', module_export_weights: 'id', module_import: '$name',
    module_tensor: 'id $name', module_set_tensor: 'id $name', module_gradient: 'id $name', module_compile_prompt: 'id $name',
    module_matrix: 'id layer $site $what', module_spectrum: 'id layer $site', model_export: '$dtype', model_config: '$dtype',
    data_begin: '$split max_length', data_move: '$from $to', data_add: '$split', data_add_tokens: '$split', data_stats: '$split',
    data_loss: '$split from to', gradients: '$split from to', train_shard: 'shard', session_fail_at: 'allocation',
};

/** @param {string} name of a C function @param {number} i @param {unknown} value its argument i, checked; null is a text left out */
function checkArgument(name, i, value) {
    const takes = TAKES[name.replace('pl_', '')]?.split(' ')[i];
    if (value === undefined) throw new PeftLabError('argument', `${spoken(name)}: ${takes?.replace('$', '') ?? 'an argument'} is missing`);
    if (!takes || value === null) return;
    const text = takes.startsWith('$');
    if (typeof value !== (text ? 'string' : 'number'))
        throw new PeftLabError(
            'argument',
            `${spoken(name)}: ${takes.replace('$', '')} must be a ${text ? 'text' : 'whole number'}, not ${shown(value)}`,
        );
    if (typeof value === 'string' && value.includes('\0')) // where a C string ends
        throw new PeftLabError('argument', `${spoken(name)}: ${takes.slice(1)} has a NUL character in it`);
}

/** @param {unknown} value @param {string} what @returns {Uint8Array} */
function bytesOf(value, what) {
    if (value instanceof Uint8Array) return value;
    throw new PeftLabError('argument', `${what} must be bytes, a Uint8Array`);
}

/** @param {unknown} value @param {string} what @returns {Uint8Array} in UTF-8 */
function textOf(value, what) {
    if (typeof value === 'string') return encoder.encode(value);
    throw new PeftLabError('argument', `${what} must be a text in quotes, not ${shown(value)}`);
}

export class Core {
    #x;
    #session;
    /** What the last shards from elsewhere came in. @type {ArrayBufferLike | null} */
    #spare = null;

    /** @param {EngineExports} exports */
    constructor(exports) {
        this.#x = exports;
        this.#session = exports.pl_session_new();
        if (!this.#session) throw new PeftLabError('memory', 'No memory for an engine session.');
    }

    /** Frees everything the session owns. The object must not be used afterwards. */
    free() {
        this.#x.pl_session_free(this.#session);
        this.#session = 0;
    }

    /** Bytes of the whole WebAssembly memory; it grows and never shrinks. */
    get heap() { return this.#x.memory.buffer.byteLength; }

    /** @param {number} at @param {number} size @returns {Uint8Array} a copy */
    #bytes(at, size) {
        return new Uint8Array(this.#x.memory.buffer).slice(at, at + size);
    }

    /** @param {number} at address of a C string @returns {string} */
    #cstring(at) {
        const memory = new Uint8Array(this.#x.memory.buffer);
        return decoder.decode(memory.subarray(at, memory.indexOf(0, at)));
    }

    /** @returns {PeftLabError} */
    #error() {
        const code = this.#cstring(this.#x.pl_last_error_code(this.#session));
        return new PeftLabError(code === 'ok' ? 'internal' : code, this.#cstring(this.#x.pl_last_error(this.#session)));
    }

    /**
     * Calls a session function, copying byte arguments in and freeing them afterwards.
     * @param {string} name of the C function
     * @param {...Argument} args the sizes of arrays are passed besides
     * @returns {number}
     */
    #raw(name, ...args) {
        /** @type {number[]} */
        const buffers = [];
        try {
            const values = args.map((value, i) => {
                checkArgument(name, i, value);
                if (typeof value === 'number') {
                    if ((value | 0) === value) return value; // WebAssembly would wrap the others silently
                    throw new PeftLabError('range', `${spoken(name)}: ${value} is not a whole number of 32 bits`);
                }
                if (value === null) return 0;
                const bytes = typeof value === 'string'
                    ? encoder.encode(`${value}\0`)
                    : new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
                const at = this.#x.pl_buffer_new(bytes.length);
                if (!at) {
                    const hint = 'Close other tabs or use a smaller model.';
                    throw new PeftLabError('memory', `No memory for ${bytes.length} bytes.`, { hint });
                }
                buffers.push(at);
                new Uint8Array(this.#x.memory.buffer).set(bytes, at);
                return at;
            });
            return this.#x[name](this.#session, ...values);
        } finally {
            for (const at of buffers) this.#x.pl_buffer_free(at);
        }
    }

    /** As #raw, for functions that return a status. @param {string} name @param {...Argument} args */
    call(name, ...args) {
        if (this.#raw(name, ...args) !== 0) throw this.#error();
    }

    /** @param {string} name @param {...Argument} args @returns {Uint8Array} the call's result */
    bytes(name, ...args) {
        this.call(name, ...args);
        return this.#bytes(this.#x.pl_result(this.#session), this.#x.pl_result_size(this.#session));
    }

    /** @param {string} name @param {...Argument} args @returns {any} the call's JSON report */
    json(name, ...args) {
        const text = decoder.decode(this.bytes(name, ...args));
        return text ? JSON.parse(text) : null;
    }

    /**
     * A call whose last arguments are a JSON text and its length.
     * @param {string} name @param {number[]} ids @param {unknown} request @returns {any}
     */
    ask(name, ids, request) {
        const text = jsonOf(request, spoken(name));
        return this.json(name, ...ids, text, text.length);
    }

    // ---- base model ----

    /**
     * @param {{config: Uint8Array, weights: Uint8Array[], tokenizer?: Uint8Array}} files
     *   contents of config.json, the safetensors files, tokenizer.json
     * @returns {{parameters: number, ignored: string[]}}
     */
    loadModel(files) {
        const config = bytesOf(files?.config, 'config.json');
        if (!Array.isArray(files.weights)) throw new PeftLabError('argument', 'weights must be a list of the safetensors files');
        try {
            this.#reading(config, () => this.call('pl_model_begin', config, config.length));
            for (const shard of files.weights) {
                this.#reading(bytesOf(shard, 'a weights file'), () => this.call('pl_model_weights', shard, shard.length));
            }
            const { tokenizer } = files;
            if (tokenizer) {
                this.#reading(bytesOf(tokenizer, 'tokenizer.json'), () => this.call('pl_model_tokenizer', tokenizer, tokenizer.length));
            }
            return this.json('pl_model_commit');
        } catch (error) { // maybe before the engine heard of it: half a model would go on taking up its memory
            this.#raw('pl_model_cancel');
            throw error;
        }
    }

    /**
     * @template T @param {Uint8Array} bytes of a file @param {() => T} read what reads them
     * @returns {T}
     */
    #reading(bytes, read) {
        try {
            return read();
        } catch (error) {
            throw withAdvice(error, bytes);
        }
    }

    /** @param {{name?: string, config: Uint8Array, weights: Uint8Array}} folder of an adapter @returns {any} module, and what is not used */
    importAdapter({ name, config, weights }) {
        bytesOf(weights, 'a weights file');
        try {
            return this.json('pl_module_import', name ?? null, config, config.length, weights, weights.length);
        } catch (error) {
            throw withAdvice(error, /^adapter_config/.test(PeftLabError.from(error).message) ? config : weights);
        }
    }

    /** @param {string} dtype "F32" | "F16" | "BF16" @returns {{config: Uint8Array, weights: Uint8Array}} */
    exportModel(dtype) {
        return { config: this.bytes('pl_model_config', dtype), weights: this.bytes('pl_model_export', dtype) };
    }

    // ---- text ----

    /** @param {string} text @param {boolean} addSpecial BOS etc. as tokenizer.json says @returns {Int32Array} */
    encode(text, addSpecial) {
        const bytes = textOf(text, 'what is put in tokens');
        return toInt32(this.bytes('pl_encode', bytes, bytes.length, addSpecial ? 1 : 0));
    }

    /** @param {Int32Array} tokens @param {boolean} [skipSpecial] @returns {Uint8Array} UTF-8, possibly ending inside a character */
    decode(tokens, skipSpecial = true) {
        return this.bytes('pl_decode', tokens, tokens.length, skipSpecial ? 1 : 0);
    }

    /** @param {Int32Array} tokens @returns {Float32Array} logits, [tokens.length * vocab_size] */
    logits(tokens) {
        return toFloat32(this.bytes('pl_logits', tokens, tokens.length));
    }

    /** @param {Int32Array} tokens @param {object} options see pl_generate_begin */
    generateBegin(tokens, options) {
        const text = jsonOf(options, 'generate');
        this.call('pl_generate_begin', tokens, tokens.length, text, text.length);
    }

    /** @param {Uint8Array} bytes of pl_snapshot @returns {any} */
    restore(bytes) {
        return this.json('pl_restore', bytesOf(bytes, 'a snapshot'), bytes.length);
    }

    /** @returns {number} token id, or -1 at the end */
    generateNext() {
        const token = this.#raw('pl_generate_next');
        if (token === -2) throw this.#error();
        return token;
    }

    // ---- modules ----

    /** @param {number} id @param {string} name @returns {Float32Array} */
    tensor(id, name) {
        return toFloat32(this.bytes('pl_module_tensor', id, name));
    }

    /** @param {number} id @param {string} name @returns {Float32Array} */
    gradient(id, name) {
        return toFloat32(this.bytes('pl_module_gradient', id, name));
    }

    /** @param {number} id @param {string} name @param {Float32Array} values */
    setTensor(id, name, values) {
        if (!(values instanceof Float32Array)) throw new PeftLabError('argument', `a tensor takes a Float32Array, not ${shown(values)}`);
        const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
        this.call('pl_module_set_tensor', id, name, bytes, bytes.length);
    }

    /** @param {number} id @param {number} layer @param {string} site @param {string} what @returns {Float32Array} */
    matrix(id, layer, site, what) {
        return toFloat32(this.bytes('pl_module_matrix', id, layer, site, what));
    }

    // ---- data ----

    /**
     * @param {string} split
     * @param {{prompt?: string, completion?: string, text?: string}} example
     */
    addExample(split, example) {
        for (const key of /** @type {const} */ (['prompt', 'completion', 'text'])) {
            if (example && ['string', 'undefined'].includes(typeof example[key])) continue;
            const which = example ? `; "${key}" is not one` : '';
            throw new PeftLabError('argument', `an example is {prompt, completion} or {text}, each a text${which}`);
        }
        const completion = encoder.encode(example.completion ?? example.text ?? '');
        const prompt = example.text === undefined ? encoder.encode(example.prompt ?? '') : null;
        this.call('pl_data_add', split, prompt, prompt ? prompt.length : -1, completion, completion.length);
    }

    /** @param {string} split @param {Int32Array} tokens @param {number} labelFrom @param {number} bytes */
    addTokens(split, tokens, labelFrom, bytes) {
        this.call('pl_data_add_tokens', split, tokens, tokens.length, labelFrom, bytes);
    }

    // ---- a training step shared with other engines ----

    /** @param {number[]} shards computed here @returns {Part} a copy to hand over */
    keptShards(shards) {
        const size = this.#raw('pl_train_kept_size');
        const bytes = this.#room(size * shards.length);
        shards.forEach((shard, i) => {
            const at = this.#raw('pl_train_kept', shard);
            if (!at) throw new PeftLabError('internal', `shard ${shard} was not computed here`);
            bytes.set(new Uint8Array(this.#x.memory.buffer, at, size), i * size);
        });
        return { shards, bytes };
    }

    /** @param {Part[]} parts all shards that were not computed here @returns {any} the step's report */
    applyShards(parts) {
        const shards = Int32Array.from(parts.flatMap((part) => part.shards));
        const bytes = parts.length === 1 ? parts[0].bytes : concatenated(parts.map((part) => part.bytes));
        const report = this.json('pl_train_apply', shards, shards.length, bytes, bytes.length);
        this.#spare = bytes.buffer;
        return report;
    }

    /**
     * Room for a copy: where two engines move their copies to each other, the one that came last step goes back with this step's.
     * @param {number} size
     */
    #room(size) {
        const buffer = this.#spare && this.#spare.byteLength >= size ? this.#spare : new ArrayBuffer(size);
        this.#spare = null;
        return new Uint8Array(buffer, 0, size);
    }
}

/**
 * JSON has no NaN: it would arrive as null, which means the default. Only a loss may be none (the coach says so).
 * @param {unknown} request @param {string} what @returns {Uint8Array}
 */
function jsonOf(request, what) {
    const finite = (/** @type {string} */ key, /** @type {unknown} */ value) => {
        if (typeof value !== 'number' || Number.isFinite(value) || key === 'loss' || key === 'val_loss') return value;
        throw new PeftLabError('range', `${what}: ${key} must be a finite number, not ${value}`);
    };
    try {
        return encoder.encode(JSON.stringify(request, finite));
    } catch (cause) { // a BigInt, or an object that holds itself
        if (cause instanceof PeftLabError) throw cause;
        throw new PeftLabError('argument', `${what}: the request cannot be written as JSON (${/** @type {Error} */ (cause).message})`, { cause });
    }
}

/** @param {Uint8Array[]} pieces */
function concatenated(pieces) {
    const bytes = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
    let at = 0;
    for (const piece of pieces) {
        bytes.set(piece, at);
        at += piece.length;
    }
    return bytes;
}

/** @param {Uint8Array} bytes a fresh copy, offset 0 */
function toInt32(bytes) {
    return new Int32Array(bytes.buffer, 0, bytes.length >> 2);
}

/** @param {Uint8Array} bytes a fresh copy, offset 0 */
function toFloat32(bytes) {
    return new Float32Array(bytes.buffer, 0, bytes.length >> 2);
}
