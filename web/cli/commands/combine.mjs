import { helpText, parse, usage } from '../args.mjs';
import { findModel, prepareFolder, print, splitWeight, writeFolder } from '../context.mjs';
import { PeftLab } from '../../engine/index.js';

const SPEC = /** @type {import('../args.mjs').Spec} */ ({
    model: { kind: 'string', help: 'the base model the adapters were trained on' },
    adapter: { kind: 'list', help: 'DIR:weight; at least one, may be repeated' },
    type: { kind: 'string', help: 'cat (exact) or peft-compatible linear, svd, ties, dare_linear, …', default: 'cat' },
    density: { kind: 'number', help: 'share of entries kept (ties, dare, magnitude_prune)' },
    'svd-rank': { kind: 'int', help: 'rank of the svd types', min: 1, max: 1024 },
    seed: { kind: 'int', help: 'of dare', default: 1 },
    compat: { kind: 'bool', help: "reproduce peft's quirks (scaling counted twice, rsLoRA)" },
    out: { kind: 'string', help: 'folder for the new adapter' },
});

export const help = () => helpText('combine', 'several LoRA adapters into one', SPEC);

/** @param {string[]} argv */
export async function run(argv) {
    const { values } = parse(argv, SPEC);
    if (!values.adapter || !values.out) throw usage('give --adapter DIR:weight (may be repeated) and --out DIR');
    await prepareFolder(values.out);
    const session = await PeftLab.load(await findModel(values.model), { inThread: true });
    const modules = [];
    for (const text of values.adapter) {
        const { dir, weight } = await splitWeight(text);
        const { module } = await session.importAdapter(dir);
        modules.push({ id: module.id, weight });
    }
    const { type, density, seed, compat } = values;
    const mixed = await session.mix({ type, modules, name: 'mixed', seed, ...(density !== undefined && { density }), ...(values['svd-rank'] !== undefined && { svd_rank: values['svd-rank'] }), ...(compat && { compat }) });
    await writeFolder(values.out, await session.exportAdapter(mixed.module.id));
    print(values, { out: values.out, type, exact: mixed.exact, relative_error: mixed.relative_error, parameters: mixed.module.parameters },
        (r) => `${r.exact ? 'exact' : `approximate, relative error ${r.relative_error.toPrecision(3)}`}: ${r.parameters.toLocaleString('en-US')} numbers in ${r.out}`);
}
