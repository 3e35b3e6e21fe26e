// What the command line writes and reads: a used folder, adapters with more in them than is used, options beside a snapshot, a reader that leaves.
import assert from 'node:assert/strict';
import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { findModel, findTask } from '../../web/cli/context.mjs';
import { writeFolder } from '../../web/cli/output.mjs';
import { cli } from './lib/cli.mjs';

const MODEL = fileURLToPath(new URL('../../models/stories-300k', import.meta.url));
const folder = await mkdtemp(join(tmpdir(), 'peftlab-files-'));
after(() => rm(folder, { recursive: true, force: true }));
const at = (/** @type {string[]} */ ...names) => join(folder, ...names);

/** A command that must succeed. @param {...string} args @returns {Promise<{out: string, err: string}>} */
async function done(...args) {
    const { code, out, err } = await cli(args);
    assert.equal(code, 0, `${args.join(' ')}: ${err}`);
    return { out, err };
}

await writeFile(
    at('data.jsonl'),
    Array.from({ length: 30 }, (_, i) => JSON.stringify({ prompt: `Cat ${i} says`, completion: ' arr, me hearty.' })).join('\n'),
);
const TRAIN = ['train', '--model', MODEL, '--task', at('data.jsonl'), '--batch-size', '2', '--no-metrics'];

/** Every path below a folder, with what is in it. @param {string} dir @returns {Promise<string[]>} */
const tree = async (dir) => (await readdir(dir, { recursive: true })).sort();
/** @param {string[]} names files to write, each with its name in it */
const files = (...names) => Object.fromEntries(names.map((name) => [name, new TextEncoder().encode(name)]));

test('a used folder: what was written last is all that a reader finds, and what is not ours stays', async () => {
    const dir = at('used');
    const SHARDS = ['config.json', 'model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors', 'model.safetensors.index.json'];
    await writeFolder(dir, files('config.json', 'model.safetensors', 'tokenizer.json', 'generation_config.json'));
    await writeFile(join(dir, 'model-notes.safetensors'), 'mine');
    await writeFolder(dir, files(...SHARDS));
    assert.deepEqual(await tree(dir), [...SHARDS, 'model-notes.safetensors'].sort());
    await writeFolder(dir, files('config.json', 'model.safetensors'));
    assert.deepEqual(await tree(dir), ['config.json', 'model-notes.safetensors', 'model.safetensors']);

    const stack = at('stack');
    const manifest = new TextEncoder().encode(JSON.stringify({ modules: [{ dir: 'lora' }, { dir: 'prompt' }] }));
    const part = (/** @type {string} */ name) => [`${name}/adapter_config.json`, `${name}/adapter_model.safetensors`];
    await writeFolder(stack, files('adapter_config.json', 'adapter_model.safetensors'));
    await writeFolder(stack, { ...files(...part('lora'), ...part('prompt')), 'peftlab.json': manifest });
    assert.deepEqual(await tree(stack), ['lora', 'peftlab.json', 'prompt', ...part('lora'), ...part('prompt')].sort());
    await writeFile(join(stack, 'prompt', 'notes.txt'), 'mine');
    await writeFolder(stack, files('adapter_config.json', 'adapter.safetensors'));
    assert.deepEqual(await tree(stack), ['adapter.safetensors', 'adapter_config.json', 'prompt', 'prompt/notes.txt']);
    await writeFolder(stack, files('adapter_config.json', 'adapter_model.safetensors'));
    assert.deepEqual(await tree(stack), ['adapter_config.json', 'adapter_model.safetensors', 'prompt', 'prompt/notes.txt']);
});

test('a model beside a new adapter may be the base: it stays; a manifest that points outside its folder removes nothing there', async () => {
    const dir = at('base');
    await writeFolder(dir, files('config.json', 'model.safetensors'));
    await writeFolder(dir, files('adapter_config.json', 'adapter_model.safetensors'));
    assert.equal(await readFile(join(dir, 'model.safetensors'), 'utf8'), 'model.safetensors');
    await mkdir(join(dir, 'inside'));
    await writeFile(join(dir, 'inside', 'peftlab.json'), '{"modules":[{"dir":".."}]}');
    await writeFolder(join(dir, 'inside'), files('adapter_config.json', 'adapter.safetensors'));
    assert.deepEqual(await tree(join(dir, 'inside')), ['adapter.safetensors', 'adapter_config.json']);
    assert.ok((await readdir(dir)).includes('adapter_config.json'));
});

test('two commands at once may make the same new folder', async () => {
    const dir = at('shared/new');
    await Promise.all(['a.txt', 'b.txt'].map((name) => writeFolder(dir, { [name]: new TextEncoder().encode(name) })));
    assert.deepEqual(await tree(dir), ['a.txt', 'b.txt']);
});

test('joint, then single, then on top of a frozen one: the last is what is read, a diverged run says so, an input is never replaced', async () => {
    const [a, b] = [at('a'), at('b')];
    await done(...TRAIN, '--steps', '2', '--combine', 'lora:rank_pattern={"q_proj":3}', '--out', a);
    await done(...TRAIN, '--steps', '2', '--rank', '4', '--out', a);
    assert.deepEqual(await tree(a), ['adapter_config.json', 'adapter_model.safetensors']);
    const { err, out } = await done(...TRAIN, '--steps', '12', '--lr', '50', '--adapter', a, '--out', b, '--json');
    assert.match(JSON.parse(out.trim().split('\n').at(-1) ?? '').warning, /last training loss, [\d.]+, is above 6\.931/);
    assert.match(err, new RegExp(`${b} holds only what was trained now, on top of the frozen ${a}`));
    assert.match(err, /last training loss, [\d.]+, is above 6\.931, .* 1,024 tokens .*--lr, or more --steps\n/);
    assert.equal((await done(...TRAIN, '--steps', '12', '--out', b)).err, '');
    const before = await readFile(join(a, 'adapter_model.safetensors'));
    const deeper = await cli(['generate', '--model', 'stories-1m', '--adapter', a, '--prompt', 'x']); // its last layer has nothing in the file
    assert.deepEqual([deeper.code, deeper.out], [2, '']);
    assert.match(deeper.err, /another model/);
    const refused = await cli([...TRAIN, '--steps', '1', '--adapter', `${a}:0.5`, '--out', a]);
    assert.deepEqual([refused.code, refused.out], [2, '']);
    assert.match(refused.err, /would replace the adapter .*another folder\n$/);
    assert.deepEqual(await readFile(join(a, 'adapter_model.safetensors')), before);
});

test('a model trained together with others: what merges is in it, what does not lies beside it; measured again it is the same', async () => {
    const [whole, beside] = [at('whole'), at('beside')];
    const rate = ['--steps', '3', '--lr', '1e-3', '--json'];
    const last = (/** @type {string} */ out) => JSON.parse(out.trim().split('\n').at(-1) ?? '');
    /** Held-out loss of what was written. @param {...string} args */
    const measured = async (...args) => JSON.parse((await done('eval', ...args, '--task', at('held.jsonl'), '--json')).out).loss;
    const lines = (await readFile(at('data.jsonl'), 'utf8')).split('\n');
    await writeFile(at('held.jsonl'), lines.filter((_, i) => i % 10 === 9).join('\n')); // what training holds out
    const merged = await done(...TRAIN, ...rate, '--method', 'full', '--combine', 'lora:rank=4', '--out', whole);
    assert.ok(!(await tree(whole)).some((name) => /adapter|peftlab/.test(name)));
    assert.ok(Math.abs((await measured('--model', whole)) - last(merged.out).metrics.loss) < 1e-5);
    const both = await done(...TRAIN, ...rate, '--method', 'lora', '--combine', 'full', '--combine', 'prompt:num_virtual_tokens=3', '--out', beside);
    assert.match(both.err, /cannot be merged into it, prompt: use it as --model \S+beside --adapter \S+beside\n/);
    const loss = await measured('--model', beside, '--adapter', beside);
    assert.ok(Math.abs(loss - last(both.out).metrics.loss) < 1e-5);
    assert.ok(Math.abs(loss - (await measured('--model', beside))) > 1e-3, 'the prompt matters');
});

test('examples that cannot be used are said by every command that measures', async () => {
    await writeFile(at('long.jsonl'), `{"prompt":"${'x '.repeat(1500)}","completion":" y"}\n{"prompt":"The cat","completion":" sat."}\n`);
    const says = /^\w+, line 1: the prompt alone has 3001 tokens .*\(left out\)\n/;
    assert.match((await done('eval', '--model', MODEL, '--task', at('long.jsonl'))).err, says);
    const compare = ['compare', '--model', MODEL, '--task', at('long.jsonl'), '--methods', 'lora, prompt', '--seeds', '1', '--steps', '1'];
    assert.match((await done(...compare)).err, says);
});

test('an import says what it does not use, one line each', async () => {
    const dir = at('foreign');
    await cp(fileURLToPath(new URL('../../models/adapters/pirate-lora', import.meta.url)), dir, { recursive: true });
    const config = JSON.parse(await readFile(join(dir, 'adapter_config.json'), 'utf8'));
    await writeFile(join(dir, 'adapter_config.json'), JSON.stringify({ ...config, shiny_scale: 3, 'a\nb': 1 }));
    const { err } = await done('describe', '--adapter', dir);
    assert.equal(err, `${dir}: adapter_config.json also sets shiny_scale, a\\u000ab, which is not used here\n`);
    assert.equal((await done('describe', '--adapter', 'pirate-lora')).err, '');
    assert.match((await done('combine', '--adapter', dir, '--out', at('combined'))).err, /shiny_scale/);
    await writeFile(join(dir, 'adapter_config.json'), JSON.stringify({ ...config, init_lora_weights: 'mica' }));
    assert.match((await done('describe', '--adapter', dir)).err, new RegExp(`^${dir}: .*mica.*\\n$`));
});

test('a snapshot goes on as it was begun: its own heading, every validation with its loss, and no other settings', async () => {
    const snapshot = at('run.snapshot');
    const begun = [...TRAIN, '--steps', '60', '--rank', '4', '--target-modules', 'q_proj,v_proj', '--lr', '0.003', '--eval-every', '4'];
    const first = (await done(...begun, '--until', '13', '--snapshot', snapshot)).out;
    assert.match(first, /step {5}4 {2}loss \d\.\d+ {2}validation \d/);
    assert.doesNotMatch(first, /NaN/);
    const [head] = (await done(...TRAIN, '--resume', snapshot, '--until', '14', '--snapshot', at('next'), '--json')).out
        .split('\n')
        .map((line) => line && JSON.parse(line));
    assert.deepEqual([head.steps, head.lr, head.batch_size, head.resumed_at, head.options.rank], [60, 0.003, 2, 13, 4]);
    const rest = (await done(...begun, '--resume', snapshot, '--exclude-modules', 'k_proj')).out;
    assert.match(rest, /going on at step 13 of 60\n[\s\S]*step {4}60 {2}loss \d/);
    assert.doesNotMatch(rest, /NaN/);
    const before = await tree(folder);
    for (const [name, value] of [
        ['steps', '61'],
        ['lr', '0.004'],
        ['batch-size', '3'],
        ['seed', '2'],
        ['rank', '8'],
        ['method', 'prompt'],
        ['combine', 'prompt'],
        ['exclude-modules', 'v_proj'],
        ['layers-to-transform', '0'],
    ]) {
        const { code, out, err } = await cli([...TRAIN, '--resume', snapshot, '--out', at('never'), `--${name}`, value]);
        assert.deepEqual([code, out], [2, ''], name);
        assert.match(err, new RegExp(`^peftlab: --${name} differs from the run in [^\\n]*\\n$`));
    }
    assert.deepEqual(await tree(folder), before);
});

test('a folder called as a task or a model of ours, without one in it, does not stand in the way', async () => {
    const here = process.cwd();
    await mkdir(at('work', 'pirate'), { recursive: true }); // as `--task pirate --out pirate` leaves it
    await mkdir(at('work', 'stories-300k'));
    await mkdir(at('work', 'empty'));
    process.chdir(at('work'));
    try {
        assert.equal((await findTask('pirate')).name, 'pirate');
        assert.equal(await findModel('stories-300k'), MODEL);
        await assert.rejects(findTask('empty'), /no task or data file "empty", only a folder without a task\.json/);
        await assert.rejects(findTask('nothing'), /no task or data file "nothing"/);
    } finally {
        process.chdir(here);
    }
});

test('a snapshot that is past the step to stop at: nothing is done, which is said', async () => {
    await done(...TRAIN, '--steps', '6', '--until', '4', '--snapshot', at('four'));
    const { out, err } = await done(...TRAIN, '--resume', at('four'), '--until', '4', '--snapshot', at('five'));
    assert.match(err, /^--until 4: the run in \S+ is at step 4 already; nothing is trained\n$/);
    assert.match(out, /stopped at step 4/);
    assert.match((await done(...TRAIN, '--resume', at('four'), '--until', '5', '--snapshot', at('five'))).out, /stopped at step 5/);
});

test('a reader that leaves early does not cost the files that were asked for', async () => {
    const { code, err } = await cli([...TRAIN, '--steps', '30', '--json', '--out', at('piped')], (child) => child.stdout.destroy());
    assert.deepEqual([code, err], [0, '']);
    assert.deepEqual(await tree(at('piped')), ['adapter_config.json', 'adapter_model.safetensors']);
});

test('a data file: every tenth example is held out of training, all are measured on', async () => {
    const count = (/** @type {import('../../web/engine/tasks.js').Task} */ task) =>
        Object.entries(task.splits).map(([split, { length }]) => [split, length]);
    assert.deepEqual(count(await findTask(at('data.jsonl'))), [['train', 27], ['validation', 3]]);
    assert.deepEqual(count(await findTask(at('data.jsonl'), { measuring: true })), [['test', 30]]);
    assert.match((await done('eval', '--model', MODEL, '--task', at('data.jsonl'))).out, /\(test\)\n$/);
});

test('combine: an option that the type ignores is refused; the double scaling of peft up to 0.20', async () => {
    // rank 8, alpha 16
    const mix = (/** @type {string[]} */ ...more) => ['combine', '--model', MODEL, '--adapter', at('b'), '--out', at('mixed'), ...more];
    const error = async (/** @type {string[]} */ ...more) => JSON.parse((await done(...mix('--type', 'svd', '--json', ...more))).out).relative_error;
    assert.ok(await error() < 1e-5);
    assert.ok(Math.abs(await error('--compat-double') - 1) < 1e-5, 'alpha / r = 2 once more: twice the change, as far from it as it is long');
    for (const [type, name, value] of [
        ['cat', 'density', '0.3'], ['cat', 'svd-rank', '3'], ['linear', 'majority-sign-method', 'total'], ['ties', 'seed', '1'],
        ['linear', 'compat-double', 'true'],
    ]) {
        const { code, err } = await cli(mix('--type', type, `--${name}`, value));
        assert.equal(code, 2, err);
        assert.match(err, new RegExp(`--${name} means nothing to --type ${type}; it belongs to `));
    }
    assert.match((await cli(mix('--type', 'ties', '--majority-sign-method', 'vote'))).err, /total or frequency/);
});

test('compare --out: what is finished is in the file before the last run is; a whole one says so', async () => {
    const [cut, whole, svg] = [at('cut.json'), at('whole.json'), at('cut.svg')];
    const compare = ['compare', '--model', MODEL, '--task', at('data.jsonl'), '--methods', 'lora', '--steps', '2'];
    const { code } = await cli([...compare, '--seeds', '100', '--out', cut, '--svg', svg], undefined, (child, err) => {
        if (err.includes('lora seed 2:')) child.kill('SIGINT');
    });
    assert.notEqual(code, 0);
    const { complete, runs, summary } = JSON.parse(await readFile(cut, 'utf8'));
    assert.equal(complete, false);
    assert.ok(runs.length >= 3 && runs.length < 101, `base and ${runs.length - 1} runs`);
    assert.equal(summary[1].runs, runs.length - 1);
    assert.match(await readFile(svg, 'utf8'), /lora[\s\S]*<\/svg>\n$/);

    await done(...compare, '--seeds', '2', '--out', whole);
    const all = JSON.parse(await readFile(whole, 'utf8'));
    assert.deepEqual([all.complete, all.runs.length, all.runs[2].loss], [true, 3, runs[2].loss]);
});
