// Adapter folders whose adapter_config.json says in other words, or besides, what the engine wrote: peft takes them for the same module
// (tests/node/interop.test.mjs asks it), and so must the engine (adapter-words.test.mjs).

/** @typedef {{name: string, shape: string, method: string, options: Record<string, any>, edit: (config: any) => void, note?: RegExp}} Edited */

/** @type {Edited[]} */
export const EDITED = [
    {
        name: 'a dropout that leaves nothing', shape: 'gqa-odd', method: 'lora', options: { rank: 3, dropout: 0.5 },
        edit: (config) => { config.lora_dropout = 1; }, note: /lora_dropout 1 .*trained further it is 0\.95/,
    },
    {
        name: 'patterns that name no map', shape: 'gqa-odd', method: 'lora', options: { rank: 4, alpha_pattern: { v_proj: 3 } },
        edit: (config) => {
            config.rank_pattern = { c_attn: 2, 'layers.7.self_attn.q_proj': 5 };
            config.alpha_pattern = { embed_tokens: 100, v_proj: 3, 'nowhere.at.all.that.this.model.would.have.a.map.of.such.a.long.name': 7 };
        },
        note: /rank_pattern: "c_attn" names no linear map/,
    },
    {
        name: 'patterns for one path, as peft\'s documentation words them', shape: 'gqa-odd', method: 'lora',
        options: { rank: 4, rank_pattern: { 'layers.1.self_attn.q_proj': 2 }, alpha_pattern: { 'layers.0.self_attn.v_proj': 3 } },
        edit: (config) => {
            config.rank_pattern = { '^q_proj': 7, '^model.layers.1.self_attn.q_proj': 2 };
            config.alpha_pattern = { '^layers.2.self_attn.v_proj': 50, '^model.layers.0.self_attn.v_proj': 3, '^v_proj': 9 };
        },
        note: /rank_pattern: "\^q_proj" names no linear map/,
    },
    {
        name: 'a rank pattern whose dot is any character', shape: 'gqa-odd', method: 'lora', options: { rank: 4, rank_pattern: { q_proj: 2 } },
        edit: (config) => { config.rank_pattern = { 'q.proj': 2 }; }, note: /ranks were read off the weights/,
    },
    {
        name: 'LoRA by regular expressions', shape: 'gqa-odd', method: 'lora',
        options: { rank: 3, target_modules: ['q_proj', 'up_proj'], layers_to_transform: [0, 2] },
        edit: (config) => {
            config.target_modules = '.*\\.(q|up)_proj';
            config.exclude_modules = '.*\\.1\\..*';
            config.layers_to_transform = null;
        },
        note: /target_modules, exclude_modules or layers_pattern is a regular expression/,
    },
    {
        name: 'LoRA by paths, names, layers and exceptions', shape: 'gqa-odd', method: 'lora',
        options: { rank: 3, target_modules: ['layers.0.self_attn.q_proj', 'layers.2.mlp.up_proj', 'layers.2.mlp.gate_proj'] },
        edit: (config) => {
            config.target_modules = ['model.layers.0.self_attn.q_proj', 'mlp.up_proj', 'gate_proj', 'o_proj', 'fc2'];
            config.exclude_modules = ['self_attn.o_proj', 'lm_head'];
            config.layers_to_transform = [2];
            config.layers_pattern = ['h', 'layers'];
        },
    },
    {
        name: 'IA3 by regular expressions', shape: 'gqa-odd', method: 'ia3',
        options: { target_modules: ['v_proj', 'up_proj', 'down_proj'], feedforward_modules: ['up_proj', 'down_proj'] },
        edit: (config) => { config.target_modules = '.*(v|up|down)_proj'; config.feedforward_modules = '.*\\.(up|down)_proj'; },
        note: /feedforward_modules is a regular expression/,
    },
    {
        name: 'IA3 with feed-forward maps that are no targets', shape: 'gqa-odd', method: 'ia3', options: { target_modules: ['k_proj'] },
        edit: (config) => { config.target_modules = '.*k_proj'; config.feedforward_modules = ['up_proj', 'fc2']; },
    },
    {
        name: 'norms without some', shape: 'gqa-odd', method: 'norms',
        options: { target_modules: 'layers.0.input_layernorm,layers.2.input_layernorm,post_attention_layernorm' },
        edit: (config) => {
            config.target_modules = ['input_layernorm', 'post_attention_layernorm', 'norm'];
            config.exclude_modules = ['model.norm', 'layers.1.input_layernorm', 'nowhere'];
        },
    },
    {
        name: 'norms by regular expressions', shape: 'mha-tied', method: 'norms', options: { target_modules: 'layers.1.input_layernorm,norm' },
        edit: (config) => { config.target_modules = '.*norm'; config.exclude_modules = '.*(layers\\.0\\.input|post_attention)_layernorm'; },
        note: /exclude_modules is a regular expression/,
    },
    {
        name: 'the default norms without one', shape: 'gqa-odd', method: 'norms',
        options: { target_modules: 'input_layernorm,post_attention_layernorm' },
        edit: (config) => { config.target_modules = null; config.exclude_modules = ['model.norm']; },
    },
];

/** The config's bytes, edited. @param {Uint8Array} bytes @param {(config: any) => void} edit @returns {Uint8Array} */
export function edited(bytes, edit) {
    const config = JSON.parse(new TextDecoder().decode(bytes));
    edit(config);
    return new TextEncoder().encode(JSON.stringify(config));
}
