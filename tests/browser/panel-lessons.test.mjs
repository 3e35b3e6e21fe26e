// The player: a lesson from start to finish with its own buttons and checks; a teacher's file; a hostile one.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { checkLooks, startPanel, until } from './lib/panel-page.mjs';
import { eventually } from './lib/qa-site.mjs';

/** @type {Awaited<ReturnType<typeof startPanel>>} */
let site;
before(async () => { site = await startPanel('lessons'); });
after(() => site.close());

test('counting lesson: numbers are checked, wrong answers explained, Next opens', { timeout: 400_000 }, async () => {
  const { page, panel, assertClean } = await site.open();
  await panel.getByRole('button', { name: 'Start' }).nth(5).waitFor();
  await checkLooks(page, 'lessons');
  await panel.getByRole('button', { name: /How few numbers/ }).click();
  await panel.getByText('step 1 of 4').waitFor();
  const next = panel.getByRole('button', { name: 'Next', exact: true });
  const number = panel.getByLabel('Your number:');
  await until(page, 'lab.description?.modules[0]?.options.rank === 8');
  await eventually(() => next.isDisabled(), true);
  await number.fill('1,234');
  await panel.getByRole('button', { name: 'Check' }).click();
  await panel.getByText('Not yet.').waitFor();
  await number.fill(Number(await page.evaluate('lab.description.counts.trainable')).toLocaleString('en'));
  await panel.getByRole('button', { name: 'Check' }).click();
  await panel.getByText('Right.').first().waitFor();
  await next.click();
  await panel.getByText('step 2 of 4').waitFor();
  await until(page, 'lab.description.modules[0].options.rank === 16');
  // Settings that are changed in mid-lesson close the step; it says why, and puts them back.
  await page.evaluate('lab.setOption("rank", 4)');
  await panel.getByText('The settings are no longer those of this step.').waitFor();
  await panel.getByRole('button', { name: 'Set them again' }).click();
  await until(page, 'lab.description.modules[0].options.rank === 16');
  await panel.getByLabel('It doubled').check();
  await panel.getByRole('button', { name: 'Check' }).click();
  await next.click();
  await panel.getByText('step 3 of 4').waitFor();
  await panel.getByRole('button', { name: 'Skip this step' }).click();
  await checkLooks(page, 'lessons-step');
  await panel.getByLabel('about 0.06 %').check();
  await panel.getByRole('button', { name: 'Check' }).click();
  await panel.getByRole('button', { name: 'Finish' }).click();
  await panel.getByText('Finished: How few numbers?').waitFor();
  assertClean();
});

test('a step with training; own lessons; broken ones are refused', { timeout: 400_000 }, async () => {
  const { page, panel } = await site.open();
  const file = panel.getByLabel(/A lesson of your own/);
  await file.setInputFiles({
    name: 'bad.json',
    mimeType: 'application/json',
    buffer: Buffer.from('{"id":"x","title":"<img src=x onerror=hacked=1>","steps":[{"text":"a","do":"eval"}]}'),
  });
  await panel.getByRole('alert').filter({ hasText: 'step 1' }).waitFor();
  const lesson = {
    id: 'mine',
    title: '<b>Mine</b>',
    steps: [
      {
        text: 'Go.',
        set: { method: 'prompt', steps: 3 },
        do: 'train',
        wait: {
          event: 'run',
          cond: [
            ['run.status', '=', 'done'],
            ['run.method', '=', 'prompt'],
          ],
        },
        show: ['run.trainable'],
      },
      { text: 'Divide.', check: { question: 'Which share, in percent?', answer: 0.062 } },
    ],
  };
  await file.setInputFiles({ name: 'mine.json', mimeType: 'application/json', buffer: Buffer.from(JSON.stringify(lesson)) });
  await panel.getByText('<b>Mine</b> – step 1 of 2').waitFor();
  await until(page, 'lab.status === "ready" && lab.state.method === "prompt"');
  await panel.getByRole('button', { name: 'Train', exact: true }).click();
  await panel.getByText('trained numbers').waitFor();
  await panel.getByRole('button', { name: 'Next', exact: true }).click();
  await panel.getByLabel('Your number:').fill('0,062 %');
  await panel.getByRole('button', { name: 'Check' }).click();
  await panel.getByText('Right.').waitFor();
  await panel.getByRole('button', { name: 'Finish' }).click();
  await panel.getByText('Finished: <b>Mine</b>').waitFor();
  // Once more: what was trained before does not count.
  const next = panel.getByRole('button', { name: 'Next', exact: true });
  await panel.getByRole('button', { name: 'Once more' }).click();
  await panel.getByText('<b>Mine</b> – step 1 of 2').waitFor();
  await until(page, 'lab.status === "ready" && lab.run?.status === "done"');
  assert.equal(await next.isDisabled(), true, 'not trained in this round');
  await page.evaluate('lab.load(lab.runs[0])');
  assert.equal(await next.isDisabled(), true, 'nor is it when an earlier run is loaded');
  await panel.getByRole('button', { name: 'Train', exact: true }).click();
  await eventually(() => next.isDisabled(), false);
});

test('alone, a question about the counter has one beside it; in the bar, the verdict is in sight; the next lesson follows', async () => {
  const { page, panel, assertClean } = await site.open({}, { viewport: { width: 390, height: 560 } });
  await panel.getByRole('button', { name: /How few numbers/ }).click();
  await until(page, 'lab.description?.modules[0]?.options.rank === 8');
  await eventually(async () => { // both are asked each time: the lesson may still be setting what it counts
    const shown = await panel.locator('peft-counter [part="count"]').first().innerText();
    return shown === Number(await page.evaluate('lab.description.counts.trainable')).toLocaleString('en');
  }, true);

  await page.evaluate(`(() => {
    const player = Object.assign(document.createElement('peft-lesson'), { lab, docked: true, lesson: panel.chosen });
    player.style.cssText = 'position: fixed; inset: auto 0 0';
    player.addEventListener('peft-lesson', ({ detail }) => { player.lesson = detail.lesson; });
    panel.replaceWith(globalThis.panel = player);
  })()`);
  const docked = page.locator('peft-lesson');
  await docked.getByLabel('Your number:').fill('5');
  await docked.getByLabel('Your number:').press('Enter');
  const wrong = docked.getByText('Not yet.');
  await wrong.waitFor();
  await until(page, `(() => {
    const part = (name) => panel.renderRoot.querySelector(name).getBoundingClientRect();
    return part('.wrong').bottom <= part('.go').top && part('.wrong').top >= part('.lesson').top;
  })()`, 5000);
  for (let i = 0; i < 4; i++) await docked.getByRole('button', { name: 'Skip this step' }).click();
  await docked.getByRole('button', { name: 'Next lesson: Merging' }).click();
  await docked.getByText('Merging – step 1 of 4').waitFor();
  assert.equal(await page.evaluate('lab.state.lesson'), 'merging');
  assertClean();
});
