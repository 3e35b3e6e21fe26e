// Twenty cycles of train, merge, reset and another method: neither the engine's memory nor the page's heap grows.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { launchChromium } from './lib/browser.mjs';
import { buildSite, lab, until } from './lib/qa-site.mjs';

/** @type {Awaited<ReturnType<typeof buildSite>>} */
let built;
/** @type {Awaited<ReturnType<Awaited<ReturnType<typeof buildSite>>['serve']>>} */
let site;
/** @type {Awaited<ReturnType<typeof launchChromium>>} */
let browser;
before(async () => {
  built = await buildSite();
  site = await built.serve();
  browser = await launchChromium();
}, { timeout: 120_000 });
after(async () => {
  await browser?.close();
  await built?.close();
});

const CYCLES = 20;
const MB = 2 ** 20;

/** Heaps of page and worker after a collection, bytes; the worker's array buffers hold the engine's memory. @param {import('playwright-core').Page} page */
async function heaps(page) {
  const control = await page.context().newCDPSession(page);
  const worker = /** @type {string} */ (await new Promise((resolve) => {
    control.on('Target.attachedToTarget', (event) => { if (event.targetInfo.type === 'worker') resolve(event.sessionId); });
    control.send('Target.setAutoAttach', { autoAttach: true, waitForDebuggerOnStart: false, flatten: false });
  }));
  const inWorker = (/** @type {string} */ method) => new Promise((resolve) => {
    const id = Math.floor(Math.random() * 1e9);
    control.on('Target.receivedMessageFromTarget', ({ message }) => {
      const answer = JSON.parse(message);
      if (answer.id === id) resolve(answer.result);
    });
    control.send('Target.sendMessageToTarget', { sessionId: worker, message: JSON.stringify({ id, method }) });
  });
  await control.send('HeapProfiler.collectGarbage');
  await inWorker('HeapProfiler.collectGarbage');
  const own = /** @type {any} */ (await control.send('Runtime.getHeapUsage'));
  const engine = /** @type {any} */ (await inWorker('Runtime.getHeapUsage'));
  await control.detach();
  return { page: own.usedSize, worker: engine.usedSize, wasm: engine.backingStorageSize };
}

test(`${CYCLES} cycles of train, merge, reset and another method leave the memory as it was after the second`, { timeout: 300_000 }, async (context) => {
  const { page, assertClean } = await browser.open(`${site.url}#v=1&model=stories-300k&task=pirate&n=2&bs=4&w=1`);
  await until(page, 'lab.status === "ready"');
  const methods = ['lora', 'adapter', 'prompt', 'full', 'prefix'];
  const cycle = (/** @type {number} */ i) => lab(page, `(lab.set({ method: ${JSON.stringify(methods[i % methods.length])} }), await lab.train(), lab.description.modules[0].can_merge && (await lab.merge(), await lab.unmerge()), await lab.reset(), lab.runs.slice().forEach((run) => lab.remove(run)), null)`);
  const bytes = async () => { await lab(page, '(lab.set({ method: "lora" }), await lab.during(null, async () => {}), null)'); return Number(await lab(page, '(await lab.work((s) => s.request("memory"))).bytes')); };
  for (let i = 0; i < methods.length; i++) await cycle(i);
  const first = { ...(await heaps(page)), live: await bytes() };
  for (let i = 0; i < CYCLES; i++) await cycle(i);
  const last = { ...(await heaps(page)), live: await bytes() };
  const mb = (/** @type {number} */ n) => (n / MB).toFixed(1);
  context.diagnostic(`after ${methods.length} cycles and after ${CYCLES} more, MB: engine ${mb(first.wasm)} and ${mb(last.wasm)} (in use ${mb(first.live)} and ${mb(last.live)}), page ${mb(first.page)} and ${mb(last.page)}, worker ${mb(first.worker)} and ${mb(last.worker)}`);
  assert.ok(first.wasm > first.live, 'the engine is in what is measured');
  assert.ok(Math.abs(last.live - first.live) < 4096, `the engine holds ${last.live - first.live} bytes more`);
  assert.ok(last.wasm - first.wasm < 1 * MB, 'WebAssembly memory');
  assert.ok(last.page - first.page < 4 * MB, 'heap of the page'); // fifty settings for undo among it
  assert.ok(last.worker - first.worker < 1 * MB, 'heap of the worker');
  assertClean();
});
