// Files from elsewhere: a folder that is broken, contradictory or of another model gets one clear sentence and a stable code, and what was
// loaded stays as it is.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';

import { PeftLab, readModelFolder } from '../../web/engine/index.js';
import { codeOf, GOLDEN, sequences, sha, tiny } from './lib/session.mjs';

const utf8 = (/** @type {string} */ text) => new TextEncoder().encode(text);

/** config.json and weights of the tiny model, changed. @param {(files: any, config: any) => void} change */
async function changedFolder(change) {
    const files = await readModelFolder(`${GOLDEN}gqa-odd`);
    const config = JSON.parse(new TextDecoder().decode(files.config));
    const weights = files.weights[0].slice();
    const holder = { config: files.config, weights: [weights] };
    change(holder, config);
    if (holder.config === files.config) holder.config = utf8(JSON.stringify(config));
    return holder;
}

/** Header of a safetensors file as an object, and the file made again from it. @param {Uint8Array} bytes @param {(header: any) => void} change */
function rewriteHeader(bytes, change) {
    const size = Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
    const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + size)));
    change(header);
    const text = utf8(JSON.stringify(header));
    const made = new Uint8Array(8 + text.length + bytes.length - 8 - size);
    new DataView(made.buffer).setBigUint64(0, BigInt(text.length), true);
    made.set(text, 8);
    made.set(bytes.subarray(8 + size), 8 + text.length);
    return made;
}

const NORM = 'model.norm.weight';

/** @type {{name: string, code: string, says: RegExp, change: (files: any, config: any) => void}[]} */
const FOLDERS = [
    { name: 'config is not JSON', code: 'format', says: /config\.json.*1:/, change: (f) => { f.config = utf8('{"a": }'); } },
    { name: 'config with a key twice', code: 'format', says: /config\.json:1:\d+.*already used/,
      change: (f) => { f.config = utf8('{"vocab_size": 1, "vocab_size": 2}'); } },
    { name: 'foreign architecture', code: 'unsupported', says: /"gpt2"/, change: (_, c) => { c.model_type = 'gpt2'; } },
    { name: 'a missing dimension', code: 'format', says: /hidden_size/, change: (_, c) => { delete c.hidden_size; } },
    { name: 'a dimension that is text', code: 'format', says: /hidden_size/, change: (_, c) => { c.hidden_size = 'forty'; } },
    { name: 'heads that do not divide', code: 'range', says: /num_key_value_heads/, change: (_, c) => { c.num_key_value_heads = 3; } },
    { name: 'biases', code: 'unsupported', says: /bias/, change: (_, c) => { c.attention_bias = true; } },
    { name: 'another hidden size than the weights', code: 'mismatch', says: /belong together/, change: (_, c) => { c.intermediate_size = 80; } },
    { name: 'empty weights', code: 'format', says: /safetensors/, change: (f) => { f.weights = [new Uint8Array()]; } },
    { name: 'truncated weights', code: 'format', says: /safetensors/,
      change: (f) => { f.weights = [f.weights[0].slice(0, f.weights[0].length - 7)]; } },
    { name: 'trailing bytes', code: 'format', says: /safetensors/,
      change: (f) => { const b = new Uint8Array(f.weights[0].length + 4); b.set(f.weights[0]); f.weights = [b]; } },
    { name: 'huge header', code: 'format', says: /header/,
      change: (f) => { new DataView(f.weights[0].buffer, f.weights[0].byteOffset).setBigUint64(0, 1n << 40n, true); } },
    { name: 'overlapping tensors', code: 'format', says: /offsets|overlap|hole|contiguous/,
      change: (f) => { f.weights = [rewriteHeader(f.weights[0], (h) => { h[NORM].data_offsets = h['model.embed_tokens.weight'].data_offsets; })]; } },
    { name: 'unknown dtype', code: 'format', says: /dtype|I8/,
      change: (f) => { f.weights = [rewriteHeader(f.weights[0], (h) => { h[NORM].dtype = 'I8'; })]; } },
    { name: 'shape and size differ', code: 'format', says: new RegExp(NORM),
      change: (f) => { f.weights = [rewriteHeader(f.weights[0], (h) => { h[NORM].shape = [41]; })]; } },
    { name: 'a foreign tensor', code: 'mismatch', says: /unexpected tensor model\.other/,
      change: (f) => { f.weights = [rewriteHeader(f.weights[0], (h) => { h['model.other.weight'] = h[NORM]; delete h[NORM]; })]; } },
    { name: 'NaN weights', code: 'numeric', says: /NaN|finite/i,
      change: (f) => { const b = f.weights[0]; new DataView(b.buffer, b.byteOffset).setFloat32(b.length - 4, NaN, true); } },
    { name: 'no weights at all', code: 'mismatch', says: /missing.*first is/, change: (f) => { f.weights = []; } },
    { name: 'a tokenizer for more tokens', code: 'mismatch', says: /tokenizer\.json/, change: (f) => { f.tokenizer = BIG_TOKENIZER; } },
    { name: 'a tokenizer that is no JSON', code: 'format', says: /tokenizer\.json/, change: (f) => { f.tokenizer = utf8('no'); } },
];
const BIG_TOKENIZER = new Uint8Array(await readFile(new URL('../../models/stories-300k/tokenizer.json', import.meta.url)));

for (const { name, code, says, change } of FOLDERS) {
    test(`model folder: ${name}; the model in use stays`, async () => {
        const session = await tiny();
        const tokens = sequences(1, 101)[0];
        const before = sha((await session.logits({ tokens })).logits);
        const files = await changedFolder(change);
        await assert.rejects(session.request('loadModel', { files }), (/** @type {any} */ error) => {
            assert.equal(error.code, code, error.message);
            assert.match(error.message, says);
            return true;
        });
        assert.equal(sha((await session.logits({ tokens })).logits), before);
        session.close();
    });
}

/**
 * A safetensors file with another name for each tensor that has this part in its own.
 * @param {Uint8Array} file @param {string} from @param {string} to
 */
const renamed = (file, from, to) => rewriteHeader(file, (header) => {
    for (const name of Object.keys(header).filter((each) => each.includes(from))) {
        header[name.replace(from, to)] = header[name];
        delete header[name];
    }
});

test('adapter folders: foreign, contradictory and unsupported ones are refused; nothing is added', async () => {
    const session = await tiny();
    const { id } = await session.addModule('lora', { rank: 4 });
    const good = await session.exportAdapter(id);
    await session.removeModule(id);
    const config = JSON.parse(new TextDecoder().decode(good['adapter_config.json']));
    const weights = good['adapter_model.safetensors'];
    const wide = await (async () => {
        const session = await tiny();
        return (await session.exportAdapter((await session.addModule('lora', { rank: 12 })).id))['adapter_model.safetensors'];
    })();
    const other = await (async () => {
        const foreign = await tiny('mha-tied');
        return foreign.exportAdapter((await foreign.addModule('lora', { rank: 4 })).id);
    })();
    const made = async (/** @type {string} */ method) => {
        const maker = await tiny();
        return Object.values(await maker.exportAdapter((await maker.addModule(method)).id));
    };
    const [[, ia3], [hubConfig, bottleneck]] = [await made('ia3'), await made('adapter')];
    const parted = rewriteHeader(ia3, (header) => {
        for (const [name, tensor] of Object.entries(header)) if (/layers\.[12]\.mlp\.down_proj/.test(name)) tensor.shape.reverse();
    });
    const named = { peft_type: 'IA3', target_modules: ['k_proj', 'v_proj', 'down_proj'] };
    const hub = { ...JSON.parse(new TextDecoder().decode(hubConfig)), peft_type: undefined };
    /** @type {[string, object, Uint8Array, string, RegExp][]} */
    const cases = [
        ['another rank', { r: 5 }, weights, 'mismatch', /rank 4.*says 5/],
        ['an adapter of another model', {}, other['adapter_model.safetensors'], 'mismatch', /tensor|layers/],
        ['CorDA', { init_lora_weights: 'corda' }, weights, 'unsupported', /corda/],
        ['PiSSA with a word that peft does not know', { init_lora_weights: 'pissa_fast' }, weights, 'unsupported', /pissa_fast/],
        ['an approximate PiSSA, whose random part no file holds', { init_lora_weights: 'pissa_niter_4' }, weights,
         'unsupported', /pissa_niter_4.*random.*path_initial_model_for_weight_conversion/],
        ['LoRA on the head', { target_modules: ['lm_head'] }, renamed(weights, 'model.layers.0.self_attn.q_proj', 'lm_head'),
         'unsupported', /tensor base_model\.model\.lm_head\.lora_A\.weight: .*head is not supported/],
        ['LoRA on the embedding', {}, renamed(weights, 'layers.0.self_attn.q_proj.lora_A.weight', 'embed_tokens.lora_embedding_A'),
         'unsupported', /embed_tokens\.lora_embedding_A.*not supported/],
        ['PiSSA of more directions than a matrix has', { init_lora_weights: 'pissa', r: 12 }, wide, 'range', /v_proj is 8 x 40, so rank 12/],
        ['modules_to_save', { modules_to_save: ['lm_head'] }, weights, 'unsupported', /modules_to_save/],
        ['bias', { bias: 'all' }, weights, 'unsupported', /bias/],
        ['alpha zero', { lora_alpha: 0 }, weights, 'format', /lora_alpha/],
        ['unknown type', { peft_type: 'LOHA' }, weights, 'unsupported', /"LOHA"/],
        ['truncated weights', {}, weights.slice(0, 100), 'format', /weights/],
        ['alpha_pattern regex', { alpha_pattern: { '.*q_proj$': 4 } }, weights, 'unsupported', /regular expression/],
        ['patterns as a list', { rank_pattern: [4] }, weights, 'format', /rank_pattern must be an object/],
        ['LoftQ in capitals', { init_lora_weights: 'LoftQ' }, weights, 'unsupported', /LoftQ/],
        ['an expression for (IA)3 that parts a map by layers', { ...named, feedforward_modules: '.*0.*down_proj' }, parted,
         'unsupported', /treats down_proj differently in layers 0 and 1/],
        ['feed-forward names outside the targets', { ...named, feedforward_modules: ['up_proj'] }, ia3,
         'argument', /'up_proj' is not among the target_modules/],
        ['feed-forward names of no map', { ...named, feedforward_modules: ['foo'] }, ia3, 'argument', /'foo' names no linear map/],
        ['norms of no model', { peft_type: 'LN_TUNING', target_modules: ['norm', 'foo'] }, weights, 'argument', /'foo' names no norm/],
        ...[false, 'post_add', null].map((residual) => /** @type {any} */ ([
            `AdapterHub with the residual ${residual}`, { ...hub, config: { ...hub.config, residual_before_ln: residual } }, bottleneck,
            'unsupported', /residual_before_ln must be true/,
        ])),
        ['an AdapterHub LoRA', { peft_type: undefined, config: { architecture: 'lora', r: 4 } }, weights, 'unsupported', /architecture "lora"/],
        ['a layer left out by name', { peft_type: undefined, config: { mh_adapter: true, output_adapter: true, leave_out: ['first'] } }, weights,
         'mismatch', /leave_out/],
        ['layers left out in a text', { peft_type: undefined, config: { mh_adapter: true, output_adapter: true, leave_out: '0' } }, weights,
         'format', /leave_out must be a list/],
    ];
    for (const [name, change, bytes, code, says] of cases) {
        const files = { 'adapter_config.json': utf8(JSON.stringify({ ...config, ...change })), 'adapter_model.safetensors': bytes };
        await assert.rejects(session.importAdapter(files), (/** @type {any} */ error) => {
            assert.ok([code, 'range'].includes(error.code), `${name}: ${error.code} ${error.message}`);
            assert.match(error.message, says, name);
            return true;
        });
        assert.equal((await session.describe()).modules.length, 0, name);
    }
    await assert.rejects(session.importAdapter({ 'adapter_config.json': good['adapter_config.json'], 'adapter_model.bin': weights }), /safetensors/);
    session.close();
});

test('a folder without files, and a pickle, say what is missing', async () => {
    assert.equal(await codeOf(PeftLab.load('/nowhere/at/all', { inThread: true })), 'load');
    await assert.rejects(PeftLab.load({ 'config.json': utf8('{}'), 'pytorch_model.bin': utf8('x') }, { inThread: true }), /pickle/);
});

test('a rank read off the weights goes before the words of rank_pattern', async () => {
    const session = await tiny();
    const { id } = await session.addModule('lora', { rank: 4, rank_pattern: { q_proj: 2 } });
    const good = await session.exportAdapter(id);
    const config = JSON.parse(new TextDecoder().decode(good['adapter_config.json']));
    // In peft the first key that matches counts: here the expression, so that q_proj has rank 2 although a later word says 3.
    config.rank_pattern = { '.*\\.q_proj': 2, q_proj: 3 };
    const files = { 'adapter_config.json': utf8(JSON.stringify(config)), 'adapter_model.safetensors': good['adapter_model.safetensors'] };
    const { module } = await session.importAdapter(files, { name: 'again' });
    assert.deepEqual(
        await session.tensor(module.id, 'model.layers.0.self_attn.q_proj.lora_A.weight'),
        await session.tensor(id, 'model.layers.0.self_attn.q_proj.lora_A.weight'),
    );
    session.close();
});

test('a scaling that is no short decimal comes back from its file as the same number', async () => {
    const session = await tiny();
    const { id } = await session.addModule('adapter', { variant: 'per_linear', scaling: 1 / 3, bottleneck_size: 4 });
    const { module } = await session.importAdapter(await session.exportAdapter(id), { name: 'again' });
    assert.equal(module.options.scaling, 1 / 3);
    const whole = await session.addModule('adapter', { variant: 'per_linear', scaling: 4, bottleneck_size: 4 });
    const { 'adapter_config.json': config } = await session.exportAdapter(whole.id);
    assert.match(new TextDecoder().decode(config), /"scaling":\s*4\.0/);
    session.close();
});

test('config.json: settings of another kind than theirs are refused, not passed over', async () => {
    for (const key of ['rope_scaling', 'rope_parameters']) {
        const folder = await changedFolder((_, config) => { config[key] = 'linear'; });
        await assert.rejects(PeftLab.open(folder, { inThread: true }), new RegExp(`${key} must be an object`));
    }
    /** @type {[string, any, RegExp][]} */
    const others = [
        ['rope_parameters', { rope_type: 5 }, /rope_type must be a text/],
        ['rope_parameters', { rope_type: 'longrope' }, /"longrope" is not supported/],
        ['model_type', 5, /model_type must be a text/], ['hidden_act', ['silu'], /hidden_act must be a text/],
        ['attention_bias', 'yes', /attention_bias must be true or false/],
    ];
    for (const [key, value, says] of others) {
        const folder = await changedFolder((_, config) => { config[key] = value; });
        await assert.rejects(PeftLab.open(folder, { inThread: true }), says);
    }
});

test('what lies there in place of weights is told by its first bytes, with what to do; in an adapter, too', async () => {
    const bytes = (/** @type {string} */ text) => Uint8Array.from(text, (letter) => letter.charCodeAt(0));
    const whole = (await readModelFolder(`${GOLDEN}gqa-odd`)).weights[0];
    /** @type {[Uint8Array, RegExp][]} */
    const cases = [
        [bytes(`version https://git-lfs.github.com/spec/v1\noid sha256:${'a'.repeat(64)}\nsize 628856\n`), /this is a pointer of Git LFS.*lfs pull/],
        [bytes('<!DOCTYPE html><html>Not found</html>'), /this is a web page, not a safetensors file \(.*Download/],
        [bytes('PK\x03\x04\x14\0\0\0\x08\x08archive/data.pkl'), /this is a pickle.*safe_serialization/],
        [bytes('\x80\x02}q\0.'), /this is a pickle.*safe_serialization/],
        [new Uint8Array(), /the file is damaged or incomplete \(0 bytes.*again/],
        [whole.subarray(0, 5000), /the file is damaged or incomplete \(.*again/],
    ];
    /** Right behind the file's name, and in front of what the reader found. @param {any} error @param {RegExp} says */
    const leads = (error, says) => error.code === 'format' && /\.$/.test(error.message) &&
        new RegExp(`^[\\w. ]+: ${says.source}`).test(`${error.message} ${error.hint}`);
    const session = await tiny();
    const before = sha((await session.logits({ tokens: [1, 2] })).logits);
    const config = utf8(JSON.stringify({ peft_type: 'LORA', r: 2, lora_alpha: 2, target_modules: ['q_proj'] }));
    for (const [weights, says] of cases) {
        await assert.rejects(changedFolder((files) => { files.weights = [weights]; }).then((files) => PeftLab.open(files, { inThread: true })),
            (/** @type {any} */ error) => leads(error, says));
        await assert.rejects(session.importAdapter({ 'adapter_config.json': config, 'adapter_model.safetensors': weights }),
            (/** @type {any} */ error) => leads(error, says));
    }
    const page = bytes('<!DOCTYPE html><html><body>Not found</body></html>');
    const isPage = (/** @type {any} */ error) => error.code === 'format' && /json:1:1: this is a web page, not JSON \(/.test(error.message);
    for (const name of /** @type {const} */ (['config', 'tokenizer'])) {
        await assert.rejects(changedFolder((files) => { files[name] = page; }).then((files) => PeftLab.open(files, { inThread: true })), isPage);
    }
    await assert.rejects(session.importAdapter({ 'adapter_config.json': page, 'adapter_model.safetensors': whole }), isPage);
    assert.equal(sha((await session.logits({ tokens: [1, 2] })).logits), before);
    session.close();
});
