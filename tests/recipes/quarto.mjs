// Quarto: with `quarto` itself where it is installed; else with the pandoc that it builds on (PyPI carries pandoc's
// program; Quarto's comes from elsewhere). A raw {=html} block is pandoc's own syntax, and Quarto's HTML formats are
// pandoc's with filters and themes; but Quarto's part is then not tried.
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { findProgram } from '../browser/lib/browser.mjs';
import { frameOf, pip, run, trial, trains } from './lib.mjs';

await trial('quarto', async ({ browser, code, folder, serve, look, say, clean }) => {
  const book = join(folder, 'book');
  await mkdir(book, { recursive: true });
  const text = (/** @type {string} */ recipe) => `---\ntitle: Fine-tuning\n---\n\n## A section\n\nText before.\n\n${recipe}\n\nText *after*.\n`;
  await writeFile(join(book, 'page.qmd'), text(code.quarto));
  await writeFile(join(book, 'component.qmd'), text(`\`\`\`{=html}\n${code.component}\n\`\`\``));
  const quarto = findProgram(['quarto']);
  if (quarto) {
    say(`quarto ${(await run(quarto, ['--version'])).trim()}`);
    for (const name of ['page', 'component']) await run(quarto, ['render', `${name}.qmd`, '--to', 'html'], { cwd: book });
  } else {
    const { versions, bin } = await pip(folder, ['pypandoc_binary']);
    const pandoc = (await run(bin('python'), ['-c', 'import pypandoc; print(pypandoc.get_pandoc_path())'])).trim().split('\n').at(-1) ?? '';
    say(`no quarto here; pandoc ${(await run(pandoc, ['--version'])).split('\n')[0].replace('pandoc ', '')} (${versions})`);
    for (const name of ['page', 'component'])
      await run(
        pandoc,
        [
          '--from', 'markdown', '--to', 'html5', '--standalone', '--section-divs', '--variable', 'lang=en',
          `${name}.qmd`,
          '-o',
          `${name}.html`,
        ],
        { cwd: book },
      );
  }
  const url = await serve(book);
  for (const name of ['page', 'component']) {
    const { page, errors } = await browser.open(`${url}${name}.html`, { viewport: { width: 1000, height: 900 } });
    say(`${name}: ${await trains(name === 'page' ? await frameOf(page) : page)}`);
    await look(page, name);
    clean(errors, /favicon\.ico/);
    await page.context().close();
  }
});
