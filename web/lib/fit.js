/**
 * Options of a method, from a link or an attribute, brought to what the engine says of them: out of range is clamped,
 * what is none of its values is dropped.
 */
import { correction } from './store.js';

/** @typedef {import('./store.js').Correction} Correction */
/** @typedef {{name: string, type: string, min?: number, max?: number, choices?: string[]}} Option as the engine describes it */

/** @param {Option} option @param {any} value @returns {{value?: any, notice?: Correction}} without a value: the preset's */
function fit({ name, type, min = -Infinity, max = Infinity, choices = [] }, value) {
    if (type === 'int' || type === 'real') {
        const number = typeof value === 'string' && value.trim() === '' ? NaN : Number(value);
        if (typeof value === 'object' || typeof value === 'boolean' || !Number.isFinite(number)) return { notice: correction('number', name, value) };
        const to = Math.min(max, Math.max(min, type === 'int' ? Math.round(number) : number));
        return { value: to, notice: to === number ? undefined : correction('range', name, value, { to: String(to) }) };
    }
    if (type === 'choice' && !choices.includes(String(value))) return { notice: correction('choice', name, value, { choices: choices.join(', ') }) };
    if (type === 'bool' && typeof value !== 'boolean') {
        const known = ['0', '1'].includes(String(value));
        return known ? { value: String(value) === '1' } : { notice: correction('choice', name, value, { choices: 'true, false' }) };
    }
    return { value }; // names of modules, patterns and texts are the engine's to judge
}

/**
 * @param {{options: Option[]}} method of the engine @param {Record<string, any>} given
 * @returns {{options: Record<string, any>, notices: Correction[]}}
 */
export function fitOptions(method, given) {
    /** @type {Record<string, any>} */
    const options = {};
    /** @type {Correction[]} */
    const notices = [];
    for (const [name, value] of Object.entries(given)) {
        const option = method.options.find((each) => each.name === name);
        const fitted = option ? fit(option, value) : { notice: correction('unknown', name) };
        if (fitted.value !== undefined) options[name] = fitted.value;
        if (fitted.notice) notices.push(fitted.notice);
    }
    return { options, notices };
}
