// Every installed browser engine loads the module as published: raw bytes, one import, SIMD, under the page's security policy.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { engines, startSite } from './lib/browser.mjs';

/** @type {Awaited<ReturnType<typeof startSite>>} */
let site;
before(async () => {
  site = await startSite({ raw: true });
});
after(() => site.close());

for (const { name, launch } of engines()) {
  test(`${name} compiles and starts the engine's module`, { timeout: 120_000 }, async () => {
    const driver = await launch();
    try {
      await driver.open(`${site.url}tests/browser/pages/blank.html`);
      const exports = await driver.evaluate(`(async () => {
        const response = await fetch('/build/wasm/peftlab.wasm');
        const { instance } = await WebAssembly.instantiateStreaming(response, { env: { emscripten_notify_memory_growth() {} } });
        instance.exports._initialize?.();
        return Object.keys(instance.exports);
      })()`);
      assert.ok(exports.includes('memory'), `exports: ${exports}`);
    } finally {
      await driver.close();
    }
  });
}
