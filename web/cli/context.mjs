/** What the commands share: finding models, tasks and adapters, opening sessions, printing. */
import { mkdir, mkdtemp, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

import { printable } from '../engine/errors.js';
import { decodeText, formatOf, loadIndex, loadTask, parseData, PeftLab, PeftLabError } from '../engine/index.js';
import { usage } from './args.mjs';

export const ROOT = fileURLToPath(new URL('../..', import.meta.url));
export const MODELS = join(ROOT, 'models');
export const MANIFEST = 'peftlab.json';

/** Options of every command that runs a model. */
export const MODEL_SPEC = /** @type {import('./args.mjs').Spec} */ ({
    model: { kind: 'string', help: 'model folder, or a name from `peftlab models`' },
    adapter: { kind: 'list', help: 'adapter folder, DIR or DIR:weight; may be repeated' },
    merge: { kind: 'bool', help: 'merge the adapters into the weights first' },
});

/** @param {string} path */
export const isFolder = async (path) => (await stat(path).catch(() => null))?.isDirectory() ?? false;
/** @param {string} path */
export const isFile = async (path) => (await stat(path).catch(() => null))?.isFile() ?? false;

/** @param {string | undefined} name @returns {Promise<string>} folder */
export async function findModel(name) {
    if (name && (await isFolder(name))) return name;
    const { models } = await loadIndex(MODELS);
    const chosen = name ? models.find((m) => m.name === name) : (models.find((m) => m.default) ?? models[0]);
    if (!chosen) throw usage(name ? `there is no model folder or model named "${name}"; \`peftlab models\` lists them` : 'no model is installed; give --model DIR');
    return join(ROOT, chosen.path);
}

/** "DIR:0.5" -> folder and weight. @param {string} text */
export async function splitWeight(text) {
    if (await isFolder(text)) return { dir: text, weight: 1 };
    const [, dir, number] = /^(.*):([^:]+)$/.exec(text) ?? [];
    if (dir && Number.isFinite(Number(number)) && (await isFolder(dir))) return { dir, weight: Number(number) };
    const named = join(MODELS, 'adapters', dir ?? text);
    if (await isFolder(named)) return { dir: named, weight: number === undefined ? 1 : Number(number) };
    throw usage(`there is no adapter folder "${text}"`);
}

/** Folders of one adapter: itself, or the parts that a joint training run listed in its manifest. @param {string} dir */
async function adapterParts(dir) {
    const manifest = join(dir, MANIFEST);
    if (!(await isFile(manifest))) return [dir];
    let parts;
    try {
        parts = JSON.parse(await readFile(manifest, 'utf8')).modules.map((/** @type {{dir: string}} */ part) => basename(part.dir));
    } catch {
        throw usage(`${manifest} does not list the folders of an adapter stack`);
    }
    return parts.map((/** @type {string} */ part) => join(dir, part));
}

/**
 * @param {Record<string, any>} values model, adapter, merge
 * @returns {Promise<import('../engine/session.js').Session>}
 */
export async function openSession(values) {
    const session = await PeftLab.load(await findModel(values.model), { inThread: true });
    for (const text of values.adapter ?? []) {
        const { dir, weight } = await splitWeight(text);
        for (const part of await adapterParts(dir)) {
            const { module } = await session.importAdapter(part);
            if (weight !== 1) await session.setModule(module.id, { weight });
        }
    }
    if (values.merge) await session.merge();
    return session;
}

/** A session without a model: for the calculators. */
export const openCalculator = () => PeftLab.open(null, { inThread: true });

/**
 * A task by name or folder, or a data file; a file without a validation part gives every tenth example to validation.
 * @param {string | undefined} name
 * @returns {Promise<import('../engine/tasks.js').Task>}
 */
export async function findTask(name) {
    if (!name) throw usage('give --task NAME (see `peftlab tasks`) or a data file (.jsonl, .txt, .csv)');
    if (await isFile(name)) return taskFromFile(name);
    const dir = (await isFolder(name)) ? name : join(MODELS, 'tasks', name);
    if (!(await isFile(join(dir, 'task.json')))) throw usage(`there is no task or data file "${name}"; \`peftlab tasks\` lists the tasks`);
    return loadTask(dir);
}

/** @param {string} path @returns {Promise<import('../engine/tasks.js').Task>} */
async function taskFromFile(path) {
    const { examples, problems } = parseData(decodeText(await readFile(path), path), formatOf(path), path);
    for (const { line, message } of problems) process.stderr.write(`${printable(`${path}, line ${line}: ${message} (left out)`)}\n`);
    const held = examples.filter((_, i) => examples.length >= 10 && i % 10 === 9);
    const splits = { train: examples.filter((example) => !held.includes(example)), ...(held.length && { validation: held }) };
    return /** @type {any} */ ({ name: basename(path), metric: { id: 'none' }, presets: [], generation: { max_new_tokens: 40, temperature: 0 }, splits, items: {} });
}

/** Fails now, not after an hour of work, when a folder could not be made or written. @param {string} dir */
export async function prepareFolder(dir) {
    let existing = resolve(dir);
    while (!(await stat(existing).catch(() => null)) && dirname(existing) !== existing) existing = dirname(existing);
    if (!(await isFolder(existing))) throw usage(`${dir} cannot be a folder: ${existing} is a file`);
    await tryOut(existing, dir);
}

/** The same for a file. @param {string} path */
export async function prepareFile(path) {
    if (await isFolder(path)) throw usage(`${path} is a folder, not a file`);
    if (!(await isFolder(dirname(path)))) throw usage(`there is no folder ${dirname(path)} to write ${basename(path)} into`);
    await tryOut(dirname(path), path);
}

/** Writes something into a folder and takes it away again: permissions say little about /proc, a full disk or a read-only mount. @param {string} folder @param {string} wish */
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
    await mkdir(dir);
}

/** Writes a folder's files, each through a temporary name so that a killed process leaves no half file. @param {string} dir @param {Record<string, Uint8Array>} files */
export async function writeFolder(dir, files) {
    await makeFolder(resolve(dir));
    for (const [name, bytes] of Object.entries(files)) await writeSafely(join(dir, name), bytes);
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
 * Exports active modules: one folder, or sub-folders with a manifest when several were trained together, or a model folder after full fine-tuning.
 * @param {import('../engine/session.js').Session} session @param {string} dir
 */
export async function exportTrained(session, dir) {
    const modules = (await session.describe()).modules.filter((/** @type {any} */ m) => m.active && m.trainable);
    if (modules.some((/** @type {any} */ m) => m.method === 'full')) return writeFolder(dir, await session.exportModel());
    if (modules.length === 1) return writeFolder(dir, await session.exportAdapter(modules[0].id));
    for (const { id, name } of modules) await writeFolder(join(dir, name), await session.exportAdapter(id));
    return writeFolder(dir, { [MANIFEST]: new TextEncoder().encode(JSON.stringify({ format: 'peftlab-stack-1', modules: modules.map((/** @type {any} */ m) => ({ name: m.name, method: m.method, dir: m.name })) }, null, 2)) });
}

/** One JSON value on stdout, or text for people. @param {Record<string, any>} values @param {any} value @param {(value: any) => string} toText */
export function print(values, value, toText) {
    process.stdout.write(values.json ? `${JSON.stringify(value)}\n` : `${toText(value)}\n`);
}

const SIZES = ['B', 'kB', 'MB', 'GB', 'TB'];
/** @param {number} bytes @returns {string} decimal units */
export function formatBytes(bytes) {
    const power = Math.min(SIZES.length - 1, Math.max(0, Math.floor(Math.log10(Math.max(1, bytes)) / 3)));
    return `${(bytes / 1000 ** power).toFixed(power ? 2 : 0)} ${SIZES[power]}`;
}

/** @param {number} value */
export const formatCount = (value) => value.toLocaleString('en-US');

/** A table with right-aligned numbers. @param {string[]} head @param {(string | number)[][]} rows @returns {string} */
export function table(head, rows) {
    const cells = [head, ...rows.map((row) => row.map(String))];
    const widths = head.map((_, i) => Math.max(...cells.map((row) => row[i].length)));
    const numeric = head.map((_, i) => rows.length > 0 && rows.every((row) => typeof row[i] === 'number' || /^[\d.,+-]+ ?[%\w/]*$/.test(String(row[i]))));
    return cells.map((row) => row.map((cell, i) => (numeric[i] ? cell.padStart(widths[i]) : cell.padEnd(widths[i]))).join('  ').trimEnd()).join('\n');
}
