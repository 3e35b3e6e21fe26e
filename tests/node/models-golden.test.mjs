// The models and adapters we ship against transformers, peft and tokenizers: recorded by tests/golden/make_models.py.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync, readdirSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { PeftLab } from '../../web/engine/index.js';

const MODELS = new URL('../../models/', import.meta.url);
const golden = JSON.parse(readFileSync(new URL('../golden/models.json', import.meta.url), 'utf8'));
const path = (/** @type {string} */ name) => fileURLToPath(new URL(name, MODELS));
const sha256 = (/** @type {string | Uint8Array} */ data) => createHash('sha256').update(data).digest('hex');
const AGAIN = 'run tests/golden/make_models.py again';
const { models: MODEL_LIST, adapters: ADAPTER_LIST } = JSON.parse(readFileSync(path('index.json'), 'utf8'));

/** Largest difference of the last position's logits. @param {any} session @param {number[]} ids @param {string} base64 */
async function gap(session, ids, base64) {
    const { logits } = await session.logits({ tokens: ids });
    const bytes = Buffer.from(base64, 'base64');
    const want = new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
    const last = logits.subarray(logits.length - want.length);
    return want.reduce((most, value, i) => Math.max(most, Math.abs(value - last[i])), 0);
}

/** Every text of a task file, in the order of make_models.py. @param {string} file @returns {string[]} */
const textsOf = (file) => readFileSync(path(`tasks/${file}`), 'utf8').split('\n').filter(Boolean).map((line) => JSON.parse(line))
    .flatMap((item) => ['prompt', 'completion', 'text'].filter((key) => key in item).map((key) => item[key]));

test('every model and every PEFT adapter has its golden figures', () => {
    assert.deepEqual(Object.keys(golden.models).sort(), MODEL_LIST.map((/** @type {any} */ m) => m.name).sort(), AGAIN);
    assert.deepEqual(
        Object.keys(golden.adapters).sort(),
        ADAPTER_LIST.filter((/** @type {any} */ a) => a.files.includes('adapter_model.safetensors'))
            .map((/** @type {any} */ a) => a.name)
            .sort(),
        AGAIN,
    );
});

for (const [name, want] of Object.entries(/** @type {Record<string, any>} */ (golden.models))) {
    test(`${name}: logits as transformers', ids of every task's texts as tokenizers'`, async (t) => {
        assert.equal(sha256(readFileSync(path(`${name}/model.safetensors`))), want.model_sha256, AGAIN);
        const session = await PeftLab.load(path(name), { inThread: true });
        t.after(() => session.close());
        assert.deepEqual(Array.from((await session.logits({ text: want.text })).tokens), want.ids);
        const far = await gap(session, want.ids, want.logits);
        assert.ok(far < 1e-4, `largest difference of logits ${far}`);
        const files = readdirSync(path('tasks'), { recursive: true })
            .map(String)
            .filter((file) => file.endsWith('.jsonl'))
            .map((file) => file.replaceAll('\\', '/'));
        assert.deepEqual(Object.keys(want.tasks).sort(), files.sort(), AGAIN);
        for (const [file, { texts, sha256: hash }] of Object.entries(/** @type {Record<string, any>} */ (want.tasks))) {
            const ids = [];
            for (const text of textsOf(file)) ids.push(Array.from(await session.encode(text, false)));
            assert.equal(ids.length, texts, file);
            assert.equal(sha256(JSON.stringify(ids)), hash, file);
        }
    });
}

for (const [name, want] of Object.entries(/** @type {Record<string, any>} */ (golden.adapters))) {
    test(`adapter ${name}: logits as peft's`, async (t) => {
        assert.equal(sha256(readFileSync(path(`adapters/${name}/adapter_model.safetensors`))), want.adapter_sha256, AGAIN);
        const session = await PeftLab.load(path(want.model), { inThread: true });
        t.after(() => session.close());
        const { ids, logits } = golden.models[want.model];
        await session.importAdapter(path(`adapters/${name}`));
        const far = await gap(session, ids, want.logits);
        assert.ok(far < 1e-4, `largest difference of logits ${far}`);
        assert.ok(await gap(session, ids, logits) > 0.1, 'the adapter changes something');
    });
}
