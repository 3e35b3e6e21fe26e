// The engine's matrix products against the fastest micro-kernel this core can run.
import { readFileSync } from 'node:fs';
import { peakKernel } from './peak.mjs';

/** name, rows, in, out: the products of a training step of the spec's model (4 x 128 tokens), and of a small one. */
const SHAPES = /** @type {const} */ ([
  ['q, k, v, o', 512, 256, 256], ['gate, up', 512, 256, 688], ['down', 512, 688, 256], ['head', 512, 256, 2048],
  ['small model', 512, 64, 192], ['small model, head', 512, 64, 1024],
]);

/** The timing loops of gemm.c. @returns {Promise<Record<string, Function>>} */
export async function openLoops() {
  const bytes = readFileSync(new URL('../../build/wasm/bench.wasm', import.meta.url));
  const { instance } = await WebAssembly.instantiate(bytes, { env: { emscripten_notify_memory_growth() {} } });
  /** @type {any} */ (instance.exports)._initialize?.();
  return /** @type {any} */ (instance.exports);
}

/**
 * @param {(figure: import('./run.mjs').Figure) => void} report @param {number} rounds
 */
export async function benchGemm(report, rounds) {
  const bench = await openLoops();
  const kernels = await Promise.all([4, 5, 6].map(async (rows) => ({ rows, run: await peakKernel(rows, 1), best: 0 })));
  const products = SHAPES.map(([name, n, input, output]) => {
    const [x, w, y] = [bench.bench_reals(n * input), bench.bench_reals(output * input), bench.bench_reals(n * output)];
    const packed = bench.bench_reals(bench.bench_pack_size(output, input));
    const scratch = bench.bench_reals(bench.bench_pack_size(input, n));
    bench.bench_pack(w, output, input, packed);
    const flops = 2 * n * input * output;
    const times = Math.max(1, Math.round(1e8 / flops));
    const rate = (/** @type {(times: number) => void} */ run) => () => {
      const start = performance.now();
      run(times);
      return (flops * times) / (performance.now() - start) / 1e6;
    };
    return {
      name: `${name} ${n}x${input}x${output}`,
      forward: { run: rate((k) => bench.bench_gemm(x, n, input, packed, output, y, k)), best: 0 },
      outer: { run: rate((k) => bench.bench_outer(y, x, n, output, input, w, scratch, k)), best: 0 },
    };
  });
  const items = [...kernels, ...products.flatMap((product) => [product.forward, product.outer])];
  for (let round = 0; round < rounds * 3; round++)
    for (const item of items) item.best = Math.max(item.best, item.run());
  const peak = Math.max(...kernels.map((kernel) => kernel.best));
  report({
    name: 'micro-kernel peak of this core', value: peak, unit: 'GFLOP/s',
    note: kernels.map((kernel) => `${kernel.rows}x8: ${kernel.best.toFixed(1)}`).join(', '),
  });
  for (const { name, forward, outer } of products) {
    const ratio = forward.best / peak;
    const small = name.startsWith('small');
    report({
      name: `${name} / peak`, value: ratio, unit: '', ...(small ? {} : { want: '>= 0.75', good: ratio >= 0.75 }),
      note: `${forward.best.toFixed(1)} GFLOP/s; weight gradient ${(outer.best / peak).toFixed(2)}`,
    });
  }
}
