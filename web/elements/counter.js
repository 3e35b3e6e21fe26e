/**
 * <peft-counter>: how many numbers the settings train, in the loaded model (the engine's count) and in a large one
 * (calculated).
 */
import { badge, css, define, html, LabElement, nothing, t } from './base.js';
import { shapeWords } from '../lib/engine-words.js';
import { byteSize, count, percent } from '../lib/format.js';
import { said } from './engine-said.js';
import { methodColor } from './look.js';
import { recorded } from './recorded.js';
import { usePanelTexts } from './texts.js';

/** The number runs to its new value in this time. */
const TWEEN_MS = 350;

class PeftCounter extends LabElement {
    static styles = [LabElement.styles, css`
        :host { container-type: inline-size; }
        .card { display: grid; gap: 6px 24px; padding-block: 8px; }
        @container (min-width: 1000px) {
            .card { grid-template-columns: minmax(0, 10fr) minmax(0, 11fr); align-items: start; }
            .large .line { min-height: 30px; }
        }
        .side { display: grid; gap: 2px; align-content: start; }
        .big { font-size: 1.35rem; font-weight: 700; }
        .run:not(.on) { display: none; } .run.on + span { position: absolute; clip-path: inset(50%); }
        .card { min-height: 100px; box-sizing: border-box; } @container (max-width: 999px) { .side.large { min-height: 62px; } }
        .line { display: flex; flex-wrap: wrap; gap: 4px 8px; align-items: baseline; }
        .bar {
            height: 8px; border-radius: 4px;
            background: repeating-linear-gradient(135deg, var(--line) 0 4px, var(--surface) 4px 8px);
            border: 1px solid var(--line-strong); overflow: hidden; flex: 1 1 60px; align-self: center;
            min-width: 40px;
        }
        .bar i { display: block; height: 100%; background: var(--mc); min-width: 3px; transition: width .35s; }
        @media (forced-colors: active) { .bar i { background: CanvasText; } }
        select { min-height: 32px; padding: 2px 4px; max-width: 9.5em; }
        details { font-size: .85rem; } details[open] { flex: 1 1 100%; }
        summary { cursor: pointer; color: var(--accent); padding-block: 2px; min-height: 24px; }
        ul { padding-inline-start: 1.2em; margin-top: 4px; }
    `];
    static watch = ['counts', 'state', 'status', 'ready'];
    static later = true;
    static properties = { large: { state: true }, narrow: { state: true } };

    /** The count shown, and where it comes from. @type {{to: number, share: number} | null} */
    #shown = null;
    #frame = 0;

    constructor() {
        super();
        /** @type {any} the engine's count for the chosen shape */
        this.large = null;
        /** The same LoRA on Q and V only, where it is on all matrices. @type {{here: any, book: any} | null} */
        this.narrow = null;
    }

    /** @param {string} type @param {any} detail */
    onLab(type, detail) {
        super.onLab(type, detail);
        if (type === 'counts' || type === 'ready' || (type === 'state' && detail.includes('shape'))) this.#calculate();
    }

    disconnectedCallback() {
        super.disconnectedCallback();
        cancelAnimationFrame(this.#frame);
    }

    updated() {
        const counts = this.lab.description?.counts;
        if (!counts || counts.trainable === this.#shown?.to) return;
        const from = this.#shown;
        this.#shown = { to: counts.trainable, share: counts.percent };
        if (from && this.isConnected && !matchMedia('(prefers-reduced-motion: reduce)').matches) this.#run(from, this.#shown);
    }

    /**
     * Lets the number run from the old value to the new one, so that the eye sees which way and how far. Screen readers are told the
     * new one only.
     * @param {{to: number, share: number}} from @param {{to: number, share: number}} to
     */
    #run(from, to) {
        const began = performance.now();
        const frame = () => {
            const place = /** @type {HTMLElement | null} */ (this.renderRoot.querySelector('.run'));
            if (!place || this.#shown !== to) return;
            const share = Math.min(1, (performance.now() - began) / TWEEN_MS + 0.05);
            const eased = 1 - (1 - share) ** 3;
            // By ratio: methods differ by powers of ten.
            place.textContent = share < 1 && from.to > 0 && to.to > 0 ? count(Math.round(from.to * (to.to / from.to) ** eased)) : '';
            place.classList.toggle('on', share < 1);
            if (share < 1) this.#frame = requestAnimationFrame(frame);
        };
        cancelAnimationFrame(this.#frame);
        frame();
    }

    firstUpdated() {
        if (this.lab.description) this.#calculate();
    }

    async #calculate() {
        const { session, state, description } = this.lab;
        const module = description?.modules[0];
        if (!session || !module) return;
        const { shape } = state;
        const methods = description.modules.map((/** @type {any} */ m) => ({ method: m.method, options: m.options }));
        const counts = [session.countFor({ shape, methods }), ...this.#onQueryAndValue(session, description)];
        const [large, here, book] = await Promise.all(counts.map((count) => count.catch(() => null)));
        if (shape === this.lab.state.shape) Object.assign(this, { large, narrow: here && book ? { here, book } : null });
    }

    /**
     * LoRA on every matrix, counted again as the chapter has it: here, and on the large shape.
     * @param {import('../engine/session.js').Session} session @param {any} description @returns {Promise<any>[]}
     */
    #onQueryAndValue(session, { modules }) {
        const [{ method, options }] = modules;
        const { engine, state } = this.lab;
        if (modules.length > 1 || method !== 'lora' || options.target_modules?.length !== engine.sites.length) return [];
        const narrow = { method, options: { ...options, target_modules: ['q_proj', 'v_proj'] } };
        return [session.countFor(narrow), session.countFor({ shape: state.shape, ...narrow })];
    }

    render() {
        const { lab } = this;
        const counts = lab.description?.counts ?? this.#recorded();
        if (!counts) return html`<section class="card muted">${t(lab.status === 'failed' ? 'counter.failed' : 'counter.loading')}</section>`;
        const kind = lab.description ? 'measured' : 'recorded';
        return html`<section class="card" aria-label=${t('counter.title')} style="--mc: ${methodColor(lab.state.method)}">
            <div class="side"><div class="line">
                <span class="big num"><span class="run" aria-hidden="true"></span><span part="count">${count(counts.trainable)}</span></span>
                <span>${t('counter.here', { total: count(counts.total) })} <strong class="num">${percent(counts.percent)}</strong></span>
                <span class="bar" aria-hidden="true"><i style="width: ${Math.min(100, counts.percent)}%"></i></span></div>
            <p class="small muted">${lab.merged ? t('diagram.merged') : this.#whose(counts)} ${badge(kind)}</p>
            ${this.narrow && !lab.merged
                ? html`<p class="small muted" part="narrow">${t('counter.all_maps', { n: this.narrow.here.trainable })}</p>`
                : nothing}</div>
            <div class="side large">${this.#large()}</div></section>`;
    }

    /** The recorded run's count, until the engine has counted; only where nobody has asked for something else. */
    #recorded() {
        const { method, model, options } = this.lab.state;
        const { run } = recorded;
        if (run.method !== method || (model && run.model !== model) || Object.keys(options).length) return null;
        return { ...run, percent: (100 * run.trainable) / run.total, added: run.trainable };
    }

    /** Whether the trained numbers are new ones or the model's own. @param {{added: number, trainable: number}} counts */
    #whose({ added, trainable }) {
        if (!trainable) return nothing;
        return added === 0 ? t('counter.none_added') : added === trainable ? t('counter.all_new') : t('counter.added', { n: added });
    }

    #large() {
        const { lab, large } = this;
        const shapes = lab.engine?.shapes;
        if (!shapes || !large) return nothing;
        const { hide, lock, shape } = lab.state;
        const chosen = shapes.find((/** @type {any} */ s) => s.name === shape);
        return html`<div class="line">${hide.includes('shape')
            ? html`<span>${t('counter.same_on')} ${chosen ? shapeWords(chosen) : shape}</span>`
            : html`<label class="row"><span>${t('counter.same_on')}</span>
            <select @change=${(/** @type {any} */ e) => lab.set({ shape: e.target.value })} ?disabled=${lock.includes('shape')}>
                ${shapes.map((/** @type {any} */ s) => html`<option value=${s.name}
                    ?selected=${s.name === shape}>${shapeWords(s)}</option>`)}</select></label>`}
            <span><strong class="num" part="large">${count(large.trainable)}</strong> = <span class="num">${percent(large.percent)}</span></span>
            ${badge('calculated')}</div>
            <div class="line small muted">
                ${large.file_bytes?.fp32 ? html`<span>${t('counter.file', { size: byteSize(large.file_bytes.fp32) })}</span>` : nothing}
                ${this.narrow ? html`<span aria-hidden="true">·</span>
                    <span part="chapter">${t('counter.chapter', { n: this.narrow.book.trainable })}</span>` : nothing}
                ${large.assumptions?.length ? html`<details @toggle=${() => usePanelTexts()}><summary>${t('counter.how')}</summary>
                    <ul>${large.assumptions.map((/** @type {string} */ each) => html`<li>${said(each)}</li>`)}</ul></details>` : nothing}
                </div>`;
    }
}
define('peft-counter', PeftCounter);
