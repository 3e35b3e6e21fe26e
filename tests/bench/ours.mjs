// The engine on the work of peers/spec.mjs: the model as a Hugging Face folder in memory, sessions on it, timed steps.
import { readFileSync } from 'node:fs';
import { Core } from '../../web/engine/core.js';
import { compile, instantiate } from '../../web/engine/loader.js';
import { loraShapes, makeTokens, makeWeights, shapes, SPEC } from './peers/spec.mjs';

export const WASM = new URL('../../build/wasm/peftlab.wasm', import.meta.url);
const encoder = new TextEncoder();

/** @param {Float32Array} values [rows, cols] @param {number} rows @param {number} cols @returns {Float32Array} [cols, rows] */
function transposed(values, rows, cols) {
  const out = new Float32Array(values.length);
  for (let i = 0; i < rows; i++) for (let j = 0; j < cols; j++) out[j * rows + i] = values[i * cols + j];
  return out;
}

/** @param {[string, number[], Float32Array][]} tensors @returns {Uint8Array} a safetensors file */
function safetensors(tensors) {
  /** @type {Record<string, object>} */
  const header = {};
  let offset = 0;
  for (const [name, shape, values] of tensors) {
    header[name] = { dtype: 'F32', shape, data_offsets: [offset, (offset += values.byteLength)] };
  }
  const text = JSON.stringify(header);
  const head = encoder.encode(text.padEnd(Math.ceil(text.length / 8) * 8));
  const bytes = new Uint8Array(8 + head.length + offset);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(head.length), true);
  bytes.set(head, 8);
  let at = 8 + head.length;
  for (const [, , values] of tensors) {
    bytes.set(new Uint8Array(values.buffer, values.byteOffset, values.byteLength), at);
    at += values.byteLength;
  }
  return bytes;
}

/** @type {Record<string, string>} */
const LAYER_NAMES = {
  n1: 'input_layernorm', n2: 'post_attention_layernorm', wq: 'self_attn.q_proj', wk: 'self_attn.k_proj', wv: 'self_attn.v_proj',
  wo: 'self_attn.o_proj', wg: 'mlp.gate_proj', wu: 'mlp.up_proj', wd: 'mlp.down_proj',
};

/** @param {string} name of spec.mjs */
function modelName(name) {
  const match = /^l(\d+)\.(\w+)$/.exec(name);
  if (match) return `model.layers.${match[1]}.${LAYER_NAMES[match[2]]}.weight`;
  return { embed: 'model.embed_tokens.weight', nf: 'model.norm.weight', head: 'lm_head.weight' }[name] ?? name;
}

/** @param {typeof SPEC} [c] */
export function modelFiles(c = SPEC) {
  const weights = makeWeights(c);
  const config = {
    architectures: ['LlamaForCausalLM'], model_type: 'llama', vocab_size: c.vocab, hidden_size: c.dim, intermediate_size: c.ffn,
    num_hidden_layers: c.layers, num_attention_heads: c.heads, num_key_value_heads: c.heads, head_dim: c.headDim, hidden_act: 'silu',
    max_position_embeddings: 1024, rms_norm_eps: c.eps, rope_theta: c.theta, tie_word_embeddings: false, bos_token_id: 0, eos_token_id: 0,
  };
  const tensors = shapes(c).map(([name, shape]) => {
    const turned = shape.length === 2 && name !== 'embed';
    const values = turned ? transposed(weights[name], shape[0], shape[1]) : weights[name];
    return /** @type {[string, number[], Float32Array]} */ ([modelName(name), turned ? [shape[1], shape[0]] : shape, values]);
  });
  return { config: encoder.encode(JSON.stringify(config)), weights: [safetensors(tensors)] };
}

/** The LoRA of spec.mjs as a peft folder's two files. */
export function loraFiles(c = SPEC) {
  const weights = makeWeights(c);
  const config = {
    peft_type: 'LORA', task_type: 'CAUSAL_LM', r: c.rank, lora_alpha: c.alpha, lora_dropout: 0, target_modules: ['q_proj', 'v_proj'],
    bias: 'none', fan_in_fan_out: false, inference_mode: true, base_model_name_or_path: 'bench',
  };
  const tensors = loraShapes(c).map(([name, shape]) => {
    const [, layer, module, side] = /** @type {RegExpExecArray} */ (/^l(\d+)\.([qv])([AB])$/.exec(name));
    const full = `base_model.model.model.layers.${layer}.self_attn.${module}_proj.lora_${side}.weight`;
    return /** @type {[string, number[], Float32Array]} */ ([full, [shape[1], shape[0]], transposed(weights[name], shape[0], shape[1])]);
  });
  return { config: encoder.encode(JSON.stringify(config)), weights: safetensors(tensors) };
}

let compiled;
/** A session in this thread, with the spec's model. @param {typeof SPEC} [c] @returns {Promise<Core>} */
export async function openSpec(c = SPEC) {
  compiled ??= await compile(readFileSync(WASM));
  const core = new Core(await instantiate(compiled));
  core.loadModel(modelFiles(c));
  return core;
}

/**
 * Adds the batch: every token but the first of a row is a label, or only the last `labelled` of each row.
 * @param {Core} core @param {typeof SPEC} [c] @param {number} [labelled]
 */
export function addBatch(core, c = SPEC, labelled = c.tokens) {
  const tokens = makeTokens(c);
  const row = c.tokens + 1;
  core.call('pl_data_begin', 'train', 0);
  for (let b = 0; b < c.batch; b++) core.addTokens('train', tokens.slice(b * row, (b + 1) * row), row - labelled, row);
}

/** @param {Core} core @param {'full' | 'lora'} mode @param {typeof SPEC} [c] */
export function addMethod(core, mode, c = SPEC) {
  if (mode === 'full') return core.ask('pl_module_add', [], { method: 'full', options: {} }).module;
  const { config, weights } = loraFiles(c);
  const { module } = core.json('pl_module_import', 'bench', config, config.length, weights, weights.length);
  core.ask('pl_module_set', [module.id], { active: true, trainable: true });
  return module;
}

/** @param {Core} core @param {number} steps @param {typeof SPEC} [c] @param {number} [shards] */
export function beginTraining(core, steps, c = SPEC, shards = 1) {
  return core.ask('pl_train_begin', [], {
    steps, batch_size: c.batch, shards, lr: c.lr, schedule: 'constant', warmup_steps: 0, weight_decay: c.decay, beta1: c.beta1, beta2: c.beta2,
    eps: c.adamEps, max_grad_norm: 0, seed: 1, split: 'train',
  });
}

/** One step: its loss and its time. @param {Core} core */
export function timedStep(core) {
  const start = performance.now();
  const { loss } = core.json('pl_train_step');
  return { loss, ms: performance.now() - start };
}

/** Begins greedy decoding after a short prompt, whose own time goes into the first token. @param {Core} core @param {number} count */
export function beginDecode(core, count) {
  core.generateBegin(Int32Array.of(1, 2, 3, 4, 5, 6, 7, 8), { max_new_tokens: count, temperature: 0, stop_at_eos: false });
  core.generateNext();
}

/** The times of the next tokens, ms each. @param {Core} core @param {number} count */
export function timedTokens(core, count) {
  return Array.from({ length: count }, () => {
    const start = performance.now();
    core.generateNext();
    return performance.now() - start;
  });
}
