// Twenty cycles of train, merge, unmerge, reset and another method: neither the engine's memory nor a heap of JavaScript grows.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { lab, siteAndBrowser, until } from './lib/qa-site.mjs';

const own = siteAndBrowser();

const METHODS = ['lora', 'full', 'prompt', 'adapter'];
const CYCLES = 20;
/** Each cycle leaves two of the fifty steps back that undo keeps, with the adapters they lead to: from here on, one goes for each that comes. */
const WARM = 26;
const LIVE = 1024;
/** The compiler keeps on compiling what runs often. */
const HEAP = 512 * 1024;
const BUFFERS = 64 * 1024;

/** Heaps after a collection, bytes: of objects, and of what array buffers hold. @param {import('playwright-core').Page} page */
async function heaps(page) {
  const control = await page.context().newCDPSession(page);
  const attached = new Promise((resolve) => {
    control.on('Target.attachedToTarget', ({ targetInfo, sessionId }) => { if (targetInfo.type === 'worker') resolve(sessionId); });
  });
  await control.send('Target.setAutoAttach', { autoAttach: true, waitForDebuggerOnStart: false, flatten: false });
  const sessionId = await attached;
  let sent = 0;
  const inWorker = (/** @type {string} */ method) => new Promise((resolve) => {
    const id = ++sent;
    control.on('Target.receivedMessageFromTarget', ({ message }) => {
      const answer = JSON.parse(message);
      if (answer.id === id) resolve(answer.result);
    });
    control.send('Target.sendMessageToTarget', { sessionId, message: JSON.stringify({ id, method }) });
  });
  for (let i = 0; i < 3; i++) { // what one collection finalises, the next one frees
    await control.send('HeapProfiler.collectGarbage');
    await inWorker('HeapProfiler.collectGarbage');
  }
  const pageHeap = /** @type {any} */ (await control.send('Runtime.getHeapUsage'));
  const workerHeap = /** @type {any} */ (await inWorker('Runtime.getHeapUsage'));
  await control.detach();
  return {
    page: pageHeap.usedSize,
    page_buffers: pageHeap.backingStorageSize,
    worker: workerHeap.usedSize,
    worker_buffers: workerHeap.backingStorageSize,
  };
}

test(`${CYCLES} cycles of train, merge, unmerge, reset and another method leave the memory as it was`, { timeout: 1_800_000 }, async (context) => {
  const { page, assertClean } = await own.browser.open(`${own.site.url}#v=1&model=stories-300k&task=pirate&n=2&bs=4&w=1`);
  await until(page, 'lab.status === "ready"');
  let done = 0;
  const cycles = async (/** @type {number} */ count) => {
    const methods = Array.from({ length: count }, (_, i) => METHODS[(done + i) % METHODS.length]);
    done += count;
    const { bytes: live, heap } = await page.evaluate(async (list) => { // one script for all cycles: the browser keeps those it was sent
      const { lab: inside } = /** @type {any} */ (document.querySelector('peft-playground'));
      inside.task.generation = { max_new_tokens: 8 };
      inside.weights.limit = 3 * 2 ** 20; // two of full fine-tuning, then one goes for each that comes
      for (const method of list) {
        inside.set({ method });
        await inside.train();
        if (inside.description.modules[0].can_merge) {
          await inside.merge();
          await inside.unmerge();
        }
        await inside.reset();
        for (const run of [...inside.runs]) inside.remove(run);
      }
      inside.set({ method: 'lora' });
      await inside.during(null, async () => {});
      return inside.work((/** @type {any} */ session) => session.request('memory'));
    }, methods);
    return { ...(await heaps(page)), live, heap };
  };
  const first = await cycles(WARM);
  const last = await cycles(CYCLES);
  const keys = /** @type {(keyof typeof first)[]} */ (Object.keys(first));
  context.diagnostic(
    `kB after ${WARM} cycles, and how much more after ${CYCLES} further ` +
      `ones: ${keys.map((key) => `${key} ${Math.round(first[key] / 1024)} +${Math.round((last[key] - first[key]) / 1024)}`).join(', ')}`,
  );
  assert.ok(first.live > 2 ** 20 && first.heap > first.live, 'the model is in what is measured');
  assert.ok(last.live - first.live < LIVE, `the engine holds ${last.live - first.live} bytes more`);
  assert.equal(last.heap, first.heap, "the engine's memory");
  assert.ok(last.page - first.page < HEAP && last.worker - first.worker < HEAP, 'objects of the page or the worker');
  assert.ok(
    last.page_buffers - first.page_buffers < BUFFERS && last.worker_buffers - first.worker_buffers < BUFFERS,
    'array buffers of the page or the worker',
  );
  assertClean();
});
