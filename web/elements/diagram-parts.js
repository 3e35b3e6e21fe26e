/**
 * From the engine's description of a session to the parts of the drawing: which blocks there are, and what is trained in,
 * beside or before each.
 */

/** @typedef {{name: string, shape: number[], count: number}} Part one trained tensor (of one layer) */
/** @typedef {'weight' | 'detour' | 'factor' | 'bottleneck'} Kind how a part is trained */
/** @typedef {{parts: Part[], kinds: Map<Kind, string>}} Block kinds: each with the method it is of, where several share a matrix */

const SITES = ['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj'];

/**
 * Where a trained tensor belongs: a site, a norm, a bottleneck after attention or feed-forward, or outside of the layers.
 * @param {string} name
 */
export function placeOf(name) {
    const site = SITES.find((s) => name.includes(s));
    if (site) return site;
    if (name.includes('attention_adapters')) return 'attention_bottleneck';
    if (/adapters/.test(name)) return 'ffn_bottleneck';
    if (name.includes('input_layernorm')) return 'norm1';
    if (name.includes('post_attention_layernorm')) return 'norm2';
    if (name.includes('embed_tokens')) return 'embed';
    if (name.includes('lm_head')) return 'head';
    if (name.includes('norm')) return 'norm';
    return 'rows';
}

/** @param {string} name @returns {Kind} */
function kindOf(name) {
    if (/lora_|magnitude/.test(name)) return 'detour';
    if (/ia3/.test(name)) return 'factor';
    if (/adapter/.test(name)) return 'bottleneck';
    return 'weight';
}

/**
 * @param {any} description of the session
 * @returns {{layers: number, width: number, virtual: number, memory: number, merged: boolean, method: string, methods: string[],
 *   blocks: Map<string, Block>}}
 *   methods: of the active modules, each once; blocks: what is trained in the first layer that has it, by place
 */
export function partsOf(description) {
    /** @type {Map<string, Block & {layer: number}>} */
    const blocks = new Map();
    const modules = description.modules.filter((/** @type {any} */ m) => m.active);
    for (const module of modules) {
        for (const { name, shape, layer } of module.tensors) {
            const place = placeOf(name);
            const count = shape.reduce((/** @type {number} */ a, /** @type {number} */ b) => a * b, 1);
            const block = blocks.get(place) ?? { parts: /** @type {Part[]} */ ([]), kinds: new Map(), layer };
            blocks.set(place, block);
            block.kinds.set(kindOf(name), module.method);
            if (layer !== block.layer) continue;
            block.parts.push({ name: name.replace(/^.*\.(?=[^.]+\.[^.]+$)/, '').replace('.weight', ''), shape, count });
        }
    }
    const sum = (/** @type {string} */ key) => modules.reduce((/** @type {number} */ n, /** @type {any} */ m) => n + (m[key] ?? 0), 0);
    const methods = /** @type {string[]} */ (modules.map((/** @type {any} */ m) => m.method));
    return {
        layers: description.model.num_hidden_layers, width: description.model.hidden_size,
        virtual: sum('virtual_tokens'), memory: sum('memory_tokens'), merged: Boolean(description.model.merged),
        method: methods[0] ?? '', methods: [...new Set(methods)], blocks,
    };
}
