// What can go wrong under the page: each time one message that says what happened, whether work is safe and what to do; and nothing is lost.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { strToU8, zipSync } from 'fflate';
import { eventually, lab, LINK, says, siteAndBrowser, trainToSnapshot, until } from './lib/qa-site.mjs';

const SLOW = { timeout: 400_000 };

const own = siteAndBrowser();
const GERMAN = JSON.parse(readFileSync(new URL('../../web/content/texts/de.json', import.meta.url), 'utf8'));

const notice = (/** @type {import('playwright-core').Page} */ page, /** @type {string | RegExp} */ hasText) =>
  page.locator('peft-notices .item', { hasText });

/**
 * Opens the page with a script that runs before its own.
 * @param {import('node:test').TestContext} context @param {string} hash
 * @param {(page: import('playwright-core').Page) => Promise<any>} prepare @param {string} [url]
 */
async function prepared(context, hash, prepare, url = own.site.url) {
  const watched = await own.browser.open(`${url}embed.html?element=none`);
  context.after(() => watched.page.context().close());
  await prepare(watched.page);
  await watched.page.goto(`${url}${hash}`);
  return watched;
}

/** The calculator counts LoRA on Llama 2 7B without an engine. @param {import('playwright-core').Page} page */
async function calculatorCounts(page) {
  await lab(page, 'void lab.set({ panel: "calculator" })');
  await page.locator('peft-panel-calculator', { hasText: '4,194,304' }).waitFor();
}

test('no SIMD: the message says which browser to use; the calculator counts all the same', { timeout: 240_000 }, async (context) => {
  const { page } = await prepared(context, LINK, (p) => p.addInitScript(() => { WebAssembly.validate = () => false; }));
  await notice(page, 'SIMD').waitFor();
  assert.match(await notice(page, 'SIMD').innerText(), /browser/);
  await eventually(() => page.locator('.left #train').isDisabled(), true);
  await calculatorCounts(page);
});

test('WebAssembly forbidden by a policy: the directive is named; the calculator counts all the same', { timeout: 240_000 }, async (context) => {
  const strict = await own.built.serve({ 'Content-Security-Policy': "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:" });
  const { page } = await prepared(context, LINK, async () => {}, strict.url);
  await notice(page, 'wasm-unsafe-eval').waitFor();
  await calculatorCounts(page);
});

test('an adapter that cannot be read: said once, where it was asked for, in words of the page', SLOW, async (context) => {
  const config = strToU8('{"peft_type": "LORA", "r": 4, "lora_alpha": 8, "target_modules": ["q_proj"]}');
  const broken = zipSync({ 'adapter_config.json': config, 'adapter_model.safetensors': strToU8('this is no tensor at all') });
  const files = { name: 'broken.zip', mimeType: 'application/zip', buffer: Buffer.from(broken) };
  for (const lang of ['en', 'de']) {
    const { page, assertClean } = await prepared(context, `${LINK}&panel=export&lang=${lang}`, async () => {});
    await until(page, 'lab.status === "ready"');
    await page.locator('peft-panel-export input[type="file"]').first().setInputFiles(files);
    const told = page.locator('peft-panel-export [role="alert"]');
    await says(() => told.innerText(), /adapter weights: the file is damaged or incomplete/);
    if (lang === 'de') {
      await says(() => told.innerText(), new RegExp(`^${GERMAN['failure.code.format']}`));
      assert.match(await told.locator('[lang="en"]').innerText(), /^adapter weights/, 'what is English is said to be');
    }
    await eventually(() => notice(page, /./).count(), 0);
    assert.equal(await lab(page, 'lab.status'), 'ready');
    assertClean();
  }
});

for (const how of ['crash', 'rejection']) {
  const title = `the engine's worker fails while training (${how}): the page says so, and goes on from the last snapshot in a new one`;
  test(title, SLOW, async (context) => {
    const { page } = await prepared(context, '#v=1&model=stories-300k&task=pirate&n=300&bs=2&seed=3&w=1', async () => {});
    await until(page, 'lab.status === "ready"');
    await lab(page, 'void lab.set({ steps: 8 }), await lab.train(), lab.set({ steps: 5000 })'); // it ends by the failure alone
    await trainToSnapshot(page);
    const [worker] = page.workers();
    if (how === 'crash') await worker.evaluate(() => { setTimeout(() => { throw new Error('out of memory'); }); });
    else await worker.evaluate(() => { setTimeout(() => { void Promise.reject(new Error('out of memory')); }); });
    await notice(page, /worker stopped.*out of memory/).waitFor();
    await says(() => notice(page, 'worker').innerText(), /runs are safe/);
    assert.equal(await lab(page, 'lab.runs.filter((r) => r.status === "done").length'), 1, 'the finished run is still there');
    await page.locator('#resume').click();
    await until(page, 'lab.status === "training" && lab.run.losses.length > 5');
    assert.equal(await lab(page, 'lab.run.status'), 'running');
    await lab(page, 'void lab.stop()');
    await until(page, 'lab.status === "ready" && lab.run.status === "stopped"');
  });
}

test('the engine\'s worker is lost at rest: "Try again" brings a new one', { timeout: 240_000 }, async (context) => {
  const { page } = await prepared(context, LINK, async () => {});
  await until(page, 'lab.status === "ready"');
  await page.workers()[0].evaluate(() => { setTimeout(() => { throw new Error('lost'); }); });
  await page.locator('.left #train').click();
  await notice(page, 'worker').getByRole('button', { name: 'Try again' }).click();
  await until(page, 'lab.status === "ready"');
  await page.locator('.left #train').click();
  await until(page, 'lab.run?.status === "done"');
});

test('storage is denied: said once, and training, merging and export go on', { timeout: 240_000 }, async (context) => {
  const { page } = await prepared(context, LINK, (p) => p.addInitScript(() => {
    const denied = () => { throw new DOMException('denied', 'SecurityError'); };
    Object.defineProperty(globalThis, 'indexedDB', { get: denied });
    Object.defineProperty(globalThis, 'localStorage', { get: denied });
    Object.defineProperty(globalThis, 'sessionStorage', { get: denied });
  }));
  await notice(page, 'does not store data').waitFor();
  await until(page, 'lab.status === "ready"');
  await lab(page, 'await lab.train(), await lab.merge(), lab.merged.max_logit_difference');
  await page.waitForTimeout(800);
  assert.equal(await notice(page, 'does not store data').count(), 1);
});

test('storage is full: said when the first run cannot be kept, and nothing of it is lost in this tab', { timeout: 240_000 }, async (context) => {
  // Chromium's quota override does not reach IndexedDB: what is larger than a setting is refused as a full disk refuses it.
  const { page } = await prepared(context, LINK, (p) => p.addInitScript(() => {
    const { put } = IDBObjectStore.prototype;
    IDBObjectStore.prototype.put = function full(value, ...key) {
      if (value?.runs?.length) throw new DOMException('The disk is full.', 'QuotaExceededError');
      return put.call(this, value, ...key);
    };
  }));
  await until(page, 'lab.status === "ready"');
  await lab(page, 'void await lab.train()');
  await notice(page, 'storage is full').waitFor();
  assert.equal(await lab(page, 'lab.runs.length'), 1);
  assert.ok(await lab(page, 'lab.run.adapter["adapter_model.safetensors"].length > 1000'));
});

test('malformed links: unknown names, impossible values, markup and very long ones; the page stands, says so and starts ' +
  'nothing', { timeout: 240_000 }, async (context) => {
  for (const hash of [
    '#v=1&model=nope&task=..%2F..%2Fx&m=%3Cimg%20src%3Dx%20onerror%3D%22window.hacked%3D1%22%3E&r=1e999&seed=-5&panel=<b>',
    `#v=99&__proto__=1&o.constructor=1&p=${'%F0%9F'.repeat(400)}`, `#v=1&hide=${'x,'.repeat(3000)}`,
  ]) {
    const { page } = await prepared(context, hash, async () => {});
    await page.locator('peft-notices .item').first().waitFor();
    await until(page, 'lab.status === "ready"');
    assert.equal(await lab(page, 'lab.runs.length'), 0);
    assert.equal(await page.evaluate('globalThis.hacked'), undefined);
    await eventually(() => page.locator('.left #train').isEnabled(), true);
  }
});

test('a link to a lesson that is not here: said, and the list of lessons stands open', { timeout: 240_000 }, async (context) => {
  const { page } = await prepared(context, '#v=1&model=stories-300k&lesson=nope', async () => {});
  await page.locator('peft-notices .item', { hasText: 'lesson: “nope” is not here.' }).waitFor();
  await page.locator('peft-panel-lessons').getByRole('button', { name: /^Start/ }).first().waitFor();
  await until(page, 'lab.status === "ready" && lab.state.lesson === ""');
});

test('a link with impossible options: corrected in one notice, in the language of the page, and it trains; a refused one ' +
  'names the reason and the way back', { timeout: 400_000 }, async (context) => {
  const { page } = await prepared(context, '#v=1&model=stories-300k&task=mood&m=banana&r=9999&foo=1&n=99999&bs=2&lang=de', async () => {});
  await until(page, 'lab.status === "ready"');
  const items = page.locator('peft-notices .item');
  await items.getByText('Rang r: 9999 wurde auf 1024 gesetzt.').waitFor();
  await eventually(() => items.count(), 1, 'one notice for all of it');
  const said = await items.innerText();
  for (const part of [
    /Schritte: 99999 wurde auf 5000 gesetzt/,
    /foo: unbekannte Einstellung/,
    /„banana“ ist nicht dabei/,
    /macht mit den berichtigten Einstellungen weiter/,
  ])
    assert.match(said, part);
  await says(() => page.locator('peft-methods p').innerText(), /Umweg/); // LoRA's sentence
  await lab(page, 'void lab.set({ lang: "en" })');
  await items.getByText('Rank r: 9999 was brought to 1024.').waitFor();
  await page.locator('.left #train').click();
  await until(page, 'lab.run?.losses.length > 0');
  await lab(page, 'void lab.stop()');
  await until(page, 'lab.status === "ready"');
  // Followed while the page is open, and refused although every value is in range.
  await page.evaluate(() => { location.hash = '#v=1&model=stories-300k&m=lora&t=nope'; });
  await page.locator('.left peft-train', { hasText: 'nope' }).waitFor();
  await eventually(() => page.locator('.left #train').isDisabled(), true);
  await page.reload();
  await until(page, 'lab.status === "ready"');
  await page.locator('.left peft-train', { hasText: 'nope' }).waitFor();
  await eventually(() => page.locator('.left #train').isDisabled(), true);
  await page.locator('peft-diagram svg').waitFor();
  await page.locator('.left #back').click();
  await page.locator('.left #train:enabled').waitFor();
  await eventually(() => lab(page, 'lab.description.modules.length'), 1);
});

test("an adapter of another model is refused by name of the tensor; the model's answers stay the same bits", SLOW, async (context) => {
  const { page } = await prepared(context, '#v=1&model=stories-1m&n=2&bs=2&panel=export', async () => {});
  await until(page, 'lab.status === "ready"');
  const files = /** @type {Record<string, number[]>} */ (
    await lab(
      page,
      'Object.fromEntries(Object.entries((await lab.train()).adapter).map(([name, bytes]) => [name, Array.from(bytes)]))',
    )
  );
  await lab(page, 'void lab.set({ model: "stories-300k" })');
  await until(page, 'lab.status === "ready" && lab.description.model && lab.state.model === "stories-300k" && !lab.run');
  const logits = 'lab.work(async (s) => Array.from((await s.logits({ text: "The cat" })).logits.slice(0, 50)))';
  const before = await lab(page, logits);
  const panel = page.locator('peft-panel-export');
  await panel
    .getByLabel(/Load one/)
    .setInputFiles(
      Object.entries(files).map(([name, bytes]) => ({ name, mimeType: 'application/octet-stream', buffer: Buffer.from(bytes) })),
    );
  const alert = panel.getByRole('alert');
  await alert.waitFor();
  assert.match(await alert.innerText(), /(shape|size|layer|width|\d+ ?[×x] ?\d+|\[\d+)/i, await alert.innerText());
  assert.deepEqual(await lab(page, logits), before);
});
