// Which run is the experiment a claim of the chapter asks for, and what two runs say about it.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { CLAIMS, TRY, UNNAMED } from '../../web/elements/chapter-data.js';
import { complete, figures, JUDGES, ranking, recordedRanking, runOf, SAME_LOSS, verdictOf } from '../../web/lib/evidence.js';
import { PeftLab } from '../../web/engine/index.js';

const QV = ['q_proj', 'v_proj'];
const SEVEN = [...QV, 'k_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj'];
const LORA = { method: 'lora', options: { rank: 8, target_modules: QV } };
const FULL = { method: 'full', options: {} };
const engine = { methods: [
  { name: 'lora', options: [
    { name: 'rank', default: 8 }, { name: 'target_modules', default: QV }, { name: 'use_dora', default: false }, { name: 'dropout', default: 0 },
  ] },
  { name: 'full', options: [] },
] };
const presets = [
  { method: 'lora', options: { rank: 8, target_modules: 'all-linear' }, steps: 4, lr: 0.01, batch_size: 4 },
  { method: 'full', options: {}, steps: 4, lr: 0.001, batch_size: 4 },
];

/** @param {Record<string, any>} [more] */
function run({ options, train, held = 2, training = 2, ...more } = {}) {
  return {
    id: 1, method: 'lora', model: 'm', task: 'pirate', status: 'done', seconds: 1, base_loss: 6, trainable: 10, total: 100,
    options: { rank: 8, target_modules: QV, use_dora: false, dropout: 0, ...options },
    train: { steps: 4, lr: 0.01, batch_size: 4, ...train },
    losses: [1, 2, 3, 4].map((step) => ({ step, loss: training })), validations: [{ step: 4, loss: held }], ...more,
  };
}
const full = (/** @type {Record<string, any>} */ more) => ({ ...run({ train: { lr: 0.001 }, ...more }), method: 'full', options: {} });
/** @param {any[]} runs @param {Record<string, any>} [more] @returns {any} */
const labOf = (runs, more = {}) => ({ runs, state: { model: 'm', task: 'pirate' }, task: { name: 'pirate', presets }, engine, ...more });

test('what seeds alone change in the recorded comparisons counts as no difference', () => {
  for (const task of ['mood', 'pirate']) {
    const { runs } = JSON.parse(readFileSync(new URL(`../../web/content/recorded/compare-${task}.json`, import.meta.url), 'utf8'));
    for (const { method, size } of runs) {
      const losses = runs.filter((/** @type {any} */ r) => r.method === method && r.size === size).map((/** @type {any} */ r) => r.loss);
      assert.equal(losses.length, 3);
      assert.ok(Math.max(...losses) - Math.min(...losses) < SAME_LOSS, `${task} ${method}: ${losses}`);
    }
  }
});

test('an experiment is a run of the same method, options, rate, task and model', () => {
  const found = (/** @type {any} */ of, wish = /** @type {any} */ (LORA)) => Boolean(runOf(labOf([of]), wish));
  assert.ok(found(run()));
  assert.ok(found(run({ status: 'stopped' })), 'shown, with its steps');
  assert.ok(!found(run({ status: 'running' })) && !found(run({ validations: [] })) && !found(run({ recorded: true })));
  assert.ok(!found(run({ back: { run: 1, step: 2 } })), 'weights of another step are not what the settings give');
  assert.ok(!found(run({ options: { use_dora: true } })), 'what is left open is the default');
  assert.ok(!found(run({ options: { rank: 16 } })) && !found(run({ options: { target_modules: SEVEN } })));
  assert.ok(found(run({ options: { target_modules: SEVEN } }), { ...LORA, options: { rank: 8, target_modules: 'all-linear' } }));
  assert.ok(found(run({ options: { target_modules: SEVEN } }), { method: 'lora', options: { rank: 8 } }), "or the preset's");
  assert.ok(!found(run({ train: { lr: 0.0001 } })), "a rate that is left open is the preset's");
  assert.ok(found(run({ train: { lr: 0.0001 } }), { ...LORA, lr: 0.0001 }));
  assert.ok(!found(run(), { ...LORA, steps: 8 }) && found(run({ train: { steps: 8 } }), { ...LORA, steps: 8 }));
  assert.ok(!found(run({ model: 'other' })) && !found(run({ task: 'mood' })));
  assert.ok(found(run({ task: 'mood' }), { ...LORA, task: 'mood' }), 'of another task its preset is not known');
  assert.equal(runOf(labOf([run({ id: 1 }), run({ id: 2 })]), LORA)?.id, 2, 'the latest');
});

test('a task remembers its presets when another is loaded', () => {
  const lab = labOf([run({ train: { lr: 0.5 } })]);
  assert.equal(runOf(lab, LORA), undefined);
  lab.task = { name: 'mood', presets: [] };
  assert.equal(runOf(lab, { ...LORA, task: 'pirate' }), undefined);
});

test('only runs that went to their end decide', () => {
  const short = run({ train: { steps: 2 }, losses: [{ step: 1, loss: 2 }, { step: 2, loss: 2 }] });
  assert.ok(complete(labOf([]), LORA, /** @type {any} */ (run())) && !complete(labOf([]), LORA, /** @type {any} */ (short)));
  assert.ok(!complete(labOf([]), LORA, /** @type {any} */ (run({ status: 'stopped' }))));
  assert.equal(verdictOf(labOf([short, full({})]), 'near', [FULL, LORA]), null);
  assert.equal(verdictOf(labOf([run()]), 'near', [FULL, LORA]), null, 'both are needed');
  assert.equal(verdictOf(labOf([run(), full({ held: NaN })]), 'near', [FULL, LORA]), null, 'a run that blew up is no measure');
});

test('verdicts: as the chapter says, otherwise, no clear difference', () => {
  const of = (/** @type {string} */ judge, /** @type {any} */ a, /** @type {any} */ b) =>
    JUDGES[judge](figures(/** @type {any} */ (run(a))), figures(/** @type {any} */ (run(b)))).outcome;
  assert.deepEqual([of('better', { held: 3 }, { held: 2 }), of('better', { held: 2 }, { held: 3 }), of('better', { held: 3 }, { held: 2.95 })],
    ['agrees', 'differs', 'even']);
  assert.deepEqual([[1, 2], [2, 1], [1, 1.05]].map(([a, b]) => of('faster', { seconds: a }, { seconds: b })), ['agrees', 'differs', 'even']);
  assert.deepEqual([of('enough', { held: 2 }, { held: 3 }), of('enough', { held: 3 }, { held: 2.95 }), of('enough', { held: 3 }, { held: 2 })],
    ['agrees', 'agrees', 'differs']);
  // What seeds explain does not shrink with the loss (content/recorded: mood's LoRA 0.13 to 0.28, pirate's prompt 3.12 to 3.28).
  assert.deepEqual([[0.28, 0.13], [3.28, 3.12], [0.5, 0.2]].map(([a, b]) => of('better', { held: a }, { held: b })), ['even', 'even', 'agrees']);
  // By how much it is above, not by which share: a training loss of nearly nothing is no worse for that.
  assert.deepEqual([of('gap', { held: 3, training: 1 }, { held: 1, training: 0.001 }), of('gap', { held: 2, training: 1 }, { held: 3, training: 1 })],
    ['agrees', 'differs']);
  // The model alone has 6, full fine-tuning 2: of its gain of 4 another gets 4, 3.7 and 2.
  assert.deepEqual([2, 2.3, 4].map((held) => of('near', { held: 2 }, { held })), ['agrees', 'even', 'differs']);
  assert.equal(verdictOf(labOf([full({}), run({ held: 4 })]), 'near', [FULL, LORA])?.values.share, 50);
});

test('a recommendation is ranked against what it does not name', () => {
  const named = ['lora'];
  assert.equal(ranking(labOf([run()]), 'pirate', named), null, 'nothing to compare with');
  assert.equal(ranking(labOf([run({ held: 2 }), full({ held: 3 })]), 'pirate', named)?.outcome, 'agrees');
  const other = ranking(labOf([run({ held: 3 }), full({ id: 7, held: 2 })]), 'pirate', named);
  assert.deepEqual([other?.outcome, other?.best.id, other?.runs], ['differs', 7, 2]);
  assert.equal(ranking(labOf([run({ held: 3 }), full({ held: 3.01 })]), 'pirate', named)?.outcome, 'even');
  assert.equal(ranking(labOf([run({ held: 3 }), full({ held: 2, status: 'stopped' })]), 'pirate', named), null);
});

test("what the chapter panel offers to run is possible, and stands beside the right rows", async () => {
  const session = await PeftLab.open(null, { inThread: true });
  try {
    const guide = await session.guide();
    assert.equal(TRY.quick.length, guide.quick_reference.length);
    assert.equal(TRY.summary.length, guide.summary.length);
    const keys = guide.tasks.map((/** @type {any} */ row) => row.key);
    assert.deepEqual(Object.keys(UNNAMED), keys);
    for (const row of guide.tasks) {
      const named = [row.method, row.other?.method];
      assert.ok(UNNAMED[row.key].every(({ method }) => !named.includes(method)), row.key);
    }
    for (const [name, rows] of [['quick', guide.quick_reference], ['summary', guide.summary]]) {
      for (const [i, { use }] of rows.entries()) {
        const methods = TRY[name][i].runs.map(({ method }) => method);
        for (const [word, method] of [['Prompt Tuning', 'prompt'], ['LoRA', 'lora'], ['Adapters', 'adapter']]) {
          assert.equal(methods.includes(method), use.includes(word), `${name} ${i}: ${use}`);
        }
        assert.equal(TRY[name][i].panel === 'merge', use.includes('(merged)'));
      }
    }
    const wishes = [
      ...CLAIMS.flatMap(({ runs = [] }) => runs), ...Object.values(TRY).flat().flatMap(({ runs }) => runs), ...Object.values(UNNAMED).flat(),
    ];
    for (const { method, options } of wishes) assert.ok((await session.countFor({ shape: 'llama-2-7b', method, options })).trainable > 0);
    for (const { id, runs = [], judge, pairs = [[0, 1]] } of CLAIMS.filter((claim) => claim.judge)) {
      assert.ok(JUDGES[String(judge)], id);
      for (const pair of pairs) assert.ok(pair.length === 2 && pair.every((i) => runs[i]), id);
    }
  } finally {
    session.close();
  }
});

test('recorded scores against the advice: the best named against the best other, by the standard error over the seeds', () => {
  const scores = { model: 'm', seeds: 4, base: 0.1, prompt: 0.5, lora: 0.7, adapter: 0.8, full: 0.6,
    spread: { prompt: 0.1, lora: 0.03, adapter: 0.04, full: 0.1 } };
  const found = recordedRanking(scores, ['prompt', 'lora']);
  assert.deepEqual([found?.ours, found?.other, found?.outcome], ['lora', 'adapter', 'differs']);
  assert.ok(Math.abs((found?.error ?? 0) - 0.025) < 1e-12, 'the root of (0.03² + 0.04²) / 4');
  assert.equal(recordedRanking(scores, ['adapter'])?.outcome, 'agrees');
  assert.equal(recordedRanking({ ...scores, adapter: 0.74 }, ['lora'])?.outcome, 'even');
  assert.equal(recordedRanking({ ...scores, seeds: 1 }, ['lora']), null, 'one seed decides nothing');
  assert.equal(recordedRanking({ ...scores, spread: undefined }, ['lora']), null);
  assert.equal(recordedRanking(undefined, ['lora']), null);
});
