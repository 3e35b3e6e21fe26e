import { loadIndex } from '../../engine/index.js';
import { helpText, parse } from '../args.mjs';
import { formatBytes, formatCount, MODELS, print, table } from '../context.mjs';

export const help = () => helpText('models', 'the models that come with peftlab', {});

/** @param {string[]} argv */
export async function run(argv) {
    const { values } = parse(argv, {});
    const { models } = await loadIndex(MODELS);
    print(values, models, () => table(['name', 'parameters', 'size', 'bits/byte', 'folder'], models.map((m) => [
        m.default ? `${m.name} (default)` : m.name, formatCount(m.parameters), formatBytes(m.bytes),
        m.bits_per_byte === undefined ? '' : m.bits_per_byte.toFixed(3), m.path,
    ])));
}
