// pl_module_mix in peft-compatible mode against peft's add_weighted_adapter.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import test from 'node:test';
import { caseNames, importAdapter, loadCase, maxAbs, maxGap, modelFiles, openCore } from './lib/golden.mjs';

/** @param {string} path model.layers.1.self_attn.q_proj @returns {[number, string]} */
const place = (path) => [Number(/layers\.(\d+)\./.exec(path)?.[1]), path.slice(path.lastIndexOf('.') + 1)];

/** @param {any} row of results */
function request({ type, weights, density, svd_rank, majority_sign_method }, /** @type {number[]} */ ids) {
    const modules = ids.map((id, i) => ({ id, weight: weights[i] }));
    return {
        type,
        name: 'mix',
        modules,
        compat: true,
        ...(density !== undefined && { density }),
        ...(svd_rank && { svd_rank }),
        ...(majority_sign_method && { majority_sign_method }),
    };
}

/** @param {any} core @param {any} c @param {any} row @param {number} id */
function compareFactors(core, c, row, id) {
    for (const [key, { data }] of c.tensors) {
        const [number, ...rest] = key.split('/');
        if (Number(number) !== row.id) continue;
        if (rest[0] === 'delta') {
            const got = core.matrix(id, ...place(rest[1]), 'delta');
            assert.ok(maxGap(got, data) <= 1e-4 * maxAbs(data), `delta of ${rest[1]}: off by ${maxGap(got, data)}`);
        } else {
            const name = rest.join('/').replace('base_model.model.', '');
            const got = core.tensor(id, name);
            assert.ok(maxGap(got, data) <= 1e-5 * maxAbs(data), `${name}: off by ${maxGap(got, data)}`);
        }
    }
}

for (const name of caseNames((row) => row.method === 'combine')) {
    test(`golden ${name}`, async (t) => {
        const c = loadCase(name);
        const core = await openCore();
        core.loadModel(modelFiles(c.model));
        const ids = new Map(c.json.adapters.map((/** @type {any} */ a) => [a.name, importAdapter(core, join(c.dir, a.dir), a.name).id]));
        for (const row of c.json.results) {
            await t.test(`${row.id} ${row.type} ${row.weights.join(' ')} ${JSON.stringify(row.density ?? row.svd_rank ?? '')}`, () => {
                const { module, exact, relative_error } = core.ask(
                    'pl_module_mix',
                    [],
                    request(
                        row,
                        row.adapters.map((/** @type {string} */ a) => ids.get(a)),
                    ),
                );
                try {
                    compareFactors(core, c, row, module.id);
                    assert.ok(Math.abs(relative_error - row.relative_error) <= 1e-3, `relative error ${relative_error}, want ${row.relative_error}`);
                    assert.equal(exact, row.relative_error < 1e-5, 'exact is said of what is exact');
                } finally {
                    core.call('pl_module_remove', module.id);
                }
            });
        }
        core.free();
    });
}
