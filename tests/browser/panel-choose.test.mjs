// The wizard: keyboard answers, the lit tree, the recommendation, load and train.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { checkLooks, startPanel, until } from './lib/panel-page.mjs';
import { eventually, says } from './lib/qa-site.mjs';

/** @type {Awaited<ReturnType<typeof startPanel>>} */
let site;
before(async () => { site = await startPanel('choose'); });
after(() => site.close());

test('answers light the tree, decide, and train what is recommended', { timeout: 400_000 }, async () => {
  const { page, panel, assertClean } = await site.open();
  await panel.getByRole('radio', { name: 'No' }).first().waitFor();
  await panel.getByText('Answer the questions to get one.').waitFor();
  for (let i = 0; i < 4; i++) await panel.getByRole('group').nth(i).getByLabel('No').check();
  await panel.getByRole('heading', { name: /Recommendation: .*LoRA/ }).waitFor();
  await says(() => panel.locator('.best').innerText(), /Rank r 8, Alpha 16, Targets q, v/);
  await says(() => panel.locator('.best').innerText(), /4,194,304/);
  await eventually(() => panel.locator('svg.tree .edge.on').count(), 4);

  const tried = () => panel.getByLabel('Try it on').inputValue();
  await eventually(tried, '', 'the task that is loaded');
  await panel.getByRole('group').nth(2).getByLabel('Yes').check();
  await eventually(tried, 'classification', 'the answer chooses the task');
  await panel.getByRole('group').nth(2).getByLabel('No').check();
  await eventually(tried, '');

  await panel.getByRole('group').nth(1).getByLabel('Yes').check();
  await panel.getByRole('heading', { name: /Recommendation: .*Prompt tuning/ }).waitFor();
  await says(() => panel.locator('.best').innerText(), /81,920/);
  await eventually(() => panel.getByRole('group').nth(2).getByLabel('Yes').isDisabled(), true, 'later questions are not needed');
  await checkLooks(page, 'choose');

  await panel.getByLabel('Try it on').selectOption('classification');
  await panel.getByRole('button', { name: 'Load and train it' }).click();
  await until(page, 'lab.run?.losses.length > 2');
  assert.deepEqual(await page.evaluate('[lab.run.method, lab.run.options.num_virtual_tokens, lab.state.task]'), ['prompt', 20, 'mood']);
  await page.evaluate('lab.stop()');
  await panel.locator('.best .came', { hasText: 'decides nothing' }).waitFor(); // what came of it, and that it was stopped
  assertClean();
});

test('every answer loads exactly what it says, its second choice too, without a notice', { timeout: 400_000 }, async () => {
  const { page, panel, assertClean } = await site.open();
  await page.evaluate('(globalThis.notices = [], lab.addEventListener("notice", (e) => notices.push(e.detail)), lab.ready())');
  const answer = async (/** @type {number} */ yes) => {
    await panel.getByRole('button', { name: 'Start again' }).click();
    for (let i = 0; i < Math.min(yes, 4); i++) await panel.getByRole('group').nth(i).getByLabel('No').check();
    if (yes < 4) await panel.getByRole('group').nth(yes).getByLabel('Yes').check();
    await panel.locator('.best').waitFor();
  };
  const QV = ['q_proj', 'v_proj'];
  const LEAVES = /** @type {[string, Record<string, any>, string, ([string, Record<string, any>])?][]} */ ([
    ['lora', { rank: 8, alpha: 16, target_modules: QV }, 'LoRA (can merge weights)'],
    ['prompt', { num_virtual_tokens: 20 }, 'Prompt Tuning'],
    ['prompt', { num_virtual_tokens: 20 }, 'Prompt Tuning or LoRA (r=4)', ['lora', { rank: 4, alpha: 8, target_modules: QV }]],
    ['adapter', { variant: 'houlsby', bottleneck_size: 64 }, 'Adapters (easy to swap/combine)', ['lora', { rank: 8, alpha: 16, target_modules: QV }]],
    ['lora', { rank: 8, alpha: 16, target_modules: QV }, 'LoRA (r=8, α=16)'],
  ]);
  for (const [yes, [method, options, quote, other]] of LEAVES.entries()) {
    await answer(yes);
    await panel.locator('.best', { hasText: `“${quote}”` }).waitFor();
    for (const [i, wish] of [[method, options], other].entries()) {
      if (!wish) continue;
      await page.evaluate('lab.set({ method: "ia3", steps: 7, lr: 0.5, batch_size: 9 })');
      await panel.locator('.best').getByRole('button', { name: 'only load' }).nth(i).click();
      await until(page, `lab.state.method === ${JSON.stringify(wish[0])} && lab.status === "ready"`);
      assert.deepEqual(
        await page.evaluate('[lab.state.options, lab.state.steps, lab.state.lr, lab.state.batch_size]'), [wish[1], 0, 0, 0], quote,
      );
      await until(page, `lab.description?.modules[0]?.method === ${JSON.stringify(wish[0])}`);
    }
  }
  for (const button of await panel.locator('details table').first().getByRole('button', { name: 'only load' }).all()) await button.click();
  await until(page, 'lab.state.task === "turtle" && lab.state.options.rank === 16 && lab.status === "ready"');
  assert.deepEqual(await page.evaluate('notices'), []);
  assertClean();
});

test('what it trains of the loaded model is counted anew when another one is loaded', { timeout: 240_000 }, async () => {
  const { page, panel, assertClean } = await site.open();
  await panel.getByRole('radio', { name: 'Yes' }).first().check(); // before there is a model
  await panel.getByRole('heading', { name: /Recommendation: .*LoRA/ }).waitFor();
  const shown = async (/** @type {string} */ model, /** @type {number} */ width) => {
    await page.evaluate(`(lab.set({ model: '${model}' }), lab.ready())`);
    const there = `lab.status === 'ready' && lab.description?.model.hidden_size === ${width}`;
    await until(page, there);
    await page.evaluate("lab.set({ method: 'lora', options: { rank: 8, alpha: 17, target_modules: ['q_proj', 'v_proj'] } })");
    await until(page, `${there} && lab.description.modules[0]?.options.alpha === 17`);
    const count = await page.evaluate('lab.description.counts.trainable.toLocaleString("en")');
    await says(() => panel.locator('.best').innerText(), new RegExp(`loaded here it trains .*: ${count}\\D`));
    return count;
  };
  assert.notEqual(await shown('stories-300k', 64), await shown('stories-1m', 128));
  assertClean();
});

test('by keyboard alone', { timeout: 240_000 }, async () => {
  const { page, panel } = await site.open();
  await panel.getByRole('radio').first().focus();
  await page.keyboard.press('Space');
  await panel.getByRole('heading', { name: /Recommendation: .*LoRA/ }).waitFor();
  await page.keyboard.press('ArrowRight');
  await panel.getByText('Answer the questions to get one.').waitFor();
  await page.keyboard.press('Tab');
  await page.keyboard.press('Space');
  await panel.getByRole('heading', { name: /Recommendation: .*Prompt tuning/ }).waitFor();
});

test('answers as an attribute, and the tables', { timeout: 240_000 }, async () => {
  const { panel, page } = await site.open();
  await page.evaluate(
    `(() => { const made = document.createElement('peft-choose'); made.setAttribute('answers', 'latency:yes'); ` +
      `document.querySelector('main').append(made); })()`,
  );
  await page.locator('peft-choose').getByText('Merge it after training').waitFor();
  await panel.getByText('Common pitfalls').click();
  await panel.getByText('Rank too high').waitFor();
});
