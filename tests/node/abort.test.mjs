// Every long call of the JavaScript API takes an AbortSignal that really stops the work, rejects with a typed error, and leaves a session that works.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { loadTask, PeftLab, PeftLabError } from '../../web/engine/index.js';
import { codeOf, sha, STORIES, stories } from './lib/session.mjs';

const EXAMPLES = Array.from({ length: 4000 }, (_, i) => ({ prompt: `The cat ${i} sat`, completion: ' on a very small mat and looked around for a long time.' }));
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
        await aborts(session.generate({ tokens: [1], max_new_tokens: 100_000, stop_at_eos: false, signal: stop.signal, onToken: () => { if (++tokens === 20) stop.abort(); } }));
        assert.ok(tokens >= 20 && tokens < 2000, `${tokens} tokens after the abort`);

        stop = new AbortController();
        await aborts(session.setData('train', MANY, { signal: stop.signal, onProgress: () => stop.abort() }));
        assert.deepEqual((await session.describe()).data, before, 'the old data stays');
        await session.setData('many', MANY);

        stop = new AbortController();
        let evaluated = 0;
        await aborts(session.evaluate({ split: 'many', signal: stop.signal, onProgress: (done) => { evaluated = done; stop.abort(); } }));
        assert.ok(evaluated < MANY.length / 2, String(evaluated));

        await session.addModule('lora', { rank: 2 });
        stop = new AbortController();
        let steps = 0;
        await aborts(session.train({ steps: 100_000, batch_size: 2, signal: stop.signal, onStep: ({ step }) => { steps = step; stop.abort(); } }));
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

test('a replica that dies ends the step, not the session', async () => {
    /** @type {import('node:worker_threads').Worker[]} */
    const workers = [];
    const createWorker = async () => {
        const { Worker } = await import('node:worker_threads');
        workers.push(new Worker(new URL('../../web/engine/worker.js', import.meta.url)));
        return workers.at(-1);
    };
    for (const inThread of [true, false]) {
        workers.length = 0;
        const session = await stories({ inThread, createWorker });
        await session.setData('train', FEW);
        await session.addModule('lora', { rank: 2 });
        let steps = 0;
        const code = await codeOf(session.train({ steps: 100_000, batch_size: 2, shards: 2, workers: 2, onStep: ({ step }) => { if (steps === 0) workers.at(-1)?.terminate(); steps = step; } }));
        assert.equal(code, 'worker-lost');
        const { run } = await session.describe();
        assert.ok(run.step >= steps && run.step < 100_000);
        assert.equal((await session.resume({ until: run.step + 3 })).step, run.step + 3, 'goes on alone');
        session.close();
    }
});

test('wrong calls reject with typed errors', async () => {
    const session = await stories();
    await session.setData('train', FEW);
    /** @type {[string, () => Promise<any>, string][]} */
    const calls = [
        ['no such folder', () => PeftLab.load('/nowhere', { inThread: true }), 'load'],
        ['no folder at all', () => PeftLab.load(/** @type {any} */ (undefined), { inThread: true }), 'argument'],
        ['a task folder that is none', () => loadTask({ 'task.json': new TextEncoder().encode('{') }), 'format'],
        ['a task without files', () => loadTask({ 'task.json': new TextEncoder().encode('{}') }), 'format'],
        ['data that is no list', () => session.setData('train', /** @type {any} */ ('text')), 'argument'],
        ['a row that is null', () => session.setData('other', /** @type {any} */ ([null])).then(({ examples }) => { throw new PeftLabError(examples === 0 ? 'argument' : 'internal', 'left out'); }), 'argument'],
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
