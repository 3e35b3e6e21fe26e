// marimo: the recipe as a notebook's first cell; a cell that steers it, and a cell that shows what came back, which marimo runs again by itself.
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { background, freePort, lab, pip, trial, trains, until } from './lib.mjs';

const indent = (/** @type {string} */ text) => text.split('\n').map((line) => (line ? `    ${line}` : '')).join('\n');

await trial('marimo', async ({ browser, code, folder, look, say, clean, later }) => {
  const { versions, bin } = await pip(folder, ['marimo', 'anywidget', 'traitlets']);
  say(versions);
  const work = join(folder, 'work');
  await mkdir(work, { recursive: true });
  await writeFile(join(work, 'course.py'), `import marimo
app = marimo.App()

@app.cell
def _():
${indent(code.marimo)}
    return lab, mo

@app.cell
def _(lab, mo):
    def go(_):
        lab.rank = 16
        lab.training = True
    mo.ui.button(label="Steer from Python", on_click=go)
    return

@app.cell
def _(lab, mo):
    seen = lab.value
    mo.md(f"SEEN {seen['method']} {seen['rank']} {seen['status']} {seen['result'].get('status')} {len(seen['result'].get('losses', []))}")
    return

if __name__ == "__main__":
    app.run()
`);
  const port = await freePort();
  const server = await background(
    bin('marimo'),
    ['run', 'course.py', '--headless', '--no-token', '--host', '127.0.0.1', '--port', String(port)],
    { cwd: work, env: { HOME: folder, PATH: `${join(folder, 'venv/bin')}:${process.env.PATH}` } },
  );
  later(() => server.close());
  const url = `http://127.0.0.1:${port}/`;
  await server.answers(url);
  const { page, errors } = await browser.open(url, { viewport: { width: 1200, height: 1000 } });
  await until(() => lab(page, "lab.status === 'ready'"), 'ready');
  say(`anywidget: ${await trains(page)}`);
  await look(page, '');
  await page.getByText(/SEEN lora 4 ready done 4/).waitFor({ timeout: 20_000 });
  await page.getByRole('button', { name: 'Steer from Python' }).click();
  await until(
    () => lab(page, "lab.state.options.rank === 16 && lab.runs.length === 2 && lab.run.status === 'done'"),
    'rank and training from Python',
  );
  await page.getByText(/SEEN lora 16 ready done 4/).waitFor({ timeout: 20_000 });
  await page.locator('peft-methods').getByText('Prefix').first().click();
  await page.getByText(/SEEN prefix None ready/).waitFor({ timeout: 20_000 });
  say('traits both ways: rank and training from Python; method, rank, status and result back');
  await look(page, 'traits');
  clean(errors, /favicon|ERR_NAME_NOT_RESOLVED|fonts|cdn\./i);
});
