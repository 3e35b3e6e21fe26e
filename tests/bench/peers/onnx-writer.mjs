// Minimal ONNX protobuf writer (no dependency).
const enc = new TextEncoder();
const varint = (n) => {
  const o = [];
  let v = BigInt.asUintN(64, BigInt(n));
  do {
    let b = Number(v & 127n);
    v >>= 7n;
    if (v) b |= 128;
    o.push(b);
  } while (v);
  return Uint8Array.from(o);
};
const cat = (a) => {
  const n = a.reduce((s, x) => s + x.length, 0),
    r = new Uint8Array(n);
  let o = 0;
  for (const x of a) {
    r.set(x, o);
    o += x.length;
  }
  return r;
};
const V = (f, n) => cat([varint(f << 3), varint(n)]);
const L = (f, b) => {
  b = typeof b === 'string' ? enc.encode(b) : b;
  return cat([varint((f << 3) | 2), varint(b.length), b]);
};
const F32 = (f, x) => cat([varint((f << 3) | 5), new Uint8Array(new Float32Array([x]).buffer)]);
export const T = { f32: 1, i32: 6, i64: 7, bool: 9, f16: 10 };
export const tensor = (name, type, dims, arr) =>
  cat([...dims.map((d) => V(1, d)), V(2, type), L(8, name), L(9, new Uint8Array(arr.buffer, arr.byteOffset, arr.byteLength))]);
const attr = (k, v) => {
  const n = L(1, k);
  if (typeof v === 'object' && v.float !== undefined) return cat([n, F32(2, v.float), V(20, 1)]);
  if (typeof v === 'string') return cat([n, L(4, v), V(20, 3)]);
  if (Array.isArray(v)) return cat([n, ...v.map((i) => V(8, i)), V(20, 7)]);
  return cat([n, V(3, v), V(20, 2)]);
};
export const node = (op, ins, outs, attrs = {}, domain = '') =>
  cat([
    ...ins.map((i) => L(1, i)),
    ...outs.map((o) => L(2, o)),
    L(3, outs[0] + '_n'),
    L(4, op),
    ...Object.entries(attrs).map(([k, v]) => L(5, attr(k, v))),
    ...(domain ? [L(7, domain)] : []),
  ]);
export const value = (name, type, dims) =>
  cat([L(1, name), L(2, L(1, cat([V(1, type), L(2, cat(dims.map((d) => L(1, typeof d === 'string' ? L(2, d) : V(1, d)))))])))]);
export const model = ({ nodes, inits = [], inputs, outputs, opset = 17 }) =>
  cat([
    V(1, 8),
    L(2, 'peers-bench'),
    L(
      7,
      cat([
        ...nodes.map((n) => L(1, n)),
        L(2, 'g'),
        ...inits.map((i) => L(5, i)),
        ...inputs.map((i) => L(11, i)),
        ...outputs.map((o) => L(12, o)),
      ]),
    ),
    L(8, cat([L(1, ''), V(2, opset)])),
    L(8, cat([L(1, 'com.microsoft'), V(2, 1)])),
  ]);
