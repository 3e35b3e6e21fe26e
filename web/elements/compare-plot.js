/** The scatter of Compare: quality against trained numbers, with spread, Pareto line and the chapter's drawing as an overlay. */
import { number, t } from '../lib/i18n.js';
import { CHAPTER_SKETCH, pareto } from '../lib/sweep.js';
import { methodColor, methodSymbol } from './look.js';

/** @typedef {import('../lib/sweep.js').Point} Point */

/**
 * Share of what full fine-tuning gains over the model alone, in percent: the only axis on which the chapter's drawing, which names
 * no task, can stand.
 * @param {Point[]} all @param {number} base @param {1 | -1} better 1: more is better
 * @returns {{points: Point[], top: string} | null} of another method where full fine-tuning gained nothing; null: none did
 */
export function gains(all, base, better) {
    const gain = (/** @type {Point} */ { mean }) => better * (mean - base);
    const gained = all.filter((point) => gain(point) > 0).sort((a, b) => gain(b) - gain(a));
    const full = gained.find(({ method }) => method === 'full') ?? gained[0];
    if (!full) return null;
    const share = (/** @type {number} */ value) => (100 * (value - base)) / (full.mean - base);
    return {
        top: full.method,
        points: all.map((point) => {
            const ends = [share(point.min), share(point.max)];
            return { ...point, mean: share(point.mean), min: Math.min(...ends), max: Math.max(...ends) };
        }),
    };
}

/** A round percentage: 5 %, not 5.0 %. @param {number} value */
export const percentTick = (value) => number(value / 100, { style: 'percent', maximumFractionDigits: 1 });

/** @typedef {{x: number, y: number, text: string}} Mark a labelled mark, in pixels */
/** @typedef {{anchor: 'start' | 'end', dx: number, dy: number}} Place of a label beside its mark */

const RADIUS = 8;
const LETTER = 7;
const LINE = 14;
const PLACES = [-1, 1].flatMap((down) => /** @type {Place[]} */ ([
    { anchor: 'start', dx: 9, dy: down * 10 },
    { anchor: 'end', dx: -9, dy: down * 10 },
]));

/**
 * Where every label stands: beside its mark, on the first of four places that is inside the plot and covers neither a mark nor an
 * earlier label.
 * @param {Mark[]} marks @param {number} width of the plot @returns {(Place | null)[]} null: there is no room for it
 */
export function placeLabels(marks, width) {
    /** @type {number[][]} boxes: left, top, right, bottom */
    const taken = marks.map(({ x, y }) => [x - RADIUS, y - RADIUS, x + RADIUS, y + RADIUS]);
    return marks.map(({ x, y, text }) => {
        const boxOf = (/** @type {Place} */ { anchor, dx, dy }) => {
            const long = text.length * LETTER;
            const left = x + dx - (anchor === 'end' ? long : 0);
            return [left, y + dy - LINE / 2, left + long, y + dy + LINE / 2];
        };
        const free = (/** @type {number[]} */ [left, top, right, bottom]) => left >= 0 && right <= width
            && taken.every((box) => right <= box[0] || left >= box[2] || bottom <= box[1] || top >= box[3]);
        const place = PLACES.find((at) => free(boxOf(at))) ?? null;
        if (place) taken.push(boxOf(place));
        return place;
    });
}

/**
 * @param {object} data
 * @param {Point[]} data.points
 * @param {1 | -1} data.better
 * @param {number | null} data.base
 * @param {string} data.label
 * @param {(value: number) => string} data.tick a value on the vertical axis, in words
 * @param {number} data.sketch parameters of the model, to place the chapter's percentages; 0 = no overlay
 * @returns {(Plot: any, size: {width: number, height: number}) => Element}
 */
export function scatterPlot({ points, better, base, label, tick, sketch }) {
    return (Plot, { width, height }) => {
        const drawn = sketch ? CHAPTER_SKETCH.map((at) => ({ ...at, x: (at.percent / 100) * sketch })) : [];
        const xs = [...points.map((p) => p.trainable), ...drawn.map((p) => p.x)];
        const line = pareto(points, better);
        const lowest = base !== null && points.every((p) => p.min >= base); // then the axis is below its line
        const methods = [...new Set(points.map((p) => p.method))];
        const draw = (/** @type {any[]} */ labels) => Plot.plot({
            width, height, marginLeft: 56, marginBottom: 44, marginRight: 16, marginTop: 30, style: { background: 'none' },
            x: {
                type: 'log', label: t('compare.axis.x'), domain: [Math.min(...xs) / 1.8, Math.max(...xs) * 1.8],
                ticks: Math.max(2, Math.min(6, Math.floor(width / 90))),
                tickFormat: (/** @type {number} */ v) => number(v, { notation: 'compact' }), grid: true,
            },
            y: { label, grid: true, nice: true, tickFormat: tick },
            marks: [
                base === null ? null : Plot.ruleY([base], { stroke: 'var(--muted)', strokeDasharray: '5 4' }),
                base === null ? null : Plot.text([base], {
                    y: (/** @type {number} */ d) => d, text: () => t('compare.base'),
                    frameAnchor: 'right', textAnchor: 'end', dy: lowest ? -8 : 9, fill: 'var(--muted)',
                }),
                line.length > 1
                    ? Plot.line(line, { x: 'trainable', y: 'mean', stroke: 'var(--line-strong)', strokeWidth: 1.5, curve: 'step-after' })
                    : null,
                drawn.length ? Plot.line(drawn, { x: 'x', y: 'quality', stroke: 'var(--muted)', strokeDasharray: '2 4' }) : null,
                ...drawn.map((p) => Plot.dot([p], {
                    x: 'x', y: 'quality', symbol: methodSymbol(p.method), r: 6, stroke: methodColor(p.method), strokeDasharray: '2 2',
                })),
                ...points.filter((p) => p.max > p.min)
                    .map((p) => Plot.ruleX([p], {
                        x: 'trainable', y1: 'min', y2: 'max', stroke: methodColor(p.method), strokeWidth: 2,
                    })),
                ...methods.map((method) => Plot.dot(points.filter((p) => p.method === method), {
                    x: 'trainable', y: 'mean', symbol: methodSymbol(method), r: 6.5,
                    fill: methodColor(method), stroke: 'var(--surface)',
                })),
                ...labels,
            ].filter(Boolean),
        });
        const named = [
            ...points.map((p) => ({
                x: p.trainable, y: p.mean, text: t(`method.${p.method}`) + (p.size ? ` ${p.size}` : ''), looks: { fill: 'currentColor' },
            })),
            ...drawn.map((p) => ({
                x: p.x, y: p.quality, text: t('compare.sketch.point', { method: t(`method.${p.method}`) }),
                looks: { fill: 'var(--muted)', fontStyle: 'italic' },
            })),
        ];
        // Drawn once without labels: then it is known where the marks are.
        const [x, y] = ['x', 'y'].map((name) => draw([]).scale(name));
        const places = placeLabels(named.map((mark) => ({ ...mark, x: x.apply(mark.x), y: y.apply(mark.y) })), width);
        return draw(named.flatMap((mark, i) => {
            const place = places[i];
            return place ? [Plot.text([mark], {
                x: 'x', y: 'y', text: 'text', textAnchor: place.anchor, dx: place.dx, dy: place.dy,
                stroke: 'var(--surface)', strokeWidth: 3, ...mark.looks,
            })] : [];
        }));
    };
}
