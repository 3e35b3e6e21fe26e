// Learning platforms, as far as they can be had from npm: what their HTML cleaners leave of the recipe, framed as they frame it. The real platforms were not tried.
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { frameOf, lab, npm, trial, trains, until } from './lib.mjs';

/** What Canvas' own allow list lets an iframe and a link keep (canvas_sanitize in its public sources). */
const CANVAS = {
  allowedTags: ['a', 'b', 'br', 'div', 'em', 'h2', 'h3', 'iframe', 'img', 'li', 'ol', 'p', 'span', 'strong', 'ul'],
  allowedAttributes: { '*': ['style', 'class', 'id', 'title', 'role', 'lang', 'dir'], a: ['href', 'target', 'name'], iframe: ['src', 'width', 'height', 'name', 'align', 'frameborder', 'scrolling', 'sandbox', 'allowfullscreen'] },
  allowedStyles: { '*': { border: [/.*/], width: [/.*/], height: [/.*/] } },
};
/** Moodle cleans what students write: no frames at all. Teachers' pages are not cleaned; their editor drops scripts. */
const FORUM = { ALLOWED_TAGS: ['a', 'b', 'br', 'div', 'em', 'h3', 'h4', 'li', 'ol', 'p', 'span', 'strong', 'ul'], ALLOWED_ATTR: ['href', 'target', 'title', 'rel'] };
const EDITOR = { ADD_TAGS: ['iframe'], ADD_ATTR: ['allow', 'allowfullscreen', 'frameborder', 'loading', 'target'] };

const RESIZE = `<script>addEventListener('message', ({ data, source }) => { try { const message = JSON.parse(data); if (message.subject === 'lti.frameResize') for (const frame of document.querySelectorAll('iframe')) if (frame.contentWindow === source) frame.height = message.height; } catch { /* not for us */ } });</script>`;

await trial('lms', async ({ browser, code, folder, serve, look, say, clean }) => {
  say(await npm(folder, ['sanitize-html', 'dompurify', 'jsdom']));
  const require = createRequire(join(folder, 'package.json'));
  const sanitize = require('sanitize-html');
  const { JSDOM } = require('jsdom');
  const purify = require('dompurify')(new JSDOM('').window);
  const places = /** @type {Record<string, string>} */ ({ canvas: sanitize(code.lms, CANVAS), moodle: purify.sanitize(code.lms, EDITOR), forum: purify.sanitize(code.lms, FORUM) });
  assert.ok(!/<script/.test(code.lms), 'no script that a cleaner would strip');
  assert.ok(!/iframe/.test(places.forum) && /<a [^>]*href="http[^"]+embed\.html#v=1/.test(places.forum), 'where frames are cleaned away the link stays');
  for (const [place, html] of Object.entries(places)) await writeFile(join(folder, `${place}.html`), `<!doctype html><html lang="en"><meta charset="utf-8"><title>${place}</title><link rel="icon" href="data:,"><h1>${place}</h1>${html}${place === 'canvas' ? RESIZE : ''}</html>`);
  // The strictest frame there is: no storage, an origin of its own.
  await writeFile(join(folder, 'sandbox.html'), `<!doctype html><html lang="en"><meta charset="utf-8"><title>sandbox</title><link rel="icon" href="data:,"><h1>sandbox</h1>${code.lms.replace('<iframe', '<iframe sandbox="allow-scripts"')}</html>`);
  const url = await serve(folder);
  for (const place of ['canvas', 'moodle', 'sandbox']) {
    const { page, errors } = await browser.open(`${url}${place}.html`, { viewport: { width: 1000, height: 800 } });
    const frame = await frameOf(page);
    say(`${place}: ${await trains(frame)}`);
    if (place === 'canvas') {
      const height = async () => (await page.locator('iframe').boundingBox())?.height ?? 0;
      await until(async () => (await height()) > 900, 'lti.frameResize is followed');
      const before = await height();
      await lab(frame, "lab.set({ panel: 'calculator' })");
      await until(async () => (await height()) > before + 200, 'and again');
    }
    await look(page, place);
    clean(errors);
    await page.context().close();
  }
});
