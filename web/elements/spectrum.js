/** The chart of singular values: bars on a log scale, a rule at the rank, and as a line the values of a full training. */
import { t } from '../lib/i18n.js';
import { power } from '../lib/format.js';
import { methodColor } from './look.js';

/** Bars shown at most; the table has all. */
const BARS = 48;
/** Values below this share of the largest are drawn as zero: float32 arithmetic cannot tell them from it. */
const ZERO = 1e-6;

/** How many of the values are drawn. @param {number} all @param {number} rank */
export const drawnOf = (all, rank) => Math.min(all, Math.max(BARS, rank + 8));

/**
 * @param {{values: number[], rank: number, method: string, full: number[] | null}} data rank 0: no limit known
 * @returns {(Plot: any, size: {width: number, height: number}) => Element}
 */
export function spectrumPlot({ values, rank, method, full }) {
    return (Plot, { width, height }) => {
        const top = Math.max(values[0] ?? 0, full?.[0] ?? 0) || 1;
        const floor = top * ZERO;
        const shown = values.slice(0, drawnOf(values.length, rank)).map((value, i) => ({ i: i + 1, value }));
        const here = shown.filter(({ value }) => value > floor);
        const nothing = shown.filter(({ value }) => value <= floor);
        const line = (full ?? []).slice(0, shown.length).map((value, i) => ({ i: i + 1, value: Math.max(value, floor) }));
        return Plot.plot({
            width, height, marginLeft: 52, marginBottom: 36, style: { background: 'none' },
            x: { label: t('inspect.axis.i'), domain: [0.3, shown.length + 0.7], ticks: Math.min(shown.length, 8), tickFormat: 'd' },
            y: { type: 'log', label: t('inspect.axis.sigma'), domain: [floor / 1.5, top * 1.6], grid: true, tickFormat: power, ticks: 5 },
            marks: [
                Plot.rect(here, {
                    x1: (/** @type {any} */ d) => d.i - 0.38, x2: (/** @type {any} */ d) => d.i + 0.38,
                    y1: floor / 1.5, y2: 'value', fill: methodColor(method),
                }),
                Plot.dot(nothing, { x: 'i', y: floor, r: 2.5, stroke: 'var(--muted)' }),
                line.length ? Plot.line(line, {
                    x: 'i', y: 'value', stroke: methodColor('full'), strokeWidth: 2, strokeDasharray: '5 3',
                }) : null,
                line.length
                    ? Plot.text([line[Math.min(line.length - 1, Math.floor(line.length * 0.6))]], {
                        x: 'i', y: 'value', text: () => t('method.full'), dy: -10, fill: methodColor('full'),
                    }) : null,
                rank && rank < shown.length ? Plot.ruleX([rank + 0.5], { stroke: 'var(--text)', strokeWidth: 2 }) : null,
                rank && rank < shown.length
                    ? Plot.text([{ i: rank + 0.5 }], {
                        x: 'i', y: top, text: () => t('inspect.rule', { r: rank }), textAnchor: 'start', dx: 6,
                        fill: 'currentColor', lineWidth: 14,
                    }) : null,
            ].filter(Boolean),
        });
    };
}

/** @param {number[]} values @param {number[] | null} full */
export const spectrumTable = (values, full) => ({
    columns: ['i', t('inspect.axis.sigma'), ...(full ? [t('method.full')] : [])],
    rows: values.map((value, i) => [i + 1, value, ...(full ? [full[i]] : [])]),
});
