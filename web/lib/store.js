/**
 * The page's settings: one schema for defaults, clamping, permalinks and saved sessions. Everything that comes from
 * outside (a link, a saved session, an attribute, a host page's message) goes through read(); what is out of range is
 * clamped, what is unknown is dropped, and both are reported.
 */
import { LANGUAGES } from './i18n.js';

/**
 * What was corrected: a key of the texts (`correct.KEY`) and what it names, so that the page
 * can say it in its language.
 * @typedef {{key: string, values: Record<string, string>}} Correction
 */
/**
 * @typedef {{kind: 'word' | 'int' | 'real' | 'choice' | 'words' | 'text', initial: any, min?: number, max?: number,
 *   choices?: readonly string[], link?: string}} Field
 */

/** The engine's methods; the page knows them before the engine is there. */
export const METHODS = Object.freeze(['prompt', 'prefix', 'lora', 'adapter', 'full', 'ia3', 'norms']);
export const LEVELS = Object.freeze(['student', 'explorer', 'developer']);
export const PANELS = Object.freeze([
    '', 'inspect', 'merge', 'compare', 'mix', 'combine', 'choose', 'calculator', 'chapter', 'data', 'export', 'lessons',
    'proof',
]);
const LINK_VERSION = 1;
export const LINK_MAX = 2000;

/** Short names keep links readable: #v=1&m=lora&r=8&a=16&t=qv&task=pirate&seed=7&n=120 */
export const FIELDS = /** @type {Readonly<Record<string, Field>>} */ (Object.freeze({
    model: { kind: 'word', initial: '', link: 'model' },
    task: { kind: 'word', initial: 'pirate', link: 'task' },
    method: { kind: 'choice', initial: 'lora', choices: METHODS, link: 'm' },
    seed: { kind: 'int', initial: 1, min: 0, max: 999_999, link: 'seed' },
    steps: { kind: 'int', initial: 0, min: 0, max: 5000, link: 'n' },
    lr: { kind: 'real', initial: 0, min: 0, max: 10, link: 'lr' },
    batch_size: { kind: 'int', initial: 0, min: 0, max: 64, link: 'bs' },
    workers: { kind: 'int', initial: 0, min: 0, max: 16, link: 'w' },
    prompt: { kind: 'text', initial: '', max: 400, link: 'p' },
    shape: { kind: 'word', initial: 'llama-2-7b', link: 'shape' },
    level: { kind: 'choice', initial: 'student', choices: LEVELS, link: 'level' },
    panel: { kind: 'choice', initial: '', choices: PANELS, link: 'panel' },
    lesson: { kind: 'word', initial: '', link: 'lesson' },
    lang: { kind: 'choice', initial: '', choices: ['', ...Object.keys(LANGUAGES)], link: 'lang' },
    theme: { kind: 'choice', initial: '', choices: ['', 'light', 'dark'], link: 'theme' },
    hide: { kind: 'words', initial: [], link: 'hide' },
    lock: { kind: 'words', initial: [], link: 'lock' },
}));

/** Method options that have a short name in links; any other is o.NAME=value. */
const OPTION_LINKS = Object.freeze({ r: 'rank', a: 'alpha', t: 'target_modules', vt: 'num_virtual_tokens', b: 'bottleneck_size', d: 'dropout' });
const SITE_LETTERS = Object.freeze({ q: 'q_proj', k: 'k_proj', v: 'v_proj', o: 'o_proj', g: 'gate_proj', u: 'up_proj', d: 'down_proj' });
const WORD = /^[a-z0-9][a-z0-9._-]{0,63}$/i;
const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d{1,3})?$/i;

/** @returns {Record<string, any>} */
export function defaults() {
    return { ...Object.fromEntries(Object.entries(FIELDS).map(([name, field]) => [name, structuredClone(field.initial)])), options: {} };
}

/** The text of a simple value; an object's own toString is not asked, it may be anything. @param {unknown} value */
const plain = (value) => (['string', 'number', 'boolean', 'bigint'].includes(typeof value) ? String(value) : '');

/**
 * @param {string} key @param {string} name of the setting @param {unknown} [value] that was given
 * @param {Record<string, string>} [more] @returns {Correction}
 */
export const correction = (key, name, value, more) => ({
    key: `correct.${key}`,
    values: { name: name.slice(0, 40), value: plain(value).slice(0, 40), ...more },
});

/** @param {string} name @param {Field} field @param {unknown} value @param {Correction[]} notices @returns {any} a value inside the schema */
function readField(name, field, value, notices) {
    const bad = (/** @type {string} */ key, /** @type {Record<string, string>} */ more = {}) => {
        notices.push(correction(key, name, value, more));
        return structuredClone(field.initial);
    };
    if (field.kind === 'int' || field.kind === 'real') {
        const number = typeof value === 'number' ? value : NUMBER.test(plain(value)) ? Number(value) : NaN;
        if (!Number.isFinite(number) || (field.kind === 'int' && !Number.isInteger(number))) return bad('number');
        const clamped = Math.min(field.max ?? Infinity, Math.max(field.min ?? -Infinity, number));
        if (clamped !== number) notices.push(correction('range', name, number, { to: String(clamped) }));
        return clamped;
    }
    if (field.kind === 'words') {
        const list = new Set((Array.isArray(value) ? value : plain(value).split(',')).map(plain).filter(Boolean));
        const strange = [...list].filter((word) => !WORD.test(word));
        if (strange.length) notices.push(correction('word', name, strange.join(', ')));
        return [...list].filter((word) => WORD.test(word)).slice(0, 40);
    }
    const text = plain(value);
    if (field.kind === 'choice')
        return field.choices?.includes(text)
            ? text
            : bad('choice', { choices: (field.choices ?? []).filter(Boolean).join(', ') });
    if (field.kind === 'word') return text === '' || WORD.test(text) ? text : bad('word');
    return text.slice(0, field.max);
}

/** A number per module name (rank_pattern, alpha_pattern). @param {[string, unknown][]} entries */
function readPattern(entries) {
    return Object.fromEntries(
        entries
            .map(([name, v]) => /** @type {[string, number]} */ ([name.trim(), NUMBER.test(plain(v).trim()) ? Number(v) : NaN]))
            .filter(([name, v]) => WORD.test(name) && name !== '__proto__' && Number.isFinite(v))
            .slice(0, 64),
    );
}

/** "q_proj: 4, v_proj: 16" as it is typed and linked. @param {string} text */
export const parsePattern = (text) =>
    readPattern(
        text
            .split(',')
            .map((part) => /** @type {[string, unknown]} */ (part.split(/[:=]/, 2)))
            .filter((part) => part.length === 2),
    );
/** @param {Record<string, number>} pattern */
export const formatPattern = (pattern) => Object.entries(pattern).map(([name, v]) => `${name}:${v}`).join(',');

/** @param {unknown} value @returns {any} a plain option value, or undefined */
function readOption(value) {
    if (typeof value === 'boolean') return value;
    if (typeof value === 'number') return Number.isFinite(value) ? value : undefined;
    if (typeof value === 'string') return value.slice(0, 400);
    if (Array.isArray(value)) return value.filter((v) => typeof v === 'string' && WORD.test(v)).slice(0, 64);
    if (value && typeof value === 'object') return readPattern(Object.entries(value));
    return undefined;
}

/**
 * @param {Record<string, unknown>} raw untrusted settings
 * @returns {{state: Record<string, any>, notices: Correction[]}} state holds only the fields that were given
 */
export function read(raw) {
    /** @type {Correction[]} */
    const notices = [];
    /** @type {Record<string, any>} */
    const state = {};
    for (const [name, value] of Object.entries(raw)) {
        if (name === 'options') {
            if (!value || typeof value !== 'object') continue;
            const named = Object.entries(value)
                .filter(([key]) => /^[a-z_0-9]{1,40}$/.test(key) && key !== '__proto__')
                .map(([key, v]) => [key, readOption(v), v]);
            for (const [key, option, v] of named) if (option === undefined && v !== undefined) notices.push(correction('value', key, v));
            state.options = Object.fromEntries(named.filter(([, option]) => option !== undefined));
        } else if (Object.hasOwn(FIELDS, name)) {
            state[name] = readField(name, FIELDS[name], value, notices);
        } else {
            notices.push(correction('unknown', name));
        }
    }
    return { state, notices };
}

/** @param {Record<string, any>} state @returns {string} "#v=1&m=lora&…" with what differs from the defaults; own data is never in it */
export function toLink(state) {
    const initial = defaults();
    const parameters = new URLSearchParams({ v: String(LINK_VERSION) });
    for (const [name, { link }] of Object.entries(FIELDS)) {
        const value = state[name];
        const text = Array.isArray(value) ? value.join(',') : String(value ?? '');
        const same = Array.isArray(initial[name]) ? initial[name].join(',') === text : String(initial[name]) === text;
        if (link && value !== undefined && !same) parameters.set(link, text);
    }
    const short = /** @type {Record<string, string>} */ (Object.fromEntries(Object.entries(OPTION_LINKS).map(([key, name]) => [name, key])));
    for (const [name, value] of Object.entries(state.options ?? {}))
        parameters.set(Object.hasOwn(short, name) ? short[name] : `o.${name}`, optionText(name, value));
    return `#${parameters.toString().replaceAll('%2C', ',').replaceAll('%3A', ':')}`;
}

/** @param {string} name @param {any} value */
function optionText(name, value) {
    if (value && typeof value === 'object' && !Array.isArray(value)) return formatPattern(value);
    if (name !== 'target_modules') return Array.isArray(value) ? value.join(',') : String(value);
    const letters = Object.fromEntries(Object.entries(SITE_LETTERS).map(([letter, site]) => [site, letter]));
    const list = Array.isArray(value) ? value : String(value).split(',');
    return list.every((site) => Object.hasOwn(letters, site)) ? list.map((site) => letters[site]).join('') : list.join(',');
}

/** @param {string} name @param {string} text */
function optionValue(name, text) {
    if (name === 'target_modules') {
        const letters = /** @type {Record<string, string>} */ (SITE_LETTERS);
        return /^[qkvogud]{1,7}$/.test(text) ? [...new Set(text)].map((letter) => letters[letter]) : text.split(',');
    }
    if (name.endsWith('_pattern')) return parsePattern(text);
    if (NUMBER.test(text)) return Number(text);
    return text === 'true' ? true : text === 'false' ? false : text;
}

/** @param {string} hash location.hash @returns {{state: Record<string, any>, notices: Correction[]}} */
export function fromLink(hash) {
    if (hash.length > LINK_MAX) return { state: {}, notices: [correction('long', 'link', LINK_MAX)] };
    const parameters = new URLSearchParams(hash.replace(/^#/, ''));
    const version = parameters.get('v');
    if (version !== null && version !== String(LINK_VERSION)) return { state: {}, notices: [correction('version', 'link', version.slice(0, 10))] };
    const names = Object.fromEntries(Object.entries(FIELDS).map(([name, { link }]) => [link, name]));
    /** @type {Record<string, unknown>} */
    const raw = {};
    /** @type {Record<string, unknown>} */
    const options = {};
    for (const [key, text] of parameters) {
        if (key === 'v') continue;
        const option = Object.hasOwn(OPTION_LINKS, key)
            ? /** @type {Record<string, string>} */ (OPTION_LINKS)[key]
            : /^o\.([a-z_0-9]{1,40})$/.exec(key)?.[1];
        if (option) options[option] = optionValue(option, text);
        else raw[Object.hasOwn(names, key) ? names[key] : key] = text;
    }
    return read(Object.keys(options).length ? { ...raw, options } : raw);
}
