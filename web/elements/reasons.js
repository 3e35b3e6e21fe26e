/** Why a method cannot be merged, in the page's language if we have it, else in the engine's words; LoRA's factor by its name. */
import { hasText, t } from '../lib/i18n.js';

/** @param {import('../lib/lab.js').Lab} lab @param {string} method @returns {string} '' when it can */
export function whyNotMerged(lab, method) {
    const known = lab.engine?.methods.find((/** @type {any} */ m) => m.name === method);
    const ours = hasText(`cannot_merge.${method}`) ? t(`cannot_merge.${method}`) : '';
    if (!known) return ours; // before the engine is there, the page's own words say which
    return known.cannot_merge && (ours || known.cannot_merge);
}

/** What a LoRA's B·A is multiplied by. @param {any} module @returns {string} */
export const factorOf = (module) => (module?.options.use_rslora ? 'α/√r' : 'α/r');
