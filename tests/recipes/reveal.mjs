// reveal.js: the slide, its keys before and after a click into the frame, and what is left after leaving the slide.
import assert from 'node:assert/strict';
import { cp, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { frameOf, lab, npm, trial, trains, until } from './lib.mjs';

await trial('reveal', async ({ browser, code, folder, serve, look, say, clean }) => {
  say(await npm(folder, ['reveal.js']));
  await cp(join(folder, 'node_modules/reveal.js/dist'), join(folder, 'show/dist'), { recursive: true });
  await writeFile(join(folder, 'show/index.html'), `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Slides</title><link rel="icon" href="data:,">
<link rel="stylesheet" href="dist/reveal.css"><link rel="stylesheet" href="dist/theme/white.css"></head>
<body><div class="reveal"><div class="slides">
<section><h2>Before</h2></section>
${code.reveal}
<section><h2>After</h2></section>
</div></div>
<script src="dist/reveal.js"></script><script>Reveal.initialize({ hash: true });</script></body></html>
`);
  const url = await serve(join(folder, 'show'));
  const { page, errors } = await browser.open(url, { viewport: { width: 1280, height: 720 } });
  const slide = () => page.evaluate('Reveal.getIndices().h');
  await page.keyboard.press('ArrowRight');
  await until(async () => (await slide()) === 1, 'the second slide');
  const frame = await frameOf(page);
  say(await trains(frame));
  await look(page, '');
  await frame.locator('peft-methods button, peft-methods [role="radio"], peft-methods label').nth(1).click();
  await until(() => lab(frame, "lab.state.method !== 'lora'"), 'another method by a click');
  await page.keyboard.press('m');
  await until(() => lab(frame, "lab.state.panel === 'merge'"), 'keys go to the frame once it was clicked');
  assert.equal(await slide(), 1);
  // The way on by mouse stays reachable: reveal's own arrows lie above the frame.
  await page.locator('.reveal .navigate-right').click();
  await until(async () => (await slide()) === 2, 'the arrow button leads on');
  await page.keyboard.press('ArrowLeft');
  await until(async () => (await slide()) === 1, 'keys are the slides\' again');
  await until(async () => lab(await frameOf(page), "lab.status === 'ready'"), 'ready again');
  assert.equal(await lab(await frameOf(page), 'lab.runs.length'), 1, 'the run is still there');
  await look(page, 'back');
  clean(errors);
});
