// Folders that peft loads although their config is worded otherwise than the engine would: the module is the same, bit for bit, and a note
// says what was read otherwise. What would be guessing is still refused with one sentence.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EDITED, edited } from './lib/edited-folders.mjs';
import { addSequences, codeOf, sequences, sha, tiny } from './lib/session.mjs';

/** @typedef {import('../../web/engine/session.js').Session} Session */

const TOKENS = sequences(1, 60)[0];
const logitsOf = async (/** @type {Session} */ session) => sha((await session.logits({ tokens: TOKENS })).logits);

/** A trained module's folder. @param {Session} session @param {string} method @param {Record<string, any>} options */
async function folder(session, method, options) {
    await addSequences(session);
    const { id } = await session.addModule(method, options);
    await session.train({ steps: 4, batch_size: 4, lr: 0.03 });
    return session.request('exportAdapter', { id });
}

for (const { name, shape, method, options, edit, note } of EDITED) {
    test(`${name}: loads as what it was saved from`, async () => {
        const session = await tiny(shape);
        const { config, weights } = await folder(session, method, options);
        const want = await logitsOf(session);
        await session.clear();
        assert.notEqual(await logitsOf(session), want);
        const { notes } = await session.request('importAdapter', { config: edited(config, edit), weights });
        assert.equal(await logitsOf(session), want);
        if (note) assert.match(notes.join('\n'), note);
        else if (method === 'norms') assert.deepEqual(notes, []);
        session.close();
    });
}

test('what the words and the weights disagree on is refused, and nothing is added', async () => {
    const session = await tiny();
    const lora = await folder(session, 'lora', { rank: 4 });
    await session.clear();
    const norms = await folder(session, 'norms', { target_modules: 'input_layernorm,norm' });
    await session.clear();
    const before = [await logitsOf(session), JSON.stringify((await session.describe()).modules)];
    for (const [what, from, edit, code, says] of /** @type {[string, any, (config: any) => void, string, RegExp][]} */ ([
        ['a dropout torch refuses', lora, (c) => { c.lora_dropout = 1.01; }, 'format', /lora_dropout/],
        ['an alpha by regular expression', lora, (c) => { c.alpha_pattern = { 'q.proj': 2 }; }, 'unsupported', /"q\.proj" is a regular expression/],
        ['another rank', lora, (c) => { c.rank_pattern = { q_proj: 2 }; }, 'mismatch', /rank 4 in the weights/],
        ['an excluded norm that is there', norms, (c) => { c.exclude_modules = ['norm']; }, 'mismatch', /unexpected tensor .*norm/],
        ['a named norm that is not there', norms, (c) => { c.target_modules.push('post_attention_layernorm'); }, 'mismatch', /missing/],
        ['no norm left', norms, (c) => { c.exclude_modules = c.target_modules; }, 'mismatch', /leave no norm/],
        ['names that are none', norms, (c) => { c.exclude_modules = [5]; }, 'format', /exclude_modules must be a list of module names/],
    ])) {
        const made = session.request('importAdapter', { config: edited(from.config, edit), weights: from.weights });
        await assert.rejects(made, (/** @type {any} */ error) => {
            assert.equal(error.code, code, `${what}: ${error.message}`);
            assert.match(error.message, says, what);
            return true;
        });
        assert.deepEqual([await logitsOf(session), JSON.stringify((await session.describe()).modules)], before, what);
    }
    assert.equal(await codeOf(session.request('importAdapter', lora)), 'no error');
    session.close();
});
