import { loadIndex } from '../../engine/index.js';
import { helpText, parse } from '../args.mjs';
import { MODELS, print, table } from '../context.mjs';

export const help = () => helpText('tasks', 'the tasks that come with peftlab', {});

/** @param {string[]} argv */
export async function run(argv) {
    const { values } = parse(argv, {});
    const { tasks } = await loadIndex(MODELS);
    const methods = ['base', 'prompt', 'prefix', 'lora', 'adapter', 'full'];
    const percent = (/** @type {number | undefined} */ x) => (x === undefined ? '-' : `${(100 * x).toFixed(1)} %`);
    const scored = tasks.filter((t) => t.scores).map(({ scores: { model, seeds } }) => `${model}, mean of ${seeds} seed${seeds === 1 ? '' : 's'}`);
    print(values, tasks, () => `${table(['name', 'chapter heading', 'train', 'score on test', ...methods],
        tasks.map((t) => [t.name, t.chapter, t.counts.train, t.metric_name ?? t.metric, ...methods.map((m) => percent(t.scores?.[m]))]))}\n
${tasks.map((t) => `${t.name}: ${t.story}`).join('\n')}\n
Scores: ${[...new Set(scored)].join('; ')}; models/tasks/NAME/README.md has the tables.`,
    );
}
