// How long the page takes from an empty cache until there is something to read and something to train, on a slow
// machine. Used by qa-budgets.test.mjs and by `./build.sh bench`, so that both measure the same way.
import { launchChromium } from './browser.mjs';
import { until } from './qa-site.mjs';

/** The brief's slow machine: a quarter of this one's speed. */
const SLOWDOWN = 4;

/**
 * One visit in a fresh browser without a cache.
 * @param {string} url of the site
 * @returns {Promise<{paint: number, meaningful: number, drawn: number, ready: number}>} ms since navigation: first
 *   contentful paint, the recorded run's words (from then
 *   on), the same in the page as it stays, ready to train
 */
export async function measureStart(url) {
  const browser = await launchChromium();
  try {
    const { page } = await browser.open(`${url}embed.html?element=none`); // the browser itself has started
    const control = await page.context().newCDPSession(page);
    await control.send('Network.setCacheDisabled', { cacheDisabled: true });
    await control.send('Emulation.setCPUThrottlingRate', { rate: SLOWDOWN });
    await page.addInitScript(() => {
      const seen = /** @type {any} */ (globalThis);
      const look = () => {
        const at = /** @type {any} */ (document.querySelector('peft-playground'));
        const place = at?.shadowRoot ? at.shadowRoot.querySelector('peft-sample')?.shadowRoot : at; // the words are in index.html already
        const words = place?.querySelector('blockquote')?.textContent.trim();
        if (words) seen.meaningful ??= performance.now();
        else delete seen.meaningful; // gone again
        if (words && at.shadowRoot) seen.drawn ??= performance.now();
        if (at?.lab?.status === 'ready') seen.readied ??= performance.now();
        if (!seen.readied) requestAnimationFrame(look);
      };
      requestAnimationFrame(look);
    });
    await page.goto(url);
    await until(page, 'lab.status === "ready" && globalThis.readied', 120_000); // seen by a frame, too
    return await page.evaluate(() => {
      const { meaningful, drawn, readied } = /** @type {any} */ (globalThis);
      return { paint: performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? NaN, meaningful, drawn, ready: readied };
    });
  } finally {
    await browser.close();
  }
}
