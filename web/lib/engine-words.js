/** Words of the engine in the page's language: names, the chapter's tables, and, once they were fetched, whole sentences. */
import { hasText, language, t } from './i18n.js';

/** @type {typeof import('./engine-sentences.js').sentenceWords | null} */
let sentences = null;

/** Fetches the patterns of whole sentences. */
export async function bringSentences() {
    sentences = (await import('./engine-sentences.js')).sentenceWords;
}

/** @param {string} sentence of the engine @returns {{text: string, ours: boolean}} ours: in the page's language */
export const engineWords = (sentence) => sentences?.(sentence) ?? { text: sentence, ours: language() === 'en' };

/** Nothing in it to translate: names, settings and numbers, like "LoRA (r=8, α=16)". */
const NAMES = /^(?:(?:LoRA|DoRA|rsLoRA|lr|r|q|v|Q|V|α|e)|[\d\s(),.=+-])*$/;

/** @param {string} english */
export const needsWords = (english) => !NAMES.test(english);

/** The key of a text of the chapter's tables, made of its words. @param {string} english */
export const bookKey = (english) => `book.${english.toLowerCase().replace(/[^a-z0-9]+/g, '-').replace(/^-|-$/g, '').slice(0, 48)}`;

/**
 * Words of the chapter's tables, tree and recommendations, which the engine has in English.
 * @param {string} english @returns {{text: string, ours: boolean}} ours: in the page's language
 */
export function bookWords(english) {
    if (language() === 'en' || !needsWords(english)) return { text: english, ours: true };
    const key = bookKey(english);
    return hasText(key) ? { text: t(key), ours: true } : { text: english, ours: false };
}

/** A method's name in a list, the engine's where we have none. @param {{name: string, label: string}} method */
export const methodWords = ({ name, label }) => (hasText(`method.${name}`) ? t(`method.${name}`) : label);

/** A shape's name: names of models are the same in every language, others have words. @param {{name: string, label: string}} shape */
export const shapeWords = ({ name, label }) => (language() !== 'en' && hasText(`shape.${name}`) ? t(`shape.${name}`) : label);

/** The key of a task's metric, made of its English name (which results keep). @param {string} name */
export const metricKey = (name) => `metric.name.${name.replaceAll(' ', '-')}`;

/** A task's metric in the page's language. @param {string} name */
export const metricWords = (name) => (language() !== 'en' && hasText(metricKey(name)) ? t(metricKey(name)) : name);

/** What a mixing rule does. @param {any[] | undefined} types of the engine @param {string} name */
export const mixSummary = (types, name) =>
    language() !== 'en' && hasText(`mix.summary.${name}`)
        ? t(`mix.summary.${name}`)
        : (types?.find((type) => type.name === name)?.summary ?? '');
