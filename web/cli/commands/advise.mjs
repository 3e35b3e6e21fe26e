import { loadIndex } from '../../engine/index.js';
import { helpText, parse } from '../args.mjs';
import { MODELS, openCalculator, print } from '../context.mjs';

const SPEC = /** @type {import('../args.mjs').Spec} */ ({
    latency: { kind: 'string', help: 'is inference latency critical? yes or no' },
    compute: { kind: 'string', help: 'limited or enough' },
    task: { kind: 'string', help: 'classification, instruction, domain, style, code or other' },
    multitask: { kind: 'string', help: 'must several tasks be combined? yes or no' },
});

export const help = () => helpText('advise', "the chapter's decision tree", SPEC);

const METHODS = ['prompt', 'prefix', 'lora', 'adapter', 'full'];

/**
 * What the chapter says of this kind of task, and what was measured on the task that stands for it here: the tree only asks whether it is simple.
 * @param {import('../../engine/session.js').Session} session @param {string | null} name of the task, as the engine understood the answer
 * @returns {Promise<Record<string, any>>} chapter and measured; nothing where the answer was no kind of task
 */
async function ofTask(session, name) {
    const kind = (await session.guide()).tasks.find((/** @type {any} */ t) => t.task === name);
    const task = (await loadIndex(MODELS)).tasks.find((t) => t.name === name);
    if (!kind || !task) return {};
    const chapter = { heading: kind.heading, best: kind.best, reasons: kind.reasons };
    if (!task.scores) return { chapter };
    const { model, seeds, base, spread = {}, ...found } = /** @type {Record<string, any>} */ (task.scores);
    const scores = Object.fromEntries(METHODS.filter((method) => found[method] !== undefined)
        .map((method) => [method, found[method]]).sort(([, a], [, b]) => b - a));
    const source = `models/tasks/${name}/README.md`;
    const metric = task.metric_name ?? task.metric;
    const measured = { task: name, metric, model, seeds, base, scores, spread, best: Object.keys(scores)[0], source };
    return { chapter, measured };
}

/** @param {Record<string, any>} about */
function taskLines({ chapter, measured: m }) {
    const points = (/** @type {number} */ x) => (100 * x).toFixed(1);
    const score = (/** @type {string} */ method) => [m.scores[method], m.spread[method]].filter((x) => x !== undefined).map(points).join(' ± ');
    return [
        chapter && `${chapter.heading}: the chapter says “${chapter.best}”. ${chapter.reasons.join('. ')}.`,
        m && `Measured here on ${m.task} (${m.model}, ${m.metric} on the test part, mean and standard deviation of ${m.seeds} seeds): ` +
            `${Object.keys(m.scores).map((method) => `${method} ${score(method)} %`).join(', ')}; ` +
            `untrained ${points(m.base)} %. Highest: ${m.best}; ${m.source} has the settings.`,
    ].filter(Boolean);
}

/** @param {string[]} argv */
export async function run(argv) {
    const { values } = parse(argv, SPEC);
    const answers = Object.fromEntries(Object.keys(SPEC).filter((key) => values[key] !== undefined).map((key) => [key, values[key]]));
    const session = await openCalculator();
    const advice = await session.advise(answers);
    print(values, { ...advice, ...(await ofTask(session, advice.task)) }, (a) =>
        [`${a.label ?? a.method} ${JSON.stringify(a.options)}`, ...a.why.map((/** @type {string} */ w) => `- ${w}`), ...taskLines(a)].join('\n'),
    );
}
