// Hand-derived forward+backward graph of the benchmark model for onnxruntime-web (what an offline "training artefact" amounts to).
// full: all weights are graph inputs, all gradients outputs.  lora: base weights (and their transposes) are constants, LoRA A/B are inputs.
import { CFG as c, makeWeights } from './spec.mjs';
import { T, tensor, node, value, model } from './onnx-writer.mjs';
const MS = 'com.microsoft',
  N = c.B * c.T;
const tr = (w, I, O) => {
  const o = new Float32Array(I * O);
  for (let i = 0; i < I; i++) for (let j = 0; j < O; j++) o[j * I + i] = w[i * O + j];
  return o;
};
const cat = (ws, I) => {
  const O = ws.map((w) => w.length / I),
    M = O.reduce((a, b) => a + b),
    o = new Float32Array(I * M);
  let off = 0;
  ws.forEach((w, k) => {
    for (let i = 0; i < I; i++) o.set(w.subarray(i * O[k], (i + 1) * O[k]), i * M + off);
    off += O[k];
  });
  return o;
};
export function trainModel(mode) {
  const lora = mode === 'lora',
    w = makeWeights(),
    nodes = [],
    inits = [],
    inputs = [value('x', T.i64, [N]), value('y', T.i64, [N])],
    outputs = [],
    params = {};
  let id = 0;
  const op = (o, ins, attrs, dom, nout = 1) => {
    const outs = Array.from({ length: nout }, () => 't' + id++);
    nodes.push(node(o, ins, outs, attrs, dom));
    return nout === 1 ? outs[0] : outs;
  };
  const K = (a, dims, type = T.f32) => {
    const n = 'c' + id++;
    inits.push(tensor(n, type, dims, a));
    return n;
  };
  const i64 = (a) => K(BigInt64Array.from(a, BigInt), [a.length], T.i64);
  const f0 = (x) => K(Float32Array.of(x), []);
  const P = {};
  const addP = (n, dims, a, train) => {
    if (train) {
      inputs.push(value(n, T.f32, dims));
      params[n] = { dims, data: a };
      P[n] = n;
    } else {
      inits.push(tensor(n, T.f32, dims, a));
      P[n] = n;
      if (dims.length === 2 && n !== 'embed') {
        inits.push(tensor(n + '_T', T.f32, [dims[1], dims[0]], tr(a, ...dims)));
      }
    }
  };
  addP('embed', [c.V, c.D], w.embed, !lora);
  for (let l = 0; l < c.L; l++) {
    const g = (k) => w[`l${l}.${k}`];
    addP(`l${l}.n1`, [c.D], g('n1'), !lora);
    addP(`l${l}.wqkv`, [c.D, 3 * c.D], cat([g('wq'), g('wk'), g('wv')], c.D), !lora);
    addP(`l${l}.wo`, [c.D, c.D], g('wo'), !lora);
    addP(`l${l}.n2`, [c.D], g('n2'), !lora);
    addP(`l${l}.wg`, [c.D, c.F], g('wg'), !lora);
    addP(`l${l}.wu`, [c.D, c.F], g('wu'), !lora);
    addP(`l${l}.wd`, [c.F, c.D], g('wd'), !lora);
    if (lora)
      for (const m of ['q', 'v']) {
        addP(`l${l}.${m}A`, [c.D, c.r], g(m + 'A'), true);
        addP(`l${l}.${m}B`, [c.r, c.D], g(m + 'B'), true);
      }
  }
  addP('nf', [c.D], w.nf, !lora);
  addP('head', [c.D, c.V], w.head, !lora);
  const grad = (n, t) => {
    nodes.push(node('Identity', [t], ['grad_' + n]));
    outputs.push(value('grad_' + n, T.f32, params[n].dims));
  };
  const mm = (a, b) => op('MatMul', [a, b]),
    fm = (a, b, transA, transB, alpha = 1) => op('FusedMatMul', [a, b], { transA, transB, alpha: { float: alpha } }, MS);
  const mmT = (a, n) => (lora ? mm(a, n + '_T') : fm(a, P[n], 0, 1));
  const add = (a, b) => op('Add', [a, b]),
    mul = (a, b) => op('Mul', [a, b]),
    sub = (a, b) => op('Sub', [a, b]);
  const ax = i64([-1]),
    ax0 = i64([0]);
  const h2 = c.HD / 2,
    cos = new Float32Array(c.T * h2),
    sin = new Float32Array(c.T * h2);
  for (let t = 0; t < c.T; t++)
    for (let i = 0; i < h2; i++) {
      const a = t * Math.pow(c.theta, (-2 * i) / c.HD);
      cos[t * h2 + i] = Math.cos(a);
      sin[t * h2 + i] = Math.sin(a);
    }
  const COS = K(cos, [c.T, h2]),
    SIN = K(sin, [c.T, h2]),
    NSIN = K(
      sin.map((x) => -x),
      [c.T, h2],
    ),
    pos = K(
      BigInt64Array.from({ length: N }, (_, i) => BigInt(i % c.T)),
      [c.B, c.T],
      T.i64,
    );
  const mk = new Float32Array(c.T * c.T);
  for (let i = 0; i < c.T; i++) for (let j = i + 1; j < c.T; j++) mk[i * c.T + j] = -1e9;
  const MASK = K(mk, [1, 1, c.T, c.T]);
  const s4 = i64([c.B, c.T, c.H, c.HD]),
    s2 = i64([N, c.D]);
  const heads = (t) => op('Transpose', [op('Reshape', [t, s4])], { perm: [0, 2, 1, 3] }),
    unheads = (t) => op('Reshape', [op('Transpose', [t], { perm: [0, 2, 1, 3] }), s2]);
  const rope = (t, s) => op('RotaryEmbedding', [t, pos, COS, s], { interleaved: 0 }, MS); // [B,H,T,HD]
  const SC = c.HD ** -0.5,
    LS = c.alpha / c.r;
  const rms = (x, wn) => {
    const [y, r] = op('SimplifiedLayerNormalization', [x, P[wn]], { axis: -1, epsilon: { float: c.eps }, stash_type: 1 }, '', 2);
    return { x, y, r, wn };
  };
  const rmsB = (s, g, needX = true) => {
    const gx = mul(g, mul(s.x, s.r));
    if (!lora) grad(s.wn, op('ReduceSum', [gx, ax0], { keepdims: 0 }));
    if (!needX) return;
    const xr = mul(s.x, s.r),
      gw = mul(g, P[s.wn]);
    const m = op('ReduceMean', [mul(gw, xr)], { axes: [-1], keepdims: 1 });
    return mul(s.r, sub(gw, mul(xr, m)));
  };
  let h = op('Gather', ['embed', 'x']);
  const st = [];
  for (let l = 0; l < c.L; l++) {
    const n = (k) => `l${l}.${k}`,
      S = {};
    S.n1 = rms(h, n('n1'));
    const a = S.n1.y;
    const qkv = mm(a, P[n('wqkv')]);
    let [q, k, v] = op('Split', [qkv, i64([c.D, c.D, c.D])], { axis: 1 }, '', 3);
    if (lora) {
      S.aq = mm(a, n('qA'));
      q = add(q, mul(mm(S.aq, n('qB')), f0(LS)));
      S.av = mm(a, n('vA'));
      v = add(v, mul(mm(S.av, n('vB')), f0(LS)));
    }
    S.q = rope(heads(q), SIN);
    S.k = rope(heads(k), SIN);
    S.v = heads(v);
    S.p = op('Softmax', [add(fm(S.q, S.k, 0, 1, SC), MASK)], { axis: -1 });
    S.o = unheads(mm(S.p, S.v));
    h = add(h, mm(S.o, P[n('wo')]));
    S.n2 = rms(h, n('n2'));
    const b = S.n2.y;
    S.g = mm(b, P[n('wg')]);
    S.u = mm(b, P[n('wu')]);
    S.sg = op('Sigmoid', [S.g]);
    S.si = mul(S.g, S.sg);
    S.gu = mul(S.si, S.u);
    h = add(h, mm(S.gu, P[n('wd')]));
    st.push(S);
  }
  const nf = rms(h, 'nf'),
    logits = mm(nf.y, P.head),
    p = op('Softmax', [logits], { axis: -1 }),
    oh = op('OneHot', ['y', K(BigInt64Array.of(BigInt(c.V)), [], T.i64), K(Float32Array.of(0, 1), [2])], { axis: -1 });
  const pick = op('ReduceSum', [mul(p, oh), ax], { keepdims: 0 });
  nodes.push(node('Neg', [op('ReduceMean', [op('Log', [pick])], { keepdims: 0 })], ['loss']));
  outputs.unshift(value('loss', T.f32, []));
  const dl = mul(sub(p, oh), f0(1 / N));
  if (!lora) grad('head', fm(nf.y, dl, 1, 0));
  let dh = rmsB(nf, mmT(dl, 'head'));
  for (let l = c.L - 1; l >= 0; l--) {
    const n = (k) => `l${l}.${k}`,
      S = st[l],
      first = lora && l === 0;
    if (!lora) grad(n('wd'), fm(S.gu, dh, 1, 0));
    const dgu = mmT(dh, n('wd')),
      du = mul(dgu, S.si),
      dg = mul(mul(dgu, S.u), add(S.sg, mul(S.si, sub(f0(1), S.sg))));
    if (!lora) {
      grad(n('wg'), fm(S.n2.y, dg, 1, 0));
      grad(n('wu'), fm(S.n2.y, du, 1, 0));
    }
    dh = add(dh, rmsB(S.n2, add(mmT(dg, n('wg')), mmT(du, n('wu')))));
    if (!lora) grad(n('wo'), fm(S.o, dh, 1, 0));
    const dO = heads(mmT(dh, n('wo'))),
      dv = fm(S.p, dO, 1, 0),
      dp = fm(dO, S.v, 0, 1),
      ds = mul(S.p, sub(dp, op('ReduceSum', [mul(dp, S.p), ax], { keepdims: 1 })));
    const dq = unheads(rope(fm(ds, S.k, 0, 0, SC), NSIN)),
      dvv = unheads(dv),
      dk = first ? null : unheads(rope(fm(ds, S.q, 1, 0, SC), NSIN));
    if (lora) {
      const dqs = mul(dq, f0(LS)),
        dvs = mul(dvv, f0(LS));
      grad(n('qB'), fm(S.aq, dqs, 1, 0));
      grad(n('vB'), fm(S.av, dvs, 1, 0));
      const daq = fm(dqs, n('qB'), 0, 1),
        dav = fm(dvs, n('vB'), 0, 1);
      grad(n('qA'), fm(S.n1.y, daq, 1, 0));
      grad(n('vA'), fm(S.n1.y, dav, 1, 0));
      if (first) break;
      const dA = add(
        mmT(op('Concat', [dq, dk, dvv], { axis: 1 }), n('wqkv')),
        add(fm(daq, n('qA'), 0, 1), fm(dav, n('vA'), 0, 1)),
      );
      dh = add(dh, rmsB(S.n1, dA));
    } else {
      const dqkv = op('Concat', [dq, dk, dvv], { axis: 1 });
      grad(n('wqkv'), fm(S.n1.y, dqkv, 1, 0));
      dh = add(dh, rmsB(S.n1, mmT(dqkv, n('wqkv'))));
    }
  }
  if (!lora)
    grad(
      'embed',
      op('ScatterND', [K(new Float32Array(c.V * c.D), [c.V, c.D]), op('Reshape', ['x', i64([N, 1])]), dh], { reduction: 'add' }),
    );
  return { bytes: model({ nodes, inits, inputs, outputs, opset: 17 }), params };
}
