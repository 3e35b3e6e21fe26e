/** What the commands write: folders and files, each checked before the work and written so that a killed process leaves no half file. */
import { mkdir, mkdtemp, readdir, readFile, rename, rm, rmdir, stat, writeFile } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';

import { PeftLabError } from '../engine/index.js';
import { usage, warn } from './args.mjs';
import { isFile, isFolder } from './paths.mjs';

/** Lists the folders of an adapter stack: what a joint training run wrote. */
const MANIFEST = 'peftlab.json';
const ADAPTER_FILES = ['adapter_config.json', 'adapter_model.safetensors', 'adapter.safetensors'];
/** A model's weights, whole or in shards. */
const MODEL_WEIGHTS = /^model(-\d{5}-of-\d{5})?\.safetensors(\.index\.json)?$/;
/** What comes with them from the base, where it has it. */
const MODEL_COMPANIONS = ['tokenizer.json', 'tokenizer_config.json', 'special_tokens_map.json', 'generation_config.json', 'chat_template.jinja'];

/** Folders that a stack's manifest lists; none where there is no manifest. @param {string} dir @returns {Promise<string[]>} names inside dir */
export async function listedParts(dir) {
    const manifest = join(dir, MANIFEST);
    if (!(await isFile(manifest))) return [];
    try {
        const parts = JSON.parse(await readFile(manifest, 'utf8')).modules.map((/** @type {{dir: string}} */ part) => basename(part.dir));
        if (parts.every((/** @type {string} */ part) => !['', '.', '..'].includes(part))) return parts;
    } catch { /* said below */ }
    throw usage(`${manifest} does not list the folders of an adapter stack`);
}

/** A folder and the parts of the stack in it. @param {string} dir */
const withParts = async (dir) => [dir, ...(await listedParts(dir).catch(() => [])).map((part) => join(dir, part))].map((path) => resolve(path));

/**
 * Fails now, not after an hour of work, when a folder could not be made or written, or when writing it would destroy an adapter that is read.
 * @param {string} dir @param {string[]} [adapters] folders that the command reads
 */
export async function prepareFolder(dir, adapters = []) {
    let existing = resolve(dir);
    while (!(await stat(existing).catch(() => null)) && dirname(existing) !== existing) existing = dirname(existing);
    if (!(await isFolder(existing))) throw usage(`${dir} cannot be a folder: ${existing} is a file`);
    const written = await withParts(dir);
    for (const adapter of adapters) {
        if ((await withParts(adapter)).some((path) => written.includes(path)))
            throw usage(`--out ${dir} would replace the adapter ${adapter}, which this command reads; name another folder`);
    }
    await tryOut(existing, dir);
}

/** The same for a file. @param {string} path */
export async function prepareFile(path) {
    if (await isFolder(path)) throw usage(`${path} is a folder, not a file`);
    if (!(await isFolder(dirname(path)))) throw usage(`there is no folder ${dirname(path)} to write ${basename(path)} into`);
    await tryOut(dirname(path), path);
}

/**
 * Writes something into a folder and takes it away again: permissions say little about /proc, a full
 * disk or a read-only mount.
 * @param {string} folder @param {string} wish
 */
async function tryOut(folder, wish) {
    try {
        const made = await mkdtemp(join(folder, '.peftlab-'));
        await writeFile(join(made, 'try'), 'x').finally(() => rm(made, { recursive: true, force: true }));
    } catch (cause) {
        throw usage(`${wish} cannot be written: ${PeftLabError.from(cause).message}`);
    }
}

/** mkdir -p; Node's own recursive one never ends on /proc. @param {string} dir @returns {Promise<void>} */
async function makeFolder(dir) {
    if (await isFolder(dir)) return;
    if (dirname(dir) !== dir) await makeFolder(dirname(dir));
    await mkdir(dir).catch(async (error) => { // another command may have made it meanwhile
        if (!(await isFolder(dir))) throw error;
    });
}

/**
 * Writes an adapter, a stack or a model. What an earlier command left in the folder, and a reader would take instead
 * or besides, goes once the new files are safe.
 * @param {string} dir @param {Record<string, Uint8Array>} files by name, which may have a folder in it
 */
export async function writeFolder(dir, files) {
    const before = await listedParts(dir).catch(() => []);
    for (const [name, bytes] of Object.entries(files)) {
        const path = join(dir, name);
        await makeFolder(resolve(dirname(path)));
        await writeSafely(path, bytes);
    }
    await removeOutdated(dir, Object.keys(files), before);
}

/**
 * Only names that these commands write are touched. A model stays where an adapter is written beside it: it may be the
 * base, which nobody could bring back.
 * @param {string} dir @param {string[]} written @param {string[]} parts of the stack that was there
 */
async function removeOutdated(dir, written, parts) {
    const folders = new Set([...parts, ...written.map((name) => dirname(name)).filter((name) => name !== '.')]);
    const weights = (await readdir(dir)).filter((name) => MODEL_WEIGHTS.test(name));
    const isModel = written.includes('config.json');
    if (weights.length && !isModel) warn(`${dir} holds a model as well, which stays as it is`);
    const known = [
        MANIFEST,
        ...ADAPTER_FILES,
        ...(isModel ? [...weights, ...MODEL_COMPANIONS] : []),
        ...[...folders].flatMap((part) => ADAPTER_FILES.map((name) => join(part, name))),
    ];
    for (const name of known) if (!written.includes(name)) await rm(join(dir, name), { force: true });
    for (const part of parts) await rmdir(join(dir, part)).catch(() => {}); // one that holds something else stays
}

/** @param {string} path @param {Uint8Array | string} bytes */
export async function writeSafely(path, bytes) {
    const part = `${path}.${process.pid}.part`;
    try {
        await writeFile(part, bytes);
        await rename(part, path);
    } catch (error) {
        await rm(part, { force: true });
        throw error;
    }
}

/**
 * The model with everything in it that can be merged; the session stays as it is.
 * @param {import('../engine/session.js').Session} session @param {import('../engine/session.js').ModuleInfo[]} modules
 */
async function mergedModel(session, modules) {
    await session.merge(modules.filter((m) => m.can_merge).map((m) => m.id));
    const files = await session.exportModel();
    await session.unmerge();
    return files;
}

/**
 * Exports active modules: one folder, or sub-folders with a manifest when several were trained together, or a model folder after full fine-tuning.
 * @param {import('../engine/session.js').Session} session @param {string} dir
 */
export async function exportTrained(session, dir) {
    let modules = (await session.describe()).modules.filter((/** @type {any} */ m) => m.active && m.trainable);
    const model = modules.some((/** @type {any} */ m) => m.method === 'full') ? await mergedModel(session, modules) : null;
    if (model) modules = modules.filter((/** @type {any} */ m) => !m.can_merge);
    if (model && modules.length)
        warn(`${dir} holds the model and what cannot be merged into it, ${modules.map((/** @type {any} */ m) => m.name).join(', ')}: ` +
            `use it as --model ${dir} --adapter ${dir}`);
    if (model && !modules.length) return writeFolder(dir, model);
    if (!model && modules.length === 1) return writeFolder(dir, await session.exportAdapter(modules[0].id));
    /** @type {Record<string, Uint8Array>} */
    const files = {};
    for (const { id, name } of modules) {
        for (const [file, bytes] of Object.entries(await session.exportAdapter(id))) files[join(name, file)] = bytes;
    }
    const manifest = { format: 'peftlab-stack-1', modules: modules.map((/** @type {any} */ m) => ({ name: m.name, method: m.method, dir: m.name })) };
    return writeFolder(dir, { ...model, ...files, [MANIFEST]: new TextEncoder().encode(JSON.stringify(manifest, null, 2)) });
}
