// The script to take along: what peft would refuse is written otherwise, and what it cannot do is said, in every language.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, test } from 'node:test';
import { PeftLab } from '../../web/engine/index.js';
import { sentenceWords } from '../../web/lib/engine-sentences.js';
import { addTexts, setLanguage } from '../../web/lib/i18n.js';
import { hubName, python, recipe } from '../../web/lib/recipe.js';

const session = await PeftLab.open(null, { inThread: true });
after(() => session.close());
/** @param {string} method @param {Record<string, any>} options @param {string} [shape] */
const made = (method, options, shape = 'llama-2-7b') => recipe({ modules: [{ method, options }], shape });

test('all-linear is a word, never a list: peft would look for a module of that name', () => {
    for (const targets of ['all-linear', ['all-linear']]) {
        for (const method of ['lora', 'ia3']) assert.match(made(method, { target_modules: targets }).script, /target_modules="all-linear",/);
    }
    for (const targets of ['q_proj,v_proj', ['q_proj', 'v_proj']])
        assert.match(made('lora', { target_modules: targets }).script, /target_modules=\["q_proj", "v_proj"\],/);
});

test('layers, excluded modules and the settings of a bottleneck are in the script', () => {
    const lora = made('lora', { target_modules: 'all-linear', layers_to_transform: [0, 3], exclude_modules: 'q_proj,o_proj' }).script;
    assert.match(lora, /exclude_modules=\["q_proj", "o_proj"\],/);
    assert.match(lora, /layers_to_transform=\[0, 3\],/);
    const adapter = made('adapter', {
        variant: 'houlsby', bottleneck_size: 64, scaling: 2, dropout: 0.1, non_linearity: 'relu', init_weights: 'bert',
        layers_to_transform: [1],
    }).script;
    const config = 'DoubleSeqBnConfig(reduction_factor=model.config.hidden_size / 64, non_linearity="relu", scaling=2.0, dropout=0.1, ' +
        'init_weights="bert", leave_out=[i for i in range(model.config.num_hidden_layers) if i not in [1]])';
    assert.ok(adapter.includes(config), adapter);
    const learned = { variant: 'parallel', reduction_factor: 2, learned_scale: true, non_linearity: 'auto', scaling: 0 };
    assert.match(made('adapter', learned).script, /ParBnConfig\(reduction_factor=2, scaling="learned"\)/);
});

test('the number format is asked for by the name that this version of transformers has for it', () => {
    const { script } = made('lora', { rank: 8, alpha: 16 });
    assert.match(script, /^import transformers$/m);
    assert.match(script, /^new = .*transformers\.__version__.* >= \(4, 56\)$/m);
    assert.match(script, /from_pretrained\(MODEL, \*\*\{"dtype" if new else "torch_dtype": torch\.bfloat16\}\)/);
});

test('what the script does not reproduce is named, and nothing is named without need', () => {
    const lost = (/** @type {string} */ method, /** @type {Record<string, any>} */ options) =>
        made(method, options).notes.find((note) => note.startsWith('The script does not')) ?? '';
    assert.match(
        lost('prefix', { prefix_init: 'text', init_text: 'Once', memory_shifts: false }),
        /prefix_init="text", init_text="Once", memory_shifts=False:/,
    );
    assert.match(lost('prompt', { prompt_tuning_init: 'scaled' }), /prompt_tuning_init="scaled"/);
    assert.match(lost('ia3', { target_modules: ['k_proj'], layers_to_transform: [1] }), /layers_to_transform=\[1\]/);
    assert.equal(lost('prefix', { prefix_init: 'random', memory_shifts: true }), '');
    assert.equal(lost('prompt', { prompt_tuning_init: 'text', init_text: 'Once' }), '');
    assert.equal(lost('lora', { target_modules: ['q_proj'], layers_to_transform: [1] }), '');
});

test("every shape has the hub's name that its note gives, or no script", async () => {
    const { shapes } = await session.describeStatic();
    for (const { name, note } of shapes) {
        const [owner, rest] = hubName(name)?.split('/') ?? [];
        if (owner) assert.ok(note.startsWith(`${owner}/`) && rest.toLowerCase().startsWith(name), `${name}: ${owner}/${rest}`);
        else assert.deepEqual([name, made('lora', {}, name).script], ['gpt2-small', '']);
    }
});

test('the notes in every language', () => {
    const notes = [made('prefix', { prefix_init: 'text', init_text: 'two\nlines' }).notes[0], made('lora', {}, 'gpt2-small').notes[0]];
    for (const language of ['de', 'fr', 'es']) {
        addTexts(language, JSON.parse(readFileSync(new URL(`../../web/content/texts/panels/${language}.json`, import.meta.url), 'utf8')));
        setLanguage(language);
        const [lost, hub] = notes.map(sentenceWords);
        assert.ok(lost.ours && lost.text !== notes[0] && lost.text.includes('init_text="two\\nlines"'), lost.text);
        assert.ok(hub.ours && hub.text !== notes[1] && hub.text.includes('gpt2-small'), hub.text);
    }
    setLanguage('en');
});

test('numbers are the same in Python, however small; the data file is read as what it is, and its name stays in its line', () => {
    for (const value of [1e-10, 2e-20, 1e-7, 0.1, 1 / 3, 16, 1e21, 0, -0.5]) assert.equal(Number(python(value)), value);
    const script = (/** @type {string} */ dataFile) =>
        recipe({ modules: [{ method: 'lora', options: { rank: 8, alpha: 16, dropout: 1e-10 } }], dataFile }).script;
    assert.match(script('train.jsonl'), /lora_dropout=1e-10,/);
    assert.match(script('train.jsonl'), /load_dataset\("json", data_files="train\.jsonl"/);
    assert.match(script('my.CSV'), /# my\.CSV: columns prompt and completion, or text;[\s\S]*load_dataset\("csv"/);
    assert.match(script('my.txt'), /load_dataset\("text"/);
    assert.ok(!/^import os/m.test(script('a\nimport os')));
});
