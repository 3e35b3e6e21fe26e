/** What is measured after training and by `eval`: loss on the test (or validation) part, and the task's own metric. */
import { evaluateTask } from '../engine/index.js';

/**
 * @param {import('../engine/session.js').Session} session with the task's splits loaded
 * @param {import('../engine/tasks.js').Task} task
 * @param {{split?: string, generate?: boolean, limit?: number}} [options]
 * @returns {Promise<Record<string, any>>}
 */
export async function measure(session, task, { split, generate = true, limit } = {}) {
    const { data } = await session.describe();
    const chosen = split ?? ['test', 'validation', 'train'].find((name) => data[name]);
    if (!chosen) return {};
    const { loss, bits_per_byte, perplexity } = await session.evaluate({ split: chosen });
    const metrics = { split: chosen, loss, perplexity, bits_per_byte };
    if (!generate || !task.items[chosen]?.some((item) => item.prompt !== undefined) || task.metric.id === 'none') return metrics;
    const { score, outputs: _, items: __, ...more } = await evaluateTask(session, task, { split: chosen, limit });
    return { ...metrics, [task.metric.name ?? task.metric.id]: score, score, ...more };
}
