import { words } from './text.js';

/**
 * @param {string} prompt "Words: park, cat, red\nStory:"
 * @returns {string[]}
 */
export function requiredWords(prompt) {
    const list = /words:\s*([^\n]*)/i.exec(prompt)?.[1] ?? '';
    return list.split(',').map((w) => w.trim().toLowerCase()).filter(Boolean);
}

/** A word counts in its plain, plural or possessive form. @param {string} wanted @param {Set<string>} said */
function used(wanted, said) {
    return [wanted, `${wanted}s`, `${wanted}es`, `${wanted}'s`, wanted.replace(/y$/, 'ies')].some((w) => said.has(w));
}

/**
 * @param {{prompt: string}[]} items
 * @param {string[]} outputs
 * @returns {{score: number, all_used: number, items: {wanted: string[], used: string[]}[]}}
 *   score: share of required words used; all_used: share of stories that use every one
 */
export function scoreWordsToStory(items, outputs) {
    const rows = items.map((item, i) => {
        const said = new Set(words(outputs[i]));
        const wanted = requiredWords(item.prompt);
        return { wanted, used: wanted.filter((w) => used(w, said)) };
    });
    const total = rows.reduce((sum, r) => sum + r.wanted.length, 0);
    return {
        score: rows.reduce((sum, r) => sum + r.used.length, 0) / Math.max(1, total),
        all_used: rows.filter((r) => r.used.length === r.wanted.length).length / Math.max(1, rows.length),
        items: rows,
    };
}
