/** Sentences of the engine on the page: in its language where we have the words, else in English and marked so. */
import { html, t } from './base.js';
import { engineWords } from '../lib/engine-words.js';
import { hasText, language } from '../lib/i18n.js';

/** @param {string} sentence */
export function said(sentence) {
    const { text, ours } = engineWords(sentence);
    return ours ? text : html`<span lang="en">${text}</span>`;
}

/**
 * What went wrong. Where the engine's sentence stays English it stands below one of ours.
 * @param {{message: string, hint?: string, code?: string}} error
 */
export function wrong({ message, hint = '', code = '' }) {
    const { text, ours } = engineWords(message);
    const own = `failure.code.${code}`;
    if (!code || language() === 'en' || !hasText(own)) return html`${t(text)} ${t(hint)}`;
    return ours ? text : html`${t(own)} <small lang="en">${text} ${hint}</small>`;
}
