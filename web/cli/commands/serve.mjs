import { join } from 'node:path';

import { PeftLabError } from '../../engine/errors.js';
import { helpText, parse } from '../args.mjs';
import { ROOT } from '../context.mjs';
import { isFile } from '../paths.mjs';
import { startStaticServer } from '../static-server.mjs';

const SPEC = /** @type {import('../args.mjs').Spec} */ ({ port: { kind: 'int', help: 'port, 0: any free one', default: 8080, min: 0, max: 65535 } });

export const help = () => helpText('serve', 'serve the built page', SPEC);

/** @param {string[]} argv */
export async function run(argv) {
    const { values } = parse(argv, SPEC);
    const root = join(ROOT, 'dist/site');
    if (!(await isFile(join(root, 'index.html'))))
        throw new PeftLabError('state', 'the page has not been built.', {
            hint: 'Run ./build.sh dist (or ./build.sh serve, which does both).',
        });
    const { url } = await startStaticServer({ root, port: values.port });
    process.stdout.write(values.json ? `${JSON.stringify({ url })}\n` : `${url}\n`);
}
