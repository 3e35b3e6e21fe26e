// Every feature of the page in every installed engine: the first run with its score and coach, Stop, each panel's main action, links
// that ask for the impossible, elements alone, and keys and the clipboard by the browser's own input. axe finds nothing, light and
// dark; nothing goes wrong; nobody else is asked; and what is computed is the same to the last digit. lib/visits.js is what is done.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { PANELS } from '../../web/lib/store.js';
import { engines, root } from './lib/browser.mjs';
import { agreement, giveEyes } from './lib/eyes.mjs';
import { buildSite, eventually } from './lib/qa-site.mjs';

const LINK = '#v=1&model=stories-300k&task=pirate&n=10&bs=16&lr=0.01&r=8&a=16&t=qv&lang=en';
const texts = JSON.parse(readFileSync(join(root, 'web/content/texts/en.json'), 'utf8'));
const recorded = JSON.parse(readFileSync(join(root, 'web/content/recorded/first-run.json'), 'utf8')).run.sample;
/** Own data comes last: it changes the task. */
const NAMES = [...PANELS.filter((name) => name && name !== 'data'), 'data'];
const ALONE = /** @type {const} */ ([
  ['merge', 'element=merge&adapter=pirate-lora', ''], ['delta', 'element=delta&adapter=pirate-lora', ''],
  ['mix', 'element=mix', '&model=stories-1m'], ['coach', 'element=coach', '&model=stories-300k&n=8&bs=4'],
  ['calculator', 'element=calculator', ''], ['quiz', 'element=quiz', '&model=stories-300k&lesson=few-numbers&lang=es'],
  ['unknown', 'element=nonsense', '&lang=fr'],
]);

/** @type {Awaited<ReturnType<typeof buildSite>>} */
let built;
/** @type {Awaited<ReturnType<Awaited<ReturnType<typeof buildSite>>['serve']>>} */
let site;
before(async () => {
  built = await buildSite();
  giveEyes(built.folder, ['index.html', 'embed.html']);
  site = await built.serve();
}, { timeout: 400_000 });
after(() => built?.close());

const asElsewhere = agreement();

for (const { name: engine, launch } of engines()) {
  test(`${engine}: the whole page`, { timeout: 1_800_000 }, async (t) => {
    const driver = await launch();
    t.after(() => driver.close());
    const visit = (/** @type {string} */ expression) => driver.evaluate(`visits.${expression}`);
    await driver.open(`${site.url}${LINK}`);

    await t.test('the first run: its words from the first moment, its score and the coach by themselves', async () => {
      const { said, ...seen } = await visit('first()');
      const words = [recorded.before, recorded.after].map((text) => text.replaceAll(/\s+/g, ' ').trim()).join(' / ');
      assert.deepEqual(said, [words], 'the recorded run, and never anything else or nothing');
      asElsewhere('first', seen);
    });
    for (const name of NAMES) {
      await t.test(name, async () => {
        const label = texts[name === 'proof' ? 'panel.proof.ask' : `panel.${name}`];
        const { seen, looks, wrong } = await visit(`visit('${name}', ${JSON.stringify(label)})`);
        assert.deepEqual(looks, [], 'accessibility');
        assert.deepEqual(seen.looks ?? [], [], 'accessibility on the way');
        assert.deepEqual(wrong, [], 'errors, and requests to others');
        asElsewhere(name, seen);
      });
    }
    await t.test('pause, one step, go on, stop', async () => {
      assert.deepEqual(await visit('stop()'), { status: 'stopped', short: true, soon: true, step: true });
    });
  });

  test(`${engine}: links, elements alone`, { timeout: 900_000 }, async (t) => {
    const driver = await launch();
    t.after(() => driver.close());
    const visit = (/** @type {string} */ expression) => driver.evaluate(`visits.${expression}`);
    await t.test('a link with impossible options: corrected in one notice, in its language, and it trains', async () => {
      await driver.open(`${site.url}#v=1&model=stories-300k&task=mood&m=banana&r=9999&foo=1&n=99999&bs=2&lang=de`);
      const { said, looks, wrong, ...rest } = await visit('corrected()');
      for (const part of [/Rang r: 9999 wurde auf 1024 gesetzt/, /„banana“ ist nicht dabei/]) assert.match(said, part);
      assert.deepEqual({ looks, wrong, ...rest }, { looks: [], wrong: [], items: 1, title: 'PEFT-Labor', lang: 'de' });
    });
    await t.test('by the keyboard itself: a slider, paste, and from there to a trained model', async () => {
      await driver.open(`${site.url}${LINK}`);
      await visit('keys.slider()');
      await driver.press('ArrowRight');
      await driver.press('Shift+ArrowRight');
      await eventually(async () => (await visit('focused()')).value, '10', 'one by the arrow, one with Shift');
      let { name, ring } = await visit('focused()');
      for (let i = 0; i < 60 && name !== 'train'; i++) {
        await driver.press('Tab');
        ({ name, ring } = await visit('moved()'));
      }
      assert.deepEqual({ name, ring }, { name: 'train', ring: 'solid' });
      await driver.press('Enter');
      await visit('keys.trained().then(() => 1)');
      await visit('keys.paste()');
      for (const keys of ['Control+A', 'Control+X', 'Control+V']) await driver.press(keys);
      assert.deepEqual(await visit('keys.pasted()'), { still: 'textarea', can: true });
    });
    for (const [name, query, settings] of ALONE) {
      await t.test(`${name} alone`, async () => {
        await driver.open(`${site.url}embed.html?${query}#v=1${settings}`);
        const { seen, looks, wrong } = await visit(`alone('${name}')`);
        assert.deepEqual(wrong, [], 'errors, and requests to others');
        const own = looks.filter((/** @type {string} */ line) => !line.includes('page-has-heading-one')); // that is the host's
        assert.deepEqual(own, [], 'accessibility');
        asElsewhere(`alone ${name}`, seen);
      });
    }
  });
}
