/**
 * Worker entry, for browsers (dedicated module or classic worker) and Node's worker_threads alike. Unhandled
 * rejections inside a worker raise no event on the page in any engine, so they are re-thrown as errors, which do.
 */
import { serve } from './protocol.js';
import { Service } from './service.js';

const service = new Service();

/**
 * A replica is driven by the primary worker over its own port; the page only starts it.
 * @param {string} command @param {any} args @param {any} context
 */
function run(command, args, context) {
    if (command !== 'servePort') return service.run(command, args, context);
    serve(args.port, { run });
    return Promise.resolve();
}

const isNode = typeof process === 'object' && Boolean(process.versions?.node);
if (isNode) {
    // No top-level await: the single-file page bundles this module as a classic script. Messages wait until somebody listens.
    import('node:worker_threads').then(({ parentPort }) => parentPort && serve(/** @type {any} */ (parentPort), { run }));
} else {
    const scope = /** @type {any} */ (globalThis);
    scope.addEventListener('unhandledrejection', (/** @type {PromiseRejectionEvent} */ event) => {
        setTimeout(() => { throw event.reason; });
    });
    serve(scope, { run });
    // A lock ends with the worker that holds it; no event tells the page otherwise. Where locks are denied, silence has to tell.
    const lock = `peftlab-engine-${Math.random()}`;
    scope.navigator?.locks?.request(lock, () => {
        scope.postMessage({ lock });
        return new Promise(() => {});
    }).catch(() => {});
}
