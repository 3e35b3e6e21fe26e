/**
 * Requests over a message port (browser Worker or MessagePort, Node worker_threads): a request has an id, any number of events and one answer;
 * a request can be cancelled. One side serves a Service, the other holds a Remote.
 *
 *   -> {id, command, args}          <- {id, event}*          <- {id, result} | {id, error}
 *   -> {id, cancel: true}           -> {ping}                <- {pong}
 */
import { PeftLabError } from './errors.js';

/** @typedef {{postMessage(message: unknown, transfer?: any[]): void} & Record<string, any>} Port */

/** How long a busy worker may stay silent before it counts as lost, ms. A step of the largest model takes a few seconds on a slow phone. */
const SILENCE_MS = 60_000;
const PING_MS = 2_000;

/** @param {Port} port @param {(message: any) => void} handler */
export function listen(port, handler) {
    if (typeof port.on === 'function') port.on('message', handler);
    else port.addEventListener('message', (/** @type {MessageEvent} */ event) => handler(event.data));
    port.start?.();
}

/**
 * Gives queued messages (cancel!) a turn. Timers would cost 4 ms each, so an own message port is used.
 * @type {() => Promise<void>}
 */
export const tick = (() => {
    if (typeof setImmediate === 'function') return () => new Promise((resolve) => setImmediate(resolve));
    const { port1, port2 } = new MessageChannel();
    /** @type {(() => void)[]} */
    const waiting = [];
    port1.onmessage = () => waiting.shift()?.();
    return () => new Promise((resolve) => {
        waiting.push(() => resolve(undefined));
        port2.postMessage(0);
    });
})();

/** What a command sees of the caller. */
export class Context {
    aborted = false;
    /** @param {(event: object) => void} emit */
    constructor(emit) {
        this.emit = emit;
    }

    /** Lets messages in; throws when the caller has given up. Call between steps. */
    async breathe() {
        await tick();
        this.check();
    }

    /** Throws when the caller has given up. */
    check() {
        if (this.aborted) throw PeftLabError.aborted();
    }
}

/** Array buffers inside a result that may be moved instead of copied. @param {unknown} value @returns {ArrayBuffer[]} */
function transferable(value) {
    if (ArrayBuffer.isView(value)) return value.byteOffset === 0 && value.buffer instanceof ArrayBuffer ? [value.buffer] : [];
    if (!value || typeof value !== 'object') return [];
    return Object.values(value).flatMap((inner) => (ArrayBuffer.isView(inner) ? transferable(inner) : []));
}

/**
 * @param {Port} port
 * @param {{run(command: string, args: any, context: Context): Promise<any>}} service
 */
export function serve(port, service) {
    /** @type {Map<number, Context>} */
    const running = new Map();
    listen(port, async (message) => {
        if (message?.ping) return port.postMessage({ pong: message.ping });
        if (typeof message?.id !== 'number') return undefined;
        const { id, command, args } = message;
        if (message.cancel) {
            const context = running.get(id);
            if (context) context.aborted = true;
            return undefined;
        }
        const context = new Context((event) => port.postMessage({ id, event }));
        running.set(id, context);
        try {
            const result = await service.run(command, args, context);
            port.postMessage({ id, result }, transferable(result));
        } catch (error) {
            port.postMessage({ id, error: PeftLabError.from(error).toJSON() });
        } finally {
            running.delete(id);
        }
        return undefined;
    });
}

/** @typedef {{signal?: AbortSignal, onEvent?: (event: any) => void, transfer?: any[]}} RequestOptions */

/** The caller's end. */
export class Remote {
    #port;
    #next = 1;
    /** @type {Map<number, {resolve: (value: any) => void, reject: (error: PeftLabError) => void, onEvent?: (event: any) => void}>} */
    #pending = new Map();
    #heard = 0;
    /** @type {ReturnType<typeof setInterval> | undefined} */
    #watch;
    /** @type {PeftLabError | null} */
    #lost = null;
    /** Told when the other side ended by itself. @type {((error: PeftLabError) => void) | null} */
    onDied = null;

    /** @param {Port} port @param {() => void} [terminate] ends the other side for good */
    constructor(port, terminate) {
        this.#port = port;
        this.terminate = () => {
            this.onDied = null; // ended from here
            terminate?.();
            this.fail(new PeftLabError('worker-lost', 'The engine was shut down.'));
        };
        listen(port, (message) => this.#receive(message));
        const died = (/** @type {any} */ event) => {
            this.fail(new PeftLabError('worker-lost', `The engine's worker stopped: ${event?.message ?? event}`, { hint: 'Reload the model; the last snapshot is still valid.' }));
            this.onDied?.(/** @type {PeftLabError} */ (this.#lost));
        };
        if (typeof port.on === 'function') {
            port.on('error', died);
            port.on('exit', (/** @type {number} */ code) => died(`exit code ${code}`));
        } else {
            port.addEventListener('error', died);
            port.addEventListener('messageerror', died);
        }
    }

    /** Rejects everything in flight and every later request. @param {PeftLabError} error */
    fail(error) {
        this.#lost ??= error;
        for (const { reject } of this.#pending.values()) reject(error);
        this.#pending.clear();
        clearInterval(this.#watch);
        this.#watch = undefined;
    }

    /** @param {any} message */
    #receive(message) {
        this.#heard = Date.now();
        const entry = this.#pending.get(message?.id);
        if (!entry) return;
        if ('event' in message) return entry.onEvent?.(message.event);
        this.#pending.delete(message.id);
        if (this.#pending.size === 0) {
            clearInterval(this.#watch);
            this.#watch = undefined;
        }
        if (message.error) entry.reject(PeftLabError.from(message.error));
        else entry.resolve(message.result);
    }

    /** A worker can die without any event (self.close(), an out-of-memory kill): silence is the only sign. */
    #startWatch() {
        if (this.#watch !== undefined) return;
        this.#heard = Date.now();
        this.#watch = setInterval(() => {
            if (Date.now() - this.#heard > SILENCE_MS) this.fail(new PeftLabError('worker-lost', `The engine's worker has been silent for ${SILENCE_MS / 1000} s.`));
            else this.#port.postMessage({ ping: 1 });
        }, PING_MS);
        /** @type {any} */ (this.#watch).unref?.();
    }

    /**
     * @param {string} command
     * @param {any} [args]
     * @param {RequestOptions} [options]
     * @returns {Promise<any>}
     */
    request(command, args, { signal, onEvent, transfer } = {}) {
        if (this.#lost) return Promise.reject(this.#lost);
        if (signal?.aborted) return Promise.reject(PeftLabError.aborted());
        const id = this.#next++;
        return new Promise((resolve, reject) => {
            // The promise settles when the other side has really stopped, not when the signal fires.
            const abort = () => this.#port.postMessage({ id, cancel: true });
            const finish = (/** @type {(v: any) => void} */ settle) => (/** @type {any} */ value) => {
                signal?.removeEventListener('abort', abort);
                settle(value);
            };
            signal?.addEventListener('abort', abort);
            this.#pending.set(id, { resolve: finish(resolve), reject: finish(reject), onEvent });
            this.#startWatch();
            try {
                this.#port.postMessage({ id, command, args }, transfer ?? []);
            } catch (cause) { // a function or another thing that cannot be sent
                this.#receive({ id, error: { code: 'argument', message: `${command}: an argument cannot be sent to the engine (${/** @type {Error} */ (cause).message})`, hint: '' } });
            }
        });
    }
}

/** The same interface without a worker: the service runs in this thread and yields between steps. */
export class Local {
    /** @param {{run(command: string, args: any, context: Context): Promise<any>}} service */
    constructor(service) {
        this.service = service;
        this.terminate = () => {};
    }

    /** @param {string} command @param {any} [args] @param {RequestOptions} [options] @returns {Promise<any>} */
    async request(command, args, { signal, onEvent } = {}) {
        if (signal?.aborted) throw PeftLabError.aborted();
        const context = new Context((event) => onEvent?.(event));
        const abort = () => { context.aborted = true; };
        signal?.addEventListener('abort', abort);
        try {
            return await this.service.run(command, args, context);
        } catch (error) {
            throw PeftLabError.from(error);
        } finally {
            signal?.removeEventListener('abort', abort);
        }
    }
}
