import { dirname } from 'node:path';

import { hubName, recipe } from '../../lib/recipe.js';
import { helpText, methodOptions, methodSpec, parse, usage } from '../args.mjs';
import { MODEL_SPEC, openCalculator, openSession } from '../context.mjs';
import { prepareFile, writeSafely } from '../output.mjs';
import { isFolder } from '../paths.mjs';
import { shapeRequest, SHAPE_SPEC } from '../shape.mjs';

const OWN = /** @type {import('../args.mjs').Spec} */ ({
    adapter: MODEL_SPEC.adapter,
    model: { kind: 'string', help: 'the small base model the adapter was trained on (with --adapter)' },
    'target-model': { kind: 'string', help: 'hub name or folder of the large model, instead of --shape' },
    data: { kind: 'string', help: 'data file the script reads', default: 'train.jsonl' },
    out: { kind: 'string', help: 'write the script to this file' },
});

export async function help() {
    const session = await openCalculator();
    return helpText('recipe', 'a Python script that does the same on a large model', {
        ...SHAPE_SPEC,
        ...OWN,
        ...methodSpec(await session.describeStatic()),
    });
}

/**
 * Options of a method as the script takes them: defaults filled in.
 * @param {any} description @param {string} method @param {Record<string, any>} given
 */
function withDefaults(description, method, given) {
    const { options } = description.methods.find((/** @type {any} */ m) => m.name === method);
    return { ...Object.fromEntries(options.map((/** @type {any} */ o) => [o.name, o.default])), ...given };
}

/**
 * The model that the script names, and the dimensions that its settings are checked against.
 * @param {Record<string, any>} values @param {Set<string>} given @param {any} description
 * @returns {Promise<{shape?: string, config?: object, model?: string}>}
 */
async function target(values, given, description) {
    const model = values['target-model'];
    if (model && !given.has('shape')) return { shape: 'llama-3.1-405b', model }; // its dimensions are not known here: those of the largest
    const request = await shapeRequest(values, description);
    return { ...request, model: model ?? (request.config && ((await isFolder(values.shape)) ? values.shape : dirname(values.shape))) };
}

/**
 * @param {Record<string, any>} values @param {any} description
 * @param {Record<string, any>} own method options that were given
 * @returns {Promise<import('../../lib/recipe.js').RecipeModule[]>}
 */
async function chosenModules(values, description, own) {
    if (values.adapter) {
        const option = ['method', ...Object.keys(own)].find((name) => name in own || values[name] !== undefined);
        if (option) throw usage(`--${option.replaceAll('_', '-')} and --adapter exclude each other: the settings are the adapter's`);
        const session = await openSession({ model: values.model, adapter: values.adapter });
        return (await session.describe()).modules.map((/** @type {any} */ m) => ({ method: m.method, options: m.options }));
    }
    if (!values.method) throw usage('give --adapter DIR, or --method with its options');
    return [{ method: values.method, options: own }];
}

/** A file's name as a shell takes it. @param {string} path */
const quoted = (path) => (/^[\w./-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`);

/** @param {string[]} argv */
export async function run(argv) {
    const calculator = await openCalculator();
    const description = await calculator.describeStatic();
    const methods = methodSpec(description);
    const { values, given } = parse(argv, { ...SHAPE_SPEC, ...OWN, ...methods });
    if (values.out) await prepareFile(values.out);
    const { model, ...dimensions } = await target(values, given, description);
    const modules = await chosenModules(values, description, methodOptions(values, methods));
    if (!model && !hubName(values.shape) && description.shapes.some((/** @type {any} */ s) => s.name === values.shape))
        throw usage(`no model on the hub has the shape ${values.shape}; choose another one, or name a model with --target-model`);
    for (const { method, options } of modules) await calculator.countFor({ ...dimensions, method, options }); // refuses what is impossible
    const made = recipe({
        modules: modules.map(({ method, options }) => ({ method, options: withDefaults(description, method, options) })),
        shape: values.shape,
        model,
        dataFile: values.data,
    });
    if (!made.script) throw usage(made.notes.join(' '));
    if (values.out) {
        await writeSafely(values.out, made.script);
        made.launch = made.launch.replace(/train\.py$/, () => quoted(values.out));
    }
    if (values.json) return void process.stdout.write(`${JSON.stringify(made)}\n`);
    if (!values.out) process.stdout.write(made.script);
    process.stderr.write(`${made.notes.map((note) => `- ${note}`).join('\n')}\nlaunch: ${made.launch}\n`);
    return undefined;
}
