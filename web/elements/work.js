/** Long work in a panel: progress, time left, cancel. A panel makes one Work, runs it, and puts bar() into its template. */
import { PeftLabError } from '../engine/index.js';
import { duration } from '../lib/format.js';
import { hasText, language } from '../lib/i18n.js';
import { html, nothing, t } from './base.js';
import { wrong } from './engine-said.js';

/** A task's name for people. @param {string} name @param {string} [fallback] */
export const taskTitle = (name, fallback = name) =>
    (name === 'own-data' ? t('task.own') : hasText(`task.${name}`) ? t(`task.${name}`) : fallback);

/** @typedef {{message: string, hint?: string, code?: string}} Problem what wrong() puts into words of the page */

/**
 * What went wrong, for a place of its own, and for who only listens: it then need not stand among the page's notices, too, unless that is
 * where one starts the engine again.
 * @param {import('./base.js').LabElement} host @param {unknown} thrown @returns {Problem}
 */
export function saidHere(host, thrown) {
    const { code, message, hint } = PeftLabError.from(thrown);
    if (code !== 'worker-lost') host.lab.emit('notice', { instead: message });
    const own = language() !== 'en' && hasText(`failure.code.${code}`) ? t(`failure.code.${code}`) : '';
    host.say(own || [message, hint].filter(Boolean).join(' '));
    return { message, hint, code };
}

/**
 * @typedef {object} Hand
 * @property {(done?: number, label?: string) => void} tick progress; never throws
 * @property {() => void} check throws once cancelled
 * @property {() => void} begin starts the clock, where preparations say nothing about the pace
 * @property {AbortSignal} signal
 */

export class Work {
    done = 0;
    total = 0;
    label = '';
    /** @type {Problem | null} */
    problem = null;
    #began = 0;
    #shown = 0;
    /** @type {AbortController | null} */
    #abort = null;
    /** Why it was cancelled, if not by the visitor. */
    #why = '';

    /** @param {import('./base.js').LabElement} host */
    constructor(host) {
        this.host = host;
    }

    get running() {
        return this.#abort !== null;
    }

    /** @param {string} [why] in words; none: the visitor wanted it */
    cancel(why = '') {
        this.#why = why;
        this.#abort?.abort();
        this.host.requestUpdate();
    }

    /**
     * A button that begins the work is disabled meanwhile, which would lose the focus: Cancel has it then, and afterwards the button.
     * @returns {() => void} gives it back
     */
    #focus() {
        const root = /** @type {ShadowRoot} */ (this.host.renderRoot);
        const began = /** @type {HTMLElement | null} */ (root.activeElement);
        const cancel = () => /** @type {HTMLElement | null} */ (root.querySelector('.work button'));
        if (began) this.host.updateComplete.then(() => { if (this.running) cancel()?.focus({ preventScroll: true }); });
        return () => {
            if (!began || (root.activeElement !== cancel() && document.activeElement !== document.body)) return; // it went elsewhere
            this.host.updateComplete.then(() => began.focus({ preventScroll: true }));
        };
    }

    /**
     * @template T @param {number} total @param {string} label @param {(hand: Hand) => Promise<T>} work
     * @returns {Promise<T | null>} null: cancelled, failed or not begun
     */
    async run(total, label, work) {
        if (this.running || !this.host.isConnected) return null; // nobody could cancel it
        const abort = new AbortController();
        this.#abort = abort;
        Object.assign(this, { done: 0, total, label, problem: null });
        this.#began = performance.now();
        this.host.requestUpdate();
        const refocus = this.#focus();
        const tick = (done = this.done + 1, text = this.label) => {
            this.done = done;
            this.label = text;
            if (performance.now() - this.#shown < 66) return;
            this.#shown = performance.now();
            this.host.requestUpdate();
        };
        const check = () => {
            if (abort.signal.aborted) throw PeftLabError.aborted();
        };
        try {
            return await work({ signal: abort.signal, tick, check, begin: () => { this.#began = performance.now(); } });
        } catch (thrown) {
            const error = PeftLabError.from(thrown);
            const cancelled = abort.signal.aborted || error.code === 'aborted' ? this.#why || t('work.cancelled') : '';
            this.problem = cancelled ? { message: cancelled } : saidHere(this.host, error);
            if (cancelled) this.host.say(cancelled);
            return null;
        } finally {
            this.#abort = null;
            this.host.requestUpdate();
            refocus();
        }
    }

    /** Seconds still needed, from the pace so far. */
    get left() {
        return this.done > 0 ? (((performance.now() - this.#began) / this.done) * (this.total - this.done)) / 1000 : NaN;
    }

    bar() {
        if (!this.running) return this.problem ? html`<p class="small" role="status">${wrong(this.problem)}</p>` : nothing;
        const left = Number.isFinite(this.left) ? t('train.eta', { time: duration(this.left) }) : t('work.estimating');
        const stopping = this.#abort?.signal.aborted;
        return html`<div class="row work"><span class="grow"><progress
            max=${this.total} .value=${Math.min(this.done, this.total)} aria-label=${this.label}></progress>
            <span class="small num">${this.label} · ${stopping ? t('work.stopping') : left}</span></span>
            <button @click=${() => this.cancel()} ?disabled=${stopping}>${t('work.cancel')}</button></div>`;
    }
}

/** Hands the visitor a file. @param {string} name @param {string | Uint8Array} content @param {string} type */
export function offer(name, content, type) {
    const link = document.createElement('a');
    link.href = URL.createObjectURL(new Blob([/** @type {BlobPart} */ (content)], { type }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
