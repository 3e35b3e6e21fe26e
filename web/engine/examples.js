/**
 * Examples: what one may be, and .jsonl, the format of the tasks that come with the models. The formats of a user's own files are in data.js, whose
 * reader of tables a page without such files does without.
 */
import { PeftLabError } from './errors.js';

/**
 * @typedef {{prompt?: string, completion?: string, text?: string, line: number}} Example
 * @typedef {{line: number, message: string}} Problem
 * @typedef {{examples: number, tokens: number, labelled_tokens: number, truncated: number, windows: number, duplicates: number,
 *   longest: number, fingerprint: string, skipped: Problem[]}} SplitReport what of a split's examples can be used
 */

export const DATA_LIMITS = Object.freeze({ bytes: 32 * 1024 * 1024, examples: 200_000, characters: 200_000 });

/**
 * Sorts out what cannot be used, with the line of each.
 * @param {{examples: Example[], problems: Problem[]}} parsed @param {string} name for messages
 * @returns {{examples: Example[], problems: Problem[]}} at least one example
 */
export function usable({ problems, ...parsed }, name) {
    const examples = parsed.examples.filter((example) => {
        const message = complaint(example);
        if (message) problems.push({ line: example.line, message });
        return !message;
    });
    if (examples.length > DATA_LIMITS.examples) {
        throw new PeftLabError('range', `${name} has ${examples.length} examples; at most ${DATA_LIMITS.examples} can be used.`, {
            hint: 'Use a part of it.',
        });
    }
    if (examples.length === 0) {
        const first = problems[0];
        throw new PeftLabError(
            'format',
            `${name} has no usable example${first ? `: line ${first.line}: ${first.message}` : ''}.`,
            {
                hint: 'A .jsonl line looks like {"prompt": "…", "completion": "…"} or {"text": "…"}; a .json file is an ' +
                    'array of these; a .txt file is plain text; a .csv file has the header prompt,completion or text.',
            },
        );
    }
    problems.sort((a, b) => a.line - b.line);
    return { examples, problems };
}

/** @param {Example} example @returns {string} why it cannot be used, or '' */
export function complaint(example) {
    const learned = example.text ?? example.completion ?? '';
    if (!learned.trim()) return example.text === undefined ? 'the completion is empty: there is nothing to learn' : 'the text is empty';
    if (learned.length + (example.prompt?.length ?? 0) > DATA_LIMITS.characters) return `longer than ${DATA_LIMITS.characters} characters`;
    if (/\0/.test(learned + (example.prompt ?? ''))) return 'contains a NUL character';
    return '';
}

/** @param {string} text @returns {{examples: Example[], problems: Problem[]}} */
export function parseJsonl(text) {
    /** @type {Example[]} */
    const examples = [];
    /** @type {Problem[]} */
    const problems = [];
    text.split(/\r\n|\n|\r/).forEach((row, i) => {
        const line = i + 1;
        if (!row.trim()) return;
        let value;
        try {
            value = JSON.parse(row);
        } catch (error) {
            problems.push({ line, message: `not JSON (${/** @type {Error} */ (error).message})` });
            return;
        }
        const made = fromObject(value, line);
        if (typeof made === 'string') problems.push({ line, message: made });
        else examples.push(made);
    });
    return { examples, problems };
}

/** @param {any} value @param {number} line @returns {Example | string} the example, or what is wrong */
export function fromObject(value, line) {
    if (!value || typeof value !== 'object' || Array.isArray(value)) return 'must be an object';
    const has = (/** @type {string} */ key) => Object.hasOwn(value, key);
    for (const key of ['prompt', 'completion', 'text']) {
        if (has(key) && typeof value[key] !== 'string') return `"${key}" must be a text`;
    }
    if (has('text') && !has('completion')) return { text: value.text.toWellFormed?.() ?? value.text, line };
    if (!has('completion')) return 'needs "completion" (with "prompt") or "text"';
    const clean = (/** @type {string} */ s) => s.toWellFormed?.() ?? s;
    return { prompt: clean(value.prompt ?? ''), completion: clean(value.completion), line };
}
