// For everybody, in every installed engine: forced colours and reduced motion, a phone's width with axe, and 390 px, 320 px, zoom and
// text at 200 % without anything that has to be scrolled sideways, on the page and in every panel.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { PANELS } from '../../web/lib/store.js';
import { engines } from './lib/browser.mjs';
import { giveEyes } from './lib/eyes.mjs';
import { buildSite, eventually, foreignHost, lab, until } from './lib/qa-site.mjs';

const LINK = '#v=1&model=stories-300k&task=pirate&n=4&bs=4&r=4&w=1&lang=en&level=explorer';
const NO_FORCED = 'WebKit has no forced colours';
/** What a window of 1280 px is at 200 % zoom has 640; text at 200 % is a matter of the letters alone. */
const SIZES = /** @type {const} */ ([['390 px', 390, ''], ['320 px', 320, ''], ['zoom 200 %', 640, ''], ['text 200 %', 1280, '200%']]);

/** @type {Awaited<ReturnType<typeof buildSite>>} */
let built;
/** @type {Awaited<ReturnType<Awaited<ReturnType<typeof buildSite>>['serve']>>} */
let site;
const foreign = foreignHost();
before(async () => {
  built = await buildSite();
  giveEyes(built.folder, ['index.html']);
  site = await built.serve();
}, { timeout: 400_000 });
after(() => built?.close());

for (const { name: engine, launch } of engines()) {
  test(`${engine}: for everybody`, { timeout: 900_000 }, async (t) => {
    await t.test('reduced motion, and forced colours where there are any: nothing moves, everything is seen', async (s) => {
      const driver = await launch({ still: true, forced: true });
      s.after(() => driver.close());
      await driver.open(`${site.url}${LINK}&panel=merge`);
      await until(driver, 'lab.status === "ready"');
      assert.equal(await driver.evaluate("matchMedia('(prefers-reduced-motion: reduce)').matches"), true);
      const moved = await driver.evaluate(`(async () => { const seen = new Set(); let on = true;
        const look = () => { tools.moving().forEach((name) => seen.add(name)); if (on) setTimeout(look, 40); };
        look();
        await document.querySelector('peft-playground').lab.train();
        const at = tools.find('peft-diagram').shadowRoot;
        const fills = new Set([...at.querySelectorAll('.piece')].map((piece) => getComputedStyle(piece).fill));
        globalThis.lit = [at.querySelectorAll('.lit').length, ...fills];
        await tools.press('peft-panel-merge >>> #merge');
        await tools.one('peft-panel-merge >>> #difference');
        on = false;
        return [...seen]; })()`);
      assert.deepEqual(moved, []);
      const colours = await driver.evaluate(`tools.until(() => { const [canvas] = tools.every('peft-panel-merge >>> peft-heatmap >>> canvas');
        const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
        const all = new Set(Array.from({ length: data.length / 4 }, (_, i) => data.slice(4 * i, 4 * i + 3).join())).size;
        return all > 20 && all; })`);
      assert.ok(colours > 20, 'a map keeps its colours');
      const skip = engine === 'webkit' && NO_FORCED;
      await s.test('forced colours: borders, what is chosen and what trains are seen without ours', { skip }, async () => {
        assert.equal(await driver.evaluate("matchMedia('(forced-colors: active)').matches"), true);
        const [border, chosen, other] = await driver.evaluate(`[tools.find('peft-train >>> #train'), tools.find('peft-methods >>> label.on'),
          tools.find('peft-methods >>> label:not(.on)')].map((at) => getComputedStyle(at)).map((at) => at.borderTopStyle + ' ' + at.borderTopWidth)`);
        assert.match(border, /^solid [1-9]/);
        assert.equal(chosen, 'solid 4px');
        assert.notEqual(other, chosen);
        const [lit, ...fills] = await driver.evaluate('lit');
        assert.ok(lit > 0 && fills.length === 1, `what trains has one colour, the system's: ${lit} ${fills}`);
      });
      assert.deepEqual(await driver.evaluate('tools.wrong()'), []);
    });

    await t.test('narrow, zoomed and with large letters: nothing to scroll sideways; axe on a phone', async (s) => {
      const driver = await launch();
      s.after(() => driver.close());
      // WebKit's window has a least width, so there the page stands in a frame of that width.
      let page = { evaluate: driver.evaluate };
      let resize = (/** @type {number} */ width) => driver.resize(width, 800);
      if (engine === 'webkit') {
        writeFileSync(join(foreign.folder, 'index.html'), `<!doctype html><title>host</title><link rel="icon" href="data:,">
          <iframe style="border: 0; height: 700px; width: 390px" src="${site.url}${LINK}"></iframe>`);
        await driver.resize(1400, 900);
        await driver.open(foreign.host.url);
        page = { evaluate: await driver.within("document.querySelector('iframe')") };
        resize = (width) => driver.evaluate(`void (document.querySelector('iframe').style.width = '${width}px')`);
      } else {
        await resize(390);
        await driver.open(`${site.url}${LINK}`);
      }
      await until(page, 'lab.status === "ready"');
      assert.equal(await page.evaluate('innerWidth'), 390);
      await lab(page, 'void await lab.train()');
      await page.evaluate("tools.one('peft-coach >>> .card').then(() => 1)");
      const looks = await page.evaluate('tools.looks()');
      assert.deepEqual(looks.filter((/** @type {string} */ line) => engine !== 'webkit' || !/frame/.test(line)), []);
      const problems = [];
      await resize(320);
      problems.push(...(await page.evaluate('tools.overflows()')).map((/** @type {string} */ where) => `made narrower: ${where}`));
      for (const [name, width, size] of SIZES) {
        await resize(width);
        await page.evaluate('void (globalThis.earlier = true, setTimeout(() => location.reload()))');
        await eventually(() => lab(page, 'lab.status === "ready" && !globalThis.earlier').catch(() => false), true, 'loaded again');
        assert.equal(await page.evaluate('innerWidth'), width);
        await page.evaluate(`void (document.documentElement.style.fontSize = '${size}')`);
        for (const panel of PANELS) {
          await lab(page, `void lab.set({ panel: '${panel}' })`);
          if (panel) await page.evaluate(`tools.one('peft-panel-${panel} >>> h2').then(() => 1)`);
          const found = await page.evaluate('tools.overflows()');
          problems.push(...found.map((/** @type {string} */ where) => `${panel || 'page'} at ${name}: ${where}`));
        }
      }
      assert.deepEqual(problems, []);
      assert.deepEqual(await page.evaluate('tools.wrong()'), []);
    });
  });
}
