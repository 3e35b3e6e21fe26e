// mystmd, and with it Jupyter Book 2: `myst build --site` reads the two directives. The site's theme is fetched from
// MyST's own server when a book is built; so that the trial needs npm only, the pages are drawn by the renderers that
// the theme is made of (myst-to-react, @myst-theme/anywidget), in a page of our own.
import assert from 'node:assert/strict';
import { cp, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { folderOf, frameOf, npm, run, trial, trains } from './lib.mjs';

const SHELL = `import { createRoot } from 'react-dom/client';
import { DEFAULT_RENDERERS, MyST } from 'myst-to-react';
import { mergeRenderers, ThemeProvider } from '@myst-theme/providers';
import { ANY_RENDERERS } from '@myst-theme/anywidget';
const { mdast } = await (await fetch(document.body.dataset.page)).json();
const renderers = mergeRenderers([DEFAULT_RENDERERS, ANY_RENDERERS]);
createRoot(document.getElementById('root')).render(<ThemeProvider renderers={renderers}><MyST ast={mdast} /></ThemeProvider>);
`;

await trial('mystmd', async ({ browser, code, folder, serve, look, say, clean }) => {
  say(await npm(folder, ['mystmd']));
  const theme = folderOf('mystmd', 'theme');
  say(await npm(theme, ['@myst-theme/anywidget', '@myst-theme/providers', 'myst-to-react', 'react@18', 'react-dom@18', 'esbuild']));
  const book = join(folder, 'book');
  await rm(book, { recursive: true, force: true });
  await mkdir(book, { recursive: true });
  await writeFile(
    join(book, 'myst.yml'),
    'version: 1\nproject:\n  title: A course\n  toc:\n    - file: frame.md\n    - file: widget.md\nsite:\n  template: book-theme\n',
  );
  await writeFile(join(book, 'frame.md'), `# Fine-tuning\n\nText before.\n\n${code.myst}\n\nText after.\n`);
  await writeFile(join(book, 'widget.md'), `# A part of the page\n\nText before.\n\n${code.mystwidget}\n\nText after.\n`);
  // 1: the theme could not be fetched
  const output = await run(join(folder, 'node_modules/.bin/myst'), ['build', '--site'], { cwd: book, codes: [0, 1] });
  assert.doesNotMatch(output, /⚠|⛔|Invalid|unknown|Unexpected/i, output);
  const site = join(book, '_build/site');
  const content = async (/** @type {string} */ name) => JSON.stringify(JSON.parse(await readFile(join(site, `content/${name}.json`), 'utf8')).mdast);
  assert.match(await content('widget').catch(() => content('index')), /"type":"anywidget"/);
  await writeFile(join(theme, 'shell.jsx'), SHELL);
  await run(
    join(theme, 'node_modules/.bin/esbuild'),
    ['shell.jsx', '--bundle', '--format=esm', '--jsx=automatic', '--log-level=error', `--outfile=${join(site, 'shell.js')}`],
    { cwd: theme },
  );
  for (const [name, page] of [['frame', 'index'], ['widget', 'widget']]) {
    await writeFile(
      join(site, `${name}.html`),
      `<!doctype html><html lang="en"><meta charset="utf-8"><title>${name}</title><link rel="icon" href="data:,"><body ` +
        `data-page="content/${page}.json" style="max-width: 900px; margin: auto; font-family: sans-serif"><style>.relative ` +
        `{ position: relative; } .inline-block { display: inline-block; }</style><div id="root"></div><script type="module" ` +
        `src="shell.js"></script></html>`,
    );
  }
  await cp(join(site, 'public'), site, { recursive: true }); // the theme's server shows public/ at the top
  const url = await serve(site);

  const frame = await browser.open(`${url}frame.html`, { viewport: { width: 1100, height: 900 } });
  say(`iframe: ${await trains(await frameOf(frame.page))}`);
  const box = await frame.page.locator('iframe').boundingBox();
  say(`iframe: ${Math.round(box?.width ?? 0)} x ${Math.round(box?.height ?? 0)} px, the theme's own proportion`);
  await look(frame.page, 'iframe');
  clean(frame.errors);

  const widget = await browser.open(`${url}widget.html`, { viewport: { width: 1100, height: 900 } });
  say(`anywidget: ${await trains(widget.page)}`);
  await look(widget.page, 'anywidget');
  clean(widget.errors);
});
