/**
 * Compiles and instantiates the raw .wasm that Emscripten made. No generated JavaScript glue: the module has a handful of WASI
 * imports that the engine never really uses (it does not print, open files or exit), so they are answered here.
 */
import { PeftLabError } from './errors.js';

/** (module (func (result v128) (v128.const i32x4 0 0 0 0))): compiles only where SIMD128 exists. */
const SIMD_PROBE = new Uint8Array([
    0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 22, 1, 20, 0, 253, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 11,
]);

/** WASI's "function not supported"; nothing in the engine reads it. */
const ENOSYS = 52;

/** @typedef {{memory: WebAssembly.Memory} & {[name: string]: any}} EngineExports the functions of src/session/peftlab.h by name */

/** @returns {boolean} */
export function hasSimd() {
    return typeof WebAssembly === 'object' && WebAssembly.validate(SIMD_PROBE);
}

/**
 * @param {BufferSource | WebAssembly.Module} source bytes of peftlab.wasm, or the compiled module (modules can be sent to workers)
 * @returns {Promise<WebAssembly.Module>}
 */
export async function compile(source) {
    if (source instanceof WebAssembly.Module) return source;
    if (typeof WebAssembly !== 'object') {
        throw new PeftLabError('no-wasm', 'This browser has no WebAssembly.', { hint: 'Use a current browser; the calculators work without it.' });
    }
    if (!hasSimd()) {
        throw new PeftLabError('no-simd', 'This browser cannot run WebAssembly SIMD.', { hint: 'Use a browser from 2023 or later.' });
    }
    try {
        return await WebAssembly.compile(source);
    } catch (cause) {
        const blocked = /unsafe-eval|Content Security Policy/i.test(String(cause));
        throw new PeftLabError(
            'no-wasm',
            blocked ? "The page's Content-Security-Policy forbids WebAssembly." : `peftlab.wasm could not be compiled: ${cause}`,
            {
                hint: blocked ? "Add 'wasm-unsafe-eval' to script-src." : 'Build it again with ./build.sh wasm.',
                cause,
            },
        );
    }
}

/**
 * @param {WebAssembly.Module} module
 * @returns {Promise<EngineExports>}
 */
export async function instantiate(module) {
    /** @type {Record<string, Record<string, Function>>} */
    const imports = {};
    for (const { module: space, name, kind } of WebAssembly.Module.imports(module)) {
        if (kind !== 'function')
            throw new PeftLabError(
                'no-wasm',
                `peftlab.wasm wants to import ${kind} ${space}.${name}; it was built with other flags`,
            );
        imports[space] ??= {};
        imports[space][name] = name === 'proc_exit'
            ? (/** @type {number} */ code) => { throw new WebAssembly.RuntimeError(`the engine exited with ${code}`); }
            : () => (name.startsWith('emscripten_notify') ? undefined : ENOSYS);
    }
    const instance = await WebAssembly.instantiate(module, /** @type {any} */ (imports));
    const exports = /** @type {EngineExports} */ (/** @type {unknown} */ (instance.exports));
    exports._initialize?.();
    if (exports.pl_selftest() !== 0) {
        throw new PeftLabError('no-simd', 'The WebAssembly engine of this browser computes wrong numbers (known-answer test failed).', {
            hint: 'Update the browser; results from this one could not be trusted.',
        });
    }
    return exports;
}
