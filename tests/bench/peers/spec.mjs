// One model, one batch, one optimiser for every program in this folder: all start from the same weights and tokens, so their
// first losses agree (full 7.67301 7.30233 6.95974 6.73400 6.48324; LoRA 7.67301 7.66158 7.64489 7.62270 7.59605).

export const SPEC = {
  vocab: 2048, dim: 256, layers: 6, heads: 8, headDim: 32, ffn: 688, tokens: 128, batch: 4, eps: 1e-5, theta: 10000,
  lr: 1e-3, beta1: 0.9, beta2: 0.95, adamEps: 1e-8, decay: 0.1, rank: 8, alpha: 16,
};
export const FIRST_LOSSES = { full: [7.67301, 7.30233, 6.95974], lora: [7.67301, 7.66158, 7.64489] };

/** Tensor names and shapes of the base model, stored [in, out] row-major (y = x W), in the order the weights are drawn. */
export function shapes(c = SPEC) {
  /** @type {[string, number[]][]} */
  const list = [['embed', [c.vocab, c.dim]]];
  for (let l = 0; l < c.layers; l++) {
    list.push(
      [`l${l}.n1`, [c.dim]], [`l${l}.wq`, [c.dim, c.dim]], [`l${l}.wk`, [c.dim, c.dim]], [`l${l}.wv`, [c.dim, c.dim]],
      [`l${l}.wo`, [c.dim, c.dim]], [`l${l}.n2`, [c.dim]], [`l${l}.wg`, [c.dim, c.ffn]], [`l${l}.wu`, [c.dim, c.ffn]],
      [`l${l}.wd`, [c.ffn, c.dim]],
    );
  }
  list.push(['nf', [c.dim]], ['head', [c.dim, c.vocab]]);
  return list;
}

/** LoRA of q and v: A [in, rank], B [rank, out]. @returns {[string, number[]][]} */
export const loraShapes = (c = SPEC) => Array.from({ length: c.layers }, (_, l) => l).flatMap((l) => ['q', 'v'].flatMap((m) => [
  /** @type {[string, number[]]} */ ([`l${l}.${m}A`, [c.dim, c.rank]]), /** @type {[string, number[]]} */ ([`l${l}.${m}B`, [c.rank, c.dim]]),
]));

/** xorshift32, uniform in [0, 1). @param {number} seed */
function uniform(seed) {
  let x = seed >>> 0 || 1;
  return () => {
    x ^= x << 13;
    x >>>= 0;
    x ^= x >>> 17;
    x ^= x << 5;
    x >>>= 0;
    return x / 4294967296;
  };
}

/** Norms are 1, LoRA's B is 0, everything else about normal with deviation 0.02. @returns {Record<string, Float32Array>} */
export function makeWeights(c = SPEC) {
  const draw = uniform(1234);
  /** @type {Record<string, Float32Array>} */
  const weights = {};
  for (const [name, shape] of [...shapes(c), ...loraShapes(c)]) {
    const values = new Float32Array(shape.reduce((a, b) => a * b, 1));
    if (shape.length === 1) values.fill(1);
    else if (!name.endsWith('B')) for (let i = 0; i < values.length; i++) values[i] = 0.02 * (draw() + draw() + draw() + draw() - 2) * Math.sqrt(3);
    weights[name] = values;
  }
  return weights;
}

/** batch rows of tokens + 1 ids. */
export function makeTokens(c = SPEC) {
  const draw = uniform(99);
  return Int32Array.from({ length: c.batch * (c.tokens + 1) }, () => Math.floor(draw() * c.vocab));
}

/** Rotary tables [tokens, headDim] of the half-split layout. */
export function ropeTables(c = SPEC, length = c.tokens) {
  const half = c.headDim / 2;
  const cos = new Float32Array(length * c.headDim);
  const sin = new Float32Array(length * c.headDim);
  for (let t = 0; t < length; t++) {
    for (let i = 0; i < half; i++) {
      const angle = t * c.theta ** ((-2 * i) / c.headDim);
      cos[t * c.headDim + i] = cos[t * c.headDim + i + half] = Math.cos(angle);
      sin[t * c.headDim + i] = sin[t * c.headDim + i + half] = Math.sin(angle);
    }
  }
  return { cos, sin };
}

/** @param {number[]} values */
export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** The same figures under the short names that the peers' programs use. */
export const CFG = {
  V: SPEC.vocab, D: SPEC.dim, L: SPEC.layers, H: SPEC.heads, HD: SPEC.headDim, F: SPEC.ffn, T: SPEC.tokens, B: SPEC.batch, eps: SPEC.eps,
  theta: SPEC.theta, lr: SPEC.lr, b1: SPEC.beta1, b2: SPEC.beta2, aeps: SPEC.adamEps, wd: SPEC.decay, r: SPEC.rank, alpha: SPEC.alpha,
};
