// A worker that is lost or never comes back is noticed in about two seconds; one that is slow, starved or not looked at is left alone.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { PeftLab } from '../../web/engine/index.js';
import { patience, Pace, Pulse, TICK_MS, Watch } from '../../web/engine/pulse.js';
import { STORIES } from './lib/session.mjs';

/** A watch with a clock of its own. */
function watched() {
    const world = { at: 0, hidden: false, why: '' };
    const watch = new Watch({ ping() {}, lost: (why) => { world.why ||= why; }, now: () => world.at, hidden: () => world.hidden });
    watch.start();
    return {
        world, watch,
        /** @param {number} ms @param {number} [tick] */
        pass(ms, tick = TICK_MS) {
            for (const end = world.at + ms; world.at < end;) {
                world.at += tick;
                watch.tick();
            }
            return world.why;
        },
    };
}

test('patience: two seconds or ten times what is usual; a minute for what is not known', () => {
    assert.deepEqual([0, 1, 199, 201, 5000].map(patience), [60_000, 2000, 2000, 2010, 50_000]);
});

test('silence: a known step is missed after two seconds, an unknown one after a minute, a slow one after ten times its time', () => {
    for (const [message, quiet, lost] of /** @type {const} */ ([
        [{ doing: 'step', usual: 40 }, 2000, 2800],
        [{ doing: 'step', usual: 0 }, 59_000, 61_000],
        [{ doing: 'step', usual: 3000 }, 29_000, 31_000],
    ])) {
        const { watch, pass } = watched();
        watch.hear(message);
        assert.equal(pass(quiet), '', `${message.usual} ms: quiet for ${quiet}`);
        assert.match(pass(lost - quiet), /has been silent for .* s \(step/, `${message.usual} ms: lost after ${lost}`);
        watch.stop();
    }
});

test('time the page itself was away does not count: background throttling, a hidden page, a sleeping machine, a blocked page', () => {
    const { watch, world, pass } = watched();
    watch.hear({ doing: 'step', usual: 40 });
    assert.equal(pass(3_600_000, 60_000), '', 'timers once a minute');
    assert.equal(pass(8 * 3_600_000, 8 * 3_600_000), '', 'the lid was closed');
    assert.equal(pass(1200), '', 'grace after waking');
    watch.hear({ pong: 1 });
    assert.equal(pass(4000, 4000), '', 'one long task of the page counts as two ticks');
    world.hidden = true;
    assert.equal(pass(60_000), '', 'hidden');
    world.hidden = false;
    assert.match(pass(2800), /silent/, 'and when it is looked at again, it is noticed');
    watch.stop();
});

test('the worker speaks when something new begins or half a second has passed, not before every step', () => {
    let at = 0;
    const said = /** @type {any[]} */ ([]);
    const pulse = new Pulse((message) => said.push(message), () => at);
    pulse.tell('step', 0);
    for (; at < 1000; at += 10) pulse.tell('step', 10);
    pulse.tell('evaluating', 0);
    pulse.tell('step', 10);
    pulse.tell('step', 30);
    assert.deepEqual(said.map(({ doing, usual }) => `${doing} ${usual}`), ['step 0', 'step 10', 'step 10', 'evaluating 0', 'step 10', 'step 30']);

    const pace = new Pace(() => at);
    assert.equal(pace.usual('step'), 0);
    for (const ms of [100, 900, ...Array(40).fill(50)]) {
        pace.begin('step');
        at += ms;
        pace.end();
        if (ms === 900) assert.equal(pace.usual('step'), 900);
    }
    assert.equal(pace.usual('step'), 50, 'one slow piece is forgotten in time');
});

/** A session that trains in workers which can be made to hang. */
async function training(workers = 1) {
    const made = /** @type {Worker[]} */ ([]);
    const createWorker = () => {
        made.push(new Worker(new URL('./lib/hanging-worker.mjs', import.meta.url)));
        return made.at(-1);
    };
    const session = await PeftLab.load(STORIES, { createWorker });
    await session.setData(
        'train',
        Array.from({ length: 16 }, (_, i) => ({ prompt: `The cat ${i} sat`, completion: ' on a mat and looked around.' })),
    );
    await session.addModule('lora', { rank: 2 });
    let step = 0;
    const run = session.train({ steps: 100_000, batch_size: 4, shards: 4, workers, onStep: (report) => { step = report.step; } });
    run.catch(() => {});
    while (step < 5) await new Promise((resolve) => { setTimeout(resolve, 20); });
    return { session, made, run, step: () => step };
}

for (const [who, workers, which] of /** @type {const} */ ([['the engine', 1, 0], ['one of two workers that share each step', 2, 1]])) {
    test(`${who} loops for ever in mid-training: noticed in about three seconds`, { timeout: 60_000 }, async () => {
        const { session, made, run } = await training(workers);
        const began = performance.now();
        made[which].postMessage({ block: 120_000 });
        await assert.rejects(run, (/** @type {any} */ error) => error.code === 'worker-lost' && /silent for/.test(error.message));
        const took = performance.now() - began;
        assert.ok(took > 1500 && took < 6000, `${took} ms`);
        session.close();
        await Promise.all(made.map((worker) => worker.terminate()));
    });
}

test('a second of standstill in mid-training is no reason to end the run', { timeout: 60_000 }, async () => {
    const { session, made, run, step } = await training();
    let ended = false;
    run.catch(() => { ended = true; });
    for (let i = 0; i < 3; i++) {
        const at = step();
        made[0].postMessage({ block: 1000 });
        while (step() < at + 10 && !ended) await new Promise((resolve) => { setTimeout(resolve, 50); });
    }
    assert.equal(ended, false);
    session.close();
});
