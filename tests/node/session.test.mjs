// The public API on real sessions: training, resuming, workers, merging, files. Properties, not timings.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { PeftLab, readModelFolder } from '../../web/engine/index.js';
import { addSequences, codeOf, sequences, sha, STORIES, stories, tiny, weightHash } from './lib/session.mjs';

const RUN = { steps: 12, batch_size: 6, shards: 3, lr: 5e-3, seed: 3 };
const utf8 = (/** @type {string} */ text) => new TextEncoder().encode(text);
const text = (/** @type {Uint8Array} */ bytes) => new TextDecoder().decode(bytes);
const METHODS = ['lora', 'prompt', 'prefix', 'adapter', 'ia3', 'norms', 'full'];

for (const method of METHODS) {
    test(`${method}: training lowers the loss; removing the module gives back the base bit for bit`, async () => {
        const session = await tiny();
        const tokens = sequences(1, 101)[0];
        const before = sha((await session.logits({ tokens })).logits);
        const module = await session.addModule(method, method === 'adapter' ? { bottleneck_size: 4 } : {}, { seed: 1 });
        await addSequences(session, 6);
        const losses = /** @type {number[]} */ ([]);
        let spent = 0;
        const onStep = (/** @type {any} */ { loss, ms }) => void (spent += ms, losses.push(loss));
        const result = await session.train({ steps: 30, batch_size: 6, lr: 2e-2, schedule: 'constant', onStep });
        assert.ok(spent > 0 && spent <= result.ms, `${spent} of ${result.ms} ms, by the engine's clock`);
        assert.equal(result.done, true);
        assert.equal(losses.length, 30);
        assert.ok(losses[29] < losses[0], `${losses[0]} -> ${losses[29]}`);
        assert.notEqual(sha((await session.logits({ tokens })).logits), before);
        await session.removeModule(module.id);
        assert.equal(sha((await session.logits({ tokens })).logits), before);
        session.close();
    });
}

test('an engine opened without a model takes one later, as if loaded at once; one that cannot have it ends', async () => {
    const early = PeftLab.open(null);
    const session = await PeftLab.load(STORIES, { session: early });
    assert.equal(session, await early);
    const tokens = [1, 5, 9];
    const direct = await stories();
    assert.equal(sha((await session.logits({ tokens })).logits), sha((await direct.logits({ tokens })).logits));
    // Replicas get the model that came later.
    await session.addModule('lora', { rank: 2 });
    await session.setData('train', ['a', 'b', 'c', 'd'].map((name) => ({ text: `The cat is called ${name}.` })));
    assert.equal((await session.train({ steps: 2, batch_size: 4, shards: 2, workers: 2 })).done, true);
    [session, direct].forEach((one) => one.close());
    const lost = PeftLab.open(null);
    assert.equal(await codeOf(PeftLab.load('/nowhere', { session: lost })), 'load');
    assert.equal(await codeOf((await lost).describe()), 'worker-lost');
});

test('clear: modules go, a merge is taken back, an open run is given up; the base is there bit for bit', async () => {
    const session = await tiny();
    const tokens = sequences(1, 101)[0];
    const base = sha((await session.logits({ tokens })).logits);
    await addSequences(session, 6);
    await session.addModule('lora', { rank: 2, init_lora_weights: 'false' });
    await session.merge();
    assert.notEqual(sha((await session.logits({ tokens })).logits), base);
    await session.clear();
    assert.equal(sha((await session.logits({ tokens })).logits), base);
    await session.addModule('lora', { rank: 2 });
    await session.addModule('prompt', { num_virtual_tokens: 2 });
    const stop = new AbortController();
    assert.equal(await codeOf(session.train({ steps: 9, batch_size: 2, signal: stop.signal, onStep: () => stop.abort() })), 'aborted');
    await session.clear();
    assert.deepEqual((await session.describe()).modules, []);
    assert.equal(sha((await session.logits({ tokens })).logits), base);
    assert.equal(await codeOf(session.resume()), 'state');
    await session.clear();
    session.close();
});

test('the counter is the number of trained values', async () => {
    const session = await tiny('headdim-gqa');
    for (const method of METHODS) {
        const module = await session.addModule(method);
        const elements = module.tensors.reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0);
        assert.equal(module.parameters, elements, method);
        assert.equal((await session.count()).trainable, elements, method);
        await session.removeModule(module.id);
    }
    session.close();
});

test('the same seed gives the same bits; another seed does not', async () => {
    const hashes = [];
    for (const seed of [5, 5, 6]) {
        const session = await tiny();
        await session.addModule('lora', { rank: 4, dropout: 0.2 }, { seed });
        await addSequences(session);
        await session.train({ ...RUN, seed });
        hashes.push(await weightHash(session));
        session.close();
    }
    assert.equal(hashes[0], hashes[1]);
    assert.notEqual(hashes[0], hashes[2]);
});

test('a paused, saved and restored run equals an uninterrupted one, bit for bit', async () => {
    const make = async () => {
        const session = await tiny();
        await addSequences(session);
        return session;
    };
    const whole = await make();
    await whole.addModule('lora', { rank: 4, dropout: 0.1 });
    await whole.addModule('prompt', { num_virtual_tokens: 3 });
    await whole.train(RUN);
    const wanted = await weightHash(whole);
    for (const until of [1, 5, 11]) {
        const first = await make();
        await first.addModule('lora', { rank: 4, dropout: 0.1 });
        await first.addModule('prompt', { num_virtual_tokens: 3 });
        assert.equal((await first.train({ ...RUN, until })).step, until);
        const bytes = await first.snapshot();
        first.close();
        const second = await make();
        const restored = await second.restore(bytes);
        assert.equal(restored.run.step, until);
        assert.equal((await second.resume()).done, true);
        assert.equal(await weightHash(second), wanted, `pause at ${until}`);
        second.close();
    }
    whole.close();
});

test('one, two and three workers train the same weights', async () => {
    const hashes = [];
    for (const workers of [1, 2, 3]) {
        const session = await PeftLab.load(STORIES);
        await session.addModule('lora', { rank: 2, dropout: 0.1 });
        await session.setData('train', [
            { prompt: 'The cat', completion: ' sat on the mat.', line: 1 },
            { prompt: 'A dog', completion: ' ran home.', line: 2 },
            { text: 'Once upon a time there was a bird.', line: 3 },
        ]);
        await session.train({ steps: 4, batch_size: 6, shards: 3, lr: 1e-2, workers });
        hashes.push(await weightHash(session));
        session.close();
    }
    assert.deepEqual(hashes, [hashes[0], hashes[0], hashes[0]]);
});

test('an abort stops after the step in progress, keeps the work, and the run can go on', async () => {
    const session = await tiny();
    await addSequences(session);
    await session.addModule('lora');
    const abort = new AbortController();
    const steps = 1500; // reports come in bundles, so the run must be longer than one
    const run = session.train({ ...RUN, steps, signal: abort.signal, onStep: () => abort.abort() });
    assert.equal(await codeOf(run), 'aborted');
    const { run: open } = await session.describe();
    assert.ok(open.step >= 1 && open.step < steps, String(open.step));
    const result = await session.resume();
    assert.equal(result.done, true);
    const interrupted = await weightHash(session);
    await session.clear();
    await session.addModule('lora');
    await session.train({ ...RUN, steps });
    assert.equal(await weightHash(session), interrupted);
    session.close();
});

test('merging changes logits by rounding only; unmerging restores the base bit for bit; merging twice is once', async () => {
    const session = await tiny();
    await addSequences(session);
    const tokens = sequences(1, 101)[0];
    const base = sha((await session.logits({ tokens })).logits);
    const { id } = await session.addModule('lora', { target_modules: 'all-linear' });
    await session.train({ ...RUN, lr: 3e-2 });
    const { logits } = await session.logits({ tokens });
    await session.merge();
    const merged = (await session.logits({ tokens })).logits;
    const largest = Math.max(...logits.map(Math.abs));
    assert.ok(Math.max(...logits.map((v, i) => Math.abs(v - merged[i]))) <= 1e-4 * largest);
    assert.deepEqual((await session.merge([id])).merged, [id]);
    assert.equal(sha((await session.logits({ tokens })).logits), sha(merged));
    await session.unmerge();
    assert.equal(sha((await session.logits({ tokens })).logits), sha(logits));
    await session.removeModule(id);
    assert.equal(sha((await session.logits({ tokens })).logits), base);
    session.close();
});

test('what cannot be merged says why, and stays active', async () => {
    const session = await tiny();
    for (const method of ['prompt', 'prefix', 'adapter']) {
        const { id } = await session.addModule(method);
        await assert.rejects(session.merge([id]), (/** @type {any} */ error) => error.code === 'unsupported' && error.message.length > 60);
        assert.equal((await session.describe()).modules[0].active, true);
        await session.removeModule(id);
    }
    session.close();
});

test('an exported adapter comes back equal, and exports to the same bytes', async () => {
    const session = await tiny();
    await addSequences(session);
    const tokens = sequences(1, 101)[0];
    for (const [method, options] of /** @type {[string, object][]} */ ([
        ['lora', { rank: 3, alpha: 5, rank_pattern: { 'layers.1.self_attn.q_proj': 2 }, use_rslora: true }],
        ['lora', { use_dora: true }], ['prompt', {}], ['prefix', {}], ['ia3', {}], ['norms', {}],
        ['adapter', { variant: 'houlsby', bottleneck_size: 3 }],
        ['adapter', { variant: 'pfeiffer', bottleneck_size: 5 }],
        ['adapter', { variant: 'parallel', bottleneck_size: 5, learned_scale: true }],
        ['adapter', { variant: 'per_linear', bottleneck_size: 4 }],
    ])) {
        await session.clear();
        const { id, name } = await session.addModule(method, options);
        await session.train({ ...RUN, steps: 3 });
        const logits = sha((await session.logits({ tokens })).logits);
        const files = await session.exportAdapter(id);
        await session.removeModule(id);
        const { module, ignored } = await session.importAdapter(files);
        assert.deepEqual(ignored, [], method);
        assert.equal(module.name, name);
        assert.equal(sha((await session.logits({ tokens })).logits), logits, `${method} ${JSON.stringify(options)}`);
        const again = await session.exportAdapter(module.id);
        for (const file of Object.keys(files)) assert.equal(sha(again[file]), sha(files[file]), `${method} ${file}`);
    }
    session.close();
});

test('a projected prefix is exported as the table it computes', async () => {
    const session = await tiny();
    await addSequences(session);
    const tokens = sequences(1, 101)[0];
    const { id } = await session.addModule('prefix', { prefix_projection: true, prefix_init: 'random', encoder_hidden_size: 7 });
    await session.train({ ...RUN, steps: 3 });
    const { logits } = await session.logits({ tokens });
    const files = await session.exportAdapter(id);
    await session.removeModule(id);
    await session.importAdapter(files);
    const again = (await session.logits({ tokens })).logits;
    assert.ok(Math.max(...logits.map((v, i) => Math.abs(v - again[i]))) < 1e-5);
    session.close();
});

test('an exported model loads and gives the same logits; half precision is close', async () => {
    const session = await tiny();
    await addSequences(session);
    const tokens = sequences(1, 101)[0];
    await session.addModule('full');
    await session.train({ ...RUN, steps: 3 });
    const { logits } = await session.logits({ tokens });
    for (const [dtype, bound] of /** @type {['F32' | 'F16' | 'BF16', number][]} */ ([['F32', 0], ['F16', 2e-2], ['BF16', 2e-1]])) {
        const copy = await PeftLab.load(await session.exportModel(dtype), { inThread: true });
        const again = (await copy.logits({ tokens })).logits;
        const worst = Math.max(...logits.map((v, i) => Math.abs(v - again[i])));
        assert.ok(worst <= bound, `${dtype}: ${worst}`);
        copy.close();
    }
    session.close();
});

test('a model exported in shards has an index, loads, and is the same model', async () => {
    const session = await tiny();
    const tokens = sequences(1, 101)[0];
    const files = await session.exportModel('F32', { maxShardBytes: 20_000 });
    const shards = Object.keys(files).filter((name) => /^model-\d{5}-of-\d{5}\.safetensors$/.test(name));
    assert.ok(shards.length > 2 && !('model.safetensors' in files));
    const { weight_map } = JSON.parse(new TextDecoder().decode(files['model.safetensors.index.json']));
    assert.deepEqual([...new Set(Object.values(weight_map))].sort(), shards.sort());
    const copy = await PeftLab.load(files, { inThread: true });
    assert.equal(sha((await copy.logits({ tokens })).logits), sha((await session.logits({ tokens })).logits));
    copy.close();
    session.close();
});

test('a folder made from a model keeps what lay beside its weights, and all its ends', async () => {
    const source = await readModelFolder(STORIES);
    const beside = ['generation_config.json', 'special_tokens_map.json', 'tokenizer_config.json'];
    assert.deepEqual(Object.keys(source.beside ?? {}).sort(), beside);
    const config = { ...JSON.parse(text(source.config)), eos_token_id: [0, 2], pad_token_id: 2 };
    const template = utf8('{{ messages }}');
    const folder = {
        ...source.beside, 'config.json': utf8(JSON.stringify(config)), 'model.safetensors': source.weights[0],
        'tokenizer.json': /** @type {Uint8Array} */ (source.tokenizer), 'chat_template.jinja': template, 'notes.txt': template,
    };
    for (const inThread of [true, false]) {
        const session = await PeftLab.load(folder, { inThread });
        await session.addModule('lora', { rank: 2, init: 'false' });
        await session.merge();
        const { 'model.safetensors': weights, 'config.json': written, ...rest } = await session.exportModel();
        const { 'model.safetensors': __, 'config.json': ___, 'notes.txt': ____, ...given } = folder;
        assert.deepEqual(rest, given);
        assert.notEqual(sha(weights), sha(folder['model.safetensors']));
        const { eos_token_id: ends, pad_token_id: pad, bos_token_id: begin } = JSON.parse(text(written));
        assert.deepEqual({ ends, pad, begin }, { ends: [0, 2], pad: 2, begin: 0 });
        session.close();
    }
    const large = { ...folder, 'tokenizer_config.json': new Uint8Array(4 * 2 ** 20 + 1) };
    assert.equal(await codeOf(PeftLab.load(large, { inThread: true })), 'range');
});

test('(IA)3 files name as feed-forward what is targeted, spelt as there: peft compares the lists', async () => {
    const session = await tiny();
    const DOWN = [0, 1, 2].map((layer) => `model.layers.${layer}.mlp.down_proj`);
    /** @type {[Record<string, any>, string[]][]} */
    const cases = [
        [{}, ['down_proj']],
        [{ target_modules: 'k_proj,v_proj' }, []],
        [{ target_modules: 'q_proj,up_proj', feedforward_modules: 'mlp.up_proj' }, ['up_proj']],
        [{ target_modules: ['down_proj', 'layers.1.self_attn.k_proj'] }, DOWN],
        [{ target_modules: ['k_proj', 'layers.2.mlp.down_proj'] }, [DOWN[2]]],
    ];
    for (const [options, feedforward] of cases) {
        const module = await session.addModule('ia3', options);
        const files = await session.exportAdapter(module.id);
        const config = JSON.parse(text(files['adapter_config.json']));
        assert.deepEqual(config.feedforward_modules, feedforward, JSON.stringify(options));
        assert.deepEqual(feedforward.filter((name) => !config.target_modules.includes(name)), []);
        await session.clear();
        const again = await session.importAdapter(files);
        assert.deepEqual(again.module.tensors, module.tensors);
        await session.clear();
    }
    session.close();
});

test('memory of a prefix: checkpointing is refused with it, so it is said and not counted', async () => {
    const session = await PeftLab.open(null, { inThread: true });
    const need = (/** @type {string} */ method, /** @type {boolean} */ checkpointing, more = {}) =>
        session.memoryFor({ shape: 'llama-2-7b', method, checkpointing, ...more });
    const [plain, asked] = [await need('prefix', false), await need('prefix', true)];
    const REFUSED = 'Gradient checkpointing is refused with prefix tuning.';
    assert.deepEqual(asked, { ...plain, assumptions: [...plain.assumptions, REFUSED] });
    assert.ok((await need('lora', true)).activations < (await need('lora', false)).activations / 4);
    assert.ok(!(await need('prompt', true)).assumptions.includes(REFUSED));
    assert.deepEqual(await need('prefix', true, { assume: 'chapter' }), await need('prefix', false, { assume: 'chapter' }));
    session.close();
});

test('two LoRAs: active with weights equals cat of them; cat adds ranks; linear of two equal ones is off', async () => {
    const session = await tiny();
    await addSequences(session);
    const tokens = sequences(1, 101)[0];
    const ids = [];
    for (const seed of [1, 2]) {
        const { id } = await session.addModule('lora', { rank: 3 }, { seed });
        await session.train({ ...RUN, seed, lr: 3e-2 });
        await session.setModule(id, { trainable: false, weight: seed === 1 ? 0.7 : -0.4 });
        ids.push(id);
    }
    const { logits } = await session.logits({ tokens });
    const cat = await session.mix({ type: 'cat', modules: [{ id: ids[0], weight: 0.7 }, { id: ids[1], weight: -0.4 }] });
    assert.equal(cat.exact, true);
    assert.equal(cat.rank, 6);
    for (const id of ids) await session.setModule(id, { active: false });
    await session.setModule(cat.module.id, { active: true });
    const mixed = (await session.logits({ tokens })).logits;
    assert.ok(Math.max(...logits.map((v, i) => Math.abs(v - mixed[i]))) < 2e-5);
    const linear = await session.mix({ type: 'linear', modules: [{ id: ids[0], weight: 0.5 }, { id: ids[0], weight: 0.5 }] });
    assert.equal(linear.exact, false);
    assert.ok(Math.abs(linear.relative_error - 1) < 1e-3, String(linear.relative_error)); // twice the delta
    session.close();
});

test('a trained prompt compiled into a prefix gives the same logits', async () => {
    const session = await tiny();
    await addSequences(session);
    const tokens = sequences(1, 101)[0];
    const { id } = await session.addModule('prompt', { num_virtual_tokens: 4 });
    await session.train({ ...RUN, lr: 5e-2 });
    const { logits } = await session.logits({ tokens });
    await session.compilePrompt(id, 'compiled');
    const again = (await session.logits({ tokens })).logits;
    assert.ok(Math.max(...logits.map((v, i) => Math.abs(v - again[i]))) < 1e-5);
    session.close();
});

test('a step allocates nothing', async () => {
    const session = await tiny();
    await addSequences(session);
    await session.addModule('lora', { dropout: 0.1 });
    await session.addModule('prefix');
    await session.request('trainBegin', RUN);
    await session.resume({ until: 2 });
    const before = await session.request('memory');
    await session.resume({ until: 8 });
    const after = await session.request('memory');
    assert.equal(after.bytes, before.bytes);
    assert.equal(after.peak_bytes, before.peak_bytes);
    session.close();
});

test('text: same seed, same story; another seed another; streamed pieces add up', async () => {
    const session = await stories();
    let streamed = '';
    const options = { prompt: 'Once upon a time', max_new_tokens: 30, temperature: 0.8 };
    const a = await session.generate({ ...options, seed: 1, onToken: (piece) => { streamed += piece; } });
    const b = await session.generate({ ...options, seed: 1 });
    const c = await session.generate({ ...options, seed: 2 });
    assert.equal(a.text, b.text);
    assert.equal(a.text, streamed);
    assert.notEqual(a.text, c.text);
    assert.ok(a.text.length > 20);
    session.close();
});
