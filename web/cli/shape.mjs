/** --shape: a preset's name, or the path of a config.json. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

import { usage } from './args.mjs';
import { isFile, isFolder } from './paths.mjs';

export const SHAPE_SPEC = /** @type {import('./args.mjs').Spec} */ ({
    shape: { kind: 'string', help: 'a name from `peftlab shapes`, or the path of a config.json', default: 'llama-2-7b' },
    method: { kind: 'string', help: 'fine-tuning method' },
});

/**
 * @param {Record<string, any>} values @param {{shapes: {name: string}[]}} description the engine's, of itself
 * @returns {Promise<{shape?: string, config?: object}>}
 */
export async function shapeRequest({ shape }, { shapes }) {
    if (shapes.some(({ name }) => name === shape)) return { shape };
    const path = (await isFolder(shape)) ? join(shape, 'config.json') : shape;
    if (!(await isFile(path)))
        throw usage(
            `there is no shape "${shape}", and no such config.json; \`peftlab shapes\` describes those there are: ` +
                shapes.map(({ name }) => name).join(', '),
        );
    try {
        return { config: JSON.parse(await readFile(path, 'utf8')) };
    } catch (error) {
        throw usage(`${path} is not JSON: ${/** @type {Error} */ (error).message}`);
    }
}
