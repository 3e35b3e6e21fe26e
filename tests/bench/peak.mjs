// The fastest f32 matrix product that SIMD128 allows on this core: a micro-kernel of `rows` x 8 assembled by hand into a module,
// running on operands that stay in the first-level cache. Independent of the engine's C and of the compiler.

/** @param {number} value @returns {number[]} unsigned LEB128 */
function unsigned(value) {
  const bytes = [];
  do {
    bytes.push((value & 127) | (value > 127 ? 128 : 0));
    value >>>= 7;
  } while (value);
  return bytes;
}

/** @param {number} value @returns {number[]} signed LEB128 */
function signed(value) {
  const bytes = [];
  for (;;) {
    const byte = value & 127;
    value >>= 7;
    const last = (value === 0 && !(byte & 64)) || (value === -1 && (byte & 64));
    bytes.push(byte | (last ? 0 : 128));
    if (last) return bytes;
  }
}

const section = (/** @type {number} */ id, /** @type {number[]} */ content) => [id, ...unsigned(content.length), ...content];
const list = (/** @type {number[][]} */ items) => [...unsigned(items.length), ...items.flat()];
const [I32, V128] = [0x7f, 0x7b];
const get = (/** @type {number} */ local) => [0x20, ...unsigned(local)];
const set = (/** @type {number} */ local) => [0x21, ...unsigned(local)];
const tee = (/** @type {number} */ local) => [0x22, ...unsigned(local)];
const constant = (/** @type {number} */ value) => [0x41, ...signed(value)];
const [ADD, SUB, LOOP, END, AGAIN] = [[0x6a], [0x6b], [0x03, 0x40], [0x0b], [0x0d, 0]];
const vector = (/** @type {number} */ op) => [0xfd, ...unsigned(op)];
const load = (/** @type {number} */ at) => [...vector(0), 4, ...unsigned(at)];
const splat = (/** @type {number} */ at) => [...vector(9), 2, ...unsigned(at)];
const store = (/** @type {number} */ at) => [...vector(11), 4, ...unsigned(at)];
const [MUL, PLUS] = [vector(0xe6), vector(0xe4)];

/**
 * run(a, b, c, k, times): C[rows, 8] = A[rows, k] B[k, 8], `times` times over; A and B packed k by k, k a multiple of `unroll`.
 * @param {number} rows @param {number} unroll steps of k per branch
 */
function kernelModule(rows, unroll) {
  const [A, B, C, K, TIMES, a, b, k, sums] = [0, 1, 2, 3, 4, 5, 6, 7, 8];
  const [left, right, factor] = [sums + 2 * rows, sums + 2 * rows + 1, sums + 2 * rows + 2];
  const step = (/** @type {number} */ u) => [
    get(b), load(u * 32), set(left), get(b), load(u * 32 + 16), set(right),
    ...Array.from({ length: rows }, (_, row) => [
      get(a), splat((u * rows + row) * 4), set(factor),
      ...[left, right].map((half, i) => [get(sums + 2 * row + i), get(factor), get(half), MUL, PLUS, set(sums + 2 * row + i)].flat()),
    ].flat()),
  ].flat();
  const body = [
    LOOP, get(A), set(a), get(B), set(b), get(K), set(k),
    ...Array.from({ length: 2 * rows }, (_, i) => [...vector(12), ...new Array(16).fill(0), ...set(sums + i)]),
    LOOP, ...Array.from({ length: unroll }, (_, u) => step(u)),
    get(a), constant(rows * 4 * unroll), ADD, set(a), get(b), constant(32 * unroll), ADD, set(b),
    get(k), constant(unroll), SUB, tee(k), AGAIN, END,
    ...Array.from({ length: 2 * rows }, (_, i) => [...get(C), ...get(sums + i), ...store(i * 16)]),
    get(TIMES), constant(1), SUB, tee(TIMES), AGAIN, END, END,
  ].flat();
  const code = [...list([[3, I32], [2 * rows + 3, V128]]), ...body];
  return new Uint8Array([
    0, 97, 115, 109, 1, 0, 0, 0,
    ...section(1, list([[0x60, ...list([[I32], [I32], [I32], [I32], [I32]]), 0]])),
    ...section(3, [1, 0]),
    ...section(5, [1, 0, 4]),
    ...section(7, list([[3, 109, 101, 109, 2, 0], [3, 114, 117, 110, 0, 0]])),
    ...section(10, list([[...unsigned(code.length), ...code]])),
  ]);
}

/**
 * A function that measures the rate of the rows x 8 micro-kernel once, in GFLOP/s (about 10 ms each call).
 * Throws if the kernel computes a wrong product.
 * @param {number} rows @param {number} [unroll] @returns {Promise<() => number>}
 */
export async function peakKernel(rows, unroll = 4) {
  const k = 256;
  const { instance } = await WebAssembly.instantiate(kernelModule(rows, unroll));
  const { mem, run } = /** @type {{mem: WebAssembly.Memory, run: Function}} */ (/** @type {unknown} */ (instance.exports));
  const memory = new Float32Array(mem.buffer);
  const [a, b, c] = [0, rows * k, (rows + 8) * k];
  for (let i = 0; i < (rows + 8) * k; i++) memory[i] = ((i * 7) % 17 - 8) / 8;
  run(a * 4, b * 4, c * 4, k, 1);
  for (let row = 0; row < rows; row++) {
    let sum = 0;
    for (let i = 0; i < k; i++) sum += memory[a + i * rows + row] * memory[b + i * 8 + 5];
    if (Math.abs(sum - memory[c + row * 8 + 5]) > 1e-3) throw new Error(`the ${rows} x 8 micro-kernel is wrong`);
  }
  const times = Math.round(1.5e8 / (2 * rows * 8 * k));
  return () => {
    const start = performance.now();
    run(a * 4, b * 4, c * 4, k, times);
    return (2 * rows * 8 * k * times) / (performance.now() - start) / 1e6;
  };
}
