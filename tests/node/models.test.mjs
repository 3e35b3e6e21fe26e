import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { indexText } from '../../models/recipes/index.mjs';

const MODELS = new URL('../../models/', import.meta.url);
const text = (/** @type {string} */ path) => readFileSync(new URL(path, MODELS), 'utf8');
const index = JSON.parse(text('index.json'));
const LARGEST = { 'stories-300k': 0.7e6, 'stories-1m': 2.5e6 };

test('models/index.json says what the folders say', () => {
    assert.equal(text('index.json'), indexText());
    assert.equal(index.models.filter((m) => m.default).length, 1);
    for (const { path, files } of [...index.models, ...index.tasks]) {
        for (const file of files) assert.ok(existsSync(new URL(`../${path}/${file}`, MODELS)), `${path}/${file}`);
    }
});

for (const model of index.models) {
    test(`${model.name}: config, weights and tokenizer belong together`, () => {
        const config = JSON.parse(text(`${model.name}/config.json`));
        const bytes = readFileSync(new URL(`${model.name}/model.safetensors`, MODELS));
        const length = Number(bytes.readBigUInt64LE(0));
        const { __metadata__, ...tensors } = JSON.parse(bytes.toString('utf8', 8, 8 + length));
        assert.equal(bytes.length, model.bytes);
        assert.ok(bytes.length <= (LARGEST[model.name] ?? 10e6), `${bytes.length} bytes`);

        const { hidden_size: d, intermediate_size: f, num_key_value_heads: kv, head_dim: size, vocab_size: vocab } = config;
        assert.deepEqual(tensors['model.embed_tokens.weight'].shape, [vocab, d]);
        for (let i = 0; i < config.num_hidden_layers; i++) {
            assert.deepEqual(tensors[`model.layers.${i}.self_attn.k_proj.weight`].shape, [kv * size, d]);
            assert.deepEqual(tensors[`model.layers.${i}.mlp.down_proj.weight`].shape, [d, f]);
        }
        const count = Object.values(tensors).reduce((sum, t) => sum + t.shape.reduce((a, b) => a * b, 1), 0);
        assert.equal(count, model.parameters);
        assert.ok(config.tie_word_embeddings && !('lm_head.weight' in tensors));
        assert.ok(Object.values(tensors).every((t) => t.dtype === 'F16') && config.dtype === 'float16');

        const tokenizer = JSON.parse(text(`${model.name}/tokenizer.json`));
        assert.equal(Object.keys(tokenizer.model.vocab).length, vocab);
        assert.equal(tokenizer.added_tokens[0].content, '<|endoftext|>');
        assert.equal(tokenizer.added_tokens[0].id, 0);
        assert.deepEqual([config.bos_token_id, config.eos_token_id], [0, 0]);
    });

    test(`${model.name}: the card shows the measured figures and ten samples`, () => {
        const card = text(`${model.name}/README.md`);
        const training = JSON.parse(text(`${model.name}/training.json`));
        assert.ok(card.includes(`**${training.bits_per_byte.toFixed(3)}**`));
        assert.ok(card.includes(training.tokens.toLocaleString('en')));
        const { samples } = JSON.parse(text(`${model.name}/samples.json`));
        assert.deepEqual(samples.map((s) => s.seed), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
        for (const { text: sample } of samples) assert.ok(card.includes(sample.trim().split('\n')[0]));
        assert.match(card, /CDLA-Sharing-1\.0/);
        assert.match(card, /CC BY 4\.0/);
    });
}

test('what the size of the base changes was recorded on these models', () => {
    const { rows } = JSON.parse(readFileSync(new URL('../../web/content/recorded/base-size.json', import.meta.url), 'utf8'));
    assert.deepEqual(rows.map((r) => [r.model, r.parameters, r.bits_per_byte]), index.models.map((m) => [m.name, m.parameters, m.bits_per_byte]));
});
