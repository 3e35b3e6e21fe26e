import { words } from './text.js';

/**
 * @param {string} text
 * @param {readonly string[]} labels
 * @returns {string | null} the first label among the words of the text ("so happy" is happy), else null
 */
export function readLabel(text, labels) {
    return words(text).find((word) => labels.includes(word)) ?? null;
}

/**
 * @param {{completion: string}[]} items
 * @param {string[]} outputs generated answers (or the most probable label's text)
 * @param {readonly string[]} labels
 * @returns {{score: number, labels: string[], confusion: number[][], items: {wanted: string | null, got: string | null, right: boolean}[]}}
 *   score: accuracy; confusion[wanted][got], with one more column for answers that are no label
 */
export function scoreMood(items, outputs, labels) {
    const confusion = labels.map(() => Array(labels.length + 1).fill(0));
    const rows = items.map((item, i) => {
        const wanted = readLabel(item.completion, labels);
        const got = readLabel(outputs[i], labels);
        const row = labels.indexOf(wanted ?? '');
        if (row < 0) throw new RangeError(`item ${i + 1}: "${item.completion}" is not one of ${labels.join(', ')}`);
        confusion[row][got === null ? labels.length : labels.indexOf(got)]++;
        return { wanted, got, right: wanted === got };
    });
    return { score: rows.filter((r) => r.right).length / Math.max(1, rows.length), labels: [...labels, 'no label'], confusion, items: rows };
}
