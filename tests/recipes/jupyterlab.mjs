// JupyterLab: a notebook with the two recipes, run in the browser like a student runs it; traits from Python to the
// page and back; keys stay where they are pressed.
import assert from 'node:assert/strict';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { background, frameOf, freePort, lab, pip, trial, trains, until } from './lib.mjs';

/** @param {string[]} cells @param {string} [kind] */
const notebook = (cells, kind = 'code') => JSON.stringify({
  nbformat: 4, nbformat_minor: 5, metadata: { kernelspec: { name: 'python3', display_name: 'Python 3', language: 'python' } },
  cells: cells.map((source, i) => ({ cell_type: kind, id: `cell-${i}`, metadata: {}, source, outputs: [], execution_count: null })),
});

/** Messages of JupyterLab's own: extensions look for servers on the net. */
const KNOWN = /Failed to load resource.*(40[0-9]|50[0-9])|jupyter|lsp|extension|favicon|news|ERR_NAME_NOT_RESOLVED/i;

await trial('jupyterlab', async ({ browser, code, folder, look, say, clean, later }) => {
  const { versions, bin } = await pip(folder, ['jupyterlab', 'anywidget', 'ipywidgets', 'traitlets']);
  say(versions);
  const work = join(folder, 'work');
  await rm(work, { recursive: true, force: true });
  await mkdir(work, { recursive: true });
  await writeFile(join(work, 'frame.ipynb'), notebook([code.jupyter]));
  await writeFile(join(work, 'widget.ipynb'), notebook([
    code.anywidget,
    'lab.method = "prefix"',
    'lab.method = "lora"; lab.rank = 2',
    'print("IN PYTHON", lab.method, lab.rank, lab.status)',
    'lab.training = True',
    'print("RESULT", lab.training, lab.result["status"], len(lab.result["losses"]), lab.result["options"]["rank"], lab.result["trainable"])',
  ]));
  const port = await freePort();
  const server = await background(
    bin('jupyter'),
    [
      'lab',
      '--no-browser',
      '--allow-root',
      `--port=${port}`,
      '--ServerApp.token=',
      '--ServerApp.password=',
      '--ServerApp.disable_check_xsrf=True',
      `--ServerApp.root_dir=${work}`,
    ],
    {
      cwd: work,
      env: {
        JUPYTER_CONFIG_DIR: join(folder, 'config'),
        JUPYTER_DATA_DIR: join(folder, 'data'),
        JUPYTER_RUNTIME_DIR: join(folder, 'runtime'),
        PATH: `${join(folder, 'venv/bin')}:${process.env.PATH}`,
      },
    },
  );
  later(() => server.close());
  const url = `http://127.0.0.1:${port}/lab`;
  await server.answers(url);

  /** Opens a notebook; the kernel is ready when the status says idle. @param {string} name */
  const open = async (name) => {
    const { page, errors } = await browser.open(`${url}/tree/${name}?reset`, { viewport: { width: 1500, height: 1000 } });
    await page.locator('.jp-Notebook .jp-CodeCell').first().waitFor({ timeout: 60_000 });
    await until(() => page.locator('.jp-Notebook-ExecutionIndicator[data-status="idle"]').count(), 'an idle kernel');
    /** @param {number} index */
    const runCell = async (index) => {
      const cell = page.locator('.jp-Notebook .jp-CodeCell').nth(index);
      const prompt = () => cell.locator('.jp-InputPrompt').innerText();
      await cell.locator('.cm-content').click();
      await page.keyboard.press('Control+Enter');
      await until(async () => {
        if (/\[ \]/.test(await prompt())) { // a kernel that has just started may drop the first request
          await page.waitForTimeout(2000);
          if (/\[ \]/.test(await prompt())) await cell.locator('.cm-content').press('Control+Enter');
        }
        return /\[\d+\]/.test(await prompt());
      }, `cell ${index} has run`, 30_000);
      return cell;
    };
    return { page, errors, runCell };
  };

  const frame = await open('frame.ipynb');
  await frame.runCell(0);
  say(`IFrame: ${await trains(await frameOf(frame.page))}`);
  await look(frame.page, 'iframe');
  clean(frame.errors, KNOWN);
  await frame.page.context().close();

  const { page, errors, runCell } = await open('widget.ipynb');
  await runCell(0);
  say(`anywidget: ${await trains(page)}`);
  await look(page, 'anywidget');
  await runCell(1);
  await until(() => lab(page, "lab.state.method === 'prefix' && lab.status === 'ready'"), 'method from Python');
  await runCell(2);
  await until(() => lab(page, "lab.state.method === 'lora' && lab.state.options.rank === 2 && lab.status === 'ready'"), 'rank from Python');
  assert.deepEqual(await lab(page, 'lab.state.options'), { rank: 2 }, 'another method starts from its own options');
  // From the page: the method by its button, the rank by its field; JupyterLab's commands (m: Markdown cell, 1: heading) must not see the keys.
  await page.locator('peft-controls input[type="number"]').first().fill('16');
  await page.locator('peft-controls input[type="number"]').first().press('Enter');
  await until(() => lab(page, 'lab.state.options.rank === 16'), 'rank in the page');
  await page.locator('peft-methods').getByText('LoRA').first().click();
  await page.keyboard.press('m');
  await until(() => lab(page, "lab.state.panel === 'merge'"), 'm opens the merge panel');
  await page.keyboard.press('m');
  assert.equal(await page.locator('.jp-Notebook .jp-CodeCell').count(), 6, 'no cell became Markdown');
  const seen = await runCell(3);
  await until(
    async () => /IN PYTHON lora 16 ready/.test(await seen.innerText()),
    `Python sees the page's settings: ${await seen.innerText()}`,
    10_000,
  );
  await runCell(4);
  await until(() => lab(page, "lab.runs.length === 2 && lab.run.status === 'done'"), 'trained from Python');
  await page.waitForTimeout(1500); // the kernel hears of it between two cells
  const result = await runCell(5);
  await until(async () => /RESULT False done 4 16 \d+/.test(await result.innerText()), `the result in Python: ${await result.innerText()}`, 10_000);
  say(`traits both ways: ${(await seen.innerText()).match(/IN PYTHON \w.*$/m)?.[0]} · ${(await result.innerText()).match(/RESULT \w.*$/m)?.[0]}`);
  await page.locator('peft-toolbar').scrollIntoViewIfNeeded();
  await look(page, 'traits');
  await page.evaluate("document.body.dataset.jpThemeLight = 'false'; document.documentElement.style.setProperty('--jp-layout-color0', '#111')");
  await until(
    () =>
      page.evaluate("[...document.querySelectorAll('peft-playground')].every((e) => e.getAttribute('host-scheme') === 'dark')"),
    'dark with the notebook',
  );
  await page.waitForTimeout(500);
  await look(page, 'dark');
  clean(errors, KNOWN);
});
