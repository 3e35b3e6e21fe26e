// ./build.sh dist: the products for publishing, from one set of sources.
//   dist/site                        the page, for any static web host
//   dist/peftlab-elements.js         the custom elements as one ES module, for other people's pages and bundlers
//   dist/peftlab.html                the page in one file: engine, default model and tasks inside; works from file://
// node web/build.mjs [site] [elements] [single]     (default: all)
import { existsSync } from 'node:fs';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { build } from 'vite';

const web = dirname(fileURLToPath(import.meta.url));
const root = join(web, '..');
const external = [/^node:/]; // the engine asks for these only in Node
const kilobytes = (/** @type {number} */ bytes) => `${Math.round(bytes / 1024)} KB`;

async function site() {
  await build({ configFile: join(web, 'vite.config.js'), logLevel: 'warn' });
  console.log('dist/site: the page, ready for any static web host');
}

/** In one file there is nothing beside it to fetch: the entry passes wasm and worker itself, so the engine's own places go. */
function withoutPlaces() {
  return {
    name: 'peftlab-single-file',
    /** @param {string} code @param {string} id */
    transform(code, id) {
      if (!id.replaceAll('\\', '/').endsWith('web/engine/index.js')) return null;
      const changed = code
        .replace("new URL('../../build/wasm/peftlab.wasm', import.meta.url)", "new URL('about:blank')")
        .replace("new Worker(new URL('./worker.js', import.meta.url), { type: 'module' })", "new Worker('about:blank')")
        .replace("new URL('./worker.js', import.meta.url)", "new URL('about:blank')");
      if (changed.includes('import.meta.url')) throw new Error('web/engine/index.js names a place that web/build.mjs does not know');
      return changed;
    },
  };
}

/**
 * Bundles one entry into one classic script (no import, no chunk).
 * @param {string} entry @param {import('vite').Plugin[]} [plugins] @returns {Promise<{code: string, css: string}>}
 */
async function classicScript(entry, plugins = []) {
  const result = await build({
    configFile: false, root: web, logLevel: 'warn', plugins, publicDir: false,
    build: {
      write: false, target: 'es2022', assetsInlineLimit: 1 << 30, cssCodeSplit: false,
      rollupOptions: { input: join(web, entry), external, output: { format: 'iife', codeSplitting: false } },
    },
  });
  const { output } = /** @type {import('vite').Rolldown.RolldownOutput} */ (Array.isArray(result) ? result[0] : result);
  const code = output.flatMap((item) => (item.type === 'chunk' ? [item.code] : []));
  const css = output.flatMap((item) => (item.type === 'asset' && item.fileName.endsWith('.css') ? [String(item.source)] : []));
  if (code.length !== 1) throw new Error(`${entry} became ${code.length} scripts instead of one`);
  return { code: code[0], css: css.join('\n') };
}

/** Paths of all files below a folder. @param {string} folder @returns {Promise<string[]>} */
async function filesBelow(folder) {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath ?? entry.path, entry.name)).sort();
}

/** The files the page fetches from models/: the default model, every task, the index without the other models. */
async function modelFiles() {
  const index = JSON.parse(await readFile(join(root, 'models/index.json'), 'utf8'));
  const chosen = index.models.find((/** @type {any} */ model) => model.default) ?? index.models[0];
  const own = { ...index, models: [chosen], adapters: (index.adapters ?? []).filter((/** @type {any} */ adapter) => !adapter.model || adapter.model === chosen.name) };
  /** @type {Record<string, Uint8Array>} */
  const files = { 'models/index.json': Buffer.from(JSON.stringify(own)) };
  const folders = [`models/${chosen.name}`, 'models/tasks', ...(own.adapters.length ? ['models/adapters'] : [])].filter((folder) => existsSync(join(root, folder)));
  for (const path of (await Promise.all(folders.map((folder) => filesBelow(join(root, folder))))).flat()) {
    if (/\.(json|jsonl|safetensors|txt|csv)$/.test(path) && !/training\.json$/.test(path)) files[relative(root, path).split(sep).join('/')] = await readFile(path);
  }
  return files;
}

async function single() {
  const page = await classicScript('single.js', [withoutPlaces()]);
  const worker = await classicScript('engine/worker.js');
  const files = { ...(await modelFiles()), 'peftlab.wasm': await readFile(join(root, 'build/wasm/peftlab.wasm')), 'worker.js': Buffer.from(worker.code) };
  const packed = Object.fromEntries(Object.entries(files).map(([path, bytes]) => [path, gzipSync(bytes, { level: 9 }).toString('base64')]));
  const styles = (await classicScriptCss()) + page.css;
  const html = (await readFile(join(web, 'index.html'), 'utf8'))
    .replace(/\s*<link rel="stylesheet"[^>]*>/g, () => `\n  <style>${styles}</style>`)
    .replace(/\s*<script type="module"[^>]*><\/script>/, () =>
      `\n  <script type="application/json" id="peftlab-files">${JSON.stringify(packed)}</script>\n  <script>${page.code.replaceAll('</script', '<\\/script')}</script>`);
  await writeFile(join(root, 'dist/peftlab.html'), html);
  console.log(`dist/peftlab.html: the page in one file, ${kilobytes(html.length)}`);
}

/** The style sheets that index.html links, bundled. @returns {Promise<string>} */
async function classicScriptCss() {
  const links = [...(await readFile(join(web, 'index.html'), 'utf8')).matchAll(/<link rel="stylesheet" href="([^"]+)"/g)].map((match) => match[1]);
  if (!links.length) return '';
  const result = await build({
    configFile: false, root: web, logLevel: 'warn', publicDir: false,
    build: { write: false, cssCodeSplit: false, rollupOptions: { input: links.map((link) => join(web, link)) } },
  });
  const { output } = /** @type {import('vite').Rolldown.RolldownOutput} */ (Array.isArray(result) ? result[0] : result);
  return output.flatMap((item) => (item.type === 'asset' && item.fileName.endsWith('.css') ? [String(item.source)] : [])).join('\n');
}

async function elements() {
  await build({
    configFile: false, root: web, base: './', logLevel: 'warn', publicDir: false, worker: { format: 'es', rollupOptions: { external } },
    build: {
      outDir: join(root, 'dist'), emptyOutDir: false, target: 'es2022', assetsDir: 'elements',
      rollupOptions: {
        input: join(web, 'app.js'), external, preserveEntrySignatures: 'strict',
        output: { format: 'es', entryFileNames: 'peftlab-elements.js', chunkFileNames: 'elements/[name]-[hash].js' },
      },
    },
  });
  console.log('dist/peftlab-elements.js: the custom elements as an ES module, its parts in dist/elements');
}

const products = { site, elements, single };
const wanted = process.argv.slice(2);
for (const name of wanted.length ? wanted : Object.keys(products)) {
  const make = products[/** @type {keyof typeof products} */ (name)];
  if (!make) {
    console.error(`build.mjs: there is no product '${name}'; there are ${Object.keys(products).join(', ')}`);
    process.exit(2);
  }
  await make();
}
