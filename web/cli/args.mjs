/** Command-line parsing: every option has a type and a help line; method options come from the engine's own description. */
import { parseArgs } from 'node:util';

import { PeftLabError, printable } from '../engine/errors.js';

/**
 * @typedef {'string' | 'int' | 'number' | 'bool' | 'list'} Kind list: may be repeated
 * @typedef {Record<string, {kind: Kind, help: string, default?: any, min?: number, max?: number}>} Spec option name in kebab-case without dashes
 */

/** @param {string} message @returns {PeftLabError} a request error: exit code 2 */
export function usage(message) {
    return new PeftLabError('argument', message);
}

/** One line for people, beside what a program reads. @param {string} text */
export const warn = (text) => void process.stderr.write(`${printable(text)}\n`);

export const kebab = (/** @type {string} */ name) => name.replaceAll('_', '-');
export const snake = (/** @type {string} */ name) => name.replaceAll('-', '_');

/** Numbers as people write them: no hexadecimal, no empty text, which JavaScript takes for 0. */
const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;

/** @param {string} name @param {string} text @param {Spec[string]} spec @returns {any} */
function convert(name, text, { kind, min = -Infinity, max = Infinity }) {
    if (kind === 'string' || kind === 'list') return text;
    if (kind === 'bool') {
        if (text !== 'true' && text !== 'false') throw usage(`--${name} takes true or false, not "${text}"`);
        return text === 'true';
    }
    const pattern = kind === 'int' ? /^[+-]?\d+$/ : NUMBER;
    if (!pattern.test(text) || !Number.isFinite(Number(text)))
        throw usage(`--${name} takes ${kind === 'int' ? 'a whole number' : 'a number'}, not "${text}"`);
    const value = Number(text);
    if (value < min || value > max) throw usage(`--${name} ${text} is outside ${Number.isFinite(max) ? `${min}..${max}` : `${min} and more`}`);
    return value;
}

/**
 * A switch may stand alone (--merge is --merge=true), and a value may begin with a dash (--lr -1, --prompt "- one").
 * @param {string[]} argv @param {Spec} all @returns {string[]} every option joined with its value
 */
function join(argv, all) {
    const joined = [];
    for (let i = 0; i < argv.length; i++) {
        const name = /^--([a-z0-9-]+)$/.exec(argv[i])?.[1];
        const kind = name && Object.hasOwn(all, name) ? all[name].kind : undefined;
        const next = argv[i + 1];
        if (kind === 'bool' && !/^(true|false)$/.test(next ?? '')) joined.push(`${argv[i]}=true`);
        else if (kind && next !== undefined && !(next.startsWith('--') && Object.hasOwn(all, next.slice(2).split('=')[0])))
            joined.push(`${argv[i]}=${argv[++i]}`);
        else joined.push(argv[i]);
    }
    return joined;
}

/** What transformers, peft and other trainers call our options. */
const ELSEWHERE = /** @type {Record<string, string>} */ ({
    data: 'task', dataset: 'task', file: 'task', r: 'rank', 'lora-r': 'rank', 'lora-alpha': 'alpha',
    'lora-dropout': 'dropout', 'lora-target-modules': 'target-modules',
    'learning-rate': 'lr', 'max-steps': 'steps', 'per-device-train-batch-size': 'batch-size',
    'lr-scheduler-type': 'schedule', 'output-dir': 'out', output: 'out',
    'model-name-or-path': 'model', 'max-seq-length': 'max-length', epochs: 'steps', 'num-train-epochs': 'steps',
    threads: 'workers', 'init-lora-weights': 'init',
});

/**
 * Letters to change, add, leave out or swap with their neighbour to get from a to b (optimal string alignment).
 * @param {string} a @param {string} b
 */
function distance(a, b) {
    const rows = [Array.from({ length: b.length + 1 }, (_, j) => j)];
    for (let i = 1; i <= a.length; i++) {
        rows[i] = [i];
        for (let j = 1; j <= b.length; j++) {
            const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
            rows[i][j] = Math.min(
                rows[i - 1][j] + 1,
                rows[i][j - 1] + 1,
                rows[i - 1][j - 1] + Number(a[i - 1] !== b[j - 1]),
                swapped ? rows[i - 2][j - 2] + 1 : Infinity,
            );
        }
    }
    return rows[a.length][b.length];
}

/** The word that was probably meant; empty: none is near. @param {string} tried @param {string[]} known */
export function nearest(tried, known) {
    const near = known.map((other) => ({ other, far: distance(tried, other) })).sort((a, b) => a.far - b.far)[0];
    return near && near.far <= Math.max(1, tried.length / 3) ? near.other : '';
}

/** @param {string} name @param {string[]} known */
function unknownOption(name, known) {
    const tried = kebab(name.toLowerCase());
    const meant = known.includes(ELSEWHERE[tried]) ? ELSEWHERE[tried] : nearest(tried, known);
    const all = known.map((n) => `--${n}`).join(' ');
    return `unknown option --${name}; ${meant ? `did you mean --${meant}? All options: ` : 'the options are: '}${all}`;
}

/**
 * @param {string[]} argv
 * @param {Spec} spec
 * @param {boolean} [positional] words without an option are allowed
 * @returns {{values: Record<string, any>, positionals: string[], given: Set<string>}} values by the option's kebab
 *   name; absent ones have their default
 */
export function parse(argv, spec, positional = false) {
    const all = /** @type {Spec} */ ({ ...spec, json: { kind: 'bool', help: 'print JSON on stdout' } });
    const args = join(argv, all);
    const options = Object.fromEntries(
        Object.entries(all).map(([name, { kind }]) => [
            name,
            { type: /** @type {const} */ ('string'), multiple: kind === 'list' },
        ]),
    );
    let parsed;
    try {
        parsed = parseArgs({ args, options, allowPositionals: true, strict: true });
    } catch (error) {
        const unknown = /Unknown option '--?([^']+)'/.exec(/** @type {Error} */ (error).message)?.[1];
        throw usage(
            unknown
                ? unknownOption(unknown, Object.keys(all))
                : /** @type {Error} */ (error).message
                      .split('\n')[0]
                      .replace(/Option '--?([a-z0-9-]+) <value>' argument missing/, 'give --$1 a value'),
        );
    }
    const [stray] = parsed.positionals;
    if (stray !== undefined && !positional)
        throw usage(`"${stray}" does not belong to an option; write a value behind its option, in quotes where it has spaces`);
    /** @type {Record<string, any>} */
    const values = Object.fromEntries(Object.entries(all).filter(([, o]) => o.default !== undefined).map(([name, o]) => [name, o.default]));
    for (const [name, value] of Object.entries(parsed.values)) {
        values[name] = Array.isArray(value) ? value : convert(name, String(value), all[name]);
    }
    return { values, positionals: parsed.positionals, given: new Set(Object.keys(parsed.values)) };
}

/** @param {any} description describeStatic() @returns {Spec} the options of every method; the engine checks which belong together */
export function methodSpec(description) {
    /** @type {Spec} */
    const spec = {};
    for (const { options } of description.methods) {
        for (const { name, type } of options) {
            const kind = /** @type {Kind} */ ({ int: 'number', real: 'number', bool: 'bool' }[/** @type {'int'} */ (type)] ?? 'string');
            spec[kebab(name)] ??= { kind, help: optionHelp(description, name) };
        }
    }
    spec['layers-to-transform'] = { kind: 'string', help: 'comma list of layers to adapt' };
    spec['exclude-modules'] = { kind: 'string', help: 'comma list of modules to leave out' };
    return spec;
}

/** What an option is to the methods that have it: those that say the same share a sentence. @param {any} description @param {string} name */
function optionHelp(description, name) {
    /** @type {Map<string, string[]>} sentence -> methods */
    const said = new Map();
    for (const method of description.methods) {
        const option = method.options.find((/** @type {any} */ o) => o.name === name);
        if (!option) continue;
        const standard = typeof option.default === 'object' ? '' : String(option.default);
        const sentence = `${option.help}${standard && ` (default ${standard})`}`;
        said.set(sentence, [...(said.get(sentence) ?? []), method.name]);
    }
    return [...said].map(([sentence, methods]) => `${methods.join(', ')}: ${sentence}`).join(' | ');
}

/** The method options among parsed values, as the engine takes them. @param {Record<string, any>} values @param {Spec} spec methodSpec() */
export function methodOptions(values, spec) {
    return Object.fromEntries(
        Object.keys(spec)
            .filter((name) => values[name] !== undefined)
            .map((name) => [snake(name), methodOption(name, values[name])]),
    );
}

/** @param {string} name @param {any} value as it was typed, or converted already */
function methodOption(name, value) {
    if (typeof value !== 'string') return value;
    if (name === 'layers-to-transform') return layerList(value);
    return name.endsWith('-pattern') ? parsePattern(name, value) : value;
}

/** @param {string} text "0,2" @returns {number[]} */
function layerList(text) {
    const parts = text.split(',').map((part) => part.trim());
    if (parts.every((part) => /^\d+$/.test(part))) return parts.map(Number);
    throw usage(`--layers-to-transform takes layers like 0,2, not "${text}"`);
}

/** Name and value of each; of two alike the last would win without a word. @param {[string, any][]} pairs @param {string} option */
function withoutTwins(pairs, option) {
    const twice = pairs.find(([name], i) => pairs.some(([other], k) => k < i && other === name));
    if (twice) throw usage(`--${option} gives ${twice[0]} twice`);
    return Object.fromEntries(pairs);
}

/** "q_proj=4,up_proj=16" or JSON. @param {string} name @param {string} text */
function parsePattern(name, text) {
    if (text.trim().startsWith('{')) {
        try {
            return JSON.parse(text);
        } catch {
            throw usage(`--${name} is not JSON: ${text}`);
        }
    }
    return withoutTwins(text.split(',').map((pair) => {
        const [key, value = ''] = pair.split('=').map((part) => part.trim());
        if (!key || !NUMBER.test(value)) throw usage(`--${name} looks like q_proj=4,up_proj=16, not "${text}"`);
        return [key, Number(value)];
    }), name);
}

/**
 * "prompt:num_virtual_tokens=10,init=vocab" -> a method with options. A comma or a semicolon ends an option, but
 * inside a pattern or a list a comma is part of it: lora:rank_pattern=q_proj=3,up_proj=4,alpha=8.
 * @param {string} text @param {Spec} spec methodSpec()
 */
export function parseCombine(text, spec) {
    const [method, rest = ''] = text.split(/:(.*)/s);
    const isOption = (/** @type {string} */ part) => Object.hasOwn(spec, combineName(part.split('=')[0], spec));
    /** @type {string[]} */
    const pairs = [];
    for (const part of rest.split(';').flatMap((piece) => piece.split(/,(?=[\w-]+=)/)).filter(Boolean)) {
        if (/[_-]pattern=/.test(pairs.at(-1) ?? '') && !isOption(part)) pairs.push(`${pairs.pop()},${part}`);
        else pairs.push(part);
    }
    return { method, options: withoutTwins(pairs.map((pair) => combineOption(pair, text, spec)), 'combine') };
}

/** Our option, by our name or another library's. @param {string} key @param {Spec} spec */
const combineName = (key, spec) => (Object.hasOwn(spec, ELSEWHERE[kebab(key)] ?? '') ? ELSEWHERE[kebab(key)] : kebab(key));

/** @param {string} pair "rank=4" @param {string} text that it stands in @param {Spec} spec @returns {[string, any]} */
function combineOption(pair, text, spec) {
    const [key, value] = pair.split(/=(.*)/s);
    if (value === undefined) throw usage(`--combine looks like prompt:num_virtual_tokens=10, not "${text}"`);
    const name = combineName(key, spec);
    if (name.endsWith('-pattern') || name === 'layers-to-transform') return [snake(name), methodOption(name, value)];
    const known = Object.hasOwn(spec, name); // another name is the engine's to refuse
    return [snake(name), known ? convert(`combine ${key}`, value, spec[name]) : value];
}

/** @param {string} name of the command @param {string} summary @param {Spec} spec @returns {string} help text */
export function helpText(name, summary, spec) {
    const width = Math.max(...Object.keys(spec).map((n) => n.length), 4) + 4;
    const rows = Object.entries(spec).map(
        ([n, o]) => `  ${`--${n}`.padEnd(width)}${o.help}${o.default === undefined ? '' : ` (default ${o.default})`}`,
    );
    return `peftlab ${name}: ${summary}\n\n${rows.join('\n')}\n`;
}
