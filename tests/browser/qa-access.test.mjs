// For everybody: the whole path by keyboard alone, forced colours, reduced motion, text at 200 %, a window of 320 px
// with every panel, and right to left.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkAxe, drawn, screenshot } from './lib/browser.mjs';
import { eventually, lab, LINK, opener, siteAndBrowser, until } from './lib/qa-site.mjs';
import { PANELS } from '../../web/lib/store.js';

const own = siteAndBrowser();
const open = opener(own, { width: 1280 });

/** The element that has the focus, through shadow roots. @param {import('playwright-core').Page} page */
const focused = (page) => page.evaluate(() => {
  let node = /** @type {any} */ (document.activeElement);
  while (node?.shadowRoot?.activeElement) node = node.shadowRoot.activeElement;
  return {
    id: node?.id ?? '',
    text: (node?.textContent ?? '').trim().slice(0, 40),
    name: node?.localName ?? '',
    outline: getComputedStyle(node).outlineStyle,
  };
});

/**
 * Tabs on until a button or field answers the description.
 * @param {import('playwright-core').Page} page @param {(at: {id: string, text: string, name: string}) => boolean} is
 * @param {string} [key]
 */
async function tabTo(page, is, key = 'Tab') {
  for (let i = 0; i < 140; i++) {
    const at = await focused(page);
    if (is(at)) {
      assert.notEqual(at.outline, 'none', `the focus on ${at.text || at.id} is seen`);
      return;
    }
    await page.keyboard.press(key);
  }
  throw new Error('the keyboard does not get there');
}

/** What is wider than its window, or hidden parts of text, by name. @param {import('playwright-core').Page} page */
const overflow = (page) => page.evaluate(() => {
  const width = document.documentElement.clientWidth;
  const found = /** @type {string[]} */ ([]);
  if (document.documentElement.scrollWidth > width) found.push(`page ${document.documentElement.scrollWidth} > ${width}`);
  const walk = (/** @type {any} */ root, /** @type {boolean} */ scrolls) => {
    for (const node of root.children ?? []) {
      const style = getComputedStyle(node);
      const inside = scrolls || /auto|scroll|hidden/.test(style.overflowX);
      const box = node.getBoundingClientRect();
      if (
        !inside &&
        box.width > 0 &&
        style.visibility !== 'hidden' &&
        style.position !== 'absolute' &&
        (box.right > width + 1 || box.left < -1)
      )
        found.push(`${node.localName}.${node.className} ${Math.round(box.left)}…${Math.round(box.right)}`);
      walk(node, inside);
      if (node.shadowRoot) walk(node.shadowRoot, inside);
    }
  };
  walk(document.body, false);
  return found.slice(0, 5);
});

/**
 * What overflows and stays so: a page turns to another size within some frames, on a busy machine later.
 * @param {import('playwright-core').Page} page
 */
async function lasting(page) {
  await drawn(page);
  let found = await overflow(page);
  for (const end = Date.now() + 30_000; found.length && Date.now() < end; found = await overflow(page)) await page.waitForTimeout(100);
  return found;
}

test('by keyboard alone: train, merge, take it back, compare', { timeout: 400_000 }, async (context) => {
  const { page, assertClean } = await open(context, LINK);
  await tabTo(page, (at) => at.id === 'train');
  await page.keyboard.press('Enter');
  await until(page, 'lab.run?.status === "done"');
  await tabTo(page, (at) => at.name === 'button' && at.text === 'Merge');
  await page.keyboard.press('Enter');
  await page.locator('#merge:enabled').waitFor(); // what is disabled is no stop of the keyboard
  await tabTo(page, (at) => at.id === 'merge');
  await page.keyboard.press('Space');
  await page.locator('#difference').waitFor();
  await page.locator('#unmerge:enabled').waitFor();
  await tabTo(page, (at) => at.id === 'unmerge');
  await page.keyboard.press('Enter');
  await until(page, '!lab.merged');
  await tabTo(page, (at) => at.name === 'button' && /^Compare/.test(at.text), 'Shift+Tab');
  await page.keyboard.press('Enter');
  const panel = page.locator('peft-panel-compare');
  await panel.locator('#run:enabled').waitFor();
  await tabTo(page, (at) => at.id === 'run');
  await page.keyboard.press('Enter');
  await panel.getByRole('button', { name: /Cancel|Stop/ }).waitFor();
  await tabTo(page, (at) => at.name === 'button' && /^(Cancel|Stop)/.test(at.text));
  await page.keyboard.press('Enter');
  await panel.locator('#run:enabled').waitFor();
  assertClean();
});

test('the drawing is one stop of Tab between Train and the result; arrow keys go through its blocks', { timeout: 240_000 }, async (context) => {
  const { page, assertClean } = await open(context, `${LINK}&m=full`.replace('&r=8&a=16&t=qv', ''));
  const blocks = page.locator('peft-diagram [role="button"]');
  await eventually(async () => (await blocks.count()) > 8, true, 'full fine-tuning trains every block');
  const inDrawing = async () => {
    const { name } = await focused(page);
    return name === 'g';
  };
  await page.locator('.left #train:enabled').focus();
  let stops = 0;
  for (let i = 0; i < 12; i++) {
    await page.keyboard.press('Tab');
    if (await inDrawing()) stops++;
    else if (stops) break;
  }
  assert.equal(stops, 1);
  await page.keyboard.press('Shift+Tab');
  const names = [];
  for (let i = 0; i < await blocks.count(); i++) {
    names.push(await page.evaluate(`document.querySelector('peft-playground').shadowRoot.querySelector('peft-diagram')
      .shadowRoot.activeElement?.getAttribute('aria-label')`));
    await page.keyboard.press(i % 2 ? 'ArrowDown' : 'ArrowRight');
  }
  assert.match(names[0], /^embedding: embed_tokens .* trained numbers$/, 'there is one of it');
  assert.match(names[2], /^Q: .* trained numbers per layer$/);
  assert.deepEqual(names, await blocks.evaluateAll((all) => all.map((block) => block.getAttribute('aria-label'))), 'each once, in order');
  await page.keyboard.press('Home');
  await page.keyboard.press('End');
  await page.keyboard.press('ArrowLeft');
  await page.keyboard.press('Enter'); // the last map: down
  await page.locator('peft-panel-inspect tr.chosen', { hasText: 'down_proj' }).waitFor();
  await eventually(() => page.locator('peft-panel-inspect #site').inputValue(), 'down_proj', 'the block that was chosen is shown');
  await page.locator('peft-diagram').getByRole('button', { name: /^V:/ }).click();
  await page.locator('peft-panel-inspect tr.chosen', { hasText: 'v_proj' }).waitFor();
  assertClean();
});

for (const scheme of /** @type {const} */ (['light', 'dark'])) {
  test(`forced colours on a ${scheme} system with the other theme: drawings are read, axe finds nothing`, { timeout: 240_000 }, async (context) => {
    const other = scheme === 'light' ? 'dark' : 'light';
    const { page, assertClean } = await open(context, `${LINK}&theme=${other}`, { forcedColors: 'active', colorScheme: scheme });
    await eventually(() => page.evaluate('document.documentElement.dataset.theme'), other);
    await page.locator('peft-diagram svg text').first().waitFor();
    const seen = await page.evaluate(() => {
      const inside = /** @type {any} */ (document.querySelector('peft-playground')).shadowRoot;
      const colour = (/** @type {Element} */ node, /** @type {'fill' | 'color'} */ what) => getComputedStyle(node)[what];
      const title = inside.querySelector('peft-toolbar').shadowRoot.querySelector('h1');
      const texts = inside.querySelector('peft-diagram').shadowRoot.querySelectorAll('svg text');
      return { title: colour(title, 'color'), drawn: [...new Set([...texts].map((text) => colour(text, 'fill')))] };
    });
    assert.deepEqual(seen.drawn, [seen.title], 'the words of the drawing have the colour of the words around it');
    for (const filled of ['.left #train', 'peft-toolbar label.on']) {
      const [adjust, ground, letters] = await page.locator(filled).evaluate((node) => {
        const { forcedColorAdjust, backgroundColor, color } = /** @type {any} */ (getComputedStyle(node));
        return [forcedColorAdjust, backgroundColor, color];
      });
      assert.equal(adjust, 'none', `${filled}: no ground of the browser's behind letters of its colour`);
      assert.notEqual(ground, letters);
    }
    await checkAxe(page);
    assertClean();
  });
}

test('forced colours and reduced motion: everything is seen, nothing moves', { timeout: 240_000 }, async (context) => {
  const { page, assertClean } = await open(context, `${LINK}&panel=merge`, { forcedColors: 'active', reducedMotion: 'reduce' });
  await lab(page, 'void await lab.train()');
  await page.locator('#merge').waitFor();
  const moving = await page.evaluate(
    () => document.getAnimations().filter((a) => Number(a.effect?.getTiming().duration) > 0 && a.playState === 'running').length,
  );
  assert.equal(moving, 0);
  const borders = await page.locator('.left #train').evaluate((node) => getComputedStyle(node).borderTopStyle);
  assert.equal(borders, 'solid');
  await eventually(() => page.evaluate(() => {
    // What trains must differ from what is frozen by more than colour.
    const lit = /** @type {any} */ (document.querySelector('peft-playground')).shadowRoot.querySelector('peft-diagram').shadowRoot;
    return lit.querySelectorAll('.lit').length > 0 && /trains|train/i.test(lit.textContent);
  }), true);
  const colours = () => page.locator('peft-panel-merge peft-heatmap canvas').first().evaluate((/** @type {any} */ canvas) => {
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    return new Set(Array.from({ length: data.length / 4 }, (_, i) => data.slice(4 * i, 4 * i + 3).join())).size;
  });
  await eventually(async () => (await colours()) > 20, true, 'a map keeps its colours');
  await eventually(() => page.locator('peft-counter .bar i').first().evaluate((node) => {
    const ground = (/** @type {Element | null} */ at) => getComputedStyle(/** @type {Element} */ (at)).backgroundColor;
    return node.getBoundingClientRect().width > 0 && ground(node) !== ground(node.parentElement);
  }), true, 'the trained share stands out from the whole');
  const chosen = await page.locator('peft-methods label.on').evaluate((node) => getComputedStyle(node).borderTopWidth);
  assert.equal(chosen, '4px', 'the chosen method differs by more than colour');
  const pressed = await page.locator('nav.next button[aria-expanded="true"]').evaluate((node) => getComputedStyle(node).borderTopWidth);
  const level = await page.locator('peft-toolbar fieldset label.on').evaluate((node) => getComputedStyle(node).borderTopWidth);
  assert.deepEqual([pressed, level], ['3px', '3px'], 'so do the open panel and the level');
  await screenshot(page, 'qa-forced-colours', { fullPage: true });
  assertClean();
});

test('text at 200 %, and 320 px wide with every panel: nothing is cut off, nothing scrolls sideways', { timeout: 600_000 }, async (context) => {
  const { page, assertClean } = await open(context, `${LINK}&level=developer`, { reducedMotion: 'reduce' });
  await lab(page, 'void await lab.train()');
  const problems = /** @type {string[]} */ ([]);
  for (const panel of PANELS) {
    await lab(page, `void lab.set({ panel: ${JSON.stringify(panel)} })`);
    if (panel) await page.locator(`peft-panel-${panel}`).waitFor();
    await page.waitForTimeout(400);
    // Wide letters: the spacing that WCAG 1.4.12 demands and a monospaced font stand for any that is wider than ours.
    for (const [name, width, size, wide] of /** @type {const} */ ([
      ['320', 320, '', false], ['320, wide letters', 320, '', true], ['200 %', 1280, '200%', false],
      ['200 %, wide letters', 1280, '200%', true], ['zoom', 640, '', false],
    ])) {
      await page.setViewportSize({ width, height: 800 });
      await page.evaluate(([value, spacing, words, font]) => {
        const { style } = document.documentElement;
        Object.assign(style, { fontSize: value, letterSpacing: spacing, wordSpacing: words });
        style.setProperty('--peft-font', font); // what has no spacing of its own, buttons and fields
      }, [size, ...(wide ? ['.12em', '.16em', 'monospace'] : ['', '', ''])]);
      problems.push(...(await lasting(page)).map((where) => `${panel || 'page'} at ${name}: ${where}`));
    }
  }
  assert.deepEqual(problems, []);
  assertClean();
});

test('right to left: the page turns round, nothing overflows, axe finds nothing', { timeout: 400_000 }, async (context) => {
  const { page, assertClean } = await open(context, `${LINK}&panel=merge&level=explorer`, { reducedMotion: 'reduce' });
  await page.evaluate(() => { document.documentElement.dir = 'rtl'; });
  await lab(page, 'void await lab.train()');
  const problems = /** @type {string[]} */ ([]);
  for (const panel of PANELS) {
    await lab(page, `void lab.set({ panel: ${JSON.stringify(panel)} })`);
    if (panel) await page.locator(`peft-panel-${panel}`).waitFor();
    await page.waitForTimeout(300);
    for (const width of [1280, 390]) {
      await page.setViewportSize({ width, height: 900 });
      problems.push(...(await lasting(page)).map((where) => `${panel || 'page'} at ${width}: ${where}`));
      if (['', 'inspect', 'calculator'].includes(panel)) await screenshot(page, `qa-rtl-${panel || 'page'}-${width}`, { fullPage: true });
    }
  }
  assert.deepEqual(problems, []);
  await page.setViewportSize({ width: 1280, height: 900 });
  const [left, right] = await page.evaluate(() =>
    ['.left', '.right'].map(
      (name) =>
        /** @type {any} */ (document.querySelector('peft-playground')).shadowRoot.querySelector(name).getBoundingClientRect()
          .left,
    ),
  );
  assert.ok(left > right, 'the first column stands on the right');
  await checkAxe(page);
  assertClean();
});
