// The engine against tests/golden: real transformers, peft and adapters. Logits, loss, gradients, 20 AdamW steps, merging, files.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import {
    GOLDEN, addBatch, adapterWeights, caseNames, loadCase, logitsOf, maxAbs, maxGap, modelFiles, openCore, read,
    readSafetensors, setUp, writeSafetensors,
} from './lib/golden.mjs';

/** PyTorch's own float32 run is float32_deviation away from double; another order of sums may be some times as far. */
const FACTOR = 20;

/** @param {number} gap @param {number} limit @param {string} what */
const within = (gap, limit, what) => assert.ok(gap <= limit, `${what}: off by ${gap.toExponential(2)}, limit ${limit.toExponential(2)}`);

/** @param {import('./lib/golden.mjs').Case} c @param {import('../../web/engine/core.js').Core} core */
function checkLogits(c, core) {
    const limit = FACTOR * c.json.float32_deviation.logits_max_abs + 1e-6;
    c.json.tokens.forEach((/** @type {number[]} */ _, /** @type {number} */ i) => {
        const want = /** @type {any} */ (c.tensors.get(`logits/${i}`)).data;
        within(maxGap(logitsOf(core, c, i), want), limit, `logits of sequence ${i}`);
    });
}

/** @param {any} c @param {any} core @param {import('./lib/golden.mjs').Loaded[]} modules */
function checkGradients(c, core, modules) {
    const report = core.json('pl_gradients', 'train', 0, c.json.tokens.length);
    assert.equal(report.labels, c.json.targets);
    within(Math.abs(report.loss - c.json.loss), FACTOR * c.json.float32_deviation.loss_abs + 2e-6, 'loss');
    c.json.sequence_loss_sums.forEach((/** @type {number} */ sum, /** @type {number} */ i) => {
        within(Math.abs(core.json('pl_data_loss', 'train', i, i + 1).sum - sum), 1e-6 * sum + 1e-5, `loss of sequence ${i}`);
    });
    const largest = Math.max(...[...c.tensors].filter(([key]) => key.startsWith('grad/')).map(([, t]) => maxAbs(t.data)));
    let count = 0;
    for (const key of Object.keys(c.json.trainable_tensors)) {
        const [name, ...rest] = key.split('/');
        const module = modules.find((m) => m.name === name);
        assert.ok(module, `module ${name}`);
        const want = c.tensors.get(`grad/${key}`).data;
        const got = core.gradient(module.id, module.tensor(rest.join('/')));
        within(maxGap(got, want), 2e-5 * maxAbs(want) + 1e-6 * largest, `gradient of ${key}`);
        count += got.length;
    }
    assert.equal(count, c.json.trainable);
}

/** @param {any} c @param {any} core @param {import('./lib/golden.mjs').Loaded[]} modules */
function checkTraining(c, core, modules) {
    const { lr, steps, schedule, warmup_steps, weight_decay, beta1, beta2, eps, clip_norm, lr_factors, losses, grad_norms } = c.json.training;
    const n = c.json.tokens.length;
    core.ask('pl_train_begin', [], {
        lr, steps, schedule, warmup_steps, weight_decay, beta1, beta2, eps, max_grad_norm: clip_norm, batch_size: n,
        shards: 1, split: 'train',
    });
    const dev = c.json.float32_deviation;
    const limit = FACTOR * dev.losses_max_abs + 3e-5;
    for (let step = 0; step < steps; step++) {
        const report = core.json('pl_train_step');
        assert.equal(report.step, step + 1);
        within(Math.abs(report.loss - losses[step]), limit, `loss of step ${step}`);
        within(Math.abs(report.lr - lr * lr_factors[step]), 1e-12, `learning rate of step ${step}`);
        within(Math.abs(report.grad_norm / grad_norms[step] - 1), 1e-3, `gradient norm of step ${step}`);
    }
    core.call('pl_train_end');
    const after = core.json('pl_data_loss', 'train', 0, n);
    within(Math.abs(after.sum / after.labels - losses[steps]), limit, 'loss after the run');
    for (const key of Object.keys(c.json.trainable_tensors)) {
        const [name, ...rest] = key.split('/');
        const module = /** @type {any} */ (modules.find((m) => m.name === name));
        const got = core.tensor(module.id, module.tensor(rest.join('/')));
        within(maxGap(got, c.tensors.get(`final/${key}`).data), FACTOR * dev.final_max_abs + 1e-5, `${key} after the run`);
    }
}

/** @param {any} c @param {any} core @param {import('./lib/golden.mjs').Loaded[]} modules */
function checkMerge(c, core, modules) {
    const before = c.json.tokens.map((/** @type {any} */ _, /** @type {number} */ i) => logitsOf(core, c, i));
    const base = readSafetensors(modelFiles(c.model).weights[0]);
    const want = readSafetensors(readFileSync(join(c.dir, c.json.merged.file)));
    core.ask('pl_merge_modules', [], modules.map((m) => m.id));
    const got = readSafetensors(core.exportModel('F32').weights);
    assert.deepEqual([...got.keys()].sort(), [...base.keys()].sort());
    for (const [name, { data }] of got) {
        const target = want.get(name);
        if (target) within(maxGap(data, target.data), 4e-7 * maxAbs(target.data), `merged ${name}`);
        else assert.equal(maxGap(data, /** @type {any} */ (base.get(name)).data), 0, `${name} must not change`);
    }
    checkLogits(c, core);
    core.call('pl_unmerge_modules');
    before.forEach((/** @type {Float32Array} */ logits, /** @type {number} */ i) =>
        assert.equal(maxGap(logitsOf(core, c, i), logits), 0, 'unmerging restores the logits bit for bit'),
    );
}

/**
 * PiSSA and OLoRA: what is exported is peft's own conversion to a plain LoRA (same names, shapes and configuration),
 * and does on the untouched base what the module did.
 * @param {any} c @param {any} core @param {any} module
 */
function checkPlain(c, core, module) {
    const [weights, config] = [core.bytes('pl_module_export_weights', module.id), core.bytes('pl_module_export_config', module.id)];
    if (c.json.plain) {
        const want = readSafetensors(adapterWeights(join(c.dir, c.json.plain)));
        const got = readSafetensors(weights);
        assert.deepEqual([...got].map(([key, { shape }]) => [key, shape]), [...want].map(([key, { shape }]) => [key, shape]));
        for (const [key, { data, shape }] of got) { // the trained half is peft's; the start has free signs
            const [rows, cols] = key.includes('lora_A') ? [shape[0] / 2, shape[1]] : [shape[0], shape[1] / 2];
            for (let i = 0; i < rows; i++)
                assert.deepEqual(
                    data.subarray(i * shape[1], i * shape[1] + cols),
                    want.get(key)?.data.subarray(i * shape[1], i * shape[1] + cols),
                    key,
                );
        }
        compareConfigs(
            JSON.parse(Buffer.from(config).toString()),
            JSON.parse(readFileSync(join(c.dir, c.json.plain, 'adapter_config.json'), 'utf8')),
        );
    }
    core.ask('pl_module_set', [module.id], { active: false });
    const plain = core.json('pl_module_import', 'plain', config, config.length, weights, weights.length).module;
    assert.equal(plain.options.init, 'true');
    checkLogits(c, core);
    core.call('pl_module_remove', plain.id);
    core.ask('pl_module_set', [module.id], { active: true });
}

/** Export of what was imported: the same safetensors bytes, a config that says the same. @param {any} c @param {any} core @param {any[]} modules */
function checkFiles(c, core, modules) {
    if (/^(pissa|olora)/.test(c.name)) return checkPlain(c, core, modules[0]);
    c.json.adapters.forEach((/** @type {any} */ entry, /** @type {number} */ i) => {
        const dir = join(c.dir, entry.dir);
        const bytes = core.bytes('pl_module_export_weights', modules[i].id);
        if ([...readSafetensors(adapterWeights(dir)).values()].some(({ dtype }) => dtype !== 'F32')) return; // we write F32
        assert.deepEqual([...readSafetensors(bytes).keys()], [...readSafetensors(adapterWeights(dir)).keys()], 'tensor names');
        if (c.json.encoder) {
            const [got, want] = [bytes, adapterWeights(dir)].map((file) => readSafetensors(file).get('prompt_embeddings')?.data);
            within(maxGap(/** @type {any} */ (got), /** @type {any} */ (want)), 1e-6, 'the table the projection network computes');
        } else {
            assert.deepEqual(Buffer.from(bytes), Buffer.from(adapterWeights(dir)), `${entry.dir}: the file is byte for byte the one peft wrote`);
        }
        const got = JSON.parse(Buffer.from(core.bytes('pl_module_export_config', modules[i].id)).toString());
        const want = JSON.parse(readFileSync(join(dir, 'adapter_config.json'), 'utf8'));
        compareConfigs(got, want);
    });
}

const MATTERS = [
    'peft_type', 'task_type', 'r', 'lora_alpha', 'use_dora', 'use_rslora', 'rank_pattern', 'alpha_pattern', 'bias',
    'fan_in_fan_out', 'num_virtual_tokens', 'token_dim', 'num_layers', 'num_attention_heads',
    'num_transformer_submodules', 'feedforward_modules', 'bottleneck_size', 'non_linearity', 'scaling',
    'use_parallel_adapter', 'model_type', 'model_class', 'hidden_size', 'name', 'config',
];

/** AdapterHub's options of layers nobody asked for (parameterised hypercomplex ones); absent means the default. @param {any} config */
const withoutDefaults = (config) =>
    Object.fromEntries(
        Object.entries(config).filter(([key]) => !/phm_|_phm|factorized|hypercomplex|_seed$/.test(key) || key === 'phm_layer'),
    );

/** 40 / 7 and 40 / 8 both mean 5 units. @param {any} file @param {any} config */
const sameWidth = (file, config) => ({ ...config, reduction_factor: Math.floor(file.hidden_size / config.reduction_factor) });

/** @param {any} got @param {any} want */
function compareConfigs(got, want) {
    for (const key of MATTERS) {
        if (!(key in want)) continue;
        const sorted = (/** @type {any} */ v) => (Array.isArray(v) ? [...v].sort() : v);
        if (key === 'config') assert.deepEqual(sameWidth(got, got.config), sameWidth(want, withoutDefaults(want.config)));
        else assert.deepEqual(sorted(got[key]), sorted(want[key]), `adapter_config.json: ${key}`);
    }
}

for (const name of caseNames((row) => row.method !== 'combine')) {
    test(`golden ${name}`, async (t) => {
        const c = loadCase(name);
        const core = await openCore();
        const modules = setUp(core, c);
        await t.test('logits', () => checkLogits(c, core));
        if (c.json.greedy) {
            await t.test('greedy decoding', () => {
                core.generateBegin(Int32Array.from(c.json.greedy.prompt), { max_new_tokens: 12, temperature: 0, stop_at_eos: false });
                assert.deepEqual(c.json.greedy.tokens.map(() => core.generateNext()), c.json.greedy.tokens);
            });
        }
        if (c.json.adapters.length) await t.test('files', () => checkFiles(c, core, modules));
        if (c.json.merged) await t.test('merge', () => checkMerge(c, core, modules));
        if (c.json.trainable) {
            addBatch(core, c, 'train');
            await t.test('gradients', () => checkGradients(c, core, modules));
            await t.test('20 steps of AdamW', () => checkTraining(c, core, modules));
        }
        core.free();
    });
}

test('the reduction_factor of a bottleneck file means its width to AdapterHub', async () => {
    const core = await openCore();
    core.loadModel(modelFiles(join(GOLDEN, 'models/gqa-odd')));
    for (let width = 1; width <= 90; width++) {
        const { id } = core.ask('pl_module_add', [], { method: 'adapter', name: 'm', options: { variant: 'pfeiffer', bottleneck_size: width } });
        const { config, hidden_size } = JSON.parse(Buffer.from(core.bytes('pl_module_export_config', id)).toString());
        const factor = config.reduction_factor;
        assert.equal(Math.round((hidden_size - (hidden_size % factor)) / factor), width, `int(${hidden_size} // ${factor})`); // Python's float //
        core.call('pl_module_remove', id);
    }
    core.free();
});

test('keys of memory dumps and of files without prefix mean the same tensors', async () => {
    const core = await openCore();
    const c = loadCase('lora-qv-mha-tied');
    const config = read(join(c.dir, 'adapter/adapter_config.json'));
    const tensors = [...readSafetensors(adapterWeights(join(c.dir, 'adapter')))];
    core.loadModel(modelFiles(c.model));
    /** @type {((key: string) => string)[]} */
    const spellings = [
        (key) => key,
        (key) => key.replace('base_model.model.', ''),
        (key) => key.replace('.weight', '.default.weight'),
        (key) => key.replace('base_model.model.model.', ''),
    ];
    for (const spell of spellings) {
        const bytes = writeSafetensors(new Map(tensors.map(([key, tensor]) => [spell(key), tensor])));
        const { module } = core.json('pl_module_import', 'x', config, config.length, bytes, bytes.length);
        checkLogits(c, core);
        core.call('pl_module_remove', module.id);
    }
    core.free();
});
