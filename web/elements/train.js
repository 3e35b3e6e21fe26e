/**
 * <peft-train>: train, pause, step, stop, reset, with progress and the time left. Attributes: `steps`, `compact` (one line, for the
 * bar of a phone).
 */
import { css, define, html, LabElement, nothing, t } from './base.js';
import { count, duration, fixed, percent } from '../lib/format.js';
import { lastValidation, smooth } from '../lib/runs.js';
import { wrong } from './engine-said.js';
import { recorded } from './recorded.js';

/** A trial step waits until nobody changes settings. */
const TRIAL_WAIT_MS = 600;
/** Update, held-out loss and samples on the way come on top of forward and backward passes. */
const TRIAL_FACTOR = 1.6;

class PeftTrain extends LabElement {
    static styles = [LabElement.styles, css`
        .buttons { display: flex; flex-wrap: wrap; gap: 8px; }
        .primary { flex: 1 1 100%; min-height: 44px; }
        /* On a phone the bar at the bottom edge has them. */
        .primary, .stop { display: var(--in-bar, inline-block); }
        .card.training { display: var(--in-bar, grid); }
        .line { display: flex; justify-content: space-between; gap: 8px; font-size: .88rem; min-height: 1.4em; flex-wrap: wrap; }
        :host([compact]) .card { padding: 8px; border: 0; background: none; }
        :host([compact]) .card {
            display: flex; flex-direction: row-reverse; align-items: center; justify-content: space-between;
            gap: 10px;
        }
        :host([compact]) .buttons { flex-wrap: nowrap; flex: 1; }
        :host([compact]) progress { width: 60px; } :host([compact]) .primary { flex: 1 1 auto; }
        .first { animation: pulse 1.6s ease-in-out 2; }
        @keyframes pulse { 50% { box-shadow: 0 0 0 6px var(--accent-soft); } }
    `];
    static watch = ['status', 'state', 'ready', 'run', 'step', 'validation', 'data', 'counts'];
    static later = true;
    static properties = {
        compact: { type: Boolean, reflect: true }, steps: { type: Number },
        stopping: { state: true }, pace: { state: true },
    };

    #began = 0;
    #first = 0;
    #frame = 0;
    #said = 0;
    #trial = 0;
    #tried = '';

    constructor() {
        super();
        this.compact = false;
        this.steps = 0;
        this.stopping = false;
        /** Seconds of one step here, by a trial; 0: not known. */
        this.pace = 0;
    }

    connectedCallback() {
        super.connectedCallback();
        if (this.steps) this.lab.set({ steps: this.steps });
    }

    disconnectedCallback() {
        super.disconnectedCallback();
        clearTimeout(this.#trial);
    }

    /** @param {string} type @param {any} detail */
    onLab(type, detail) {
        if (type === 'status' && detail === 'training') {
            this.#began = performance.now();
            this.#first = this.lab.run?.losses.length ?? 0;
            this.stopping = false;
        }
        if (type === 'state' && this.pace && this.#tried !== this.#recipe) this.pace = 0;
        if (['status', 'ready', 'counts'].includes(type)) this.#try();
        if (!this.compact) this.#announce(type, detail);
        // Steps arrive faster than a person can read: at most one drawing per frame and 15 per second.
        if (type === 'step') {
            if (this.#frame) return;
            this.#frame = window.setTimeout(() => { this.#frame = 0; this.requestUpdate(); }, 66);
        } else this.requestUpdate();
    }

    /** Start, every quarter, the end. @param {string} type @param {any} detail */
    #announce(type, detail) {
        const { run, status } = this.lab;
        if (!run) return;
        const steps = run.train.steps;
        const validation = lastValidation(run);
        const text = (/** @type {number | null} */ value) => (value === null ? '–' : fixed(value));
        if (type === 'run' && detail?.status === 'running') {
            this.#said = 0;
            this.say(t('train.say.start', { steps, method: t(`method.${run.method}`) }));
        } else if (type === 'run' && detail?.status === 'done') {
            this.say(t('train.say.done', { validation: text(validation), base: text(run.base_loss) }));
            this.fire('peft-done', { run: detail });
        } else if (type === 'run' && detail?.status === 'stopped') this.say(t('train.say.stopped', { step: detail.losses.length }));
        else if (type === 'status' && status === 'paused') this.say(t('train.say.paused', { step: run.losses.length }));
        else if (type === 'step') {
            this.fire('peft-step', detail);
            const quarter = Math.floor((4 * detail.step) / steps);
            const values = { step: detail.step, steps, loss: fixed(detail.loss), validation: text(validation) };
            if (quarter > this.#said && quarter < 4) this.say(t('train.say.progress', values));
            this.#said = Math.max(this.#said, quarter);
        }
    }

    #stop() {
        this.stopping = this.lab.status === 'training';
        this.lab.stop()?.catch(() => {});
    }

    /** A failure is shown by the page (the lab announces it). @param {() => Promise<any> | null | void} work */
    #do(work) {
        return () => Promise.resolve(work()).catch(() => {});
    }

    /**
     * The steps of a run; before the task with its presets is there, those of the recorded run where they will be the same; 0:
     * not known yet.
     */
    get #steps() {
        const { lab } = this;
        const { method, task, train } = recorded.run;
        if (lab.task || lab.state.steps) return lab.train_options.steps;
        return method === lab.state.method && task === lab.state.task ? train.steps : 0;
    }

    /** Seconds the run will take: by the pace of earlier runs here, else by one trial step. */
    #expected() {
        const { state, runs, train_options: { steps, batch_size } } = this.lab;
        const last = [...runs].reverse().find(({ losses, model, train }) =>
            losses.length > 3 && model === state.model && train.batch_size === batch_size);
        return last ? (last.seconds / last.losses.length) * steps : this.pace ? this.pace * steps : null;
    }

    /** What the pace depends on. */
    get #recipe() {
        const { model, task, method } = this.lab.state;
        return `${model} ${task} ${method} ${this.lab.train_options.batch_size}`;
    }

    /**
     * Before the first run: a step without its update, timed, so that the button can say how long training takes on this
     * machine.
     */
    #try() {
        clearTimeout(this.#trial);
        if (this.compact || this.lab.status !== 'ready' || this.lab.run || this.#tried === this.#recipe) return;
        this.#trial = window.setTimeout(() => this.lab.during(null, async () => {
            const { session, run, status, workers, train_options: train } = this.lab;
            if (!session || run || status !== 'ready') return;
            this.#tried = this.#recipe;
            try {
                const ask = () => session.request('gradients', { split: 'train', from: 0, to: train.batch_size });
                await ask(); // takes memory
                const began = performance.now();
                await ask();
                this.pace = (TRIAL_FACTOR * (performance.now() - began)) / 1000 / (train.shards === 1 ? 1 : workers ** 0.7);
            } catch { /* no estimate then: training says what is wrong */ }
        }), TRIAL_WAIT_MS);
    }

    render() {
        const { lab } = this;
        const { status } = lab;
        const training = status === 'training';
        const idle = status === 'ready' || status === 'paused';
        const ready = idle && !lab.refused;
        const steps = this.#steps;
        const expected = this.#expected();
        const fresh = ready && lab.runs.length === 0;
        const start = steps ? t(lab.run?.status === 'done' ? 'train.again' : 'train.start', { n: steps }) : t('train.title');
        // The page shows it whole while it is used by keyboard; after a click it stays where the pointer is.
        const keys = (/** @type {any} */ e) => this.toggleAttribute('keys', e.target.matches(':focus-visible'));
        return html`<div class="card stack ${training ? 'training' : ''}" role="group" aria-label=${t('train.title')}
            @focusin=${keys} @focusout=${() => this.removeAttribute('keys')}><div class="buttons">
            ${training ? html`<button class="primary" @click=${() => lab.pause()} ?disabled=${this.stopping}>${t('train.pause')}</button>`
                : status === 'paused' ? html`<button class="primary" @click=${this.#do(() => lab.resume())}>${t('train.resume')}</button>`
                    : html`<button class="primary ${fresh ? 'first' : ''}" id="train" ?disabled=${!ready}
                        @click=${this.#do(() => lab.train())}>${start}</button>`}
            ${training || this.compact ? nothing
                : html`<button ?disabled=${!ready} @click=${this.#do(() => lab.step())}>${t('train.step')}</button>`}
            ${training || status === 'paused'
                ? html`<button class="stop" @click=${() => this.#stop()} ?disabled=${this.stopping}>${t('train.stop')}</button>` : nothing}
            ${training || this.compact ? nothing
                : html`<button ?disabled=${!ready || !lab.run} @click=${this.#do(() => lab.reset())}>${t('train.reset')}</button>`}
            </div>${lab.refused && idle ? this.#refused(lab.refused) : this.#progress(steps, expected)}</div>`;
    }

    /** Why there is nothing to train, and the way back. @param {import('../engine/index.js').PeftLabError} error */
    #refused(error) {
        const { lab } = this;
        return html`<p class="small" role="status">${wrong(error)}</p>
            ${Object.keys(lab.state.options).length
                ? html`<button id="back" @click=${() => lab.set({ options: {} })}>${t('settings.back')}</button>`
                : nothing}`;
    }

    /** @param {number} steps @param {number | null} expected */
    #progress(steps, expected) {
        const { status, run, description } = this.lab;
        if (status === 'training' && run) {
            const { step = 0 } = run.losses.at(-1) ?? {};
            const done = run.losses.length - this.#first;
            const left = done > 1 ? ((performance.now() - this.#began) / 1000 / done) * (run.train.steps - step) : null;
            const loss = smooth(run.losses).at(-1)?.loss;
            return html`<progress max=${run.train.steps} value=${step} aria-label=${t('train.title')}></progress>
                <div class="line num">
                    <span>${this.stopping ? t('train.stopping') : t('train.progress', { step, steps: run.train.steps })}${
                        loss === undefined ? '' : ` · ${fixed(loss)}`}</span>
                    <span class="muted">${left === null ? '' : t('train.eta', { time: duration(left) })}</span></div>`;
        }
        if (this.compact) {
            const counts = description?.counts;
            return counts ? html`<div class="line num"><span>${count(counts.trainable)} · ${percent(counts.percent)}</span></div>` : nothing;
        }
        const text = status === 'paused' && run ? t('train.progress', { step: run.losses.length, steps: run.train.steps })
            : run && status === 'ready' ? t('train.done', { n: run.losses.length, time: duration(run.seconds) })
                : status === 'ready' ? (expected ? t('train.about', { time: duration(expected) }) : t('status.ready')) : t(`status.${status}`);
        return html`<div class="line muted num"><span>${text}</span></div>`;
    }
}
define('peft-train', PeftTrain);
