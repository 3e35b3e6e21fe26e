import { loadIndex } from '../../engine/index.js';
import { helpText, parse } from '../args.mjs';
import { MODELS, print, table } from '../context.mjs';

export const help = () => helpText('tasks', 'the tasks that come with peftlab', {});

/** @param {string[]} argv */
export async function run(argv) {
    const { values } = parse(argv, {});
    const { tasks } = await loadIndex(MODELS);
    print(values, tasks, () => table(['name', 'chapter heading', 'metric', 'train', 'story'], tasks.map((t) => [t.name, t.chapter, t.metric_name ?? t.metric, t.counts.train, t.story])));
}
