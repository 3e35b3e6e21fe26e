// How a step's shards are shared out to workers: by the work in them, which the engine tells before the step.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import { Core } from '../../web/engine/core.js';
import { compile, instantiate } from '../../web/engine/loader.js';
import { evaluate, losses } from '../../web/engine/evaluate.js';
import { computeShards, shareShards } from '../../web/engine/shared-step.js';
import { PeftLab } from '../../web/engine/index.js';
import { Lab } from '../../web/lib/lab.js';
import { withPoorWorker } from './lib/poor-worker.mjs';
import { GOLDEN, STORIES, weightHash } from './lib/session.mjs';

const read = (/** @type {string} */ path) => new Uint8Array(readFileSync(path));
/** A session of the tiny model with a LoRA and one example per length. @param {number[]} lengths @param {string} [method] */
async function withLengths(lengths, method = 'lora') {
    const core = new Core(await instantiate(await compile(read(new URL('../../build/wasm/peftlab.wasm', import.meta.url).pathname))));
    core.loadModel({ config: read(`${GOLDEN}gqa-odd/config.json`), weights: [read(`${GOLDEN}gqa-odd/model.safetensors`)] });
    core.ask('pl_module_add', [], { method, options: {} });
    core.call('pl_data_begin', 'train', 0);
    for (const length of lengths) core.addTokens('train', Int32Array.from({ length }, (_, i) => i % 7), 1, 0);
    return core;
}

test('shares: the costliest first, each to whoever has the least; every shard once', () => {
    assert.deepEqual(shareShards([1, 1, 1, 1], 2), [[0, 2], [1, 3]]);
    assert.deepEqual(shareShards([9, 9, 2, 2], 2), [[0, 2], [1, 3]]); // halves in a row would be 18 against 4
    assert.deepEqual(shareShards([2, 9, 3, 4], 2), [[1], [3, 2, 0]]);
    assert.deepEqual(shareShards([5], 3), [[0], [], []]);
    for (let shards = 1; shards < 20; shards++) {
        const costs = Array.from({ length: shards }, (_, i) => ((i * 37) % 11) + 1);
        for (const workers of [1, 2, 3, 8]) {
            const shares = shareShards(costs, workers);
            assert.deepEqual(shares.flat().sort((a, b) => a - b), costs.map((_, i) => i));
            const most = Math.max(...shares.map((share) => share.reduce((sum, i) => sum + costs[i], 0)));
            const bound = Math.max(costs.reduce((sum, x) => sum + x, 0) / workers, ...costs);
            assert.ok(most <= 2 * bound, `${most} of at best ${bound}`);
        }
    }
});

test('the cost of a shard follows its tokens, in the order of the step', async () => {
    const core = await withLengths([4, 8, 12, 16]);
    assert.throws(() => core.json('pl_train_shard_costs'), /begin one first/);
    core.ask('pl_train_begin', [], { steps: 2, batch_size: 4, shards: 4 });
    const costs = core.json('pl_train_shard_costs');
    // Of a shard's bytes, tokens come after loss and labels.
    const tokens = (/** @type {number} */ shard) => new DataView(computeShards(core, [shard]).bytes.buffer).getInt32(12, true);
    const sizes = [0, 1, 2, 3].map(tokens);
    assert.deepEqual([...sizes].sort((a, b) => a - b), [4, 8, 12, 16]);
    const bySize = (/** @type {number} */ size) => costs[sizes.indexOf(size)];
    // Labels (one less than tokens) and attention bend the line a little.
    assert.ok(bySize(8) > 2 * bySize(4) && bySize(8) < 2.4 * bySize(4), costs.join(' '));
    assert.ok(bySize(16) > 2 * bySize(8));
    core.json('pl_train_step');
    assert.notDeepEqual(core.json('pl_train_shard_costs').indexOf(bySize(16)), -1);
    core.json('pl_train_step');
    assert.throws(() => core.json('pl_train_shard_costs'), /all 2 steps of this run are done/);
    core.free();
});

test('virtual tokens are work, too', async () => {
    const [plain, prompt] = await Promise.all(['lora', 'prompt'].map(async (method) => {
        const core = await withLengths([6], method);
        core.ask('pl_train_begin', [], { steps: 1, batch_size: 1 });
        const [cost] = core.json('pl_train_shard_costs');
        core.free();
        return cost;
    }));
    assert.ok(prompt > 2 * plain, `${prompt} ${plain}`); // 20 learned rows beside 6
});

/**
 * The same training by different numbers of workers gives the same bits.
 * @param {number[]} birds words of each example @param {[string, object?]} module @param {any} train @param {number[]} numbers of workers
 */
async function sameWeights(birds, module, train, numbers) {
    const examples = birds.map((count, i) => ({ prompt: 'The', completion: ' bird'.repeat(count), line: i + 1 }));
    const hashes = [];
    for (const workers of numbers) {
        const session = await PeftLab.load(STORIES);
        await session.addModule(...module);
        await session.setData('train', examples);
        await session.train({ ...train, workers });
        hashes.push(await weightHash(session));
        session.close();
    }
    assert.deepEqual(hashes, numbers.map(() => hashes[0]));
}

test('sequences of very different lengths: the same weights for any number of workers', async () => {
    const train = { steps: 3, batch_size: 5, shards: 3, lr: 1e-2 };
    await sameWeights([1, 30, 2, 25, 3, 40, 1], ['lora', { rank: 2, dropout: 0.1 }], train, [1, 2, 4]);
});

test('full fine-tuning, whose gradients are the largest: the same weights for any number of workers', async () => {
    await sameWeights([3, 9, 5, 7, 4], ['full'], { steps: 4, batch_size: 4, shards: 4, lr: 1e-3 }, [1, 2, 3]);
});

test('the held-out loss is the same number whoever measures it', async () => {
    const held = Array.from({ length: 23 }, (_, i) => ({ prompt: 'The', completion: ' bird'.repeat(1 + (i * 7) % 13), line: i + 1 }));
    for (const limit of [undefined, 1, 10]) {
        const found = [];
        for (const workers of [1, 2, 3]) {
            const session = await PeftLab.load(STORIES);
            await session.addModule('lora', { rank: 2 });
            await session.setData('train', held.slice(0, 4));
            await session.setData('validation', held);
            /** @type {any[]} */
            const seen = [];
            await session.train({
                steps: 4, batch_size: 4, shards: 4, lr: 1e-2, workers, eval_every: 2, eval_limit: limit,
                onValidation: (report) => seen.push(report),
            });
            found.push(seen);
            session.close();
        }
        assert.deepEqual(found[0].map(({ step, examples }) => [step, examples]), [[2, limit ?? 23], [4, limit ?? 23]]);
        assert.deepEqual(found[1], found[0]);
        assert.deepEqual(found[2], found[0]);
    }
});

test('a replica with other data under the name leaves its share; one that fails as well', async () => {
    const core = await withLengths([4, 8, 12, 16, 5, 9]);
    const context = /** @type {any} */ ({ unit() {}, emit() {}, check() {}, breathe: async () => {} });
    const alone = await evaluate(core, { split: 'train' }, context);
    for (const other of [await withLengths([4, 8, 12, 16, 5, 10]), await withLengths([])]) {
        let asked = 0;
        const replica = /** @type {any} */ ({
            request: async (/** @type {string} */ _command, /** @type {any} */ args) => {
                asked++;
                return losses(other, args, context);
            },
        });
        const lost = /** @type {any} */ ({ request: async () => { throw new Error('gone'); } });
        assert.deepEqual(await evaluate(core, { split: 'train' }, context, [replica]), alone);
        assert.deepEqual(await evaluate(core, { split: 'train' }, context, [lost, replica]), alone);
        assert.equal(asked, 2);
        other.free();
    }
    core.free();
});

test('weights of a run that workers share cannot be set from outside: they would drift apart', async () => {
    const session = await PeftLab.load(STORIES);
    const { id, tensors: [{ name }] } = await session.addModule('lora', { rank: 2 });
    await session.setData('train', [{ prompt: 'The', completion: ' bird' }, { prompt: 'A', completion: ' cat' }]);
    await session.train({ steps: 4, batch_size: 2, shards: 2, workers: 2, until: 2 });
    const values = await session.tensor(id, name);
    await assert.rejects(session.setTensor(id, name, values), /while workers share the open run/);
    assert.equal((await session.resume()).done, true);
    await session.setTensor(id, name, values);
    session.close();
});

test('a worker that gets no memory is done without: the run goes on with fewer, says so, and comes to the same weights', async () => {
    const train = { steps: 6, batch_size: 4, shards: 4, lr: 1e-2 };
    const alone = await PeftLab.load(STORIES, { inThread: true });
    const begin = async (/** @type {import('../../web/engine/session.js').Session} */ session) => {
        await session.addModule('lora', { rank: 2 });
        await session.setData('train', [3, 9, 5, 7, 4].map((count) => ({ prompt: 'The', completion: ' bird'.repeat(count) })));
    };
    await begin(alone);
    await alone.train(train);
    for (const [workers, poor] of [[2, 1], [3, 2]]) {
        const session = await PeftLab.load(STORIES, { inThread: true, createWorker: withPoorWorker(poor) });
        await begin(session);
        /** @type {any[]} */
        const told = [];
        const outcome = await session.train({ ...train, workers, until: 3, onFewerWorkers: (fewer) => told.push(fewer) });
        assert.deepEqual([outcome.step, outcome.done], [3, false]);
        assert.deepEqual(told.map((one) => [one.workers, one.asked, one.error.code]), [[workers - 1, workers, 'memory']]);
        assert.match(told[0].error.message, /memory/);
        assert.equal((await session.resume()).done, true);
        assert.equal((await session.describe()).run, null);
        assert.equal(await weightHash(session), await weightHash(alone), `${workers} workers`);
        session.close();
    }
    alone.close();
});

test('a run that is restored for more workers than there is memory for goes on with fewer', async () => {
    const session = await PeftLab.load(STORIES, { inThread: true, createWorker: withPoorWorker(1) });
    await session.addModule('lora', { rank: 2 });
    await session.setData('train', [3, 9, 5, 7].map((count) => ({ prompt: 'The', completion: ' bird'.repeat(count) })));
    await session.train({ steps: 4, batch_size: 4, shards: 4, until: 2 });
    const bytes = await session.snapshot();
    await session.endRun();
    let told = 0;
    const { run } = await session.restore(bytes, { workers: 2, onFewerWorkers: ({ workers }) => { told = workers; } });
    assert.deepEqual([run.step, told], [2, 1]);
    assert.equal((await session.resume()).done, true);
    session.close();
});

test('the page says that fewer workers run, when a run begins and when it is taken up again', async () => {
    const models = new URL('../../models', import.meta.url).pathname;
    /** @param {number} poor @param {(lab: Lab) => Promise<any>} act */
    const told = async (poor, act) => {
        const lab = new Lab({ base: models, load: { createWorker: withPoorWorker(poor) } });
        lab.set({ model: 'stories-300k', task: 'pirate', steps: 4, batch_size: 4, workers: 2 });
        await lab.ready();
        const notices = /** @type {any[]} */ ([]);
        lab.addEventListener('notice', (/** @type {any} */ { detail }) => notices.push(detail));
        const result = await act(lab);
        lab.close();
        return { notices, result };
    };
    const first = await told(2, async (lab) => {
        const snapshots = /** @type {any[]} */ ([]);
        lab.addEventListener('snapshot', (/** @type {any} */ { detail }) => snapshots.push(detail));
        lab.addEventListener('step', () => lab.pause(), { once: true });
        await lab.train();
        const { run } = lab;
        assert.ok(run);
        return { run: structuredClone(run), bytes: snapshots.at(-1).bytes, status: (await lab.resume())?.status };
    });
    assert.equal(first.result.status, 'done');
    assert.deepEqual(first.notices.map((notice) => notice), ['notice.fewer_workers']);
    const again = await told(2, (lab) => lab.recover({ run: first.result.run, bytes: first.result.bytes }));
    assert.equal(again.result.status, 'done');
    assert.deepEqual(again.notices.map((notice) => notice), ['notice.fewer_workers']);
});

test('a callback that throws when fewer workers start ends its call, and the run can go on', async () => {
    const session = await PeftLab.load(STORIES, { inThread: true, createWorker: withPoorWorker(1) });
    await session.addModule('lora', { rank: 2 });
    await session.setData('train', [3, 9].map((count) => ({ prompt: 'The', completion: ' bird'.repeat(count) })));
    const onFewerWorkers = () => { throw new Error('mine'); };
    await assert.rejects(session.train({ steps: 2, batch_size: 2, shards: 2, workers: 2, onFewerWorkers }), (/** @type {any} */ error) => {
        assert.match(error.message, /a callback of this call failed: mine/);
        return error.code === 'argument';
    });
    assert.equal((await session.resume()).done, true);
    session.close();
});

test('a snapshot without a run needs no workers: its weights can be set', async () => {
    const session = await PeftLab.load(STORIES);
    const { id, tensors: [{ name }] } = await session.addModule('lora', { rank: 2 });
    const bytes = await session.snapshot();
    await session.restore(bytes, { workers: 2 });
    const [module] = (await session.describe()).modules;
    await session.setTensor(module.id, name, await session.tensor(module.id, name));
    assert.notEqual(module.id, id);
    session.close();
});
