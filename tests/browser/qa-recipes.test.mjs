// The code that Export gives for other places, read as those places read it, and then shown: what it frames must be the element it names, at work.
// The real tools are in ../recipes, which installs them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { embedCode } from '../../web/lib/embed.js';
import { eventually, foreignHost, siteAndBrowser } from './lib/qa-site.mjs';

const own = siteAndBrowser();
const foreign = foreignHost();

const LINK = '#v=1&model=stories-300k&r=4&hide=seed,lr';
/** @param {string} element */
const recipes = (element) =>
  Object.fromEntries(
    embedCode({ page: own.site.url, element, link: LINK, settings: { rank: '4', hide: 'seed,lr' } }).map(({ id, code }) => [
      id,
      code,
    ]),
  );

/** Attributes of a JSX element without children: strings as HTML reads them, {…} as JavaScript. @param {string} code */
function jsx(code) {
  const [, name, rest] = /** @type {RegExpExecArray} */ (/^<(\w+)\s([\s\S]*)\/>$/.exec(code));
  const strings = [...rest.matchAll(/(\w+)="([^"]*)"/g)].map(([, key, value]) => `${key}="${value}"`);
  const objects = [...rest.matchAll(/(\w+)=\{(\{[^}]*\})\}/g)];
  assert.deepEqual(objects.map(([, key, value]) => [key, Function(`return (${value})`)()]), [['style', { border: 0 }]], 'style is an object');
  assert.equal(rest.replace(/\w+="[^"]*"|\w+=\{\{[^}]*\}\}/g, '').trim(), '', 'nothing but attributes');
  return `<${name} ${strings.join(' ')}></${name}>`;
}

/** What the place makes of the code: HTML. @type {Record<string, (code: string) => string>} */
const READ = {
  iframe: (code) => code,
  iframefit: (code) => code,
  lms: (code) => code,
  // Pandoc passes a raw block on as it is.
  quarto: (code) => /** @type {RegExpExecArray} */ (/^```\{=html\}\n([\s\S]*)\n```$/.exec(code))[1],
  // The directive's argument is the address, its options lie between colons.
  myst: (code) => {
    const [, src, width, title] = /** @type {RegExpExecArray} */ (/^:::\{iframe\} (\S+)\n:width: (\d+%)\n:title: (\w+)\n:::$/.exec(code));
    return `<iframe width="${width}" title="${title}" src="${src.replaceAll('&', '&amp;')}"></iframe>`;
  },
  docusaurus: jsx,
  // IFrame(src, width=…, height=…) escapes nothing but quotes.
  jupyter: (code) => {
    const [, src, width, height] = /** @type {RegExpExecArray} */ (
      /^from IPython\.display import IFrame\nIFrame\("([^"\\]+)", width="(100%)", height=(\d+)\)$/.exec(code)
    );
    return `<iframe src="${src}" width="${width}" height="${height}"></iframe>`;
  },
  // reveal.js makes a frame of the attribute; without data-background-interactive nobody could click in it.
  reveal: (code) => {
    const [, src] = /** @type {RegExpExecArray} */ (
      /^<section data-background-iframe="([^"]+)" data-background-interactive data-preload><\/section>$/.exec(code)
    );
    return `<iframe src="${src}"></iframe>`;
  },
};

for (const [place, read] of Object.entries(READ)) {
  test(`${place}: the calculator in a page of another origin, with the link's settings`, { timeout: 240_000 }, async () => {
    const code = recipes('calculator')[place];
    await writeFile(
      join(foreign.folder, 'index.html'),
      `<!doctype html><html lang="en"><meta charset="utf-8"><title>host</title><link rel="icon" href="data:,">${read(code)}`,
    );
    const { page, errors } = await own.browser.open(foreign.host.url);
    const frame = page.frameLocator('iframe');
    await frame.locator('peft-panel-calculator', { hasText: /2,097,152|4,194,304/ }).waitFor();
    const address = await page.locator('iframe').getAttribute('src');
    assert.ok(address?.endsWith(`embed.html?element=calculator${LINK}`), String(address));
    if (['iframe', 'iframefit', 'lms', 'quarto', 'docusaurus', 'myst'].includes(place))
      assert.ok(await page.locator('iframe').getAttribute('title'), 'a frame has a name');
    assert.deepEqual(errors, []);
    await page.context().close();
  });
}

test('myst-widget: the module and its model are those of anywidget.mjs', () => {
  const [, address, json] = /** @type {RegExpExecArray} */ (/^:::\{anywidget\} (\S+)\n(\{[\s\S]*\})\n:::$/.exec(recipes('calculator').mystwidget));
  assert.equal(address, `${own.site.url}anywidget.mjs`);
  assert.deepEqual(JSON.parse(json), { element: 'calculator', attributes: { rank: '4', hide: 'seed,lr' } });
});

test('iframe that fits: the frame follows its content up and down, and no message of another frame', { timeout: 240_000 }, async () => {
  await writeFile(
    join(foreign.folder, 'index.html'),
    `<!doctype html><html lang="en"><meta charset="utf-8"><title>host</title><link rel="icon" href="data:,">${recipes('playground').iframefit}`,
  );
  const { page, errors } = await own.browser.open(foreign.host.url);
  const frame = page.frameLocator('iframe');
  const height = async () => Number(await page.locator('iframe').getAttribute('height'));
  const settles = async (/** @type {(now: number) => boolean} */ good) => {
    for (const end = Date.now() + 120_000; Date.now() < end; await page.waitForTimeout(50)) if (good(await height())) return height();
    throw new Error(`the height stays ${await height()}`);
  };
  const status = () => frame.locator('peft-playground').evaluate((element) => /** @type {any} */ (element).lab?.status);
  await eventually(status, 'ready');
  await frame.locator('.left peft-train .line', { hasText: /^about / }).waitFor(); // the last that comes by itself
  let low = await settles((now) => now > 700);
  for (let before = 0; before !== low; await page.waitForTimeout(500)) [before, low] = [low, await height()];
  await page.evaluate(`window.postMessage({ type: 'peft:height', height: 123 }, '*')`);
  const set = (/** @type {string} */ panel) =>
    frame.locator('peft-playground').evaluate((element, name) => /** @type {any} */ (element).lab.set({ panel: name }), panel);
  await set('calculator');
  await settles((now) => now > low + 200);
  await set('');
  await settles((now) => Math.abs(now - low) < 150);
  assert.deepEqual(errors, []);
  await page.context().close();
});

test('notebook recipes: Python that reads as Python, with the settings and the module\'s address', () => {
  const { anywidget, marimo, docusauruscomponent } = recipes('calculator');
  for (const code of [anywidget, marimo]) {
    assert.match(code, new RegExp(`_esm = "${own.site.url}anywidget\\.mjs"`));
    assert.match(code, /element = Unicode\("calculator"\)\.tag\(sync=True\)/);
    assert.match(code, /Peftlab\(attributes=\{"rank":"4","hide":"seed,lr"\}\)/);
  }
  assert.match(
    docusauruscomponent,
    /^import Head from '@docusaurus\/Head';\n\n<Head>\n {2}<script type="module" src="[^"{}]+peftlab-elements\.js"><\/script>\n<\/Head>\n\n<peft-panel-calculator rank="4" hide="seed,lr"><\/peft-panel-calculator>$/,
  );
});

test('every place has a name and one sentence in every language', async () => {
  const { readFile } = await import('node:fs/promises');
  for (const language of ['en', 'de', 'fr', 'es']) {
    const texts = JSON.parse(await readFile(new URL(`../../web/content/texts/panels/${language}.json`, import.meta.url), 'utf8'));
    for (const id of Object.keys(recipes('playground')))
      for (const key of [`export.embed.${id}`, `export.embed.${id}.about`]) assert.ok(texts[key], `${language} ${key}`);
  }
});
