import { CFG as c, median } from './spec.mjs';
import { decodeModel, PROMPT } from './onnx-decode-graph.mjs';
export async function decodeOrt(ort, { threads = 1, n = 120, reps = 5 } = {}) {
  ort.env.wasm.numThreads = threads;
  const bytes = decodeModel(),
    t0 = performance.now();
  const s = await ort.InferenceSession.create(bytes, { executionProviders: ['wasm'], graphOptimizationLevel: 'all' });
  const load = performance.now() - t0;
  const run1 = async (ids, past, total) => {
    const feeds = {
      ids: new ort.Tensor('int64', BigInt64Array.from(ids, BigInt), [1, ids.length]),
      seqlens_k: new ort.Tensor('int32', Int32Array.of(total - 1), [1]),
      total_len: new ort.Tensor('int32', Int32Array.of(total), []),
    };
    for (let l = 0; l < c.L; l++)
      for (const m of ['k', 'v'])
        feeds[`past_${m}${l}`] = past
          ? past[`present_${m}${l}`]
          : new ort.Tensor('float32', new Float32Array(0), [1, c.H, 0, c.HD]);
    return s.run(feeds);
  };
  const am = (d, o) => {
    let b = 0;
    for (let i = 1; i < c.V; i++) if (d[o + i] > d[o + b]) b = i;
    return b;
  };
  const ts = [];
  let seq;
  for (let r = 0; r < reps + 1; r++) {
    seq = [];
    let out = await run1(PROMPT, null, PROMPT.length),
      t = am(out.logits.data, (PROMPT.length - 1) * c.V),
      p = PROMPT.length;
    seq.push(t);
    const t1 = performance.now();
    for (let i = 1; i < n; i++) {
      out = await run1([t], out, ++p);
      t = am(out.logits.data, 0);
      seq.push(t);
    }
    ts.push((performance.now() - t1) / (n - 1));
  }
  const long = Array.from({ length: 512 }, (_, i) => (i * 37) % c.V),
    pp = [];
  for (let i = 0; i < 5; i++) {
    const t = performance.now();
    await run1(long, null, 512);
    pp.push(performance.now() - t);
  }
  const m = median(ts.slice(1));
  return {
    peer: 'onnxruntime-web 1.30 fused graph',
    threads,
    onnx_MB: +(bytes.length / 1e6).toFixed(1),
    load_ms: Math.round(load),
    ms_tok: +m.toFixed(3),
    tok_s: Math.round(1000 / m),
    prefill512_ms: +median(pp).toFixed(1),
    prefill_tok_s: Math.round(512e3 / median(pp)),
    first: seq.slice(0, 8),
  };
}
