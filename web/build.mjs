// ./build.sh dist: the site in dist/site, and what carries everything in one file (bundle.mjs).
//   node web/build.mjs [--site-only]
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'vite';
import { bundle } from './bundle.mjs';

const web = dirname(fileURLToPath(import.meta.url));
await build({ configFile: join(web, 'vite.config.js'), logLevel: 'warn' });
console.log('dist/site is the page, ready for any static web host');
if (!process.argv.includes('--site-only')) await bundle();
