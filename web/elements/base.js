/**
 * The base of every element. HOW TO WRITE A PANEL
 *
 *  1. Write web/elements/panel-NAME.js (NAME from PANELS in lib/store.js). It is found by its file name and loaded when first opened:
 *
 *         import { define, html, LabElement, t } from './base.js';
 *         class PeftPanelMix extends LabElement {
 *             static watch = ['runs', 'modules'];            // Lab events that re-render it (see lib/lab.js)
 *             render() {
 *                 return html`<h2>${t('mix.title')}</h2> … ${this.value(1.42, 'measured')}`;
 *             }
 *         }
 *         define('peft-panel-mix', PeftPanelMix);
 *
 *     panel-coach.js is the exception: it is shown in the Result column from the first run on.
 *
 *  2. Texts: content/texts/panels/LANGUAGE.json, flat keys ("mix.title"); `panel.NAME` (button) and `panel.NAME.about` (one sentence)
 *     are in content/texts/LANGUAGE.json. tests/node/texts.test.mjs checks that all languages have the same keys and gaps.
 *  3. Data only through Lit templates (textContent), never innerHTML. Every number carries a badge: this.value(number, 'measured' |
 *     'calculated' | 'recorded' | 'chapter'). Plots: <peft-chart> (chart.js). Shared looks: styles/shared.css (.card .row .stack
 *     .badge .muted .num .scroll .sr); own styles: static styles = [LabElement.styles, css`…`]. Colours only from styles/tokens.css;
 *     methods: methodColor(), methodShape() (look.js).
 *  4. this.lab is the shared Lab. Change settings with lab.set({...}); use the engine with lab.work(async (session) => …), which
 *     waits for its turn, shows "busy" and reports failures; for work that must not touch the loaded model (Compare) use lab.fork(),
 *     a Lab with its own engine. Announce results to screen readers with this.say(text). Fire page events with
 *     this.fire('peft-…', detail).
 *  5. An element also works alone in a foreign page: its attributes are the settings (attributes.js), and the engine starts when it
 *     comes into view.
 */
import { css, html, LitElement, nothing, svg, unsafeCSS } from 'lit';
import shared from '../styles/shared.css?inline';
import tokens from '../styles/tokens.css?inline';
import { languageEvents, number, t } from '../lib/i18n.js';
import { enter, getLab, leave } from './labs.js';
import { attributeSettings } from './attributes.js';
import { followHost } from './host-scheme.js';
import { usePanelTexts, useLanguage } from './texts.js';

export { css, html, nothing, svg, t };

/** @typedef {'measured' | 'calculated' | 'recorded' | 'chapter'} Badge */

/**
 * Defines an element once; a second copy of the library on the page is no error.
 * @param {string} name @param {CustomElementConstructor} constructor
 */
export function define(name, constructor) {
    if (!customElements.get(name)) customElements.define(name, constructor);
}

/** Where a number comes from. @param {Badge} kind */
export const badge = (kind) => html`<span class="badge ${kind}" title=${t(`badge.${kind}.about`)}>${t(`badge.${kind}`)}</span>`;

/**
 * The playground around an element, through shadow roots.
 * @param {Node} element @returns {any} null: it stands alone, or is the playground itself
 */
export function playgroundAround(element) {
    for (let node = /** @type {any} */ (element); node; node = node.parentNode ?? node.host ?? null) {
        if (node !== element && node.nodeName === 'PEFT-PLAYGROUND') return node;
    }
    return null;
}

/** The first frame is on the screen; where nobody looks, there is none to wait for. @type {Promise<void>} */
const drawn = new Promise((resolve) => {
    requestAnimationFrame(() => setTimeout(resolve));
    setTimeout(resolve, 200);
});

export class LabElement extends LitElement {
    static styles = /** @type {import('lit').CSSResultGroup} */ ([unsafeCSS(tokens), unsafeCSS(shared)]);
    static properties = /** @type {Record<string, any>} */ ({ session: {}, theme: { reflect: true } });
    /** Lab events after which the element renders again. @type {readonly string[]} */
    static watch = ['status', 'state'];
    /**
     * Drawn first in the second frame: the recorded run's words do not wait for drawings, lists and the first formatted number
     * (which loads the browser's tables).
     */
    static later = false;

    /** @type {import('../lib/lab.js').Lab | undefined} */
    #lab;
    /** @type {AbortController | undefined} */
    #listening;
    /** @type {(() => void) | undefined} */
    #unfollow;
    /** @type {IntersectionObserver | undefined} */
    #seen;
    /** Counted as a user of its lab. */
    #inside = false;

    constructor() {
        super();
        /** @type {string} */
        this.session = '';
        /** @type {string | undefined} */
        this.theme = undefined;
    }

    /** The lab given by the parent, named by `session`, of the playground around, or the page's. */
    get lab() {
        if (!this.#lab) this.lab = this.session ? getLab(this.session) : (playgroundAround(this)?.lab ?? getLab());
        return /** @type {import('../lib/lab.js').Lab} */ (this.#lab);
    }

    set lab(lab) {
        if (!lab || lab === this.#lab) return;
        if (this.#lab && this.#inside) leave(this.#lab);
        this.#lab = lab;
        if (this.#inside) enter(lab);
        if (this.isConnected) this.#listen();
        this.requestUpdate();
    }

    connectedCallback() {
        super.connectedCallback();
        if (this.localName.startsWith('peft-panel-')) usePanelTexts();
        const page = this.localName === 'peft-playground';
        if ((!page || this.hasAttribute('no-link')) && !playgroundAround(this)) this.#unfollow = followHost(this);
        if (!this.#lab && !playgroundAround(this) && !page) this.#alone();
        const { lab } = this;
        this.#inside = true;
        enter(lab);
        this.#listen();
    }

    /**
     * Alone in somebody's page: its attributes are the settings, and the engine starts when it comes into view (autoload="no":
     * when used).
     */
    #alone() {
        this.lab.set(attributeSettings(this));
        useLanguage(this.lab.state.lang);
        if (this.getAttribute('autoload') === 'no') return;
        const seen = this.#seen = new IntersectionObserver((entries) => {
            if (!entries.some((entry) => entry.isIntersecting)) return;
            seen.disconnect();
            this.#begin().catch(() => {}); // failures are shown by the elements
        });
        seen.observe(this);
    }

    /** The engine, with the ready adapter that the element asks for. */
    async #begin() {
        await this.lab.ready();
        const adapter = this.getAttribute('adapter');
        if (!adapter) return;
        try {
            const { useReadyAdapter } = await import('../lib/ready-adapter.js');
            await useReadyAdapter(this.lab, adapter);
        } catch (error) {
            this.lab.emit('failure', error);
        }
    }

    disconnectedCallback() {
        super.disconnectedCallback();
        this.#listening?.abort();
        this.#unfollow?.();
        this.#seen?.disconnect();
        if (this.#inside) leave(this.lab);
        this.#inside = false;
    }

    #listen() {
        this.#listening?.abort();
        this.#listening = new AbortController();
        const { signal } = this.#listening;
        const { watch } = /** @type {typeof LabElement} */ (this.constructor);
        for (const type of watch) {
            this.lab.addEventListener(type, (event) => this.onLab(type, /** @type {CustomEvent} */ (event).detail), { signal });
        }
        languageEvents.addEventListener('change', () => this.requestUpdate(), { signal });
    }

    /** @returns {void | Promise<unknown>} */
    scheduleUpdate() {
        const waits = !this.hasUpdated && /** @type {typeof LabElement} */ (this.constructor).later;
        return waits ? drawn.then(() => super.scheduleUpdate()) : super.scheduleUpdate();
    }

    /** A watched Lab event; by default the element renders again. @param {string} _type @param {any} _detail */
    onLab(_type, _detail) {
        this.requestUpdate();
    }

    /**
     * A number with the badge that says where it comes from.
     * @param {number | string} value formatted here if a number @param {Badge} kind @param {string} [unit]
     */
    value(value, kind, unit = '') {
        return html`<span class="num">${typeof value === 'number' ? number(value) : value}${unit ? ` ${unit}` : ''}</span> ${badge(kind)}`;
    }

    /** Announces one sentence politely to screen readers. @param {string} text */
    say(text) {
        this.fire('peft-say', text);
    }

    /** An event that leaves shadow roots, for the page. @param {string} type @param {any} [detail] */
    fire(type, detail) {
        this.dispatchEvent(new CustomEvent(type, { detail, bubbles: true, composed: true }));
    }
}
