// Properties that show only in a whole session: files, counters, accumulation. The table of all of them is in tests/README.md.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { addSequences, sequences, sha, tiny } from './lib/session.mjs';

const METHODS = /** @type {[string, Record<string, any>][]} */ ([
    ['lora', { rank: 3, target_modules: 'all-linear' }], ['lora', { rank: 2, use_dora: true }],
    ['lora', { rank: 2, loraplus_lr_ratio: 16 }], ['prompt', { num_virtual_tokens: 4 }],
    ['prefix', { num_virtual_tokens: 3 }],
    ['adapter', { variant: 'houlsby', bottleneck_size: 3 }],
    ['adapter', { variant: 'parallel', bottleneck_size: 3, learned_scale: true }],
    ['adapter', { variant: 'per_linear', bottleneck_size: 2 }], ['ia3', {}], ['norms', {}],
]);

/** @param {Uint8Array} file safetensors @returns {{names: string[], bytes: number}} in the order of their bytes */
function header(file) {
    const size = Number(new DataView(file.buffer, file.byteOffset).getBigUint64(0, true));
    const { __metadata__: _, ...tensors } = JSON.parse(new TextDecoder().decode(file.subarray(8, 8 + size)));
    const names = Object.keys(tensors).sort((a, b) => tensors[a].data_offsets[0] - tensors[b].data_offsets[0]);
    return { names, bytes: file.length - 8 - size };
}

test('21: k micro-batches of n are one batch of k n, weighted by tokens', async () => {
    const trained = [];
    for (const options of [
        { batch_size: 8, gradient_accumulation_steps: 1 },
        { batch_size: 4, gradient_accumulation_steps: 2 },
        { batch_size: 1, gradient_accumulation_steps: 8 },
    ]) {
        const session = await tiny();
        await addSequences(session); // ragged: a mean of means would differ
        await session.addModule('lora', { rank: 3 });
        /** @type {number[]} */
        const losses = [];
        await session.train({ ...options, steps: 6, lr: 1e-2, seed: 3, onStep: ({ loss }) => losses.push(loss) });
        trained.push({ losses, logits: (await session.logits({ tokens: sequences(1, 101)[0] })).logits });
        session.close();
    }
    const [one, ...others] = trained;
    for (const other of others) {
        other.losses.forEach((loss, i) =>
            assert.ok(Math.abs(loss - one.losses[i]) < 1e-5 * one.losses[i], `step ${i + 1}: ${loss}, ${one.losses[i]}`),
        );
        const worst = Math.max(...other.logits.map((v, i) => Math.abs(v - one.logits[i])));
        assert.ok(worst < 1e-4, String(worst));
    }
});

test('22: gradients without an update are those without dropout', async () => {
    for (const [method, options] of /** @type {[string, any][]} */ ([
        ['lora', { rank: 3, init: 'false' }], ['lora', { rank: 3, init: 'false', use_dora: true }], ['adapter', { bottleneck_size: 4 }],
    ])) {
        const found = [];
        for (const dropout of [0, 0.5]) {
            const session = await tiny();
            await addSequences(session, 4);
            const { id, tensors } = await session.addModule(method, { ...options, dropout }, { seed: 2 });
            const { sum } = await session.request('gradients', { split: 'train', from: 0, to: 4 });
            const gradients = [];
            for (const { name } of tensors) gradients.push(sha(await session.request('gradient', { id, name })));
            found.push([sum, gradients]);
            session.close();
        }
        assert.deepEqual(found[1], found[0], method);
    }
});

test('23: tensor names are sorted by their bytes; unknown keys of the configuration are reported and harmless', async () => {
    const session = await tiny();
    for (const [method, options] of METHODS) {
        const { id } = await session.addModule(method, options);
        const files = await session.exportAdapter(id);
        const [weights] = Object.keys(files).filter((name) => name.endsWith('.safetensors'));
        const { names } = header(files[weights]);
        assert.deepEqual(names, names.toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b))), method);
        const config = JSON.parse(new TextDecoder().decode(files['adapter_config.json']));
        await session.removeModule(id);
        const more = new TextEncoder().encode(JSON.stringify({ ...config, brand_new_key: 1 }));
        const { module, ignored, notes } = await session.importAdapter({ ...files, 'adapter_config.json': more });
        assert.ok(JSON.stringify([ignored, notes]).includes('brand_new_key'), `${method}: ${JSON.stringify([ignored, notes])}`);
        assert.equal(sha((await session.exportAdapter(module.id))[weights]), sha(files[weights]), method);
        await session.clear();
    }
    session.close();
});

test('24, 25: the counter, the optimiser and a quarter of the stored bytes are one number', async () => {
    const session = await tiny();
    await addSequences(session);
    for (const [method, options] of METHODS) {
        const { id, parameters } = await session.addModule(method, options);
        const { trainable } = await session.count();
        const run = await session.request('trainBegin', { steps: 1 });
        assert.equal(trainable, parameters, method);
        assert.equal(run.trainable, trainable, method);
        await session.endRun();
        const files = await session.exportAdapter(id);
        const [weights] = Object.keys(files).filter((name) => name.endsWith('.safetensors'));
        assert.equal(header(files[weights]).bytes / 4, trainable, method);
        await session.clear();
    }
    await session.addModule('lora', { rank: 2, loraplus_lr_ratio: 16 });
    await session.addModule('prompt', { num_virtual_tokens: 3 });
    assert.equal((await session.request('trainBegin', { steps: 1 })).trainable, (await session.count()).trainable, 'one optimiser over both');
    session.close();
});

test('5, 6: a hundred merges and unmerges drift by nothing', async () => {
    const session = await tiny();
    await addSequences(session);
    const tokens = sequences(1, 101)[0];
    const logits = async () => sha((await session.logits({ tokens })).logits);
    const base = await logits();
    await session.addModule('lora', { rank: 3, target_modules: 'all-linear' });
    await session.train({ steps: 5, lr: 3e-2 });
    const active = await logits();
    await session.merge();
    const merged = await logits();
    for (let i = 0; i < 100; i++) {
        await session.unmerge();
        assert.equal(await logits(), active);
        await session.merge();
        assert.equal(await logits(), merged);
    }
    await session.clear();
    assert.equal(await logits(), base);
    session.close();
});

test('every sequence is learned from, also where a batch spans the end of an epoch and holds its longest example twice', async () => {
    const session = await tiny();
    const of = (/** @type {number} */ length) => Array.from({ length }, (_, i) => 1 + (i % 90));
    await session.request('setTokens', { split: 'train', examples: [of(20), of(3), of(3)] });
    await session.addModule('lora', {});
    let tokens = 0;
    await session.train({ steps: 300, batch_size: 2, shards: 1, onStep: (report) => { tokens += report.tokens; } });
    assert.equal(tokens, (20 + 3 + 3) * 200);
    session.close();
});

test('names from files: a snapshot cannot name a folder outside, an adapter with an odd name still loads', async () => {
    const session = await tiny();
    await addSequences(session);
    await session.addModule('adapter', { variant: 'pfeiffer', bottleneck_size: 3 }, { name: 'default' });
    const snapshot = Buffer.from(await session.snapshot());
    const at = snapshot.indexOf('default');
    snapshot.write('../../x', at);
    await assert.rejects(session.restore(new Uint8Array(snapshot)), /"\.\.\/\.\.\/x"/);
    const [{ id }] = (await session.describe()).modules;
    const files = await session.exportAdapter(id);
    const config = JSON.parse(new TextDecoder().decode(files['adapter_config.json']));
    assert.equal(config.name, 'default');
    const weights = Buffer.from(files['adapter.safetensors']);
    for (let i = weights.indexOf('default'); i >= 0; i = weights.indexOf('default', i + 1)) weights.write('en@u p1', i);
    const { module } = await session.importAdapter({
        'adapter_config.json': new TextEncoder().encode(JSON.stringify({ ...config, name: 'en@u p1' })),
        'adapter.safetensors': new Uint8Array(weights),
    });
    assert.equal(module.name, 'en_u_p1');
    session.close();
});
