import { helpText, parse } from '../args.mjs';
import { formatCount, openCalculator, print, table } from '../context.mjs';

export const help = () => helpText('shapes', 'the shapes that count, memory and recipe know by name', {});

/** @param {string[]} argv */
export async function run(argv) {
    const { values } = parse(argv, {});
    const session = await openCalculator();
    const { shapes } = await session.describeStatic();
    const counted = await Promise.all(shapes.map(async (/** @type {any} */ shape) => {
        const { total } = await session.countFor({ shape: shape.name, method: 'full' });
        return { ...shape, parameters: total };
    }));
    print(values, counted, (list) => table(['name', 'parameters', 'layers x width', 'what it is'], list.map((/** @type {any} */ shape) => [
        shape.name, formatCount(shape.parameters), `${shape.config.num_hidden_layers} x ${shape.config.hidden_size}`, shape.label,
    ])));
}
