// Every language has every key of English, with the same gaps; nothing is empty.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { percent, power, significant } from '../../web/lib/format.js';
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

/**
 * One word for each central term: what the other languages' texts must not call it (any more), by
 * language, with the word to use.
 * @type {Record<string, Record<string, RegExp>>}
 */
const GLOSSARY = {
  de: {
    Einrechnen: /verschm[eo]l/i,
    Kombinieren: /\bverbind/i, Engine: /\bMaschine/, Startzahl: /Startwert|\bSeeds?\b/, Feld: /\bTafel/,
    Herausnehmen: /\bTrennen\b/,
  },
  fr: {
    'défaire la fusion': /défusion/i,
    'mis de côté': /réservé/i,
    calculateur: /calculatrice/i,
    'supprimer A et B': /laiss(er|ez) (A et B|la partie entraînée)/,
  },
  es: { apartados: /reservad/i, 'descartar A y B': /\bdejar? (A y B|la parte entrenada)/ },
};

/** The texts of a language inside a lesson: {en: …, de: …} wherever they stand. @param {any} value @param {string} language @returns {string[]} */
const inside = (value, language) => (value === null || typeof value !== 'object' ? []
  : typeof value[language] === 'string' ? [value[language]] : Object.values(value).flatMap((part) => inside(part, language)));

const lessons = join(texts, '../lessons');
const lessonFiles = readdirSync(lessons)
  .filter((name) => name.endsWith('.json'))
  .map((name) => JSON.parse(readFileSync(join(lessons, name), 'utf8')));

for (const [code, terms] of Object.entries(GLOSSARY)) {
  test(`${code}: one word for each central term, in texts, panels and lessons`, () => {
    const dictionary = Object.values({ ...read(`${code}.json`), ...read(`panels/${code}.json`) }).flatMap((entry) =>
      typeof entry === 'string' ? [entry] : Object.values(entry),
    );
    const all = [...dictionary, ...lessonFiles.flatMap((lesson) => inside(lesson, code))];
    for (const [word, other] of Object.entries(terms)) assert.deepEqual(all.filter((text) => other.test(text)), [], `"${word}" is the word`);
  });
}

for (const code of Object.keys(LANGUAGES)) {
  test(`${code}: the lesson about comparing calls the column of the run list as the list does`, () => {
    const column = read(`${code}.json`)['runs.loss'].toLowerCase();
    const { steps } = lessonFiles.find(({ id }) => id === 'comparing');
    const { text, check } = steps.find((/** @type {any} */ step) => step.focus === 'runs');
    for (const words of [text, check.question, check.wrong])
      assert.ok(words[code].toLowerCase().replace('held-out losses', 'held-out loss').includes(column), words[code]);
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

test('numbers: a minus sign, powers of ten written out, in every language', () => {
  const seen = Object.fromEntries(Object.keys(LANGUAGES).map((name) => {
    setLanguage(name);
    return [
      name,
      [
        significant(1.5e-5),
        significant(-2e-6),
        significant(1e-5),
        significant(-0.1026, 4),
        power(0.1),
        power(1e-3),
        power(1),
        percent(-3.4).replace(/\s/g, ' '),
      ],
    ];
  }));
  setLanguage('en');
  assert.deepEqual(seen.en, ['1.5·10⁻⁵', '−2·10⁻⁶', '10⁻⁵', '−0.1026', '0.1', '10⁻³', '1', '−3.4%']);
  assert.deepEqual(seen.de, ['1,5·10⁻⁵', '−2·10⁻⁶', '10⁻⁵', '−0,1026', '0,1', '10⁻³', '1', '−3,4 %']);
  for (const name of ['fr', 'es']) assert.deepEqual(seen[name].slice(0, 7), seen.de.slice(0, 7), name);
});

test('English writes percent without a space, as its number format does, and "validation" only for the split', () => {
  const all = Object.entries({ ...read('en.json'), ...read('panels/en.json') }).flatMap(([key, entry]) =>
    (typeof entry === 'string' ? [entry] : Object.values(entry)).map((text) => `${key}: ${text}`),
  );
  assert.deepEqual(all.filter((text) => /\d[ \u00a0]%/.test(text)), []);
  assert.deepEqual(all.filter((text) => /: .*\bvalidation\b/i.test(text.replaceAll(/\{\w+\}/g, '')) && !/^split\./.test(text)), []);
});
