import { helpText, parse } from '../args.mjs';
import { openCalculator, print } from '../context.mjs';

const SPEC = /** @type {import('../args.mjs').Spec} */ ({
    latency: { kind: 'string', help: 'is inference latency critical? yes or no' },
    compute: { kind: 'string', help: 'limited or enough' },
    task: { kind: 'string', help: 'classification, instruction, domain, style, code or other' },
    multitask: { kind: 'string', help: 'must several tasks be combined? yes or no' },
});

export const help = () => helpText('advise', "the chapter's decision tree", SPEC);

/** @param {string[]} argv */
export async function run(argv) {
    const { values } = parse(argv, SPEC);
    const answers = Object.fromEntries(Object.keys(SPEC).filter((key) => values[key] !== undefined).map((key) => [key, values[key]]));
    const session = await openCalculator();
    print(values, await session.advise(answers), (a) =>
        [`${a.label ?? a.method} ${JSON.stringify(a.options)}`, ...a.why.map((/** @type {string} */ w) => `- ${w}`)].join('\n'),
    );
}
