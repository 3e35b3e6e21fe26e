import { helpText, kebab, parse, usage } from '../args.mjs';
import { openCalculator, print } from '../context.mjs';

export const help = () => helpText('methods', 'the fine-tuning methods and their options', {});

/** @param {string[]} argv */
export async function run(argv) {
    const { values, positionals } = parse(argv, {}, true);
    const { methods } = await (await openCalculator()).describeStatic();
    const chosen = positionals.length ? methods.filter((/** @type {any} */ m) => positionals.includes(m.name)) : methods;
    const strange = positionals.find((name) => !methods.some((/** @type {any} */ m) => m.name === name));
    if (strange !== undefined) throw usage(`there is no method "${strange}"; there are ${methods.map((/** @type {any} */ m) => m.name).join(', ')}`);
    print(values, chosen, (list) => list.map((/** @type {any} */ m) => [
        `${m.name}  ${m.label}: ${m.summary} [${m.paper}]`,
        m.can_merge ? '  can be merged' : `  cannot be merged: ${m.cannot_merge}`,
        ...m.options.map(
            (/** @type {any} */ o) =>
                `  --${kebab(o.name)} (${o.choices?.join('|') ?? o.type}, default ${JSON.stringify(o.default)}): ${o.help}`,
        ),
    ].join('\n')).join('\n\n'));
}
