import { basename } from 'node:path';

import { helpText, parse, snake, usage } from '../args.mjs';
import { adapterFolders, findModel, importFolder, MODEL_SPEC, openCalculator, print, splitWeight } from '../context.mjs';
import { prepareFolder, writeFolder } from '../output.mjs';
import { PeftLab } from '../../engine/index.js';

const SPEC = /** @type {import('../args.mjs').Spec} */ ({
    model: { kind: 'string', help: `the base model the adapters were trained on: ${MODEL_SPEC.model.help}` },
    adapter: { kind: 'list', help: 'DIR:weight; at least one, may be repeated' },
    type: { kind: 'string', help: 'how', default: 'cat' },
    density: { kind: 'number', help: 'share of entries kept (ties, dare, magnitude_prune; default 0.5)' },
    'majority-sign-method': { kind: 'string', help: 'how ties and dare_ties elect a sign: total or frequency (default total)' },
    'svd-rank': { kind: 'int', help: 'rank of the svd types (default: the largest of the adapters)', min: 1, max: 1024 },
    seed: { kind: 'int', help: 'of dare (default 1)' },
    compat: { kind: 'bool', help: "reproduce peft's quirks: rsLoRA adapters come out sqrt(rank) too strong, and one adapter alone is always linear" },
    'compat-double': { kind: 'bool', help: 'reproduce a quirk of peft up to 0.20: the svd types count the scaling alpha / r twice' },
    out: { kind: 'string', help: 'folder for the new adapter' },
});

/** Options of some types only, by the words in the types' names. */
const ONLY = /** @type {Record<string, RegExp>} */ ({
    density: /ties|dare|prune/, 'majority-sign-method': /ties/, 'svd-rank': /svd/, seed: /dare/, 'compat-double': /svd/,
});

/** An option that the type would ignore is refused. @param {Record<string, any>} values @param {string[]} types that there are */
function checkOptions(values, types) {
    for (const [name, words] of Object.entries(ONLY)) {
        if (values[name] === undefined || words.test(values.type) || !types.includes(values.type)) continue;
        throw usage(`--${name} means nothing to --type ${values.type}; it belongs to ${types.filter((type) => words.test(type)).join(', ')}`);
    }
}

export async function help() {
    const { mix_types: types } = await (await openCalculator()).describeStatic();
    const all = types.map((/** @type {any} */ t) => t.name).join(', ');
    const type = { ...SPEC.type, help: `one of ${all}, as in peft (cat is exact); for bottleneck adapters linear, their average` };
    return helpText('combine', 'several LoRAs, or several bottleneck adapters, into one', { ...SPEC, type });
}

/** @param {string[]} argv */
export async function run(argv) {
    const { values } = parse(argv, SPEC);
    if (!values.adapter) throw usage('give --adapter DIR:weight (may be repeated)');
    if (!values.out) throw usage('give --out DIR, the folder for the new adapter');
    await prepareFolder(values.out, await adapterFolders(values.adapter));
    const session = await PeftLab.load(await findModel(values.model), { inThread: true });
    checkOptions(values, (await session.describeStatic()).mix_types.map((/** @type {any} */ t) => t.name));
    const modules = [];
    for (const text of values.adapter) {
        const { dir, weight } = await splitWeight(text);
        modules.push({ id: (await importFolder(session, dir, basename(dir).slice(0, 40))).id, weight });
    }
    const { type } = values;
    const options = Object.fromEntries(
        [...Object.keys(ONLY), 'compat'].filter((name) => values[name] !== undefined).map((name) => [snake(name), values[name]]),
    );
    const mixed = await session.mix({ type, modules, name: 'mixed', ...options });
    await writeFolder(values.out, await session.exportAdapter(mixed.module.id));
    const { exact, relative_error } = mixed;
    print(values, { out: values.out, type, exact, relative_error, parameters: mixed.module.parameters }, (r) => {
        const far = `approximate, relative error against the exact sum ${r.relative_error?.toPrecision(3)}`;
        const quality = r.exact === undefined ? 'average' : r.exact ? 'exact' : far;
        return `${quality}: ${r.parameters.toLocaleString('en-US')} numbers in ${r.out}`;
    });
}
