// Every long call of the JavaScript API takes an AbortSignal that really stops the work, rejects with a typed error, and leaves a session that works.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { loadTask, PeftLab, PeftLabError } from '../../web/engine/index.js';
import { codeOf, sha, STORIES, stories } from './lib/session.mjs';

const EXAMPLES = Array.from({ length: 4000 }, (_, i) => (
    { prompt: `The cat ${i} sat`, completion: ' on a very small mat and looked around for a long time.' }));
const [FEW, MANY] = [EXAMPLES.slice(0, 8), EXAMPLES];

/** @param {Promise<any>} work must reject as aborted, by a PeftLabError */
async function aborts(work) {
    await assert.rejects(work, (/** @type {any} */ error) => {
        assert.ok(error instanceof PeftLabError, String(error));
        assert.equal(error.code, 'aborted', error.message);
        return true;
    });
}

for (const inThread of [true, false]) {
    const where = inThread ? 'in this thread' : 'in a worker';

    test(`an abort during each long call, ${where}`, async () => {
        const session = await stories({ inThread });
        const probe = async () => sha((await session.logits({ tokens: [1, 2, 3] })).logits);
        const base = await probe();
        await session.setData('train', FEW);
        await session.setData('validation', FEW);
        const { data: before } = await session.describe();

        let stop = new AbortController();
        let tokens = 0;
        await aborts(session.generate({
            tokens: [1], max_new_tokens: 100_000, stop_at_eos: false, signal: stop.signal,
            onToken: () => { if (++tokens === 20) stop.abort(); },
        }));
        assert.ok(tokens >= 20 && tokens < 2000, `${tokens} tokens after the abort`);

        stop = new AbortController();
        await aborts(session.setData('train', MANY, { signal: stop.signal, onProgress: () => stop.abort() }));
        assert.deepEqual((await session.describe()).data, before, 'the old data stays');
        await session.setData('many', MANY);

        stop = new AbortController();
        const scored = session.score('The', Array(20_000).fill(' cat'), { signal: stop.signal });
        setImmediate(() => stop.abort());
        await aborts(scored);

        stop = new AbortController();
        let evaluated = 0;
        await aborts(session.evaluate({
            split: 'many', signal: stop.signal, onProgress: (done) => { evaluated = done; stop.abort(); },
        }));
        assert.ok(evaluated < MANY.length / 2, String(evaluated));

        await session.addModule('lora', { rank: 2 });
        stop = new AbortController();
        let steps = 0;
        await aborts(session.train({
            steps: 100_000, batch_size: 2, signal: stop.signal, onStep: ({ step }) => { steps = step; stop.abort(); },
        }));
        const { run } = await session.describe();
        assert.ok(run.step >= steps && run.step < 2000, `stopped at ${run.step}, seen ${steps}`);
        assert.equal((await session.resume({ until: run.step + 2 })).step, run.step + 2);
        await session.clear();
        assert.equal(await probe(), base, 'the base is as it was');
        session.close();
    });

    test(`a signal that has fired before the call, ${where}`, async () => {
        const session = await stories({ inThread });
        const signal = AbortSignal.abort();
        await session.setData('train', FEW);
        await session.addModule('lora', { rank: 2 });
        await aborts(session.generate({ tokens: [1], signal }));
        await aborts(session.setData('train', FEW, { signal }));
        await aborts(session.evaluate({ split: 'train', signal }));
        await aborts(session.train({ steps: 2, signal }));
        assert.equal((await session.train({ steps: 2, batch_size: 2 })).done, true);
        const [{ id }] = (await session.describe()).modules;
        await aborts(session.logits({ tokens: [1] }, { signal }));
        await aborts(session.score('a', [' b'], { signal }));
        await aborts(session.mix({ type: 'cat', modules: [{ id, weight: 1 }] }, { signal }));
        await aborts(session.exportModel('F32', { signal }));
        await aborts(session.merge([], { signal }));
        const { modules } = await session.describe();
        assert.deepEqual(modules.map((/** @type {any} */ module) => module.merged), [false], 'nothing was made or merged');
        await aborts(PeftLab.load(STORIES, { inThread, signal }));
        session.close();
    });
}

test('two splits read in at the same time do not mix', async () => {
    const session = await stories();
    const [a, b] = await Promise.all([session.setData('train', MANY.slice(0, 3000)), session.setData('validation', MANY.slice(3000))]);
    assert.deepEqual([a.examples, b.examples], [3000, 1000]);
    session.close();
});

test('what cannot be sent to a worker is a typed error, and the session goes on', async () => {
    const session = await stories({ inThread: false });
    assert.equal(await codeOf(session.addModule('lora', { rank: /** @type {any} */ (() => 1) })), 'argument');
    assert.equal((await session.describe()).modules.length, 0);
    session.close();
});

/**
 * A way to start workers that keeps them, and tells of each answer of one how many that makes.
 * @param {(count: number, worker: import('node:worker_threads').Worker) => void} [told]
 */
function keepingWorkers(told) {
    /** @type {import('node:worker_threads').Worker[]} */
    const workers = [];
    const createWorker = async () => {
        const { Worker } = await import('node:worker_threads');
        const worker = new Worker(new URL('../../web/engine/worker.js', import.meta.url));
        workers.push(worker);
        let answers = 0;
        // Later than the engine's own listener: the first one is what keeps the process waiting for the worker.
        setImmediate(() => worker.on('message', (message) => { if ('result' in message) told?.(++answers, worker); }));
        return worker;
    };
    return { workers, createWorker };
}

for (const inThread of [true, false]) {
    const where = inThread ? 'this thread' : 'a worker';
    const shared = { steps: 3000, batch_size: 2, shards: 2, workers: 2 };
    /** @param {import('../../web/engine/index.js').Session} session */
    const goesOnAlone = async (session) => {
        const { run } = await session.describe();
        assert.equal((await session.resume({ until: run.step + 3 })).step, run.step + 3, 'goes on alone');
        return run;
    };

    // While a held-out loss is measured the replica's end fails nothing, its share is done here: it is told between two steps, as
    // also when this thread gets no time.
    const moments = /** @type {[string, object][]} */ ([
        ['in a step', {}], ['between two steps', { eval_every: 1, eval_split: 'many' }],
    ]);
    for (const [moment, more] of moments) {
        test(`a replica that dies ${moment} of an engine in ${where} ends the training, not the session`, async () => {
            const { workers, createWorker } = keepingWorkers();
            const session = await stories({ inThread, createWorker });
            await session.setData('train', FEW);
            await session.setData('many', MANY.slice(0, 200));
            await session.addModule('lora', { rank: 2 });
            let steps = 0;
            const onStep = (/** @type {{step: number}} */ { step }) => {
                if (steps === 0) workers.at(-1)?.terminate();
                steps = step;
            };
            const code = await codeOf(session.train({ ...shared, ...more, onStep }));
            assert.equal(code, 'worker-lost');
            const run = await goesOnAlone(session);
            assert.ok(run.step < shared.steps);
            assert.equal(run.step, steps, 'every step that counts was told');
            session.close();
        });
    }

    test(`a replica that dies while it starts, beside an engine in ${where}, ends the training, not the session`, async () => {
        for (const last of ['start', 'loadModel', 'setData', 'restore', 'servePort'].keys()) {
            const { workers, createWorker } = keepingWorkers((count, worker) => {
                if (workers.indexOf(worker) === (inThread ? 0 : 1) && count === last + 1) worker.terminate();
            });
            const session = await stories({ inThread, createWorker });
            await session.setData('train', FEW);
            await session.addModule('lora', { rank: 2 });
            assert.equal(await codeOf(session.train(shared)), 'worker-lost', `after answer ${last + 1}`);
            await goesOnAlone(session);
            session.close();
        }
    });
}

test('a session that is closed while a replica starts leaves no worker', async () => {
    const { workers, createWorker } = keepingWorkers();
    const session = await stories({ inThread: false, createWorker });
    await session.setData('train', FEW);
    await session.addModule('lora', { rank: 2 });
    const code = codeOf(session.train({ steps: 3000, batch_size: 2, shards: 2, workers: 2 }));
    while (workers.length < 2) await new Promise((resolve) => { setImmediate(resolve); });
    const ended = Promise.all(workers.map((worker) => new Promise((resolve) => { worker.once('exit', resolve); })));
    session.close();
    assert.equal(await code, 'worker-lost');
    await ended;
});

test('a diverging run says so for any number of workers, and the session goes on', async () => {
    for (const inThread of [true, false]) {
        for (const workers of [1, 2, 3]) {
            const session = await stories({ inThread });
            await session.setData('train', FEW);
            const { id, tensors } = await session.addModule('lora', { rank: 2 });
            for (const { name, shape: [rows, columns] } of tensors.slice(0, 2)) {
                await session.setTensor(id, name, new Float32Array(rows * columns).fill(3e38));
            }
            assert.equal(await codeOf(session.train({ steps: 5, batch_size: 3, shards: 3, workers })), 'numeric', `${workers} workers`);
            assert.equal((await session.describe()).run.step, 0);
            session.close();
        }
    }
});

test('wrong calls reject with typed errors', async () => {
    const session = await stories();
    await session.setData('train', FEW);
    const withNull = async () => {
        const { examples } = await session.setData('other', /** @type {any} */ ([null]));
        throw new PeftLabError(examples === 0 ? 'argument' : 'internal', 'left out');
    };
    /** @type {[string, () => Promise<any>, string][]} */
    const calls = [
        ['no such folder', () => PeftLab.load('/nowhere', { inThread: true }), 'load'],
        ['no folder at all', () => PeftLab.load(/** @type {any} */ (undefined), { inThread: true }), 'argument'],
        ['a task folder that is none', () => loadTask({ 'task.json': new TextEncoder().encode('{') }), 'format'],
        ['a task without files', () => loadTask({ 'task.json': new TextEncoder().encode('{}') }), 'format'],
        ['data that is no list', () => session.setData('train', /** @type {any} */ ('text')), 'argument'],
        ['a row that is null', withNull, 'argument'],
        ['token 1.5', () => session.logits({ tokens: [1.5] }), 'range'],
        ['token 2 ** 32 + 1', () => session.logits({ tokens: [2 ** 32 + 1] }), 'range'],
        ['module id 2 ** 32 + 1', () => session.removeModule(2 ** 32 + 1), 'range'],
        ['no module id', () => session.removeModule(/** @type {any} */ (undefined)), 'argument'],
        ['no workers', () => session.train({ steps: 1, workers: 0 }), 'range'],
        ['too many workers', () => session.train({ steps: 1, workers: 1e6 }), 'range'],
        ['limit 0', () => session.evaluate({ split: 'train', limit: 0 }), 'range'],
        ['a split without a name', () => session.setData('', FEW), 'argument'],
    ];
    for (const [name, call, code] of calls) assert.equal(await codeOf(call()), code, name);
    assert.equal((await session.describe()).data.train.examples, FEW.length, 'the data is as it was');
    session.close();
});
