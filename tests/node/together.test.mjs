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
