// Vite: the development server (./build.sh serve) and the site (./build.sh dist -> dist/site).
// The page finds models under models/<name>/ next to itself, in development as in the built site; the engine's wasm and its
// workers are found through `new URL(..., import.meta.url)`, which Vite follows and Node and a plain server understand too.
import { createReadStream } from 'node:fs';
import { cp, readdir, stat } from 'node:fs/promises';
import { dirname, join, normalize, relative, resolve, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { firstWords } from './first-words.mjs';
import { shortStyles } from './short-styles.mjs';

const web = dirname(fileURLToPath(import.meta.url));
const root = dirname(web);
const models = join(root, 'models');
/** How the models were made is for the repository, not for the page. */
const shipped = (/** @type {string} */ path) => !/(^|[\\/])(recipes|__pycache__)([\\/]|$)/.test(relative(models, path));

/** Serves models/ beside the page, and copies it into the built site. @returns {import('vite').Plugin} */
function modelFolder() {
  let out = '';
  return {
    name: 'peftlab-models',
    configResolved(config) {
      out = resolve(config.root, config.build.outDir);
    },
    configureServer(server) {
      server.middlewares.use('/models', async (request, response, next) => {
        const file = normalize(join(models, decodeURIComponent((request.url ?? '/').split(/[?#]/)[0])));
        const info = file.startsWith(models + sep) && shipped(file) ? await stat(file).catch(() => null) : null;
        if (!info?.isFile()) return next();
        response.setHeader('Content-Type', file.endsWith('.json') ? 'application/json' : 'application/octet-stream');
        response.setHeader('Content-Length', info.size);
        response.setHeader('Cache-Control', 'no-cache');
        createReadStream(file).pipe(response);
      });
    },
    async closeBundle() {
      if (await stat(models).catch(() => null)) await cp(models, join(out, 'models'), { recursive: true, filter: shipped });
    },
  };
}

/** The engine imports Node's own modules only when it runs in Node. */
const external = [/^node:/];

/** Nothing happens when these are imported: what a page uses nothing of (the reader of tables, before own text is opened) stays out of it. */
const treeshake = { moduleSideEffects: (/** @type {string} */ id) => !/[\\/](web[\\/]engine|papaparse)[\\/]/.test(id) };

/** Every page of web/ is an entry. */
const pages = (await readdir(web)).filter((name) => name.endsWith('.html')).map((name) => join(web, name));

/** @type {import('vite').UserConfig} */
export default {
  root: web,
  base: './',
  plugins: [modelFolder(), firstWords(), shortStyles()],
  server: { fs: { allow: [root] } },
  worker: { format: 'es', rollupOptions: { external } },
  build: { outDir: '../dist/site', emptyOutDir: true, target: 'es2022', rollupOptions: { input: pages, external, treeshake } },
};
