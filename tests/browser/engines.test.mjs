// The same training in Node and in every installed browser engine, with one and with two workers, gives the same bits; under the
// security policy of a published page.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { join } from 'node:path';
import { PeftLab } from '../../web/engine/index.js';
import { engines, root, startSite } from './lib/browser.mjs';
import { workload } from './lib/workload.js';

const MODEL = 'models/stories-300k';
/** @type {Awaited<ReturnType<typeof startSite>>} */
let site;
/** @type {Awaited<ReturnType<typeof workload>>} */
let expected;
before(async () => {
  site = await startSite({ engine: true });
  expected = await workload(PeftLab, join(root, MODEL));
});
after(() => site.close());

test('Node: two workers and the calling thread give the same bits as one worker', { timeout: 400_000 }, async () => {
  assert.deepEqual(await workload(PeftLab, join(root, MODEL), { workers: 2 }), expected);
  assert.deepEqual(await workload(PeftLab, join(root, MODEL), { inThread: true }), expected);
  assert.notEqual(expected.text, '');
});

for (const { name, launch } of engines()) {
  test(`${name} gives the bits of Node, with one worker and with two`, { timeout: 600_000 }, async () => {
    const driver = await launch();
    try {
      await driver.open(`${site.url}`);
      for (const workers of [1, 2]) {
        const result = await driver.evaluate(`(async () => {
          while (!globalThis.workload) await new Promise((resolve) => setTimeout(resolve, 20));
          return workload(new URL('${MODEL}/', location.href).href, { workers: ${workers} });
        })()`);
        assert.deepEqual(result, expected);
      }
    } finally {
      await driver.close();
    }
  });
}
