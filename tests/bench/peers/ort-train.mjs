import { CFG as c, makeTokens, median } from './spec.mjs';
import { trainModel } from './onnx-train-graph.mjs';
export async function trainOrt(ort, { mode = 'full', steps = 10, threads = 1, warm = 3 } = {}) {
  ort.env.wasm.numThreads = threads;
  const { bytes, params } = trainModel(mode),
    t0 = performance.now(),
    s = await ort.InferenceSession.create(bytes, { executionProviders: ['wasm'], graphOptimizationLevel: 'all' }),
    load = performance.now() - t0;
  const tk = makeTokens(),
    xs = [],
    ys = [];
  for (let b = 0; b < c.B; b++)
    for (let t = 0; t < c.T; t++) {
      xs.push(BigInt(tk[b * (c.T + 1) + t]));
      ys.push(BigInt(tk[b * (c.T + 1) + t + 1]));
    }
  const x = new ort.Tensor('int64', BigInt64Array.from(xs), [xs.length]),
    y = new ort.Tensor('int64', BigInt64Array.from(ys), [ys.length]);
  for (const p of Object.values(params)) {
    p.m = new Float32Array(p.data.length);
    p.v = new Float32Array(p.data.length);
    p.t = new ort.Tensor('float32', p.data, p.dims);
  }
  const adam = (p, g, i) => {
    const d = p.data,
      m = p.m,
      v = p.v,
      i1 = 1 / (1 - c.b1 ** i),
      i2 = 1 / (1 - c.b2 ** i),
      b1 = c.b1,
      b2 = c.b2,
      lr = c.lr,
      e = c.aeps,
      wd = 1 - c.lr * c.wd;
    for (let k = 0; k < d.length; k++) {
      const q = g[k],
        mk = (m[k] = b1 * m[k] + (1 - b1) * q),
        vk = (v[k] = b2 * v[k] + (1 - b2) * q * q);
      d[k] = d[k] * wd - (lr * (mk * i1)) / (Math.sqrt(vk * i2) + e);
    }
  };
  const ts = [],
    fb = [],
    losses = [];
  for (let i = 1; i <= steps; i++) {
    const feeds = { x, y };
    for (const [k, p] of Object.entries(params)) feeds[k] = p.t;
    const t1 = performance.now(),
      o = await s.run(feeds),
      t2 = performance.now();
    for (const [k, p] of Object.entries(params)) adam(p, o['grad_' + k].data, i);
    const t3 = performance.now();
    losses.push(+o.loss.data[0].toFixed(5));
    ts.push(t3 - t1);
    fb.push(t2 - t1);
  }
  const ms = median(ts.slice(warm));
  return {
    peer: 'onnxruntime-web hand-built training graph',
    mode,
    threads,
    onnx_MB: +(bytes.length / 1e6).toFixed(1),
    load_ms: Math.round(load),
    ms: +ms.toFixed(1),
    steps_s: +(1000 / ms).toFixed(2),
    tok_s: Math.round((c.B * c.T * 1000) / ms),
    fwdbwd_ms: +median(fb.slice(warm)).toFixed(1),
    losses: losses.slice(0, 5),
  };
}
