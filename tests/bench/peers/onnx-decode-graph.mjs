// ONNX graph of the decode step with KV cache, in the form transformers.js / ORT-GenAI exports use
// (GroupQueryAttention, SkipSimplifiedLayerNormalization).
import { CFG as c, makeWeights } from './spec.mjs';
import { T, tensor, node, value, model } from './onnx-writer.mjs';
const MS = 'com.microsoft';
const cat = (ws, I) => {
  const O = ws.map((w) => w.length / I),
    N = O.reduce((a, b) => a + b),
    o = new Float32Array(I * N);
  let off = 0;
  ws.forEach((w, k) => {
    for (let i = 0; i < I; i++) o.set(w.subarray(i * O[k], (i + 1) * O[k]), i * N + off);
    off += O[k];
  });
  return o;
};
export function decodeModel({ fuseGateUp = true, half = false } = {}) {
  const w = makeWeights(),
    nodes = [],
    inits = [],
    inputs = [value('ids', T.i64, [1, 'n']), value('seqlens_k', T.i32, [1]), value('total_len', T.i32, [])],
    outputs = [];
  const f = (n, d, a) => {
    inits.push(tensor(n, T.f32, d, a));
    return n;
  };
  const maxT = 512,
    h = c.HD / 2,
    cos = new Float32Array(maxT * h),
    sin = new Float32Array(maxT * h);
  for (let t = 0; t < maxT; t++)
    for (let i = 0; i < h; i++) {
      const a = t * Math.pow(c.theta, (-2 * i) / c.HD);
      cos[t * h + i] = Math.cos(a);
      sin[t * h + i] = Math.sin(a);
    }
  f('cos', [maxT, h], cos);
  f('sin', [maxT, h], sin);
  f('embed', [c.V, c.D], w.embed);
  nodes.push(node('Gather', ['embed', 'ids'], ['h0']));
  let hid = 'h0',
    delta = null;
  const norm = (wn, out, hout) => {
    if (!delta)
      nodes.push(node('SimplifiedLayerNormalization', [hid, wn], [out], { axis: -1, epsilon: { float: c.eps }, stash_type: 1 }));
    else {
      nodes.push(
        node('SkipSimplifiedLayerNormalization', [hid, delta, wn], [out, '', '', hout], { epsilon: { float: c.eps } }, MS),
      );
      hid = hout;
    }
  };
  for (let l = 0; l < c.L; l++) {
    const g = (k) => w[`l${l}.${k}`],
      p = `l${l}_`;
    norm(f(p + 'n1', [c.D], g('n1')), p + 'a', p + 'ha');
    nodes.push(node('MatMul', [p + 'a', f(p + 'wqkv', [c.D, 3 * c.D], cat([g('wq'), g('wk'), g('wv')], c.D))], [p + 'qkv']));
    for (const m of ['k', 'v']) {
      inputs.push(value(`past_${m}${l}`, T.f32, [1, c.H, 'past', c.HD]));
      outputs.push(value(`present_${m}${l}`, T.f32, [1, c.H, 'tot', c.HD]));
    }
    nodes.push(
      node(
        'GroupQueryAttention',
        [p + 'qkv', '', '', `past_k${l}`, `past_v${l}`, 'seqlens_k', 'total_len', 'cos', 'sin'],
        [p + 'o', `present_k${l}`, `present_v${l}`],
        { num_heads: c.H, kv_num_heads: c.H, do_rotary: 1, rotary_interleaved: 0 },
        MS,
      ),
    );
    nodes.push(node('MatMul', [p + 'o', f(p + 'wo', [c.D, c.D], g('wo'))], [p + 'oo']));
    delta = p + 'oo';
    norm(f(p + 'n2', [c.D], g('n2')), p + 'b', p + 'hb');
    nodes.push(node('MatMul', [p + 'b', f(p + 'wg', [c.D, c.F], g('wg'))], [p + 'g']));
    nodes.push(node('MatMul', [p + 'b', f(p + 'wu', [c.D, c.F], g('wu'))], [p + 'u']));
    nodes.push(node('QuickGelu', [p + 'g'], [p + 's'], { alpha: { float: 1 } }, MS));
    nodes.push(node('Mul', [p + 's', p + 'u'], [p + 'gu']));
    nodes.push(node('MatMul', [p + 'gu', f(p + 'wd', [c.F, c.D], g('wd'))], [p + 'd']));
    delta = p + 'd';
  }
  norm(f('nf', [c.D], w.nf), 'hf', 'hlast');
  nodes.push(node('MatMul', ['hf', f('head', [c.D, c.V], w.head)], ['logits']));
  outputs.unshift(value('logits', T.f32, [1, 'n', c.V]));
  return model({ nodes, inits, inputs, outputs });
}
export const PROMPT = [1, 3 + 0xe2, 3 + 0x96, 3 + 0x81, 3 + 0x74, 3 + 0x33, 3 + 0x30, 3 + 0x30]; // what the GGUF tokenizer makes of ' t300'
