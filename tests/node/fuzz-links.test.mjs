// Permalinks from generators: a link never throws, what it sets is inside the schema, and what the page writes it reads again.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import fc from 'fast-check';

import { defaults, FIELDS, fromLink, LINK_MAX, read, toLink } from '../../web/lib/store.js';

const english = JSON.parse(readFileSync(new URL('../../web/content/texts/panels/en.json', import.meta.url), 'utf8'));
// A fixed seed keeps the suite repeatable; PEFTLAB_FUZZ_SEED looks elsewhere.
const RUNS = { seed: Number(process.env.PEFTLAB_FUZZ_SEED ?? 1), numRuns: Number(process.env.PEFTLAB_FUZZ_RUNS ?? 20_000) };
const anyText = fc.oneof(fc.string({ unit: 'binary', maxLength: 30 }), fc.string({ maxLength: 30 }));
const value = fc.oneof(
    anyText,
    fc.double().map(String),
    fc.integer().map(String),
    fc.constantFrom(
        '', '0x10', '1e999', '-0', 'NaN', 'Infinity', 'null', '../..', 'javascript:alert(1)', 'https://evil.example/',
        '<img src=x onerror=alert(1)>', 'q_proj:4', 'qqv', '__proto__', '%', '%zz', '%00',
    ),
);
const key = fc.oneof(
    anyText,
    fc.constantFrom(
        ...Object.values(FIELDS).map((field) => field.link ?? ''),
        'v', 'r', 'a', 't', 'vt', 'b', 'd', 'o.rank_pattern', 'o.__proto__', 'o.constructor', 'o.use_dora', '__proto__',
    ),
);
/** @param {[string, string][]} pairs @param {boolean} escaped */
const written = (pairs, escaped) => {
    const part = (/** @type {string} */ text) => (escaped ? encodeURIComponent(text.toWellFormed()) : text);
    return pairs.map(([k, v]) => `${part(k)}=${part(v)}`).join('&');
};
const link = fc.oneof(
    anyText.map((text) => `#${text}`),
    fc
        .array(fc.tuple(key, value), { maxLength: 8 })
        .chain((pairs) => fc.boolean().map((escaped) => `#v=1&${written(pairs, escaped)}`)),
);

/** @param {Record<string, any>} state */
function checkState(state) {
    for (const [name, v] of Object.entries(state)) {
        if (name === 'options') continue;
        const field = FIELDS[name];
        assert.ok(Object.hasOwn(FIELDS, name), name);
        if (field.kind === 'int' || field.kind === 'real') {
            assert.ok(Number.isFinite(v) && v >= (field.min ?? -Infinity) && v <= (field.max ?? Infinity), `${name} ${v}`);
            if (field.kind === 'int') assert.ok(Number.isInteger(v));
        } else if (field.kind === 'choice') assert.ok(field.choices?.includes(v), `${name} ${v}`);
        else if (field.kind === 'word') assert.match(v, /^([a-z0-9][a-z0-9._-]{0,63})?$/i);
        else if (field.kind === 'words') for (const word of v) assert.match(word, /^[a-z0-9][a-z0-9._-]{0,63}$/i);
        else assert.ok(typeof v === 'string' && v.length <= (field.max ?? Infinity));
    }
    for (const [name, v] of Object.entries(state.options ?? {})) {
        assert.match(name, /^[a-z_0-9]{1,40}$/);
        const plain =
            typeof v === 'string' ||
            typeof v === 'boolean' ||
            Number.isFinite(v) ||
            (Array.isArray(v) && v.every((x) => typeof x === 'string')) ||
            Object.values(v).every(Number.isFinite);
        assert.ok(plain, `${name}: ${JSON.stringify(v)}`);
    }
    assert.equal(Object.getPrototypeOf(state), Object.prototype);
    assert.equal(/** @type {any} */ ({}).rank, undefined);
}

test('any link: no exception, a state inside the schema, notices that have a text', () => {
    fc.assert(fc.property(link, (hash) => {
        const { state, notices } = fromLink(hash);
        checkState(state);
        for (const { key, values } of notices) {
            assert.ok(Object.hasOwn(english, key), key);
            for (const text of Object.values(values)) assert.equal(typeof text, 'string');
        }
        if (hash.length > LINK_MAX) assert.deepEqual(state, {});
    }), RUNS);
});

test('any saved or posted settings: the same', () => {
    fc.assert(
        fc.property(
            fc.dictionary(fc.oneof(anyText, fc.constantFrom(...Object.keys(FIELDS), 'options')), fc.anything(), { maxKeys: 8 }),
            (raw) => checkState(read(raw).state),
        ),
        RUNS,
    );
});

test('what a link sets, the page writes and reads again', () => {
    fc.assert(fc.property(link, (hash) => {
        const whole = (/** @type {string} */ text) => ({ ...defaults(), ...fromLink(text).state });
        const once = toLink(whole(hash));
        if (once.length > LINK_MAX) return;
        const twice = whole(once);
        assert.equal(toLink(twice), once);
        assert.deepEqual(whole(toLink(twice)), twice);
    }), RUNS);
});
