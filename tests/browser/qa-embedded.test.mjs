// In other people's pages: the messages of a host on another origin, and nothing left behind by an element that is taken away.
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { PANELS } from '../../web/lib/store.js';
import { eventually, foreignHost, lab, siteAndBrowser, until } from './lib/qa-site.mjs';

const SLOW = { timeout: 600_000 };

const LINK = '#v=1&model=stories-300k&task=pirate&n=400&bs=2&w=1&p=my+own+words';
const own = siteAndBrowser({ 'Access-Control-Allow-Origin': '*' }); // a sandboxed frame has no origin of its own
const foreign = foreignHost();
before(() => writeFile(join(foreign.folder, 'index.html'), '<!doctype html><title>host</title><link rel="icon" href="data:,">'));

/**
 * A host page with one frame, and ask(message) in it: posts, and gives the first answer with the same id, or null when none comes in that time.
 * @param {import('node:test').TestContext} context @param {string} query of embed.html @param {string} [sandbox]
 */
async function framed(context, query, sandbox) {
  const { page } = await own.browser.open(foreign.host.url);
  context.after(() => page.context().close());
  await page.evaluate(([src, limits]) => {
    const frame = document.createElement('iframe');
    if (limits) frame.sandbox.value = limits;
    Object.assign(frame, { src, width: 900, height: 640 });
    const all = /** @type {any} */ (globalThis);
    all.origins = new Set();
    all.ask = (/** @type {any} */ message, /** @type {any} */ id = message?.id, wait = 60_000) => new Promise((resolve) => {
      const hear = (/** @type {MessageEvent} */ event) => {
        if (event.source !== frame.contentWindow || event.data?.peft !== 1 || event.data.id !== id) return;
        all.origins.add(event.origin);
        removeEventListener('message', hear);
        resolve(event.data);
      };
      addEventListener('message', hear);
      setTimeout(() => { removeEventListener('message', hear); resolve(null); }, wait);
      frame.contentWindow?.postMessage(message, '*');
    });
    document.body.append(frame);
  }, [`${own.site.url}embed.html${query}${LINK}`, sandbox ?? '']);
  const ask = (/** @type {any} */ message, wait = 60_000) =>
    page.evaluate(([m, ms]) => /** @type {any} */ (globalThis).ask(m, m?.id, ms), [message, wait]);
  const answered = async () => {
    for (let i = 0; i < 200; i++) {
      const answer = await ask({ peft: 1, id: 1000 + i, type: 'peft:getState' }, 500);
      if (answer) return answer;
    }
    return null;
  };
  return { page, ask, answered };
}

test('a host on the list sets, trains, stops and reads; malformed messages change nothing', { timeout: 400_000 }, async (context) => {
  const { page, ask, answered } = await framed(context, `?allow=${new URL(foreign.host.url).origin}`);
  for (let state = await answered(); state.status !== 'ready'; state = await answered()) await page.waitForTimeout(100);
  const set = await ask({
    peft: 1,
    id: 'a',
    type: 'peft:set',
    state: { seed: 7, method: 'prompt', steps: 1e9, nonsense: '<img src=x onerror=alert(1)>' },
  });
  assert.deepEqual(
    [set.type, set.state.seed, set.state.method, set.state.steps, set.state.prompt],
    ['peft:state', 7, 'prompt', 5000, 'my own words'],
  );
  const whole = await ask({ peft: 1, id: 'b', type: 'peft:setState', state: { method: 'lora', steps: 5000, batch_size: 2, workers: 1 } });
  assert.deepEqual([whole.state.seed, whole.state.method, whole.state.prompt], [1, 'lora', '']);
  await page.waitForTimeout(1100); // the rate limit
  const strange = [
    null,
    5,
    'peft:train',
    [],
    {},
    { peft: 2, id: 1, type: 'peft:train' },
    { peft: 1, type: 'peft:train' },
    { peft: 1, id: {}, type: 'peft:train' },
    { peft: 1, id: 2, type: ['peft:train'] },
  ];
  for (const message of strange) assert.equal(await ask(message, 60), null, JSON.stringify(message));
  assert.equal((await ask({ peft: 1, id: 'c', type: 'peft:eval', code: 'alert(1)' })).type, 'peft:error');
  assert.equal((await ask({ peft: 1, id: 'd', type: 'peft:set', state: 'x' })).type, 'peft:error');
  assert.notEqual((await answered()).status, 'training');
  await ask({ peft: 1, id: 'e', type: 'peft:train' });
  const wait = async (/** @type {string} */ status) => { while ((await answered())?.status !== status) await page.waitForTimeout(100); };
  await wait('training');
  await ask({ peft: 1, id: 'f', type: 'peft:stop' });
  await wait('ready');
  assert.deepEqual(await page.evaluate(() => [.../** @type {any} */ (globalThis).origins]), [new URL(own.site.url).origin]);
});

test(
  'a host that is not on the list gets no answer; without a list it may read, but no words of the user, and not touch',
  { timeout: 400_000 },
  async (context) => {
    const other = await framed(context, '?allow=https://school.example');
    await other.page.frames()[1].waitForSelector('peft-playground', { timeout: 60_000 });
    await other.page.waitForTimeout(500);
    for (const type of ['peft:getState', 'peft:set', 'peft:train'])
      assert.equal(await other.ask({ peft: 1, id: type, type, state: { seed: 9 } }, 500), null);
    assert.equal(await lab(/** @type {any} */ (other.page.frames()[1]), 'lab.state.seed'), 1);

  const open = await framed(context, '');
  const state = await open.answered();
  assert.equal(state.type, 'peft:state');
  assert.ok(!JSON.stringify(state).includes('own'), 'no words of the user');
  for (const type of ['peft:set', 'peft:setState', 'peft:train', 'peft:stop'])
    assert.match((await open.ask({ peft: 1, id: type, type, state: { seed: 9 } })).message, /only be read/);
  assert.equal(await lab(/** @type {any} */ (open.page.frames()[1]), 'lab.state.seed'), 1);
});

test('a sandboxed frame, without an origin or storage, answers its host in the same way', { timeout: 400_000 }, async (context) => {
  const { page, ask, answered } = await framed(context, `?element=counter&allow=${new URL(foreign.host.url).origin}`, 'allow-scripts');
  assert.equal((await answered())?.type, 'peft:state');
  assert.equal((await ask({ peft: 1, id: 'a', type: 'peft:set', state: { seed: 7 } })).state.seed, 7);
  assert.equal(await ask({ peft: 3, id: 'b', type: 'peft:set' }, 300), null);
  assert.deepEqual(await page.evaluate(() => [.../** @type {any} */ (globalThis).origins]), ['null']);
  const closed = await framed(context, '?element=counter&allow=https://school.example', 'allow-scripts');
  await closed.page.frames()[1].waitForSelector('peft-counter', { timeout: 60_000 });
  assert.equal(await closed.ask({ peft: 1, id: 'a', type: 'peft:getState' }, 800), null);
});

/** Takes the page's element away, and keeps it. @param {import('playwright-core').Page} page */
const takeAway = (page) => page.evaluate(() => {
  const all = /** @type {any} */ (globalThis);
  all.element = document.querySelector('peft-playground');
  all.place = all.element.parentNode;
  all.element.remove();
});

/** What is left in the page: workers, and timers where they are counted. @param {import('playwright-core').Page} page */
const left = async (page) => ({ workers: page.workers().length, timers: Number(await page.evaluate('globalThis.timers?.size ?? 0')) });

/** Waits until nothing is left; what lasts is found, however slow the machine. @param {import('playwright-core').Page} page @param {string} where */
async function nothingLeft(page, where) {
  for (const end = Date.now() + 120_000; Date.now() < end; await page.waitForTimeout(50)) {
    const { workers, timers } = await left(page);
    if (workers + timers === 0) return;
  }
  assert.deepEqual(await left(page), { workers: 0, timers: 0 }, where);
}

const TAKEN_AWAY = 'an element taken away in mid-training leaves no timer, no worker and no request; put back, it goes on from where it was';
test(TAKEN_AWAY, SLOW, async (context) => {
  const { page } = await own.browser.open(`${own.site.url}embed.html?element=none`);
  context.after(() => page.context().close());
  await page.addInitScript(() => {
    const timers = /** @type {any} */ (globalThis).timers = new Set();
    const all = /** @type {any} */ (globalThis);
    for (const [set, clear] of [['setTimeout', 'clearTimeout'], ['setInterval', 'clearInterval']]) {
      const [begin, end] = [all[set].bind(all), all[clear].bind(all)];
      all[set] = (/** @type {any} */ work, /** @type {any} */ ms, /** @type {any[]} */ ...rest) => {
        const id = begin((/** @type {any[]} */ ...args) => { if (set === 'setTimeout') timers.delete(id); work(...args); }, ms, ...rest);
        timers.add(id);
        return id;
      };
      all[clear] = (/** @type {any} */ id) => { timers.delete(id); end(id); };
    }
  });
  await page.goto(`${own.site.url}${LINK.replace('n=400', 'n=5000')}`); // long enough for a machine that is busy elsewhere
  await until(page, 'lab.status === "ready"');
  await lab(page, 'void lab.train().catch(() => {})');
  await until(page, 'lab.run?.losses.length > 5');
  const coach =
    "document.querySelector('peft-playground').shadowRoot.querySelector('peft-panel-coach')?.shadowRoot.querySelector('peft-coach')?.report";
  await until(page, coach);
  await eventually(async () => page.workers().length > 1, true, "the model's engine, and one without a model that the coach asks");
  await eventually(async () => (await left(page)).timers > 0, true, 'the watch over the worker is a timer');
  await takeAway(page);
  await nothingLeft(page, 'after the element');
  const asked = own.site.requests.length;
  const steps = await page.evaluate('element.lab.run.losses.length');
  await page.waitForTimeout(1500);
  assert.deepEqual(await left(page), { workers: 0, timers: 0 }, 'and nothing comes back');
  assert.equal(own.site.requests.length, asked);
  assert.equal(await page.evaluate('element.lab.run.losses.length'), steps);
  await page.evaluate('place.append(element)');
  await page.locator('#resume').click();
  await until(page, `lab.status === "training" && lab.run.losses.length > ${steps}`);
});

for (const [moment, expression] of [
  ['before it loads', 'lab'],
  ['while it begins to load', 'lab.status === "loading"'],
  ['while its engine starts', 'engine'],
]) {
  test(`an element taken away ${moment} leaves no worker; put back, it loads`, { timeout: 400_000 }, async (context) => {
    const { page } = await own.browser.open(`${own.site.url}embed.html?element=none`);
    context.after(() => page.context().close());
    await page.addInitScript((moment) => {
      const all = /** @type {any} */ (globalThis);
      const { Worker } = all;
      all.Worker = class extends Worker {
        /** @param {any[]} args */
        constructor(...args) {
          super(...args);
          all.engine = true;
        }
      };
      const look = () => {
        const element = document.querySelector('peft-playground');
        const lab = /** @type {any} */ (element)?.lab;
        const come = { engine: all.engine, lab, 'lab.status === "loading"': lab?.status === 'loading' }[moment];
        if (!element || !come) return void setTimeout(look);
        Object.assign(all, { element, place: element.parentNode, status: lab.status });
        return element.remove();
      };
      look();
    }, expression);
    await page.goto(`${own.site.url}${LINK}`);
    for (const end = Date.now() + 120_000; Date.now() < end && !(await page.evaluate('globalThis.element')); await page.waitForTimeout(20));
    assert.equal(await page.evaluate('element.isConnected'), false);
    if (moment !== 'before it loads')
      for (
        const end = Date.now() + 120_000;
        Date.now() < end && (await page.evaluate('element.lab.status')) !== 'idle';
        await page.waitForTimeout(20)
      );
    await page.waitForTimeout(1500);
    await nothingLeft(page, moment);
    await eventually(() => page.evaluate('element.lab.status'), 'idle');
    await page.evaluate('place.append(element)');
    await until(page, 'lab.status === "ready"');
  });
}

test('a page taken away with any panel open leaves no worker; put back, it is as before', { timeout: 900_000 }, async (context) => {
  const { page, errors } = await own.browser.open(`${own.site.url}${LINK}`);
  context.after(() => page.context().close());
  await until(page, 'lab.status === "ready"');
  for (const panel of PANELS.filter(Boolean)) {
    await lab(page, `lab.set({ panel: '${panel}' })`);
    await until(
      page,
      `document.querySelector('peft-playground').shadowRoot.querySelector('#panel > peft-panel-${panel}')?.shadowRoot.querySelector('h2')`,
    );
    // an engine beside the page's
    if (panel === 'combine') await until(page, "document.querySelector('peft-playground').shadowRoot.querySelector('peft-panel-combine').own");
    await takeAway(page);
    await nothingLeft(page, panel);
    await page.evaluate('place.append(element)');
    await until(page, 'lab.status === "ready"');
  }
  assert.deepEqual(errors, []);
});
