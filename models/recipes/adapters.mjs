#!/usr/bin/env node
/**
 * Trains the ready adapters of models/adapters/ from the presets: LoRA for every task, and every other method that has
 * an adapter file for one task. `node adapters.mjs [--model ../stories-1m] [NAME…]`, NAME = TASK-METHOD.
 */
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { PeftLab, evaluateTask, loadTask } from '../../web/engine/index.js';

const here = (/** @type {string} */ name) => fileURLToPath(new URL(name, import.meta.url));
/** TASK-METHOD names of the ready adapters. */
export const ALL = [
    'mood-lora', 'words-to-story-lora', 'ship-log-lora', 'pirate-lora', 'turtle-lora', 'words-to-story-prompt',
    'words-to-story-prefix', 'words-to-story-adapter',
];

/** @param {string} model @param {string} name */
async function make(model, name) {
    const at = name.lastIndexOf('-');
    const [taskName, method] = [name.slice(0, at), name.slice(at + 1)];
    const task = await loadTask(here(`../tasks/${taskName}`));
    const preset = task.presets.find((p) => p.method === method);
    if (!preset) throw new Error(`task ${taskName} has no preset for ${method}`);
    const { method: _, options = {}, ...engine } = preset;
    const session = await PeftLab.load(model, { inThread: true });
    const { id } = await session.addModule(method, options, { seed: 1, name: taskName });
    await session.setData('train', task.splits.train);
    await session.setData('test', task.splits.test);
    await session.train({ ...engine, seed: 1 });
    const { loss } = await session.evaluate({ split: 'test' });
    const { score } = await evaluateTask(session, task, { split: 'test' });
    await writeAdapter(session, id, model, task, preset, { score, loss });
    session.close();
}

/**
 * The adapter's files, its card and info.json.
 * @param {import('../../web/engine/session.js').Session} session
 * @param {number} id of the trained module
 * @param {string} model folder
 * @param {import('../../web/engine/tasks.js').Task} task
 * @param {{method: string, options?: Record<string, any>} & Record<string, any>} preset trained with seed 1
 * @param {{score: number, loss: number}} measured on test
 */
export async function writeAdapter(session, id, model, task, preset, { score, loss }) {
    const { method, options = {}, ...engine } = preset;
    const name = `${task.name}-${method}`;
    const files = await session.exportAdapter(id);
    const parameters = (await session.describe()).modules.find((m) => m.id === id).parameters;
    const folder = here(`../adapters/${name}`);
    mkdirSync(folder, { recursive: true });
    for (const [file, bytes] of Object.entries(files)) writeFileSync(`${folder}/${file}`, bytes);
    const sha = createHash('sha256').update(readFileSync(`${model}/model.safetensors`)).digest('hex');
    const bytes = Object.values(files).reduce((sum, f) => Math.max(sum, f.length), 0);
    const info = { name, path: `models/adapters/${name}`, model: basename(model), model_sha256: sha, task: task.name, method, title: task.title,
        parameters, bytes, metric: task.metric.name, score, loss, options, ...engine, seed: 1, files: Object.keys(files) };
    writeFileSync(`${folder}/info.json`, `${JSON.stringify(info, null, 2)}\n`);
    writeFileSync(`${folder}/README.md`, card(info));
    console.log(`${name}: ${task.metric.name} ${score.toFixed(3)}, ${parameters.toLocaleString('en')} numbers, ${bytes} bytes`);
}

function card(a) {
    const given = Object.entries(a.options).map(([key, value]) => ` --${key.replaceAll('_', '-')} ${value}`).join('');
    const run = `--steps ${a.steps} --batch-size ${a.batch_size} --lr ${a.lr}`;
    return `# ${a.name}

"${a.title}" (task \`${a.task}\`) learned by ${a.method} on \`${a.model}\` (weights ${a.model_sha256.slice(0, 12)}…).

| | |
|---|---|
| trained numbers | ${a.parameters.toLocaleString('en')} |
| file | ${a.bytes.toLocaleString('en')} bytes, ${a.files.includes('adapter.safetensors') ? 'AdapterHub' : 'PEFT'} layout |
| ${a.metric}, test | ${(100 * a.score).toFixed(1)} % (greedy, seed 1) |
| loss, test | ${a.loss.toFixed(3)} |

It fits only these base weights. Made by \`node models/recipes/adapters.mjs ${a.name}\`, the same as
\`npx peftlab train --model ${a.model} --task ${a.task} --method ${a.method}${given} ${run} --seed 1\`.
`;
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
    const { values, positionals } = parseArgs({ allowPositionals: true, options: { model: { type: 'string', default: here('../stories-1m') } } });
    for (const name of positionals.length ? positionals : ALL) await make(values.model, name);
}
