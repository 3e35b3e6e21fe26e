// Where things stand on the page: what is in sight without scrolling, what a way back stands beside, and a lesson on a phone.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { eventually, lab, opener, siteAndBrowser } from './lib/qa-site.mjs';

const own = siteAndBrowser();
const open = opener(own);

const FIRST = 'the first screen: what comes next and what the coach says are in sight, and nothing that has the focus is hidden by that row';
test(FIRST, { timeout: 400_000 }, async (context) => {
  const { page, assertClean } = await open(context, '#v=1&task=pirate&n=12&bs=4&level=student', {
    viewport: { width: 1280, height: 900 },
    reducedMotion: 'reduce',
  });
  await lab(page, 'void await lab.train()');
  await page.locator('peft-panel-coach').getByText('Coach:').waitFor();
  await page.locator('peft-sample .scored').waitFor(); // by itself: the last that comes
  await eventually(() => page.locator('peft-sample').getByRole('button', { name: 'Score it' }).count(), 0);
  const box = async (/** @type {string} */ selector) =>
    /** @type {{y: number, height: number}} */ (await page.locator(selector).first().boundingBox());
  const inSight = async (/** @type {number} */ height) => {
    await page.setViewportSize({ width: height < 800 ? 1366 : 1280, height });
    await page.evaluate(() => scrollTo(0, 0));
    await eventually(async () => {
      const { y, height: own } = await box('nav.next');
      return y > 0 && y + own <= height || `the row of panels stands at ${y} of ${height}`;
    }, true);
    const next = await box('nav.next');
    const train = await box('.left peft-train button');
    assert.ok(train.y + train.height <= next.y, 'Train stands above it');
    return next;
  };
  const next = await inSight(900);
  const apply = await box('peft-panel-coach button');
  assert.ok(apply.y + apply.height <= next.y, `what the coach suggests stands above it, at ${apply.y}`);
  await inSight(650);
  // By keyboard through the page: each control is at least partly above the row while it has the focus, or stands in the row or below its place.
  const hidden = await page.evaluate(async () => {
    const all = /** @type {HTMLElement[]} */ ([]);
    const collect = (/** @type {ParentNode} */ at) => at.querySelectorAll('*').forEach((node) => {
      if (node.matches('button:enabled, select, input, summary, [tabindex="0"]') && node.checkVisibility())
        all.push(/** @type {HTMLElement} */ (node));
      if (node.shadowRoot) collect(node.shadowRoot);
    });
    const root = /** @type {ShadowRoot} */ (document.querySelector('peft-playground')?.shadowRoot);
    collect(root);
    const row = /** @type {HTMLElement} */ (root.querySelector('nav.next'));
    const found = [];
    for (const node of all) {
      scrollTo(0, 0);
      node.focus();
      await new Promise((resolve) => { requestAnimationFrame(resolve); });
      const { top, bottom } = node.getBoundingClientRect();
      const bar = row.getBoundingClientRect();
      if (!row.contains(node) && bottom > bar.top && top < bar.bottom)
        found.push(
          `${node.localName} ${node.textContent?.trim().slice(0, 30)} at ${top.toFixed()} to ${bottom.toFixed()}, row from ${bar.top.toFixed()}`,
        );
    }
    return found;
  });
  assert.deepEqual(hidden, []);
  assertClean();
});

test('a way back stands only beside a value that differs; a block can be clicked only where the drawing says so', async (context) => {
  const { page, assertClean } = await open(context, '#v=1&task=pirate&m=lora&level=explorer');
  const preset = await lab(page, 'lab.preset.options.rank');
  const back = page.locator('peft-controls [data-name="rank"] button.link');
  await lab(page, `void lab.set({ options: { rank: ${preset / 2} } })`);
  await back.waitFor();
  await lab(page, `void lab.set({ options: { rank: ${preset} } })`); // as a loaded run sets it
  await eventually(() => back.count(), 0);
  const targets = page.locator('peft-controls [data-name="target_modules"] button.link');
  await lab(page, 'void lab.set({ options: { target_modules: ["q_proj"] } })');
  await targets.waitFor();
  await lab(page, 'void lab.set({ options: { target_modules: lab.engine.sites } })'); // "all-linear", one by one
  await eventually(() => targets.count(), 0);
  const hint = page.locator('peft-diagram .read', { hasText: 'Click a lit block' });
  await hint.waitFor();
  await lab(page, 'void lab.set({ method: "prompt" })');
  await eventually(() => hint.count(), 0, 'the rows of a prompt open nothing');
  assertClean();
});

test('a lesson on a phone: the way on is in sight, however long the text is', async (context) => {
  const { page, assertClean } = await open(context, '#v=1&panel=lessons', { viewport: { width: 390, height: 700 }, hasTouch: true, isMobile: true });
  await page.locator('peft-panel-lessons').getByRole('button', { name: 'Start' }).first().click();
  const lesson = page.locator('peft-lesson');
  await lesson.locator('.facts').waitFor();
  const next = lesson.getByRole('button', { name: 'Next' });
  await eventually(async () => {
    const [button, bar] = await Promise.all([next.boundingBox(), page.locator('.bottom').boundingBox()]);
    return button && bar && button.y > 0 && button.y + button.height <= bar.y || `${button?.y} above ${bar?.y}`;
  }, true);
  assertClean();
});

test('a phone: training is steered from the bar only; title, levels and one row of signs; a link to the lessons shows them', async (context) => {
  const viewport = { width: 320, height: 640 };
  const { page, assertClean } = await open(context, '#v=1&task=pirate&n=4&bs=4&panel=lessons', { viewport, hasTouch: true, isMobile: true });
  await eventually(() => page.locator('peft-panel-lessons button').first().evaluate((node) =>
    node.getBoundingClientRect().bottom <= node.ownerDocument.defaultView.innerHeight), true, 'the first lesson can be begun');
  await eventually(() => page.locator('peft-toolbar header').evaluate((header) =>
    new Set([...header.children].filter((part) => part.checkVisibility())
      .map((part) => Math.round(part.getBoundingClientRect().bottom / 16))).size), 3);
  await page.locator('peft-toolbar').getByLabel('Language').selectOption('de');
  await page.locator('peft-toolbar .pick', { hasText: 'DE' }).first().waitFor();
  await page.locator('peft-toolbar').getByLabel('Sprache').selectOption('en');
  await eventually(() => page.locator('peft-toolbar').getByRole('button', { name: 'Copy link' }).count(), 1, 'its sign has a name');
  const seen = (/** @type {RegExp} */ name) => page.getByRole('button', { name }).filter({ visible: true }).count();
  await eventually(() => seen(/^Train \d/), 1);
  await lab(page, 'lab.step()');
  await eventually(async () => [await seen(/^Go on$/), await seen(/^Stop$/), await seen(/^One step$/)], [1, 1, 1]);
  await page.locator('.bottom').getByRole('button', { name: 'Stop' }).click();
  await page.locator('.bottom').getByRole('button', { name: /^Train/ }).waitFor();
  await page.locator('.left > peft-train').getByText(/^1 step/).waitFor();
  assertClean();
});

test('a stopped run is scored when asked: the button goes, the focus to what it told; few steps are counted in whole ones', async (context) => {
  const { page, assertClean } = await open(context, '#v=1&model=stories-300k&task=pirate&n=4&bs=4');
  await lab(page, 'void await lab.step()');
  await lab(page, 'void await lab.step()');
  await lab(page, 'void await lab.stop()');
  const ticks = page.locator('peft-loss peft-chart svg [aria-label="x-axis tick label"] text');
  await eventually(() => ticks.allTextContents(), ['0', '1', '2']);
  await page.locator('peft-sample').getByRole('button', { name: 'Score it', disabled: false }).press('Enter');
  await page.locator('peft-sample .scored').waitFor();
  await eventually(() => page.locator('peft-sample').getByRole('button', { name: 'Score it' }).count(), 0, 'the same examples give the same score');
  await eventually(() => page.locator('peft-sample').evaluate((node) => node.shadowRoot.activeElement?.className), 'scored');
  assertClean();
});

test('every run is scored by itself, also while Merge or Inspect looks at its matrices', { timeout: 400_000 }, async (context) => {
  for (const panel of ['merge', 'inspect']) {
    const { page, assertClean } = await open(context, `#v=1&model=stories-300k&task=pirate&n=2&bs=4&panel=${panel}`);
    for (const n of [1, 2]) {
      await eventually(() => lab(page, 'lab.status'), 'ready');
      await lab(page, 'void await lab.train()');
      await eventually(() => lab(page, `lab.runs.length === ${n} && lab.runs.at(-1).score !== null`), true, `${panel}, run ${n}`);
    }
    await page.locator(`peft-panel-${panel} peft-heatmap`).first().waitFor();
    assertClean();
  }
});

test('own text without a held-out part: said where it matters; nothing asks for more steps or names lines that are not drawn', async (context) => {
  const { page, assertClean } = await open(context, '#v=1&model=stories-300k&n=8&panel=data');
  const panel = page.locator('peft-panel-data');
  await panel.getByLabel('Or paste text:').fill('The sun is red.\n\nThe moon is blue.');
  await panel.getByText('A line with <|endoftext|> alone begins the next one.').waitFor();
  await panel.getByText('The example', { exact: true }).waitFor();
  await panel.getByRole('button', { name: 'Use it and train' }).click();
  await page.locator('peft-controls').getByText('1 example to learn from, none held out').waitFor();
  await page.locator('peft-panel-coach').getByText('none is held out, so over-fitting cannot be seen').waitFor();
  await eventually(() => lab(page, 'lab.run?.status'), 'done');
  assert.equal(await page.locator('peft-panel-coach').getByText('Train a little longer').count(), 0);
  await eventually(async () => (await page.locator('peft-loss .keys > span').allTextContents()).map((key) => key.trim()), ['training, smoothed']);
  assertClean();
});

test('“try a prompt” after a run on a phone: the count that became smaller is in sight, and the focus on the method', async (context) => {
  const viewport = { width: 390, height: 700 };
  const { page, assertClean } = await open(context, '#v=1&model=stories-300k&n=2&bs=2', {
    viewport, hasTouch: true, isMobile: true, reducedMotion: 'reduce',
  });
  await lab(page, 'void await lab.train()');
  await page.getByRole('button', { name: 'Try a prompt', disabled: false }).press('Enter');
  await eventually(() => page.locator('peft-counter .big').evaluate((count) => {
    const { top, bottom } = count.getBoundingClientRect();
    return top > 0 && bottom < innerHeight - 60;
  }), true);
  await eventually(() => page.locator('peft-methods').evaluate((node) => node.shadowRoot.activeElement?.value), 'prompt');
  assertClean();
});
