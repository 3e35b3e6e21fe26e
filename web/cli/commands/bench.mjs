import { helpText, parse } from '../args.mjs';
import { findModel, MODEL_SPEC, print, table } from '../context.mjs';
import { PeftLab } from '../../engine/index.js';

const SPEC = /** @type {import('../args.mjs').Spec} */ ({
    model: MODEL_SPEC.model,
    rounds: { kind: 'int', help: 'interleaved rounds; the fastest counts', default: 5, min: 1, max: 1000 },
    steps: { kind: 'int', help: 'training steps per round', default: 6, min: 1, max: 10000 },
    length: { kind: 'int', help: 'tokens per sequence', default: 64, min: 2, max: 100000 },
});

export const help = () => helpText('bench', 'speed of this machine, as ratios within one run', SPEC);

/** Sequences of random tokens: the speed does not depend on what they say. @param {number} count @param {number} length @param {number} vocab */
function randomTokens(count, length, vocab) {
    let state = 12345;
    const next = () => { state = (Math.imul(state, 1664525) + 1013904223) >>> 0; return 1 + (state % (vocab - 1)); };
    return Array.from({ length: count }, () => Array.from({ length }, next));
}

/**
 * Milliseconds per training step.
 * @param {import('../../engine/session.js').Session} session @param {string} method @param {object} options
 * @param {number} steps
 */
async function stepTime(session, method, options, steps) {
    await session.clear();
    await session.addModule(method, options);
    const { ms } = await session.train({ steps: steps + 1, until: 1, lr: 1e-4, batch_size: 8, schedule: 'constant' });
    const rest = await session.resume();
    await session.endRun();
    return { first: ms, ms: rest.ms / steps };
}

/** Milliseconds per generated token. @param {import('../../engine/session.js').Session} session @param {number} count */
async function decodeTime(session, count) {
    const { ms_per_token } = await session.generate({ tokens: [1, 2, 3], max_new_tokens: count, temperature: 0, stop_at_eos: false });
    return ms_per_token;
}

/** @param {string[]} argv */
export async function run(argv) {
    const { values } = parse(argv, SPEC);
    const folder = await findModel(values.model);
    const began = performance.now();
    const session = await PeftLab.load(folder, { inThread: true });
    const ready = performance.now() - began;
    const { model } = await session.describe();
    await session.request('setTokens', { split: 'train', examples: randomTokens(64, values.length, model.vocab_size) });
    const lora = { rank: 8, alpha: 16 };
    /** @type {Record<string, number>} */
    const best = {};
    const keep = (/** @type {string} */ name, /** @type {number} */ ms) => { best[name] = Math.min(best[name] ?? Infinity, ms); };
    for (let round = 0; round < values.rounds; round++) {
        for (const [name, options] of Object.entries({ full: {}, lora, prompt: {}, prefix: {}, adapter: {} }))
            keep(`${name} step`, (await stepTime(session, name, options, values.steps)).ms);
        await session.clear();
        keep('decode base', await decodeTime(session, 200));
        await session.addModule('lora', lora);
        keep('decode lora', await decodeTime(session, 200));
        await session.merge();
        keep('decode merged', await decodeTime(session, 200));
        await session.clear();
    }
    session.close();
    const tokens = 8 * values.length;
    const report = {
        ready_ms: ready, parameters: model.parameters, tokens_per_step: tokens, ms: best,
        ratios: {
            lora_step_to_full_step: best['lora step'] / best['full step'], merged_decode_to_base: best['decode merged'] / best['decode base'],
            unmerged_decode_to_base: best['decode lora'] / best['decode base'],
        },
    };
    print(values, report, () =>
        [
            `engine ready in ${ready.toFixed(0)} ms`,
            table(
                ['measured', 'ms (fastest)', 'tokens/s'],
                Object.entries(best).map(([name, ms]) => [
                    name,
                    ms.toFixed(3),
                    Math.round(((name.startsWith('decode') ? 1 : tokens) / ms) * 1000).toString(),
                ]),
            ),
            ...Object.entries(report.ratios).map(([name, ratio]) => `${name.replaceAll('_', ' ')}: ${ratio.toFixed(3)}`),
        ].join('\n'),
    );
}
