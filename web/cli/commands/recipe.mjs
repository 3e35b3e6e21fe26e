import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

import { recipe } from '../../lib/recipe.js';
import { helpText, methodOptions, methodSpec, parse, usage } from '../args.mjs';
import { isFile, MODEL_SPEC, openCalculator, openSession, writeSafely } from '../context.mjs';
import { SHAPE_SPEC } from '../shape.mjs';

const OWN = /** @type {import('../args.mjs').Spec} */ ({
    adapter: MODEL_SPEC.adapter,
    model: { kind: 'string', help: 'the small base model the adapter was trained on (with --adapter)' },
    'target-model': { kind: 'string', help: 'hub name or folder of the large model, instead of --shape' },
    data: { kind: 'string', help: 'data file the script reads', default: 'train.jsonl' },
    out: { kind: 'string', help: 'write the script to this file' },
});

export async function help() {
    const session = await openCalculator();
    return helpText('recipe', 'a Python script that does the same on a large model', { ...SHAPE_SPEC, ...OWN, ...methodSpec(await session.describeStatic()) });
}

/** Options of a method as the engine completes them: defaults filled in. @param {any} description @param {string} method @param {Record<string, any>} given */
function withDefaults(description, method, given) {
    const found = description.methods.find((/** @type {any} */ m) => m.name === method);
    if (!found) throw usage(`there is no method "${method}"; \`peftlab methods\` lists them`);
    const list = (/** @type {any} */ value) => (typeof value === 'string' ? value.split(',') : value);
    return Object.fromEntries(found.options.map((/** @type {any} */ o) => [o.name, o.type === 'targets' ? list(given[o.name] ?? o.default) : given[o.name] ?? o.default]));
}

/** @param {string[]} argv */
export async function run(argv) {
    const description = await (await openCalculator()).describeStatic();
    const methods = methodSpec(description);
    const { values } = parse(argv, { ...SHAPE_SPEC, ...OWN, ...methods });
    let modules;
    if (values.adapter) {
        const session = await openSession({ model: values.model, adapter: values.adapter });
        modules = (await session.describe()).modules.map((/** @type {any} */ m) => ({ method: m.method, options: m.options }));
        const log = join(values.adapter[0], 'training.json');
        if (await isFile(log)) modules[0].train = JSON.parse(await readFile(log, 'utf8')).options;
    } else {
        if (!values.method) throw usage('give --adapter DIR, or --method with its options');
        modules = [{ method: values.method, options: withDefaults(description, values.method, methodOptions(values, methods)) }];
    }
    const made = recipe({ modules, shape: values.shape, model: values['target-model'], dataFile: values.data });
    if (!made.script) throw usage(made.notes.join(' '));
    if (values.out) await writeSafely(values.out, made.script);
    if (values.json) return void process.stdout.write(`${JSON.stringify(made)}\n`);
    if (!values.out) process.stdout.write(made.script);
    process.stderr.write(`${made.notes.map((note) => `- ${note}`).join('\n')}\nlaunch: ${made.launch}\n`);
    return undefined;
}
