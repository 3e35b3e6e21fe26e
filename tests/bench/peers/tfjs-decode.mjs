import { CFG as c, shapes, makeWeights, ropeTables, median } from './spec.mjs';
import { PROMPT } from './onnx-decode-graph.mjs';
export async function decodeTf(tf, { n = 120, reps = 4 } = {}) {
  const t0 = performance.now(),
    w = makeWeights(),
    P = {},
    rt = ropeTables(),
    h = c.HD / 2;
  for (const [k, s] of shapes()) P[k] = tf.tensor(w[k], s);
  const cosT = [],
    sinT = [];
  for (let p = 0; p < c.T; p++) {
    cosT.push(tf.tensor(rt.cos.slice(p * c.HD, (p + 1) * c.HD), [1, c.HD]));
    sinT.push(tf.tensor(rt.sin.slice(p * c.HD, (p + 1) * c.HD), [1, c.HD]));
  }
  const qkv = [],
    gu = [];
  for (let l = 0; l < c.L; l++) {
    qkv[l] = tf.concat(
      ['q', 'k', 'v'].map((m) => P[`l${l}.w${m}`]),
      1,
    );
    gu[l] = tf.concat(
      ['g', 'u'].map((m) => P[`l${l}.w${m}`]),
      1,
    );
  }
  const rms = (x, w) => tf.mul(tf.mul(x, tf.rsqrt(tf.add(tf.mean(tf.square(x), -1, true), c.eps))), w);
  const rope = (x, p) => {
    const [a, b] = tf.split(x, 2, -1);
    return tf.add(tf.mul(x, cosT[p]), tf.mul(tf.concat([tf.neg(b), a], -1), sinT[p]));
  };
  const step = (tok, p, K, V) => {
    const out = tf.tidy(() => {
      let hid = tf.slice(P.embed, [tok, 0], [1, c.D]);
      for (let l = 0; l < c.L; l++) {
        const g = (n) => P[`l${l}.${n}`];
        let [q, k, v] = tf.split(tf.matMul(rms(hid, g('n1')), qkv[l]), 3, 1).map((t) => tf.reshape(t, [c.H, c.HD]));
        q = tf.expandDims(rope(q, p), 1);
        k = tf.expandDims(rope(k, p), 1);
        v = tf.expandDims(v, 1);
        const K2 = K[l] ? tf.concat([K[l], k], 1) : k,
          V2 = V[l] ? tf.concat([V[l], v], 1) : v;
        if (K[l]) {
          K[l].dispose();
          V[l].dispose();
        }
        K[l] = tf.keep(K2);
        V[l] = tf.keep(V2);
        const pr = tf.softmax(tf.mul(tf.matMul(q, K2, false, true), c.HD ** -0.5));
        hid = tf.add(hid, tf.matMul(tf.reshape(tf.matMul(pr, V2), [1, c.D]), g('wo')));
        const [a, b] = tf.split(tf.matMul(rms(hid, g('n2')), gu[l]), 2, 1);
        hid = tf.add(hid, tf.matMul(tf.mul(tf.mul(a, tf.sigmoid(a)), b), g('wd')));
      }
      return tf.argMax(tf.matMul(rms(hid, P.nf), P.head), -1);
    });
    const r = out.dataSync()[0];
    out.dispose();
    return r;
  };
  const ts = [];
  let seq, first;
  for (let r = 0; r < reps + 1; r++) {
    seq = [];
    const K = [],
      V = [];
    let t = PROMPT[0];
    const t1 = performance.now();
    for (let p = 0; p < n; p++) {
      const nx = step(t, p, K, V);
      if (!r && !p) first = performance.now() - t0;
      t = p + 1 < PROMPT.length ? PROMPT[p + 1] : nx;
      if (p + 1 >= PROMPT.length) seq.push(nx);
    }
    ts.push((performance.now() - t1) / n);
    K.forEach((x) => x.dispose());
    V.forEach((x) => x.dispose());
  }
  const m = median(ts.slice(1));
  return {
    peer: 'tfjs 4.22 ' + tf.getBackend(),
    load_and_first_token_ms: Math.round(first),
    ms_tok: +m.toFixed(3),
    tok_s: Math.round(1000 / m),
    first: seq.slice(0, 8),
  };
}
