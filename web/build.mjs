// ./build.sh dist: the site in dist/site, and what carries everything in one file (bundle.mjs).
// For the npm package also the type declarations, dist/types.
//   node web/build.mjs [--site-only]
import { spawnSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'vite';
import { bundle } from './bundle.mjs';

const web = dirname(fileURLToPath(import.meta.url));
await build({ configFile: join(web, 'vite.config.js'), logLevel: 'warn' });
console.log('dist/site is the page, ready for any static web host');
if (!process.argv.includes('--site-only')) {
    await bundle();
    const { status } = spawnSync(join(web, '../node_modules/.bin/tsc'), ['-p', join(web, 'tsconfig.types.json')], {
        stdio: 'inherit',
        shell: process.platform === 'win32',
    });
    if (status !== 0) throw new Error('the type declarations could not be made');
    console.log('dist/types has the TypeScript declarations');
}
