/** The strip from A to B: held-out loss of both tasks along the way. */
import { number, t } from '../lib/i18n.js';

/** @typedef {{weight: number, losses: number[], text: string}} Point */
const COLORS = ['var(--m-lora)', 'var(--m-adapter)'];

/** @param {Point[]} strip @param {string[]} names @returns {(Plot: any, size: {width: number, height: number}) => Element} */
export const stripPlot = (strip, names) => (Plot, { width, height }) => Plot.plot({
    width, height, marginLeft: 48, marginBottom: 40, marginTop: 24, marginRight: 20, style: { background: 'none' },
    x: { label: t('mix.strip.axis'), domain: [0, 1], tickFormat: (/** @type {number} */ v) => number(v) },
    y: { label: t('compare.axis.loss'), grid: true, nice: true, tickFormat: (/** @type {number} */ v) => number(v) },
    marks: names.flatMap((name, i) => {
        const line = strip.map((p) => ({ weight: p.weight, loss: p.losses[i] }));
        return [
            Plot.line(line, { x: 'weight', y: 'loss', stroke: COLORS[i], strokeWidth: 2, strokeDasharray: i ? '6 3' : '' }),
            Plot.dot(line, { x: 'weight', y: 'loss', fill: COLORS[i], symbol: i ? 'square' : 'diamond', r: 4 }),
            Plot.text([line[i ? 0 : line.length - 1]], {
                x: 'weight', y: 'loss', text: () => name, textAnchor: i ? 'start' : 'end', dy: -10,
                fill: 'currentColor', stroke: 'var(--surface)', strokeWidth: 3,
            }),
        ];
    }),
});

/** @param {Point[]} strip @param {string[]} names */
export const stripTable = (strip, names) => ({
    columns: ['A', 'B', ...names.map((name) => `${name}, ${t('mix.loss')}`)],
    rows: strip.map((p) => [1 - p.weight, p.weight, ...p.losses]),
});
