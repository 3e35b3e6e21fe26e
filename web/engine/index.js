/**
 * peftlab: fine-tune small Llama models with PEFT methods in a browser tab or in Node.
 *
 *     import { PeftLab } from 'peftlab';
 *     const session = await PeftLab.load('models/stories-300k');
 *     await session.addModule('lora', { rank: 8, alpha: 16 });
 *     await session.setData('train', [{ prompt: 'The cat', completion: ' says arr.' }]);
 *     await session.train({ steps: 50, lr: 5e-3, onStep: ({ step, loss }) => console.log(step, loss) });
 *     console.log((await session.generate({ prompt: 'The dog', seed: 1 })).text);
 */
import { PeftLabError } from './errors.js';
import { readModelFolder } from './files.js';
import { compile } from './loader.js';
import { Local, Remote } from './protocol.js';
import { Session } from './session.js';

export { PeftLabError } from './errors.js';
export { Session } from './session.js';
export { DATA_LIMITS, decodeText, formatOf, parseData } from './data.js';
export { adapterFileName, readAdapterFolder, readModelFolder } from './files.js';
export { loadTask, loadIndex, evaluateTask, fitPreset } from './tasks.js';
export * as metrics from './metrics/index.js';

const isNode = typeof process === 'object' && Boolean(process.versions?.node);
/** Where ./build.sh wasm puts the engine; bundlers and pages may pass another place. */
const WASM_URL = new URL('../../build/wasm/peftlab.wasm', import.meta.url);

/**
 * @typedef {object} LoadOptions
 * @property {BufferSource | WebAssembly.Module | string | URL | Promise<BufferSource>} [wasm] bytes
 *   (or a promise of them), module or place of peftlab.wasm
 * @property {boolean} [inThread] run the engine in the calling thread (long calls yield between steps); default: a worker
 * @property {() => any} [createWorker] makes the worker (single-file pages, unusual bundlers)
 * @property {Promise<Session>} [session] one that was opened without a model, for load to put the model into: an
 *   engine that started before its model was known
 * @property {AbortSignal} [signal]
 * @property {(file: string) => void} [onProgress]
 */

/** @type {Promise<WebAssembly.Module> | null} the default module, compiled once */
let defaultModule = null;

/** @param {string | URL} place @returns {Promise<ArrayBuffer | Uint8Array>} */
async function readWasm(place) {
    const hint = 'Build it with ./build.sh wasm.';
    const onDisk = isNode && !/^https?:/.test(String(place));
    if (onDisk) {
        const { readFile } = await import('node:fs/promises');
        return readFile(place).catch((cause) => { throw new PeftLabError('load', `${place} cannot be read.`, { hint, cause }); });
    }
    const response = await fetch(place).catch((cause) => { throw new PeftLabError('load', `${place} cannot be fetched.`, { hint, cause }); });
    if (!response.ok) throw new PeftLabError('load', `${place} cannot be fetched: the server answered ${response.status}.`, { hint });
    return response.arrayBuffer();
}

/** @param {LoadOptions['wasm']} wasm @returns {Promise<WebAssembly.Module>} */
async function moduleFrom(wasm) {
    if (wasm === undefined) {
        defaultModule ??= readWasm(WASM_URL).then((bytes) => compile(/** @type {BufferSource} */ (bytes)));
        return defaultModule.catch((error) => {
            defaultModule = null;
            throw error;
        });
    }
    return compile(typeof wasm === 'string' || wasm instanceof URL ? /** @type {BufferSource} */ (await readWasm(wasm)) : await wasm);
}

/** The bundler follows this very expression, so both ways of starting the worker share it. @param {typeof globalThis.Worker} Worker */
const workerOf = (Worker) => new Worker(new URL('./worker.js', import.meta.url), { type: 'module' });

/** The worker from its text: the bundled one needs nothing else. @returns {Promise<Worker>} */
async function workerOfText() {
    let place = '';
    workerOf(/** @type {any} */ (function (/** @type {URL} */ url) { place = String(url); }));
    return new Worker(URL.createObjectURL(new Blob([await (await fetch(place)).text()], { type: 'text/javascript' })));
}

/**
 * A frame with sandbox="allow-scripts" has an origin of its own, where no address may be a worker's, but the text of the
 * worker may. It is not tried there: Firefox makes the worker all the same, and lets it fail without a word.
 * @returns {Promise<Worker>}
 */
async function browserWorker() {
    if (globalThis.origin === 'null') return workerOfText();
    try {
        return workerOf(Worker);
    } catch (error) {
        if (/** @type {Error} */ (error).name !== 'SecurityError') throw error;
        return workerOfText();
    }
}

/** With the flags of this program, but for one that no worker takes: node --input-type=module --eval. */
async function nodeWorker() {
    const { Worker } = await import('node:worker_threads');
    return new Worker(new URL('./worker.js', import.meta.url), { execArgv: process.execArgv.filter((flag) => !flag.startsWith('--input-type')) });
}

/** @param {LoadOptions} options @returns {Promise<Remote>} */
async function spawnWorker({ createWorker }) {
    let worker;
    if (createWorker) worker = await createWorker();
    else if (isNode) worker = await nodeWorker();
    else worker = await browserWorker();
    return new Remote(worker, () => worker.terminate());
}

/**
 * The module goes to its place, which may have been made while it came.
 * @template {Remote | Local} T @param {T} engine @param {Promise<WebAssembly.Module>} module @returns {Promise<T>}
 */
async function withEngine(engine, module) {
    try {
        await engine.request('start', { wasm: await module });
        return engine;
    } catch (error) {
        engine.terminate();
        throw error;
    }
}

/** @param {Session} session ended if the model is refused @param {import('./files.js').ModelFiles} files @param {LoadOptions} options */
async function withModel(session, files, { signal }) {
    try {
        await session.loadModel(files, { signal });
        return session;
    } catch (error) {
        session.close();
        throw error;
    }
}

export const PeftLab = Object.freeze({
    /**
     * Starts an engine, while the files come, and loads a model folder into it.
     * @param {import('./files.js').FolderSource} model URL, path (Node), files by name, or a FileList
     * @param {LoadOptions} [options]
     * @returns {Promise<Session>}
     */
    async load(model, options = {}) {
        const [engine, files] = await Promise.allSettled([options.session ?? PeftLab.open(null, options), readModelFolder(model, options)]);
        if (engine.status === 'rejected') throw engine.reason;
        if (files.status === 'fulfilled') return withModel(engine.value, files.value, options);
        engine.value.close();
        throw files.reason;
    },

    /**
     * As load, from the files' contents; files null gives a session without a model, for the calculators.
     * @param {import('./files.js').ModelFiles | null} files
     * @param {LoadOptions} [options]
     * @returns {Promise<Session>}
     */
    async open(files, options = {}) {
        const module = moduleFrom(options.wasm);
        module.catch(() => {}); // whoever waits for it says it
        const spawn = async () => withEngine(await spawnWorker(options), module);
        // A page has the engine in its worker; here it comes when it is wanted.
        const engine = options.inThread ? await withEngine(new Local(new (await import('./service.js')).Service()), module) : await spawn();
        const session = new Session(engine, spawn);
        return files ? withModel(session, files, options) : session;
    },
});
