// One peer on the work of spec.mjs, in a process of its own, single-threaded unless told otherwise:
//   node peer.mjs ort|tfjs|jax train|decode [full|lora] [threads]   -> one JSON line with ms (training) or ms_tok (decoding)
import { createRequire } from 'node:module';
import { dirname } from 'node:path';

const [peer, what, mode = 'lora', threads = '1'] = process.argv.slice(2);

/** @type {Record<string, () => Promise<any>>} */
const programs = {
  async ort() {
    const ort = await import('onnxruntime-web');
    if (what === 'decode') return (await import('./ort-decode.mjs')).decodeOrt(ort, { threads: Number(threads) });
    return (await import('./ort-train.mjs')).trainOrt(ort, { mode, threads: Number(threads), steps: 8 });
  },
  async tfjs() {
    const tf = await import('@tensorflow/tfjs');
    const wasm = await import('@tensorflow/tfjs-backend-wasm');
    wasm.setWasmPaths(`${dirname(createRequire(import.meta.url).resolve('@tensorflow/tfjs-backend-wasm'))}/`);
    await tf.setBackend('wasm');
    await tf.ready();
    if (what === 'decode') return (await import('./tfjs-decode.mjs')).decodeTf(tf);
    return (await import('./tfjs-train.mjs')).run(tf, { mode, steps: 6, embed: 'onehot', fastmm: true });
  },
  async jax() {
    await import('./iterator-polyfill.mjs');
    if (what === 'decode') return (await import('./jax-decode.mjs')).decodeJax();
    return (await import('./jax-train.mjs')).run({ mode, steps: 6, useJit: mode === 'full' });
  },
};
if (!programs[peer]) {
  console.error(`peer.mjs: no peer is called '${peer}'; there are ${Object.keys(programs).join(', ')}`);
  process.exit(2);
}
console.log(JSON.stringify(await programs[peer]()));
process.exit(0);
