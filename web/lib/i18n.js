/**
 * Texts and number formats in the page's language. Dictionaries are flat: key -> text with {name} gaps, or {one, other, …} chosen
 * by the value of {n} (Intl.PluralRules). English is complete by test; a key another language lacks falls back to English, an
 * unknown key shows itself.
 */

/** @typedef {string | Record<string, string>} Entry */

/** Languages the page offers, by their own names. */
export const LANGUAGES = Object.freeze({ en: 'English', de: 'Deutsch', fr: 'Français', es: 'Español' });
const RIGHT_TO_LEFT = new Set(['ar', 'fa', 'he', 'ur']);

/** @type {Map<string, Record<string, Entry>>} */
const dictionaries = new Map();
let current = 'en';
/** Announces "change" when the language or a dictionary changed. */
export const languageEvents = new EventTarget();

/** @param {string} language @param {Record<string, Entry>} texts added to what is there */
export function addTexts(language, texts) {
    dictionaries.set(language, { ...dictionaries.get(language), ...texts });
    languageEvents.dispatchEvent(new Event('change'));
}

/** @returns {string} */
export const language = () => current;

/** @param {string} name @returns {'ltr' | 'rtl'} */
export const direction = (name = current) => (RIGHT_TO_LEFT.has(name.split('-')[0]) ? 'rtl' : 'ltr');

/** @param {string} name */
export function setLanguage(name) {
    current = name;
    languageEvents.dispatchEvent(new Event('change'));
}

/** The best of our languages for these wishes (navigator.languages). @param {readonly string[]} wishes */
export function chooseLanguage(wishes) {
    for (const wish of wishes) {
        const short = wish.toLowerCase().split('-')[0];
        if (Object.hasOwn(LANGUAGES, short)) return short;
    }
    return 'en';
}

/** @param {string} key @returns {boolean} */
export const hasText = (key) => [current, 'en'].some((name) => Object.hasOwn(dictionaries.get(name) ?? {}, key));

/**
 * The text of a key. Numbers among the values are written in the page's language; pass strings to keep a format of your own.
 * @param {string} key @param {Record<string, string | number>} [values]
 * @returns {string}
 */
export function t(key, values = {}) {
    const entry = dictionaries.get(current)?.[key] ?? dictionaries.get('en')?.[key] ?? key;
    const text = typeof entry === 'string' ? entry : entry[new Intl.PluralRules(current).select(Number(values.n ?? 0))] ?? entry.other;
    return text.replace(/\{(\w+)\}/g, (gap, name) => {
        const value = values[name];
        return value === undefined ? gap : typeof value === 'number' ? number(value) : value;
    });
}

/** @type {Map<string, Intl.NumberFormat>} */
const formats = new Map();

/** With a minus sign, not a hyphen, in every language. @param {number} value @param {Intl.NumberFormatOptions} [options] @returns {string} */
export function number(value, options = { maximumFractionDigits: 4 }) {
    if (!Number.isFinite(value)) return Number.isNaN(value) ? 'NaN' : value > 0 ? '∞' : '−∞';
    const key = current + JSON.stringify(options);
    let format = formats.get(key);
    if (!format) formats.set(key, (format = new Intl.NumberFormat(current, options)));
    return format.format(value).replace(/^-/, '−');
}
