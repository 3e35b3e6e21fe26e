// The site as published: loads without an error or a foreign request under its security policy, and axe finds nothing in it,
// light and dark, wide and narrow. Screenshots go to build/screenshots.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { checkAxe, launchChromium, screenshot, startSite } from './lib/browser.mjs';
import { eventually, until } from './lib/qa-site.mjs';

/** @type {Awaited<ReturnType<typeof startSite>>} */
let site;
/** @type {Awaited<ReturnType<typeof launchChromium>>} */
let browser;
before(async () => {
  site = await startSite();
  browser = await launchChromium();
});
after(async () => {
  await browser?.close();
  await site?.close();
});

const VIEWS = /** @type {const} */ ([
  ['desktop-light', { viewport: { width: 1280, height: 900 }, colorScheme: 'light' }],
  ['desktop-dark', { viewport: { width: 1280, height: 900 }, colorScheme: 'dark' }],
  ['phone-light', { viewport: { width: 390, height: 844 }, colorScheme: 'light', hasTouch: true, isMobile: true }],
]);

for (const [name, options] of VIEWS) {
  test(`the page is clean and accessible: ${name}`, { timeout: 400_000 }, async () => {
    const { page, assertClean } = await browser.open(site.url, options);
    await until(page, 'lab.status === "ready"');
    await screenshot(page, `site-${name}`, { fullPage: true });
    assertClean();
    await checkAxe(page);
    const overflow = () => page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    await eventually(async () => (await overflow()) <= 1, true, 'the page is wider than the window');
    await page.context().close();
  });
}
