// The checks behind the Proof panel: they find what is broken, and what was recorded is still so.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { addTexts, setLanguage } from '../../web/lib/i18n.js';
import { bringSentences, engineWords } from '../../web/lib/engine-words.js';
import { checkGradients, GRADIENT_LIMIT, hash, prove } from '../../web/lib/proof.js';
import { loadTask, PeftLab } from '../../web/engine/index.js';
import { ROOT } from './lib/golden.mjs';

const SLOW = { timeout: 120_000 };
await bringSentences();

const record = JSON.parse(readFileSync(join(ROOT, 'web/content/recorded/proof.json'), 'utf8'));
/** @type {import('../../web/engine/session.js').Session} */
let session;
/** @type {any[]} */
let examples;
before(async () => {
  session = await PeftLab.load(join(ROOT, 'models', record.model));
  examples = (await loadTask(join(ROOT, 'models/tasks', record.task), { splits: ['train'] })).splits.train;
});
after(() => session.close());

/** The session with its gradients changed on the way. @param {(values: Float32Array) => void} change */
const tampered = (change) => /** @type {any} */ ({
  evaluate: (/** @type {any} */ args) => session.evaluate(args),
  tensor: (/** @type {any[]} */ ...args) => session.tensor(.../** @type {[any, any]} */ (args)),
  async request(/** @type {string} */ command, /** @type {any} */ args) {
    const result = await session.request(command, args);
    if (command === 'gradient') change(result);
    return result;
  },
});

test('a gradient that is wrong is found: scaled, partly missing, one tensor turned round; the right one passes', SLOW, async () => {
  await session.clear();
  await session.setData('proof', examples.slice(0, 16));
  const module = await session.addModule('lora', { target_modules: ['v_proj'] }, { seed: 1 });
  await session.train({ steps: 4, batch_size: 4, lr: 0.003, seed: 1, split: 'proof', workers: 1 });
  const gap = async (/** @type {(values: Float32Array) => void} */ change) => (await checkGradients(tampered(change), module)).worst;
  const right = await gap(() => {});
  assert.ok(right > 0 && right < GRADIENT_LIMIT, `${right}`);
  let calls = 0;
  const wrong = [
    await gap((v) =>
      v.forEach((x, i) => {
        v[i] = 1.05 * x;
      }),
    ),
    await gap((v) => v.fill(0, v.length / 2)),
    await gap((v) => {
      if (calls++ === 3)
        v.forEach((x, i) => {
          v[i] = -x;
        });
    }),
  ];
  for (const worst of wrong) assert.ok(worst > GRADIENT_LIMIT, `${wrong}`);
  await assert.rejects(gap((v) => v.fill(0)), /no gradient at all/);
  const values = await session.tensor(module.id, module.tensors[0].name);
  await checkGradients(session, module);
  assert.deepEqual(await session.tensor(module.id, module.tensors[0].name), values, 'the check leaves the weights as they were');
});

test('what is recorded is within its limits, for every method, and names its command', async () => {
  const { methods } = await session.describeStatic();
  assert.match(record.command, /^node web\/content\/recorded\/make-proof\.mjs /);
  assert.deepEqual(record.proofs.map((/** @type {any} */ p) => p.method), methods.map((/** @type {any} */ m) => m.name));
  for (const { method, gradients, merge, bits } of record.proofs) {
    assert.ok(gradients.tensors > 0 && gradients.worst > 0 && gradients.worst < GRADIENT_LIMIT, method);
    assert.ok(bits.same && /^[0-9a-f]{16}$/.test(bits.hash), method);
    assert.equal(Boolean(merge), methods.find((/** @type {any} */ m) => m.name === method).can_merge, method);
    if (merge) assert.ok(merge.restored && merge.same_choice && merge.difference < 1e-4 * merge.largest, method);
  }
  assert.ok(record.double.elements > 100 && record.double.worst < 1e-7, 'the limit of tests/c/peft_helpers.c');
  assert.ok(record.against.cases > 10 && record.against.logits < 1e-4 && record.against.gradients < 1e-4);
});

test('training gives the recorded bits again (after a change of model or texts: node web/content/recorded/make-proof.mjs)', SLOW, async () => {
  for (const method of ['lora', 'prompt']) {
    const known = record.proofs.find((/** @type {any} */ p) => p.method === method);
    const now = await prove(session, method, examples);
    assert.equal(now.fingerprint, known.fingerprint, 'the same texts');
    assert.equal(now.bits.hash, known.bits.hash, method);
    assert.ok(now.bits.same);
  }
  assert.notEqual(hash([Uint8Array.of(1, 2)]), hash([Uint8Array.of(2, 1)]));
});

test("the engine's sentences about counts, memory and mixing have words in every language", async () => {
  const { shapes, methods, mix_types: types } = await session.describeStatic();
  const sentences = new Set(/** @type {string[]} */ ([]));
  for (const { name: shape } of shapes) {
    for (const [method, options] of [...methods.map((/** @type {any} */ m) => [m.name, {}]), ['lora', { init: 'pissa' }]]) {
      const request = { shape, methods: [{ method, options }] };
      for (const report of [await session.countFor(request), await session.memoryFor(request)])
        for (const text of report.assumptions) sentences.add(text);
    }
  }
  assert.ok(sentences.size > 20);
  for (const language of ['de', 'fr', 'es']) {
    const texts = JSON.parse(readFileSync(join(ROOT, `web/content/texts/panels/${language}.json`), 'utf8'));
    addTexts(language, texts);
    setLanguage(language);
    for (const sentence of sentences) {
      const { text, ours } = engineWords(sentence);
      assert.ok(ours && text !== sentence && !/[{}]/.test(text), `${language}: ${sentence}`);
      for (const figure of sentence.match(/\d+/g) ?? []) assert.ok(text.includes(figure), `${language}: ${figure} of ${sentence}`);
    }
    for (const { name } of types) assert.ok(texts[`mix.summary.${name}`], `${language}: ${name}`);
  }
  setLanguage('en');
  assert.equal(engineWords('Dimensions: 1').text, 'Dimensions: 1');
  setLanguage('de');
  assert.deepEqual(engineWords('Something new.'), { text: 'Something new.', ours: false });
  setLanguage('en');
});
