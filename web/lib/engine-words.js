/**
 * Sentences of the engine that a student meets, in the page's language: the engine speaks English, with numbers in it. Each pattern has a key among the texts;
 * a sentence without a pattern stays as it is (tests/node/engine-texts.test.mjs asks the engine for all of them).
 */
import { hasText, language, t } from './i18n.js';

/** @type {readonly [RegExp, string][]} */
const PATTERNS = Object.freeze([
    [/^Dimensions: (?<layers>\d+) layers, hidden size (?<hidden>\d+), FFN (?<ffn>\d+), (?<heads>\d+) attention heads, vocabulary (?<vocab>\d+), input and output embedding shared\.$/, 'assume.dimensions.tied'],
    [/^Dimensions: (?<layers>\d+) layers, hidden size (?<hidden>\d+), FFN (?<ffn>\d+), (?<heads>\d+) attention heads, vocabulary (?<vocab>\d+)\.$/, 'assume.dimensions'],
    [/^Grouped-query attention: (?<heads>\d+) key\/value heads, so prefixes and k\/v modules are (?<times>\d+) times smaller/, 'assume.grouped'],
    [/^The file holds (?<n>\d+) numbers: with PiSSA and OLoRA also those of the start/, 'assume.start'],
    [/^Percent is trained parameters by parameters of the base model/, 'assume.percent'],
    [/^(?<format>\w+): (?<n>[\d.]+) bytes per parameter\.$/, 'assume.bytes'],
    [/^Added parameters are trained in f32: 4 bytes each for weight and gradient, (?<n>\d+) for (?<optimizer>\w+)\.$/, 'assume.added'],
    [/^Activations of (?<batch>\d+) x (?<length>\d+) positions are kept in 2 bytes, fused attention keeps no score matrix; frozen maps do not keep their inputs\.$/, 'assume.activations'],
    [/^Logits of all positions: 16-bit, an f32 copy for the loss, and a 16-bit gradient \(8 bytes each\)\.$/, 'assume.logits'],
    [/^This is a model of usual practice, not a measurement/, 'assume.model'],
    [/^Trained base parameters take (?<n>\d+) bytes each: weight (?<weight>\d+), gradient (?<gradient>\d+), (?<optimizer>\w+) (?<moments>\d+), f32 master copy (?<master>\d+)\.$/, 'assume.base'],
]);

/** @param {string} sentence of the engine @returns {{text: string, ours: boolean}} ours: in the page's language */
export function engineWords(sentence) {
    if (language() === 'en') return { text: sentence, ours: true };
    for (const [pattern, key] of PATTERNS) {
        const found = pattern.exec(sentence);
        if (found && hasText(key)) return { text: t(key, found.groups ?? {}), ours: true };
    }
    return { text: sentence, ours: false };
}

/** Nothing in it to translate: names, settings and numbers, like "LoRA (r=8, α=16)". */
const NAMES = /^(?:(?:LoRA|DoRA|rsLoRA|lr|r|q|v|Q|V|α|e)|[\d\s(),.=+-])*$/;

/** @param {string} english */
export const needsWords = (english) => !NAMES.test(english);

/** The key of a text of the chapter's tables, made of its words. @param {string} english */
export const bookKey = (english) => `book.${english.toLowerCase().replace(/[^a-z0-9]+/g, '-').replace(/^-|-$/g, '').slice(0, 48)}`;

/** Words of the chapter's tables, tree and recommendations, which the engine has in English. @param {string} english @returns {{text: string, ours: boolean}} ours: in the page's language */
export function bookWords(english) {
    if (language() === 'en' || !needsWords(english)) return { text: english, ours: true };
    const key = bookKey(english);
    return hasText(key) ? { text: t(key), ours: true } : { text: english, ours: false };
}

/** What a mixing rule does. @param {any[] | undefined} types of the engine @param {string} name */
export const mixSummary = (types, name) => (language() !== 'en' && hasText(`mix.summary.${name}`) ? t(`mix.summary.${name}`) : types?.find((type) => type.name === name)?.summary ?? '');
