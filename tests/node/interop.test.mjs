// The other direction of the goldens: folders that the engine writes, opened by the real transformers, peft and adapters.
// Needs Python with those packages (PEFTLAB_PYTHON, and PEFTLAB_PYTHON_ADAPTERS for bottleneck folders; see
// tests/golden/requirements*.txt); skipped without.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { EDITED, edited } from './lib/edited-folders.mjs';
import { GOLDEN, ROOT, modelFiles, openCore } from './lib/golden.mjs';

const SCRIPT = join(ROOT, 'tests/interop/interop.py');
const TOKENS = [1, 9, 61, 44, 5, 5, 30, 17, 66, 23, 8];

/** @param {string | undefined} python @param {string[]} packages */
function has(python, packages) {
    const { status, stdout } = spawnSync(python ?? 'python3', [SCRIPT, 'versions'], { encoding: 'utf8' });
    return status === 0 && packages.every((name) => JSON.parse(stdout)[name]);
}

const PYTHON = process.env.PEFTLAB_PYTHON ?? 'python3';
const PYTHON_ADAPTERS = process.env.PEFTLAB_PYTHON_ADAPTERS ?? PYTHON;

/**
 * @typedef {{name: string, shape: string, modules: {method: string, options?: any, weight?: number}[],
 *   adapterhub?: boolean, merged?: boolean, dtype?: string, edit?: (config: any) => void}} Plan
 */

const all = ['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj'];
/** @type {Plan[]} */
const PLANS = [
    ...['mha-tied', 'gqa-odd', 'headdim-gqa', 'llama3-rope'].map((shape) => ({ name: `base ${shape}`, shape, modules: [] })),
    { name: 'base stored as BF16', shape: 'gqa-odd-bf16', modules: [], dtype: 'BF16' },
    { name: 'base stored as F16', shape: 'mha-tied-f16', modules: [], dtype: 'F16' },
    { name: 'lora', shape: 'mha-tied', modules: [{ method: 'lora' }] },
    {
        name: 'lora all-linear with patterns',
        shape: 'gqa-odd',
        modules: [
            {
                method: 'lora',
                options: {
                    rank: 4,
                    target_modules: all,
                    rank_pattern: { q_proj: 2, 'layers.1.mlp.up_proj': 7 },
                    alpha_pattern: { v_proj: 3 },
                },
            },
        ],
    },
    { name: 'lora in some layers', shape: 'gqa-odd', modules: [{ method: 'lora', options: { rank: 3, layers_to_transform: [0, 2] } }] },
    { name: 'rslora', shape: 'headdim-gqa', modules: [{ method: 'lora', options: { rank: 5, alpha: 4, use_rslora: true } }] },
    { name: 'dora', shape: 'headdim-gqa', modules: [{ method: 'lora', options: { rank: 3, use_dora: true, target_modules: all } }] },
    {
        name: 'pissa with patterns',
        shape: 'gqa-odd',
        modules: [
            {
                method: 'lora',
                options: {
                    init: 'pissa',
                    rank: 4,
                    target_modules: all,
                    rank_pattern: { q_proj: 2 },
                    alpha_pattern: { v_proj: 3 },
                },
            },
        ],
    },
    {
        name: 'pissa with rslora and patterns',
        shape: 'headdim-gqa',
        modules: [
            { method: 'lora', options: { init: 'pissa', rank: 5, alpha: 4, use_rslora: true, rank_pattern: { v_proj: 3 } } },
        ],
    },
    {
        name: 'pissa with dora',
        shape: 'mha-tied',
        modules: [{ method: 'lora', options: { init: 'pissa', rank: 3, use_dora: true, target_modules: all } }],
    },
    {
        name: 'olora beside a lora',
        shape: 'mha-tied',
        modules: [
            { method: 'lora', options: { init: 'olora', rank: 3, target_modules: all } },
            { method: 'lora', options: { rank: 2 }, weight: -0.5 },
        ],
    },
    { name: 'olora merged', shape: 'gqa-odd', modules: [{ method: 'lora', options: { init: 'olora', rank: 4 } }], merged: true },
    { name: 'orthogonal', shape: 'llama3-rope', modules: [{ method: 'lora', options: { init: 'orthogonal', rank: 4 } }] },
    { name: 'lora merged', shape: 'llama3-rope', modules: [{ method: 'lora', options: { target_modules: all } }], merged: true },
    { name: 'dora merged', shape: 'gqa-odd', modules: [{ method: 'lora', options: { use_dora: true } }], merged: true },
    {
        name: 'two loras with weights',
        shape: 'mha-tied',
        modules: [
            { method: 'lora', weight: 0.7 },
            { method: 'lora', options: { rank: 2, target_modules: ['v_proj', 'down_proj'] }, weight: -0.5 },
        ],
    },
    { name: 'prompt', shape: 'mha-tied', modules: [{ method: 'prompt', options: { num_virtual_tokens: 4 } }] },
    { name: 'prefix', shape: 'gqa-odd', modules: [{ method: 'prefix', options: { num_virtual_tokens: 4 } }] },
    {
        name: 'prefix by projection',
        shape: 'headdim-gqa',
        modules: [{ method: 'prefix', options: { num_virtual_tokens: 3, prefix_projection: true } }],
    },
    { name: 'ia3', shape: 'gqa-odd', modules: [{ method: 'ia3' }] },
    { name: 'ia3 without a feed-forward map', shape: 'gqa-odd', modules: [{ method: 'ia3', options: { target_modules: 'k_proj' } }] },
    { name: 'ia3 of some layers', shape: 'gqa-odd', modules: [{ method: 'ia3', options: { target_modules: ['k_proj', 'layers.2.mlp.down_proj'] } }] },
    {
        name: 'ia3 of the maps of one layer', shape: 'gqa-odd',
        modules: [{ method: 'ia3', options: { target_modules: ['v_proj', 'down_proj'], layers_to_transform: [1] } }],
    },
    { name: 'norms', shape: 'mha-tied', modules: [{ method: 'norms' }] },
    { name: 'full', shape: 'headdim-gqa', modules: [{ method: 'full' }], merged: true },
    { name: 'lora + prompt', shape: 'gqa-odd', modules: [{ method: 'lora' }, { method: 'prompt', options: { num_virtual_tokens: 3 } }] },
    { name: 'lora + prefix', shape: 'headdim-gqa', modules: [{ method: 'lora' }, { method: 'prefix', options: { num_virtual_tokens: 2 } }] },
    ...['houlsby', 'pfeiffer', 'parallel'].flatMap((variant) => ['mha-tied', 'gqa-odd', 'llama3-rope'].map((shape) => (
        {
            name: `adapter ${variant} ${shape}`, shape,
            modules: [{ method: 'adapter', options: { variant, bottleneck_size: 6 } }], adapterhub: true,
        }))),
    ...EDITED.map(({ name, shape, method, options, edit }) => ({ name, shape, modules: [{ method, options }], edit })),
    {
        name: 'adapter with a learned scale',
        shape: 'mha-tied',
        modules: [{ method: 'adapter', options: { variant: 'parallel', bottleneck_size: 5, learned_scale: true } }],
        adapterhub: true,
    },
];

/** Trains the modules for a few steps, so that no init that does nothing hides anything. @param {any} core */
function train(core) {
    core.call('pl_data_begin', 'train', 0);
    for (let k = 0; k < 4; k++) core.addTokens('train', Int32Array.from(TOKENS, (t) => (t * (k + 1)) % 60 + 3), 1, 10);
    core.ask('pl_train_begin', [], { steps: 5, batch_size: 4, lr: 0.02, schedule: 'constant', split: 'train' });
    for (let k = 0; k < 5; k++) core.json('pl_train_step');
    core.call('pl_train_end');
}

/** Carries a plan out; -> a job for interop.py. @param {Plan} plan @param {string} dir @returns {Promise<any>} */
async function prepare(plan, dir) {
    const core = await openCore();
    core.loadModel(modelFiles(join(GOLDEN, 'models', plan.shape)));
    const modules = plan.modules.map(({ method, options = {} }, k) =>
        core.ask('pl_module_add', [], { method, options, name: `m${k}`, seed: k + 1, trainable: true }),
    );
    if (modules.length) train(core);
    modules.forEach(({ id }, k) => core.ask('pl_module_set', [id], { weight: plan.modules[k].weight ?? 1 }));
    if (plan.merged) core.ask('pl_merge_modules', [], modules.map((m) => m.id));
    mkdirSync(join(dir, 'model'), { recursive: true });
    const { config, weights } = core.exportModel(plan.dtype ?? 'F32');
    writeFileSync(join(dir, 'model/config.json'), config);
    writeFileSync(join(dir, 'model/model.safetensors'), weights);
    const adapters = plan.merged ? [] : modules.map(({ id }, k) => {
        const folder = join(dir, `adapter${k}`);
        mkdirSync(folder);
        const config = core.bytes('pl_module_export_config', id);
        writeFileSync(join(folder, 'adapter_config.json'), plan.edit ? edited(config, plan.edit) : config);
        writeFileSync(
            join(folder, plan.adapterhub ? 'adapter.safetensors' : 'adapter_model.safetensors'),
            core.bytes('pl_module_export_weights', id),
        );
        return plan.modules[k].weight === undefined ? folder : `${folder}:${plan.modules[k].weight}`;
    });
    const logits = core.logits(Int32Array.from(TOKENS));
    const vocab = logits.length / TOKENS.length;
    const expected = join(dir, 'logits.json');
    writeFileSync(
        expected,
        JSON.stringify({ tokens: TOKENS, logits: TOKENS.map((_, i) => Array.from(logits.subarray(i * vocab, (i + 1) * vocab))) }),
    );
    core.free();
    return { name: plan.name, model: join(dir, 'model'), adapters, expected, tolerance: 2e-5 };
}

/** @param {string} title @param {string} python @param {string[]} packages @param {Plan[]} plans */
function suite(title, python, packages, plans) {
    test(title, { skip: has(python, packages) ? false : `${python} has not all of ${packages.join(', ')}` }, async (t) => {
        const dir = mkdtempSync(join(tmpdir(), 'peftlab-interop-'));
        try {
            const jobs = [];
            for (const [k, plan] of plans.entries()) jobs.push(await prepare(plan, join(dir, String(k))));
            writeFileSync(join(dir, 'jobs.json'), JSON.stringify(jobs));
            const { stdout, stderr } = spawnSync(python, [SCRIPT, 'batch', join(dir, 'jobs.json')], { encoding: 'utf8', timeout: 600_000 });
            const results = new Map(stdout.split('\n').filter(Boolean).map((line) => JSON.parse(line)).map((row) => [row.name, row]));
            for (const { name } of plans) {
                await t.test(name, () => assert.ok(results.get(name)?.ok, JSON.stringify(results.get(name) ?? stderr.slice(-2000))));
            }
        } finally {
            rmSync(dir, { recursive: true, force: true });
        }
    });
}

suite('transformers and peft open what the engine writes', PYTHON, ['torch', 'transformers', 'peft'], PLANS.filter((plan) => !plan.adapterhub));
suite('adapters opens what the engine writes', PYTHON_ADAPTERS, ['torch', 'transformers', 'adapters'], PLANS.filter((plan) => plan.adapterhub));
