// Messages from a host page: only allowed origins, only known requests, answers without side effects on anything else.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { messageHandler, readOrigins } from '../../web/lib/messages.js';
import { defaults, read } from '../../web/lib/store.js';

/** A lab that records what it is asked. */
function fakeLab() {
    const calls = /** @type {string[]} */ ([]);
    return {
        calls, status: 'ready', description: null, state: defaults(),
        set(/** @type {any} */ patch) { calls.push('set'); Object.assign(this.state, read(patch).state); },
        train: async () => { calls.push('train'); },
        stop: async () => { calls.push('stop'); },
    };
}

const HOST = 'https://school.example';

test('origins: only well-formed ones are read', () => {
    assert.deepEqual(readOrigins(`${HOST}, http://localhost:8000,*,javascript:alert(1),https://a.b/path,null`), [HOST, 'http://localhost:8000']);
    assert.deepEqual(readOrigins(null), []);
});

test('a host that is not allowed gets no answer and changes nothing', () => {
    const lab = fakeLab();
    const handle = messageHandler({ lab: /** @type {any} */ (lab), allow: [HOST] });
    for (const origin of ['https://evil.example', 'null', '', `${HOST}.evil.example`])
        assert.equal(handle({ origin, data: { peft: 1, id: 1, type: 'peft:train' } }), null);
    assert.deepEqual(lab.calls, []);
});

test('known requests do what they say; others are answered with an error', () => {
    const lab = fakeLab();
    const handle = messageHandler({ lab: /** @type {any} */ (lab), allow: [HOST], now: () => 0 });
    const ask = (/** @type {object} */ data) => /** @type {any} */ (handle({ origin: HOST, data: { peft: 1, id: 7, ...data } }));
    assert.equal(ask({ type: 'peft:getState' }).state.method, 'lora');
    assert.equal(ask({ type: 'peft:set', state: { method: 'prompt', seed: 1e9, evil: '<img>' } }).state.method, 'prompt');
    assert.equal(lab.state.seed, 999_999);
    assert.ok(!('evil' in lab.state));
    assert.equal(ask({ type: 'peft:train' }).id, 7);
    assert.equal(ask({ type: 'peft:stop' }).type, 'peft:state');
    assert.deepEqual(lab.calls, ['set', 'train', 'stop']);
    assert.equal(ask({ type: 'peft:eval', code: 'alert(1)' }).type, 'peft:error');
    assert.equal(ask({ type: 'peft:set', state: 'x' }).type, 'peft:error');
});

test('malformed messages are ignored; a flood is cut off', () => {
    const lab = fakeLab();
    let time = 0;
    const handle = messageHandler({ lab: /** @type {any} */ (lab), allow: [HOST], now: () => time });
    const cyclic = /** @type {any} */ ({ peft: 1, type: 'peft:getState' });
    cyclic.self = cyclic;
    for (const data of [
        null,
        1,
        'peft:train',
        [],
        {},
        { peft: 2, id: 1, type: 'peft:train' },
        { peft: 1, type: 'peft:train' },
        { peft: 1, id: {}, type: 'peft:train' },
        cyclic,
    ])
        assert.equal(handle({ origin: HOST, data }), null);
    let answered = 0;
    for (let i = 0; i < 10_000; i++) answered += handle({ origin: HOST, data: { peft: 1, id: i, type: 'peft:getState' } }) ? 1 : 0;
    assert.equal(answered, 20);
    time = 1500;
    assert.ok(handle({ origin: HOST, data: { peft: 1, id: 1, type: 'peft:getState' } }));
});

test('without a list a host may look and not touch; the user\'s own words are not shown', () => {
    const lab = fakeLab();
    lab.state.prompt = 'my secret';
    lab.state.options = { init_text: 'another secret', num_virtual_tokens: 4 };
    const handle = messageHandler({ lab: /** @type {any} */ (lab), allow: [] });
    const seen = /** @type {any} */ (handle({ origin: HOST, data: { peft: 1, id: 1, type: 'peft:getState' } }));
    assert.equal(seen.state.method, 'lora');
    assert.ok(!JSON.stringify(seen).includes('secret'));
    for (const type of ['peft:set', 'peft:setState', 'peft:train', 'peft:stop'])
        assert.match(
            /** @type {any} */ (handle({ origin: HOST, data: { peft: 1, id: 1, type, state: {} } })).message,
            /only be read/,
        );
    assert.deepEqual(lab.calls, []);
});

test('setState begins from the defaults, set from what there is', () => {
    const lab = fakeLab();
    const handle = messageHandler({ lab: /** @type {any} */ (lab), allow: [HOST] });
    const ask = (/** @type {string} */ type, /** @type {any} */ state) => handle({ origin: HOST, data: { peft: 1, id: 1, type, state } });
    ask('peft:set', { seed: 5 });
    ask('peft:set', { steps: 7 });
    assert.deepEqual([lab.state.seed, lab.state.steps], [5, 7]);
    ask('peft:setState', { steps: 9 });
    assert.deepEqual([lab.state.seed, lab.state.steps], [1, 9]);
});
