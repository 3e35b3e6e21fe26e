import { helpText, parse, usage } from '../args.mjs';
import { adapterFolders, MODEL_SPEC, openSession, print } from '../context.mjs';
import { prepareFolder, writeFolder } from '../output.mjs';

const SPEC = /** @type {import('../args.mjs').Spec} */ ({
    model: MODEL_SPEC.model,
    adapter: MODEL_SPEC.adapter,
    out: { kind: 'string', help: 'folder for the merged model' },
    dtype: { kind: 'string', help: 'F32, F16 or BF16', default: 'F32' },
    'max-shard-mb': { kind: 'number', help: 'cut the weights into files of at most this many megabytes (default: one file)', min: 0.001 },
});

export const help = () => helpText('merge', 'merge adapters into a plain model folder', SPEC);

/** @param {string[]} argv */
export async function run(argv) {
    const { values } = parse(argv, SPEC);
    if (!values.adapter) throw usage('give --adapter DIR (may be repeated)');
    if (!values.out) throw usage('give --out DIR, the folder for the merged model');
    await prepareFolder(values.out, await adapterFolders(values.adapter));
    const session = await openSession(values);
    const { modules } = await session.describe();
    const report = await session.merge(modules.map((/** @type {any} */ m) => m.id));
    await writeFolder(
        values.out,
        await session.exportModel(values.dtype, {
            maxShardBytes: values['max-shard-mb'] === undefined ? Infinity : values['max-shard-mb'] * 1e6,
        }),
    );
    print(
        values,
        {
            out: values.out,
            merged: modules.map((/** @type {any} */ m) => m.name),
            residual_of_subtracting: report.residual_of_subtracting,
        },
        () => `merged ${modules.length} adapter(s) into ${values.out}`,
    );
}
