/** What changed between two texts, word by word (longest common subsequence). */

/** @param {string} text */
const cut = (text) => text.match(/\s*\S+/g) ?? [];

/**
 * The words of `after`, each with whether it stands (in order) in `before` too.
 * @param {string} before @param {string} after
 * @returns {{text: string, changed: boolean}[]} pieces; neighbours of one kind are joined
 */
export function changedWords(before, after) {
    const a = cut(before).map((word) => word.trim());
    const b = cut(after);
    const plain = b.map((word) => word.trim());
    /** length[i][j]: common words of a from i and b from j */
    const length = Array.from({ length: a.length + 1 }, () => new Uint16Array(b.length + 1));
    for (let i = a.length - 1; i >= 0; i--) {
        for (let j = b.length - 1; j >= 0; j--) {
            length[i][j] = a[i] === plain[j] ? length[i + 1][j + 1] + 1 : Math.max(length[i + 1][j], length[i][j + 1]);
        }
    }
    /** @type {{text: string, changed: boolean}[]} */
    const pieces = [];
    let i = 0;
    for (let j = 0; j < b.length; j++) {
        while (i < a.length && a[i] !== plain[j] && length[i + 1][j] >= length[i][j + 1]) i++;
        const same = i < a.length && a[i] === plain[j];
        if (same) i++;
        const last = pieces.at(-1);
        if (last && last.changed === !same) last.text += b[j];
        else pieces.push({ text: b[j], changed: !same });
    }
    return pieces;
}
