// TensorFlow.js training step: tf.variableGrads + AdamW written with tf ops inside tf.tidy (tf.train.adam has no decoupled decay).
import { CFG as c, shapes, loraShapes, makeWeights, makeTokens, ropeTables, median } from './spec.mjs';
export async function run(tf, { mode = 'full', steps = 8, warm = 2, label = '', embed = 'gather', fastmm = false } = {}) {
  const lora = mode === 'lora',
    P = {},
    tr = [];
  // tfjs-wasm sends only non-transposed matMul to XNNPACK; fastmm = expert variant that transposes explicitly in a custom gradient
  const T = (t) => tf.transpose(t, t.rank === 3 ? [0, 2, 1] : [1, 0]);
  const both = tf.customGrad((a, b, save) => {
    save([a, b]);
    return { value: tf.matMul(a, b), gradFunc: (dy, [a, b]) => [tf.matMul(dy, T(b)), tf.matMul(T(a), dy)] };
  });
  const isFrozen = (b) => lora && !tr.includes(b) && Object.values(P).includes(b);
  const frozen = (a, W) => tf.customGrad((a) => ({ value: tf.matMul(a, W), gradFunc: (dy) => tf.matMul(dy, T(W)) }))(a);
  const mm = !fastmm ? (a, b) => tf.matMul(a, b) : (a, b) => (isFrozen(b) ? frozen(a, b) : both(a, b));
  const w = makeWeights(),
    tk = makeTokens(),
    rt = ropeTables(),
    sc = c.alpha / c.r,
    h = c.HD / 2;

  for (const [k, s] of shapes()) {
    P[k] = lora ? tf.tensor(w[k], s) : tf.variable(tf.tensor(w[k], s), true, k);
    if (!lora) tr.push(P[k]);
  }
  if (lora)
    for (const [k, s] of loraShapes()) {
      P[k] = tf.variable(tf.tensor(w[k], s), true, k);
      tr.push(P[k]);
    }
  const xs = new Int32Array(c.B * c.T),
    ys = new Int32Array(c.B * c.T);
  for (let b = 0; b < c.B; b++)
    for (let t = 0; t < c.T; t++) {
      xs[b * c.T + t] = tk[b * (c.T + 1) + t];
      ys[b * c.T + t] = tk[b * (c.T + 1) + t + 1];
    }
  const x = tf.tensor1d(xs, 'int32'),
    y1 = tf.cast(tf.oneHot(tf.tensor1d(ys, 'int32'), c.V), 'float32');
  const x1 = tf.cast(tf.oneHot(x, c.V), 'float32');
  const cos = tf.tensor(rt.cos, [1, c.T, 1, c.HD]),
    sin = tf.tensor(rt.sin, [1, c.T, 1, c.HD]);
  const mk = new Float32Array(c.T * c.T);
  for (let i = 0; i < c.T; i++) for (let j = i + 1; j < c.T; j++) mk[i * c.T + j] = -1e9;
  const mask = tf.tensor(mk, [1, c.T, c.T]);
  const rms = (x, w) => tf.mul(tf.mul(x, tf.rsqrt(tf.add(tf.mean(tf.square(x), -1, true), c.eps))), w);
  const rope = (x) => {
    const [a, b] = tf.split(x, 2, -1);
    return tf.add(tf.mul(x, cos), tf.mul(tf.concat([tf.neg(b), a], -1), sin));
  };
  const heads = (t) => tf.reshape(tf.transpose(t, [0, 2, 1, 3]), [c.B * c.H, c.T, c.HD]);
  const loss = () => {
    let hid = embed === 'gather' ? tf.gather(P.embed, x) : mm(x1, P.embed);
    for (let l = 0; l < c.L; l++) {
      const g = (n) => P[`l${l}.${n}`];
      const a = rms(hid, g('n1'));
      let q = mm(a, g('wq')),
        k = mm(a, g('wk')),
        v = mm(a, g('wv'));
      if (lora) {
        q = tf.add(q, tf.mul(mm(mm(a, g('qA')), g('qB')), sc));
        v = tf.add(v, tf.mul(mm(mm(a, g('vA')), g('vB')), sc));
      }
      const sp = (t) => tf.reshape(t, [c.B, c.T, c.H, c.HD]);
      const qh = heads(rope(sp(q))),
        kh = heads(rope(sp(k))),
        vh = heads(sp(v));
      const p = tf.softmax(tf.add(tf.mul(fastmm ? mm(qh, T(kh)) : tf.matMul(qh, kh, false, true), c.HD ** -0.5), mask));
      const o = tf.reshape(tf.transpose(tf.reshape(mm(p, vh), [c.B, c.H, c.T, c.HD]), [0, 2, 1, 3]), [c.B * c.T, c.D]);
      hid = tf.add(hid, mm(o, g('wo')));
      const b = rms(hid, g('n2')),
        gg = mm(b, g('wg'));
      hid = tf.add(hid, mm(tf.mul(tf.mul(gg, tf.sigmoid(gg)), mm(b, g('wu'))), g('wd')));
    }
    return tf.neg(tf.mean(tf.sum(tf.mul(tf.logSoftmax(mm(rms(hid, P.nf), P.head)), y1), -1)));
  };
  const M = {},
    V = {};
  for (const v of tr) {
    M[v.name] = tf.variable(tf.zerosLike(v), false);
    V[v.name] = tf.variable(tf.zerosLike(v), false);
  }
  const ts = [],
    losses = [],
    seg = [];
  for (let i = 0; i < steps; i++) {
    const t0 = performance.now();
    let t1;
    const l = tf.tidy(() => {
      const { value, grads } = tf.variableGrads(loss, tr);
      t1 = performance.now();
      const c1 = 1 - c.b1 ** (i + 1),
        c2 = 1 - c.b2 ** (i + 1);
      for (const v of tr) {
        const g = grads[v.name],
          m = tf.add(tf.mul(M[v.name], c.b1), tf.mul(g, 1 - c.b1)),
          s = tf.add(tf.mul(V[v.name], c.b2), tf.mul(tf.square(g), 1 - c.b2));
        M[v.name].assign(m);
        V[v.name].assign(s);
        v.assign(tf.sub(tf.mul(v, 1 - c.lr * c.wd), tf.mul(tf.div(tf.div(m, c1), tf.add(tf.sqrt(tf.div(s, c2)), c.aeps)), c.lr)));
      }
      return value;
    });
    losses.push(+(await l.data())[0].toFixed(5));
    l.dispose();
    const t2 = performance.now();
    ts.push(t2 - t0);
    seg.push(t2 - t1);
  }
  const ms = median(ts.slice(warm));
  return {
    peer: 'tfjs 4.22 ' + tf.getBackend() + (fastmm ? ' +customGrad-transpose' : '') + label,
    mode,
    ms: +ms.toFixed(1),
    steps_s: +(1000 / ms).toFixed(2),
    tok_s: Math.round((c.B * c.T * 1000) / ms),
    opt_ms: +median(seg.slice(warm)).toFixed(1),
    first_step_ms: Math.round(ts[0]),
    losses: losses.slice(0, 5),
  };
}
