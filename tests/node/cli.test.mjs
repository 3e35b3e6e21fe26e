// The command line as a user types it: contracts, JSON, exit codes.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { cp, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';

const CLI = fileURLToPath(new URL('../../web/cli/peftlab.mjs', import.meta.url));
const MODEL = fileURLToPath(new URL('../../models/stories-300k', import.meta.url));
const folder = await mkdtemp(join(tmpdir(), 'peftlab-cli-'));
after(() => rm(folder, { recursive: true, force: true }));

/** @param {...string} args @returns {Promise<{code: number, out: string, err: string}>} */
function cli(...args) {
    return new Promise((resolve) => {
        execFile(process.execPath, [CLI, ...args], { maxBuffer: 64e6 }, (error, out, err) =>
            resolve({ code: error ? Number(error.code) : 0, out, err }),
        );
    });
}

/** @param {...string} args the JSON value of a command that must succeed */
async function json(...args) {
    const { code, out, err } = await cli(...args, '--json');
    assert.equal(code, 0, err);
    return JSON.parse(out);
}

const data = join(folder, 'data.jsonl');
await writeFile(data, Array.from({ length: 30 }, (_, i) => JSON.stringify({ prompt: `Cat ${i} says`, completion: ' arr, me hearty.' })).join('\n'));
const TRAIN = ['train', '--model', MODEL, '--task', data, '--steps', '6', '--batch-size', '4', '--lr', '0.01'];

test('npx may run it: git keeps it executable, also when a pull replaces it', async () => {
    const { bin } = JSON.parse(await readFile(new URL('../../package.json', import.meta.url), 'utf8'));
    for (const path of Object.values(bin)) {
        const file = new URL(`../../${path}`, import.meta.url);
        assert.equal((await stat(file)).mode & 0o111, 0o111, path);
        assert.match(await readFile(file, 'utf8'), /^#!/);
    }
});

test('help, version and the list of commands', async () => {
    assert.match((await cli()).out, /usage: peftlab COMMAND/);
    assert.match((await cli('--version')).out, /^\d+\.\d+\.\d+\n$/);
    for (const command of [
        'train', 'generate', 'count', 'memory', 'combine', 'compare', 'eval', 'merge', 'logits', 'advise', 'recipe',
        'bench', 'models', 'tasks', 'methods', 'shapes', 'describe', 'serve',
    ]) {
        const { code, out } = await cli(command, '--help');
        assert.equal(code, 0, command);
        assert.match(out, new RegExp(`peftlab ${command}`), command);
    }
    assert.equal((await cli('help', 'merge')).out, (await cli('merge', '--help')).out);
    assert.match((await cli('trian')).err, /no command "trian"\. Did you mean train\? There are train /);
    assert.doesNotMatch((await cli('help', 'xylophone')).err, /mean/);
});

test('shapes: every one that count knows, with its parameters; one it does not know is answered with their names', async () => {
    const shapes = await json('shapes');
    assert.ok(shapes.length >= 13);
    const { parameters } = shapes.find((/** @type {any} */ { name }) => name === 'llama-2-7b');
    assert.equal(parameters, 6738415616);
    const { out } = await cli('shapes');
    const { code, err } = await cli('count', '--shape', 'llama-7b', '--method', 'lora');
    assert.equal(code, 2);
    for (const { name } of shapes) {
        assert.match(out, new RegExp(`^${name} `, 'm'));
        assert.ok(err.includes(name), name);
    }
    assert.match(err, /`peftlab shapes`/);
});

test('help of train: what is used where neither the line nor a preset says it, from the engine itself', async () => {
    const { out } = await cli('train', '--help');
    for (const said of ['--batch-size .*else 8', '--lr .*else 0.001', '--schedule .*else cosine', '--max-grad-norm .*else 1', '--model .*default'])
        assert.match(out, new RegExp(said));
});

test('help of combine names every type', async () => {
    const { out } = await cli('combine', '--help');
    const families = ['ties', 'dare_linear', 'dare_ties', 'magnitude_prune'];
    const types = ['cat', 'linear', 'svd', ...families, ...families.map((family) => `${family}_svd`)];
    const said = /--type +one of ([\w, ]+), as in peft/.exec(out)?.[1].split(', ');
    assert.deepEqual(said?.sort(), types.sort());
});

test("count: the chapter's default on Llama-2-7B", async () => {
    const counted = await json('count', '--shape', 'llama-2-7b', '--method', 'lora', '--rank', '8', '--target-modules', 'q_proj,v_proj');
    assert.equal(counted.trainable, 4194304);
    assert.equal(counted.total, 6738415616);
    assert.ok(counted.file_bytes.fp32 > 16777216 && counted.file_bytes.fp32 < 16777216 + 65536);
    assert.ok(counted.assumptions.length > 0);
    assert.equal((await json('count', '--shape', join(MODEL, 'config.json'), '--method', 'full')).trainable, 312000);
});

test('memory: full fine-tuning of 7B needs 16 bytes per parameter before activations', async () => {
    const m = await json('memory', '--shape', 'llama-2-7b', '--method', 'full', '--dtype', 'f32', '--checkpointing');
    assert.equal(m.base_weights + m.gradients + m.optimizer, 16 * 6738415616);
    assert.ok(m.training > m.states);
});

test('generate: same seed, same text; JSON carries tokens', async () => {
    const args = ['generate', '--model', MODEL, '--prompt', 'Once upon a time', '--max-new-tokens', '12', '--seed', '4'];
    const [a, b] = [await json(...args), await json(...args)];
    assert.equal(a.text, b.text);
    assert.equal(a.tokens.length, 12);
    assert.ok((await cli(...args)).out.startsWith('Once upon a time'));
});

test('logits: one row per token', async () => {
    const { tokens, logits } = await json('logits', '--model', MODEL, '--tokens', '1,2,3');
    assert.deepEqual(tokens, [1, 2, 3]);
    assert.equal(logits.length, 3);
    assert.equal(logits[0].length, 1024);
});

test('train, eval, merge, combine: the adapter that comes out goes in everywhere', async () => {
    const [a, b, merged, mixed] = ['a', 'b', 'merged', 'mixed'].map((name) => join(folder, name));
    for (const [out, seed] of [[a, '1'], [b, '2']]) {
        const { code, out: text, err } = await cli(...TRAIN, '--method', 'lora', '--rank', '4', '--seed', seed, '--out', out, '--json');
        assert.equal(code, 0, err);
        const lines = text.trim().split('\n').map((line) => JSON.parse(line));
        const steps = lines.filter((line) => line.step && !('done' in line));
        assert.equal(steps.length, 6);
        for (const line of steps) assert.ok(Number.isFinite(line.loss) && Number.isFinite(line.tokens_per_s));
        assert.ok(Number.isFinite(steps[5].val_loss));
        assert.equal(lines.at(-1).done, true);
        assert.equal(lines.at(-1).adapter, out);
        assert.deepEqual((await readdir(out)).sort(), ['adapter_config.json', 'adapter_model.safetensors']);
    }
    const base = await json('eval', '--model', MODEL, '--task', data);
    const tuned = await json('eval', '--model', MODEL, '--task', data, '--adapter', a);
    assert.ok(tuned.loss < base.loss, `${base.loss} -> ${tuned.loss}`);
    const inMerged = await json('eval', '--model', MODEL, '--task', data, '--adapter', a, '--merge');
    assert.ok(Math.abs(inMerged.loss - tuned.loss) < 1e-4);
    await json('merge', '--model', MODEL, '--adapter', `${a}:0.5`, '--adapter', `${b}:0.5`, '--out', merged);
    const combined = await json('combine', '--model', MODEL, '--adapter', `${a}:0.5`, '--adapter', `${b}:0.5`, '--type', 'cat', '--out', mixed);
    assert.equal(combined.exact, true);
    const [x, y] = [
        await json('logits', '--model', merged, '--tokens', '5,6,7'),
        await json('logits', '--model', MODEL, '--adapter', mixed, '--tokens', '5,6,7'),
    ];
    const worst = Math.max(
        ...x.logits.flatMap((/** @type {number[]} */ row, /** @type {number} */ i) =>
            row.map((v, j) => Math.abs(v - y.logits[i][j])),
        ),
    );
    assert.ok(worst < 1e-4, String(worst));
});

test('train: joint LoRA + prompt gives a folder of two adapters that loads as one', async () => {
    const out = join(folder, 'joint');
    const { code, err } = await cli(...TRAIN, '--method', 'lora', '--rank', '2', '--combine', 'prompt:num_virtual_tokens=3', '--out', out, '--json');
    assert.equal(code, 0, err);
    assert.deepEqual((await readdir(out)).sort(), ['lora', 'peftlab.json', 'prompt']);
    const { modules } = await json('describe', '--model', MODEL, '--adapter', out);
    assert.deepEqual(modules.map((/** @type {any} */ m) => m.method), ['lora', 'prompt']);
});

test('train: stopped, resumed and worked on by two workers, the adapter is the same bytes', async () => {
    const weights = async (/** @type {string} */ dir) => (await readFile(join(dir, 'adapter_model.safetensors'))).toString('hex');
    const [whole, resumed, shared, snapshot] = ['whole', 'resumed', 'shared', 'run.snapshot'].map((name) => join(folder, name));
    const more = ['--method', 'lora', '--rank', '2', '--dropout', '0.1', '--shards', '2', '--no-metrics', '--json'];
    assert.equal((await cli(...TRAIN, ...more, '--out', whole)).code, 0);
    assert.equal((await cli(...TRAIN, ...more, '--until', '3', '--snapshot', snapshot)).code, 0);
    assert.equal((await cli(...TRAIN, ...more, '--resume', snapshot, '--out', resumed)).code, 0);
    assert.equal((await cli(...TRAIN, ...more, '--workers', '2', '--out', shared)).code, 0);
    assert.equal(await weights(resumed), await weights(whole));
    assert.equal(await weights(shared), await weights(whole));
});

test('train: full fine-tuning writes a model folder', async () => {
    const out = join(folder, 'full');
    const { code, err } = await cli(...TRAIN, '--method', 'full', '--steps', '2', '--out', out, '--json');
    assert.equal(code, 0, err);
    const beside = ['generation_config.json', 'special_tokens_map.json', 'tokenizer_config.json'];
    assert.deepEqual((await readdir(out)).sort(), ['config.json', 'model.safetensors', 'tokenizer.json', ...beside].sort());
    for (const name of beside)
        assert.deepEqual(
            await readFile(join(out, name)),
            await readFile(new URL(`../../models/stories-300k/${name}`, import.meta.url)),
            name,
        );
    assert.match((await cli('generate', '--model', out, '--prompt', 'The cat', '--max-new-tokens', '3')).out, /^The cat/);
});

test('compare: table, JSON and SVG', async () => {
    const svg = join(folder, 'chart.svg');
    const report = await json('compare', '--model', MODEL, '--task', data, '--methods', 'lora,ia3', '--seeds', '2', '--steps', '2', '--svg', svg);
    assert.deepEqual(report.summary.map((/** @type {any} */ s) => [s.method, s.runs]), [['base', 1], ['lora', 2], ['ia3', 2]]);
    assert.match(await readFile(svg, 'utf8'), /^<svg[\s\S]*lora[\s\S]*<\/svg>\n$/);
});

test('train --init: PiSSA starts at the base and is saved as a plain LoRA of twice the rank', async () => {
    const out = join(folder, 'pissa');
    const losses = await Promise.all([['--init', 'pissa', '--out', out], ['--init', 'olora'], []].map(async (more) => {
        const { code, out: text, err } = await cli(...TRAIN, '--method', 'lora', '--rank', '4', ...more, '--no-metrics', '--json');
        assert.equal(code, 0, err);
        return JSON.parse(text.split('\n').find((line) => line.includes('"step":1,')) ?? '{}').loss;
    }));
    assert.ok(losses[0] > 0);
    assert.deepEqual(losses, [losses[0], losses[0], losses[0]], 'before the first step all are the base');
    const config = JSON.parse(await readFile(join(out, 'adapter_config.json'), 'utf8'));
    assert.deepEqual([config.r, config.lora_alpha, config.init_lora_weights], [8, 32, true]);
    assert.match((await cli(...TRAIN, '--method', 'lora', '--init', 'orthogonal', '--rank', '3')).err, /must be even, not 3/);
});

test('advise, recipe, models, tasks, methods', async () => {
    const advice = await json('advise', '--latency', 'no', '--compute', 'limited', '--task', 'classification', '--multitask', 'no');
    assert.equal(advice.method, 'prompt');
    assert.ok(advice.why.length > 0 && typeof advice.options === 'object');
    const { scores } = (await json('tasks')).find((/** @type {any} */ task) => task.name === advice.measured.task);
    assert.deepEqual([advice.measured.task, advice.measured.base], ['mood', scores.base]);
    for (const [method, score] of Object.entries(advice.measured.scores)) assert.equal(score, scores[method]);
    assert.equal(scores[advice.measured.best], Math.max(...Object.values(advice.measured.scores)));
    const said = await Promise.all(['instruction', 'domain', 'style', 'code'].map((task) => cli('advise', '--task', task)));
    assert.equal(new Set(said.map(({ out }) => out)).size, 4, 'each kind of task is told its own numbers');
    for (const { out } of said) assert.match(out, /Measured here on [\w-]+ \(.* seeds\): .*adapter \d.*models\/tasks\/[\w-]+\/README\.md/);
    assert.equal((await json('advise', '--task', 'other')).measured, undefined);
    const { script } = await json('recipe', '--method', 'lora', '--rank', '16', '--shape', 'llama-3.1-8b');
    assert.match(script, /r=16,[\s\S]*get_peft_model/);
    for (const [init, said] of [['pissa', '"pissa"'], ['orthogonal', '"orthogonal"'], ['false', 'False']]) {
        assert.match((await json('recipe', '--method', 'lora', '--init', init)).script, new RegExp(`init_lora_weights=${said},`));
    }
    assert.doesNotMatch(script, /init_lora_weights/);
    const file = join(folder, 'my run.py');
    assert.match((await json('recipe', '--method', 'lora', '--out', file)).launch, /launch .*my run\.py'$/);
    assert.ok((await json('models')).some((/** @type {any} */ m) => m.name === 'stories-300k'));
    assert.equal((await json('tasks')).length, 5);
    const names = (await json('methods')).map((/** @type {any} */ m) => m.name);
    for (const name of ['lora', 'prompt', 'prefix', 'adapter', 'full', 'ia3', 'norms']) assert.ok(names.includes(name), name);
});

test('wrong requests: exit 2 and one sentence on stderr', async () => {
    const broken = join(folder, 'broken');
    await cp(MODEL, broken, { recursive: true });
    await writeFile(join(broken, 'model.safetensors'), 'nonsense');
    await writeFile(join(folder, 'empty.jsonl'), '');
    /** @type {[string[], RegExp][]} */
    const cases = [
        [['fly'], /no command "fly"/], [['count'], /--method/], [['count', '--method', 'lora', '--rnak', '3'], /unknown option --rnak/],
        [['count', '--method', 'lora', '--rank', 'many'], /--rank takes a number/],
        [['count', '--method', 'lora', '--rank', '4096', '--shape', 'smollm2-135m'], /rank/],
        [['count', '--method', 'lora', '--shape', 'gpt-5'], /"gpt-5"/], [['generate', '--model', '/nowhere', '--prompt', 'x'], /\/nowhere/],
        [['generate', '--model', MODEL], /--prompt/], [['generate', '--model', broken, '--prompt', 'x'], /safetensors/],
        [['logits', '--model', MODEL, '--tokens', '1,x'], /whole numbers/], [['logits', '--model', MODEL, '--tokens', '4096'], /vocabulary/],
        [['train', '--model', MODEL, '--task', 'nothing'], /no task or data file/],
        [['train', '--model', MODEL, '--task', join(folder, 'empty.jsonl')], /no usable example/],
        [['train', '--model', MODEL, '--task', data, '--method', 'lorra'], /"lorra"/], [['merge', '--model', MODEL], /^peftlab: give --adapter DIR/],
        [['merge', '--model', MODEL, '--adapter', 'pirate-lora'], /^peftlab: give --out DIR/],
        [['eval', '--model', MODEL, '--task', data, '--adapter', '/nowhere'], /adapter folder/],
    ];
    for (const [args, says] of cases) {
        const { code, out, err } = await cli(...args);
        assert.equal(code, 2, `${args.join(' ')}: ${err}`);
        assert.match(err, says);
        assert.equal(err.trim().split('\n').length, 1, err);
        assert.equal(out, '');
    }
});
