// Weights that are finite and yet make numbers that are not: nobody takes them for good ones. And limits that the engine can keep by itself.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { codeOf, sha, stories } from './lib/session.mjs';

const DATA = [{ prompt: 'The cat', completion: ' sat.' }, { prompt: 'A dog', completion: ' ran.' }];

test('a held-out loss that is no number is an error, never a loss of zero; so are scores', async () => {
    const session = await stories();
    await session.setData('validation', DATA);
    const { id, tensors } = await session.addModule('lora', { rank: 2, target_modules: ['q_proj', 'k_proj'] });
    const good = await session.evaluate({ split: 'validation' });
    const scored = await session.score('The', [' cat']);
    const kept = [];
    for (const { name } of tensors) {
        kept.push(await session.tensor(id, name));
        await session.setTensor(id, name, new Float32Array(kept[kept.length - 1].length).fill(1e20));
    }
    const { logits } = await session.logits({ tokens: [1, 2, 3] });
    assert.ok(!logits.every(Number.isFinite), 'what this test is about');
    await assert.rejects(session.evaluate({ split: 'validation' }), (/** @type {any} */ error) => {
        assert.equal(error.code, 'numeric');
        assert.match(error.message, /the loss of example 0 of "validation" is not finite: the weights have diverged/);
        return true;
    });
    assert.equal(await codeOf(session.score('The', [' cat'])), 'numeric');
    for (const [i, { name }] of tensors.entries()) await session.setTensor(id, name, kept[i]);
    assert.deepEqual(await session.evaluate({ split: 'validation' }), good, 'and it works on');
    assert.deepEqual(await session.score('The', [' cat']), scored);
    session.close();
});

test('many micro-batches: a step is cut into fewer shards each, unless it is said how many', async () => {
    const session = await stories();
    await session.setData('train', DATA);
    await session.addModule('prompt', { num_virtual_tokens: 2 });
    for (const [micro, shards] of [[16, 4], [17, 3], [33, 1], [64, 1]]) {
        await session.train({ steps: 1, batch_size: 4, gradient_accumulation_steps: micro, until: 0 });
        const { run } = await session.describe();
        assert.deepEqual([run.shards, run.shard_count], [shards, shards * micro]);
    }
    assert.equal(await codeOf(session.train({ steps: 1, batch_size: 4, gradient_accumulation_steps: 17, shards: 4 })), 'range');
    session.close();
});

test('learned rows that leave no room for an example: the advice can be followed', async () => {
    const session = await stories();
    await session.setData('train', DATA);
    const { model } = await session.describe();
    const { id } = await session.addModule('prefix', { num_virtual_tokens: model.max_position_embeddings - 1 });
    const before = sha(await session.tensor(id, 'prompt_embeddings'));
    await assert.rejects(session.train({ steps: 1, batch_size: 1 }), /leaves no room to learn anything; use fewer virtual tokens/);
    assert.equal(sha(await session.tensor(id, 'prompt_embeddings')), before);
    await session.removeModule(id);
    await session.addModule('prefix', { num_virtual_tokens: model.max_position_embeddings - 4 });
    await assert.rejects(session.train({ steps: 1, batch_size: 1 }), /load the data again with max_length 4/);
    assert.equal((await session.setData('train', [{ prompt: 'A', completion: ' b' }], { maxLength: 4 })).examples, 1);
    assert.equal((await session.train({ steps: 1, batch_size: 1 })).done, true);
    session.close();
});
