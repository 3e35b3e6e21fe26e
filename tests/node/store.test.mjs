// Settings: links there and back, clamping, hostile links; what changed between runs and texts; smoothing.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import { quartiles, largestDifference, apart } from '../../web/lib/measure.js';
import { fitOptions } from '../../web/lib/fit.js';
import { addTexts, hasText, LANGUAGES, setLanguage, t } from '../../web/lib/i18n.js';
import { configDiff, makeRun, smooth } from '../../web/lib/runs.js';
import { defaults, FIELDS, fromLink, LINK_MAX, METHODS, read, toLink } from '../../web/lib/store.js';
import { changedWords } from '../../web/lib/words.js';

// A fixed seed keeps the suite repeatable; PEFTLAB_FUZZ_SEED looks elsewhere.
fc.configureGlobal({ seed: Number(process.env.PEFTLAB_FUZZ_SEED ?? 1) });

for (const language of Object.keys(LANGUAGES))
  addTexts(
    language,
    JSON.parse(readFileSync(new URL(`../../web/content/texts/panels/${language}.json`, import.meta.url), 'utf8')),
  );
/** @param {import('../../web/lib/store.js').Correction} correction */
const said = ({ key, values }) => t(key, values);

test('a link holds what differs from the defaults, and gives it back', () => {
  assert.equal(toLink(defaults()), '#v=1');
  const state = {
    ...defaults(),
    method: 'lora', task: 'mood', seed: 7, steps: 120, lr: 0.003, level: 'explorer',
    hide: ['lr', 'seed'],
    prompt: 'A & B = "ü"',
    options: {
      rank: 4,
      target_modules: ['q_proj', 'v_proj'],
      use_dora: true,
      rank_pattern: { 'layers.0.q_proj': 4, v_proj: 16 },
    },
  };
  const link = toLink(state);
  assert.match(
    link,
    /^#v=1&task=mood&seed=7&n=120&lr=0.003&p=.*&level=explorer&hide=lr,seed&r=4&t=qv&o\.use_dora=true&o\.rank_pattern=layers\.0\.q_proj:4,v_proj:16$/,
  );
  const back = fromLink(link);
  assert.deepEqual(back.notices, []);
  assert.deepEqual({ ...defaults(), ...back.state }, state);
});

test('links from outside: clamped, reported, never trusted', () => {
  assert.deepEqual(fromLink('#v=1&n=9999999').state, { steps: 5000 });
  assert.match(said(fromLink('#v=1&n=9999999').notices[0]), /steps: 9999999 was brought to 5000/);
  assert.deepEqual(fromLink('#v=2&m=lora').state, {});
  assert.match(said(fromLink('#v=2').notices[0]), /version 2/);
  assert.match(said(fromLink('#v=1&wrong=1').notices[0]), /wrong: unknown/);
  assert.deepEqual(fromLink('#v=1&m=<img onerror=x>').state, { method: 'lora' });
  assert.deepEqual(fromLink('#v=1&seed=NaN').state, { seed: 1 });
  assert.deepEqual(fromLink(`#v=1&p=${'x'.repeat(LINK_MAX)}`).state, {});
  assert.match(said(fromLink('#v=1&lang=xx').notices[0]), /lang: “xx” is not one of en, de, fr, es/);
  const hidden = fromLink('#v=1&hide=lr,b@d,&lock=seed');
  assert.deepEqual([hidden.state, hidden.notices.map(said)], [{ hide: ['lr'], lock: ['seed'] }, ['hide: “b@d” is no name.']]);
  assert.deepEqual(fromLink('#v=1&__proto__=1&constructor=2&o.__proto__=3').state, {});
  assert.equal(/** @type {any} */ ({}).polluted, undefined);
});

test('what was corrected is said in every language, with the values', () => {
  const { state, notices } = fromLink('#v=1&n=99999&foo=1&seed=abc&m=banana&task=%3Cb%3E&r=1e999');
  assert.deepEqual(state, { steps: 5000, seed: 1, method: 'lora', task: 'pirate', options: {} });
  const english = notices.map(said);
  assert.deepEqual(english, [
    'steps: 99999 was brought to 5000.',
    'foo: unknown setting.',
    'seed: “abc” is no number.',
    `method: “banana” is not one of ${METHODS.join(', ')}.`,
    'task: “<b>” is no name.',
    'rank: “Infinity” cannot be used.',
  ]);
  for (const language of ['de', 'fr', 'es']) {
    setLanguage(language);
    notices.forEach((notice, i) => {
      assert.ok(hasText(notice.key) && said(notice) !== english[i] && !/[{}]/.test(said(notice)), `${language}: ${said(notice)}`);
      for (const value of Object.values(notice.values).filter(Boolean))
        if (notice.key !== 'correct.unknown') assert.ok(said(notice).includes(value), `${language}: ${value}`);
    });
  }
  setLanguage('en');
});

test('options from outside are brought to what the engine says of them; names of modules, patterns and texts are left to it', () => {
  const method = {
    options: [
      { name: 'rank', type: 'int', min: 1, max: 1024 },
      { name: 'dropout', type: 'real', min: 0, max: 0.95 },
      { name: 'init', type: 'choice', choices: ['true', 'pissa'] },
      { name: 'use_dora', type: 'bool' },
      { name: 'target_modules', type: 'targets' },
    ],
  };
  const fit = (/** @type {Record<string, any>} */ given) => {
    const { options, notices } = fitOptions(method, given);
    return [options, notices.map(({ key, values }) => [key, values.name, values.to])];
  };
  assert.deepEqual(fit({ rank: 9999 }), [{ rank: 1024 }, [['correct.range', 'rank', '1024']]]);
  assert.deepEqual(fit({ rank: 0, dropout: 2 }), [
    { rank: 1, dropout: 0.95 },
    [
      ['correct.range', 'rank', '1'],
      ['correct.range', 'dropout', '0.95'],
    ],
  ]);
  assert.deepEqual(fit({ rank: 3.6 }), [{ rank: 4 }, [['correct.range', 'rank', '4']]]);
  assert.deepEqual(fit({ rank: 'x', dropout: true, init: 'no', use_dora: 'maybe', nothing: 1 }), [
    {},
    ['number', 'number', 'choice', 'choice', 'unknown'].map((key, i) => [
      `correct.${key}`,
      ['rank', 'dropout', 'init', 'use_dora', 'nothing'][i],
      undefined,
    ]),
  ]);
  const right = { rank: 8, dropout: 0.1, init: true, use_dora: true, target_modules: ['q_proj'] };
  assert.deepEqual(fit(right), [right, []]);
  assert.deepEqual(fit({ use_dora: 1 }), [{ use_dora: true }, []]);
});

test('whatever comes in, what comes out is inside the schema', () => {
  const value = fc.oneof(fc.string(), fc.double(), fc.boolean(), fc.constant(null), fc.array(fc.string(), { maxLength: 4 }), fc.constant({}));
  fc.assert(fc.property(fc.dictionary(fc.constantFrom(...Object.keys(FIELDS), 'options', 'x'), value), (raw) => {
    const { state } = read(raw);
    for (const [name, got] of Object.entries(state)) {
      if (name === 'options') continue;
      const { kind, min = -Infinity, max = Infinity, choices } = FIELDS[name];
      if (kind === 'int' || kind === 'real') assert.ok(Number.isFinite(got) && got >= min && got <= max);
      if (kind === 'choice') assert.ok(choices?.includes(got));
      if (kind === 'word') assert.match(got, /^([a-z0-9][\w.-]{0,63})?$/i);
      if (kind === 'text') assert.ok(typeof got === 'string' && got.length <= max);
    }
    const link = toLink({ ...defaults(), ...state });
    if (link.length <= LINK_MAX) assert.deepEqual(fromLink(link).notices, []);
  }), { numRuns: 300 });
});

/** @param {Record<string, any>} changes @returns {import('../../web/lib/runs.js').Run} */
const run = (changes) => ({
  ...makeRun({
    id: 1,
    state: { task: 'mood', model: 'm', seed: 1 },
    module: { method: 'lora', options: { rank: 8, alpha: 16 } },
    counts: { trainable: 1, total: 2 },
    train: { steps: 10, lr: 0.1, seed: 1 },
    sample: { prompt: '', before: '', after: '' },
    base: 1,
  }),
  ...changes,
});

test('the difference between runs names what was set differently, and options only within a method', () => {
  assert.deepEqual(configDiff(undefined, run({})), []);
  assert.deepEqual(configDiff(run({}), run({ id: 2 })), []);
  assert.deepEqual(configDiff(run({}), run({ options: { rank: 4, alpha: 16 }, seed: 2 })), [
    { key: 'seed', from: 1, to: 2 },
    { key: 'rank', from: 8, to: 4 },
  ]);
  assert.deepEqual(configDiff(run({}), run({ method: 'prompt', options: { num_virtual_tokens: 20 } })), [
    { key: 'method', from: 'lora', to: 'prompt' },
  ]);
});

test('changed words are marked, and the text is the whole text', () => {
  assert.deepEqual(changedWords('the cat sat', 'the cat sat'), [{ text: 'the cat sat', changed: false }]);
  assert.deepEqual(changedWords('the cat sat down', 'arr, the cat lay down'), [
    { text: 'arr,', changed: true }, { text: ' the cat', changed: false }, { text: ' lay', changed: true }, { text: ' down', changed: false },
  ]);
  fc.assert(fc.property(fc.array(fc.constantFrom('a', 'b', 'c')), fc.array(fc.constantFrom('a', 'b', 'd')), (a, b) => {
    const pieces = changedWords(a.join(' '), b.join(' '));
    assert.equal(pieces.map((piece) => piece.text).join(''), b.join(' '));
    for (const piece of pieces) if (!piece.changed) for (const word of piece.text.trim().split(' ')) assert.ok(a.includes(word));
  }));
});

test('smoothing starts at the first loss and stays between the extremes', () => {
  const losses = [3, 1, 2, 5].map((loss, i) => ({ step: i + 1, loss }));
  const smoothed = smooth(losses);
  assert.ok(Math.abs(smoothed[0].loss - 3) < 1e-12);
  for (const { loss } of smoothed) assert.ok(loss >= 1 && loss <= 5);
});

test('quartiles, largest difference, and when two timings are apart', () => {
  assert.deepEqual(quartiles([4, 1, 3, 2, 5]), { median: 3, low: 2, high: 4, runs: 5 });
  assert.deepEqual(largestDifference([1, -3], [1.5, -3]), { difference: 0.5, largest: 3 });
  assert.equal(apart(quartiles([1, 1, 1]), quartiles([2, 2, 2])), true);
  assert.equal(apart(quartiles([1, 2, 3]), quartiles([2, 3, 4])), false);
});
