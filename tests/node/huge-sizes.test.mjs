// Sizes beyond 32 bits. WebAssembly's addresses have 32, so a product of dimensions that was cut to them could look small: a block of a few
// kilobytes for tensors of 16 GiB, and everything behind it overwritten. Each request here is a multiple of 2^32 numbers and a little.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { PeftLab } from '../../web/engine/index.js';
import { writeSafetensors } from './lib/golden.mjs';
import { sha } from './lib/session.mjs';

/** A model of zeros with these dimensions, small as a file and wide in one direction. @param {object} dimensions */
async function model(dimensions) {
    const c = { vocab_size: 4, hidden_size: 1, intermediate_size: 1, num_hidden_layers: 1, num_attention_heads: 1, num_key_value_heads: 1,
        head_dim: 2, max_position_embeddings: 8, ...dimensions };
    const config = { model_type: 'llama', architectures: ['LlamaForCausalLM'], hidden_act: 'silu', rms_norm_eps: 1e-5, rope_theta: 10000,
        tie_word_embeddings: true, ...c };
    const d = c.hidden_size, query = c.num_attention_heads * c.head_dim, key = c.num_key_value_heads * c.head_dim;
    const tensors = new Map();
    const zeros = (/** @type {string} */ name, /** @type {number[]} */ ...shape) => {
        tensors.set(`${name}.weight`, { shape, data: new Float32Array(shape.reduce((a, b) => a * b, 1)) });
    };
    zeros('model.embed_tokens', c.vocab_size, d);
    for (let layer = 0; layer < c.num_hidden_layers; layer++) {
        const at = `model.layers.${layer}`;
        zeros(`${at}.self_attn.q_proj`, query, d);
        zeros(`${at}.self_attn.k_proj`, key, d);
        zeros(`${at}.self_attn.v_proj`, key, d);
        zeros(`${at}.self_attn.o_proj`, d, query);
        zeros(`${at}.mlp.gate_proj`, c.intermediate_size, d);
        zeros(`${at}.mlp.up_proj`, c.intermediate_size, d);
        zeros(`${at}.mlp.down_proj`, d, c.intermediate_size);
        zeros(`${at}.input_layernorm`, d);
        zeros(`${at}.post_attention_layernorm`, d);
    }
    zeros('model.norm', d);
    const files = { 'config.json': new TextEncoder().encode(JSON.stringify(config)), 'model.safetensors': writeSafetensors(tensors) };
    return PeftLab.load(files, { inThread: true });
}

/** @type {{name: string, dimensions: object, method: string, options: object}[]} */
const REQUESTS = [
    { name: 'adapters of 4 x 2^30 numbers', dimensions: { hidden_size: 65536, num_hidden_layers: 2 },
      method: 'adapter', options: { variant: 'houlsby', bottleneck_size: 8192 } },
    { name: 'LoRA of 16 x 2^28 numbers', dimensions: { intermediate_size: 2 ** 18, num_hidden_layers: 8 },
      method: 'lora', options: { rank: 1024, target_modules: 'gate_proj,up_proj' } },
    { name: 'a projection network of 2^16 x 2^16 numbers',
      dimensions: { num_hidden_layers: 32, num_attention_heads: 2, num_key_value_heads: 2, head_dim: 512 },
      method: 'prefix', options: { num_virtual_tokens: 1, prefix_projection: true, encoder_hidden_size: 65536 } },
];

for (const { name, dimensions, method, options } of REQUESTS) {
    test(`${name}: refused for want of memory, and the session lives on`, async () => {
        const session = await model(dimensions);
        const tokens = [1, 2, 3];
        const before = sha(await session.logits({ tokens }));
        await assert.rejects(session.addModule(method, options), (/** @type {any} */ error) => {
            assert.equal(error.code, 'memory', error.message);
            return true;
        });
        assert.equal(sha(await session.logits({ tokens })), before);
        assert.deepEqual((await session.describe()).modules, []);
        session.close();
    });
}

test('logits of 2^32 numbers: refused for want of memory, and the session lives on', async () => {
    const session = await model({ vocab_size: 2 ** 20, max_position_embeddings: 4096 });
    const before = sha(await session.logits({ tokens: [1, 2, 3] }));
    await assert.rejects(session.logits({ tokens: new Array(4096).fill(1) }), { code: 'memory' });
    assert.equal(sha(await session.logits({ tokens: [1, 2, 3] })), before);
    session.close();
});
