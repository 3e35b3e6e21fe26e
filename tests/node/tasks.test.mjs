import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { test } from 'node:test';
import { TASKS, taskFiles } from '../../models/recipes/tasks/make.mjs';
import { METRIC_IDS, requiredWords, runTurtle, score } from '../../web/engine/metrics/index.js';

const folder = (/** @type {string} */ name) => new URL(`../../models/tasks/${name}/`, import.meta.url);
const read = (/** @type {string} */ name, /** @type {string} */ file) => readFileSync(new URL(file, folder(name)), 'utf8');
const items = (/** @type {string} */ name, /** @type {string} */ file) => read(name, file).trim().split('\n').map((line) => JSON.parse(line));
const task = (/** @type {string} */ name) => JSON.parse(read(name, 'task.json'));

/** Names of children: a capitalised word in mid-sentence that is not "I" or a day. */
const names = (/** @type {any[]} */ list) =>
    new Set(list.flatMap((e) => [...`${e.prompt ?? ''}${e.completion ?? e.text}`.matchAll(/(?<=[a-z,] )[A-Z][a-z]+/g)].map((m) => m[0])));

for (const name of TASKS) {
    test(`${name}: the generator makes the committed files byte for byte`, async () => {
        const made = await taskFiles(name, task(name).seed);
        assert.deepEqual([...made.keys()].sort(), readdirSync(folder(name)).sort());
        for (const [file, content] of made) assert.equal(read(name, file), content, file);
    });

    test(`${name}: task.json is complete and true`, () => {
        const t = task(name);
        assert.ok(METRIC_IDS.includes(t.metric.id));
        for (const file of [...Object.values(t.files), ...Object.values(t.metric.files)]) assert.ok(read(name, file).length > 0, file);
        for (const [split, count] of Object.entries(t.counts)) assert.equal(items(name, `${split}.jsonl`).length, count, split);
        for (const preset of t.presets) assert.ok(preset.method && preset.steps > 0 && preset.batch_size > 0 && preset.lr > 0);
    });

    test(`${name}: no test item is in training`, () => {
        const train = items(name, 'train.jsonl');
        const prompts = new Set(train.map((e) => e.prompt ?? e.text));
        const completions = new Set(train.map((e) => e.completion ?? e.text));
        for (const split of ['validation', 'test']) {
            for (const e of items(name, `${split}.jsonl`)) {
                assert.ok(!prompts.has(e.prompt ?? e.text), JSON.stringify(e));
                if (name !== 'mood') assert.ok(!completions.has(e.completion ?? e.text), JSON.stringify(e));
            }
        }
    });

    test(`${name}: right answers score 1, an empty one 0`, () => {
        const t = task(name);
        const asked = items(name, t.metric.files.test);
        const perfect = score(t.metric, asked, asked.map((e) => e.completion));
        assert.equal(perfect.score, 1);
        assert.equal(score(t.metric, asked, asked.map(() => '')).score, 0);
    });
}

test('children of mood, words-to-story and pirate differ between splits', () => {
    for (const name of ['mood', 'words-to-story', 'pirate']) {
        const train = names(items(name, 'train.jsonl'));
        for (const split of ['validation', 'test']) {
            const shared = [...names(items(name, `${split}.jsonl`))].filter((n) => train.has(n));
            const common = new Set('I Mom Dad Sunday One Is Are Be Ye Me Arr Do Help Stop Ahoy Avast Aye Yer The'.split(' '));
            assert.deepEqual(shared.filter((n) => !common.has(n)), [], `${name} ${split}`);
        }
    }
});

test('sentences of the ship log: no pattern of validation or test is in training', () => {
    const t = (/** @type {string} */ file) =>
        new Set(
            items('ship-log', file)
                .flatMap((e) => (e.text ?? e.prompt).split(/(?<=\.) /))
                .filter((s) => !s.startsWith('Day')),
        );
    const train = t('train.jsonl');
    for (const file of ['validation.jsonl', 'test.jsonl', 'facts.validation.jsonl', 'facts.test.jsonl']) {
        for (const sentence of t(file)) assert.ok(!train.has(sentence), sentence);
    }
});

test('every fact that is asked is told in training', () => {
    const told = items('ship-log', 'train.jsonl').map((e) => e.text.toLowerCase());
    for (const { prompt, completion } of items('ship-log', 'facts.test.jsonl')) {
        const about = /(\w+ Island)/.exec(prompt)?.[1] ?? /\b(Anna|Jack|Lucy|Max|Rose)\b/.exec(prompt)?.[1] ?? '?';
        const answer = completion.trim().replace('.', '').toLowerCase();
        assert.ok(told.filter((text) => text.includes(about.toLowerCase()) && text.includes(answer)).length >= 3, `${prompt}${completion}`);
    }
});

test('training lists of words-to-story hold no word kept for validation and test', () => {
    const train = new Set(items('words-to-story', 'train.jsonl').flatMap((e) => requiredWords(e.prompt)));
    for (const split of ['validation', 'test']) {
        for (const e of items('words-to-story', `${split}.jsonl`)) assert.ok(requiredWords(e.prompt).some((w) => !train.has(w)), e.prompt);
    }
});

test('every turtle program runs, and programs of validation and test are new', () => {
    const programs = (/** @type {string} */ split) => items('turtle', `${split}.jsonl`).map((e) => e.completion);
    const train = new Set(programs('train'));
    for (const split of ['train', 'validation', 'test']) {
        for (const code of programs(split)) assert.ok(runTurtle(code).ok, code);
        if (split !== 'train') assert.ok(programs(split).every((code) => !train.has(code)));
    }
});
