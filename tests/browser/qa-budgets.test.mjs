// The page's budgets, on a cold cache over localhost: size of the code before a panel is opened, first paint and
// readiness on a slow machine, Stop, answers while training, and no request after loading. Times are of this machine:
// PEFTLAB_BUDGETS=1 makes them count, otherwise only the loose bounds do.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { launchChromium, root } from './lib/browser.mjs';
import { buildSite, until } from './lib/qa-site.mjs';
import { measureStart } from './lib/startup.mjs';

const strict = Boolean(process.env.PEFTLAB_BUDGETS);
/** On a machine that other work keeps busy a time says little. @param {number} limit */
const bound = (limit) => (strict ? limit : 8 * limit);
/** @type {Awaited<ReturnType<typeof buildSite>>} */
let built;
/** @type {Awaited<ReturnType<Awaited<ReturnType<typeof buildSite>>['serve']>>} */
let site;
before(async () => {
  built = await buildSite();
  site = await built.serve();
}, { timeout: 400_000 });
after(() => built?.close());

test('the code before a panel is opened: at most 90 KB gzipped, with engine worker and a second language', (context) => {
  const page = readFileSync(join(built.folder, 'index.html'), 'utf8');
  const files = [...page.matchAll(/(?:src|href)="\.\/(assets\/[^"]+\.js)"/g)].map(([, file]) => file);
  assert.ok(files.length > 0);
  const size = files.map((file) => gzipSync(readFileSync(join(built.folder, file))).length).reduce((a, b) => a + b);
  context.diagnostic(`core JS ${(size / 1000).toFixed(1)} KB gzip in ${files.length} files`);
  assert.ok(size <= 90_000 - 15_000, `${size} bytes`);
  assert.ok(!files.some((file) => /panel-(?!s)|src-/.test(file)), 'panels and charts come later');
});

test('without any code the page says what it is, and shows the recorded run in words', async () => {
  const { sample, train } = JSON.parse(readFileSync(join(root, 'web/content/recorded/first-run.json'), 'utf8')).run;
  const browser = await launchChromium();
  try {
    const { page } = await browser.open(site.url, { javaScriptEnabled: false });
    const said = await page.locator('peft-playground').innerText();
    for (const words of ['PEFT Playground', `${train.steps} steps`, sample.prompt, sample.before, sample.after])
      assert.ok(said.includes(words.trim()), words);
  } finally {
    await browser.close();
  }
});

test('cold cache, CPU slowed down four times: first meaningful paint and ready to train', { timeout: 400_000 }, async (context) => {
  const { paint, meaningful, drawn, ready } = await measureStart(site.url);
  context.diagnostic(
    `first contentful paint ${paint.toFixed(0)} ms, recorded run to read ${meaningful.toFixed(0)} ms, in its ` +
      `place ${drawn.toFixed(0)} ms, ready to train ${ready.toFixed(0)} ms`,
  );
  assert.ok(meaningful < bound(1000), `shown after ${meaningful} ms`);
  assert.ok(ready < bound(2500), `ready after ${ready} ms`);
});

test('while training: answers, long tasks, Stop; no request after the page has loaded', { timeout: 400_000 }, async (context) => {
  const browser = await launchChromium();
  try {
    const { page, assertClean } = await browser.open(`${site.url}#v=1&task=pirate&n=5000&w=1`);
    await until(page, 'lab.status === "ready"');
    const loaded = site.requests.length;
    const measure = () => page.evaluate(async () => {
      const { lab: inside, shadowRoot } = /** @type {any} */ (document.querySelector('peft-playground'));
      const long = /** @type {number[]} */ ([]);
      const observer = new PerformanceObserver((list) => list.getEntries().forEach((entry) => long.push(entry.duration)));
      observer.observe({ type: 'longtask' });
      const waits = /** @type {number[]} */ ([]);
      const before = inside.run;
      const done = inside.train();
      while (inside.run === before || !(inside.run?.losses.length >= 3)) await new Promise((resolve) => { setTimeout(resolve, 20); });
      for (const end = performance.now() + 4000; performance.now() < end;) {
        const from = performance.now();
        await new Promise((resolve) => { setTimeout(resolve, 10); });
        waits.push(performance.now() - from - 10);
      }
      // Just after steps were told, all there were: they come in bundles.
      await new Promise((resolve) => { inside.addEventListener('step', resolve, { once: true }); });
      observer.disconnect();
      const steps = inside.run.losses.length;
      const from = performance.now();
      let quiet = 0;
      inside.addEventListener('status', () => { quiet ||= performance.now() - from; });
      const button = [...shadowRoot.querySelector('.left peft-train').shadowRoot.querySelectorAll('button')].find((node) =>
        /Stop/.test(node.textContent),
      );
      button.click();
      await done;
      return {
        long,
        p95: waits.sort((a, b) => a - b)[Math.floor(0.95 * waits.length)],
        worst: waits.at(-1),
        steps,
        after: inside.run.losses.length,
        stopped: quiet,
      };
    });
    const good = (/** @type {any} */ now) => now.p95 < bound(50) && now.stopped < bound(100) && now.long.length <= (strict ? 0 : 20)
      && now.after - now.steps <= 2;
    let seen = await measure();
    for (let i = 0; i < 4 && !good(seen); i++) seen = await measure(); // something else may have had the machine meanwhile
    context.diagnostic(
      `answers: 95 % within ${seen.p95.toFixed(1)} ms, worst ${seen.worst.toFixed(0)} ms; ${seen.long.length} long tasks, ` +
        `the longest ${Math.max(0, ...seen.long).toFixed(0)} ms; Stop and final sample ${seen.stopped.toFixed(0)} ` +
        `ms, ${seen.after - seen.steps} further steps`,
    );
    assert.ok(seen.p95 < bound(50), `${seen.p95} ms`);
    assert.ok(seen.stopped > 0 && seen.stopped < bound(100), `the page answered Stop after ${seen.stopped} ms`);
    assert.ok(seen.long.length <= (strict ? 0 : 20), `long tasks of ${seen.long} ms`);
    assert.ok(seen.after - seen.steps <= 2, 'it stops within a step');
    // Panels and charts are our own files and come when they are opened; nothing else may.
    assert.deepEqual(site.requests.slice(loaded).filter((path) => !/^\/assets\//.test(path)), []);
    assertClean();
  } finally {
    await browser.close();
  }
});
