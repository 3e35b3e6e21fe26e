/**
 * Requests over a message port (browser Worker or MessagePort, Node worker_threads): a request has an id, any number of events and one answer;
 * a request can be cancelled. One side serves a Service, the other holds a Remote.
 *
 *   -> {id, command, args}          <- {id, event}*          <- {id, result} | {id, error}
 *   -> {id, cancel: true}           -> {ping}
 *   <- {pong} | {doing, usual} (signs of life, pulse.js) | {lock} (held while the worker lives)
 */
import { PeftLabError } from './errors.js';
import { Pace, Pulse, Watch } from './pulse.js';

/** @typedef {{run(command: string, args: any, context: Context): Promise<any>}} Runner a Service */
/** @typedef {{postMessage(message: unknown, transfer?: any[]): void} & Record<string, any>} Port */

const shutDown = () => new PeftLabError('worker-lost', 'The engine was shut down.');
const HINT = 'Start the engine again; an interrupted run goes on from its last snapshot.';

/** @param {unknown} signal @returns {PeftLabError | null} why no work begins under this signal */
function signalError(signal) {
    if (signal === undefined || signal === null) return null;
    const { aborted, addEventListener } = /** @type {Partial<AbortSignal>} */ (signal);
    if (typeof addEventListener !== 'function') return new PeftLabError('argument', 'signal must be an AbortSignal');
    return aborted ? PeftLabError.aborted() : null;
}

/** @param {unknown} cause what a callback threw @returns {PeftLabError} what the call rejects with */
export const callbackError = (cause) =>
    new PeftLabError('argument', `a callback of this call failed: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });

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
    #pace = new Pace();
    #pulse;
    /** @param {(event: object) => void} emit @param {Pulse} [pulse] */
    constructor(emit, pulse) {
        this.emit = emit;
        this.#pulse = pulse;
    }

    /**
     * About to do a piece of work during which no message gets through. Pieces of one name are alike, so that one
     * which takes far longer is a bad sign.
     * @param {string} what @param {number} [spread] how many times longer than others a piece may be for good reason
     */
    unit(what, spread = 1) {
        this.#pace.begin(what);
        this.#pulse?.tell(what, this.usual(what, spread));
    }

    /** @param {string} what @param {number} [spread] @returns {number} how long such a piece may well take, ms; 0: unknown */
    usual(what, spread = 1) {
        return spread * this.#pace.usual(what);
    }

    /** Lets messages in; throws when the caller has given up. Call between steps. */
    async breathe() {
        this.#pace.end();
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

/** @param {Port} port @param {Runner} service */
export function serve(port, service) {
    /** @type {Map<number, Context>} */
    const running = new Map();
    const pulse = new Pulse((message) => port.postMessage(message));
    listen(port, async (message) => {
        if (message?.ping) return port.postMessage({ pong: message.ping });
        if (typeof message?.id !== 'number') return undefined;
        const { id, command, args } = message;
        if (message.cancel) {
            const context = running.get(id);
            if (context) context.aborted = true;
            return undefined;
        }
        const context = new Context((event) => port.postMessage({ id, event }), pulse);
        running.set(id, context);
        pulse.tell(command, message.expect ?? 0);
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

/**
 * @typedef {{signal?: AbortSignal, onEvent?: (event: any) => void, transfer?: any[], expect?: number}} RequestOptions
 *   expect: how long it may well take, ms
 */

/** The caller's end. */
export class Remote {
    #port;
    #next = 1;
    /**
     * failed: a callback threw, so the work is being stopped.
     * @type {Map<number, {resolve: (value: any) => void, reject: (error: PeftLabError) => void, onEvent?: (event: any) => void,
     *   failed?: PeftLabError}>}
     */
    #pending = new Map();
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
            this.fail(shutDown());
            terminate?.(); // a program waits for that much
        };
        this.#watch = new Watch({ ping: () => port.postMessage({ ping: 1 }), lost: (why) => this.#died(why) });
        listen(port, (message) => this.#receive(message));
        const died = (/** @type {any} */ event) => this.#died(`The engine's worker stopped: ${event?.message ?? event}`);
        if (typeof port.on === 'function') {
            port.on('error', died);
            port.on('exit', (/** @type {number} */ code) => died(`exit code ${code}`));
        } else {
            port.addEventListener('error', died);
            port.addEventListener('messageerror', died);
        }
        this.#rest();
    }

    /** Nothing is due. A worker that nobody waits for keeps no program from ending: Node would wait for it for ever. */
    #rest() {
        this.#watch.stop();
        this.#port.unref?.();
    }

    /** @param {string} why */
    #died(why) {
        if (this.#lost) return;
        this.fail(new PeftLabError('worker-lost', why, { hint: HINT }));
        this.onDied?.(/** @type {PeftLabError} */ (/** @type {unknown} */ (this.#lost)));
    }

    /** The browser gives a worker's lock up when the worker ends, however it ends. @param {string} name */
    #follow(name) {
        navigator.locks
            .request(name, () => this.#died("The engine's worker stopped: the browser ended it, often because memory ran short."))
            .catch(() => {});
    }

    /** Rejects everything in flight and every later request. @param {PeftLabError} error */
    fail(error) {
        this.#lost ??= error;
        for (const { reject } of this.#pending.values()) reject(error);
        this.#pending.clear();
        this.#rest();
    }

    /** @param {any} message */
    #receive(message) {
        this.#watch.hear(message);
        if (typeof message?.lock === 'string') return this.#follow(message.lock);
        const entry = this.#pending.get(message?.id);
        if (!entry) return;
        if ('event' in message) {
            if (entry.failed) return;
            try {
                entry.onEvent?.(message.event);
            } catch (cause) { // here it would be nobody's
                entry.failed = callbackError(cause);
                this.#port.postMessage({ id: message.id, cancel: true });
            }
            return;
        }
        this.#pending.delete(message.id);
        if (this.#pending.size === 0) this.#rest();
        if (entry.failed) entry.reject(entry.failed);
        else if (message.error) entry.reject(PeftLabError.from(message.error));
        else entry.resolve(message.result);
    }

    /**
     * @param {string} command
     * @param {any} [args]
     * @param {RequestOptions} [options]
     * @returns {Promise<any>}
     */
    request(command, args, { signal, onEvent, transfer, expect } = {}) {
        const refused = this.#lost ?? signalError(signal);
        if (refused) return Promise.reject(refused);
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
            this.#watch.start(expect);
            this.#port.ref?.();
            try {
                this.#port.postMessage({ id, command, args, ...(expect && { expect }) }, transfer ?? []);
            } catch (cause) { // a function or another thing that cannot be sent
                this.#receive({
                    id,
                    error: {
                        code: 'argument',
                        message: `${command}: an argument cannot be sent to the engine (${/** @type {Error} */ (cause).message})`,
                        hint: '',
                    },
                });
            }
        });
    }
}

/** The same interface without a worker: the service runs in this thread and yields between steps. */
export class Local {
    /** @type {Runner | null} */
    #service;
    /** @type {Set<Context>} */
    #running = new Set();

    /** @param {Runner} service */
    constructor(service) {
        this.#service = service;
    }

    /** What is under way stops at its next step, and the engine's memory is nobody's any more. */
    terminate() {
        this.#service = null;
        for (const context of this.#running) context.aborted = true;
    }

    /** @param {string} command @param {any} [args] @param {RequestOptions} [options] @returns {Promise<any>} */
    async request(command, args, { signal, onEvent } = {}) {
        const refused = this.#service ? signalError(signal) : shutDown();
        if (refused) throw refused;
        let failed = /** @type {PeftLabError | null} */ (null);
        const abort = () => { context.aborted = true; };
        const context = new Context((event) => {
            try {
                if (!failed) onEvent?.(event);
            } catch (cause) {
                failed = callbackError(cause);
                abort();
            }
        });
        this.#running.add(context);
        signal?.addEventListener('abort', abort);
        try {
            const result = await /** @type {Runner} */ (this.#service).run(command, args, context);
            if (failed) throw failed;
            return result;
        } catch (error) {
            throw failed ?? (this.#service ? PeftLabError.from(error) : shutDown());
        } finally {
            this.#running.delete(context);
            signal?.removeEventListener('abort', abort);
        }
    }
}
