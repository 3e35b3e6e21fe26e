/** Model, adapter and task folders from a URL, a path (Node), or files at hand. */
import { PeftLabError, shown } from './errors.js';

/**
 * @typedef {string | URL | Record<string, Uint8Array | ArrayBuffer> | Iterable<File>} FolderSource a URL, a path in
 *   Node, files by name, or a FileList
 * @typedef {{config: Uint8Array, weights: Uint8Array[], tokenizer?: Uint8Array, beside?: Record<string,
 *   Uint8Array>}} ModelFiles beside: of no use to the engine, for a folder
 *   that is made from this one
 * @typedef {(name: string) => Promise<Uint8Array | null>} ReadFile null: no such file
 */

const LARGEST_FILE = 1024 * 1024 * 1024;
/** What transformers reads beside the weights: names of special tokens, how to generate. */
const BESIDE = ['tokenizer_config.json', 'special_tokens_map.json', 'generation_config.json'];
/** Rarely there, and over the web a file that is not is an error in the browser's console. */
const TEMPLATE = 'chat_template.jinja';
const LARGEST_BESIDE = 4 * 1024 * 1024;

/** @param {unknown} value @returns {value is string | URL} */
const isPlace = (value) => typeof value === 'string' || value instanceof URL;
const isNode = typeof process === 'object' && Boolean(process.versions?.node);

/** @param {string | URL} place @returns {boolean} a folder on disk */
function isPath(place) {
    return isNode && (place instanceof URL ? place.protocol === 'file:' : !/^(https?|peftlab-embedded):/.test(place));
}

/** @param {string | URL} folder @returns {Promise<ReadFile>} */
async function diskReader(folder) {
    const [{ readFile, stat }, { join }, { fileURLToPath }] = await Promise.all([
        import('node:fs/promises'),
        import('node:path'),
        import('node:url'),
    ]);
    const root = folder instanceof URL || folder.startsWith('file:') ? fileURLToPath(folder) : folder;
    return async (name) => {
        const path = join(root, name);
        const found = await stat(path).catch(() => null);
        if (!found?.isFile()) return null;
        if (found.size > LARGEST_FILE)
            throw new PeftLabError('range', `${path} has ${(found.size / 1e9).toFixed(1)} GB; at most 1 GB can be loaded.`);
        const bytes = await readFile(path);
        return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    };
}

/** Files that are part of the page itself (single-file page, notebooks), by path below EMBEDDED. @type {Promise<Record<string, Uint8Array>>} */
let embedded = Promise.resolve({});
/** Folder URLs that begin with this are looked up among the embedded files. */
export const EMBEDDED = 'peftlab-embedded:///';

/** @param {Promise<Record<string, Uint8Array>>} files by path, e.g. "models/index.json"; readers wait for them */
export function embedFiles(files) {
    embedded = files;
}

/** @param {string | URL} folder @param {AbortSignal} [signal] @returns {ReadFile} */
function webReader(folder, signal) {
    const base = new URL(String(folder).replace(/\/?$/, '/'), globalThis.document?.baseURI ?? globalThis.location?.href);
    if (base.href.startsWith(EMBEDDED)) return async (name) => (await embedded)[base.href.slice(EMBEDDED.length) + name] ?? null;
    return async (name) => {
        let response;
        try {
            response = await fetch(new URL(name, base), { signal });
        } catch (cause) {
            if (signal?.aborted) throw PeftLabError.aborted();
            throw new PeftLabError('load', `${name} could not be fetched from ${base.href}.`, { hint: 'Check the connection and try again.', cause });
        }
        if (response.status === 404) return null;
        if (!response.ok) throw new PeftLabError('load', `${name} could not be fetched: the server answered ${response.status}.`);
        return new Uint8Array(await response.arrayBuffer());
    };
}

/** @param {FolderSource} source @param {AbortSignal} [signal] @returns {Promise<ReadFile>} */
export async function reader(source, signal) {
    if (!source || (typeof source !== 'object' && typeof source !== 'string'))
        throw new PeftLabError('argument', `A folder is a URL, a path, files by name or a FileList, not ${shown(source)}.`);
    if (isPlace(source)) return isPath(source) ? diskReader(source) : webReader(source, signal);
    if (Symbol.iterator in source) {
        const list = [.../** @type {Iterable<File>} */ (source)];
        if (!list.every((file) => typeof file?.arrayBuffer === 'function'))
            throw new PeftLabError('argument', 'A list as a folder holds files (File), as a FileList does.');
        const files = new Map(list.map((file) => [file.name, file]));
        return async (name) => {
            const file = files.get(name);
            return file ? new Uint8Array(await file.arrayBuffer()) : null;
        };
    }
    return async (name) => {
        const bytes = Object.hasOwn(source, name) ? /** @type {Record<string, Uint8Array | ArrayBuffer>} */ (source)[name] : null;
        if (bytes === null || bytes === undefined) return null;
        if (bytes instanceof Uint8Array || bytes instanceof ArrayBuffer) return new Uint8Array(bytes);
        throw new PeftLabError('argument', `${name} must be a Uint8Array or an ArrayBuffer, not ${shown(bytes)}.`);
    };
}

/** @param {FolderSource} source */
const placeName = (source) => (isPlace(source) ? String(source) : 'the choice of files');

/**
 * config.json, model.safetensors (or its shards by model.safetensors.index.json), tokenizer.json, and the small files beside them.
 * @param {FolderSource} source
 * @param {{signal?: AbortSignal, onProgress?: (file: string) => void}} [options]
 * @returns {Promise<ModelFiles>}
 */
export async function readModelFolder(source, { signal, onProgress } = {}) {
    const read = await reader(source, signal);
    const noted = async (/** @type {string} */ name) => {
        const bytes = await read(name);
        if (bytes) onProgress?.(name);
        return bytes;
    };
    const [config, single, tokenizer, beside] = await Promise.all([
        noted('config.json'),
        noted('model.safetensors'),
        noted('tokenizer.json'),
        readBeside(source, read),
    ]);
    if (!config)
        throw new PeftLabError('load', `${placeName(source)} has no config.json.`, {
            hint: 'A model folder has config.json, model.safetensors and tokenizer.json.',
        });
    const weights = single ? [single] : await readShards(read, placeName(source), onProgress);
    return { config, weights, ...(tokenizer && { tokenizer }), beside };
}

/** Whatever of it there is and can be had. @param {FolderSource} source @param {ReadFile} read @returns {Promise<Record<string, Uint8Array>>} */
async function readBeside(source, read) {
    const names = isPlace(source) && !isPath(source) ? BESIDE : [...BESIDE, TEMPLATE];
    const found = await Promise.all(names.map(async (name) => {
        const bytes = await read(name).catch(() => null);
        if (bytes && bytes.length > LARGEST_BESIDE)
            throw new PeftLabError('range', `${name} has ${(bytes.length / 1e6).toFixed(1)} MB; at most 4 MB can be loaded.`);
        return bytes ? [[name, bytes]] : [];
    }));
    return Object.fromEntries(found.flat());
}

/** @param {ReadFile} read @param {string} place @param {((file: string) => void)} [onProgress] */
async function readShards(read, place, onProgress) {
    const index = await read('model.safetensors.index.json');
    if (!index) {
        const pickle = await read('pytorch_model.bin').catch(() => null);
        throw new PeftLabError(
            'load',
            `${place} has no model.safetensors${pickle ? ', only a pickle (pytorch_model.bin), which is not read because it can run code' : ''}.`,
            {
                hint: 'Save it again with save_pretrained(safe_serialization=True).',
            },
        );
    }
    let map;
    try {
        map = JSON.parse(new TextDecoder().decode(index)).weight_map;
    } catch (cause) {
        throw new PeftLabError('format', 'model.safetensors.index.json is not JSON.', { cause });
    }
    const names = [...new Set(Object.values(map ?? {}))].map(String).sort();
    if (names.length === 0) throw new PeftLabError('format', 'model.safetensors.index.json lists no file.');
    return Promise.all(names.map(async (name) => {
        if (/[\\/]|^\./.test(name)) throw new PeftLabError('format', `model.safetensors.index.json names a file outside its folder: ${name}`);
        const bytes = await read(name);
        if (!bytes) throw new PeftLabError('load', `${place} lacks ${name}, which model.safetensors.index.json lists.`);
        onProgress?.(name);
        return bytes;
    }));
}

/**
 * @param {FolderSource} source adapter_config.json with adapter_model.safetensors (peft) or adapter.safetensors (AdapterHub)
 * @param {{signal?: AbortSignal}} [options]
 * @returns {Promise<{config: Uint8Array, weights: Uint8Array}>}
 */
export async function readAdapterFolder(source, { signal } = {}) {
    const read = await reader(source, signal);
    const config = await read('adapter_config.json');
    if (!config)
        throw new PeftLabError('load', `${placeName(source)} has no adapter_config.json.`, {
            hint: (await read('config.json'))
                ? 'It is a model folder, as full fine-tuning writes it: load it as the model.'
                : 'An adapter folder has adapter_config.json and adapter_model.safetensors.',
        });
    const weights = (await read('adapter_model.safetensors')) ?? (await read('adapter.safetensors'));
    if (!weights)
        throw new PeftLabError('load', `${placeName(source)} has no adapter_model.safetensors.`, {
            hint: 'Pickle files (.bin) are not read; save with safe_serialization=True.',
        });
    return { config, weights };
}

/** File name of the weights that belong to an adapter_config.json. @param {Uint8Array} config @returns {string} */
export function adapterFileName(config) {
    const parsed = JSON.parse(new TextDecoder().decode(config));
    return parsed.peft_type ? 'adapter_model.safetensors' : 'adapter.safetensors';
}
