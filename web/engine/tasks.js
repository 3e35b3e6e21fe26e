/** The task folders of models/tasks, and scoring a session on one. */
import { PeftLabError } from './errors.js';
import { parseJsonl, usable } from './examples.js';
import { reader } from './files.js';
import { score } from './metrics/index.js';

/**
 * @typedef {{method: string, options?: Record<string, any>, steps: number, batch_size: number, lr: number} & Record<string, any>} Preset
 * @typedef {object} Task task.json with the examples of every split
 * @property {string} name
 * @property {string} title
 * @property {string} story
 * @property {string} chapter
 * @property {{id: string, name: string, labels?: string[], files?: Record<string, string>}} metric
 * @property {{max_new_tokens: number, temperature: number, stop?: string[]}} generation
 * @property {Record<string, string>} files
 * @property {Preset[]} presets
 * @property {Record<string, import('./data.js').Example[]>} splits what is trained on and what the loss is measured on
 * @property {Record<string, import('./data.js').Example[]>} items what the metric asks about (by default the splits)
 */

/** @param {Uint8Array | null} bytes @param {string} name */
function text(bytes, name) {
    if (!bytes) throw new PeftLabError('load', `${name} is missing from the task folder.`);
    return new TextDecoder().decode(bytes);
}

/** @param {Uint8Array | null} bytes @param {string} name @returns {any} */
function json(bytes, name) {
    try {
        return JSON.parse(text(bytes, name));
    } catch (cause) {
        if (cause instanceof PeftLabError) throw cause;
        throw new PeftLabError('format', `${name} is not JSON: ${/** @type {Error} */ (cause).message}`, { cause });
    }
}

/**
 * @param {import('./files.js').FolderSource} source task folder
 * @param {{splits?: string[], signal?: AbortSignal}} [options]
 * @returns {Promise<Task>}
 */
export async function loadTask(source, { splits = ['train', 'validation', 'test'], signal } = {}) {
    const read = await reader(source, signal);
    const task = json(await read('task.json'), 'task.json');
    if (!task?.files || !task.metric) throw new PeftLabError('format', 'task.json must name files and a metric.');
    const load = async (/** @type {Record<string, string>} */ files) => Object.fromEntries(await Promise.all(
        splits
            .filter((split) => files[split])
            .map(async (split) => [
                split,
                usable(parseJsonl(text(await read(files[split]), files[split])), files[split]).examples,
            ]),
    ));
    const examples = await load(task.files);
    return { ...task, splits: examples, items: task.metric.files ? await load(task.metric.files) : examples };
}

/**
 * A preset for another number of steps: its warm-up keeps its share of the run, since one longer than the run would be refused.
 * @template {Record<string, any>} P @param {P} preset @param {number} [steps] undefined: as the preset says @returns {P}
 */
export function fitPreset(preset, steps) {
    if (steps === undefined) return preset;
    const warmup = preset.warmup_steps && preset.steps > 0 ? Math.floor((preset.warmup_steps * Math.max(0, steps)) / preset.steps) : 0;
    return { ...preset, steps, ...(preset.warmup_steps !== undefined && { warmup_steps: Math.min(warmup, preset.warmup_steps) }) };
}

/** @param {import('./files.js').FolderSource} source the models folder @returns {Promise<{models: any[], tasks: any[], adapters?: any[]}>} */
export async function loadIndex(source) {
    const read = await reader(source);
    return json(await read('index.json'), 'index.json');
}

/**
 * Generates an answer to every item of a split and scores them with the task's metric.
 * @param {import('./session.js').Session} session
 * @param {Task} task
 * @param {{split?: string, limit?: number, seed?: number, signal?: AbortSignal, onProgress?: (done: number, total: number) => void}} [options]
 * @returns {Promise<{score: number, outputs: string[], items: object[]} & Record<string, any>>} score 0..1, more is better
 */
export async function evaluateTask(session, task, { split = 'test', limit = Infinity, seed = 1, signal, onProgress } = {}) {
    const items = (task.items[split] ?? []).slice(0, limit).filter((item) => item.prompt !== undefined);
    if (items.length === 0) throw new PeftLabError('argument', `Task ${task.name} has no items with a prompt in split "${split}".`);
    /** @type {string[]} */
    const outputs = [];
    for (const item of items) {
        const { text: output } = await session.generate({ prompt: item.prompt, seed, signal, ...task.generation });
        outputs.push(output);
        onProgress?.(outputs.length, items.length);
    }
    const result = score(task.metric, /** @type {{prompt: string, completion: string}[]} */ (items), outputs);
    return { ...result, outputs };
}
