/** What the commands share: finding models, tasks and adapters, opening sessions, printing. */
import { readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { decodeText, formatOf, loadIndex, loadTask, parseData, PeftLab } from '../engine/index.js';
import { usage, warn } from './args.mjs';
import { listedParts } from './output.mjs';
import { isFile, isFolder } from './paths.mjs';

export const ROOT = fileURLToPath(new URL('../..', import.meta.url));
export const MODELS = join(ROOT, 'models');

/** Options of every command that runs a model. */
export const MODEL_SPEC = /** @type {import('./args.mjs').Spec} */ ({
    model: { kind: 'string', help: 'model folder, or a name from `peftlab models` (default: the one marked there)' },
    adapter: { kind: 'list', help: 'adapter folder, DIR or DIR:weight; may be repeated' },
    merge: { kind: 'bool', help: 'merge the adapters into the weights first' },
});

/**
 * A folder that has a model is meant before one of ours of that name; one that has none (`--out stories-1m`, for an adapter) is not.
 * @param {string | undefined} name @returns {Promise<string>} folder
 */
export async function findModel(name) {
    if (name && (await isFile(join(name, 'config.json')))) return name;
    const { models } = await loadIndex(MODELS);
    const chosen = name !== undefined ? models.find((m) => m.name === name) : (models.find((m) => m.default) ?? models[0]);
    if (!chosen && name && (await isFolder(name))) return name; // what it lacks is said where it is read
    if (!chosen)
        throw usage(
            name !== undefined
                ? `there is no model folder or model named "${name}"; \`peftlab models\` lists them`
                : 'no model is installed; give --model DIR',
        );
    return join(ROOT, chosen.path);
}

/** "DIR:0.5" -> folder and weight. @param {string} text */
export async function splitWeight(text) {
    const whole = await adapterFolder(text);
    if (whole) return { dir: whole, weight: 1 };
    const [, name = '', number = ''] = /^(.*):([^:]*)$/.exec(text) ?? [];
    const dir = name && (await adapterFolder(name));
    if (!dir) throw usage(`there is no adapter folder "${text}"`);
    if (!number.trim() || !Number.isFinite(Number(number))) throw usage(`the weight of the adapter folder "${name}" is a number, not "${number}"`);
    return { dir, weight: Number(number) };
}

/** A folder, or an adapter that comes with peftlab; undefined: neither. @param {string} name @returns {Promise<string | undefined>} */
async function adapterFolder(name) {
    if (!name) return undefined; // a variable that was not set, which joined with a folder would be that folder
    for (const dir of [name, join(MODELS, 'adapters', name)]) if (await isFolder(dir)) return dir;
    return undefined;
}

/** The folders that --adapter names. @param {string[]} [adapters] */
export const adapterFolders = async (adapters = []) => Promise.all(adapters.map(async (text) => (await splitWeight(text)).dir));

/**
 * An adapter folder into the session; what of it is not used is said.
 * @param {import('../engine/session.js').Session} session @param {string} dir @param {string} [name] of its module
 */
export async function importFolder(session, dir, name) {
    const parts = await listedParts(dir);
    if (parts.length) {
        const folders = parts.map((part) => join(dir, part)).join(', ');
        throw usage(`${dir} holds ${parts.length} adapters that were trained together: name one of ${folders}`);
    }
    const { module, ignored, notes } = await session.importAdapter(dir, { name });
    if (ignored.length) warn(`${dir}: adapter_config.json also sets ${ignored.join(', ')}, which is not used here`);
    for (const note of notes) warn(`${dir}: ${note}`);
    return module;
}

/**
 * @param {Record<string, any>} values model, adapter, merge
 * @returns {Promise<import('../engine/session.js').Session>}
 */
export async function openSession(values) {
    const session = await PeftLab.load(await findModel(values.model), { inThread: true });
    for (const text of values.adapter ?? []) {
        const { dir, weight } = await splitWeight(text);
        const parts = (await listedParts(dir)).map((part) => join(dir, part)); // of a stack trained together
        for (const part of parts.length ? parts : [dir]) {
            const { id } = await importFolder(session, part);
            if (weight !== 1) await session.setModule(id, { weight });
        }
    }
    if (values.merge) await session.merge();
    return session;
}

/** A session without a model: for the calculators. */
export const openCalculator = () => PeftLab.open(null, { inThread: true });

/**
 * A task by name or folder, or a data file.
 * @param {string | undefined} name
 * @param {{measuring?: boolean}} [options] measuring: nothing is trained, so the whole of a data file
 *   is there to be measured on
 * @returns {Promise<import('../engine/tasks.js').Task>}
 */
export async function findTask(name, { measuring = false } = {}) {
    if (!name) throw usage('give --task NAME (see `peftlab tasks`) or a data file (.jsonl, .json, .txt, .csv)');
    if (await isFile(name)) return taskFromFile(name, measuring);
    // A folder of that name without a task in it (`--task pirate --out pirate`) is not meant.
    for (const dir of [name, join(MODELS, 'tasks', name)]) if (await isFile(join(dir, 'task.json'))) return loadTask(dir);
    const folder = (await isFolder(name)) ? ', only a folder without a task.json' : '';
    throw usage(`there is no task or data file "${name}"${folder}; \`peftlab tasks\` lists the tasks`);
}

/** @param {string} path @param {boolean} measuring @returns {Promise<import('../engine/tasks.js').Task>} */
async function taskFromFile(path, measuring) {
    const format = formatOf(path);
    const { examples, problems } = parseData(decodeText(await readFile(path), path), format, path);
    for (const { line, message } of problems) warn(`${path}, line ${line}: ${message} (left out)`);
    const splits = measuring ? { test: examples } : holdOut(examples);
    return /** @type {any} */ ({
        name: basename(path),
        metric: { id: 'none' },
        presets: [],
        generation: { max_new_tokens: 40, temperature: 0 },
        splits,
        items: {},
    });
}

/**
 * The task's parts into the session; an example that cannot be used is said with its line.
 * @param {import('../engine/session.js').Session} session @param {import('../engine/tasks.js').Task} task @param {number} [maxLength]
 * @returns {Promise<Record<string, import('../engine/examples.js').SplitReport>>} by split
 */
export async function loadSplits(session, task, maxLength = 0) {
    /** @type {Record<string, import('../engine/examples.js').SplitReport>} */
    const reports = {};
    for (const [split, examples] of Object.entries(task.splits)) {
        reports[split] = await session.setData(split, examples, { maxLength });
        for (const { line, message } of reports[split].skipped) warn(`${split}, line ${line}: ${message} (left out)`);
    }
    return reports;
}

/** Every tenth example is held out, for validation. @param {import('../engine/data.js').Example[]} examples */
function holdOut(examples) {
    const isHeld = (/** @type {unknown} */ _, /** @type {number} */ i) => examples.length >= 10 && i % 10 === 9;
    const held = examples.filter(isHeld);
    return { train: examples.filter((example, i) => !isHeld(example, i)), ...(held.length && { validation: held }) };
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
    const numeric = head.map(
        (_, i) =>
            rows.length > 0 && rows.every((row) => typeof row[i] === 'number' || /^[\d.,+-]+ ?[%\w/]*$/.test(String(row[i]))),
    );
    return cells.map((row) => row.map((cell, i) => (numeric[i] ? cell.padStart(widths[i]) : cell.padEnd(widths[i]))).join('  ').trimEnd()).join('\n');
}
