/**
 * Signs of life. A worker can end without any event (closed, out of memory), or never come back from a piece of work,
 * and while WebAssembly runs it cannot answer. So it says before each piece of work what that is and how long the
 * slowest recent one took, and the caller waits ten times that, and never less than two seconds. What has not been
 * seen yet gets a minute. Time that the caller itself was away (hidden, throttled, asleep) does not count.
 */

const SHORTEST_MS = 2_000;
const TIMES_USUAL = 10;
/** For a piece of work of unknown length: loading a model, the first step of a run. */
const UNKNOWN_MS = 60_000;
/** An engine at rest takes up a request at once. */
const REST_MS = 10_000;
export const TICK_MS = 400;
/** A tick that comes this late was held back by a sleeping machine or a page in the background: the worker gets a fresh start. */
const GAP_MS = 5_000;
/** What the worker says is repeated after this long, or when it has become quite another figure. */
const REPEAT_MS = 500;
const RECENT = 32;

/** How long silence is no bad sign. @param {number} usual the slowest recent piece of such work, ms; 0: unknown */
export const patience = (usual) => (usual > 0 ? Math.max(SHORTEST_MS, TIMES_USUAL * usual) : UNKNOWN_MS);

/** The worker's end: tells what is about to be done. */
export class Pulse {
    #what = '';
    #usual = 0;
    #at = -Infinity;

    /** @param {(message: {doing: string, usual: number}) => void} send @param {() => number} [now] */
    constructor(send, now = () => performance.now()) {
        this.send = send;
        this.now = now;
    }

    /** @param {string} what @param {number} usual ms; 0: unknown */
    tell(what, usual) {
        const at = this.now();
        const known = what === this.#what && usual <= 1.25 * this.#usual && usual >= 0.5 * this.#usual && (usual > 0) === (this.#usual > 0);
        if (known && at - this.#at < REPEAT_MS) return;
        [this.#what, this.#usual, this.#at] = [what, usual, at];
        this.send({ doing: what, usual });
    }
}

/** How long pieces of work took, by kind. */
export class Pace {
    /** @type {Map<string, number[]>} */
    #recent = new Map();
    #what = '';
    #began = 0;

    /** @param {() => number} [now] */
    constructor(now = () => performance.now()) {
        this.now = now;
    }

    /** @param {string} what */
    begin(what) {
        this.end();
        this.#what = what;
        this.#began = this.now();
    }

    /** The piece that was begun, if any, is done. */
    end() {
        if (!this.#what) return;
        const times = this.#recent.get(this.#what) ?? [];
        times.push(Math.max(1, this.now() - this.#began));
        this.#recent.set(this.#what, times.slice(-RECENT));
        this.#what = '';
    }

    /** @param {string} what @returns {number} the slowest recent piece, ms; 0: there was none */
    usual(what) {
        return Math.max(0, ...(this.#recent.get(what) ?? []));
    }
}

/** The caller's end: counts silence while an answer is due. */
export class Watch {
    #silent = 0;
    #last = 0;
    #heard = false;
    #doing = '';
    #usual = 0;
    #limit = UNKNOWN_MS;
    /** @type {ReturnType<typeof setInterval> | undefined} */
    #timer;

    /**
     * @param {{ping: () => void, lost: (why: string) => void, now?: () => number, hidden?: () => boolean}} how
     */
    constructor({ ping, lost, now = () => performance.now(), hidden = () => Boolean(globalThis.document?.hidden) }) {
        this.ping = ping;
        this.lost = lost;
        this.now = now;
        this.hidden = hidden;
    }

    /** An answer is due from now on. @param {number} [expect] how long the work may well take, ms; 0: unknown */
    start(expect = 0) {
        if (this.#timer !== undefined) return;
        this.#silent = 0;
        this.#last = this.now();
        this.#limit = expect ? patience(expect) : this.#heard ? REST_MS : UNKNOWN_MS;
        this.#doing = '';
        this.#timer = setInterval(() => this.tick(), TICK_MS);
        /** @type {any} */ (this.#timer).unref?.();
    }

    stop() {
        clearInterval(this.#timer);
        this.#timer = undefined;
    }

    /** A message came. @param {any} message */
    hear(message) {
        this.#heard = true;
        this.#silent = 0;
        if (typeof message?.doing !== 'string') return;
        this.#doing = message.doing;
        this.#usual = message.usual;
        this.#limit = patience(message.usual);
    }

    /** Every TICK_MS, if the machine lets us. */
    tick() {
        const at = this.now();
        const passed = at - this.#last;
        this.#last = at;
        // A late tick counts as two at most: messages that wait behind it have not been heard yet.
        if (passed > GAP_MS || this.hidden()) this.#silent = 0;
        else this.#silent += Math.min(passed, 2 * TICK_MS);
        if (this.#silent <= this.#limit) return this.ping();
        this.stop();
        const seconds = (this.#silent / 1000).toFixed(1);
        const usual = this.#usual > 0 ? `, usually ${Math.ceil(this.#usual)} ms` : '';
        return this.lost(`The engine's worker has been silent for ${seconds} s${this.#doing ? ` (${this.#doing}${usual})` : ''}.`);
    }
}
