// pl_count against peft's own counters for nine published shapes.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { GOLDEN, openCore } from './lib/golden.mjs';

const counts = JSON.parse(readFileSync(join(GOLDEN, 'counts.json'), 'utf8'));
const BOTTLENECKS = { seq_bn: 'pfeiffer', double_seq_bn: 'houlsby', par_bn: 'parallel', per_linear: 'per_linear' };

/** A row of counts.json as a request. @param {any} spec @returns {{method: string, options: any}} */
function translate({ method, by, bias, ...options }) {
    const rule = options.reduction_factor ? { bottleneck_size: 0 } : {};
    if (method in BOTTLENECKS)
        return {
            method: 'adapter',
            options: { ...rule, ...options, variant: BOTTLENECKS[/** @type {keyof typeof BOTTLENECKS} */ (method)] },
        };
    return { method, options };
}

for (const [preset, shape] of Object.entries(counts.presets)) {
    test(`counts ${preset}`, async (t) => {
        const core = await openCore();
        const config = { model_type: 'llama', hidden_act: 'silu', rms_norm_eps: 1e-5, rope_theta: 10000, max_position_embeddings: 4096, ...shape };
        for (const [row, want] of Object.entries(counts.trainable[preset])) {
            await t.test(row, () => {
                const got = core.ask('pl_count', [], { config, ...translate(counts.methods[row]) });
                assert.equal(got.trainable, want);
                assert.equal(got.total, counts.total[preset]);
                assert.ok(Math.abs(got.percent - (100 * want) / counts.total[preset]) < 1e-6 * got.percent);
            });
        }
        core.free();
    });
    if (preset !== 'gpt2-small') {
        test(`preset ${preset} has these dimensions`, async () => {
            const core = await openCore();
            assert.equal(core.ask('pl_count', [], { shape: preset, method: 'full', options: {} }).total, counts.total[preset]);
            core.free();
        });
    }
}
