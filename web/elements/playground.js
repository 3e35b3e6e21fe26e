/**
 * <peft-playground>: the whole page around one Lab. Attributes (a permalink in the address bar wins): model method task rank alpha
 * targets seed steps level panel hide lock lang theme shape, `no-link` (leave the address bar alone), `no-save` (keep nothing). Fires
 * peft-ready, peft-change, peft-done, peft-error.
 */
import { css, define, html, LabElement, nothing, t } from './base.js';
import './controls.js';
import './counter.js';
import './diagram.js';
import './loss.js';
import './methods.js';
import './next-step.js';
import './notices.js';
import './runs.js';
import './sample.js';
import './toolbar.js';
import './train.js';
import { direction, language } from '../lib/i18n.js';
import { fromLink, toLink } from '../lib/store.js';
import { attributeSettings } from './attributes.js';
import { discardOpen, lastSnapshot, startAutosave } from './autosave.js';
import { methodsOf } from './methods.js';
import { hasPanel, loadPanel, panelNames } from './panels.js';
import { recorded, showsRecorded } from './recorded.js';
import { useLanguage } from './texts.js';
import page from '../styles/page.css?inline';
import { unsafeCSS } from 'lit';

/** After the model has come the page may still grow for so long. */
const SETTLED_MS = 1000;

/**
 * Panels whose button stands at the top: lessons in the toolbar, the choice beside the methods. Where that is hidden, it stands with
 * the others.
 * @param {string} name @param {string[]} hide
 */
const atTop = (name, hide) => (name === 'lessons' && !hide.includes('toolbar')) || (name === 'choose' && !hide.includes('method'));

class PeftPlayground extends LabElement {
    static styles = [LabElement.styles, unsafeCSS(page), css`:host { container-type: inline-size; }`];
    static watch = ['state', 'status', 'ready', 'run', 'modules', 'failure'];
    static properties = { message: { state: true }, panelTag: { state: true }, open: { state: true }, lesson: { state: true } };

    #linkTimer = 0;
    /** The place in the drawing that was clicked, until Inspect shows it. */
    #block = '';
    /** @type {HTMLElement | null} */
    #panel = null;
    /** @type {HTMLElement | null} the coach, once there is a run to look at */
    #coach = null;

    constructor() {
        super();
        this.message = '';
        this.panelTag = '';
        /** @type {import('./autosave.js').OpenRun | null} */
        this.open = null;
        /** @type {import('../lib/lessons.js').Lesson | null} the one that is played, in the bar that stays on the screen */
        this.lesson = null;
    }

    connectedCallback() {
        super.connectedCallback();
        setTimeout(() => { if (this.isConnected) this.lab.warm(); }); // the first text has been made
        this.#begin().catch(() => {});
        document.addEventListener('keydown', this.#key);
        addEventListener('hashchange', this.#linked);
        this.addEventListener('peft-say', this.#said);
        this.addEventListener('peft-select', this.#selected);
        this.addEventListener('peft-lesson', this.#play);
    }

    disconnectedCallback() {
        super.disconnectedCallback();
        document.removeEventListener('keydown', this.#key);
        removeEventListener('hashchange', this.#linked);
    }

    /** A link to other settings was followed, or the address edited. */
    #linked = () => {
        if (this.hasAttribute('no-link') || location.hash === toLink(this.lab.state)) return;
        this.lab.follow(fromLink(location.hash));
    };

    #said = (/** @type {Event} */ event) => { this.message = /** @type {CustomEvent} */ (event).detail; };

    #play = (/** @type {Event} */ event) => { this.lesson = /** @type {CustomEvent} */ (event).detail.lesson; };

    #leaveLesson() {
        /** @type {import('./lesson-player.js').PeftLesson | null} */ (this.renderRoot.querySelector('.foot > peft-lesson'))?.leave();
        this.lesson = null;
        this.lab.set({ lesson: '' });
    }

    /** A lit block of the drawing: Inspect shows it. */
    #selected = (/** @type {Event} */ event) => {
        if (!hasPanel('inspect')) return;
        this.#block = /** @type {CustomEvent} */ (event).detail.site;
        if (this.lab.state.panel !== 'inspect') this.lab.set({ panel: 'inspect' });
        else if (this.#panel) this.#look();
    };

    #look() {
        /** @type {any} */ (this.#panel).look(this.#block);
        this.#block = '';
        this.#bringIntoSight(/** @type {HTMLElement | null} */ (this.renderRoot.querySelector('#panel')));
    }

    async #begin() {
        const { lab } = this;
        await this.updateComplete; // so that notices have a place
        const link = this.hasAttribute('no-link') || location.hash.length < 2 ? { state: {}, notices: [] } : fromLink(location.hash);
        lab.tell(link.notices);
        const asked = { ...attributeSettings(this), ...link.state };
        const saved = this.hasAttribute('no-save') ? { settings: null, open: null } : await startAutosave(lab);
        lab.set({ ...(Object.keys(asked).length ? {} : saved.settings), ...asked });
        if (!this.isConnected) return; // taken away already: nothing is loaded for nobody
        await this.#language();
        this.#theme();
        if (lab.state.lesson && !lab.state.panel && hasPanel('lessons')) lab.set({ panel: 'lessons' }); // a link to a lesson opens it
        else if (lab.state.panel) this.#openPanel(lab.state.panel);
        await lab.ready();
        this.fire('peft-ready', { model: lab.state.model });
        this.open = await saved.open;
    }

    /** @param {string} type @param {any} detail */
    onLab(type, detail) {
        super.onLab(type, detail);
        if (type === 'failure') {
            this.fire('peft-error', { code: detail.code, message: detail.message });
            if (detail.code === 'worker-lost' && this.lab.run?.status === 'failed') {
                lastSnapshot().then((open) => { if (open?.run.id === this.lab.run?.id) this.open = open; });
            }
        }
        if (type === 'run' && detail?.status === 'running') {
            this.open = null;
            this.#bringCoach();
        }
        if (type !== 'state') return;
        if (detail.includes('lang')) this.#language();
        if (detail.includes('theme')) this.#theme();
        if (detail.includes('panel')) this.#openPanel(this.lab.state.panel);
        this.fire('peft-change', { changed: detail, state: structuredClone(this.lab.state) });
        if (!this.hasAttribute('no-link')) {
            clearTimeout(this.#linkTimer);
            const { hash } = location;
            this.#linkTimer = window.setTimeout(() => {
                if (location.hash === hash) history.replaceState(null, '', toLink(this.lab.state)); // else a link was followed meanwhile
            }, 300);
        }
    }

    async #language() {
        const used = await useLanguage(this.lab.state.lang);
        if (this.hasAttribute('no-link')) return;
        document.documentElement.lang = used;
        document.documentElement.dir = direction(language());
        document.title = t('app.title');
    }

    #theme() {
        const { theme } = this.lab.state;
        if (this.hasAttribute('no-link')) this.theme = theme || undefined;
        else if (theme) document.documentElement.dataset.theme = theme;
        else delete document.documentElement.dataset.theme;
    }

    /** panel-coach.js has its place beside the result, not among the panels. */
    async #bringCoach() {
        if (this.#coach || !hasPanel('coach') || this.lab.state.hide.includes('coach')) return;
        this.#coach = Object.assign(document.createElement(await loadPanel('coach')), { lab: this.lab });
        this.requestUpdate();
    }

    /** @param {string} name */
    async #openPanel(name) {
        if (!name || !hasPanel(name)) {
            this.#panel = null;
            this.panelTag = '';
            return;
        }
        this.panelTag = 'loading';
        try {
            const tag = await loadPanel(name);
            if (this.lab.state.panel !== name) return;
            this.#panel = Object.assign(document.createElement(tag), { lab: this.lab });
            this.panelTag = tag;
            if (name === 'inspect' && this.#block) this.#look();
            await this.updateComplete;
            await /** @type {any} */ (this.#panel).updateComplete; // with what it shows at once, so that more of it comes into view
            this.#bringIntoSight(/** @type {HTMLElement | null} */ (this.renderRoot.querySelector('#panel')));
        } catch (error) {
            this.panelTag = '';
            this.lab.emit('notice', String(error));
        }
    }

    /**
     * What is above may still grow, while a page is loading: then it is brought back, until the model is there or somebody
     * goes elsewhere.
     * @param {HTMLElement | null} place
     */
    #bringIntoSight(place) {
        const still = matchMedia('(prefers-reduced-motion: reduce)').matches;
        place?.scrollIntoView({ block: 'nearest', behavior: still ? 'auto' : 'smooth' });
        if (!place || !['idle', 'loading'].includes(this.lab.status)) return;
        const panel = this.#panel;
        const bring = () => { if (this.#panel === panel && !gone.signal.aborted) place.scrollIntoView({ block: 'nearest' }); };
        const grown = new ResizeObserver(() => requestAnimationFrame(bring)); // at once it would be an error where that changes a size
        grown.observe(this);
        const gone = new AbortController();
        const stop = () => {
            grown.disconnect();
            gone.abort();
        };
        for (const type of ['wheel', 'touchmove', 'pointerdown', 'keydown'])
            addEventListener(type, stop, { signal: gone.signal, passive: true });
        const ready = () => {
            if (this.lab.status === 'ready') setTimeout(stop, SETTLED_MS);
        };
        this.lab.addEventListener('status', ready, { signal: gone.signal });
    }

    // Shortcuts act where nobody is typing; holding a modifier leaves the key to the browser.
    #key = (/** @type {KeyboardEvent} */ event) => {
        const { lab } = this;
        const at = /** @type {HTMLElement} */ (event.composedPath()[0]);
        // In somebody else's page, keys pressed elsewhere are that page's.
        if (this.hasAttribute('no-link') && !event.composedPath().includes(this)) return;
        if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || lab.state.hide.includes('shortcuts')) return;
        const typed = 'input:not([type="radio"], [type="checkbox"], [type="range"]), textarea, select, [contenteditable]';
        if (at instanceof HTMLElement && at.matches(typed)) return;
        const methods = methodsOf(lab);
        const idle = lab.status === 'ready' || lab.status === 'paused';
        const free = !(at instanceof HTMLElement && at.matches('button, summary, a, input, [role="button"], [tabindex="0"]'));
        if (event.key === ' ' && free) {
            if (lab.status === 'training') lab.pause();
            else if (idle) (lab.status === 'paused' ? lab.resume() : lab.train()).catch(() => {});
        } else if (event.key === 's' && idle) lab.step().catch(() => {});
        else if (event.key === 'm') lab.set({ panel: lab.state.panel === 'merge' ? '' : 'merge' });
        else if (event.key === 'u') lab.undo();
        else if (/^[1-9]$/.test(event.key) && methods[Number(event.key) - 1] && !lab.state.lock.includes('method')) {
            lab.set({ method: methods[Number(event.key) - 1] });
        } else return;
        event.preventDefault();
    };

    render() {
        const { lab } = this;
        const { panel, hide } = lab.state;
        const shown = (/** @type {string} */ name, /** @type {any} */ content) => (hide.includes(name) ? nothing : content);
        const open = (/** @type {string} */ name) => lab.set({ panel: panel === name ? '' : name });
        const further = panelNames().filter((name) => name !== 'proof' && !atTop(name, hide) && !hide.includes(name));
        return html`<div class="page">
            ${shown('toolbar', html`<peft-toolbar .lab=${lab}></peft-toolbar>`)}
            <p class="tagline">${t('app.tagline')}</p>
            <peft-notices .lab=${lab}></peft-notices>
            ${this.#interrupted()}
            ${shown('method', html`<peft-methods class="methods" .lab=${lab}></peft-methods>`)}
            ${shown('counter', html`<peft-counter class="counter" .lab=${lab}></peft-counter>`)}
            <div class="grid">
                <div class="left card stack"><peft-controls .lab=${lab}></peft-controls>
                    ${shown('train', html`<peft-train .lab=${lab}></peft-train>`)}
                    ${shown('hints', html`<peft-next-step .lab=${lab}></peft-next-step>`)}</div>
                ${shown('diagram', html`<div class="middle card"><peft-diagram .lab=${lab}></peft-diagram></div>`)}
                <div class="right card stack">
                    ${showsRecorded(lab)
                        ? html`<div class="small note">${t(lab.status === 'failed' ? 'recorded.failed' : 'recorded.note')}
                            <details><summary>${t('recorded.how')}</summary>
                                <code>${recorded.command}</code> (${recorded.commit})</details></div>`
                        : nothing}
                    <peft-sample .lab=${lab}></peft-sample>${shown('loss', html`<peft-loss .lab=${lab}></peft-loss>`)}</div>
                ${this.#coach && !hide.includes('coach') ? html`<div class="coach">${this.#coach}</div>` : nothing}
            </div>
            ${shown('panels', html`<nav class="next" aria-label=${t('next.title')}><h2>${t('next.title')}</h2>
                ${further.map((name) => html`<button class="toggle" title=${t(`panel.${name}.about`)} aria-expanded=${panel === name}
                    @click=${() => open(name)}>${t(`panel.${name}`)}</button>`)}</nav>`)}
            ${this.panelTag ? html`<section id="panel" class="card panel" aria-label=${t(`panel.${panel}`)}>
                <button class="close" aria-label=${t('next.close')} @click=${() => lab.set({ panel: '' })}>✕</button>
                ${this.panelTag === 'loading' ? html`<p class="muted">${t('next.loading')}</p>` : this.#panel}</section>` : nothing}
            ${shown('hints', html`<peft-next-step merged .lab=${lab}></peft-next-step>`)}
            ${shown('runs', html`<div class="card runs"><peft-runs .lab=${lab}></peft-runs></div>`)}
            <footer class="small muted row"><span>${t('app.footer')}</span>
                ${shown('proof', html`<button class="link" aria-expanded=${panel === 'proof'}
                    @click=${() => open('proof')}>${t('panel.proof.ask')}</button>`)}</footer>
            <div class="foot">${this.lesson
                ? html`<peft-lesson docked .lab=${lab} .lesson=${this.lesson}
                    @peft-lesson-leave=${this.#leaveLesson}></peft-lesson>`
                : nothing}
                ${shown('train', html`<div class="bottom"><peft-train compact .lab=${lab}></peft-train></div>`)}</div>
            <div class="sr" role="status" aria-live="polite">${this.message}</div></div>`;
    }

    #interrupted() {
        const { open, lab } = this;
        if (!open) return nothing;
        const go = async () => {
            this.open = null;
            const { run } = open;
            await lab.ready().catch(() => {}); // a new engine, if the old one was lost
            lab.set({ model: run.model, task: run.task, method: run.method, options: run.options, seed: run.seed });
            await lab.recover(open).catch(() => {});
        };
        const drop = () => {
            this.open = null;
            discardOpen();
        };
        const question = t('resume.question', { step: open.step, steps: open.run.train.steps });
        return html`<div class="card row resume" role="group" aria-label=${question}><span class="grow">${question}</span>
            <button class="primary" id="resume" @click=${go}>${t('resume.yes', { step: open.step })}</button>
            <button @click=${drop}>${t('resume.no')}</button></div>`;
    }
}
define('peft-playground', PeftPlayground);
