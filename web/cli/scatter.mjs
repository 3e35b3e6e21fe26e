/** Quality against trainable parameters as a stand-alone SVG: one mark per method, bars for the spread over seeds, the base as a dashed line. */

const WIDTH = 640;
const HEIGHT = 400;
const MARGIN = { left: 64, right: 24, top: 36, bottom: 56 };
/** Colours and shapes of the page (web/elements), so that both read alike. @type {Record<string, {colour: string, shape: string}>} */
const MARKS = {
    full: { colour: '#767676', shape: 'M-6,-6h12v12h-12z' }, prompt: { colour: '#5e1675', shape: 'M-6,0a6,6 0 1,0 12,0a6,6 0 1,0 -12,0' },
    prefix: { colour: '#0b3d2a', shape: 'M0,-7L7,6H-7z' }, lora: { colour: '#0a7ccb', shape: 'M0,-8L8,0L0,8L-8,0z' },
    adapter: { colour: '#a04507', shape: 'M-2,-7h4v5h5v4h-5v5h-4v-5h-5v-4h5z' },
};
const OTHER = { colour: '#444', shape: 'M-6,-6L6,6M6,-6L-6,6' };

const escape = (/** @type {unknown} */ text) => String(text).replace(/[<>&"]/g, (c) => `&#${c.charCodeAt(0)};`);

/** @param {{task: string, metric: string, command: string, summary: any[]}} report @returns {string} */
export function scatterSvg({ task, metric, command, summary }) {
    const quality = summary[0].score ? 'score' : 'loss';
    const points = summary.filter((s) => s.parameters > 0);
    const base = summary.find((s) => s.method === 'base');
    const values = summary.flatMap((s) => [s[quality].min, s[quality].max]);
    const low = Math.min(...values);
    const high = Math.max(...values);
    const pad = (high - low || 1) * 0.1;
    const decades = points.map((p) => Math.log10(p.parameters));
    const x0 = Math.floor(Math.min(...decades));
    const x1 = Math.max(x0 + 1, Math.ceil(Math.max(...decades)));
    const x = (/** @type {number} */ n) => MARGIN.left + ((Math.log10(n) - x0) / (x1 - x0)) * (WIDTH - MARGIN.left - MARGIN.right);
    const y = (/** @type {number} */ v) =>
        HEIGHT - MARGIN.bottom - ((v - low + pad) / (high - low + 2 * pad)) * (HEIGHT - MARGIN.top - MARGIN.bottom);
    const ticksX = Array.from({ length: x1 - x0 + 1 }, (_, i) => 10 ** (x0 + i));
    const ticksY = Array.from({ length: 5 }, (_, i) => low + ((high - low) * i) / 4);
    const right = WIDTH - MARGIN.right;
    const bottom = HEIGHT - MARGIN.bottom;
    const line = (/** @type {string} */ path) => `<path d="${path}" stroke="#e4e4e4"/>`;
    const label = (/** @type {number} */ left, /** @type {number} */ top, /** @type {string} */ anchor, /** @type {string} */ text) =>
        `<text x="${left}" y="${top}" text-anchor="${anchor}">${text}</text>`;
    const baseLine = base && `M${MARGIN.left},${y(base[quality].mean)}H${right}`;
    const mark = (/** @type {any} */ p) => {
        const { colour, shape } = MARKS[p.method] ?? OTHER;
        const { mean, min, max } = p[quality];
        const bar = `<path d="M${x(p.parameters)},${y(min)}V${y(max)}" stroke-width="2"/>`;
        const at = `<path transform="translate(${x(p.parameters)},${y(mean)})" d="${shape}"/>`;
        const name = `<text x="${x(p.parameters) + 11}" y="${y(mean) - 8}">${escape(p.method)}</text>`;
        return `<g stroke="${colour}" fill="${colour}">${bar}${at}</g>${name}`;
    };
    return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="12" role="img">
<title>${escape(`${task}: ${quality === 'score' ? metric : 'test loss'} against trainable parameters`)}</title><desc>${escape(command)}</desc>
<rect width="${WIDTH}" height="${HEIGHT}" fill="#fff"/>
${ticksX.map((t) => line(`M${x(t)},${bottom}V${MARGIN.top}`) + label(x(t), bottom + 18, 'middle', t.toLocaleString('en-US'))).join('\n')}
${ticksY.map((t) => line(`M${MARGIN.left},${y(t)}H${right}`) + label(MARGIN.left - 8, y(t) + 4, 'end', t.toFixed(2))).join('\n')}
<text x="${(MARGIN.left + right) / 2}" y="${HEIGHT - 14}" text-anchor="middle">trainable parameters (log scale)</text>
<text x="${MARGIN.left}" y="20">${escape(quality === 'score' ? metric : 'test loss, nats per token (less is better)')}</text>
${base ? `<path d="${baseLine}" stroke="#444" stroke-dasharray="5 4"/>${label(right, y(base[quality].mean) - 5, 'end', 'base')}` : ''}
${points.map(mark).join('\n')}
</svg>
`;
}
