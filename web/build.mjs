// ./build.sh dist: the site in dist/site; further products are added here as they come to exist.
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'vite';

const web = dirname(fileURLToPath(import.meta.url));
await build({ configFile: join(web, 'vite.config.js') });
console.log('dist/site is the page, ready for any static web host');
