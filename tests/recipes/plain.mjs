// iframe and web component in an ordinary page of another origin, the frame also with a host that follows its height.
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { frameOf, lab, trial, trains, until } from './lib.mjs';

/** @param {string} body */
const page = (body) =>
  `<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>A course page</title><link rel="icon" href="data:,">\n` +
    `<h1>A course page</h1>\n${body}\n<p>Text after it.</p></html>\n`;

await trial('plain', async ({ browser, code, folder, serve, look, say, clean }) => {
  await writeFile(join(folder, 'iframe.html'), page(code.iframe));
  await writeFile(join(folder, 'component.html'), page(`${code.component}\n<p><label>A field of the page <input id="field"></label></p>`));
  await writeFile(join(folder, 'follow.html'), page(code.iframefit));
  const url = await serve(folder);

  const iframe = await browser.open(`${url}iframe.html`, { viewport: { width: 1100, height: 800 } });
  say(`iframe: ${await trains(await frameOf(iframe.page))}`);
  await look(iframe.page, 'iframe');
  clean(iframe.errors);

  const follow = await browser.open(`${url}follow.html`, { viewport: { width: 1100, height: 800 } });
  const frame = await frameOf(follow.page);
  await trains(frame);
  const heights = async () => ({
    frame: (await follow.page.locator('iframe').boundingBox())?.height ?? 0,
    inside: /** @type {number} */ (await frame.evaluate("document.getElementById('place').getBoundingClientRect().height")),
  });
  const fits = async () => { const { frame: outer, inside } = await heights(); return Math.abs(outer - inside) < 24; };
  await until(fits, 'the frame is as high as its content');
  const before = await heights();
  await lab(frame, "lab.set({ panel: 'calculator' })");
  await until(async () => (await heights()).frame > before.frame + 200 && fits(), 'grown with the panel');
  await lab(frame, "lab.set({ panel: '' })");
  await until(async () => Math.abs((await heights()).frame - before.frame) < 24, 'shrunk again');
  say(`iframe that fits: ${before.frame} px, grows with a panel and shrinks again`);
  await look(follow.page, 'iframefit');
  clean(follow.errors);

  const component = await browser.open(`${url}component.html`, { viewport: { width: 1100, height: 800 } });
  say(`component: ${await trains(component.page)}`);
  const method = await lab(component.page, 'lab.state.method');
  await component.page.locator('body').click({ position: { x: 5, y: 5 } });
  await component.page.keyboard.press('2');
  await component.page.keyboard.press('m');
  assert.deepEqual(await lab(component.page, '[lab.state.method, lab.state.panel]'), [method, ''], 'keys of the page are not taken');
  await look(component.page, 'component');
  const colours = () => component.page.evaluate(() => {
    const inside = (/** @type {string} */ name) =>
      /** @type {any} */ (document.querySelector('peft-playground')).shadowRoot.querySelector(name).shadowRoot;
    const style = getComputedStyle(inside('peft-train').querySelector('button.primary'));
    return [style.color, style.backgroundColor].join(' on ');
  });
  assert.equal(await colours(), 'rgb(255, 255, 255) on rgb(10, 99, 165)');
  await component.page.evaluate("document.body.style.background = '#111'");
  await until(async () => (await colours()) === 'rgb(12, 22, 32) on rgb(142, 195, 255)', 'dark on a dark page');
  await look(component.page, 'component-dark');
  clean(component.errors);
});
