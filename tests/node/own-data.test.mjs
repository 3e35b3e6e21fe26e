// Own text through the command line: what will be learned from is said before training, and nothing is dropped without a word.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { parse, parseCombine, methodSpec } from '../../web/cli/args.mjs';
import { DATA_LIMITS, formatOf, parseData } from '../../web/engine/data.js';
import { PeftLab } from '../../web/engine/index.js';

const CLI = fileURLToPath(new URL('../../web/cli/peftlab.mjs', import.meta.url));
const MODEL = fileURLToPath(new URL('../../models/stories-300k', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'peftlab-own-data-'));
after(() => rmSync(folder, { recursive: true }));

/** @param {string} name @param {string} content @param {string[]} more @returns {Promise<{code: number, out: string, err: string}>} */
function train(name, content, ...more) {
    writeFileSync(join(folder, name), content);
    return new Promise((resolve) => {
        execFile(
            process.execPath,
            [CLI, 'train', '--model', MODEL, '--task', join(folder, name), '--steps', '1', '--no-metrics', ...more],
            (error, out, err) => resolve({ code: Number(error?.code ?? 0), out, err }),
        );
    });
}

test('a text file of 100,000 lines is cut at line ends, with every character kept', () => {
    const rows = Array.from({ length: 100_000 }, (_, i) => `Once there was a cat number ${i}.`);
    const { examples, problems } = parseData(rows.join('\n'), 'txt');
    assert.deepEqual(problems, []);
    assert.equal(examples.map((e) => e.text).join('\n'), rows.join('\n'));
    for (const { text = '', line } of examples) {
        assert.ok(text.length <= DATA_LIMITS.characters);
        assert.equal(text.split('\n')[0], rows[line - 1], `line ${line}`);
    }
});

test('one line that is too long is refused with its number, its neighbours are kept', () => {
    const { examples, problems } = parseData(`one\n${'x'.repeat(DATA_LIMITS.characters + 1)}\nthree`, 'txt');
    assert.deepEqual(problems, [{ line: 2, message: `longer than ${DATA_LIMITS.characters} characters` }]);
    assert.deepEqual(examples.map(({ text, line }) => [text, line]), [['one', 1], ['three', 3]]);
});

test('statistics come before training: examples, tokens, what the loss covers, cut and double ones', async () => {
    const { out } = await train(
        'long.jsonl',
        ['one', 'one', 'word '.repeat(3000)].map((c) => `${JSON.stringify({ prompt: 'Say it: ', completion: c })}\n`).join(''),
    );
    const [line, next] = out.split('\n');
    assert.match(line, /^data: 3 examples; \d+ tokens, the loss is on \d+; longest 512; 1 cut at the context's length; 1 duplicate$/);
    assert.match(next, /^training /);
    const json = await train('text.txt', `${'Once there was a cat. '.repeat(400)}`, '--json');
    const { data } = JSON.parse(json.out.split('\n')[0]);
    assert.ok(data.windows >= 4 && data.truncated === 0 && data.labelled_tokens > 1500, JSON.stringify(data));
});

test('an unknown option names the one that was meant', async () => {
    for (const [given, meant] of [['--data', '--task'], ['--learning_rate', '--lr'], ['--lora_alpha', '--alpha'], ['--metod', '--method']]) {
        const { code, err, out } = await train('x.txt', 'a cat', given, '1');
        assert.equal(code, 2);
        assert.equal(out, '');
        assert.match(err, new RegExp(`unknown option ${given}; did you mean ${meant}\\?`));
    }
});

test('a .json array is read like .jsonl, each problem with its item and its line; other programs\' files are refused', async () => {
    const text = '[\n {"prompt": "a [", "completion": "b \\" ],"},\n 5, {"text": "c"},\r\n\n{"prompt":\n"p", "completion": ["x"]}, {"text": " "}]';
    const { examples, problems } = parseData(text, 'json');
    assert.deepEqual(examples, [{ prompt: 'a [', completion: 'b " ],', line: 2 }, { text: 'c', line: 3 }]);
    assert.deepEqual(
        problems.map(({ line, message }) => `${line} ${message}`),
        ['3 item 2: must be an object', '5 item 4: "completion" must be a text', '6 item 5: the text is empty'],
    );
    assert.equal(parseData('{"text": "a"}\n{"text": "b"}', 'json').examples.length, 2, '.jsonl under another name');
    assert.throws(() => parseData('[{"text": "a"}', 'json'), /line 1: not JSON/);
    assert.throws(() => parseData(`["${'\\\\'.repeat(1e6)}"]`, 'json'), /item 1: must be an object/);
    assert.deepEqual(['a.JSONL', 'b.ndjson', 'c.json', 'd.txt', 'e.csv', 'f', 'g.v2/h'].map(formatOf), [
        'jsonl', 'jsonl', 'json', 'txt', 'csv', 'txt', 'txt',
    ]);
    for (const name of ['x.docx', 'x.tar.gz', 'x.constructor'])
        assert.throws(
            () => formatOf(name),
            (/** @type {any} */ error) =>
                error.code === 'format' && /are not read/.test(error.message) && /\.txt/.test(error.hint),
            name,
        );
    const { code, out, err } = await train('array.json', JSON.stringify([{ prompt: 'Cat', completion: ' arr' }, { prompt: 'Dog' }, { text: 'Cow' }]));
    assert.equal(code, 0, err);
    assert.match(out, /^data: 2 examples/);
    assert.match(err, /array\.json, line 1: item 2: needs "completion".*left out\)\n$/);
});

test('options of methods: joined help with every default, patterns in --combine, neighbours swapped', async () => {
    const session = await PeftLab.open(null, { inThread: true });
    const spec = methodSpec(await session.describeStatic());
    session.close();
    assert.match(spec['num-virtual-tokens'].help, /^prompt: .*\(default 20\) \| prefix: .*\(default 10\)$/);
    for (const method of ['lora', 'adapter', 'ia3', 'norms'])
        assert.match(spec['target-modules'].help, new RegExp(`(^|\\| )${method}: [^|]+\\(default [a-z_,]+\\)`));
    assert.deepEqual(parseCombine('lora:rank_pattern=q_proj=3,up_proj=4,alpha=8,r=2', spec), {
        method: 'lora',
        options: { rank_pattern: { q_proj: 3, up_proj: 4 }, alpha: 8, rank: 2 },
    });
    assert.deepEqual(parseCombine('lora:rank_pattern={"q_proj":3,"v_proj":5};layers_to_transform=0,1', spec).options, {
        rank_pattern: { q_proj: 3, v_proj: 5 },
        layers_to_transform: [0, 1],
    });
    assert.throws(() => parseCombine('lora:rank_pattern=q_proj', spec), /--rank-pattern looks like/);
    assert.throws(() => parse(['--taks', 'x'], { task: { kind: 'string', help: '' }, seed: { kind: 'int', help: '' } }), /did you mean --task\?/);
    assert.throws(() => parse(['--tsak', 'x'], { task: { kind: 'string', help: '' }, seed: { kind: 'int', help: '' } }), /did you mean --task\?/);
});
