// Jupyter Book 1 and Sphinx: the plain iframe in a Markdown page and in a notebook's Markdown cell; Sphinx alone also in a `raw` directive.
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { frameOf, pip, run, trial, trains } from './lib.mjs';

await trial('sphinx', async ({ browser, code, folder, serve, look, say, clean }) => {
  const { versions, bin } = await pip(folder, ['jupyter-book<2', 'sphinx', 'myst-parser']);
  say(versions);
  const book = join(folder, 'book');
  await rm(book, { recursive: true, force: true });
  await mkdir(book, { recursive: true });
  await writeFile(join(book, '_config.yml'), 'title: A course\nexecute:\n  execute_notebooks: "off"\n');
  await writeFile(join(book, '_toc.yml'), 'format: jb-book\nroot: page\nchapters:\n  - file: notebook\n');
  await writeFile(join(book, 'page.md'), `# Fine-tuning\n\nText before.\n\n${code.iframe}\n\nText after.\n`);
  await writeFile(
    join(book, 'notebook.ipynb'),
    JSON.stringify({
      nbformat: 4,
      nbformat_minor: 5,
      metadata: { kernelspec: { name: 'python3', display_name: 'Python 3', language: 'python' } },
      cells: [{ cell_type: 'markdown', id: 'one', metadata: {}, source: `# A notebook\n\n${code.iframe}\n` }],
    }),
  );
  await run(bin('jupyter-book'), ['build', book]);
  const url = await serve(join(book, '_build/html'));
  for (const name of ['page', 'notebook']) {
    const { page, errors } = await browser.open(`${url}${name}.html`, { viewport: { width: 1200, height: 900 } });
    say(`${name}: ${await trains(await frameOf(page))}`);
    await look(page, name);
    // the book's theme asks other hosts for its fonts and formulas
    clean(errors, /favicon\.ico|THEBE_JS_URL|theme mode|mathjax|cdn\.|ERR_NAME_NOT_RESOLVED/i);
    await page.context().close();
  }
});
