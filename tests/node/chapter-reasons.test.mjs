// The chapter's reasons for its advice on a kind of task: each has a way to be judged, and the numbers decide, not the text.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { CLAIMS, REASONS, UNNAMED } from '../../web/elements/chapter-data.js';
import { mergingReason, recordedReason } from '../../web/lib/bullets.js';
import { JUDGES } from '../../web/lib/evidence.js';
import { PeftLab } from '../../web/engine/index.js';

/** @type {Record<string, import('../../web/lib/bullets.js').Recorded>} */
const RECORDED = JSON.parse(readFileSync(new URL('../../models/recipes/tasks/results.json', import.meta.url), 'utf8'));
const ENGLISH = JSON.parse(readFileSync(new URL('../../web/content/texts/panels/en.json', import.meta.url), 'utf8'));

/**
 * Scores of 0 alone and 0.8 for all numbers; a spread of 0.0866 over 3 seeds: less than 0.141 apart is no difference.
 * @param {Record<string, [score: number, seconds?: number, loss?: number]>} changes
 */
const recorded = (changes) => ({ seeds: 3, rows: Object.entries({
  base: [0, 0, 6], prompt: [0.4, 10, 3], prefix: [0.4, 10, 3], lora: [0.8, 10, 2], adapter: [0.8, 10, 2], full: [0.8, 10, 2], ...changes,
}).map(([method, [mean, seconds = 10, loss = 3]]) => ({
  method, seconds, loss, score: { mean, spread: method === 'base' ? null : 0.0866 },
  trainable: { base: 0, prompt: 10, prefix: 20, lora: 100, adapter: 200 }[method] ?? 1000,
})) });
const outcome = (/** @type {string} */ judge, /** @type {Parameters<typeof recorded>[0]} */ changes, named = ['lora']) =>
  recordedReason(judge, recorded(changes), named)?.outcome;

test('another measurement changes the verdict', () => {
  const both = ['prompt', 'lora'];
  assert.deepEqual([{ prompt: [0.75] }, {}, { prompt: [0.4], lora: [0.4] }].map((c) => outcome('few', /** @type {any} */ (c), both)),
    ['agrees', 'part', 'differs']);
  assert.equal(outcome('few', { prompt: [0.7], lora: [0.7] }, both), 'part', 'short of it, but no further than seeds lie apart');
  assert.deepEqual([[5, 5], [20, 5], [9.5, 20]].map(([a, b]) => outcome('quick', { prompt: [0.4, a], lora: [0.8, b] }, both)),
    ['agrees', 'part', 'differs']);
  // From the prompt to LoRA, from LoRA to all numbers.
  const scores = [[0.4, 0.6, 0.6], [0.4, 0.6, 0.8], [0.6, 0.6, 0.6], [0.4, 0.45, 0.8]];
  const steps = (/** @type {string} */ judge) => scores.map(([prompt, lora, full]) =>
    outcome(judge, { prompt: [prompt], lora: [lora], full: [full] }));
  assert.deepEqual(steps('moderate'), ['agrees', 'part', 'part', 'differs']);
  assert.deepEqual(steps('capacity'), ['part', 'agrees', 'differs', 'part']);
  assert.deepEqual([0.1, 0.5, 0.75].map((score) => outcome('complex', { prompt: [score] })), ['agrees', 'part', 'differs']);
  assert.deepEqual([0.1, 0.5, 0.75].map((score) => outcome('learn', { base: [score] })), ['agrees', 'part', 'differs']);
  const steer = (/** @type {number} */ score, /** @type {number} */ loss) =>
    outcome('steer', { prompt: [score, 1, loss], prefix: [score, 1, loss], lora: [0.8, 1, 2], adapter: [0.8, 1, 2], full: [0.8, 1, 2] });
  assert.deepEqual([steer(0.5, 3), steer(0.3, 3), steer(0.3, 5)], ['agrees', 'part', 'differs']);
  assert.deepEqual([0.06, 0].map((extra) => mergingReason(extra).outcome), ['agrees', 'differs']);
  assert.equal(recordedReason('few', { ...recorded({}), seeds: 1 }, both), null, 'one seed decides nothing');
  assert.equal(recordedReason('few', undefined, both), null);
  assert.equal(recordedReason('overfit', recorded({}), both), null, 'nothing was recorded for it');
});

test('the values are those of the record', () => {
  const { values: few } = recordedReason('few', recorded({}), ['prompt']) ?? { values: {} };
  assert.deepEqual([few.shares, few.rows[0].trainable, few.full.trainable], [[0.5], 10, 1000]);
  const { values: steer } = recordedReason('steer', recorded({}), []) ?? { values: {} };
  assert.deepEqual([steer.share, steer.byLoss], [0.5, 0.75]);
});

test('every reason of the chapter has its verdict and its words, and what it asks to run is offered', async () => {
  const session = await PeftLab.open(null, { inThread: true });
  try {
    const guide = await session.guide();
    assert.deepEqual(Object.keys(REASONS), guide.tasks.map((/** @type {any} */ { key }) => key));
    for (const { key, task, reasons, ...row } of guide.tasks) {
      assert.equal(REASONS[key].length, reasons.length, key);
      const named = [row, row.other].filter(Boolean);
      // As the engine writes settings: "rank=8;alpha=16;target_modules=q_proj,v_proj".
      const same = (/** @type {any} */ { method, options, settings }) =>
        `${method}: ${settings ?? Object.entries(options).map(([name, value]) => `${name}=${value}`).join(';')}`;
      const claims = CLAIMS.flatMap(({ runs = [] }) => runs.filter((wish) => wish.task === task));
      for (const { judge, open, here, runs = [], pairs = [] } of REASONS[key]) {
        const found = recordedReason(judge, RECORDED[task], named.map(({ method }) => method));
        assert.equal(Number(Boolean(found)) + Number(Boolean(open)) + Number(judge === 'merged'), 1, `${key}: ${judge}`);
        assert.ok(Object.hasOwn(ENGLISH, `chapter.reason.${judge}`), judge);
        if (pairs.length) assert.ok(JUDGES[String(here)], judge);
        const offered = [...named, ...UNNAMED[key], ...runs, ...claims];
        for (const wish of pairs.flat()) assert.ok(offered.some((other) => same(other) === same(wish)), `${key}: ${judge} ${same(wish)}`);
      }
    }
  } finally {
    session.close();
  }
});
