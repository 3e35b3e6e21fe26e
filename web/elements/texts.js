/** Brings the dictionaries in: English with the page, other languages and the panels' texts when they are needed. */
import en from '../content/texts/en.json';
import { bringSentences } from '../lib/engine-words.js';
import { addTexts, chooseLanguage, LANGUAGES, language, setLanguage } from '../lib/i18n.js';

addTexts('en', en);

const core = import.meta.glob(['../content/texts/*.json', '!../content/texts/en.json'], { import: 'default' });
const panels = import.meta.glob('../content/texts/panels/*.json', { import: 'default' });
/** @type {Set<string>} */
const loaded = new Set();
let wantsPanels = false;
/** How often a language was asked for: one that comes late does not take the place of what was chosen after it. */
let asked = 0;

/** @param {Record<string, () => Promise<any>>} files @param {string} folder @param {string} name */
async function bring(files, folder, name) {
    const path = `${folder}${name}.json`;
    if (loaded.has(path) || !files[path]) return;
    loaded.add(path);
    addTexts(name, await files[path]());
}

/** @param {string} name a language of ours; anything else: the browser's best @returns {Promise<string>} the one that is now used */
export async function useLanguage(name) {
    const chosen = Object.hasOwn(LANGUAGES, name) ? name : chooseLanguage(navigator.languages ?? [navigator.language]);
    const turn = ++asked;
    await bring(core, '../content/texts/', chosen);
    if (wantsPanels) await bring(panels, '../content/texts/panels/', chosen);
    if (turn === asked) setLanguage(chosen);
    return language();
}

/** The panels' dictionary, in English and in the language in use. */
export async function usePanelTexts() {
    wantsPanels = true;
    await bringSentences(); // before the texts, whose coming draws the page again
    await Promise.all(['en', language()].map((name) => bring(panels, '../content/texts/panels/', name)));
}
