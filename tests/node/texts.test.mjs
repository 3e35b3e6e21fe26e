// Every language has every key of English, with the same gaps; nothing is empty.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { addTexts, chooseLanguage, direction, LANGUAGES, number, setLanguage, t } from '../../web/lib/i18n.js';

const texts = join(dirname(fileURLToPath(import.meta.url)), '../../web/content/texts');
const read = (/** @type {string} */ path) => JSON.parse(readFileSync(join(texts, path), 'utf8'));
const gaps = (/** @type {string | Record<string, string>} */ entry) =>
  [...new Set((typeof entry === 'string' ? entry : entry.other).match(/\{\w+\}/g) ?? [])].sort();

for (const folder of ['', 'panels/']) {
  const files = readdirSync(join(texts, folder)).filter((name) => name.endsWith('.json'));
  const english = read(`${folder}en.json`);
  for (const file of files) {
    test(`texts/${folder}${file}: the keys and gaps of English, nothing empty`, () => {
      const dictionary = read(folder + file);
      assert.deepEqual(Object.keys(dictionary).sort(), Object.keys(english).sort());
      for (const [key, entry] of Object.entries(dictionary)) {
        assert.ok(typeof entry === 'string' ? entry : entry.other, key);
        assert.deepEqual(gaps(entry), gaps(english[key]), key);
      }
    });
  }
  test(`texts/${folder}: every offered language is there`, () => {
    assert.deepEqual(files.map((file) => file.slice(0, -5)).sort(), Object.keys(LANGUAGES).sort());
  });
}

test('t: gaps, plurals, fall-back to English, unknown keys', () => {
  addTexts('en', { 'x.n': { one: '{n} run', other: '{n} runs' }, 'x.only': 'only {what}' });
  addTexts('de', { 'x.n': { one: '{n} Lauf', other: '{n} Läufe' } });
  setLanguage('en');
  assert.equal(t('x.n', { n: 1 }), '1 run');
  assert.equal(t('x.n', { n: 2048 }), '2,048 runs');
  setLanguage('de');
  assert.equal(t('x.n', { n: 2048 }), '2.048 Läufe');
  assert.equal(t('x.only', { what: 'this' }), 'only this');
  assert.equal(t('x.only'), 'only {what}');
  assert.equal(t('no.such.key'), 'no.such.key');
  assert.equal(number(0.5), '0,5');
  setLanguage('en');
  assert.equal(chooseLanguage(['xx', 'de-AT', 'en']), 'de');
  assert.equal(direction('ar'), 'rtl');
});
