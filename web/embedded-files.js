/**
 * Engine, model and tasks as part of the code. The worker starts from a Blob, because neither file:// nor another origin allows a worker from a URL.
 */
import { configureLabs } from './elements/labs.js';
import { EMBEDDED, embedFiles } from './engine/files.js';
import { cameFrom } from './lib/site.js';
// Made by bundle.mjs: {path: gzip in base64} of the wasm and the models folder, and the worker as a classic script.
import { files, workerScript } from 'virtual:peftlab-embedded';

/** @param {string} text @returns {Promise<Uint8Array>} */
async function unpack(text) {
    const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
    return new Uint8Array(await new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream('gzip'))).arrayBuffer());
}

const unpacked = Promise.all(
    Object.entries(files).map(async ([path, text]) => /** @type {[string, Uint8Array]} */ ([path, await unpack(text)])),
).then(Object.fromEntries);
embedFiles(unpacked);

cameFrom(import.meta.url);

let url = '';
const createWorker = () => {
    url ||= URL.createObjectURL(new Blob([workerScript], { type: 'text/javascript' }));
    return new Worker(url);
};

configureLabs({ base: `${EMBEDDED}models/`, load: { wasm: unpacked.then((all) => all['peftlab.wasm']), createWorker } });
