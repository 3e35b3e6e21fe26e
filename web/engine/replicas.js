/**
 * The engines that share a session's training steps: copies of it in workers of their own, each with the model, the data and the run.
 */
import { PeftLabError } from './errors.js';
import { callbackError } from './protocol.js';

/** @typedef {import('./checks.js').Workers} Workers */
/** @typedef {import('./protocol.js').Remote} Remote */

/**
 * @typedef {object} Original what replicas are copies of
 * @property {(command: string, args?: any, options?: import('./protocol.js').RequestOptions) => Promise<any>} request asks its engine
 * @property {import('./files.js').ModelFiles} files
 * @property {Map<string, {examples: import('./data.js').Example[], maxLength: number}>} data by split
 */

export class Replicas {
    #spawn;
    /** @type {Remote[]} */
    #all = [];

    /** @param {null | (() => Promise<Remote>)} spawn starts one more engine in a worker of its own */
    constructor(spawn) {
        this.#spawn = spawn;
    }

    /**
     * They get the model, the data and a snapshot of the run just begun, and a port to the original's engine. Those that
     * cannot start, often for want of memory, are done without: the result is the same. One that dies ends the call.
     * @param {Original} original @param {Workers} options
     */
    async add(original, { workers = 1, onFewerWorkers }) {
        if (workers === 1) return;
        try {
            const refused = await this.#startAll(original, workers - 1);
            const lost = refused.find(({ code }) => code === 'worker-lost');
            if (lost) throw lost;
            for (const replica of this.#all) await attach(original, replica);
            if (refused.length) tell(onFewerWorkers, { workers: this.#all.length + 1, asked: workers, error: refused[0] });
        } catch (error) {
            await this.drop(original);
            throw error;
        }
    }

    /** @param {Original} original @param {number} count @returns {Promise<PeftLabError[]>} why some could not start */
    async #startAll(original, count) {
        try {
            const bytes = await original.request('snapshot');
            const started = await Promise.allSettled(Array.from({ length: count }, () => this.#start(original, bytes)));
            return started.flatMap((one) => (one.status === 'rejected' ? [PeftLabError.from(one.reason)] : []));
        } catch (error) {
            return [PeftLabError.from(error)];
        }
    }

    /** One that cannot be used is ended. @param {Original} original @param {Uint8Array} bytes a snapshot */
    async #start({ request, files, data }, bytes) {
        if (!this.#spawn) throw new PeftLabError('unsupported', 'This session has no way to start workers.');
        const replica = await this.#spawn();
        this.#all.push(replica);
        // Without its part the step would never end. The run stays at its last finished step and can go on without replicas.
        replica.onDied = (error) => { request('dropPeers', { why: error.message }).catch(() => {}); };
        try {
            await replica.request('loadModel', { files });
            for (const [split, { examples, maxLength }] of data) await replica.request('setData', { split, examples, maxLength });
            await replica.request('restore', { bytes });
        } catch (error) {
            this.#all = this.#all.filter((other) => other !== replica);
            replica.terminate();
            throw error;
        }
    }

    /** They end even where the engine is lost, or closed meanwhile. @param {Original} original */
    async drop({ request }) {
        const replicas = this.#all.splice(0);
        if (replicas.length) await request('dropPeers').catch(() => {});
        for (const replica of replicas) replica.terminate();
    }

    /** As drop, where the original's engine ends, too. */
    terminate() {
        for (const replica of this.#all.splice(0)) replica.terminate();
    }
}

/** @param {Workers['onFewerWorkers']} callback @param {{workers: number, asked: number, error: PeftLabError}} fewer */
function tell(callback, fewer) {
    try {
        callback?.(fewer);
    } catch (cause) {
        throw callbackError(cause);
    }
}

/** @param {Original} original @param {Remote} replica */
async function attach({ request }, replica) {
    const { port1, port2 } = new MessageChannel();
    await replica.request('servePort', { port: port1 }, { transfer: [port1] });
    await request('attachPeer', { port: port2 }, { transfer: [port2] });
    await replica.request('memory'); // one that died before the engine knew it was dropped by nobody
}
