import { helpText, parse, usage } from '../args.mjs';
import { findTask, loadSplits, MODEL_SPEC, openSession, print } from '../context.mjs';
import { measure } from '../measure.mjs';

const SPEC = /** @type {import('../args.mjs').Spec} */ ({
    ...MODEL_SPEC,
    task: { kind: 'string', help: 'task name, task folder, or a data file, all of which is measured on' },
    split: { kind: 'string', help: 'train, validation or test (default: the test part, or what comes nearest)' },
    limit: { kind: 'int', help: 'only the first items (default: all)', min: 1 },
    'no-metrics': { kind: 'bool', help: 'loss only' },
});

export const help = () => helpText('eval', 'loss and task metric on held-out data', SPEC);

/** @param {string[]} argv */
export async function run(argv) {
    const { values } = parse(argv, SPEC);
    const task = await findTask(values.task, { measuring: true });
    const splits = Object.keys(task.splits);
    if (values.split !== undefined && !splits.includes(values.split))
        throw usage(`${task.name} has no split "${values.split}"; it has ${splits.join(', ')}`);
    const session = await openSession(values);
    await loadSplits(session, task);
    const { loss, bits_per_byte, perplexity, ...metrics } = await measure(session, task, {
        split: values.split,
        generate: !values['no-metrics'],
        limit: values.limit,
    });
    print(values, { loss, perplexity, bits_per_byte, metrics }, (r) => [
        `loss ${r.loss.toFixed(4)} nats per token, ${r.bits_per_byte.toFixed(4)} bits per byte (${r.metrics.split})`,
        ...(r.metrics.score === undefined ? [] : [`${task.metric.name ?? task.metric.id}: ${r.metrics.score.toFixed(4)}`]),
    ].join('\n'));
}
