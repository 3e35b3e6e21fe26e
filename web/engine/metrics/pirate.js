/**
 * Pirate talk: the word table, the converter the task's generator uses, and the two scores of the task.
 */
import { words } from './text.js';

/** Plain word -> the pirate's word. */
/** @type {Readonly<Record<string, string>>} */
export const PIRATE_WORDS = Object.freeze({
    hello: 'ahoy', friend: 'matey', friends: 'mateys', boy: 'lad', boys: 'lads', girl: 'lass', girls: 'lasses',
    my: 'me', your: 'yer', you: 'ye', yes: 'aye', is: 'be', am: 'be', are: 'be', was: 'be', were: 'be', of: "o'", and: "an'",
    very: 'mighty', little: 'wee', happy: 'jolly', money: 'doubloons', food: 'grub', stop: 'avast', wow: 'arr',
});

/** Forms that plain English has too. "be" counts only where plain English would say is, am, are, was or were. */
const PLAIN_TOO = new Set(['me', 'arr']);
const BEFORE_PLAIN_BE = new Set(
    'to will can could would not must should may might let never always shall did do does'.split(' '));
const PIRATE_FORMS = new Set(Object.values(PIRATE_WORDS).filter((w) => !PLAIN_TOO.has(w)));
const FUNCTION_WORDS = new Set(
    'the that had has have his her its in on at to with for by from one it he she they him them not so who'.split(' '));

/**
 * Replaces every word of the table and keeps capitals and everything else.
 * @param {string} text plain English
 * @returns {string}
 */
export function toPirate(text) {
    return text.replace(/[A-Za-z]+/g, (word) => {
        const said = PIRATE_WORDS[word.toLowerCase()];
        if (said === undefined) return word;
        return word[0] === word[0].toUpperCase() ? said[0].toUpperCase() + said.slice(1) : said;
    });
}

/**
 * Where the text talks like a pirate and where it could have.
 * @param {string} text
 * @returns {{pirate: number, plain: number, score: number}} score = pirate / (pirate + plain), 0 without either
 */
export function styleScore(text) {
    const list = words(text);
    let pirate = 0;
    let plain = 0;
    list.forEach((word, i) => {
        if (word === 'be' && BEFORE_PLAIN_BE.has(list[i - 1] ?? '')) return;
        if (Object.hasOwn(PIRATE_WORDS, word)) plain++;
        else if (PIRATE_FORMS.has(word)) pirate++;
    });
    return { pirate, plain, score: pirate + plain === 0 ? 0 : pirate / (pirate + plain) };
}

/**
 * Names and things: the words of the prompt that a right continuation takes up again, in lower case, once.
 * @param {string} prompt
 * @param {string} reference the continuation of the test item
 * @returns {string[]}
 */
export function contentWords(prompt, reference) {
    const taken = new Set(words(reference));
    return [...new Set(words(prompt))].filter(
        (w) => taken.has(w) && w.length > 1 && !FUNCTION_WORDS.has(w) && !PIRATE_FORMS.has(w) && !PLAIN_TOO.has(w));
}

/**
 * @param {{prompt: string, completion: string}[]} items
 * @param {string[]} outputs one generated continuation for each item
 * @returns {{score: number, style: number, content_kept: number, items: {style: number, content_kept: number}[]}}
 *   score: mean of style times content kept, so that a pirate who forgets the story gets nothing; style: over all
 *   words of all outputs together
 */
export function scorePirate(items, outputs) {
    let pirate = 0;
    let plain = 0;
    const rows = items.map((item, i) => {
        const style = styleScore(outputs[i]);
        pirate += style.pirate;
        plain += style.plain;
        const said = new Set(words(outputs[i]));
        const wanted = contentWords(item.prompt, item.completion);
        const kept = wanted.length === 0 ? 1 : wanted.filter((w) => said.has(w)).length / wanted.length;
        return { style: style.score, content_kept: kept };
    });
    const mean = (/** @type {'style' | 'content_kept'} */ key) => rows.reduce((sum, r) => sum + r[key], 0) / Math.max(1, rows.length);
    return {
        score: rows.reduce((sum, r) => sum + r.style * r.content_kept, 0) / Math.max(1, rows.length),
        style: pirate + plain === 0 ? 0 : pirate / (pirate + plain),
        content_kept: mean('content_kept'),
        items: rows,
    };
}
