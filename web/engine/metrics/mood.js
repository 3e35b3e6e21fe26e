/**
 * @param {string} text
 * @param {readonly string[]} labels
 * @returns {string | null} the label the text begins with, else null
 */
export function readLabel(text, labels) {
    const first = /^\W*([a-z]+)/i.exec(text)?.[1].toLowerCase();
    return labels.find((label) => label === first) ?? null;
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
