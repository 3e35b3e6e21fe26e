// Reads tests/golden (format: tests/golden/README.md) and sets engine sessions up from it.
import { readFileSync, readdirSync, existsSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Core } from '../../../web/engine/core.js';
import { compile, instantiate } from '../../../web/engine/loader.js';

export const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), '../../..');
export const GOLDEN = join(ROOT, 'tests/golden');

/** @typedef {{shape: number[], dtype: string, data: Float32Array}} Tensor */
/** @typedef {{name: string, dir: string, weight?: number}} AdapterEntry */
/** @typedef {{name: string, dir: string, json: any, tensors: Map<string, Tensor>, model: string}} Case */

let engine;
/** A fresh session. The compiled module is shared, the instance is not: nothing leaks from one test to the next. */
export async function openCore() {
    engine ??= compile(readFileSync(process.env.PEFTLAB_WASM ?? join(ROOT, 'build/wasm/peftlab.wasm')));
    return new Core(await instantiate(await engine));
}

/** @param {Uint8Array} bytes a safetensors file with F32 tensors only @returns {Map<string, Tensor>} */
export function readSafetensors(bytes) {
    const copy = Uint8Array.from(bytes); // aligned at 0
    const length = Number(new DataView(copy.buffer).getBigUint64(0, true));
    const header = JSON.parse(new TextDecoder().decode(copy.subarray(8, 8 + length)));
    delete header.__metadata__;
    const tensors = new Map();
    for (const [name, { dtype, shape, data_offsets: [from, to] }] of Object.entries(header)) {
        const data = dtype === 'F32' ? new Float32Array(copy.slice(8 + length + from, 8 + length + to).buffer) : new Float32Array(0);
        tensors.set(name, { shape, dtype, data });
    }
    return tensors;
}

/** @param {Map<string, Tensor>} tensors @returns {Uint8Array} */
export function writeSafetensors(tensors) {
    let at = 0;
    /** @type {Record<string, any>} */
    const header = {};
    for (const [name, { shape, data }] of tensors) {
        header[name] = { dtype: 'F32', shape, data_offsets: [at, (at += data.byteLength)] };
    }
    let text = JSON.stringify(header);
    text += ' '.repeat((8 - (text.length % 8)) % 8);
    const out = new Uint8Array(8 + text.length + at);
    new DataView(out.buffer).setBigUint64(0, BigInt(text.length), true);
    out.set(new TextEncoder().encode(text), 8);
    at = 8 + text.length;
    for (const { data } of tensors.values()) {
        out.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), at);
        at += data.byteLength;
    }
    return out;
}

/** @param {string} name @returns {Case} */
export function loadCase(name) {
    const dir = join(GOLDEN, name);
    const json = JSON.parse(readFileSync(join(dir, 'expected.json'), 'utf8'));
    return { name, dir, json, tensors: readSafetensors(readFileSync(join(dir, 'expected.safetensors'))), model: resolve(dir, json.model) };
}

/** @param {(row: {case: string, method: string, model: string}) => boolean} [filter] @returns {string[]} */
export function caseNames(filter = () => true) {
    return JSON.parse(readFileSync(join(GOLDEN, 'index.json'), 'utf8')).filter(filter).map((/** @type {any} */ row) => row.case);
}

/** The files of a model folder, shards in the order of their names. @param {string} dir */
export function modelFiles(dir) {
    const names = readdirSync(dir).filter((name) => name.endsWith('.safetensors')).sort();
    const files = { config: read(join(dir, 'config.json')), weights: names.map((name) => read(join(dir, name))) };
    return existsSync(join(dir, 'tokenizer.json')) ? { ...files, tokenizer: read(join(dir, 'tokenizer.json')) } : files;
}

/** @param {string} path @returns {Uint8Array} */
export const read = (path) => new Uint8Array(readFileSync(path));

/** The weights file of an adapter folder. @param {string} dir */
export const adapterWeights = (dir) =>
    read(join(dir, existsSync(join(dir, 'adapter.safetensors')) ? 'adapter.safetensors' : 'adapter_model.safetensors'));

/** Imports one adapter folder; -> the module as pl_describe shows it. @param {Core} core @param {string} dir @param {string | null} name */
export function importAdapter(core, dir, name) {
    const config = read(join(dir, 'adapter_config.json'));
    const weights = adapterWeights(dir);
    return core.json('pl_module_import', name, config, config.length, weights, weights.length).module;
}

/** What a tensor is called in the engine, from its key in a file. @param {string} key */
export const plain = (key) => key.replace(/^base_model\.model\./, '').replace('.ln_tuning_layers', '').replace(/\.adapters\.[^.]+\./, '.adapters.*.');

/** @typedef {{name: string, id: number, tensor: (key: string) => string}} Loaded */

/** @param {any} module as pl_module_add reports it @param {string} name @returns {Loaded} */
function loaded(module, name) {
    const names = new Map(module.tensors.map((/** @type {any} */ t) => [plain(t.name), t.name]));
    return {
        name,
        id: module.id,
        tensor(key) {
            const found = names.get(plain(key));
            if (found === undefined) throw new Error(`module ${module.id} has no tensor for ${key}; it has ${[...names.keys()].join(', ')}`);
            return found;
        },
    };
}

/** What a case needs beyond its folders: methods whose trained tensors are not what a file holds. @param {Case} c @returns {any} */
function byHand(c) {
    const { json } = c;
    if (json.method === 'full') return { method: 'full', options: {} };
    if (json.training?.loraplus_lr_ratio) {
        return {
            method: 'lora',
            options: {
                rank: 8,
                alpha: 16,
                target_modules: ['q_proj', 'v_proj'],
                loraplus_lr_ratio: json.training.loraplus_lr_ratio,
            },
        };
    }
    if (json.rows) return { method: 'prefix', options: { num_virtual_tokens: json.rows.num_virtual_tokens, memory_shifts: false } };
    if (!json.encoder) return null;
    const config = JSON.parse(readFileSync(join(c.dir, 'adapter/adapter_config.json'), 'utf8'));
    const { num_virtual_tokens } = config;
    return { method: 'prefix', options: { num_virtual_tokens, prefix_projection: true, encoder_hidden_size: json.encoder.hidden } };
}

/** Loads model and modules of a case. @param {Core} core @param {Case} c @returns {Loaded[]} */
export function setUp(core, c) {
    core.loadModel(modelFiles(c.model));
    const request = byHand(c);
    if (!request) {
        return c.json.adapters.map((/** @type {AdapterEntry} */ entry) => {
            const module = importAdapter(core, join(c.dir, entry.dir), entry.name);
            core.ask('pl_module_set', [module.id], { active: true, trainable: true, weight: entry.weight ?? 1 });
            return loaded(module, entry.name);
        });
    }
    const name = request.method === 'full' ? 'base' : 'default';
    const module = core.ask('pl_module_add', [], { ...request, name, trainable: true });
    const out = loaded(module, name);
    const own = c.json.encoder ?? c.json.rows;
    const file = own ? join(c.dir, own.file) : request.method === 'lora' ? join(c.dir, 'adapter/adapter_model.safetensors') : null;
    if (file) for (const [key, { data }] of readSafetensors(read(file))) core.setTensor(out.id, out.tensor(key), data);
    return [out];
}

/** The labels of every sequence are a suffix; -> index of the first one. @param {number[]} labels */
export function labelFrom(labels) {
    const at = labels.findIndex((label) => label !== -100);
    if (at < 0 || labels.slice(at).includes(-100)) throw new Error('labels are not a suffix');
    return at;
}

/** @param {Core} core @param {Case} c @param {string} split */
export function addBatch(core, c, split) {
    core.call('pl_data_begin', split, 0);
    c.json.tokens.forEach((/** @type {number[]} */ tokens, /** @type {number} */ i) => {
        core.addTokens(split, Int32Array.from(tokens), labelFrom(c.json.labels[i]), tokens.length);
    });
}

/** @param {ArrayLike<number>} a @param {ArrayLike<number>} b */
export function maxGap(a, b) {
    if (a.length !== b.length) throw new Error(`${a.length} numbers, ${b.length} expected`);
    let gap = 0;
    for (let i = 0; i < a.length; i++) {
        const d = Math.abs(a[i] - b[i]);
        if (!(d <= gap)) gap = Number.isNaN(d) ? Infinity : d;
    }
    return gap;
}

/** @param {ArrayLike<number>} a */
export const maxAbs = (a) => maxGap(a, new Float32Array(a.length));

/** Logits of one sequence of a case. @param {Core} core @param {Case} c @param {number} i */
export const logitsOf = (core, c, i) => core.logits(Int32Array.from(c.json.tokens[i]));
