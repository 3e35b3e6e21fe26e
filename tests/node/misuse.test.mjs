// The public API in careless hands: what JavaScript would pass over, or turn into a default, is a typed error that says how the call is
// meant, and the engine lives on; calls at the same time do not mix; a callback that throws ends its own call only.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';

import { TAKES } from '../../web/engine/core.js';
import { PeftLab } from '../../web/engine/index.js';
import { codeOf, sha, STORIES, stories } from './lib/session.mjs';

/** @typedef {import('../../web/engine/session.js').Session} Session */

const FEW = [{ prompt: 'The cat', completion: ' says arr.' }, { prompt: 'A dog', completion: ' barks a lot.' }];
const TENSOR = 'model.layers.0.self_attn.q_proj.lora_A.weight';
const odd = (/** @type {unknown} */ value) => /** @type {any} */ (value);

/** @returns {Promise<{session: Session, id: number}>} with data and a LoRA */
async function ready(options = {}) {
    const session = await stories(options);
    await session.setData('train', FEW);
    return { session, id: (await session.addModule('lora', { rank: 4 })).id };
}

/** @type {[string, (s: Session, id: number) => Promise<any>, string, RegExp][]} */
const CALLS = [
    // Where a text belongs, WebAssembly would take a number for an address: these ended the engine or read anything.
    ['a number for the name of a tensor', (s, id) => s.tensor(id, odd(-1)), 'argument', /module tensor: name must be a text, not -1/],
    ['an address for it', (s, id) => s.tensor(id, odd(1024)), 'argument', /name must be a text, not 1024/],
    ['a number for what of a matrix', (s, id) => s.matrix(id, 0, 'q_proj', odd(-1)), 'argument', /what must be a text/],
    ['a number for a site', (s, id) => s.spectrum(id, 0, odd(-1)), 'argument', /site must be a text/],
    ['a number for a name', (s, id) => s.compilePrompt(id, odd(-1)), 'argument', /name must be a text/],
    ['a number for a data type', (s) => s.exportModel(odd(-1)), 'argument', /dtype must be a text/],
    ['a number for a split', (s) => s.dropData(odd(-1)), 'argument', /from must be a text/],
    ['a number for the split to evaluate', (s) => s.evaluate({ split: odd(-1) }), 'argument', /split must be a text/],
    ['a text for an id', (s) => s.removeModule(odd('default')), 'argument', /id must be a whole number, not the text "default"/],
    ['half an id', (s) => s.merge([1.5]), 'argument', /id 0/],
    ['a name that ends early', (s, id) => s.tensor(id, `${TENSOR}\0x`), 'argument', /NUL/],
    // What was passed over without a word.
    ['an id to merge instead of a list', (s) => s.merge(odd(99)), 'format', /list of module ids/],
    ['tokens without their name', (s) => s.logits(odd([1, 2, 3])), 'argument', /meant as logits\(\{tokens: \[1, 2\]\}\)/],
    ['logits of a prompt', (s) => s.logits(odd({ prompt: 'a' })), 'argument', /\{tokens\} or \{text\}/],
    ['a text that is a number', (s) => s.logits({ text: odd(5) }), 'argument', /must be a text in quotes, not 5/],
    ['a prompt without its name', (s) => s.generate(odd('The cat')), 'argument', /generate\(\{prompt: '…', seed: 1\}\).*not the text "The cat"/],
    ['nothing to generate from', (s) => s.generate(odd(undefined)), 'argument', /generate\(\{prompt/],
    ['a number of steps alone', (s) => s.train(odd(100)), 'argument', /train\(\{steps: 50/],
    ['a length alone', (s) => s.setData('train', FEW, odd(128)), 'argument', /setData\(split, examples, \{maxLength\}\).*not 128/],
    ['a learning rate that is no number', (s) => s.train({ steps: 1, lr: NaN }), 'range', /lr must be a finite number, not NaN/],
    ['a rank that is no number', (s) => s.addModule('lora', { rank: NaN }), 'range', /rank must be a finite number/],
    ['a misspelt seed', (s) => s.addModule('lora', {}, odd({ sed: 3 })), 'argument', /"sed".*method, name, seed, trainable, options/],
    ['a misspelt switch', (s, id) => s.setModule(id, odd({ activ: false })), 'argument', /"activ".*active, weight, trainable/],
    ['another id among the changes', (s, id) => s.setModule(id, odd({ id: 2, active: false })), 'argument', /"id" is unknown/],
    ['a misspelt density', (s, id) => s.mix({ type: 'cat', modules: [{ id, weight: 1 }], desnity: 0.3 }), 'argument', /"desnity"/],
    ['a misspelt weight', (s, id) => s.mix({ type: 'cat', modules: [odd({ id, wieght: 0.1 })] }), 'argument', /"wieght".*id, weight/],
    ['a type that is no text', (s, id) => s.mix({ type: odd(5), modules: [{ id, weight: 1 }] }), 'format', /type must be a text/],
    ['a name that is no text', (s) => s.addModule('lora', {}, odd({ name: 5 })), 'format', /name must be a text in quotes, not 5/],
    ['a split that is no text', (s) => s.train(odd({ steps: 1, split: 5 })), 'format', /split must be a text in quotes, not 5/],
    ['a misspelt split to validate on', (s) => s.train({ steps: 1, eval_split: 'vaildation' }), 'state', /no data split "vaildation"/],
    ['nothing to validate on', (s) => s.train({ steps: 1, eval_limit: 0 }), 'range', /eval_limit must be 1 or more, not 0/],
    ['a rank beside the options', (s) => s.countFor({ shape: 'llama-2-7b', method: 'lora', rank: 4 }), 'argument', /"rank".*options/],
    ['a misspelt length', (s) => s.memoryFor({ shape: 'llama-2-7b', method: 'lora', sequence: 4 }), 'argument', /"sequence".*seq/],
    ['misspelt options of a stack', (s) => s.countFor({ methods: [{ method: 'lora', optons: {} }] }), 'argument', /"optons"/],
    ['a misspelt question', (s) => s.advise({ latncy: 'no' }), 'argument', /"latncy".*latency, compute, task, multitask/],
    ['a misspelt answer of the run', (s) => s.coach({ history: [], stps: 4 }), 'argument', /"stps"/],
    ['a misspelt split', (s) => s.evaluate(odd({ splt: 'train' })), 'argument', /evaluate: "splt" is unknown; there are split/],
    ['a misspelt end', (s) => s.resume(odd({ untill: 3 })), 'argument', /resume: "untill" is unknown/],
    // What was a TypeError, or a fault of ours by its code.
    ['a BigInt', (s) => s.addModule('lora', { rank: 4n }), 'argument', /JSON/],
    ['no snapshot', (s) => s.restore(odd(null)), 'argument', /snapshot must be bytes/],
    ['no model files', (s) => s.loadModel(odd(null)), 'argument', /config\.json must be bytes/],
    ['no tokens', (s) => s.decode(odd(null)), 'argument', /tokens must be a list/],
    ['tokens that are texts', (s) => s.logits({ tokens: odd(['1']) }), 'argument', /tokens must be a list of token ids/],
    ['a signal that is none', (s) => s.generate({ prompt: 'a', signal: odd(true) }), 'argument', /AbortSignal/],
    ['a callback that is none', (s) => s.train({ steps: 1, onStep: odd(true) }), 'argument', /onStep must be a function/],
    ['a limit that is none', (s) => s.evaluate({ split: 'train', limit: odd({}) }), 'range', /limit must be 1 or more/],
    ['a file that is a text', (s) => s.importAdapter(odd({ 'adapter_config.json': '{}' })), 'argument', /adapter_config\.json must be a Uint8Array/],
    ['a list that holds no files', (s) => s.importAdapter(odd([null])), 'argument', /holds files/],
];

for (const [where, inThread] of /** @type {[string, boolean][]} */ ([['this thread', true], ['a worker', false]])) {
    test(`careless calls, engine in ${where}: a typed error that says how; the engine and what it holds stay`, async () => {
        const { session, id } = await ready({ inThread });
        const look = async () => [sha((await session.logits({ tokens: [1, 2, 3] })).logits), JSON.stringify((await session.describe()).modules)];
        const before = await look();
        for (const [name, call, code, says] of CALLS) {
            let made;
            assert.doesNotThrow(() => { made = call(session, id); made.catch(() => {}); }, `${name}: rejects, never throws`);
            await assert.rejects(/** @type {any} */ (made), (/** @type {any} */ error) => {
                // What cannot be sent to a worker is refused on the way.
                assert.equal(error.code, code, `${name}: ${error.code} ${error.message}`);
                if (!/cannot be sent/.test(error.message)) assert.match(error.message, says, name);
                return true;
            });
            assert.deepEqual(await look(), before, name);
        }
        session.close();
    });

    test(`two texts at once, engine in ${where}: each is the one it would be alone`, async () => {
        const session = await stories({ inThread });
        const ask = (/** @type {number} */ seed) => session.generate({ prompt: 'The cat', seed, max_new_tokens: 150, stop_at_eos: false });
        const alone = [(await ask(1)).text, (await ask(2)).text, (await ask(3)).text];
        const stop = new AbortController();
        const given = session.generate({ prompt: 'A dog', max_new_tokens: 400, stop_at_eos: false, signal: stop.signal });
        const waiting = [1, 2, 3].map(ask);
        stop.abort();
        assert.equal(await codeOf(given), 'aborted');
        assert.deepEqual((await Promise.all(waiting)).map(({ text }) => text), alone);
        session.close();
    });

    test(`two trainings at once, engine in ${where}: the second is refused, the first is not touched`, async () => {
        const { session } = await ready({ inThread });
        /** @type {number[]} */
        const steps = [];
        /** @type {Promise<string>[]} */
        const others = [];
        const options = { steps: 30, batch_size: 2, lr: 1e-3 };
        const first = session.train({
            ...options,
            onStep: ({ step }) => {
                steps.push(step);
                if (step === 2) others.push(codeOf(session.train(options)), codeOf(session.resume()));
            },
        });
        others.push(codeOf(session.train(options)));
        assert.equal((await first).step, 30);
        assert.deepEqual(await Promise.all(others), ['state', 'state', 'state']);
        assert.deepEqual(steps, Array.from({ length: 30 }, (_, i) => i + 1));

        // Given up from elsewhere: the call says so, and the next one may train.
        for (const when of ['before', 'while']) {
            const given = session.train({ ...options, steps: 100_000, onStep: () => { if (when === 'while') void session.endRun(); } });
            if (when === 'before') void session.endRun();
            await assert.rejects(given, (/** @type {any} */ error) => error.code === 'state' && /The run was ended/.test(error.message), when);
        }
        assert.equal((await session.train(options)).step, 30);
        session.close();
    });

    test(`a callback that throws, engine in ${where}: its call stops and rejects with what was thrown; the session goes on`, async () => {
        const { session } = await ready({ inThread });
        const fault = new RangeError('mine');
        const thrower = () => { throw fault; };
        for (const call of [
            () => session.train({ steps: 100_000, batch_size: 2, onStep: thrower }),
            () => session.generate({ prompt: 'a', max_new_tokens: 400, stop_at_eos: false, onToken: thrower }),
            () => session.evaluate({ split: 'train', onProgress: thrower }),
        ]) {
            await assert.rejects(call(), (/** @type {any} */ error) => {
                assert.equal(error.code, 'argument');
                assert.match(error.message, /a callback of this call failed: mine/);
                assert.equal(error.cause, fault);
                return true;
            });
        }
        assert.ok((await session.describe()).run.step > 0);
        assert.equal((await session.train({ steps: 2, batch_size: 2 })).done, true);
        session.close();
    });

    test(`after close, engine in ${where}: every call is refused, and one under way ends`, async () => {
        const { session } = await ready({ inThread });
        const open = codeOf(session.train({ steps: 100_000, batch_size: 2, onStep: () => session.close() }));
        assert.equal(await open, 'worker-lost');
        for (const call of [() => session.describe(), () => session.generate({ prompt: 'a' }), () => session.train({ steps: 1 })])
            assert.equal(await codeOf(call()), 'worker-lost');
        session.close();
    });
}

test('a program that closes no session waits for what it asked for, then ends', () => {
    const program = `
        import { PeftLab } from ${JSON.stringify(new URL('../../web/engine/index.js', import.meta.url).href)};
        const session = await PeftLab.load(${JSON.stringify(STORIES)});
        await session.addModule('lora', { rank: 2 });
        await session.setData('train', ${JSON.stringify(FEW)});
        await session.train({ steps: 4, batch_size: 2, shards: 2, workers: 2, until: 2 });
        console.log((await session.resume()).step);`;
    const { status, signal, stdout, stderr } = spawnSync(
        process.execPath, ['--input-type=module', '--eval', program], { encoding: 'utf8', timeout: 60_000 },
    );
    assert.deepEqual([status, signal, stdout], [0, null, '4\n'], stderr);
});

test('the table of what C functions take agrees with the header', async () => {
    const header = (await readFile(new URL('../../src/session/peftlab.h', import.meta.url), 'utf8')).replace(/\/\*[\s\S]*?\*\//g, '');
    const texts = new Set();
    for (const [, name, parameters] of header.matchAll(/\bpl_(\w+)\(\s*([^)]*)\)/g)) {
        const all = parameters.split(',').map((one) => one.trim().replace(/\s+/g, ' ')).slice(1);
        // A text is const char * without a length behind it.
        const isText = (/** @type {string} */ one, /** @type {number} */ i) =>
            /^const char \*/.test(one) && !/(?<!max_)length$/.test(all[i + 1] ?? '');
        const kinds = all.map((one, i) => (isText(one, i) ? '$' : /\*/.test(one) ? '*' : ''));
        const names = all.map((one) => /** @type {string[]} */ (/(\w+)$/.exec(one))[1]);
        if (kinds.includes('$')) texts.add(name);
        for (const [i, said] of (TAKES[name]?.split(' ') ?? []).entries()) assert.equal(said, `${kinds[i]}${names[i]}`, `${name}, argument ${i + 1}`);
    }
    for (const name of texts) assert.ok(TAKES[/** @type {string} */ (name)], `${name} takes a text and is not in the table`);
    for (const name of Object.keys(TAKES)) assert.match(header, new RegExp(`\\bpl_${name}\\(`));
});

test('an option object may be left out, and a wrong one never stops a model from loading into another session', async () => {
    assert.equal(await codeOf(PeftLab.load(odd({ 'config.json': '{}' }), { inThread: true })), 'argument');
    const session = await stories();
    assert.equal(await codeOf(session.loadModel(odd({}), odd(7))), 'argument');
    assert.equal(await codeOf(session.exportModel()), 'no error');
    session.close();
});
