import { words } from './text.js';

/**
 * A fact is recalled when the answer's words stand in the output one after another, before the first full stop.
 * @param {string} wanted @param {string} output
 */
export function recalls(wanted, output) {
    const said = ` ${words(output.split(/[.\n]/)[0]).join(' ')} `;
    return said.includes(` ${words(wanted).join(' ')} `);
}

/**
 * @param {{completion: string}[]} items
 * @param {string[]} outputs
 * @returns {{score: number, items: {wanted: string, right: boolean}[]}} score: share of facts recalled
 */
export function scoreShipLog(items, outputs) {
    const rows = items.map((item, i) => ({ wanted: item.completion.trim(), right: recalls(item.completion, outputs[i]) }));
    return { score: rows.filter((r) => r.right).length / Math.max(1, rows.length), items: rows };
}
