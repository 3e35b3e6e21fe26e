import { numpy as np, init, defaultDevice, jit, nn, tree } from '@jax-js/jax';
import { CFG as c, shapes, makeWeights, ropeTables, median } from './spec.mjs';
import { PROMPT } from './onnx-decode-graph.mjs';
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
export async function decodeJax({ n = 120, reps = 4, useJit = true } = {}) {
  await init('wasm');
  defaultDevice('wasm');
  const t0 = performance.now();
  const w = makeWeights(),
    P = {};
  const { cos, sin } = ropeTables();
  for (const [k, s] of shapes()) P[k] = np.array(w[k], { shape: s });
  const cs = np.array(cos, { shape: [c.T, c.HD] }),
    sn = np.array(sin, { shape: [c.T, c.HD] });
  const step = (useJit ? jit : (f) => f)((P, K, V, tok, pos, cs, sn) => {
    // tok, pos int32 [1]; K[l],V[l] [1,T,H,HD]
    let hid = np.take(P.embed, tok, 0);
    const cc = np.take(cs, pos.ref, 0).reshape([1, 1, 1, c.HD]),
      ss = np.take(sn, pos.ref, 0).reshape([1, 1, 1, c.HD]);
    const at = np.equal(np.arange(c.T).reshape([1, c.T, 1, 1]), pos.ref.reshape([1, 1, 1, 1])),
      len = pos.add(1);
    const K2 = [],
      V2 = [];
    for (let l = 0; l < c.L; l++) {
      const g = (n) => P[`l${l}.${n}`],
        sp = (t) => t.reshape([1, 1, c.H, c.HD]),
        a = rms(hid.ref, g('n1'));
      const q = rope(sp(np.matmul(a.ref, g('wq'))), cc.ref, ss.ref),
        k = rope(sp(np.matmul(a.ref, g('wk'))), cc.ref, ss.ref),
        v = sp(np.matmul(a, g('wv')));
      K2[l] = np.where(at.ref, k, K[l]);
      V2[l] = np.where(at.ref, v, V[l]);
      const o = nn.dotProductAttention(q, K2[l].ref, V2[l].ref, { keyValueSeqLengths: len.ref });
      hid = hid.add(np.matmul(o.reshape([1, c.D]), g('wo')));
      const b = rms(hid.ref, g('n2'));
      hid = hid.add(np.matmul(nn.silu(np.matmul(b.ref, g('wg'))).mul(np.matmul(b, g('wu'))), g('wd')));
    }
    for (const x of [at, len, cc, ss]) x.dispose();
    return [np.argmax(np.matmul(rms(hid, P.nf), P.head), -1), K2, V2];
  });
  const ts = [];
  let seq, load, first;
  for (let r = 0; r < reps + 1; r++) {
    seq = [];
    let t = PROMPT[0],
      K = [],
      V = [];
    for (let l = 0; l < c.L; l++) {
      K[l] = np.zeros([1, c.T, c.H, c.HD]);
      V[l] = np.zeros([1, c.T, c.H, c.HD]);
    }
    let t1 = performance.now();
    for (let p = 0; p < n; p++) {
      let o;
      [o, K, V] = step(
        tree.ref(P),
        K,
        V,
        np.array(new Int32Array([t]), { dtype: np.int32 }),
        np.array(new Int32Array([p]), { dtype: np.int32 }),
        cs.ref,
        sn.ref,
      );
      const nx = (await o.data())[0];
      if (!r && !p) first = performance.now() - t0;
      t = p + 1 < PROMPT.length ? PROMPT[p + 1] : nx;
      if (p + 1 >= PROMPT.length) seq.push(nx);
    }
    ts.push((performance.now() - t1) / n);
    tree.dispose([K, V]);
  }
  const m = median(ts.slice(1));
  return {
    peer: 'jax-js 0.1.25 ' + (useJit ? 'jit' : 'eager'),
    load_and_first_token_ms: Math.round(first),
    ms_tok: +m.toFixed(3),
    tok_s: Math.round(1000 / m),
    first: seq.slice(0, 8),
  };
}
