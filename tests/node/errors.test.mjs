// What an error says is one printable line, whatever file it quotes.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { PeftLabError, printable } from '../../web/engine/errors.js';

test('line breaks, escape sequences and marks of direction are written out; every script and emoji stays', () => {
    assert.equal(printable('a\nb\r\tc'), 'a\\u000ab\\u000d\\u0009c');
    assert.equal(printable('\x1b[2J\x7f\x9b31m'), '\\u001b[2J\\u007f\\u009b31m');
    assert.equal(printable('\u2028\u2029\u202egnp.exe\u2066'), '\\u2028\\u2029\\u202egnp.exe\\u2066');
    for (const plain of ['übergröße – “naïve”', '例え', 'مثال', 'a \\ b', '👩‍🔬', '\ufffd']) assert.equal(printable(plain), plain);
});

test('message and hint of every error are printable, also of one that came from a worker or from JSON.parse', () => {
    const foreign = '\n\x1b[31m{';
    let thrown;
    try {
        JSON.parse(foreign);
    } catch (error) {
        thrown = error;
    }
    for (const error of [
        new PeftLabError('format', foreign, { hint: foreign }),
        PeftLabError.from({ code: 'format', message: foreign, hint: foreign }),
        PeftLabError.from(thrown),
    ]) {
        assert.doesNotMatch(error.message + error.hint, /\p{Cc}/u);
        assert.notEqual(error.message, '');
    }
});
