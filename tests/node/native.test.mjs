// The native build (gcc or clang, vector extensions) and the WASM build train the same bits: 50 steps of every method,
// then the whole state is compared.
import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { GOLDEN, sequences, sha, tiny } from './lib/session.mjs';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const TOOL = join(ROOT, 'build/native/peftlab-native');
const folder = await mkdtemp(join(tmpdir(), 'peftlab-native-'));
after(() => rm(folder, { recursive: true, force: true }));
before(() => execFileSync('make', ['-s', '-f', 'src/Makefile', 'MODE=native', 'cli'], { cwd: ROOT, stdio: 'pipe' }));

const TRAIN = { steps: 50, batch_size: 6, shards: 3, lr: 5e-3, schedule: 'cosine', warmup_steps: 3, weight_decay: 0.01, seed: 3 };
/** @type {[string, string, object][]} */
const CASES = [
    ['lora', 'gqa-odd', { rank: 4, dropout: 0.1, target_modules: 'all-linear' }],
    ['lora', 'mha-tied', { rank: 4, use_dora: true }], ['prompt', 'headdim-gqa', { num_virtual_tokens: 3 }],
    ['prefix', 'gqa-odd', { num_virtual_tokens: 3, prefix_projection: true, prefix_init: 'random' }],
    ['adapter', 'llama3-rope', { bottleneck_size: 4, non_linearity: 'gelu', dropout: 0.1 }],
    ['lora', 'gqa-odd', { init: 'pissa', rank: 4, target_modules: 'all-linear' }],
    ['lora', 'headdim-gqa', { init: 'olora', rank: 5, use_rslora: true }],
    ['lora', 'llama3-rope', { init: 'orthogonal', rank: 6 }],
    ['ia3', 'gqa-odd', {}], ['norms', 'mha-tied', {}], ['full', 'gqa-odd', {}],
];

/** @param {string[]} lines @returns {Promise<string>} */
function native(lines) {
    return new Promise((resolve, reject) => {
        const child = execFile(TOOL, { maxBuffer: 1e8 }, (error, out, err) => (error ? reject(new Error(err || String(error))) : resolve(out)));
        child.stdin?.end(`${lines.join('\n')}\n`);
    });
}

for (const [method, shape, options] of CASES) {
    test(`${method} on ${shape}: native equals WASM after 50 steps, bit for bit`, async () => {
        const session = await tiny(shape);
        const { model } = await session.describe();
        const examples = sequences(24, model.vocab_size);
        await session.request('setTokens', { split: 'train', examples, labelFrom: 2 });
        await session.addModule(method, options, { seed: 9 });
        await session.request('trainBegin', TRAIN);
        await session.request('train', {});
        const wasm = await session.snapshot();
        const { logits } = await session.logits({ tokens: examples[0] });
        session.close();
        const [state, out] = [join(folder, 'state'), join(folder, 'logits')];
        await native([
            `model ${GOLDEN}${shape}`, 'data train', ...examples.map((ids) => `tokens train 2 ${ids.join(',')}`),
            `module ${JSON.stringify({ method, options, seed: 9 })}`,
            `train ${JSON.stringify(TRAIN)}`, 'steps 50', `snapshot ${state}`, `logits ${out} ${examples[0].join(',')}`,
        ]);
        assert.equal(sha(new Uint8Array(await readFile(state))), sha(wasm));
        assert.equal(sha(new Uint8Array(await readFile(out))), sha(logits));
    });
}

test('the native tool: a failure is one sentence and exit code 2', async () => {
    await assert.rejects(native(['model /nowhere']), /cannot be read/);
    await assert.rejects(native([`model ${GOLDEN}gqa-odd`, 'module {"method":"lorra"}']), /lorra/);
});
