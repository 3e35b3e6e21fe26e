// Bad input: each case gets one clear sentence and a stable code, and what was loaded stays loaded and unchanged.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { parseData, readModelFolder } from '../../web/engine/index.js';
import { addSequences, codeOf, GOLDEN, sequences, sha, stories, tiny } from './lib/session.mjs';

/**
 * A request that must fail, and what its sentence must mention.
 * @typedef {{name: string, code: string, says: RegExp,
 *   run: (session: import('../../web/engine/session.js').Session) => Promise<any>}} Case
 */

const KEY_FACTORS = 'model.layers.0.self_attn.k_proj.ia3_l';

/** @type {Case[]} */
const REQUESTS = [
    { name: 'unknown method', code: 'argument', says: /"lorra"/, run: (s) => s.addModule('lorra') },
    { name: 'unknown option', code: 'argument', says: /"rnak".*rank, alpha/, run: (s) => s.addModule('lora', { rnak: 4 }) },
    { name: 'rank too large', code: 'range', says: /rank.*100000/, run: (s) => s.addModule('lora', { rank: 100000 }) },
    { name: 'rank zero', code: 'range', says: /rank/, run: (s) => s.addModule('lora', { rank: 0 }) },
    { name: 'rank not whole', code: 'range', says: /rank/, run: (s) => s.addModule('lora', { rank: 2.5 }) },
    { name: 'option of the wrong type', code: 'argument', says: /rank/, run: (s) => s.addModule('lora', { rank: { a: 1 } }) },
    { name: 'unknown target', code: 'argument', says: /q_porj/, run: (s) => s.addModule('lora', { target_modules: 'q_porj' }) },
    { name: 'no target', code: 'argument', says: /target_modules/, run: (s) => s.addModule('lora', { target_modules: [] }) },
    { name: 'layer outside', code: 'range', says: /layers_to_transform/, run: (s) => s.addModule('lora', { layers_to_transform: [99] }) },
    { name: 'too many virtual tokens', code: 'range', says: /num_virtual_tokens/, run: (s) => s.addModule('prompt', { num_virtual_tokens: 5000 }) },
    { name: 'no such module', code: 'argument', says: /id 99/, run: (s) => s.removeModule(99) },
    { name: 'weight on a prompt', code: 'unsupported', says: /weight/,
      run: async (s) => s.setModule((await s.addModule('prompt')).id, { weight: 2 }) },
    { name: 'bad name', code: 'argument', says: /"\.\.\/x"/, run: (s) => s.addModule('lora', {}, { name: '../x' }) },
    { name: 'token outside the vocabulary', code: 'range', says: /token 101.*101/, run: (s) => s.logits({ tokens: [1, 101] }) },
    { name: 'negative token', code: 'range', says: /token -1/, run: (s) => s.logits({ tokens: [-1] }) },
    { name: 'no token', code: 'argument', says: /empty/, run: (s) => s.logits({ tokens: [] }) },
    { name: 'text without a tokenizer', code: 'state', says: /tokenizer\.json/, run: (s) => s.generate({ prompt: 'hello' }) },
    { name: 'longer than the context', code: 'range', says: /context/, run: (s) => s.logits({ tokens: Array(5000).fill(1) }) },
    { name: 'no data', code: 'state', says: /"train"/, run: async (s) => { await s.addModule('lora'); return s.train({ steps: 1 }); } },
    { name: 'nothing to train', code: 'state', says: /nothing to train/, run: async (s) => { await addSequences(s); return s.train({ steps: 1 }); } },
    { name: 'steps outside', code: 'format', says: /steps/,
      run: async (s) => { await addSequences(s); await s.addModule('lora'); return s.train({ steps: -1 }); } },
    { name: 'unknown schedule', code: 'argument', says: /"cosin"/,
      run: async (s) => { await addSequences(s); await s.addModule('lora'); return s.train({ steps: 1, schedule: /** @type {any} */ ('cosin') }); } },
    { name: 'nothing to merge', code: 'state', says: /merged/, run: (s) => s.merge() },
    { name: 'nothing of what is there to merge', code: 'state', says: /LoRA, \(IA\)3, norm tuning and full fine-tuning can/,
      run: async (s) => { await s.addModule('prompt'); return s.merge(); } },
    { name: 'norms of which one is misspelt', code: 'argument', says: /'foo' names no norm/,
      run: (s) => s.addModule('norms', { target_modules: 'input_layernorm,foo' }) },
    { name: 'norms without linear maps', code: 'argument',
      says: /adapts no linear maps that exclude_modules could narrow; name what to train in target_modules/,
      run: (s) => s.addModule('norms', { exclude_modules: 'q_proj' }) },
    { name: 'layers of a prompt', code: 'argument', says: /no linear maps that layers_to_transform could narrow$/,
      run: (s) => s.addModule('prompt', { layers_to_transform: [0] }) },
    { name: 'maps left out around sub-layers', code: 'argument', says: /exclude_modules.*use layers_to_transform, or a per_linear variant/,
      run: (s) => s.addModule('adapter', { exclude_modules: 'q_proj' }) },
    { name: 'a feed-forward map that is no target', code: 'argument', says: /'q_proj' is not among the target_modules/,
      run: (s) => s.addModule('ia3', { feedforward_modules: 'q_proj' }) },
    { name: 'a feed-forward map that is none', code: 'argument', says: /'bar' names no linear map/,
      run: (s) => s.addModule('ia3', { feedforward_modules: ['down_proj', 'bar'] }) },
    { name: 'a tensor with a number that is none', code: 'numeric',
      says: /tensor model\.layers\.0\.self_attn\.k_proj\.ia3_l: number 2 of 8 is nan/i,
      run: async (s) => s.setTensor((await s.addModule('ia3')).id, KEY_FACTORS, Float32Array.of(1, 1, NaN, 1, 1, 1, 1, 1)) },
    { name: 'a tensor as a list', code: 'argument', says: /Float32Array/,
      run: async (s) => s.setTensor((await s.addModule('ia3')).id, KEY_FACTORS, /** @type {any} */ (Array(8).fill(1))) },
    { name: 'a stop that is a number', code: 'argument', says: /stop must be a list of texts/,
      run: (s) => s.generate({ tokens: [1], stop: /** @type {any} */ (7) }) },
    { name: 'a stop that is empty', code: 'argument', says: /stop must not be empty/, run: (s) => s.generate({ tokens: [1], stop: [''] }) },
    { name: 'completions that are one text', code: 'argument', says: /completions must be a list of texts/,
      run: (s) => s.score('a', /** @type {any} */ ('b')) },
    ...['eval_every', 'snapshot_every', 'snapshot_seconds', 'until'].map((key) => ({
        name: `${key} below zero`, code: 'range', says: new RegExp(`${key} must be 0 or more, not -1`),
        run: async (/** @type {any} */ s) => {
            await addSequences(s);
            await s.addModule('lora');
            await s.train({ steps: 1, [key]: -1 }).finally(async () => assert.equal((await s.describe()).run, null));
        },
    })),
    { name: 'mix of a prompt', code: 'unsupported', says: /LoRA/,
      run: async (s) => s.mix({ type: 'cat', modules: [{ id: (await s.addModule('prompt')).id, weight: 1 }] }) },
    { name: 'unknown mix type', code: 'argument', says: /blend/,
      run: async (s) => s.mix({ type: 'blend', modules: [{ id: (await s.addModule('lora')).id, weight: 1 }] }) },
    { name: 'restore of rubbish', code: 'format', says: /snapshot/, run: (s) => s.restore(new Uint8Array([1, 2, 3])) },
    { name: 'unknown shape', code: 'argument', says: /"llama-9"/, run: (s) => s.countFor({ shape: 'llama-9', method: 'lora' }) },
    { name: 'unknown command', code: 'argument', says: /"fly"/, run: (s) => s.request('fly') },
    { name: 'the methods there are', code: 'argument', says: /there are prompt, .*lora/, run: (s) => s.addModule('lorra') },
    { name: 'an option under two names', code: 'argument', says: /rank is given twice/, run: (s) => s.addModule('lora', { r: 4, rank: 8 }) },
    { name: 'an odd rank for the orthogonal start', code: 'range', says: /must be even, not 3/,
      run: (s) => s.addModule('lora', { init: 'orthogonal', rank: 3 }) },
    { name: 'a start of more directions than a matrix has', code: 'range', says: /v_proj is 8 x 40, so rank 9/,
      run: (s) => s.addModule('lora', { init: 'olora', rank: 9 }) },
    { name: 'a number for a choice', code: 'argument', says: /init must be one of true\|gaussian\|false\|pissa\|olora\|orthogonal, not the number 1/,
      run: (s) => s.addModule('lora', { init: 1 }) },
    { name: 'a layer that is no number', code: 'range', says: /layers_to_transform.*whole numbers/,
      run: (s) => s.addModule('lora', { layers_to_transform: 'all' }) },
    { name: 'half a layer', code: 'range', says: /layers_to_transform/, run: (s) => s.addModule('lora', { layers_to_transform: 0.5 }) },
    { name: 'a layer beyond 32 bits', code: 'range', says: /layers_to_transform/, run: (s) => s.addModule('lora', { layers_to_transform: 1e300 }) },
    { name: 'layers as an object', code: 'range', says: /layers_to_transform/, run: (s) => s.addModule('lora', { layers_to_transform: { a: 0 } }) },
    { name: 'a list of targets with a number', code: 'argument', says: /target_modules.*text in quotes/,
      run: (s) => s.addModule('lora', { target_modules: ['q_proj', 3] }) },
    { name: 'an endless list of targets', code: 'range', says: /target_modules.*characters/,
      run: (s) => s.addModule('lora', { target_modules: Array(20000).fill('q_proj') }) },
    { name: 'methods that are no list', code: 'format', says: /methods must be a list/, run: (s) => s.countFor({ methods: 'lora' }) },
    { name: 'a config that is no object', code: 'format', says: /config\.json/, run: (s) => s.countFor({ config: 'llama', method: 'lora' }) },
    { name: 'a shape that is no text', code: 'format', says: /shape must be a text/, run: (s) => s.countFor({ shape: 7, method: 'lora' }) },
    { name: 'a number format that is no text', code: 'format', says: /dtype must be a text/, run: (s) => s.memoryFor({ method: 'lora', dtype: 16 }) },
    { name: 'an answer nobody understands', code: 'argument', says: /latency: 'maybe'.*yes or no, or critical$/,
      run: (s) => s.advise({ latency: 'maybe' }) },
    { name: 'another', code: 'argument', says: /or limited, extremely-limited, low, enough, plenty, ok, normal$/,
      run: (s) => s.advise({ compute: 'maybe' }) },
    { name: 'a task nobody knows', code: 'argument', says: /or classification, instruction, domain, style, code, simple, complex, other$/,
      run: (s) => s.advise({ task: 'juggling' }) },
    { name: 'an answer that is no text', code: 'format', says: /latency must be a text/, run: (s) => s.advise({ latency: [1] }) },
    { name: 'a history without losses', code: 'format', says: /needs a loss/, run: (s) => s.coach({ history: [{ step: 1 }] }) },
    { name: 'a history that is no list', code: 'format', says: /history must be a list/, run: (s) => s.coach({ history: { step: 1 } }) },
    { name: 'a step beyond 32 bits', code: 'format', says: /step/, run: (s) => s.coach({ history: [{ step: 1e300, loss: 1 }] }) },
    { name: 'the coach on an unknown method', code: 'argument', says: /"lorra"/, run: (s) => s.coach({ history: [], method: 'lorra' }) },
    { name: 'a schedule that is no text', code: 'format', says: /schedule must be a text/,
      run: async (s) => { await addSequences(s); await s.addModule('lora'); return s.train({ steps: 1, schedule: /** @type {any} */ (5) }); } },
];

for (const { name, code, says, run } of REQUESTS) {
    test(`request: ${name}`, async () => {
        const session = await tiny();
        const tokens = sequences(1, 101)[0];
        const before = sha((await session.logits({ tokens })).logits);
        await assert.rejects(run(session), (/** @type {any} */ error) => {
            assert.equal(error.code, code, error.message);
            assert.match(error.message, says);
            return true;
        });
        await session.clear();
        assert.equal(sha((await session.logits({ tokens })).logits), before);
        session.close();
    });
}

test('a diverging run stops before the update, with the numbers and a smaller learning rate', async () => {
    const session = await tiny();
    await addSequences(session);
    const { id, tensors } = await session.addModule('lora', { rank: 2 });
    const [, b] = tensors;
    const huge = new Float32Array(b.shape[0] * b.shape[1]).fill(3e38); // B A x overflows to infinity
    await session.request('setTensor', { id, name: b.name, values: huge });
    await assert.rejects(session.train({ steps: 5, lr: 0.5 }), (/** @type {any} */ error) => {
        assert.equal(error.code, 'numeric', error.message);
        assert.match(error.message, /diverged at step 1 .*learning rate of 0\.05/);
        return true;
    });
    assert.deepEqual(await session.tensor(id, b.name), huge, 'nothing was updated');
    await session.clear();
    assert.ok((await session.logits({ tokens: [1, 2] })).logits.every(Number.isFinite));
    session.close();
});

test('refused memory: every allocation of load, train, merge and export can fail; the session lives on', async () => {
    const files = await readModelFolder(`${GOLDEN}mha-tied`);
    const session = await tiny();
    await addSequences(session);
    const tokens = sequences(1, 101)[0];
    const before = sha((await session.logits({ tokens })).logits);
    const failing = async (/** @type {string} */ what, /** @type {() => Promise<any>} */ work) => {
        for (let nth = 1; nth < 400; nth += nth < 40 ? 1 : 17) {
            await session.request('failAt', { allocation: nth });
            const code = await codeOf(work());
            await session.request('failAt', { allocation: 0 });
            if (code === 'no error') return;
            assert.equal(code, 'memory', `${what}, allocation ${nth}`);
        }
    };
    await failing('add module', async () => { await session.addModule('lora', { rank: 2 }); await session.clear(); });
    await session.clear();
    await failing('train', async () => {
        await session.clear();
        await session.addModule('lora', { rank: 2 });
        await session.train({ steps: 1, batch_size: 2 });
    });
    await session.clear();
    assert.equal(sha((await session.logits({ tokens })).logits), before);
    await failing('load', () => session.request('loadModel', { files }));
    session.close();
});

test('data files: the line of every problem, and nothing usable is an error', () => {
    const { examples, problems } = parseData(
        '{"prompt":"a","completion":"b"}\n\nnot json\n{"prompt":"a"}\n[1]\n{"text":5}\n{"prompt":"p","completion":"  "}\n{"text":"fine"}',
        'jsonl',
    );
    assert.equal(examples.length, 2);
    assert.deepEqual(problems.map((p) => p.line), [3, 4, 5, 6, 7]);
    for (const [text, format] of /** @type {[string, any][]} */ ([
        ['', 'jsonl'],
        ['\n\n', 'txt'],
        ['a,b\n1,2', 'csv'],
        ['prompt,completion\nx,', 'csv'],
        ['{}', 'jsonl'],
    ])) {
        assert.throws(
            () => parseData(text, format),
            (/** @type {any} */ error) => error.code === 'format' && /no usable example/.test(error.message),
            JSON.stringify(text),
        );
    }
});

test('examples that do not fit are reported with their line; the others are used', async () => {
    const session = await stories();
    const { skipped, examples, truncated } = await session.setData('train', [
        { prompt: 'x '.repeat(3000), completion: ' y', line: 10 },
        { prompt: 'The cat', completion: ' sat.', line: 20 },
        { prompt: 'Long', completion: ' word'.repeat(2000), line: 30 },
    ]);
    assert.equal(examples, 2);
    assert.equal(truncated, 1);
    assert.deepEqual(skipped.map((s) => s.line), [10]);
    assert.match(skipped[0].message, /prompt alone/);
    const long = await session.setData('train', [{ text: 'Once upon a time there was a cat. '.repeat(400), line: 1 }]);
    assert.ok(long.windows > 0 && long.truncated === 0);
    session.close();
});

test('data without a single usable example are refused, and what was loaded stays', async () => {
    const session = await stories();
    await session.setData('train', [{ prompt: 'The cat', completion: ' sat.' }]);
    const before = await session.describe();
    for (const examples of [[], [{ prompt: 'x '.repeat(3000), completion: ' y', line: 7 }]]) {
        const says = examples.length ? /None of the 1 examples.*line 7: .*prompt alone/ : /no examples for "train"/;
        await assert.rejects(
            session.setData('train', examples),
            (/** @type {any} */ error) => error.code === 'argument' && says.test(error.message),
        );
    }
    assert.deepEqual((await session.describe()).data, before.data);
    await session.addModule('lora', { rank: 2 });
    assert.equal((await session.train({ steps: 1, batch_size: 1 })).done, true);
    await session.dropData('train');
    assert.deepEqual((await session.describe()).data, {});
    session.close();
});

test('a list of every path is no longer than it may be, and comes back from a description', async () => {
    const session = await tiny();
    const { options } = await session.addModule('lora', { target_modules: ['layers.0.self_attn.q_proj', 'layers.1.mlp.down_proj'] });
    assert.deepEqual(options.target_modules, ['model.layers.0.self_attn.q_proj', 'model.layers.1.mlp.down_proj']);
    const many = await session.addModule('lora', { target_modules: Array(200).fill('model.layers.0.self_attn.q_proj') }); // 6,200 characters
    assert.deepEqual(many.options.target_modules, ['q_proj']);
    session.close();
});

test('the coach takes a loss that was not a number (null in JSON) for what it is', async () => {
    const session = await tiny();
    const history = Array.from({ length: 12 }, (_, i) => ({ step: i + 1, loss: i === 11 ? NaN : 3 - i / 10, val_loss: 3 - i / 20 }));
    assert.equal((await session.coach({ history, steps: 12 })).state, 'diverging');
    assert.equal((await session.coach({ history: [] })).state, 'too_early');
    session.close();
});
