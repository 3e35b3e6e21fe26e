// What each operation of a block costs beside the block's matrix products, and the engine's tile on operands in the first-level
// cache. Also a program:   node tests/bench/kernels.mjs [rows dim heads hidden]   (after make -f src/Makefile MODE=wasm bench)
import { argv } from 'node:process';
import { pathToFileURL } from 'node:url';
import { openLoops } from './gemm.mjs';

/** name, uses per block in a forward pass, in a backward pass with frozen weights; the order is kernels_bench.c's enum. */
const OPERATIONS = /** @type {const} */ ([
  ['linear dim x dim', 4, 4], ['linear dim x hidden', 3, 3], ['weight gradient dim x dim', 0, 0], ['rmsnorm', 2, 0],
  ['rmsnorm backward', 0, 2], ['rope, q or k', 2, 2], ['attention', 1, 0], ['attention backward', 0, 1],
  ['attention, one token', 0, 0], ['swiglu', 1, 0], ['swiglu backward', 0, 1], ['dropout', 0, 0], ['adamw per 1,000 weights', 0, 0],
]);

/**
 * Microseconds of one call: the fastest of many rounds of about half a millisecond, short enough to fit between two interruptions.
 * @param {(times: number) => void} run @param {number} rounds
 */
function microseconds(run, rounds) {
  for (let i = 0; i < 20; i++) run(1);
  let times = 1;
  const round = () => {
    const start = performance.now();
    run(times);
    return performance.now() - start;
  };
  while (Math.min(round(), round()) < 0.5) times *= 2;
  return (Math.min(...Array.from({ length: rounds }, round)) / times) * 1000;
}

/**
 * @param {(figure: import('./run.mjs').Figure) => void} report @param {number} rounds
 * @param {{rows?: number, dim?: number, heads?: number, hidden?: number}} [shape]
 */
export async function benchKernels(report, rounds, { rows = 128, dim = 128, heads = 4, hidden = 344 } = {}) {
  const bench = await openLoops();
  const block = bench.block_bench_new(rows, dim, heads, hidden);
  if (!block) throw new Error('no memory for the buffers of the block');
  const tile = microseconds((times) => bench.block_bench_tile(block, times), rounds * 12);
  report({ name: 'own 4x8 tile, operands in L1', value: (2 * 20 * 256 * 8) / tile / 1000, unit: 'GFLOP/s' });
  const costs = OPERATIONS.map((_, i) => microseconds((times) => bench.block_bench_run(block, i, times), rounds * 12));
  const products = 4 * costs[0] + 3 * costs[1];
  OPERATIONS.forEach(([name, forward, backward], i) => {
    const value = name.startsWith('adamw') ? (costs[i] * 1000) / (rows * dim) : costs[i];
    const share = ((forward || backward) * costs[i]) / products;
    const pass = forward ? 'a forward' : 'a backward';
    const note = forward || backward ? `${(share * 100).toFixed(1)} % of the block's products in ${pass} pass` : undefined;
    report({ name: `${name} (${rows} x ${dim})`, value, unit: 'us', note });
  });
}

if (argv[1] && import.meta.url === pathToFileURL(argv[1]).href) {
  const [rows, dim, heads, hidden] = argv.slice(2).map(Number);
  await benchKernels(({ name, value, unit, note }) => {
    console.log(`  ${name.padEnd(44)} ${value.toFixed(2).padStart(9)} ${unit.padEnd(9)}${note ?? ''}`);
  }, 5, { rows, dim, heads, hidden });
}
