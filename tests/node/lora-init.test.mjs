// PiSSA, OLoRA and the orthogonal start through the public API: start, resuming, files, what peft calls them.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';

import { PeftLab } from '../../web/engine/index.js';
import { addSequences, sequences, sha, STORIES, tiny, weightHash } from './lib/session.mjs';

const RUN = { steps: 8, batch_size: 6, shards: 3, lr: 1e-2, seed: 3 };
const tokens = sequences(1, 101)[0];
const golden = new URL('../golden/pissa-all-gqa-odd/adapter/', import.meta.url);

/** @param {Uint8Array} bytes */
const parse = (bytes) => JSON.parse(new TextDecoder().decode(bytes));
/** @param {any} value */
const utf8 = (value) => new TextEncoder().encode(JSON.stringify(value));
/** Largest difference of the logits, as a share of the largest logit. @param {Float32Array} a @param {Float32Array} b */
const gap = (a, b) => Math.max(...a.map((v, i) => Math.abs(v - b[i]))) / Math.max(...a.map(Math.abs));
/** @param {import('../../web/engine/session.js').Session} session */
const logitsOf = async (session) => (await session.logits({ tokens })).logits;

test('the start is the base bit for bit, trains as many numbers as usual, and learns', async () => {
    const session = await tiny();
    await addSequences(session);
    const base = await logitsOf(session);
    const usual = await session.addModule('lora', { rank: 4, target_modules: 'all-linear' });
    await session.clear();
    for (const init of ['pissa', 'olora', 'orthogonal']) {
        const module = await session.addModule('lora', { rank: 4, target_modules: 'all-linear', init_lora_weights: init });
        assert.equal(module.options.init, init);
        assert.equal(module.parameters, usual.parameters, init);
        if (init === 'orthogonal') assert.ok(gap(base, await logitsOf(session)) < 2e-6);
        else assert.equal(sha(await logitsOf(session)), sha(base), init);
        /** @type {number[]} */
        const losses = [];
        await session.train({ ...RUN, steps: 20, schedule: 'constant', onStep: ({ loss }) => losses.push(loss) });
        assert.ok(losses[19] < losses[0], `${init}: ${losses[0]} -> ${losses[19]}`);
        const trained = await logitsOf(session);
        await session.merge();
        assert.ok(gap(trained, await logitsOf(session)) < 1e-4, init);
        await session.unmerge();
        assert.equal(sha(await logitsOf(session)), sha(trained), init);
        await session.clear();
        assert.equal(sha(await logitsOf(session)), sha(base), `${init}: the base is as it was`);
    }
    session.close();
});

test('paused, saved and restored: bit for bit, though the start is worked out anew', async () => {
    for (const options of [{ init: 'pissa', dropout: 0.1 }, { init: 'olora', use_dora: true }, { init: 'orthogonal' }]) {
        const [whole, first, second] = [await tiny(), await tiny(), await tiny()];
        for (const session of [whole, first, second]) await addSequences(session);
        for (const session of [whole, first]) await session.addModule('lora', { rank: 4, target_modules: 'all-linear', ...options });
        await whole.train(RUN);
        await first.train({ ...RUN, until: 3 });
        await second.restore(await first.snapshot());
        await second.resume();
        assert.equal(await weightHash(second), await weightHash(whole), options.init);
        assert.equal(sha(await logitsOf(second)), sha(await logitsOf(whole)), options.init);
        for (const session of [whole, first, second]) session.close();
    }
});

test('two workers train what one trains', async () => {
    const hashes = [];
    for (const workers of [1, 2]) {
        const session = await PeftLab.load(STORIES);
        await session.addModule('lora', { rank: 4, init: 'pissa' });
        await session.setData('train', [
            { prompt: 'The cat', completion: ' sat on the mat.', line: 1 },
            { prompt: 'A dog', completion: ' ran home.', line: 2 },
        ]);
        await session.train({ steps: 3, batch_size: 4, shards: 2, lr: 1e-2, workers });
        hashes.push(await weightHash(session));
        session.close();
    }
    assert.equal(hashes[0], hashes[1]);
});

test('the file is a plain LoRA of twice the rank: it works on the untouched base, and its size is told to the byte', async () => {
    const session = await tiny();
    await addSequences(session);
    const config = parse(await readFile(new URL('../golden/models/gqa-odd/config.json', import.meta.url)));
    for (const init of ['pissa', 'olora']) {
        for (const use_rslora of [false, true]) {
            const options = { init, rank: 3, alpha: 5, use_rslora, rank_pattern: { v_proj: 2 }, alpha_pattern: { v_proj: 3 } };
            const { id, parameters } = await session.addModule('lora', options);
            await session.train(RUN);
            const before = await logitsOf(session);
            const files = await session.exportAdapter(id);
            const saved = parse(files['adapter_config.json']);
            const more = use_rslora ? Math.SQRT2 : 2;
            assert.deepEqual(
                [saved.init_lora_weights, saved.r, saved.lora_alpha, saved.rank_pattern, saved.alpha_pattern],
                [true, 6, 5 * more, { v_proj: 4 }, { v_proj: 3 * more }],
            );
            const counted = await session.countFor({ config, method: 'lora', options });
            assert.equal(counted.trainable, parameters);
            assert.equal(counted.file_bytes.fp32, files['adapter_model.safetensors'].length);
            await session.clear();
            const { module } = await session.importAdapter(files);
            assert.equal(module.parameters, 2 * parameters);
            assert.ok(gap(before, await logitsOf(session)) < 3e-6, `${init}: ${gap(before, await logitsOf(session))}`);
            const again = await session.exportAdapter(module.id);
            for (const file of Object.keys(files)) assert.equal(sha(again[file]), sha(files[file]), file);
            await session.clear();
        }
    }
    session.close();
});

test("peft's words on reading: capitals, starts that leave the base alone", async () => {
    const session = await tiny();
    const [config, weights] = [
        parse(await readFile(new URL('adapter_config.json', golden))),
        new Uint8Array(await readFile(new URL('adapter_model.safetensors', golden))),
    ];
    /** @param {any} change */
    const read = async (change) => {
        await session.clear();
        const report = await session.importAdapter({ 'adapter_config.json': utf8({ ...config, ...change }), 'adapter_model.safetensors': weights });
        return { ...report, logits: await logitsOf(session) };
    };
    const exact = await read({});
    assert.deepEqual([exact.module.options.init, exact.notes], ['pissa', []]);
    const olora = await read({ init_lora_weights: 'OLoRA' });
    assert.equal(olora.module.options.init, 'olora');
    assert.ok(gap(exact.logits, olora.logits) > 1e-3, 'another part of the base is taken out');
    const eva = await read({ init_lora_weights: 'eva' });
    assert.equal(eva.module.options.init, 'true');
    const mica = await read({ init_lora_weights: 'mica' });
    assert.match(mica.notes.join(), /mica.*freezes B/);
    assert.equal(sha(mica.logits), sha(eva.logits), 'neither touches the base');
    assert.equal((await read({ init_lora_weights: 'orthogonal' })).module.options.init, 'orthogonal');
    session.close();
});

test('the factors that are shown multiply to the change that is shown', async () => {
    const session = await tiny();
    await addSequences(session);
    const { id } = await session.addModule('lora', { rank: 3, alpha: 6, init: 'pissa' });
    await session.train(RUN);
    const [a, b, delta, base, merged] = await Promise.all(['A', 'B', 'delta', 'base', 'merged'].map((what) => session.matrix(id, 1, 'q_proj', what)));
    assert.deepEqual([a.length, b.length], [6 * 40, 40 * 6]);
    let [worst, largest] = [0, 0];
    for (let o = 0; o < 40; o++) {
        for (let i = 0; i < 40; i++) {
            let sum = 0;
            for (let k = 0; k < 6; k++) sum += 2 * b[o * 6 + k] * a[k * 40 + i];
            worst = Math.max(worst, Math.abs(sum - delta[o * 40 + i]), Math.abs(base[o * 40 + i] + delta[o * 40 + i] - merged[o * 40 + i]));
            largest = Math.max(largest, Math.abs(delta[o * 40 + i]));
        }
    }
    assert.ok(largest > 1e-3 && worst < 1e-6, `${worst} of ${largest}`);
    session.close();
});

test('combining starts that nobody has trained: their products cancel, and the rounding left of them is nothing to measure errors by', async () => {
    const session = await tiny();
    for (const init of ['pissa', 'olora']) {
        const modules = [];
        for (const weight of [0.3, 0.7]) {
            modules.push({ id: (await session.addModule('lora', { rank: 4, target_modules: 'all-linear', init })).id, weight });
        }
        const { exact, norm, relative_error } = await session.mix({ type: 'cat', modules });
        assert.deepEqual([exact, norm], [true, 0], `${init}: ${relative_error}`);
        assert.ok(relative_error < 1e-12, `${init}: ${relative_error}`);
        await session.clear();
    }
    session.close();
});

test('mixing counts what was taken out of the base', async () => {
    const session = await tiny();
    await addSequences(session);
    const ids = [];
    for (const [init, weight] of /** @type {[string, number][]} */ ([['pissa', 0.7], ['true', -0.4]])) {
        const { id } = await session.addModule('lora', { rank: 3, init }, { seed: 2 });
        await session.train({ ...RUN, lr: 2e-2 });
        await session.setModule(id, { trainable: false, weight });
        ids.push(id);
    }
    const stack = await logitsOf(session);
    const cat = await session.mix({ type: 'cat', modules: [{ id: ids[0], weight: 0.7 }, { id: ids[1], weight: -0.4 }] });
    assert.deepEqual([cat.exact, cat.rank], [true, 9]);
    for (const id of ids) await session.setModule(id, { active: false });
    await session.setModule(cat.module.id, { active: true });
    assert.ok(gap(stack, await logitsOf(session)) < 2e-5);
    session.close();
});
