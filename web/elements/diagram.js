/**
 * <peft-diagram>: the loaded model with its trained parts lit, drawn from the engine's own description. Fires peft-select
 * {site} on a lit block.
 */
import { badge, css, define, html, LabElement, nothing, playgroundAround, svg, t } from './base.js';
import { count } from '../lib/format.js';
import { partsOf } from './diagram-parts.js';
import { methodColor, methodShape } from './look.js';

const WIDTH = 340;
const HEIGHT = 372;
/** What a layer's drawing is shorter by where there is no bottleneck after attention, or after the feed-forward part. */
const SHORTER = { attention_bottleneck: 22, ffn_bottleneck: 28 };
/** Blocks of a layer: place, label, x, y, width (heights are alike). */
const LAYER = /** @type {const} */ ([
    ['norm1', 'norm', 28, 104, 284, 18],
    ['q_proj', 'Q', 28, 128, 66, 40], ['k_proj', 'K', 101, 128, 66, 40],
    ['v_proj', 'V', 174, 128, 66, 40], ['o_proj', 'O', 247, 128, 66, 40],
    ['attention_bottleneck', 'bottleneck', 70, 174, 200, 22],
    ['norm2', 'norm', 28, 202, 284, 18],
    ['gate_proj', 'gate', 28, 226, 90, 40], ['up_proj', 'up', 125, 226, 90, 40], ['down_proj', 'down', 222, 226, 91, 40],
    ['ffn_bottleneck', 'bottleneck', 70, 272, 200, 22],
]);
/** Outside of the layers. */
const ONCE = ['embed', 'norm'];
/** Where the part below attention begins. */
const LOWER = LAYER.findIndex(([place]) => place === 'norm2');

class PeftDiagram extends LabElement {
    static styles = [LabElement.styles, css`
        svg {
            direction: ltr; width: 100%; max-width: 440px; height: auto; display: block; margin-inline: auto;
            font: 12px var(--font);
        }
        .wait { aspect-ratio: 340 / 366; max-width: 440px; margin: 0 auto; } /* the room of drawing and legend, so that the page does not jump */
        text { fill: var(--text); } .dim { fill: var(--muted); font-size: 11px; }
        .block rect { fill: url(#hatch); stroke: var(--line-strong); }
        .block.lit > rect { stroke: var(--mc); stroke-width: 2.5; }
        .block.own > rect { fill: color-mix(in oklab, var(--mc) 22%, var(--surface)); }
        .piece {
            fill: color-mix(in oklab, var(--mc) 30%, var(--surface)) !important; stroke: var(--mc) !important;
            stroke-width: 2;
        }
        .row { fill: var(--mc); stroke: var(--surface); }
        .frame { fill: none; stroke: var(--line-strong); stroke-dasharray: 2 3; }
        .flow { stroke: var(--line-strong); stroke-width: 1.5; fill: none; }
        [role="button"] { cursor: pointer; }
        [role="button"]:focus-visible { outline: none; }
        [role="button"]:focus-visible > rect:first-of-type { stroke: var(--accent); stroke-width: 4; }
        .legend { display: flex; gap: 6px 16px; flex-wrap: wrap; font-size: .82rem; margin-top: 4px; }
        .legend b { color: var(--mc); }
        .training .piece, .training .row, .training .own > rect { animation: shimmer 1.2s ease-in-out infinite alternate; }
        @keyframes shimmer { to { fill-opacity: .45; } }
        .read { min-height: 1.4em; margin-top: 2px; }
        @media (forced-colors: active) { .piece, .row { fill: Highlight !important; } }
    `];
    static watch = ['modules', 'merge', 'status', 'ready'];
    static later = true;
    static properties = { shown: { state: true }, at: { state: true } };

    constructor() {
        super();
        /** The block that is explained below. */
        this.shown = '';
        /** The lit block that Tab reaches: one for all, arrow keys go on. */
        this.at = '';
    }

    render() {
        const { lab } = this;
        if (!lab.description) {
            return html`<h2>${t('diagram.title')}</h2>
                <p class="muted small wait">${t(lab.status === 'failed' ? 'diagram.failed' : 'diagram.loading')}</p>`;
        }
        const parts = partsOf(lab.description);
        const methods = parts.methods.length ? parts.methods : [lab.state.method];
        const named = methods.map((name) => t(`method.${name}`));
        const summary = t('diagram.summary', {
            layers: parts.layers, width: parts.width, method: named.join(' + '), parts: this.#names(parts),
        });
        const lit = (/** @type {string} */ name) =>
            methods.length > 1 ? t('word.pair', { name: t(`method.${name}`), text: t('diagram.lit') }) : t('diagram.lit');
        const key = (/** @type {string} */ name) => html`<span style="--mc: ${methodColor(name)}"><b aria-hidden="true">${
            methodShape(name)}</b> ${lit(name)}</span>`;
        const onlyRows = [...parts.blocks.keys()].every((place) => place === 'rows');
        const quiet = parts.merged || onlyRows || !playgroundAround(this) || lab.state.hide.includes('inspect');
        return html`<h2>${t('diagram.title')} ${badge('measured')}</h2>
            <div style="--mc: ${methodColor(parts.method)}" class=${lab.status === 'training' ? 'training' : ''}>
            ${this.#drawing(parts, summary)}
            <p class="legend">${parts.merged ? html`<strong>${t('diagram.merged')}</strong>` : html`${methods.map(key)}<span
                class="muted"><span aria-hidden="true">▨</span> ${t('diagram.frozen')}</span>`}</p>
            <p class="small muted read num">${this.#explained(parts) || (quiet ? nothing : t('diagram.hint'))}</p></div>`;
    }

    /** @param {ReturnType<typeof partsOf>} parts */
    #names(parts) {
        const words = [...parts.blocks.keys()].map((place) => this.#label(place, parts));
        return new Intl.ListFormat(document.documentElement.lang || 'en').format([...new Set(words)]);
    }

    /** @param {string} place @param {ReturnType<typeof partsOf>} parts */
    #label(place, parts) {
        if (place === 'rows') return parts.memory ? t('diagram.memory', { n: parts.memory }) : t('diagram.virtual', { n: parts.virtual });
        if (place.endsWith('_bottleneck')) return t('diagram.bottleneck');
        if (place.startsWith('norm')) return t('diagram.norm');
        if (place === 'embed') return t('diagram.embed');
        return place.replace(/_proj$/, '').replace(/^[qkvo]$/, (letter) => letter.toUpperCase());
    }

    /** @param {ReturnType<typeof partsOf>} parts @param {string} summary */
    #drawing(parts, summary) {
        const rows = Math.min(parts.virtual, 10);
        const memory = Math.min(parts.memory, 12);
        // Learned rows before the text are prompts, those in the layers prefixes.
        const rowsOf = (/** @type {string} */ method) => `--mc: ${methodColor(method)}`;
        const lit = this.#lit(parts);
        // What stands below attention moves up by `high`, and what stands below the layers by `low`.
        const high = parts.blocks.has('attention_bottleneck') ? 0 : SHORTER.attention_bottleneck;
        const low = high + (parts.blocks.has('ffn_bottleneck') ? 0 : SHORTER.ffn_bottleneck);
        return html`<svg viewBox="0 0 ${WIDTH} ${HEIGHT - low}" role="group"
            aria-label=${lit.length > 1 ? `${summary} ${t('diagram.keys')}` : summary}>
            <defs><pattern id="hatch" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">
                    <rect width="6" height="6" style="fill: var(--raised)"></rect>
                    <line x1="0" y1="0" x2="0" y2="6" style="stroke: var(--line)"></line></pattern></defs>
            ${parts.virtual
                ? svg`<g style=${rowsOf('prompt')}>
                    ${Array.from({ length: rows }, (_, i) =>
                        svg`<rect class="row" x=${28 + i * 11} y="6" width="9" height="18" rx="2"></rect>`)}
                    <text class="dim" x="28" y="37">${t('diagram.virtual', { n: parts.virtual })}</text></g>`
                : nothing}
            <text x=${parts.virtual ? 34 + rows * 11 : 170} y="20"
                text-anchor=${parts.virtual ? 'start' : 'middle'}>${t('diagram.text')} …</text>
            <path class="flow" d=${[
                `M170 ${parts.virtual ? 40 : 26} V48 M170 72 V86 M170 168 V${202 - high}`,
                `M170 ${266 - high} V${316 - low} M170 ${336 - low} V${346 - low}`,
            ].join(' ')}></path>
            ${this.#block(parts, 'embed', t('diagram.embed'), 90, 48, 160, 24)}
            <rect class="frame" x="16" y="86" width="308" height=${220 - low} rx="8"></rect>
            <text class="dim" x="28" y="99">${t('diagram.layers', { n: parts.layers })}</text>
            ${parts.memory
                ? svg`<g style=${rowsOf('prefix')}>
                    ${Array.from({ length: memory }, (_, i) =>
                        svg`<rect class="row" x=${180 + i * 11} y="89" width="9" height="12" rx="2"></rect>`)}
                    <title>${t('diagram.memory', { n: parts.memory })}</title></g>`
                : nothing}
            ${LAYER.map(([place, name, x, y, w, h], i) => {
                if (place.endsWith('_bottleneck') && !parts.blocks.has(place)) return nothing;
                const label = name === 'norm' || name === 'bottleneck' ? t(`diagram.${name}`) : name;
                return this.#block(parts, place, label, x, i < LOWER ? y : y - high, w, h);
            })}
            ${this.#block(parts, 'norm', t('diagram.norm'), 90, 316 - low, 160, 20)}
            <text x="170" y=${360 - low} text-anchor="middle">${t('diagram.out')}</text></svg>`;
    }

    /** What is trained there. @param {ReturnType<typeof partsOf>} parts @param {string} [place] */
    #explained(parts, place = this.shown) {
        const trained = this.#lit(parts).includes(place) ? parts.blocks.get(place) : undefined;
        if (!trained) return '';
        const numbers = trained.parts.reduce((sum, part) => sum + part.count, 0);
        const shape = trained.parts.map((part) => `${part.name} ${part.shape.join('×')}`).join(', ');
        const methods = [...trained.kinds.values()].map((method) => t(`method.${method}`));
        const name = this.#label(place, parts) + (methods.length > 1 ? ` (${methods.join(' + ')})` : '');
        return t(ONCE.includes(place) ? 'diagram.part.once' : 'diagram.part', { name, shape, n: count(numbers) });
    }

    /** The lit blocks in the order of the drawing. @param {ReturnType<typeof partsOf>} parts @returns {string[]} */
    #lit({ merged, blocks }) {
        return merged ? [] : ['embed', ...LAYER.map(([place]) => place), 'norm'].filter((place) => blocks.has(place));
    }

    /**
     * Along the lit blocks, or into the one that has the focus.
     * @param {KeyboardEvent} event @param {string[]} lit @param {string} place @param {() => void} select
     */
    #key(event, lit, place, select) {
        const { key, ctrlKey, metaKey, altKey } = event;
        const at = lit.indexOf(place);
        const to = /** @type {Record<string, number>} */ ({
            ArrowRight: at + 1, ArrowDown: at + 1, ArrowLeft: at - 1, ArrowUp: at - 1, Home: 0, End: lit.length - 1,
        })[key];
        if (ctrlKey || metaKey || altKey || (to === undefined && key !== 'Enter' && key !== ' ')) return;
        event.preventDefault();
        if (to === undefined) select();
        else /** @type {SVGElement | undefined} */ (this.renderRoot.querySelectorAll('[role="button"]')[to])?.focus();
    }

    /**
     * @param {ReturnType<typeof partsOf>} parts @param {string} place @param {string} label
     * @param {number} x @param {number} y @param {number} w @param {number} h
     */
    #block(parts, place, label, x, y, w, h) {
        const trained = parts.merged ? undefined : parts.blocks.get(place);
        const box = svg`<rect x=${x} y=${y} width=${w} height=${h} rx="4"></rect>`;
        if (!trained) {
            return svg`<g class="block">${box}<text x=${x + w / 2} y=${y + h / 2 + 4} text-anchor="middle"
                class=${h < 24 ? 'dim' : ''}>${label}</text></g>`;
        }
        const { kinds } = trained;
        const own = kinds.get('weight') ?? kinds.get('bottleneck');
        const detour = h > 30 ? kinds.get('detour') : undefined;
        const factor = kinds.get('factor');
        // From the end of the block: a method's pieces, each in its colour; the label has what is left.
        const taken = detour ? (factor ? 47 : 34) : 0;
        const piece = (/** @type {string} */ method, /** @type {number} */ from, /** @type {number} */ inset, wide = 11) =>
            svg`<rect class="piece" style="--mc: ${methodColor(method)}" x=${x + w - from} y=${y + inset}
                width=${wide} height=${h - 2 * inset} rx="2"></rect>`;
        const show = () => { this.shown = place; };
        const select = () => this.fire('peft-select', { site: place });
        const lit = this.#lit(parts);
        const stop = place === (lit.includes(this.at) ? this.at : lit[0]);
        const onKey = (/** @type {KeyboardEvent} */ e) => this.#key(e, lit, place, select);
        const onFocus = () => {
            this.at = place;
            show();
        };
        const [first] = kinds.values();
        return svg`<g class="block lit ${own ? 'own' : ''}" style="--mc: ${methodColor(own ?? first)}"
            data-method=${[...kinds.values()].join(' ')}
            role="button" tabindex=${stop ? 0 : -1} aria-label=${this.#explained(parts, place)}
            @mouseenter=${show} @focus=${onFocus} @click=${() => { show(); select(); }} @keydown=${onKey}>${box}
            ${detour ? [piece(detour, 31, 5), piece(detour, 16, 11)] : nothing}
            ${factor ? piece(factor, detour ? 44 : 12, 4, 7) : nothing}
            <text x=${x + (w - taken) / 2} y=${y + h / 2 + 4} text-anchor="middle">${label}</text></g>`;
    }
}
define('peft-diagram', PeftDiagram);
