// Calls in an order that nobody would expect: each is done with what is there now, or refused with nothing changed.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { readModelFolder } from '../../web/engine/index.js';
import { addSequences, codeOf, sequences, sha, STORIES, stories, tiny, weightHash } from './lib/session.mjs';

/** @typedef {import('../../web/engine/session.js').Session} Session */

const RUN = { steps: 8, batch_size: 4, lr: 2e-2, seed: 3 };
const TOKENS = sequences(1, 101)[0];
const logitsOf = async (/** @type {Session} */ session) => (await session.logits({ tokens: TOKENS })).logits;
const gap = (/** @type {Float32Array} */ a, /** @type {Float32Array} */ b) => a.reduce((most, v, i) => Math.max(most, Math.abs(v - b[i])), 0);
/** What must not have changed. @param {Session} session */
const state = async (session) => [sha(await logitsOf(session)), JSON.stringify(await session.describe())];

/** @param {import('../../web/engine/files.js').ModelFiles} files @param {object} change to config.json */
const withConfig = (files, change) => ({
    ...files, config: new TextEncoder().encode(JSON.stringify({ ...JSON.parse(new TextDecoder().decode(files.config)), ...change })),
});

/** @param {Promise<any>} call @param {string} code @param {RegExp} says */
const refused = (call, code, says) => assert.rejects(call, (/** @type {any} */ error) => {
    assert.equal(error.code, code, error.message);
    assert.match(error.message, says);
    return true;
});

test('a tensor that is set in an open run is what its next step begins with', async () => {
    for (const [method, options] of /** @type {[string, any][]} */ ([
        ['lora', { use_dora: true }], ['prompt', {}], ['prefix', { prefix_projection: true }], ['prefix', {}], ['adapter', {}], ['ia3', {}],
        ['norms', {}], ['full', {}],
    ])) {
        const found = [];
        for (const before of [true, false]) {
            const session = await tiny();
            await addSequences(session);
            const { id, tensors: [{ name }] } = await session.addModule(method, options);
            const values = (await session.tensor(id, name)).map((v, i) => v + 0.01 * ((i % 7) - 3));
            if (before) await session.setTensor(id, name, values);
            await session.request('trainBegin', RUN);
            if (!before) await session.setTensor(id, name, values);
            /** @type {number[]} */
            const losses = [];
            await session.resume({ until: 3, onStep: ({ loss }) => losses.push(loss) });
            found.push([losses, await weightHash(session)]);
            session.close();
        }
        assert.deepEqual(found[1], found[0], method);
    }
});

test('merging: over full fine-tuning twice is once; under it, where nobody would see it, is refused', async () => {
    const session = await tiny();
    await addSequences(session);
    const full = await session.addModule('full');
    const dora = await session.addModule('lora', { use_dora: true, rank: 3 });
    await session.train(RUN);
    const running = await logitsOf(session);
    await session.merge();
    const once = await logitsOf(session);
    await session.merge();
    assert.equal(sha(await logitsOf(session)), sha(once));
    assert.ok(gap(once, running) < 1e-4, String(gap(once, running)));
    await session.unmerge();
    assert.equal(sha(await logitsOf(session)), sha(running));
    const before = await state(session);
    await refused(session.merge([dora.id]), 'state', /another active module stands in for .*merge that module too, or deactivate it/);
    assert.deepEqual(await state(session), before);
    await session.setModule(full.id, { active: false });
    await session.merge([dora.id]);
    session.close();
});

test('a prompt compiles into what it is beside the modules that are active with it', async () => {
    const session = await tiny();
    await addSequences(session);
    await session.addModule('lora', { rank: 4, target_modules: 'all-linear' });
    await session.addModule('prefix', { num_virtual_tokens: 2 });
    const { id } = await session.addModule('prompt', { num_virtual_tokens: 4 });
    await session.train({ ...RUN, lr: 5e-2 });
    const want = await logitsOf(session);
    const made = await session.compilePrompt(id, 'compiled');
    assert.ok(gap(await logitsOf(session), want) < 1e-4, String(gap(await logitsOf(session), want)));
    await session.removeModule(made.id);
    await session.setModule(id, { active: true });
    const second = await session.addModule('prompt', { num_virtual_tokens: 3 });
    const before = await state(session);
    await refused(session.compilePrompt(id), 'state', /is a prompt, too.*deactivate one of the two/);
    await refused(session.compilePrompt(1), 'state', /module default is no prompt/);
    assert.deepEqual(await state(session), before);
    await session.setModule(second.id, { active: false });
    await session.compilePrompt(id);
    assert.ok(gap(await logitsOf(session), want) < 1e-4);
    session.close();
});

test('bottleneck adapters combine into their average; equal ones into the same', async () => {
    const session = await tiny();
    await addSequences(session);
    const ids = [];
    for (const seed of [1, 2]) {
        const { id } = await session.addModule('adapter', { bottleneck_size: 4 }, { seed });
        await session.train({ ...RUN, seed });
        await session.setModule(id, { active: false });
        ids.push(id);
    }
    const linear = (/** @type {number[]} */ weights, /** @type {number[]} */ of = ids) =>
        session.mix({ type: 'linear', name: 'mean', modules: of.map((id, i) => ({ id, weight: weights[i] })) });
    const { module, ...rest } = await linear([3, 1]);
    assert.deepEqual(rest, { type: 'linear' });
    for (const { name } of module.tensors) {
        const [a, b, mean] = await Promise.all([...ids, module.id].map((id) => session.tensor(id, name)));
        assert.ok(gap(mean, a.map((v, i) => 0.75 * v + 0.25 * b[i])) < 1e-6, name);
    }
    const same = (await linear([0.5, 0.5], [ids[0], ids[0]])).module.id;
    await session.setModule(ids[0], { active: true });
    const want = sha(await logitsOf(session));
    await session.setModule(ids[0], { active: false });
    await session.setModule(same, { active: true });
    assert.equal(sha(await logitsOf(session)), want);
    const other = await session.addModule('adapter', { bottleneck_size: 5 });
    const parallel = { bottleneck_size: 4, non_linearity: 'relu', scaling: 1 };
    const p = await session.addModule('adapter', { variant: 'parallel', ...parallel });
    const q = await session.addModule('adapter', { variant: 'pfeiffer', ...parallel });
    const lora = await session.addModule('lora');
    const before = await state(session);
    await refused(linear([1, 1], [ids[0], other.id]), 'mismatch', /differ in placement, bottleneck/);
    await refused(linear([1, 1], [p.id, q.id]), 'mismatch', /differ in placement/);
    await refused(linear([1, 1], [ids[0], lora.id]), 'mismatch', /not a bottleneck adapter/);
    await refused(linear([1, 1], [lora.id, ids[0]]), 'unsupported', /only LoRAs, or bottleneck adapters of one kind/);
    await refused(linear([1, -1]), 'range', /add up to 0/);
    await refused(session.mix({ type: 'cat', modules: [{ id: ids[0], weight: 1 }] }), 'unsupported', /only linear, the average/);
    assert.deepEqual(await state(session), before);
    session.close();
});

test('a weight: taken by the methods that are said to have one, refused by the others with the names of those', async () => {
    const session = await stories();
    const { methods } = await session.describeStatic();
    const weighted = methods.filter((/** @type {any} */ m) => m.can_scale);
    assert.deepEqual(weighted.map((/** @type {any} */ m) => m.name), ['lora', 'adapter', 'ia3']);
    for (const { name, can_scale } of methods) {
        const { id } = await session.addModule(name);
        const half = session.setModule(id, { weight: 0.5 });
        if (can_scale) assert.equal((await half).weight, 0.5, name);
        else await refused(half, 'unsupported', /these methods have one: LoRA, Bottleneck adapters, \(IA\)3/);
        await session.removeModule(id);
    }
    session.close();
});

test('a restore that is refused leaves the training it came into alone', async () => {
    for (const workers of [1, 2]) {
        const session = await stories({ inThread: false });
        await session.setData('train', Array.from({ length: 6 }, (_, i) => ({ prompt: `Cat ${i}`, completion: ' sat.' })));
        await session.addModule('lora', { rank: 2 });
        const bytes = await session.snapshot();
        /** @type {Promise<string>[]} */
        const others = [];
        const trained = session.train({
            ...RUN, steps: 60, shards: 2, workers,
            onStep: ({ step }) => {
                if (step === 2) others.push(codeOf(session.restore(bytes)), codeOf(session.restore(bytes).catch(() => session.train(RUN))));
            },
        });
        assert.equal((await trained).step, 60);
        assert.deepEqual(await Promise.all(others), ['state', 'state']);
        session.close();
    }
});

test('another model: the old data are forgotten, also for the workers of the next run; a failed load takes no memory', async () => {
    const files = await readModelFolder(STORIES);
    const short = withConfig(files, { max_position_embeddings: 32 });
    const session = await stories({ inThread: false });
    const text = [{ text: 'Once upon a time there was a cat. '.repeat(20) }];
    await session.setData('validation', text, { maxLength: 100 });
    await session.loadModel(short);
    await session.setData('train', text);
    await session.addModule('lora', { rank: 2 });
    assert.equal((await session.train({ steps: 2, batch_size: 2, shards: 2, workers: 2 })).done, true);
    const { bytes } = await session.request('memory');
    for (const weights of [[5], [files.weights[0].slice(0, 1000)], []])
        assert.notEqual(await codeOf(session.loadModel(/** @type {any} */ ({ ...files, weights }))), 'no error');
    assert.equal((await session.request('memory')).bytes, bytes);
    assert.equal((await session.train({ steps: 1, batch_size: 2 })).done, true);
    session.close();
});

test('without a first token there is nothing that predicts the first word', async () => {
    const session = await stories();
    const files = await readModelFolder(STORIES);
    const { post_processor: _, ...rest } = JSON.parse(new TextDecoder().decode(files.tokenizer)); // which would put one there
    const tokenizer = new TextEncoder().encode(JSON.stringify(rest));
    await session.loadModel({ ...withConfig(files, { bos_token_id: null }), tokenizer });
    const [{ tokens, log_probability }] = await session.score('', ['The cat sat.']);
    assert.ok(tokens > 1 && log_probability < 0, String(log_probability));
    session.close();
});

test('refused memory: data are replaced, and modules removed, as a whole or not at all', async () => {
    const session = await stories();
    const first = [{ prompt: 'The cat', completion: ' sat.' }];
    const next = Array.from({ length: 9 }, (_, i) => ({ prompt: `A dog ${i}`, completion: ' barks a lot.' }));
    await session.setData('train', first);
    await session.addModule('lora', { rank: 2 });
    const look = async () => {
        const { data, modules, run } = await session.describe();
        return JSON.stringify([data, modules.map((/** @type {any} */ m) => m.id), run]);
    };
    const allocations = async () => (await session.request('memory')).allocations;
    for (const [work, undo] of [
        [() => session.setData('train', next), () => session.setData('train', first)],
        [() => session.clear(), () => session.addModule('lora', { rank: 2 })],
    ]) {
        const begun = await allocations();
        await work();
        const count = (await allocations()) - begun;
        await undo();
        let refusals = 0;
        for (let nth = 1; nth <= count; nth++) {
            const before = await look();
            await session.request('failAt', { allocation: nth });
            const code = await codeOf(work());
            await session.request('failAt', { allocation: 0 });
            if (code === 'no error') { // it can do without
                await undo();
                continue;
            }
            assert.equal(code, 'memory');
            assert.equal(await look(), before, `${work}, allocation ${nth}`);
            refusals++;
        }
        assert.ok(refusals > 0, String(work));
    }
    session.close();
});
