// Memory of a run, before it starts: near what the engine then really takes, refused where it does not fit, and cycles
// of work give back what they took.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { loadTask } from '../../web/engine/index.js';
import { Lab } from '../../web/lib/lab.js';
import { checkMemory, memoryNeed } from '../../web/lib/need.js';
import { stories } from './lib/session.mjs';

const models = join(dirname(fileURLToPath(import.meta.url)), '../../models');
const task = await loadTask(join(models, 'tasks/pirate'));

for (const [method, options] of /** @type {[string, any][]} */ ([
    ['lora', { rank: 8 }],
    ['lora', { rank: 8, init: 'pissa', target_modules: 'all-linear' }],
    ['full', {}],
    ['prefix', { num_virtual_tokens: 20 }],
    ['adapter', {}],
])) {
    test(`the need of ${method} ${JSON.stringify(options)} is told within a third of what the engine then takes, rather too ` +
        `much than too little`, async (context) => {
        for (const [batch_size, shards] of [[2, 1], [16, 4], [64, 4]]) {
            const session = await stories({ inThread: true });
            const data = await session.setData('train', task.splits.train);
            const module = await session.addModule(method, options);
            const need = await memoryNeed(session, module, { batch_size, shards }, data);
            await session.request('trainBegin', { steps: 2, batch_size, shards });
            await session.resume({ until: 1 });
            const { peak_bytes: peak } = await session.request('memory');
            context.diagnostic(
                `${method}, batch ${batch_size} in ${shards}: ${(need / 1e6).toFixed(1)} MB told, ${(peak / 1e6).toFixed(1)} MB taken`,
            );
            assert.ok(need > 0.75 * peak && need < 1.34 * peak, `batch ${batch_size}: ${need} for ${peak}`);
            session.close();
        }
    });
}

test('what does not fit is refused with what to change, and nothing is begun; a device that is short of memory is a warning', async () => {
    assert.equal(checkMemory(2e9, { workers: 1 }), false);
    assert.equal(checkMemory(3e8, { workers: 4, device: 4 }), true);
    assert.throws(
        () => checkMemory(3e9, { workers: 1 }),
        (/** @type {any} */ error) =>
            error.code === 'memory' &&
            /about 2,\d{3} MB.*can have 2,048 MB/.test(error.message) &&
            /smaller batch/.test(error.hint),
    );
    const lab = new Lab({ base: models });
    lab.set({ model: 'stories-300k', steps: 2, batch_size: 4, workers: 1 });
    await lab.ready();
    lab.memoryLimit = 1e6;
    await assert.rejects(lab.train(), { code: 'memory' });
    assert.deepEqual([lab.runs.length, lab.status], [0, 'ready']);
    lab.memoryLimit = undefined;
    assert.equal((await lab.train())?.status, 'done');
    lab.close();
});
