/** The scatter of Compare: quality against trained numbers, with spread, Pareto line and the chapter's drawing as an overlay. */
import { number, t } from '../lib/i18n.js';
import { CHAPTER_SKETCH, pareto } from '../lib/sweep.js';
import { methodColor, methodSymbol } from './look.js';

/** @typedef {import('../lib/sweep.js').Point} Point */

/**
 * Share of what full fine-tuning gains over the model alone, in percent: the only axis on which the chapter's drawing, which names no task, can stand.
 * @param {Point[]} all @param {number} base @returns {{points: Point[], top: string} | null} null: nothing was gained
 */
export function gains(all, base) {
    const full = all.find(({ method }) => method === 'full') ?? [...all].sort((a, b) => Math.abs(b.mean - base) - Math.abs(a.mean - base))[0];
    if (!full || full.mean === base) return null;
    const share = (/** @type {number} */ value) => (100 * (value - base)) / (full.mean - base);
    return {
        top: full.method,
        points: all.map((point) => {
            const ends = [share(point.min), share(point.max)];
            return { ...point, mean: share(point.mean), min: Math.min(...ends), max: Math.max(...ends) };
        }),
    };
}

/**
 * @param {{points: Point[], better: 1 | -1, base: number | null, label: string, sketch: number}} data sketch: parameters of the model, to place the chapter's
 * percentages; 0 = no overlay
 * @returns {(Plot: any, size: {width: number, height: number}) => Element}
 */
export function scatterPlot({ points, better, base, label, sketch }) {
    return (Plot, { width, height }) => {
        const drawn = sketch ? CHAPTER_SKETCH.map((at) => ({ ...at, x: (at.percent / 100) * sketch })) : [];
        const xs = [...points.map((p) => p.trainable), ...drawn.map((p) => p.x)];
        const line = pareto(points, better);
        const lowest = base !== null && points.every((p) => p.min >= base); // then the axis is below its line
        const name = (/** @type {Point} */ p) => t(`method.${p.method}`) + (p.size ? ` ${p.size}` : '');
        const methods = [...new Set(points.map((p) => p.method))];
        const end = (/** @type {number} */ x) => (x > Math.sqrt(Math.min(...xs) * Math.max(...xs)) ? 'end' : 'start');
        const labelled = (/** @type {any[]} */ list, /** @type {any} */ options) => ['start', 'end'].map((anchor) => Plot.text(list.filter((p) => end(p.trainable ?? p.x) === anchor), { textAnchor: anchor, dx: anchor === 'end' ? -9 : 9, dy: -9, stroke: 'var(--surface)', strokeWidth: 3, ...options }));
        return Plot.plot({
            width, height, marginLeft: 52, marginBottom: 40, marginRight: 16, marginTop: 26, style: { background: 'none' },
            x: { type: 'log', label: t('compare.axis.x'), domain: [Math.min(...xs) / 1.8, Math.max(...xs) * 1.8], ticks: Math.max(2, Math.min(6, Math.floor(width / 90))), tickFormat: (/** @type {number} */ v) => number(v, { notation: 'compact' }), grid: true },
            y: { label, grid: true, nice: true, tickFormat: (/** @type {number} */ v) => number(v) },
            marks: [
                base === null ? null : Plot.ruleY([base], { stroke: 'var(--muted)', strokeDasharray: '5 4' }),
                base === null ? null : Plot.text([base], { y: (/** @type {number} */ d) => d, text: () => t('compare.base'), frameAnchor: 'right', textAnchor: 'end', dy: lowest ? -8 : 9, fill: 'var(--muted)' }),
                line.length > 1 ? Plot.line(line, { x: 'trainable', y: 'mean', stroke: 'var(--line-strong)', strokeWidth: 1.5, curve: 'step-after' }) : null,
                drawn.length ? Plot.line(drawn, { x: 'x', y: 'quality', stroke: 'var(--muted)', strokeDasharray: '2 4' }) : null,
                ...drawn.map((p) => Plot.dot([p], { x: 'x', y: 'quality', symbol: methodSymbol(p.method), r: 6, stroke: methodColor(p.method), strokeDasharray: '2 2' })),
                ...(drawn.length && width >= 480 ? labelled(drawn, { x: 'x', y: 'quality', text: (/** @type {any} */ p) => t('compare.sketch.point', { method: t(`method.${p.method}`) }), fill: 'var(--muted)', fontStyle: 'italic' }) : []),
                ...points.filter((p) => p.max > p.min).map((p) => Plot.ruleX([p], { x: 'trainable', y1: 'min', y2: 'max', stroke: methodColor(p.method), strokeWidth: 2 })),
                ...methods.map((method) => Plot.dot(points.filter((p) => p.method === method), { x: 'trainable', y: 'mean', symbol: methodSymbol(method), r: 6.5, fill: methodColor(method), stroke: 'var(--surface)' })),
                ...labelled(points, { x: 'trainable', y: 'mean', text: name, fill: 'currentColor' }),
            ].filter(Boolean),
        });
    };
}
