// What cannot run together is refused when it comes together, whichever way it comes (imported, switched on, merged, restored), and nothing
// has changed then; never only at the next use.
import assert from 'node:assert/strict';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { Lab } from '../../web/lib/lab.js';
import { importAdapters } from '../../web/lib/packages.js';
import { addSequences, sha, tiny } from './lib/session.mjs';

/** @typedef {import('../../web/engine/session.js').Session} Session */

const TOKENS = [1, 2, 3];
const BOTH = /'default' and '(norms|default)-2' both replace model.layers.0.input_layernorm.weight; only one of them can be active/;
/** What must not have changed. @param {Session} session */
const state = async (session) => [sha((await session.logits({ tokens: TOKENS })).logits), JSON.stringify(await session.describe())];

/** @param {Session} session @param {() => Promise<any>} call @param {string} code @param {RegExp} says */
async function refused(session, call, code, says) {
    const before = await state(session);
    await assert.rejects(call(), (/** @type {any} */ error) => {
        assert.equal(error.code, code, error.message);
        assert.match(error.message, says);
        return true;
    });
    assert.deepEqual(await state(session), before);
}

/** The snapshot with its header edited. @param {Uint8Array} bytes @param {(header: any) => void} edit @returns {Uint8Array} */
function editedSnapshot(bytes, edit) {
    const length = Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
    const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + length)));
    const session = JSON.parse(header.__metadata__.session);
    edit(session);
    header.__metadata__.session = JSON.stringify(session);
    const text = new TextEncoder().encode(JSON.stringify(header));
    const made = new Uint8Array(8 + text.length + bytes.length - 8 - length);
    new DataView(made.buffer).setBigUint64(0, BigInt(text.length), true);
    made.set(text, 8);
    made.set(bytes.subarray(8 + length), 8 + text.length);
    return made;
}

test('an adapter that cannot run beside an active one is refused at its import; beside one that is switched off it comes in', async () => {
    const session = await tiny();
    const { id } = await session.addModule('norms');
    const files = await session.exportAdapter(id);
    await refused(session, () => session.importAdapter(files), 'unsupported', BOTH);
    await session.setModule(id, { active: false });
    const { module } = await session.importAdapter(files);
    await refused(session, () => session.setModule(id, { active: true }), 'unsupported', /both replace/);
    await session.removeModule(module.id);

    const long = await session.addModule('prompt', { num_virtual_tokens: 20 });
    const rows = await session.exportAdapter(long.id);
    const { model } = await session.describe();
    const most = Math.ceil(model.max_position_embeddings / 20);
    for (let i = 2; i < most; i++) await session.importAdapter(rows);
    await refused(session, () => session.importAdapter(rows), 'range', /learned rows in front of a context of/);
    session.close();
});

test('beside a merged module nothing is switched on that could not run with it once it is unmerged', async () => {
    const session = await tiny();
    const first = await session.addModule('norms');
    await session.setModule(first.id, { active: false });
    const second = await session.addModule('norms');
    await session.merge([second.id]);
    await refused(session, () => session.setModule(first.id, { active: true }), 'unsupported', /both replace/);
    await session.unmerge();
    await session.logits({ tokens: TOKENS });
    session.close();
});

/** Two modules with numbers of their own in every tensor. @param {string[]} kinds of KINDS @returns {Promise<{session: Session, ids: number[]}>} */
async function pair(kinds) {
    const session = await tiny();
    const ids = [];
    for (const [seed, kind] of kinds.entries()) {
        const [method, options] = KINDS[kind];
        const { id, tensors } = await session.addModule(method, options, { seed });
        for (const { name } of tensors) {
            const values = await session.tensor(id, name);
            const at = method === 'ia3' ? () => 1 : (/** @type {number} */ i) => values[i];
            await session.setTensor(id, name, values.map((_, i) => at(i) + (method === 'ia3' ? 0.3 : 0.05) * Math.sin(1.7 * i + seed)));
        }
        ids.push(id);
    }
    return { session, ids };
}

/** @type {Record<string, [string, any]>} */
const KINDS = {
    lora: ['lora', { rank: 3, init: 'false', target_modules: 'all-linear' }],
    dora: ['lora', { rank: 3, init: 'false', target_modules: 'all-linear', use_dora: true }],
    scales: ['ia3', { target_modules: ['q_proj', 'v_proj', 'o_proj'], feedforward_modules: '' }],
    input: ['ia3', { target_modules: ['down_proj'] }],
    bends: ['adapter', { variant: 'per_linear', bottleneck_size: 4 }],
    beside: ['adapter', { variant: 'per_linear_parallel', bottleneck_size: 4 }],
    block: ['adapter', { variant: 'pfeiffer', bottleneck_size: 4 }],
};

test('a part of the active modules is merged where that is rounding only; where what stays would do something else it is refused', async () => {
    // Of each pair, in this order, which one alone can be merged: the first, the second.
    const pairs = /** @type {[string, string, boolean, boolean][]} */ ([
        ['lora', 'lora', true, true], ['scales', 'scales', true, true], ['input', 'input', true, true],
        ['lora', 'dora', false, false], ['dora', 'lora', true, false], ['dora', 'dora', false, false],
        ['lora', 'scales', true, false], ['scales', 'lora', true, false], ['dora', 'scales', true, false], ['scales', 'dora', false, false],
        ['lora', 'input', true, false], ['input', 'lora', false, true], ['input', 'dora', false, true], ['scales', 'input', true, true],
        ['bends', 'lora', false, false], ['lora', 'bends', true, false], ['beside', 'lora', false, true], ['lora', 'beside', true, false],
        ['beside', 'dora', false, false], ['beside', 'input', false, false], ['input', 'beside', false, false], ['bends', 'input', false, true],
        ['block', 'dora', false, true], ['dora', 'block', true, false],
    ]);
    for (const [first, second, ...can] of pairs) {
        const { session, ids } = await pair([first, second]);
        const logits = async () => (await session.logits({ tokens: TOKENS })).logits;
        const before = await logits();
        const most = before.reduce((max, value) => Math.max(max, Math.abs(value)), 0);
        for (const [i, id] of ids.entries()) {
            if (['bends', 'beside', 'block'].includes([first, second][i])) continue; // never merged
            const name = `${first} + ${second}: ${i ? 'the second' : 'the first'}`;
            if (can[i]) {
                await session.merge([id]);
                const gap = (await logits()).reduce((max, value, j) => Math.max(max, Math.abs(value - before[j])), 0);
                assert.ok(gap < 1e-4 * most, `${name}: ${gap} of ${most}`);
                await session.unmerge();
                assert.deepEqual(await logits(), before, name);
            } else {
                await refused(session, () => session.merge([id]), 'state', /cannot be merged alone: '.*' is active at model\.layers\.0/);
            }
        }
        await session.setModule(ids[1], { active: false }); // whoever is off is beside nobody
        if (!['bends', 'beside', 'block'].includes(first)) await session.merge([ids[0]]);
        session.close();
    }
});

test('what is merged is switched neither off nor on; the rest of it can be set', async () => {
    const { session, ids: [on, off] } = await pair(['lora', 'lora']);
    await session.setModule(off, { active: false });
    await session.merge([on, off]);
    await refused(session, () => session.setModule(on, { active: false }), 'state', /merged into the base: unmerge before changing it/);
    await refused(session, () => session.setModule(off, { active: true }), 'state', /merged into the base: unmerge before changing it/);
    for (const id of [on, off]) assert.equal((await session.setModule(id, { trainable: false })).trainable, false);
    session.close();
});

test('a snapshot made by hand: two modules of one name, or two that cannot run together, are refused', async () => {
    const session = await tiny();
    await session.addModule('lora', { rank: 2 }, { name: 'a' });
    await session.addModule('lora', { rank: 2 }, { name: 'b' });
    const bytes = await session.snapshot();
    assert.deepEqual(editedSnapshot(bytes, () => {}).length, bytes.length);
    const twins = editedSnapshot(bytes, ({ modules }) => { modules[1].name = 'a'; });
    await refused(session, () => session.restore(twins), 'format', /the snapshot has two modules of the name "a"/);
    await session.clear();

    const { id } = await session.addModule('norms');
    await session.setModule(id, { active: false });
    await session.addModule('norms');
    const both = editedSnapshot(await session.snapshot(), ({ modules }) => { modules[0].active = true; });
    await refused(session, () => session.restore(both), 'unsupported', BOTH);
    const heavy = editedSnapshot(await session.snapshot(), ({ modules }) => { modules[1].weight = 2; });
    await refused(session, () => session.restore(heavy), 'unsupported', /cannot be weighted/);
    session.close();
});

test('the page puts an adapter in place of what stands where it goes, merged or not; one that does not fit leaves all as it was', async () => {
    const lab = new Lab({ base: join(dirname(fileURLToPath(import.meta.url)), '../../models') });
    lab.state.model = 'stories-300k';
    await lab.ready();
    try {
        for (const merged of [false, true]) {
            const files = await lab.work(async (session) => {
                await session.clear();
                const { id, tensors: [{ name, shape: [size] }] } = await session.addModule('norms');
                await session.setTensor(id, name, new Float32Array(size).fill(1.5));
                const made = await session.exportAdapter(id);
                if (merged) await session.merge();
                return made;
            });
            const before = await lab.work(state);
            const { 'adapter_config.json': config, 'adapter_model.safetensors': weights } = files;
            await assert.rejects(importAdapters(lab, [files, { 'adapter_config.json': config, 'adapter_model.safetensors': weights.slice(0, 99) }]));
            assert.deepEqual(await lab.work(state), before);
            const { modules } = await importAdapters(lab, [files]);
            assert.deepEqual(modules.map((m) => m.method), ['norms']);
            assert.deepEqual((await lab.work((session) => session.describe())).modules.map((/** @type {any} */ m) => m.id), [modules[0].id]);
            assert.equal((await lab.work(state))[0], before[0]);
        }
    } finally {
        lab.close();
    }
});

test('adapters that run together come in together, and run as they did', async () => {
    const session = await tiny();
    await addSequences(session);
    const made = [];
    for (const [method, options] of /** @type {[string, any][]} */ ([['norms', {}], ['lora', { use_dora: true }], ['prompt', {}]]))
        made.push(await session.addModule(method, options));
    await session.train({ steps: 4, batch_size: 4, lr: 2e-2 });
    const [before] = await state(session);
    const files = [];
    for (const { id } of made) files.push(await session.exportAdapter(id));
    await session.clear();
    for (const adapter of files) await session.importAdapter(adapter);
    assert.equal((await state(session))[0], before);
    session.close();
});
