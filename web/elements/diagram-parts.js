/**
 * From the engine's description of a session to the parts of the drawing: which blocks there are, and what is trained in,
 * beside or before each.
 */

/** @typedef {{name: string, shape: number[], count: number}} Part one trained tensor (of one layer) */
/**
 * @typedef {{key: string, label: string, base: boolean, parts: Part[],
 *   kind: 'weight' | 'detour' | 'factor' | 'bottleneck' | ''}} Block
 */

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

/** @param {string} name @returns {Block['kind']} */
function kindOf(name) {
    if (/lora_|magnitude/.test(name)) return 'detour';
    if (/ia3/.test(name)) return 'factor';
    if (/adapter/.test(name)) return 'bottleneck';
    return 'weight';
}

/**
 * @param {any} description of the session
 * @returns {{layers: number, width: number, virtual: number, memory: number, merged: boolean, method: string, methods: string[],
 *   blocks: Map<string, {parts: Part[], kind: Block['kind'], method: string}>, perLayer: Map<string, number>}}
 *   methods: of the active modules, each once; blocks: what is trained in the first layer that has it, by place, and by which method;
 *   perLayer: trained numbers per place over all layers
 */
export function partsOf(description) {
    /** @type {Map<string, {parts: Part[], kind: Block['kind'], layer: number, method: string}>} */
    const blocks = new Map();
    /** @type {Map<string, number>} */
    const perLayer = new Map();
    const modules = description.modules.filter((/** @type {any} */ m) => m.active);
    for (const module of modules) {
        for (const { name, shape, layer } of module.tensors) {
            const place = placeOf(name);
            const count = shape.reduce((/** @type {number} */ a, /** @type {number} */ b) => a * b, 1);
            perLayer.set(place, (perLayer.get(place) ?? 0) + count);
            const block = blocks.get(place) ?? { parts: /** @type {Part[]} */ ([]), kind: kindOf(name), layer, method: module.method };
            blocks.set(place, block);
            if (layer !== block.layer) continue;
            block.parts.push({ name: name.replace(/^.*\.(?=[^.]+\.[^.]+$)/, '').replace('.weight', ''), shape, count });
        }
    }
    const sum = (/** @type {string} */ key) => modules.reduce((/** @type {number} */ n, /** @type {any} */ m) => n + (m[key] ?? 0), 0);
    const methods = /** @type {string[]} */ (modules.map((/** @type {any} */ m) => m.method));
    return {
        layers: description.model.num_hidden_layers, width: description.model.hidden_size,
        virtual: sum('virtual_tokens'), memory: sum('memory_tokens'), merged: Boolean(description.model.merged),
        method: methods[0] ?? '', methods: [...new Set(methods)], blocks, perLayer,
    };
}
