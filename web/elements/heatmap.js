/**
 * <peft-heatmap>: a matrix as a canvas of diverging colours (orange negative, blue positive, grey zero) with its scale printed, a
 * read-out for the cell under the pointer or the cursor, and the strongest cells as a table. One tab stop: arrow keys move the
 * cursor, Shift by ten, Home/End within the row, Page Up/Down within the column. One cell is a whole number of pixels, so no value
 * is dropped by scaling.
 *     <peft-heatmap .label=${'ΔW'} .values=${float32Array} .rows=${64} .cols=${8} .max=${0.5}></peft-heatmap>
 * max: value of the full colour, 0 = the matrix's own largest. Event peft-cell {row, col} when the cursor moves.
 */
import { css, define, html, LabElement, nothing, t } from './base.js';
import { count, significant } from '../lib/format.js';

/** Longer side of a map in CSS pixels, where cells can be larger than one pixel. */
const SIDE = 208;
const CELL_MAX = 14;
/** Cells in the table. */
const STRONGEST = 16;

/** The largest magnitude. @param {ArrayLike<number>} values */
export function largest(values) {
    let max = 0;
    for (let i = 0; i < values.length; i++) max = Math.max(max, Math.abs(values[i]));
    return max;
}

/** @param {string} color "rgb(1, 2, 3)" @returns {number[]} */
const channels = (color) => (color.match(/[\d.]+/g) ?? []).slice(0, 3).map(Number);

/**
 * RGBA bytes of a matrix; a value of magnitude max or more has the full colour.
 * @param {ArrayLike<number>} values @param {number} max @param {{negative: number[], neutral: number[], positive: number[]}} colors
 */
export function paint(values, max, { negative, neutral, positive }) {
    const bytes = new Uint8ClampedArray(values.length * 4);
    for (let i = 0; i < values.length; i++) {
        const share = max > 0 ? Math.min(1, Math.abs(values[i]) / max) : 0;
        const end = values[i] < 0 ? negative : positive;
        for (let c = 0; c < 3; c++) bytes[i * 4 + c] = neutral[c] + (end[c] - neutral[c]) * share;
        bytes[i * 4 + 3] = 255;
    }
    return bytes;
}

class PeftHeatmap extends LabElement {
    static styles = [LabElement.styles, css`
        :host { display: inline-block; vertical-align: top; max-width: 100%; }
        figure { display: grid; gap: 4px; justify-items: start; }
        figcaption { font-weight: 650; font-size: 0.9rem; }
        .map {
            position: relative; max-width: 100%; border: 1px solid var(--line-strong); line-height: 0;
            touch-action: pan-y; direction: ltr; forced-color-adjust: none;
        }
        canvas { display: block; width: 100%; height: auto; image-rendering: pixelated; }
        .cursor {
            position: absolute; outline: 2px solid var(--text); outline-offset: 0; pointer-events: none;
            min-width: 3px; min-height: 3px;
        }
        .legend {
            display: grid; grid-template-columns: auto minmax(40px, 90px) auto; gap: 6px; align-items: center;
            font-size: 0.8rem; color: var(--muted);
        }
        .ramp {
            height: 10px; border: 1px solid var(--line-strong);
            background: linear-gradient(to right, var(--negative), var(--neutral), var(--positive));
            forced-color-adjust: none;
        }
        output { font-size: 0.8rem; min-height: 1.5em; max-width: 32ch; }
        .probe { position: absolute; visibility: hidden; forced-color-adjust: none; }
        table { font-size: 0.8rem; }
    `];
    static properties = {
        label: { attribute: false }, values: { attribute: false }, rows: { type: Number }, cols: { type: Number }, max: { type: Number },
        cell: { attribute: false }, band: {}, side: { type: Number }, plain: { type: Boolean },
        open: { state: true }, focused: { state: true },
    };

    constructor() {
        super();
        this.label = '';
        /** @type {Float32Array | null} */
        this.values = null;
        this.rows = 0;
        this.cols = 0;
        this.max = 0;
        /** @type {{row: number, col: number} | null} */
        this.cell = null;
        /** Outline the whole row or column of the cell. @type {'' | 'row' | 'col'} */
        this.band = '';
        this.side = SIDE;
        /** Only the picture and its scale, for a step in an explanation. */
        this.plain = false;
        /** Only the map in focus speaks: several may share one cursor. */
        this.focused = false;
        this.open = false;
        this.scheme = matchMedia('(prefers-color-scheme: dark)');
        this.repaint = () => this.requestUpdate();
    }

    connectedCallback() {
        super.connectedCallback();
        this.scheme.addEventListener('change', this.repaint);
    }

    disconnectedCallback() {
        super.disconnectedCallback();
        this.scheme.removeEventListener('change', this.repaint);
    }

    get scale() {
        return this.max || largest(this.values ?? []);
    }

    updated() {
        const { values, rows, cols } = this;
        const canvas = this.renderRoot.querySelector('canvas');
        if (!canvas || !values || values.length !== rows * cols || values.length === 0) return;
        const color = (/** @type {string} */ name) => {
            const probe = /** @type {Element} */ (this.renderRoot.querySelector(`.probe.${name}`));
            return channels(getComputedStyle(probe).color);
        };
        const colors = { negative: color('negative'), neutral: color('neutral'), positive: color('positive') };
        if (canvas.width !== cols || canvas.height !== rows) Object.assign(canvas, { width: cols, height: rows });
        canvas.getContext('2d')?.putImageData(new ImageData(paint(values, this.scale, colors), cols, rows), 0, 0);
    }

    /** @param {number} row @param {number} col */
    #move(row, col) {
        const clamp = (/** @type {number} */ v, /** @type {number} */ n) => Math.max(0, Math.min(n - 1, v));
        this.cell = { row: clamp(row, this.rows), col: clamp(col, this.cols) };
        this.fire('peft-cell', this.cell);
    }

    /** @param {KeyboardEvent} event */
    #key(event) {
        const { row, col } = this.cell ?? { row: 0, col: 0 };
        const by = event.shiftKey ? 10 : 1;
        const to = /** @type {Record<string, [number, number]>} */ ({
            ArrowUp: [row - by, col], ArrowDown: [row + by, col], ArrowLeft: [row, col - by], ArrowRight: [row, col + by],
            Home: [row, 0], End: [row, this.cols - 1], PageUp: [0, col], PageDown: [this.rows - 1, col],
        })[event.key];
        if (!to || event.ctrlKey || event.metaKey || event.altKey) return;
        event.preventDefault();
        this.#move(...to);
    }

    /** @param {PointerEvent} event */
    #point(event) {
        const box = /** @type {Element} */ (event.currentTarget).getBoundingClientRect();
        const down = (event.clientY - box.top) / box.height;
        const along = (event.clientX - box.left) / box.width;
        this.#move(Math.floor(down * this.rows), Math.floor(along * this.cols));
    }

    render() {
        const { rows, cols, cell, values } = this;
        if (!values) return nothing;
        const size = Math.max(1, Math.min(CELL_MAX, Math.round(this.side / Math.max(rows, cols, 1))));
        const probes = ['negative', 'neutral', 'positive'].map((name) =>
            html`<span class="probe ${name}" style=${`color: var(--${name})`}></span>`);
        const zero = largest(values) === 0;
        const legend = zero ? html`<div class="legend" aria-hidden="true">${t('heatmap.zero')}</div>`
            : html`<div class="legend num" aria-hidden="true">
                <span>−${significant(this.scale)}</span><span class="ramp"></span>
                <span>+${significant(this.scale)}</span></div>`;
        const about = t(`heatmap.${this.plain ? 'plain' : 'about'}${zero ? '.zero' : ''}`, {
            label: this.label, rows, cols, ...(zero ? {} : { max: significant(this.scale) }),
        });
        if (this.plain) {
            return html`<figure aria-label=${this.label}>
                <figcaption>${this.label} <span class="muted small">${rows} × ${cols}</span></figcaption>
                <div class="map" role="img" aria-label=${about} style=${`width:${cols * size + 2}px`}>
                    <canvas aria-hidden="true"></canvas></div>
                <div class="small muted num" aria-hidden="true">${zero ? t('heatmap.zero') : `±${significant(this.scale)}`}</div>${probes}</figure>`;
        }
        const inside = cell && cell.row < rows && cell.col < cols;
        const [x, w] = this.band === 'row' ? [0, 100] : [((cell?.col ?? 0) / cols) * 100, 100 / cols];
        const [y, h] = this.band === 'col' ? [0, 100] : [((cell?.row ?? 0) / rows) * 100, 100 / rows];
        const box = `left:${x}%;top:${y}%;width:${w}%;height:${h}%`;
        return html`<figure aria-label=${this.label}>
            <figcaption>${this.label} <span class="muted small">${rows} × ${cols}</span></figcaption>
            <div class="map" role="application" tabindex="0" style=${`width:${cols * size + 2}px`}
                aria-roledescription=${t('heatmap.role')}
                aria-label=${about} aria-describedby="cell"
                @keydown=${this.#key} @pointermove=${this.#point} @pointerdown=${this.#point}
                @focus=${() => { this.focused = true; if (!this.cell) this.#move(0, 0); }}
                @blur=${() => { this.focused = false; }}>
                <canvas aria-hidden="true"></canvas>${inside ? html`<div class="cursor" style=${box}></div>` : nothing}
            </div>
            ${legend}
            <output id="cell" class="num" aria-live=${this.focused ? 'polite' : 'off'}>${inside ? t('heatmap.cell', {
                row: cell.row + 1, col: cell.col + 1, value: significant(values[cell.row * cols + cell.col], 4),
            }) : t('heatmap.hint')}</output>
            <button class="link small" aria-expanded=${this.open} @click=${() => { this.open = !this.open; }}>${
                t(this.open ? 'chart.hide_table' : 'chart.show_table')}<span class="sr"> ${this.label}</span></button>
            ${this.open ? this.#table() : nothing}
            ${probes}</figure>`;
    }

    #table() {
        const { values, cols } = this;
        const size = (/** @type {number} */ i) => Math.abs(/** @type {any} */ (values)[i]);
        const order = Array.from(/** @type {Float32Array} */ (values).keys()).sort((a, b) => size(b) - size(a)).slice(0, STRONGEST);
        return html`<div class="scroll"><table>
            <caption class="small">${t('heatmap.strongest', { n: order.length, all: count(values?.length ?? 0) })}</caption>
            <thead><tr>
                <th scope="col">${t('heatmap.row')}</th><th scope="col">${t('heatmap.col')}</th>
                <th scope="col">${t('heatmap.value')}</th></tr></thead>
            <tbody>${order.map((i) => html`<tr>
                <td class="num">${Math.floor(i / cols) + 1}</td><td class="num">${(i % cols) + 1}</td>
                <td class="num">${significant(/** @type {any} */ (values)[i], 4)}</td></tr>`)}</tbody></table></div>`;
    }
}
define('peft-heatmap', PeftHeatmap);
