// The panels whose tables come from the engine's own description, in every language: nothing in them stays English.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { checkAxe, fits, screenshot } from './lib/browser.mjs';
import { eventually, siteAndBrowser, until } from './lib/qa-site.mjs';

const own = siteAndBrowser();

const read = (/** @type {string} */ language) =>
  Object.assign(
    {},
    ...['', 'panels/'].map((folder) =>
      JSON.parse(readFileSync(new URL(`../../web/content/texts/${folder}${language}.json`, import.meta.url), 'utf8')),
    ),
  );
/** One text of each table. */
const TABLES = {
  choose: [
    'well-studied-for-this-use-case', 'maximum-efficiency', 'general-purpose', 'adapters-add-latency',
    'adapters-easy-to-swap-combine',
  ],
  chapter: [
    'quick-experiments', 'tasks-have-different-needs', 'classification', 'multi-task',
    'rounded-up-llama-2-7b-has-6-738-415-616-paramete',
  ],
};

for (const language of ['de', 'fr', 'es']) {
  test(`${language}: Choose and Chapter speak it throughout`, { timeout: 400_000 }, async () => {
    const words = read(language);
    const { page, assertClean } = await own.browser.open(`${own.site.url}#v=1&model=stories-300k&lang=${language}&panel=choose`);
    try {
      await until(page, 'lab.status === "ready"');
      const shown = /** @type {(name: string) => Promise<any>} */ (async (name) => {
        const panel = page.locator(`peft-panel-${name}`);
        await panel.getByRole('rowheader', { name: words['book.classification'] }).first().waitFor();
        await panel.locator('details').evaluateAll((list) => list.forEach((each) => { /** @type {HTMLDetailsElement} */ (each).open = true; }));
        const text = async () => (await panel.evaluate((element) => element.shadowRoot?.textContent ?? '')).replace(/\s+/g, ' ');
        for (const key of TABLES[/** @type {'choose' | 'chapter'} */ (name)]) {
          // in the tree a line holds few words
          const said = name === 'choose' && key.startsWith('adapters-easy') ? words[`book.${key}`].split(' ')[0] : words[`book.${key}`];
          await eventually(async () => (await text()).includes(said.replace(/\s+/g, ' ')), true, `${name}: ${key}`);
        }
        await eventually(() => panel.locator('[lang="en"]').allInnerTexts(), [], name);
        await panel.scrollIntoViewIfNeeded();
        for (const theme of ['light', 'dark']) {
          await page.evaluate((value) => { document.documentElement.dataset.theme = value; }, theme);
          await screenshot(page, `qa-${name}-${language}-${theme}`, { fullPage: true });
        }
      });
      await shown('choose');
      await page.evaluate(() => /** @type {any} */ (document.querySelector('peft-playground')).lab.set({ panel: 'chapter' }));
      await shown('chapter');
      await checkAxe(page);
      await page.setViewportSize({ width: 360, height: 800 });
      await fits(page, 360);
      await screenshot(page, `qa-chapter-${language}-phone`, { fullPage: true });
      assertClean();
    } finally {
      await page.context().close();
    }
  });
}

for (const language of ['de', 'fr', 'es']) {
  test(`${language}: the calculator speaks it throughout`, { timeout: 400_000 }, async () => {
    const words = read(language);
    const english = read('en');
    const { page, assertClean } = await own.browser.open(`${own.site.url}#v=1&model=stories-300k&lang=${language}&panel=calculator`);
    try {
      const panel = page.locator('peft-panel-calculator');
      const method = panel.getByRole('combobox', { name: words['calc.method'], exact: true });
      const weights = panel.getByRole('combobox', { name: words['calc.dtype'], exact: true });
      const open = () =>
        panel.locator('details').evaluateAll((list) =>
          list.forEach((each) => {
            /** @type {HTMLDetailsElement} */ (each).open = true;
          }),
        );
      const has = (/** @type {string} */ text) => panel.getByText(text).first().waitFor({ state: 'attached', timeout: 60_000 });
      /** Nothing of the English dictionary that has other words here, and nothing marked as English. */
      const spoken = async () => {
        await open();
        await eventually(async () => {
          const text = (await panel.evaluate((element) => element.shadowRoot?.textContent ?? '')).replace(/\s+/g, ' ');
          const has = (/** @type {string} */ part) => part.trim().length > 11 && text.includes(part.trim());
          return Object.keys(english).filter((key) => /^(calc|assume|term)\./.test(key) && english[key] !== words[key])
            .filter((key) => english[key].split(/\{\w+\}/).some(has));
        }, []);
        await eventually(() => panel.locator('[lang="en"]').allInnerTexts(), []);
      };
      await until(page, 'lab.status === "ready"'); // the page is drawn anew when its model is there
      await panel.locator('.big').waitFor();
      await eventually(
        () => method.locator('option').allInnerTexts(),
        ['prompt', 'prefix', 'lora', 'adapter', 'ia3', 'norms', 'full'].map((name) => words[`method.${name}`]),
      );
      await eventually(() => panel.locator('option[value="gpt2-small"]').innerText(), words['shape.gpt2-small']);
      await spoken();
      await weights.selectOption('nf4');
      await method.selectOption('adapter');
      await has(words['assume.nf4'].split('{bits}')[1].trim());
      await has(words['term.adapter'].match(/(?<=\()\S+/)[0]); // the way down
      await spoken();
      await method.selectOption('full'); // weights in 4 bits cannot be trained: said in the page's language too
      await panel.getByRole('alert').filter({ hasText: words['assume.frozen'].replace('{format}', 'nf4') }).waitFor();
      await panel.getByRole('button', { name: words['calc.chapter'] }).click();
      await has(words['assume.chapter.lora'].split('{format}')[1].slice(0, 40));
      await has(words['calc.col.as']);
      await eventually(() => panel.getByRole('alert').count(), 0);
      await spoken();
      for (const theme of ['light', 'dark']) {
        await page.evaluate((value) => { document.documentElement.dataset.theme = value; }, theme);
        await screenshot(page, `qa-calculator-${language}-${theme}`, { fullPage: true });
      }
      await checkAxe(page);
      await page.setViewportSize({ width: 360, height: 800 });
      await fits(page, 360);
      await screenshot(page, `qa-calculator-${language}-phone`, { fullPage: true });
      assertClean();
    } finally {
      await page.context().close();
    }
  });
}
