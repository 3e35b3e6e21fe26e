import { helpText, parse, usage } from '../args.mjs';
import { MODEL_SPEC, openSession } from '../context.mjs';

const SPEC = /** @type {import('../args.mjs').Spec} */ ({
    ...MODEL_SPEC,
    tokens: { kind: 'string', help: 'token ids, like 1,2,3' },
    text: { kind: 'string', help: 'or a text' },
});

export const help = () => helpText('logits', 'logits of every position', SPEC);

/** @param {string[]} argv */
export async function run(argv) {
    const { values } = parse(argv, SPEC);
    if ((values.tokens === undefined) === (values.text === undefined)) throw usage('give either --tokens 1,2,3 or --text TEXT');
    const ids = values.tokens?.split(',').map(Number);
    if (ids && !/^\d+(,\d+)*$/.test(values.tokens)) throw usage(`--tokens takes whole numbers like 1,2,3, not "${values.tokens}"`);
    const session = await openSession(values);
    const { tokens, logits } = await session.logits({ tokens: ids, text: values.text });
    const vocab = logits.length / tokens.length;
    const rows = Array.from(tokens, (_, i) => Array.from(logits.subarray(i * vocab, (i + 1) * vocab)));
    if (values.json) return void process.stdout.write(`${JSON.stringify({ tokens: Array.from(tokens), logits: rows })}\n`);
    for (const [i, row] of rows.entries()) {
        const best = [...row.keys()].sort((a, b) => row[b] - row[a]).slice(0, 5);
        const named = await Promise.all(
            best.map(
                async (id) =>
                    `${JSON.stringify(await session.decode([id], false).catch(() => String(id)))} ${row[id].toFixed(3)}`,
            ),
        );
        process.stdout.write(`${i}  ${named.join('  ')}\n`);
    }
    return undefined;
}
