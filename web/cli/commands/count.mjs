import { helpText, methodOptions, methodSpec, parse, usage } from '../args.mjs';
import { formatBytes, formatCount, openCalculator, print } from '../context.mjs';
import { shapeRequest, SHAPE_SPEC } from '../shape.mjs';

const SUMMARY = 'trainable parameters, file sizes and extra compute of a method on any shape';

/** @param {import('../args.mjs').Spec} methods */
const spec = (methods) => ({ ...SHAPE_SPEC, ...methods });

export async function help() {
    const session = await openCalculator();
    return helpText('count', SUMMARY, spec(methodSpec(await session.describeStatic())));
}

/** @param {string[]} argv */
export async function run(argv) {
    const session = await openCalculator();
    const description = await session.describeStatic();
    const methods = methodSpec(description);
    const { values } = parse(argv, spec(methods));
    if (!values.method) throw usage('give --method (see `peftlab methods`)');
    const request = { ...(await shapeRequest(values, description)), method: values.method, options: methodOptions(values, methods) };
    print(values, await session.countFor(request), (c) =>
        [
            `${formatCount(c.trainable)} of ${formatCount(c.total)} numbers are trained: ${c.percent.toPrecision(3)} %`,
            `file: ${formatBytes(c.file_bytes.fp32)} in fp32, ${formatBytes(c.file_bytes.fp16)} in fp16`,
            `extra compute, unmerged: ${(c.flops_per_token.extra / 1e6).toPrecision(3)} MFLOP per token ` +
                `(${c.flops_per_token.extra_percent.toPrecision(2)} %)`,
            ...c.assumptions.map((/** @type {string} */ a) => `- ${a}`),
        ].join('\n'),
    );
}
