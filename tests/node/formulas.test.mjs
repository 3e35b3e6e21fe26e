// The printed formulas add up to what the engine counts, for every shape and method.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { PeftLab } from '../../web/engine/index.js';
import { baseTerms, methodTerms, total } from '../../web/lib/formulas.js';

/** @type {import('../../web/engine/session.js').Session} */
let session;
before(async () => { session = await PeftLab.open(null, { inThread: true }); });
after(() => session.close());

const CASES = /** @type {[string, Record<string, any>][]} */ ([
  ['lora', {}], ['lora', { rank: 32, target_modules: 'all-linear', use_dora: true }], ['prompt', { num_virtual_tokens: 7 }], ['prefix', {}],
  ['adapter', {}], ['adapter', { variant: 'pfeiffer', bottleneck_size: 0 }], ['adapter', { variant: 'parallel', learned_scale: true }],
  ['adapter', { variant: 'per_linear' }], ['adapter', { variant: 'per_linear_parallel' }], ['ia3', {}], ['norms', {}], ['full', {}],
]);

test('every shape and method: the terms add up to the engine\'s count', async () => {
  const { shapes, methods } = await session.describeStatic();
  for (const { name, config } of shapes) {
    for (const [method, given] of CASES) {
      const defaults = Object.fromEntries(
        methods.find((/** @type {any} */ m) => m.name === method).options.map((/** @type {any} */ o) => [o.name, o.default]),
      );
      const counted = await session.countFor({ shape: name, method, options: given });
      const terms = methodTerms(config, method, { ...defaults, ...given });
      assert.equal(total(baseTerms(config)), counted.total, `${name}: base`);
      assert.equal(terms && total(terms), counted.trainable, `${name}: ${method} ${JSON.stringify(given)}`);
    }
  }
});
