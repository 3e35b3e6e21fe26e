// What the engine and the lessons say in words has words in every language of the page; what stays English says why.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { PeftLab } from '../../web/engine/index.js';
import { bookKey, bookWords, bringSentences, engineWords, methodWords, metricKey, needsWords, shapeWords } from '../../web/lib/engine-words.js';
import { baseTerms, methodTerms } from '../../web/lib/formulas.js';
import { BENCHMARK } from '../../web/elements/chapter-data.js';
import { recipe } from '../../web/lib/recipe.js';
import { addTexts, LANGUAGES, setLanguage } from '../../web/lib/i18n.js';
import { METHODS } from '../../web/lib/store.js';

await bringSentences();

const content = new URL('../../web/content/', import.meta.url);
const read = (/** @type {string} */ path) => JSON.parse(readFileSync(new URL(path, content), 'utf8'));
/** @type {Record<string, Record<string, any>>} */
const texts = Object.fromEntries(
  Object.keys(LANGUAGES).map((name) => [name, { ...read(`texts/${name}.json`), ...read(`texts/panels/${name}.json`) }]),
);
/** @type {import('../../web/engine/session.js').Session} */
let session;
before(async () => { session = await PeftLab.open(null, { inThread: true }); });
after(() => session.close());

/** @param {string[]} keys */
function everywhere(keys) {
  assert.ok(keys.length > 0);
  for (const [language, dictionary] of Object.entries(texts)) assert.deepEqual(keys.filter((key) => !dictionary[key]), [], language);
}

test('methods, their options, and why some cannot be merged', async () => {
  const { methods } = await session.describeStatic();
  assert.deepEqual(
    methods.map((/** @type {any} */ m) => m.name).sort(),
    [...METHODS].sort(),
    'links know the methods before the engine is there',
  );
  everywhere(
    methods.flatMap((/** @type {any} */ m) => [
      `method.${m.name}`,
      `method.${m.name}.about`,
      ...(m.cannot_merge ? [`cannot_merge.${m.name}`] : []),
      ...m.options.flatMap((/** @type {any} */ o) => [`option.${o.name}`, `option.${o.name}.about`]),
    ]),
  );
});

test('every placement of an adapter is explained, by the command line and in every language', async () => {
  const { methods } = await session.describeStatic();
  const variant = methods.find((/** @type {any} */ m) => m.name === 'adapter').options.find((/** @type {any} */ o) => o.name === 'variant');
  const helps = [variant.help, ...Object.values(texts).map((dictionary) => dictionary['option.variant.about'])];
  for (const help of helps) for (const choice of variant.choices) assert.match(help, new RegExp(`\\b${choice}\\s?: \\S`), help);
});

test('the coach: every state, rule, advice and reason', async () => {
  const history = Array.from({ length: 12 }, (_, i) => ({ step: i + 1, loss: 3 - i / 10, val_loss: 3 - i / 20 }));
  const report = await session.coach({ history, method: 'lora', options: { rank: 8 }, steps: 12, lr: 0.01 });
  everywhere(report.rules.flatMap(({ state }) => ['state', 'rule', 'advice', 'because'].map((kind) => `coach.${kind}.${state}`)));
  // English stays the engine's own; its rules must not part from ours unnoticed.
  for (const rule of report.rules) assert.equal(texts.en[`coach.rule.${rule.state}`].replaceAll('\u00a0', ' '), rule.condition);
});

test("the chooser's questions and reasons", async () => {
  const { tree } = await session.guide();
  everywhere(
    tree.flatMap((/** @type {any} */ node) => [
      ...(node.question ? [`choose.q.${node.key}`, `choose.q.${node.key}.about`] : []),
      `choose.reason.${node.key}`,
    ]),
  );
});

/** What the Chapter and Choose panels show of the engine's tables: every text but settings, printed figures and names of ours. */
async function bookTexts() {
  const SHOWN = ['label', 'quote', 'heading', 'best', 'when', 'use', 'why', 'explanation'];
  const seen = new Set();
  const walk = (/** @type {any} */ node, /** @type {string} */ key) => {
    if (Array.isArray(node)) node.forEach((each) => walk(each, key));
    else if (node && typeof node === 'object') for (const [name, value] of Object.entries(node)) walk(value, name);
    else if (typeof node === 'string' && (key === 'reasons' || SHOWN.includes(key))) seen.add(node);
  };
  const { memory, methods } = await session.chapter();
  walk(
    [
      await session.guide(),
      methods,
      memory.map((/** @type {any} */ row) => row.explanation).map((/** @type {string} */ explanation) => ({ explanation })),
    ],
    '',
  );
  for (const answers of [{}, ...['latency', 'compute', 'task', 'multitask'].map((key) => ({ [key]: key === 'task' ? 'classification' : 'yes' }))]) {
    const advice = await session.advise({ latency: 'no', compute: 'no', task: 'no', multitask: 'no', ...answers });
    walk([advice.label, advice.quote, advice.other].filter(Boolean), 'label');
  }
  for (const [, label] of BENCHMARK.rows) if (label) seen.add(label);
  return [...seen].filter(needsWords);
}

test("the chapter's tables: every word has words in every language, and none too many", async () => {
  assert.deepEqual(['LoRA (r=8, α=16)', 'lr 5e-3, all attention', 'Adapters', 'r 32, q + v'].map(needsWords), [false, true, true, false]);
  const shown = await bookTexts();
  assert.ok(shown.length > 60, `${shown.length}`);
  everywhere(shown.map(bookKey));
  for (const text of shown) assert.equal(texts.en[bookKey(text)].toLowerCase(), text.toLowerCase());
  const used = new Set(shown.map(bookKey));
  assert.deepEqual(Object.keys(texts.en).filter((key) => key.startsWith('book.') && !used.has(key)), []);
  for (const language of ['de', 'fr', 'es']) {
    addTexts(language, texts[language]);
    setLanguage(language);
    for (const text of shown) assert.deepEqual(bookWords(text), { text: texts[language][bookKey(text)], ours: true }, language);
    const same = shown.filter((text) => texts[language][bookKey(text)].toLowerCase() === text.toLowerCase());
    // Method names and a word that is the same in French.
    assert.ok(same.every((text) => /^(Prompt|Prefix) tuning( \(20 tokens\))?$|^Classification$/i.test(text)), `${language}: ${same}`);
    assert.deepEqual(bookWords('No such words.'), { text: 'No such words.', ours: false });
  }
  setLanguage('en');
  assert.deepEqual(bookWords(shown[0]), { text: shown[0], ours: true });
});

/** Every sentence of the engine that the calculator can show: one choice after the other on each kind of shape, and what it refuses. */
async function calculatorSentences() {
  const { methods } = await session.describeStatic();
  const seen = new Set(/** @type {string[]} */ ([]));
  const CHOICES = [
    {},
    ...['f32', 'bf16', 'f16', 'int8', 'nf4'].map((dtype) => ({ dtype })),
    ...['adamw', 'adamw8bit', 'momentum', 'sgd'].map((optimizer) => ({ optimizer })),
    { checkpointing: true },
    { assume: 'chapter' },
  ];
  const OPTIONS = [
    ...methods.map(({ name: method }) => ({ method, options: {} })),
    { method: 'lora', options: { init: 'pissa' } },
    { method: 'prefix', options: { prefix_projection: true } },
  ];
  for (const shape of ['smollm2-135m', 'tinyllama-1.1b', 'llama-2-7b', 'llama-2-70b']) {
    for (const { method, options } of OPTIONS) {
      for (const choice of CHOICES) {
        const request = { shape, method, options, dtype: 'bf16', optimizer: 'adamw', batch: 1, seq: 2048, ...choice };
        const reports = [
          await session.countFor({ shape, method, options }),
          await session.memoryFor(request).catch((/** @type {Error} */ error) => ({ assumptions: [error.message] })),
        ];
        for (const { assumptions } of reports) for (const sentence of assumptions) seen.add(sentence);
      }
    }
  }
  return [...seen];
}

test("the calculator's methods, shapes and sentences in every language", async () => {
  const { methods, shapes } = await session.describeStatic();
  const sentences = await calculatorSentences();
  for (const start of [
    'int8:', 'nf4', 'Gradient checkpointing', 'As the chapter counts', "As the chapter's LoRA", 'The file holds',
    'A network of', 'weights in nf4', 'Trained base',
  ])
    assert.ok(
      sentences.some((text) => text.startsWith(start)),
      start,
    );
  for (const language of ['de', 'fr', 'es']) {
    addTexts(language, texts[language]);
    setLanguage(language);
    for (const method of methods) assert.equal(methodWords(method), texts[language][`method.${method.name}`]);
    assert.equal(methodWords({ name: 'new', label: 'A new one' }), 'A new one');
    // Names of models are the same everywhere; "sized" is a word.
    for (const shape of shapes) assert.equal(shapeWords(shape) === shape.label, !/\b[a-z]{4,}/.test(shape.label), `${language}: ${shape.label}`);
    for (const sentence of sentences) {
      const { text, ours } = engineWords(sentence);
      assert.ok(ours && text !== sentence && !/[{}]/.test(text), `${language}: ${sentence}`);
      for (const figure of sentence.match(/\d+/g) ?? []) assert.ok(text.includes(figure), `${language}: ${figure} of ${sentence}`);
    }
  }
  setLanguage('de');
  assert.match(engineWords('nf4 with double quantisation: 4.127 bits per weight of the linear maps; embedding').text, /4,127 Bit/);
  setLanguage('en');
});

test("the calculator's formulas and heads in every language", async () => {
  const { methods, shapes, sites } = await session.describeStatic();
  const NAMES = ['input_layernorm', 'post_attention_layernorm', 'norm', ...sites.map((/** @type {string} */ site) => site.replace('_proj', ''))];
  const GIVEN = /** @type {[string, Record<string, any>][]} */ ([
    ...methods.map(({ name }) => [name, {}]),
    ['lora', { use_dora: true }],
    ['adapter', { variant: 'parallel', learned_scale: true }],
    ['adapter', { variant: 'per_linear' }],
  ]);
  const config = { ...shapes.find(({ name }) => name === 'llama-2-7b').config, attention_bias: true, mlp_bias: true };
  const words = (/** @type {string} */ text) => text.replace(/\{\w+\}/g, '').match(/[\p{L}_]{2,}/gu) ?? [];
  const sources = ['panel-calculator', 'calculator-bar', 'calculator-chapter']
    .map((name) => readFileSync(new URL(`../../web/elements/${name}.js`, import.meta.url), 'utf8'))
    .join('');
  everywhere([...sources.matchAll(/\bt\('([\w.]+)'/g)].map(([, key]) => key));
  everywhere(['model', 'book', 'as', 'ours', 'why', 'method', 'exact'].map((name) => `calc.col.${name}`));
  for (const language of ['en', 'de', 'fr', 'es']) {
    addTexts(language, texts[language]);
    setLanguage(language);
    const ours = new Set([
      ...NAMES,
      ...Object.keys(texts[language])
        .filter((key) => key.startsWith('term.'))
        .flatMap((key) => words(texts[language][key])),
    ]);
    for (const [method, given] of GIVEN) {
      const options = {
        ...Object.fromEntries(
          methods.find(({ name }) => name === method).options.map((/** @type {any} */ o) => [o.name, o.default]),
        ),
        ...given,
      };
      const terms = [...baseTerms(config), ...(methodTerms(config, method, options) ?? [])];
      assert.ok(terms.length > 10, `${method} has a formula`);
      for (const { text } of terms) assert.deepEqual(words(text).filter((word) => !ours.has(word)), [], `${language}: ${text}`);
    }
    if (language === 'de') assert.ok(baseTerms(config).some(({ text }) => text === 'Einbettung 32.000 × 4.096'));
  }
  setLanguage('en');
});

test("the tasks' metrics, and what stands beside the script to take along", () => {
  const models = new URL('../../models/', import.meta.url);
  const { tasks } = JSON.parse(readFileSync(new URL('index.json', models), 'utf8'));
  const names = tasks
    .map(
      (/** @type {any} */ { name }) => JSON.parse(readFileSync(new URL(`tasks/${name}/task.json`, models), 'utf8')).metric.name,
    )
    .filter(Boolean);
  everywhere(names.map(metricKey));
  everywhere(names.map((/** @type {string} */ name) => metricKey(name).replace('name', 'about')));
  for (const language of ['de', 'fr', 'es']) {
    addTexts(language, texts[language]);
    setLanguage(language);
    const lora = { method: 'lora', options: { rank: 8, alpha: 16, target_modules: ['q_proj'] }, train: { lr: 0.01 } };
    const prefix = { method: 'prefix', options: { num_virtual_tokens: 10 } };
    const GIVEN = [
      [lora],
      [{ ...lora, train: {} }],
      [{ ...lora, options: { ...lora.options, loraplus_lr_ratio: 16 } }],
      [prefix],
      [{ method: 'full', options: {} }],
      [lora, prefix],
      [{ method: 'adapter', options: { variant: 'per_linear' } }],
    ];
    const notes = new Set(GIVEN.flatMap((modules) => recipe({ modules, shape: 'llama-2-7b' }).notes));
    assert.ok(notes.size >= 8, `${notes.size}`);
    assert.deepEqual([...notes].filter((note) => { const { text, ours } = engineWords(note); return !ours || text === note; }), [], language);
  }
  setLanguage('en');
});

test('errors: every code a page can meet has a sentence', () =>
  everywhere(
    ['no-wasm', 'no-simd', 'worker-lost', 'load', 'memory', 'numeric', 'format', 'mismatch', 'range', 'unsupported'].map(
      (code) => `failure.code.${code}`,
    ),
  ));

test("the chapter panel's sentence on the start: presets are r = 8 on the seven linear maps of a layer", async () => {
  const models = new URL('../../models/', import.meta.url);
  const { tasks } = JSON.parse(readFileSync(new URL('index.json', models), 'utf8'));
  for (const { name } of tasks) {
    const { presets } = JSON.parse(readFileSync(new URL(`tasks/${name}/task.json`, models), 'utf8'));
    const { rank, target_modules: targets } = presets.find((/** @type {any} */ preset) => preset.method === 'lora').options;
    assert.deepEqual({ rank, targets }, { rank: 8, targets: 'all-linear' }, name); // their α is their own: the sentence speaks of the chapter's
  }
  const seven = 4 * (4096 + 4096) + 3 * (4096 + 11008); // q, k, v, o and gate, up, down: inputs and outputs
  assert.equal(
    (await session.countFor({ shape: 'llama-2-7b', method: 'lora', options: { rank: 8, target_modules: 'all-linear' } }))
      .trainable,
    32 * 8 * seven,
  );
});

test('lessons: every text in every language, with the same gaps filled', () => {
  const languages = Object.keys(LANGUAGES).sort();
  const KEYS = ['title', 'about', 'text', 'question', 'right', 'wrong'];
  let seen = 0;
  /** @param {any} node @param {string} where */
  const walk = (node, where) => {
    if (Array.isArray(node)) return node.forEach((each, i) => walk(each, `${where}[${i}]`));
    if (!node || typeof node !== 'object') return undefined;
    for (const [key, value] of Object.entries(node)) {
      const own = KEYS.includes(key) ? [value] : key === 'choices' ? value.map((/** @type {any} */ choice) => choice.text ?? choice) : [];
      for (const text of own) {
        seen++;
        assert.deepEqual(Object.keys(text).sort(), languages, `${where}.${key}`);
        for (const words of Object.values(text)) assert.ok(String(words).trim(), `${where}.${key}`);
      }
      if (!own.length) walk(value, `${where}.${key}`);
      else if (key === 'choices')
        walk(
          value.filter((/** @type {any} */ choice) => choice.is).map((/** @type {any} */ choice) => ({ is: choice.is })),
          where,
        );
    }
    return undefined;
  };
  for (const file of readdirSync(new URL('lessons/', content)).filter((name) => name.endsWith('.json'))) walk(read(`lessons/${file}`), file);
  assert.ok(seen > 100, `${seen} texts`);
});
