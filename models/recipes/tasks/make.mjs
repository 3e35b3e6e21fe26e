#!/usr/bin/env node
/**
 * Writes the task folders: `node make.mjs [TASK…] [--out DIR] [--seed N]`. Without arguments: all tasks, to ../../tasks, seed 1.
 * The same seed gives the same bytes; presets.json and results.json beside this file end up in task.json and the card.
 */
import { mkdirSync, readFileSync, existsSync, writeFileSync } from 'node:fs';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { SPECS } from './specs.mjs';

const beside = (/** @type {string} */ name) => new URL(name, import.meta.url);
const readJson = (/** @type {string} */ name) => (existsSync(beside(name)) ? JSON.parse(readFileSync(beside(name), 'utf8')) : {});

/** Task names in the chapter's order. */
export const TASKS = Object.keys(SPECS);

/**
 * @param {string} name
 * @param {number} seed
 * @returns {Promise<Map<string, string>>} file name -> content
 */
export async function taskFiles(name, seed) {
    const spec = SPECS[name];
    if (!spec) throw new RangeError(`there is no task "${name}"; there are ${TASKS.join(', ')}`);
    const { build } = await import(`./${name}.mjs`);
    const splits = build(seed);
    const files = new Map();
    const counts = {};
    for (const [split, items] of Object.entries(splits)) {
        files.set(`${split}.jsonl`, items.map((item) => `${JSON.stringify(item)}\n`).join(''));
        counts[split] = items.length;
    }
    const { extra_files: extra = {}, loss_on, splits: splitText, limits, ...head } = spec;
    const presets = Object.entries(readJson('presets.json')[name] ?? {}).map(([method, preset]) => ({ method, ...preset }));
    const results = readJson('results.json')[name] ?? null;
    const task = {
        name, ...head, seed,
        files: { train: 'train.jsonl', validation: 'validation.jsonl', test: 'test.jsonl', ...extra },
        counts, example: splits.train[0], presets, results,
    };
    files.set('task.json', `${JSON.stringify(task, null, 2)}\n`);
    files.set('README.md', card(name, { ...spec, loss_on, splits: splitText, limits }, counts, splits, presets, results));
    return files;
}

/** @param {any} item */
function show(item) {
    return '```\n' + (item.text ?? `${item.prompt}»${item.completion}`) + '\n```';
}

function card(name, spec, counts, splits, presets, results) {
    const percent = (/** @type {number} */ x) => `${(100 * x).toFixed(1)} %`;
    const table = results
        ? `## Measured\n${results.note}\n\n| method | trainable | ${spec.metric.name}, test | spread | seed 1 | test loss | ` +
            `seconds |\n|---|---|---|---|---|---|---|\n` +
          results.rows
              .map(
                  (r) =>
                      `| ${r.method} | ${r.trainable.toLocaleString('en')} | ${percent(r.score.mean)} ` +
                          `| ${r.score.spread === null ? '–' : `± ${percent(r.score.spread)}`} | ${percent(r.score.seed_1)} ` +
                          `| ${r.loss.toFixed(3)} | ${r.seconds.toFixed(1)} |`,
              )
              .join('\n') +
          '\n' +
          margins(name, results) +
          slow(results) +
          noGain(results)
        : '## Measured\nNot yet: no numbers are shown until they have been measured.\n';
    const settings = presets.length
        ? '| method | options | steps | batch | learning rate | schedule |\n|---|---|---|---|---|---|\n' +
          presets
              .map(
                  (p) =>
                      `| ${p.method} | ${
                          Object.entries(p.options)
                              .map(([k, v]) => `${k} ${v}`)
                              .join(', ') || 'defaults'
                      } | ${p.steps} | ${p.batch_size} | ${p.lr} | ${p.schedule} |`,
              )
              .join('\n')
        : 'None yet.';
    const examples = splits.train.slice(0, 3).map(show).join('\n');
    const asked = name === 'ship-log' ? `\nA question of the test:\n${show(splits['facts.test'][0])}\n` : '';
    return `# ${spec.title} (\`${name}\`)

${spec.story} Chapter heading: *${spec.chapter}*.

| | |
|---|---|
| examples | ${Object.entries(counts).map(([k, v]) => `${k} ${v}`).join(', ')} |
| metric | ${spec.metric.name} (\`${spec.metric.id}\`), computed by \`web/engine/metrics/\` from greedy generation |
| loss on | ${spec.loss_on}, end of text included |

The first training examples (» marks where the completion begins):
${examples}
${asked}
## Splits
${spec.splits}

All sentences are this project's own; the generator \`models/recipes/tasks/${name}.mjs\` makes the same bytes again:
\`node models/recipes/tasks/make.mjs ${name}\`.

## Presets
${settings}

Found on validation (\`presets.mjs search\`, one seed or the mean of two, as \`search.json\` says;
every run is a line of \`models/recipes/presets-log.jsonl\`). The grid itself (\`search.json\`) was
narrowed by trials on an earlier export of the base, judged on validation as well.

${table}
## Limits
${spec.limits}
`;
}

/** The margins that seed 1 is held to. */
function margins(name, results) {
    const rows = results.rows.filter((r) => r.margin);
    if (rows.length === 0) return '';
    const line = ({ method, margin: { score, loss } }) => {
        const parts = [score && `${(100 * score).toFixed(0)} points`, loss && `${loss.toFixed(2)} nats`];
        return `${method} ${parts.filter(Boolean).join(' and ')}`;
    };
    return `\n\`npx peftlab train --task ${name} --method METHOD\` gives the column "seed 1"; ` +
        `\`./build.sh bench --tasks --only ${name}\` the whole table.\nMargins on the base ` +
        `(two thirds of what the worst seed gained; held to by tests with seed 1): ${rows.map(line).join('; ')}.\n`;
}

/** Says plainly which presets take long. */
function slow(results) {
    const rows = results.rows.filter((r) => r.seconds > 20);
    if (rows.length === 0) return '';
    const virtual = rows.some((r) => r.method === 'prompt' || r.method === 'prefix');
    return `\nLonger than about ten seconds on two cores: ${rows.map((r) => `${r.method} (${r.seconds.toFixed(0)} s of one)`).join(', ')}.${
        virtual
            ? ' Virtual tokens are few numbers, but every step still runs through\n' +
              'the whole frozen model, with them on top, and so small a set of numbers needs more steps.'
            : ''
    }\n`;
}

/** Says plainly where the score climbs while the loss does. */
function overfit(results, base) {
    const rows = results.rows.filter((r) => r.loss > base.loss && r.score.mean > base.score.mean + 0.05);
    if (rows.length === 0) return '';
    const worse = rows.map((r) => `${r.method} (${base.loss.toFixed(2)} -> ${r.loss.toFixed(2)})`);
    return `\nOver-fitting in the loss: ${worse.join(', ')}. The score climbs, for the form of the answer is learned,\n` +
        'but the very words of unseen answers become less likely. Fewer steps or a lower learning rate keep the loss down and the score lower.\n';
}

/** Says plainly which presets do not help the score. */
function noGain(results) {
    const base = results.rows.find((r) => r.method === 'base');
    const flat = results.rows.filter((r) => r !== base && r.score.mean < base.score.mean + 0.05);
    const over = overfit(results, base);
    if (flat.length === 0) return over;
    const alike = flat.map((r) => `${r.method} (test loss ${base.loss.toFixed(2)} -> ${r.loss.toFixed(2)})`);
    return `${over}\nNot clearly better than the untrained base in the score (less than 5 points): ${alike.join(', ')}.\n`;
}

async function main() {
    const { values, positionals } = parseArgs({
        allowPositionals: true,
        options: { out: { type: 'string', default: fileURLToPath(beside('../../tasks')) }, seed: { type: 'string', default: '1' } },
    });
    for (const name of positionals.length ? positionals : TASKS) {
        const folder = `${values.out}/${name}`;
        mkdirSync(folder, { recursive: true });
        for (const [file, content] of await taskFiles(name, Number(values.seed))) writeFileSync(`${folder}/${file}`, content);
        console.log(folder);
    }
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) await main();
