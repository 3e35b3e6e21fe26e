// tokenizer.json files of five layouts against Hugging Face's tokenizers: encode, decode, special tokens.
import assert from 'node:assert/strict';
import { readFileSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { gunzipSync } from 'node:zlib';
import { GOLDEN, openCore, read, writeSafetensors } from './lib/golden.mjs';

const FOLDER = join(GOLDEN, 'tokenizers');
/** @param {string} path @returns {any[]} */
const lines = (path) => gunzipSync(readFileSync(path)).toString('utf8').split('\n').slice(0, -1).map((line) => JSON.parse(line));

/** A model of one small layer whose vocabulary is large enough: tokenizers belong to models. @param {number} vocab */
function tinyModel(vocab) {
    const d = 8;
    const config = {
        architectures: ['LlamaForCausalLM'],
        model_type: 'llama', hidden_size: d, intermediate_size: d, num_hidden_layers: 1, num_attention_heads: 1,
        num_key_value_heads: 1, vocab_size: vocab, max_position_embeddings: 64, rms_norm_eps: 1e-5, rope_theta: 10000,
        hidden_act: 'silu', tie_word_embeddings: true,
    };
    const shapes = Object.entries({ 'model.embed_tokens.weight': [vocab, d], 'model.norm.weight': [d] });
    for (const name of ['input_layernorm', 'post_attention_layernorm']) shapes.push([`model.layers.0.${name}.weight`, [d]]);
    for (const name of [
        'self_attn.q_proj', 'self_attn.k_proj', 'self_attn.v_proj', 'self_attn.o_proj', 'mlp.gate_proj', 'mlp.up_proj',
        'mlp.down_proj',
    ]) {
        shapes.push([`model.layers.0.${name}.weight`, [d, d]]);
    }
    const tensors = new Map(shapes.sort().map(([name, shape]) => {
        const size = shape.reduce((a, b) => a * b, 1);
        return [name, { shape, dtype: 'F32', data: new Float32Array(size).fill(0.5) }];
    }));
    return { config: new TextEncoder().encode(JSON.stringify(config)), weights: [writeSafetensors(tensors)] };
}

/**
 * ByteFallback spoils a whole run of byte tokens when its end is cut off; the engine, which decodes token by token,
 * only the end. Neither loses valid text.
 * @param {number[]} ids @param {string} want
 */
const brokenRun = (ids, want) => want.includes('\ufffd\ufffd') && ids.some((id, k) => isByte(id) && isByte(ids[k + 1]));
const isByte = (/** @type {number} */ id) => id >= 3 && id < 259;

/** Fails with the first few differences, not with the first only: patterns show. @param {string[]} wrong @param {number} all */
const report = (wrong, all) => assert.equal(wrong.length, 0, `${wrong.length} of ${all} differ:\n${wrong.slice(0, 8).join('\n')}`);

const strings = lines(join(FOLDER, 'strings.jsonl.gz'));
for (const name of readdirSync(FOLDER).filter((entry) => statSync(join(FOLDER, entry)).isDirectory()).sort()) {
    test(`tokenizer ${name}`, async (t) => {
        const info = JSON.parse(readFileSync(join(FOLDER, name, 'info.json'), 'utf8'));
        const expected = lines(join(FOLDER, name, 'expected.jsonl.gz'));
        const core = await openCore();
        core.loadModel({ ...tinyModel(info.vocab_size), tokenizer: read(join(FOLDER, name, 'tokenizer.json')) });
        const decode = (/** @type {number[]} */ ids, skip = false) =>
            new TextDecoder('utf-8', { ignoreBOM: true }).decode(core.decode(Int32Array.from(ids), skip));
        assert.equal(expected.length, strings.length);
        await t.test('encode', () => {
            const wrong = strings.flatMap((text, k) => {
                const got = core.encode(text, false).join();
                return got === expected[k].i.join() ? [] : [`${JSON.stringify(text)}: ${got}, want ${expected[k].i.join()}`];
            });
            report(wrong, strings.length);
        });
        await t.test('encode with special tokens', () => {
            const wrong = strings.flatMap((text, k) => {
                const want = [...info.bos.slice(0, expected[k].b ?? 0), ...expected[k].i].join();
                const got = core.encode(text, true).join();
                return got === want ? [] : [`${JSON.stringify(text)}: ${got}, want ${want}`];
            });
            report(wrong, strings.length);
        });
        await t.test('decode', () => {
            const wrong = strings.flatMap((text, k) => {
                const { i, d = text, s = d } = expected[k];
                return [[false, d], [true, s]].flatMap(([skip, want]) => {
                    const got = decode(i, skip);
                    return got === want ? [] : [`${i.join()}: ${JSON.stringify(got)}, want ${JSON.stringify(want)}`];
                });
            });
            report(wrong, 2 * strings.length);
        });
        await t.test('decode of random ids', () => {
            const rows = lines(join(FOLDER, name, 'decode.jsonl.gz'));
            const wrong = rows.flatMap(({ i, d }) =>
                decode(i) === d || (info.byte_fallback && brokenRun(i, d))
                    ? []
                    : [`${i.join()}: ${JSON.stringify(decode(i))}, want ${JSON.stringify(d)}`],
            );
            report(wrong, rows.length);
        });
        core.free();
    });
}
