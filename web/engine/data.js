/**
 * Data files -> examples: .jsonl ({"prompt","completion"} or {"text"}), .json (an array of such objects), .txt (plain text) and .csv (header
 * prompt,completion or text). Every problem is reported with its line; usable examples are kept.
 */
import Papa from 'papaparse';

import { PeftLabError } from './errors.js';
import { complaint, DATA_LIMITS, fromObject, parseJsonl, usable } from './examples.js';

export { DATA_LIMITS };

/**
 * @typedef {import('./examples.js').Example} Example
 * @typedef {import('./examples.js').Problem} Problem
 * @typedef {'jsonl' | 'json' | 'txt' | 'csv'} DataFormat
 * @typedef {{examples: Example[], problems: Problem[], format: DataFormat}} ParsedData
 */

/** @type {Record<string, DataFormat>} */
const FORMATS = { jsonl: 'jsonl', ndjson: 'jsonl', json: 'json', txt: 'txt', csv: 'csv' };

/**
 * By the name's extension; a name without one is plain text, and what another program's file looks
 * like inside is not guessed.
 * @param {string} name @returns {DataFormat}
 */
export function formatOf(name) {
    const extension = /\.([a-z0-9]+)$/i.exec(name)?.[1].toLowerCase();
    if (extension === undefined) return 'txt';
    if (Object.hasOwn(FORMATS, extension)) return FORMATS[extension];
    const known = Object.keys(FORMATS).map((one) => `.${one}`).join(', ');
    throw new PeftLabError('format', `${name}: .${extension} files are not read.`, {
        hint: `Save it as one of ${known}; plain text is .txt.`,
    });
}

/**
 * UTF-8 to text, exactly: a byte-order mark is dropped, invalid bytes are an error that says where.
 * @param {Uint8Array} bytes @param {string} name
 */
export function decodeText(bytes, name) {
    if (bytes.length > DATA_LIMITS.bytes) {
        throw new PeftLabError(
            'range',
            `${name} has ${(bytes.length / 1e6).toFixed(1)} MB; at most ${DATA_LIMITS.bytes / 1024 / 1024} MB can be used.`,
            { hint: 'Use a part of it.' },
        );
    }
    try {
        return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    } catch {
        const at = firstInvalid(bytes);
        const line = bytes.subarray(0, at).reduce((n, byte) => n + (byte === 10 ? 1 : 0), 1);
        throw new PeftLabError('format', `${name}, line ${line}: byte ${at} is not UTF-8 text.`, { hint: 'Save the file as UTF-8.' });
    }
}

/** Offset of the first byte that breaks UTF-8, by bisection over prefixes. @param {Uint8Array} bytes */
function firstInvalid(bytes) {
    let good = 0;
    let bad = bytes.length;
    while (good < bad) {
        const middle = (good + bad + 1) >> 1;
        try {
            new TextDecoder('utf-8', { fatal: true }).decode(bytes.subarray(0, middle), { stream: true });
            good = middle;
        } catch {
            bad = middle - 1;
        }
    }
    // A character cut off by the end of the file begins before it.
    while (good === bytes.length || (good > 0 && bad === bytes.length && (bytes[good] & 0xc0) === 0x80)) good--;
    return good;
}

/**
 * @param {string} text
 * @param {DataFormat} format
 * @param {string} [name] for messages
 * @returns {ParsedData}
 */
export function parseData(text, format, name = 'data') {
    return { ...usable(PARSERS[format](text), name), format };
}

/**
 * An array of objects; a text that is no single JSON value may still be .jsonl under another name. A line may hold many items, so problems name both.
 * @param {string} text @returns {{examples: Example[], problems: Problem[]}}
 */
function parseJson(text) {
    let value;
    try {
        value = JSON.parse(text);
    } catch (error) {
        if (!/^\s*\[/.test(text)) return parseJsonl(text);
        return { examples: [], problems: [{ line: 1, message: `not JSON (${/** @type {Error} */ (error).message})` }] };
    }
    const items = Array.isArray(value) ? value : [value];
    const starts = Array.isArray(value) ? itemLines(text) : [1];
    /** @type {Example[]} */
    const examples = [];
    /** @type {Problem[]} */
    const problems = [];
    items.forEach((item, i) => {
        const made = fromObject(item, starts[i]);
        const message = typeof made === 'string' ? made : complaint(made);
        if (message) problems.push({ line: starts[i], message: `item ${i + 1}: ${message}` });
        else examples.push(/** @type {Example} */ (made));
    });
    return { examples, problems };
}

/**
 * First line of every item of an array, by its depth: strings are skipped, all else is brackets, commas and line ends.
 * @param {string} text valid JSON @returns {number[]}
 */
function itemLines(text) {
    /** @type {number[]} */
    const starts = [];
    let line = 1;
    let depth = 0;
    let waiting = false; // for the first character of an item
    for (let at = 0; at < text.length; at++) {
        const c = text[at];
        if (c === '\n' || (c === '\r' && text[at + 1] !== '\n')) line++;
        if (/\s/.test(c)) continue;
        if (waiting && c !== ']') starts.push(line);
        waiting = depth === 1 && c === ',';
        if (c === '"') at = closingQuote(text, at);
        else if (c === '[' || c === '{') waiting = ++depth === 1;
        else if (c === ']' || c === '}') depth--;
    }
    return starts;
}

/** @param {string} text @param {number} from the opening quote @returns {number} the closing one */
function closingQuote(text, from) {
    let at = from + 1;
    while (text[at] !== '"') at += text[at] === '\\' ? 2 : 1;
    return at;
}

/**
 * Plain text: documents are separated by a line <|endoftext|>, as in the corpora. A document longer than an example may be is cut at line ends; that
 * loses next to nothing, because the engine cuts long texts into windows of the context's length anyway.
 * @param {string} text @returns {{examples: Example[], problems: Problem[]}}
 */
function parseTxt(text) {
    /** @type {Example[]} */
    const examples = [];
    let line = 1;
    for (const part of text.replace(/\r\n?/g, '\n').split(/^<\|endoftext\|>$/m)) {
        for (const piece of pieces(part)) {
            const lead = /^\s*/.exec(piece)?.[0] ?? '';
            if (piece.trim()) examples.push({ text: piece.trim(), line: line + lines(lead) });
            line += lines(piece);
        }
    }
    return { examples, problems: [] };
}

/** @param {string} text line breaks in it */
const lines = (text) => text.match(/\n/g)?.length ?? 0;

/**
 * The text in pieces that an example may hold, each but the last ending in a line break. A single longer line stays
 * whole (and is refused with its line).
 */
function* pieces(/** @type {string} */ text) {
    let from = 0;
    while (text.length - from > DATA_LIMITS.characters) {
        const inside = text.lastIndexOf('\n', from + DATA_LIMITS.characters - 1);
        const end = inside >= from ? inside + 1 : text.indexOf('\n', from) + 1 || text.length;
        yield text.slice(from, end);
        from = end;
    }
    yield text.slice(from);
}

/** @param {string} text @returns {{examples: Example[], problems: Problem[]}} */
function parseCsv(text) {
    const { data, errors } = Papa.parse(/** @type {string} */ (text.replace(/\r\n?/g, '\n')), {
        header: false,
        skipEmptyLines: false,
        newline: '\n',
    });
    const rows = /** @type {string[][]} */ (data);
    /** First line of every row: a quoted field may contain line breaks. @type {number[]} */
    const starts = [];
    rows.reduce((line, row) => {
        starts.push(line);
        return line + 1 + lines(row.join(''));
    }, 1);
    const fields = (rows[0] ?? []).map((name) => name.trim());
    const column = (/** @type {string} */ name) => fields.indexOf(name);
    if (column('completion') < 0 && column('text') < 0)
        return { examples: [], problems: [{ line: 1, message: 'the header must name the columns prompt,completion or text' }] };
    const twice = ['prompt', 'completion', 'text'].find((name) => column(name) !== fields.lastIndexOf(name));
    if (twice) return { examples: [], problems: [{ line: 1, message: `the header names the column ${twice} twice` }] };
    /** @type {Problem[]} */
    const problems = errors
        .filter((error) => error.code !== 'UndetectableDelimiter')
        .map((error) => ({ line: starts[error.row ?? 0] ?? starts.at(-1) ?? 1, message: error.message }));
    /** @type {Example[]} */
    const examples = [];
    rows.slice(1).forEach((row, i) => {
        const line = starts[i + 1];
        const field = (/** @type {string} */ name) => (column(name) < 0 ? '' : row[column(name)] ?? '');
        if (row.every((value) => !value)) return;
        if (row.length > fields.length) {
            problems.push({ line, message: `${row.length} fields, the header has ${fields.length}: a text with the separator in it needs quotes` });
            return;
        }
        const made = fromObject(
            column('completion') < 0 ? { text: field('text') } : { prompt: field('prompt'), completion: field('completion') },
            line,
        );
        if (typeof made === 'string') problems.push({ line, message: made });
        else examples.push(made);
    });
    return { examples, problems };
}

const PARSERS = Object.freeze({ jsonl: parseJsonl, json: parseJson, csv: parseCsv, txt: parseTxt });
