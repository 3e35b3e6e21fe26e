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
        else if (method === 'norms' || name.startsWith('LoRA by paths')) assert.deepEqual(notes, []);
        session.close();
    });
}

test('what the words and the weights disagree on is refused, and nothing is added', async () => {
    const session = await tiny();
    const lora = await folder(session, 'lora', { rank: 4 });
    await session.clear();
    const ia3 = await folder(session, 'ia3', {});
    await session.clear();
    const linear = await folder(session, 'adapter', { variant: 'per_linear', bottleneck_size: 3 });
    await session.clear();
    const hub = await folder(session, 'adapter', { variant: 'houlsby', bottleneck_size: 3 });
    await session.clear();
    const norms = await folder(session, 'norms', { target_modules: 'input_layernorm,norm' });
    await session.clear();
    const before = [await logitsOf(session), JSON.stringify((await session.describe()).modules)];
    for (const [what, from, edit, code, says] of /** @type {[string, any, (config: any) => void, string, RegExp][]} */ ([
        ['a dropout torch refuses', lora, (c) => { c.lora_dropout = 1.01; }, 'format', /lora_dropout/],
        ['an alpha by regular expression', lora, (c) => { c.alpha_pattern = { 'q.proj': 2 }; }, 'unsupported', /"q\.proj" is a regular expression/],
        ['another rank', lora, (c) => { c.rank_pattern = { q_proj: 2 }; }, 'mismatch', /rank 4 in the weights/],
        ['a map the config does not name', lora, (c) => { c.target_modules = ['q_proj']; }, 'mismatch', /weights adapt .*v_proj, which/],
        ['a map the config excludes', lora, (c) => { c.exclude_modules = ['v_proj']; }, 'mismatch', /weights adapt .*v_proj, which/],
        ['another layer', lora, (c) => { c.layers_to_transform = [0, 2]; }, 'mismatch', /weights adapt .*layers\.1\.self_attn\.q_proj, which/],
        ['one layer', lora, (c) => { c.layers_to_transform = 1; }, 'mismatch', /weights adapt .*layers\.0\.self_attn\.q_proj, which/],
        ['layers elsewhere', lora, (c) => { c.layers_to_transform = [0, 1, 2]; c.layers_pattern = 'h'; }, 'mismatch', /adapt .*q_proj, which/],
        ['a map without weights', lora, (c) => { c.target_modules.push('k_proj'); }, 'mismatch', /0\.self_attn\.k_proj is adapted, but/],
        ['every map', lora, (c) => { c.target_modules = 'all-linear'; }, 'mismatch', /k_proj is adapted, but the weights/],
        ['no names', lora, (c) => { c.target_modules = ['q_proj', 5]; }, 'format', /target_modules must be a list of module names/],
        ['a number of maps', lora, (c) => { c.target_modules = 7; }, 'format', /target_modules must be a list of module names/],
        ['a start nobody knows', lora, (c) => { c.init_lora_weights = 'spectral'; }, 'unsupported', /init_lora_weights "spectral" is not known/],
        ['a start by number', lora, (c) => { c.init_lora_weights = 2; }, 'format', /init_lora_weights must be true, false or a word/],
        ['an (IA)3 the config does not name', ia3, (c) => { c.target_modules = ['k_proj', 'down_proj']; }, 'mismatch', /adapt .*v_proj, which/],
        ['an adapter the config does not name', linear, (c) => { c.target_modules = ['up_proj']; }, 'mismatch', /weights adapt .*gate_proj, which/],
        ['an activation by number', hub, (c) => { c.config.non_linearity = 3; }, 'format', /non_linearity must be a text/],
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

test('in formats that know no layers, modules of some layers are named by their paths', async () => {
    for (const [method, options] of /** @type {[string, any][]} */ ([
        ['ia3', { target_modules: ['v_proj', 'down_proj'], layers_to_transform: [1] }],
        ['adapter', { variant: 'per_linear', bottleneck_size: 3, target_modules: ['v_proj', 'down_proj'], layers_to_transform: [1] }],
    ])) {
        const session = await tiny();
        const { config, weights } = await folder(session, method, options);
        const { target_modules: targets, feedforward_modules: inputs } = JSON.parse(new TextDecoder().decode(config));
        assert.deepEqual(targets, ['model.layers.1.self_attn.v_proj', 'model.layers.1.mlp.down_proj']);
        if (method === 'ia3') assert.deepEqual(inputs, ['model.layers.1.mlp.down_proj']);
        const want = await logitsOf(session);
        await session.clear();
        await session.request('importAdapter', { config, weights });
        assert.equal(await logitsOf(session), want);
        session.close();
    }
});

test('an adapter without target_modules is what its weights say; what AdapterHub never wrote is named', async () => {
    const session = await tiny();
    const lora = await folder(session, 'lora', { rank: 4 });
    await session.clear();
    const hub = await folder(session, 'adapter', { variant: 'houlsby', bottleneck_size: 3 });
    await session.clear();
    const unnamed = edited(lora.config, (c) => { c.target_modules = null; });
    const { notes } = await session.request('importAdapter', { config: unnamed, weights: lora.weights });
    assert.match(notes.join(), /target_modules names nothing/);
    const { ignored } = await session.request('importAdapter', { config: edited(hub.config, (c) => { c.config.moe = 4; }), weights: hub.weights });
    assert.deepEqual(ignored, ['moe']);
    session.close();
});

test('PiSSA of a higher rank than a matrix has: as many directions as there are, and alpha still over the rank that was asked for', async () => {
    const session = await tiny(); // v_proj is 8 x 40
    const { config, weights } = await folder(session, 'lora', { rank: 8, alpha: 16, target_modules: ['v_proj'] });
    for (const init of ['pissa', 'olora']) {
        for (const rslora of [false, true]) {
            const logits = [];
            for (const [r, alpha] of [[8, 16], [32, rslora ? 32 : 64], [32, 16]]) {
                await session.clear();
                const said = edited(config, (c) => Object.assign(c, { r, lora_alpha: alpha, init_lora_weights: init, use_rslora: rslora }));
                await session.request('importAdapter', { config: said, weights });
                logits.push(await logitsOf(session));
            }
            assert.equal(logits[0], logits[1], `${init} ${rslora}`);
            assert.notEqual(logits[0], logits[2], `${init} ${rslora}`);
        }
    }
    session.close();
});
