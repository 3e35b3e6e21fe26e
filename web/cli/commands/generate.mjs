import { helpText, parse, usage } from '../args.mjs';
import { MODEL_SPEC, openSession } from '../context.mjs';

const SPEC = /** @type {import('../args.mjs').Spec} */ ({
    ...MODEL_SPEC,
    prompt: { kind: 'string', help: 'text to continue' },
    'max-new-tokens': { kind: 'int', help: 'how many tokens at most', default: 100 },
    temperature: { kind: 'number', help: '0 takes the most probable token', default: 0.7 },
    'top-k': { kind: 'int', help: 'keep the k most probable tokens, 0: all', default: 0 },
    'top-p': { kind: 'number', help: 'keep tokens up to this probability mass', default: 1 },
    seed: { kind: 'int', help: 'same seed, same text', default: 1 },
});

export const help = () => helpText('generate', 'continue a prompt', SPEC);

/** @param {string[]} argv */
export async function run(argv) {
    const { values } = parse(argv, SPEC);
    if (values.prompt === undefined) throw usage('give --prompt TEXT');
    const session = await openSession(values);
    const { prompt, temperature, seed } = values;
    let shown = prompt; // not before the request proved right
    const made = await session.generate({
        prompt, temperature, seed, max_new_tokens: values['max-new-tokens'], top_k: values['top-k'], top_p: values['top-p'],
        onToken: (piece) => {
            if (!values.json) process.stdout.write(shown + piece);
            shown = '';
        },
    });
    if (values.json) process.stdout.write(`${JSON.stringify({ prompt, ...made })}\n`);
    else process.stdout.write(`${shown}\n`);
}
