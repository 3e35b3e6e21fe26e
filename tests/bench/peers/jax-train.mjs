// jax-js training step, idiomatic: one jit() over valueAndGrad + AdamW. Runs in node (1 thread) and in a page (1 or n threads).
import { numpy as np, init, defaultDevice, jit, valueAndGrad, nn, blockUntilReady, tree } from '@jax-js/jax';
import { CFG as c, shapes, loraShapes, makeWeights, makeTokens, ropeTables, median } from './spec.mjs';
export { np, jit, nn, tree, blockUntilReady };
const rms = (x, w) => {
  const s = np.sqrt(np.mean(np.square(x.ref), -1, { keepdims: true }).add(c.eps));
  return x.div(s).mul(w);
};
const rope = (x, cos, sin) => {
  const h = c.HD / 2,
    a = x.ref.slice([], [], [], [0, h]),
    b = x.ref.slice([], [], [], [h, c.HD]);
  return x.mul(cos).add(np.concatenate([np.negative(b), a], -1).mul(sin));
};
export function lossFn(tr, fz, x, y, cos, sin, lora) {
  // tr: trained tree, fz: frozen tree; both consumed
  const P = { ...tr, ...fz },
    sc = c.alpha / c.r;
  let hid = np.take(P.embed, x, 0);
  for (let l = 0; l < c.L; l++) {
    const g = (n) => P[`l${l}.${n}`];
    const a = rms(hid.ref, g('n1'));
    let q = np.matmul(a.ref, g('wq')),
      k = np.matmul(a.ref, g('wk')),
      v = np.matmul(lora ? a.ref : a, g('wv'));
    if (lora) {
      q = q.add(np.matmul(np.matmul(a.ref, g('qA')), g('qB')).mul(sc));
      v = v.add(np.matmul(np.matmul(a, g('vA')), g('vB')).mul(sc));
    }
    const sp = (t) => t.reshape([c.B, c.T, c.H, c.HD]);
    const o = nn.dotProductAttention(rope(sp(q), cos.ref, sin.ref), rope(sp(k), cos.ref, sin.ref), sp(v), { isCausal: true });
    hid = hid.add(np.matmul(o.reshape([c.B, c.T, c.D]), g('wo')));
    const b = rms(hid.ref, g('n2'));
    hid = hid.add(np.matmul(nn.silu(np.matmul(b.ref, g('wg'))).mul(np.matmul(b, g('wu'))), g('wd')));
  }
  cos.dispose();
  sin.dispose();
  const lp = nn.logSoftmax(np.matmul(rms(hid, P.nf), P.head).reshape([c.B * c.T, c.V]), -1);
  return np.negative(np.mean(np.sum(lp.mul(nn.oneHot(y, c.V)), -1)));
}
export async function run({ mode = 'full', steps = 10, device = 'wasm', warm = 3, useJit = true } = {}) {
  await init(device);
  defaultDevice(device);
  const lora = mode === 'lora';
  const w = makeWeights(),
    tk = makeTokens(),
    { cos, sin } = ropeTables();
  const arr = (k, s) => np.array(w[k], { shape: s });
  const tr0 = {},
    fz = {};
  for (const [k, s] of shapes()) (lora ? fz : tr0)[k] = arr(k, s);
  if (lora) for (const [k, s] of loraShapes()) tr0[k] = arr(k, s);
  const xs = new Int32Array(c.B * c.T),
    ys = new Int32Array(c.B * c.T);
  for (let b = 0; b < c.B; b++)
    for (let t = 0; t < c.T; t++) {
      xs[b * c.T + t] = tk[b * (c.T + 1) + t];
      ys[b * c.T + t] = tk[b * (c.T + 1) + t + 1];
    }
  const x = np.array(xs, { shape: [c.B, c.T], dtype: np.int32 }),
    y = np.array(ys, { dtype: np.int32 });
  const cs = np.array(cos, { shape: [1, c.T, 1, c.HD] }),
    sn = np.array(sin, { shape: [1, c.T, 1, c.HD] });
  const step = (useJit ? jit : (f) => f)((tr, fz, m, v, t, x, y, cs, sn) => {
    const [loss, g] = valueAndGrad((tr) => lossFn(tr, fz, x, y, cs, sn, lora))(tree.ref(tr));
    const c1 = np.subtract(1, np.power(c.b1, t.ref)),
      c2 = np.subtract(1, np.power(c.b2, t));
    const P = {},
      M = {},
      V = {};
    for (const k of Object.keys(tr)) {
      M[k] = m[k].mul(c.b1).add(g[k].ref.mul(1 - c.b1));
      V[k] = v[k].mul(c.b2).add(np.square(g[k]).mul(1 - c.b2));
      const u = M[k].ref.div(c1.ref).div(np.sqrt(V[k].ref.div(c2.ref)).add(c.aeps));
      P[k] = tr[k].ref.mul(1 - c.lr * c.wd).sub(u.mul(c.lr));
      tr[k].dispose();
    }
    c1.dispose();
    c2.dispose();
    return [loss, P, M, V];
  });
  let p = tr0,
    m = tree.map((a) => np.zerosLike(a), tree.ref(tr0)),
    v = tree.map((a) => np.zerosLike(a), tree.ref(tr0));
  const ts = [],
    losses = [];
  let compile = 0;
  for (let i = 0; i < steps; i++) {
    const t0 = performance.now();
    let loss;
    [loss, p, m, v] = step(p, tree.ref(fz), m, v, np.array(i + 1, { dtype: np.float32 }), x.ref, y.ref, cs.ref, sn.ref);
    await blockUntilReady([loss, p, m, v]);
    const dt = performance.now() - t0;
    if (!i) compile = dt;
    ts.push(dt);
    losses.push(+(await loss.jsAsync()).toFixed(5));
  }
  const ms = median(ts.slice(warm));
  return {
    peer: 'jax-js 0.1.25 ' + device + (useJit ? ' jit' : ' eager'),
    mode,
    ms: +ms.toFixed(1),
    steps_s: +(1000 / ms).toFixed(2),
    tok_s: Math.round((c.B * c.T * 1000) / ms),
    first_step_ms: Math.round(compile),
    losses: losses.slice(0, 5),
  };
}
