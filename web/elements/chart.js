/**
 * <peft-chart>: a figure with Observable Plot (loaded when the first chart is drawn), a generated sentence that says what it shows,
 * and the same data as a table. Usage:
 *     <peft-chart .label=${'Loss by step'} .summary=${'Loss fell from 3.1 to 1.4 in 80 steps.'} .height=${220}
 *       .plot=${(Plot, {width, height}) => Plot.plot({width, height, marks: […]})}
 *       .table=${{columns: ['step', 'loss'], rows: [[1, 3.1], …]}}></peft-chart>
 * Colours may be CSS variables: Plot passes them through. Redraws are joined to at most 15 per second. .cursor: a value of x where a
 * rule stands (null: none);
 * pointing at the plot fires peft-point {x} (null when the pointer leaves), so that what belongs to the same x can be shown elsewhere.
 */
import { css, define, html, LabElement, nothing, t } from './base.js';
import { significant } from '../lib/format.js';

/** @typedef {typeof import('@observablehq/plot')} PlotModule */

/** @type {Promise<PlotModule> | undefined} */
let plotModule;
/** Observable Plot, once per page. @returns {Promise<PlotModule>} */
export const loadPlot = () => (plotModule ??= import('@observablehq/plot'));

const REDRAW_MS = 66;
/** Plot's own 10 px are hard to read. */
const FONT_PX = 12;
/** The library is several times the page's own code, and its evaluation would stand in the engine's way on a slow machine. */
const ENGINE_FIRST_MS = 2000;
/** More rows than this are cut in the table (the export has all). */
const TABLE_ROWS = 200;

class PeftChart extends LabElement {
    static styles = [LabElement.styles, css`
        .plot {
            position: relative; min-height: var(--chart-height, 200px); color: var(--text); overflow: hidden;
            direction: ltr;
        }
        .cursor {
            position: absolute; inset-block: 22px 34px; width: 0;
            border-inline-start: 1.5px solid var(--text); pointer-events: none;
        }
        .plot svg {
            display: block; max-width: 100%; height: auto; background: none; overflow: visible;
            --plot-background: var(--surface); font-family: var(--font);
        }
        figcaption {
            font-size: 0.85rem; color: var(--muted); display: flex; gap: 8px; flex-wrap: wrap;
            justify-content: space-between; align-items: baseline; margin-top: 4px;
        }
        figcaption > .grow { flex: 1 1 200px; }
        .table { max-height: 300px; overflow: auto; }
    `];
    static properties = {
        label: { attribute: false }, summary: { attribute: false }, plot: { attribute: false }, table: { attribute: false },
        height: { type: Number }, cursor: { attribute: false }, open: { state: true },
    };
    static watch = /** @type {readonly string[]} */ ([]);

    #drawn = 0;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    #timer;
    /** @type {ResizeObserver | undefined} */
    #resize;
    /** The plot's horizontal scale. @type {any} */
    #scale = null;

    constructor() {
        super();
        this.label = '';
        this.summary = '';
        /** @type {null | ((plot: PlotModule, size: {width: number, height: number}) => Element)} */
        this.plot = null;
        /** @type {null | {columns: string[], rows: (string | number | null)[][]}} */
        this.table = null;
        this.height = 200;
        /** @type {number | null} */
        this.cursor = null;
        this.open = false;
    }

    connectedCallback() {
        super.connectedCallback();
        this.#resize = new ResizeObserver(() => this.#schedule());
        this.#resize.observe(this);
    }

    disconnectedCallback() {
        super.disconnectedCallback();
        this.#resize?.disconnect();
        clearTimeout(this.#timer);
        this.#timer = undefined;
    }

    /** @param {Map<string, unknown>} changed */
    updated(changed) {
        if (changed.has('cursor')) this.#rule(); // at once; the drawing may be due later
        if (changed.size > 1 || !changed.has('cursor')) this.#schedule();
    }

    /** Puts the rule where the cursor is; the plot itself stays. */
    #rule() {
        const rule = /** @type {HTMLElement | null} */ (this.renderRoot.querySelector('.cursor'));
        const at = this.cursor === null ? NaN : this.#scale?.apply(this.cursor);
        if (!rule) return;
        rule.hidden = !Number.isFinite(at);
        if (!rule.hidden) rule.style.left = `${at}px`;
    }

    /** @param {PointerEvent} event */
    #point(event) {
        const [from, to] = this.#scale?.range ?? [0, 0];
        const left = /** @type {Element} */ (event.currentTarget).getBoundingClientRect().left;
        const at = event.clientX - left;
        this.fire('peft-point', { x: this.#scale?.invert && at >= from - 6 && at <= to + 6 ? this.#scale.invert(at) : null });
    }

    #schedule() {
        this.#timer ??= setTimeout(() => this.#draw(), Math.max(0, this.#drawn + REDRAW_MS - performance.now()));
    }

    async #draw() {
        if (!plotModule) await this.lab.settled(ENGINE_FIRST_MS);
        const Plot = await loadPlot();
        this.#timer = undefined;
        this.#drawn = performance.now();
        const place = this.renderRoot.querySelector('.plot');
        const width = Math.floor(place?.clientWidth ?? 0);
        if (!place || this.open) return;
        if (!this.plot) { // nothing (any more) to draw
            this.#scale = null;
            place.replaceChildren();
        }
        if (!this.plot || width < 40) return;
        const drawing = this.plot(Plot, { width, height: this.height });
        drawing.setAttribute('aria-hidden', 'true');
        drawing.setAttribute('part', 'svg');
        drawing.setAttribute('font-size', String(FONT_PX)); // an attribute, so that a saved file has it too
        this.#scale = /** @type {any} */ (drawing).scale?.('x') ?? null;
        const rule = Object.assign(document.createElement('div'), { className: 'cursor', hidden: true });
        place.replaceChildren(drawing, rule);
        this.#rule();
    }

    /** The drawing as a stand-alone SVG file, with the colours of the theme in use. @returns {string} */
    toSvg() {
        const drawing = this.renderRoot.querySelector('.plot svg');
        if (!drawing) return '';
        const copy = /** @type {SVGElement} */ (drawing.cloneNode(true));
        const style = getComputedStyle(this);
        copy.setAttribute('xmlns', 'http://www.w3.org/2000/svg');
        copy.style.color = style.color;
        copy.style.background = style.getPropertyValue('--bg');
        const sources = [drawing, ...drawing.querySelectorAll('*')];
        [copy, ...copy.querySelectorAll('*')].forEach((node, i) => {
            const used = getComputedStyle(sources[i]);
            for (const name of ['stroke', 'fill']) {
                if (node.getAttribute(name)?.includes('var(')) node.setAttribute(name, used.getPropertyValue(name));
            }
        });
        return new XMLSerializer().serializeToString(copy);
    }

    render() {
        return html`<figure aria-label=${this.label}>
            ${this.open ? this.#table() : html`<div class="plot" style=${`--chart-height: ${this.height}px`}
                @pointermove=${this.#point} @pointerleave=${() => this.fire('peft-point', { x: null })}></div>`}
            <figcaption><span class="grow">${this.summary}</span>
                ${this.table ? html`<button class="link" aria-expanded=${this.open}
                    @click=${() => { this.open = !this.open; }}>${t(this.open ? 'chart.hide_table' : 'chart.show_table')}</button>` : nothing}
            </figcaption></figure>`;
    }

    #table() {
        const { columns, rows } = this.table ?? { columns: [], rows: [] };
        const cell = (/** @type {string | number | null} */ v) =>
            html`<td class=${typeof v === 'number' ? 'num' : ''}>
                ${v === null ? '' : typeof v === 'number' ? significant(v, 6) : v}</td>`;
        return html`<div class="table scroll" tabindex="0" role="region" aria-label=${this.label}><table>
            <thead><tr>${columns.map((name) => html`<th scope="col">${name}</th>`)}</tr></thead>
            <tbody>${rows.slice(0, TABLE_ROWS).map((row) => html`<tr>${row.map(cell)}</tr>`)}</tbody></table></div>`;
    }
}
define('peft-chart', PeftChart);
