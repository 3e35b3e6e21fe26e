/**
 * Parameter counts from the dimensions alone, as terms that can be printed and added up by hand. The engine counts
 * what it would really store; this is the same figure as a formula (checked against the engine in tests), and what is
 * left where WebAssembly is not allowed.
 */
import { count as n } from './format.js';
import { t } from './i18n.js';

/**
 * @typedef {{hidden_size: number, intermediate_size: number, num_hidden_layers: number, num_attention_heads: number,
 *   num_key_value_heads: number, head_dim: number, vocab_size: number, tie_word_embeddings: boolean,
 *   attention_bias?: boolean, mlp_bias?: boolean}} Dimensions
 */
/** @typedef {{text: string, value: number}} Term text: the product with its numbers in it */

const SITES = ['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj'];
const NORMS = ['input_layernorm', 'post_attention_layernorm', 'norm'];

/** Inputs and outputs of each linear map. @param {Dimensions} c @returns {Record<string, [number, number]>} */
function siteShapes(c) {
    const d = c.hidden_size;
    const q = c.num_attention_heads * c.head_dim;
    const kv = c.num_key_value_heads * c.head_dim;
    const f = c.intermediate_size;
    return { q_proj: [d, q], k_proj: [d, kv], v_proj: [d, kv], o_proj: [q, d], gate_proj: [d, f], up_proj: [d, f], down_proj: [f, d] };
}

/** @param {unknown} targets a list, "q_proj,v_proj" or "all-linear" @returns {string[] | null} null: names this file does not know */
function sitesOf(targets) {
    const list = Array.isArray(targets) ? targets : String(targets).split(',').map((name) => name.trim());
    if (list.includes('all-linear')) return SITES;
    return list.every((name) => SITES.includes(name)) ? SITES.filter((site) => list.includes(site)) : null;
}

/** The model's own parameters. @param {Dimensions} c @returns {Term[]} */
export function baseTerms(c) {
    const { hidden_size: d, num_hidden_layers: layers, vocab_size: vocab } = c;
    const term = (/** @type {string} */ name, /** @type {[number, number]} */ [a, b]) => ({
        text: `${layers} × ${name} ${n(a)} × ${n(b)}`,
        value: layers * a * b,
    });
    const terms = Object.entries(siteShapes(c)).map(([name, shape]) => term(name.replace('_proj', ''), shape));
    const bias = (c.attention_bias ? ['q_proj', 'k_proj', 'v_proj', 'o_proj'] : []).concat(c.mlp_bias ? ['gate_proj', 'up_proj', 'down_proj'] : []);
    for (const name of bias)
        terms.push({
            text: t('term.bias', { layers, site: name.replace('_proj', ''), size: siteShapes(c)[name][1] }),
            value: layers * siteShapes(c)[name][1],
        });
    terms.push({ text: t('term.norms', { layers, size: d }), value: (2 * layers + 1) * d });
    terms.push({ text: t('term.embedding', { rows: vocab, cols: d }), value: vocab * d });
    if (!c.tie_word_embeddings) terms.push({ text: t('term.head', { rows: vocab, cols: d }), value: vocab * d });
    return terms;
}

/**
 * Networks without biases around single maps, as in LLM-Adapters: at the narrow end of each map, or (parallel)
 * from its input to its output.
 * @param {Dimensions} c @param {Record<string, any>} o
 */
function perLinearTerms(c, o) {
    const sites = sitesOf(o.target_modules);
    const d = c.hidden_size;
    if (!sites || !o.bottleneck_size || c.num_attention_heads * c.head_dim !== d) return null;
    const m = o.bottleneck_size;
    return sites.map((site) => {
        const [a, b] = o.variant === 'per_linear' ? [d, d] : siteShapes(c)[site];
        return {
            text: `${c.num_hidden_layers} × ${site.replace('_proj', '')}: ${n(m)} × (${n(a)} + ${n(b)})`,
            value: c.num_hidden_layers * m * (a + b),
        };
    });
}

/** @type {Record<string, (c: Dimensions, o: Record<string, any>) => Term[] | null>} */
const METHODS = {
    lora: (c, o) => {
        const sites = sitesOf(o.target_modules);
        if (!sites || Object.keys(o.rank_pattern ?? {}).length) return null;
        const shapes = siteShapes(c);
        return sites.map((site) => {
            const [a, b] = shapes[site];
            return {
                text: `${c.num_hidden_layers} × ${site.replace('_proj', '')}: r ${o.rank} × (${n(a)} ` +
                    `+ ${n(b)})${o.use_dora ? ` + ${t('term.lengths', { size: b })}` : ''}`,
                value: c.num_hidden_layers * (o.rank * (a + b) + (o.use_dora ? b : 0)),
            };
        });
    },
    prompt: (c, o) => [{ text: t('term.prompt', { rows: o.num_virtual_tokens, size: c.hidden_size }), value: o.num_virtual_tokens * c.hidden_size }],
    prefix: (c, o) => {
        const kv = c.num_key_value_heads * c.head_dim;
        const wide = 2 * c.num_hidden_layers * kv;
        const text = t('term.prefix', { rows: o.num_virtual_tokens, layers: c.num_hidden_layers, size: kv });
        return o.prefix_projection ? null : [{ text, value: o.num_virtual_tokens * wide }];
    },
    adapter: (c, o) => {
        const d = c.hidden_size;
        const layers = c.num_hidden_layers;
        const m = o.bottleneck_size || Math.max(1, Math.floor(d / o.reduction_factor));
        if (o.variant.startsWith('per_linear')) return perLinearTerms(c, o);
        const sites = o.variant === 'houlsby' ? 2 : 1;
        const scale = o.learned_scale ? 1 : 0;
        return [
            {
                text: t(scale ? 'term.adapter.scale' : 'term.adapter', { layers, sites, d, m }),
                value: layers * sites * (2 * d * m + m + d + scale),
            },
        ];
    },
    ia3: (c, o) => {
        const sites = sitesOf(o.target_modules);
        const inputs = String(o.feedforward_modules ?? 'down_proj').split(',');
        return sites && sites.map((site) => {
            const size = siteShapes(c)[site][inputs.includes(site) ? 0 : 1];
            return {
                text: t('term.factors', { layers: c.num_hidden_layers, site: site.replace('_proj', ''), size }),
                value: c.num_hidden_layers * size,
            };
        });
    },
    norms: (c, o) => {
        const names = String(o.target_modules).split(',');
        if (!names.every((name) => NORMS.includes(name))) return null;
        return names.map((name) => ({
            text: `${name === 'norm' ? 1 : c.num_hidden_layers} × ${name} ${n(c.hidden_size)}`,
            value: (name === 'norm' ? 1 : c.num_hidden_layers) * c.hidden_size,
        }));
    },
    full: baseTerms,
};

/**
 * @param {Dimensions} config @param {string} method @param {Record<string, any>} options complete ones
 * @returns {Term[] | null} null: no short formula for these options
 */
export const methodTerms = (config, method, options) => METHODS[method]?.(config, options) ?? null;

/** @param {Term[]} terms */
export const total = (terms) => terms.reduce((sum, term) => sum + term.value, 0);
