// Learning platforms, as far as they can be had from npm: what their editor and their HTML cleaners leave of the
// recipe, framed as they frame it. openedx.mjs has a platform's block.
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { folderOf, frameOf, lab, npm, trial, trains, until } from './lib.mjs';

/** What Canvas' own allow list lets an iframe and a link keep (canvas_sanitize in its public sources). */
const CANVAS = {
  allowedTags: ['a', 'b', 'br', 'div', 'em', 'h2', 'h3', 'iframe', 'img', 'li', 'ol', 'p', 'span', 'strong', 'ul'],
  allowedAttributes: {
    '*': ['style', 'class', 'id', 'title', 'role', 'lang', 'dir'],
    a: ['href', 'target', 'name'],
    iframe: ['src', 'width', 'height', 'name', 'align', 'frameborder', 'scrolling', 'sandbox', 'allowfullscreen'],
  },
  allowedStyles: { '*': { border: [/.*/], width: [/.*/], height: [/.*/] } },
};
/** Moodle cleans what students write: no frames at all. Teachers' pages are not cleaned; their editor drops scripts. */
const FORUM = {
  ALLOWED_TAGS: ['a', 'b', 'br', 'div', 'em', 'h3', 'h4', 'li', 'ol', 'p', 'span', 'strong', 'ul'],
  ALLOWED_ATTR: ['href', 'target', 'title', 'rel'],
};
const EDITOR = { ADD_TAGS: ['iframe'], ADD_ATTR: ['allow', 'allowfullscreen', 'frameborder', 'loading', 'target'] };

/** The editor of Moodle, Canvas and Open edX's Studio, in versions that a platform may have; as it comes, without their settings. */
const TINYMCE = ['5', '6', '7', '8'];

const RESIZE = `<script>addEventListener('message', ({ data, source }) => { try { const message = JSON.parse(data); if ` +
  `(message.subject === 'lti.frameResize') for (const frame of document.querySelectorAll('iframe')) if (frame.contentWindow ` +
  `=== source) frame.height = message.height; } catch { /* not for us */ } });</script>`;

const LANDING = (/** @type {string} */ place, /** @type {string} */ html) =>
  `<!doctype html><html lang="en"><meta charset="utf-8"><title>${place}</title><link rel="icon" href="data:,"><h1>${place}</h1>${html}</html>`;

await trial('lms', async ({ browser, code, folder, serve, look, say, clean }) => {
  say(await npm(folder, ['sanitize-html', 'dompurify', 'jsdom']));
  const require = createRequire(join(folder, 'package.json'));
  const sanitize = require('sanitize-html');
  const { JSDOM } = require('jsdom');
  const purify = require('dompurify')(new JSDOM('').window);
  const places = /** @type {Record<string, string>} */ ({
    canvas: sanitize(code.lms, CANVAS),
    moodle: purify.sanitize(code.lms, EDITOR),
    forum: purify.sanitize(code.lms, FORUM),
  });
  assert.ok(!/<script/.test(code.lms), 'no script that a cleaner would strip');
  assert.ok(
    !/iframe/.test(places.forum) && /<a [^>]*href="http[^"]+embed\.html#v=1/.test(places.forum),
    'where frames are cleaned away the link stays',
  );
  for (const [place, html] of Object.entries(places))
    await writeFile(join(folder, `${place}.html`), LANDING(place, html + (place === 'canvas' ? RESIZE : '')));
  // The strictest frame there is: no storage, an origin of its own.
  await writeFile(join(folder, 'sandbox.html'), LANDING('sandbox', code.lms.replace('<iframe', '<iframe sandbox="allow-scripts"')));
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

  // What the editor makes of the recipe in its HTML source, and whether that still trains. From 7 on it takes the
  // scripts of frames away unless the platform says otherwise.
  for (const major of TINYMCE) {
    const place = folderOf('lms', `tinymce-${major}`);
    say(await npm(place, [`tinymce@${major}`]));
    await writeFile(
      join(place, 'editor.html'),
      LANDING('editor', '<textarea id="editor"></textarea><script src="node_modules/tinymce/tinymce.min.js"></script>'),
    );
    const { page, errors } = await browser.open(`${url}tinymce-${major}/editor.html`);
    const edited = async (/** @type {Record<string, unknown>} */ options) => /** @type {string} */ (await page.evaluate(`(async () => {
      tinymce.remove();
      const [editor] = await tinymce.init({ selector: '#editor', license_key: 'gpl', convert_urls: false, ...${JSON.stringify(options)} });
      editor.setContent(${JSON.stringify(code.lms)});
      return editor.getContent();
    })()`));
    const usual = await edited({});
    const allowed = Number(major) < 7 ? usual : await edited({ sandbox_iframes_exclusions: ['127.0.0.1'] });
    clean(errors, /sandbox/);
    assert.equal(/ sandbox=""/.test(usual), Number(major) >= 7, usual);
    assert.match(usual, /<a href="http[^"]+embed\.html#v=1[^"]+" target="_blank" rel="noopener">/, 'the link stays');
    await writeFile(join(place, 'saved.html'), LANDING(`TinyMCE ${major}`, allowed));
    await page.goto(`${url}tinymce-${major}/saved.html`);
    say(`tinymce ${major}: ${await trains(await frameOf(page))}`);
    await look(page, `tinymce-${major}`);
    if (usual !== allowed) {
      await writeFile(join(place, 'saved.html'), LANDING(`TinyMCE ${major}`, usual));
      await page.reload();
      await page.frameLocator('iframe').locator('noscript p').waitFor();
      say(`tinymce ${major}, unless the platform lists the address: sandbox="", the frame only says what it needs`);
    }
    await page.context().close();
  }
});
