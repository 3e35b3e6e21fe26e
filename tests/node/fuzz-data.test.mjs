// Data files from generators: whatever the bytes, parsing gives examples inside the schema or a PeftLabError, and what
// was written as data comes back.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import fc from 'fast-check';

import { DATA_LIMITS, decodeText, formatOf, parseData, PeftLabError } from '../../web/engine/index.js';

// A fixed seed keeps the suite repeatable; PEFTLAB_FUZZ_SEED looks elsewhere.
const RUNS = { seed: Number(process.env.PEFTLAB_FUZZ_SEED ?? 1), numRuns: Number(process.env.PEFTLAB_FUZZ_RUNS ?? 1500) };
/** Text as people and attackers write it: any code unit, line ends, quotes, separators, byte-order marks. */
const piece = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.string({ unit: 'grapheme' }),
    fc.constantFrom(
        '\n', '\r\n', '\r', '"', ',', ';', '\0', '\ufeff', '\ud800', '{', '}', '__proto__', '=1+1', '<script>',
        '<|endoftext|>',
    ),
);
const anyText = fc.array(piece, { maxLength: 12 }).map((parts) => parts.join(''));
const keys = fc.constantFrom('prompt', 'completion', 'text', '__proto__', 'constructor', 'toString', 'other');
const row = fc.oneof(
    fc.json(), anyText,
    fc
        .array(fc.tuple(keys, fc.oneof(anyText, fc.jsonValue())), { maxLength: 4 })
        .map((pairs) => `{${pairs.map(([k, v]) => `${JSON.stringify(k)}:${JSON.stringify(v)}`).join(',')}}`),
);
/** @typedef {import('../../web/engine/data.js').DataFormat} DataFormat */
const format = /** @type {fc.Arbitrary<DataFormat>} */ (fc.constantFrom('jsonl', 'json', 'txt', 'csv'));

/** @param {string} text @param {DataFormat} kind */
function checkParse(text, kind) {
    let parsed;
    try {
        parsed = parseData(text, kind, 'file');
    } catch (error) {
        assert.ok(error instanceof PeftLabError, String(error));
        assert.ok(['format', 'range'].includes(error.code), error.code);
        assert.ok(error.message.startsWith('file'), error.message);
        return;
    }
    assert.ok(parsed.examples.length > 0);
    const lines = text.split(/\r\n|\n|\r/).length;
    for (const example of parsed.examples) {
        assert.deepEqual(Object.keys(example).filter((key) => !['prompt', 'completion', 'text', 'line'].includes(key)), []);
        const learned = /** @type {string} */ (example.text ?? example.completion);
        assert.ok(typeof learned === 'string' && learned.trim() && !learned.includes('\0'));
        assert.equal(example.text === undefined, typeof example.prompt === 'string');
        assert.ok(learned.length + (example.prompt?.length ?? 0) <= DATA_LIMITS.characters);
        assert.ok(Number.isInteger(example.line) && example.line >= 1 && example.line <= lines, `line ${example.line} of ${lines}`);
    }
    for (const { line, message } of parsed.problems)
        assert.ok(Number.isInteger(line) && line >= 1 && line <= lines && message, `line ${line} of ${lines}: ${message}`);
    assert.deepEqual(parsed.problems.map((p) => p.line), parsed.problems.map((p) => p.line).sort((a, b) => a - b));
    assert.equal(/** @type {any} */ ({}).polluted, undefined);
}

test('any text in any format: examples inside the schema, or a PeftLabError', () => {
    fc.assert(fc.property(fc.array(row, { maxLength: 8 }), format, (rows, kind) => checkParse(rows.join('\n'), kind)), RUNS);
    fc.assert(fc.property(anyText, format, (text, kind) => checkParse(text, kind)), RUNS);
    fc.assert(fc.property(anyText, (text) => checkParse(`prompt,completion\n${text}`, 'csv')), RUNS);
    fc.assert(
        fc.property(fc.array(row, { maxLength: 6 }), fc.constantFrom(',', ',\n', '\n,'), (rows, comma) =>
            checkParse(`[${rows.join(comma)}]`, 'json'),
        ),
        RUNS,
    );
});

test('any bytes: text, or a PeftLabError that names a line of the file', () => {
    fc.assert(fc.property(fc.oneof(fc.uint8Array({ maxLength: 60 }), anyText.map((text) => new TextEncoder().encode(text))), (bytes) => {
        try {
            assert.equal(typeof decodeText(bytes, 'file'), 'string');
        } catch (error) {
            assert.ok(error instanceof PeftLabError && error.code === 'format', String(error));
            const [, line, at] = /line (\d+): byte (\d+)/.exec(error.message)?.map(Number) ?? [];
            assert.ok(at < bytes.length && line >= 1, error.message);
            assert.doesNotThrow(() => new TextDecoder('utf-8', { fatal: true }).decode(bytes.subarray(0, at), { stream: true }));
        }
    }), RUNS);
});

test('examples written as .jsonl and as .csv come back', () => {
    const usable = fc.string({ unit: 'grapheme', maxLength: 40 }).filter((text) => text.trim() !== '' && !/[\0\r\ufeff]/.test(text));
    const examples = fc.array(
        fc.record({
            prompt: fc.string({ unit: 'grapheme', maxLength: 40 }).filter((text) => !/[\0\r\ufeff]/.test(text)),
            completion: usable,
        }),
        { minLength: 1, maxLength: 6 },
    );
    const strip = (/** @type {any[]} */ list) => list.map(({ prompt, completion }) => ({ prompt, completion }));
    fc.assert(fc.property(examples, (list) => {
        const wanted = strip(list);
        assert.deepEqual(strip(parseData(list.map((e) => JSON.stringify(e)).join('\n'), 'jsonl').examples), wanted);
        const array = parseData(JSON.stringify(list, null, 1), 'json').examples;
        assert.deepEqual(strip(array), wanted);
        assert.deepEqual(array.map(({ line }) => line), wanted.map((_, i) => 2 + 4 * i), 'an object takes four lines');
        const quoted = (/** @type {string} */ text) => `"${text.replaceAll('"', '""')}"`;
        assert.deepEqual(
            strip(
                parseData(
                    `prompt,completion\n${list.map((e) => `${quoted(e.prompt)},${quoted(e.completion)}`).join('\n')}`,
                    'csv',
                ).examples,
            ),
            wanted,
        );
    }), RUNS);
});

test('any file name has a format, unless its extension is one that is not read', () => {
    fc.assert(fc.property(anyText, (name) => assert.ok(['jsonl', 'json', 'txt', 'csv'].includes(formatOf(name.replaceAll('.', ''))))), RUNS);
    fc.assert(
        fc.property(anyText, fc.constantFrom('jsonl', 'ndjson', 'json', 'txt', 'csv'), (name, extension) =>
            assert.ok(extension.endsWith(formatOf(`${name}.${extension}`)) || extension === 'ndjson'),
        ),
        RUNS,
    );
    fc.assert(fc.property(anyText, fc.string({ unit: fc.constantFrom(...'abcXYZ019'), minLength: 1, maxLength: 6 }), (name, extension) => {
        assert.throws(
            () => formatOf(`${name}.${extension}`),
            (/** @type {any} */ error) =>
                error instanceof PeftLabError &&
                error.code === 'format' &&
                error.message.includes(`.${extension.toLowerCase()} `),
        );
    }), RUNS);
});
