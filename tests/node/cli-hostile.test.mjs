// The command line in hostile hands: each wrong request is one sentence and exit code 2, with nothing on stdout and
// nothing written; Ctrl-C and a closed pipe end cleanly.
import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { cli } from './lib/cli.mjs';

const MODEL = fileURLToPath(new URL('../../models/stories-300k', import.meta.url));
const folder = await mkdtemp(join(tmpdir(), 'peftlab hostile ünï-'));
after(() => rm(folder, { recursive: true, force: true }));
const at = (/** @type {string} */ name) => join(folder, name);

// Every byte, twelve times; at its start what a careless message would quote: a line break and a terminal's escape sequence.
const GARBAGE = Buffer.concat([Buffer.from('\x80\n\x1b[2J\r', 'latin1'), Buffer.from(Array.from({ length: 3072 }, (_, i) => (i * 167) % 256))]);
await writeFile(at('one.jsonl'), '{"prompt":"a","completion":" b"}\n');
await writeFile(at('empty.jsonl'), '');
await writeFile(at('garbage.jsonl'), GARBAGE);
await writeFile(at('array.json'), '[]');
await writeFile(
    at('huge.json'),
    '{"vocab_size":2000000000,"hidden_size":2000000000,"intermediate_size":2,"num_hidden_layers":2,"num_attention_heads":2}',
);
await writeFile(at('report.docx'), 'PK');
await mkdir(at('folder.jsonl'));
const TRAIN = ['train', '--model', MODEL, '--steps', '2', '--batch-size', '2', '--rank', '2', '--no-metrics'];
const ONE = [...TRAIN, '--task', at('one.jsonl')];
const GENERATE = ['generate', '--model', MODEL, '--prompt', 'hi'];

/** @type {[string[], RegExp][]} */
const WRONG = [
    [[...TRAIN, '--task', at('empty.jsonl')], /no usable example/],
    [[...TRAIN, '--task', at('garbage.jsonl')], /line 1.*UTF-8/],
    [[...TRAIN, '--task', at('folder.jsonl')], /no task or data file/],
    [[...TRAIN, '--task', '/dev/zero'], /no task or data file/], [[...TRAIN, '--task', ''], /--task/],
    [[...ONE, '--seed', '-1'], /seed.*-1/], [[...ONE, '--seed', '99999999999999999999'], /seed/],
    [[...ONE, '--workers', '0'], /--workers 0/], [[...ONE, '--workers', '100000'], /--workers 100000/],
    [[...ONE, '--lr', 'NaN'], /--lr/], [[...ONE, '--lr', 'Infinity'], /--lr/], [[...ONE, '--lr', '1e999'], /--lr/],
    [[...ONE, '--lr', '-1'], /lr.*-1/], [[...ONE, '--max-length', '4294967297'], /--max-length/],
    [[...ONE, '--batch-size', '1000000000'], /batch_size/], [[...ONE, '--until', '1'], /--snapshot/],
    [[...ONE, '--snapshot-every', '0'], /--snapshot-every/],
    [[...ONE, '--snapshot', at('none/file')], /no folder/], [[...ONE, '--resume', at('nothing')], /no snapshot file/],
    [[...ONE, '--resume', folder], /no snapshot file/], [[...ONE, '--resume', at('garbage.jsonl')], /snapshot/],
    [[...ONE, '--out', at('one.jsonl')], /is a file/], [[...ONE, '--rank-pattern', '{bad'], /--rank-pattern/],
    [[...ONE, '--combine', 'prompt:x'], /--combine/], [[...ONE, 'stray'], /"stray"/],
    [['generate', '--model', MODEL, '--prompt'], /--prompt/],
    [['generate', '--model', MODEL, '--prompt', 'a'.repeat(60000)], /60001 tokens.*512/],
    [[...GENERATE, '--max-new-tokens', '-1'], /max_new_tokens/],
    [[...GENERATE, '--temperature', '-1'], /temperature/], [[...GENERATE, '--adapter', `${folder}:NaN`], /adapter folder/],
    [['logits', '--model', MODEL, '--tokens', ''], /whole numbers/], [['logits', '--model', MODEL, '--tokens', '4294967297'], /4294967297/],
    [['count', '--method', 'lora', '--rank', '-1'], /rank -1/],
    [['count', '--method', 'lora', '--shape', at('garbage.jsonl')], /not JSON/],
    [['count', '--method', 'lora', '--shape', at('huge.json')], /vocab_size/],
    [['count', '--method', 'lora', '--shape', at('array.json')], /config/],
    [['memory', '--seq', '99999999999999'], /seq/],
    [['eval', '--model', MODEL, '--task', at('one.jsonl'), '--limit', '-1'], /--limit/],
    [[...TRAIN, '--task', at('report.docx')], /\.docx files are not read.*\.txt/],
    [[...TRAIN, '--task', at('array.json')], /no usable example/],
    [[...GENERATE, '--adapter', 'pirate-lora:abc'], /weight.*"abc"/],
    [['eval', '--model', MODEL, '--task', 'pirate', '--split', 'nosuch'], /"nosuch"; it has train, validation, test/],
    [['eval', '--model', MODEL, '--taks', 'pirate'], /did you mean --task\?/],
    [['recipe', '--method', 'lora', '--rank', '-5'], /rank -5/],
    [['recipe', '--method', 'lora', '--num-virtual-tokens', '4'], /num_virtual_tokens/],
    [['recipe', '--method', 'lora', '--shape', 'nosuch'], /"nosuch"/],
    [['recipe', '--method', 'lora', '--shape', 'gpt2-small'], /gpt2-small.*--target-model/],
    [['recipe', '--method', 'lora', '--layers-to-transform', '32'], /layers_to_transform/],
    [['recipe', '--adapter', 'pirate-lora', '--rank', '4'], /--rank and --adapter/],
    [[...ONE, '--adapter', 'pirate-lora', '--merge'], /unknown option --merge/],
    [['compare', '--model', MODEL, '--task', at('one.jsonl'), '--methods', 'lora,lorra'], /"lorra"/],
    [['compare', '--model', MODEL, '--task', at('one.jsonl'), '--methods', 'lora,lora'], /lora twice/],
    [['compare', '--model', MODEL, '--task', at('one.jsonl'), '--out', at('same'), '--svg', `${folder}/./same`], /the same file/],
    [[...ONE, '--layers-to-transform='], /layers like 0,2, not ""/], [[...ONE, '--layers-to-transform', '0,x'], /layers like 0,2/],
    [[...ONE, '--rank-pattern', 'q_proj=4,q_proj=5'], /q_proj twice/], [[...ONE, '--alpha-pattern', 'q_proj='], /--alpha-pattern looks like/],
    [[...ONE, '--alpha-pattern', 'q_proj=0x10'], /--alpha-pattern looks like/],
    [[...ONE, '--combine', 'lora:rank=1.2.3'], /--combine rank takes a number/], [[...ONE, '--combine', 'lora:rank=4,r=5'], /rank twice/],
    [[...ONE, '--combine', 'lora:use_dora=yes'], /use_dora takes true or false/],
    [['merge', '--model', MODEL, '--adapter', 'pirate-lora', '--out', at('m'), '--max-shard-mb', '0'], /--max-shard-mb 0/],
    [['generate', '--model', '', '--prompt', 'hi'], /named ""/], [[...GENERATE, '--adapter', ''], /no adapter folder ""/],
    [['bench', '--rounds', '0'], /--rounds/], [['methods', 'nope'], /"nope"/], [['constructor'], /"constructor"/],
];

test('wrong requests: exit code 2, one line on stderr, nothing on stdout, nothing written', async () => {
    const before = (await readdir(folder)).sort();
    for (const [args, says] of WRONG) {
        const { code, out, err } = await cli(args);
        const call = args.join(' ').slice(0, 200);
        assert.equal(code, 2, `${call}: ${err}`);
        assert.match(err, says, call);
        assert.match(err, /^[^\p{Cc}]+\n$/u, `${call}: one line without control characters`);
        assert.equal(out, '', call);
    }
    assert.deepEqual((await readdir(folder)).sort(), before);
});

test('names with spaces and accents, one example, a dash in front of a prompt, an empty prompt', async () => {
    const out = at('dätä and möre');
    assert.equal((await cli([...ONE, '--out', out])).code, 0);
    assert.deepEqual((await readdir(out)).sort(), ['adapter_config.json', 'adapter_model.safetensors']);
    assert.match((await cli(['generate', '--model', MODEL, '--adapter', `${out}:0.5`, '--prompt', '-dash', '--max-new-tokens', '2'])).out, /^-dash/);
    assert.equal((await cli(['generate', '--model', MODEL, '--prompt', '', '--max-new-tokens', '2'])).code, 0);
});

test("fewer steps than a preset's warm-up", async () => {
    for (const method of ['lora', 'full']) {
        const { code, err } = await cli([
            'train', '--model', MODEL, '--task', 'pirate', '--method', method, '--steps', '2', '--batch-size', '2',
            '--no-metrics', '--json',
        ]);
        assert.equal(code, 0, err);
    }
});

test('Ctrl-C while training: the step is finished, the snapshot written, no half files; the run goes on from it', async () => {
    const args = [
        'train', '--model', MODEL, '--task', 'pirate', '--steps', '100000', '--batch-size', '2', '--no-metrics',
        '--json', '--out', at('never'), '--snapshot', at('stopped'),
    ];
    const { code, out, err } = await cli(args, (child, all) => { if (all.split('\n').length >= 4 && !child.killed) child.kill('SIGINT'); });
    assert.equal(code, 1);
    assert.match(err, /^peftlab: stopped at step \d+; go on with --resume .*stopped\.\n$/);
    for (const line of out.trim().split('\n')) JSON.parse(line);
    assert.ok((await stat(at('stopped'))).size > 1000);
    assert.deepEqual((await readdir(folder)).filter((name) => /never|part/.test(name)), []);
    const step = Number(/step (\d+)/.exec(err)?.[1]);
    const more = await cli([...args, '--resume', at('stopped'), '--until', String(step + 1)]);
    assert.equal(more.code, 0, more.err);
    assert.equal(JSON.parse(more.out.trim().split('\n').at(-1) ?? '').step, step + 1);
});

const onLinux = { skip: process.platform === 'linux' ? false : 'needs /proc' };
test('a place that cannot be written is refused before training, also where permissions do not tell', onLinux, async () => {
    for (const [option, place] of [['--out', '/proc/peftlab-nowhere'], ['--out', '/proc/a/b'], ['--snapshot', '/proc/peftlab-snapshot']]) {
        const { code, out, err } = await cli(['train', '--model', MODEL, '--task', 'pirate', '--steps', '100000', '--json', option, place]);
        assert.deepEqual([code, out], [2, ''], err);
        assert.match(err, /cannot be written/);
    }
    const { code, err } = await cli([
        'train', '--model', MODEL, '--task', 'pirate', '--steps', '1', '--batch-size', '2', '--no-metrics', '--out',
        at('deep/er/adapter'),
    ]);
    assert.equal(code, 0, err);
    assert.deepEqual((await readdir(folder)).filter((name) => name.startsWith('.peftlab')), []);
});

test('a reader that leaves early (| head) is no failure', async () => {
    const { code, err } = await cli(
        ['train', '--model', MODEL, '--task', 'pirate', '--steps', '100000', '--batch-size', '2', '--no-metrics', '--json'],
        (child) => child.stdout.destroy(),
    );
    assert.equal(err, '');
    assert.equal(code, 0);
});

test('a hundred thousand lines are read, a bad one among them is named', async () => {
    const lines = Array.from({ length: 100_000 }, (_, i) => (i === 70_000 ? '\x1b[2Joops' : `{"prompt":"p${i}","completion":" c"}`));
    await writeFile(at('big.jsonl'), lines.join('\n'));
    const { code, err } = await cli([...TRAIN, '--task', at('big.jsonl'), '--steps', '100000', '--json'], (child) => {
        if (!child.killed) child.kill('SIGINT');
    });
    assert.equal(code, 1);
    assert.match(err, /line 70001: not JSON/);
    assert.doesNotMatch(err, /\x1b/);
});
