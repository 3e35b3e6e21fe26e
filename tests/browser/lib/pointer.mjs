// The mouse, in every engine: a person sees where something stands, and presses again what moved away under the hand.

/** @typedef {(expression: string) => Promise<any>} Evaluate in a page, or in a frame of it */

/**
 * Where something stands in its window, once it has been brought into sight and stands still.
 * @param {Evaluate} evaluate @param {string} element an expression, with tools (visit-tools.js) @returns {Promise<[number, number]>} its middle
 */
export const middle = (evaluate, element) => evaluate(`(async () => { const at = await ${element};
  await tools.until(() => !at.disabled);
  at.scrollIntoView({ block: 'center' });
  const frame = () => Promise.race([new Promise(requestAnimationFrame), tools.sleep(500)]);
  const where = () => { const { left, top, width, height } = at.getBoundingClientRect(); return [left + width / 2, top + height / 2]; };
  await tools.until(async () => { const before = where(); await frame(); await frame(); return before.join() === where().join(); });
  globalThis.pressed = false;
  at.addEventListener('click', () => { globalThis.pressed = true; }, { capture: true, once: true });
  return where(); })()`);

/**
 * @param {import('./browser.mjs').Driver} driver @param {string} element as of middle()
 * @param {{evaluate?: Evaluate, corner?: () => Promise<[number, number]>}} [frame] the element's, and where that is in the window
 */
export async function press(driver, element, { evaluate = driver.evaluate, corner = async () => [0, 0] } = {}) {
  for (let tries = 0; tries < 10; tries++) {
    const [x, y] = await middle(evaluate, element);
    const [left, top] = await corner();
    await driver.click(left + x, top + y);
    if (await evaluate('tools.until(() => pressed, 5000).then(() => true, () => false)')) return;
  }
  throw new Error(`the mouse does not reach ${element}`);
}
