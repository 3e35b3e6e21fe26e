import { helpText, methodOptions, methodSpec, parse } from '../args.mjs';
import { formatBytes, openCalculator, print, table } from '../context.mjs';
import { shapeRequest, SHAPE_SPEC } from '../shape.mjs';

const SUMMARY = 'memory of training and inference, part by part, with every assumption';
const OWN = /** @type {import('../args.mjs').Spec} */ ({
    dtype: { kind: 'string', help: 'of the base weights: f32, f16, bf16, int8, nf4', default: 'bf16' },
    optimizer: { kind: 'string', help: 'adamw, adamw8bit, momentum, sgd', default: 'adamw' },
    batch: { kind: 'int', help: 'sequences at once', default: 1 },
    seq: { kind: 'int', help: 'tokens per sequence', default: 2048 },
    checkpointing: { kind: 'bool', help: 'recompute activations in the backward pass' },
    assume: { kind: 'string', help: '"chapter": count the way the chapter does' },
});
const PARTS = ['base_weights', 'module_weights', 'gradients', 'optimizer', 'activations', 'logits', 'training', 'kv_cache', 'inference'];

export async function help() {
    const session = await openCalculator();
    return helpText('memory', SUMMARY, { ...SHAPE_SPEC, ...OWN, ...methodSpec(await session.describeStatic()) });
}

/** @param {string[]} argv */
export async function run(argv) {
    const session = await openCalculator();
    const description = await session.describeStatic();
    const methods = methodSpec(description);
    const { values } = parse(argv, { ...SHAPE_SPEC, ...OWN, ...methods });
    const { dtype, optimizer, batch, seq, checkpointing = false, assume } = values;
    const request = {
        ...(await shapeRequest(values, description)), dtype, optimizer, batch, seq, checkpointing, ...(assume && { assume }),
        ...(values.method && { method: values.method, options: methodOptions(values, methods) }),
    };
    print(values, await session.memoryFor(request), (m) => [
        table(['part', 'memory'], PARTS.map((part) => [part.replace('_', ' '), formatBytes(m[part])])),
        '', ...m.assumptions.map((/** @type {string} */ a) => `- ${a}`),
    ].join('\n'));
}
