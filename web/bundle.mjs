// The products that carry everything in one file:
//   dist/peftlab.html           the page, works offline by double click
//   dist/peftlab-elements.js    every element as an ES module, for any HTML page on any origin
//   dist/anywidget.mjs          the same with render(), for Jupyter, Colab, marimo and MyST
import { cp, mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { build } from 'vite';
import { viteSingleFile } from 'vite-plugin-singlefile';
import { firstWords } from './first-words.mjs';

const web = dirname(fileURLToPath(import.meta.url));
const root = dirname(web);
/** The smallest model: one file should stay small enough to mail. */
const MODEL = 'stories-300k';
const MODEL_FILES = [
  'config.json', 'model.safetensors', 'tokenizer.json', 'tokenizer_config.json', 'special_tokens_map.json',
  'generation_config.json',
];

/** Gzipped with a fixed header, so that the same sources give the same bytes. @param {Uint8Array} bytes */
const pack = (bytes) => gzipSync(bytes, { level: 9 }).toString('base64');

/** @param {string} folder @returns {Promise<string[]>} every file below */
async function walk(folder) {
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
  const inside = entries.map((entry) => (entry.isDirectory() ? walk(join(folder, entry.name)) : [join(folder, entry.name)]));
  return (await Promise.all(inside)).flat().sort();
}

/** @returns {Promise<Record<string, string>>} path -> gzip in base64 */
async function embeddedFiles() {
  const index = JSON.parse(await readFile(join(root, 'models/index.json'), 'utf8'));
  index.models = index.models
    .filter((/** @type {{name: string}} */ model) => model.name === MODEL)
    .map((/** @type {object} */ model) => ({ ...model, default: true }));
  if (index.adapters) index.adapters = index.adapters.filter((/** @type {{model: string}} */ adapter) => adapter.model === MODEL);
  const adapters = (index.adapters ?? []).flatMap((/** @type {{path: string, files?: string[]}} */ adapter) =>
    (adapter.files ?? []).map((name) => join(root, adapter.path, name)),
  );
  const paths = [
    ...MODEL_FILES.map((name) => join(root, 'models', MODEL, name)),
    ...(await walk(join(root, 'models/tasks'))).filter((path) => /\.jsonl?$/.test(path)),
    ...adapters,
  ];
  const files = Object.fromEntries(
    await Promise.all(paths.map(async (path) => [relative(root, path).replaceAll('\\', '/'), pack(await readFile(path))])),
  );
  return {
    ...files,
    'models/index.json': pack(Buffer.from(JSON.stringify(index))),
    'peftlab.wasm': pack(await readFile(join(root, 'build/wasm/peftlab.wasm'))),
  };
}

/** The engine's worker as one classic script: module workers do not start from a Blob in every browser. @returns {Promise<string>} */
async function workerScript() {
  const result = await build({
    configFile: false, root: web, logLevel: 'warn',
    build: {
      write: false,
      target: 'es2022',
      lib: { entry: join(web, 'engine/worker.js'), formats: ['iife'], name: 'peftlabWorker' },
      rollupOptions: { external: /^node:/ },
    },
  });
  return /** @type {any} */ (Array.isArray(result) ? result[0] : result).output[0].code;
}

/** @param {Record<string, string>} files @param {string} worker @returns {import('vite').Plugin} */
function embedded(files, worker) {
  const name = 'virtual:peftlab-embedded';
  return {
    name: 'peftlab-embedded',
    resolveId: (id) => (id === name ? `\0${name}` : null),
    load: (id) =>
      id === `\0${name}`
        ? `export const files = ${JSON.stringify(files)};\nexport const workerScript = ${JSON.stringify(worker)};\n`
        : null,
    // The default places of engine and worker are never used here; without this the bundler would carry them twice.
    transform: (code, id) =>
      id.endsWith('/engine/index.js')
        ? code
            .replace(/new URL\('\.\.\/\.\.\/build\/wasm\/peftlab\.wasm', import\.meta\.url\)/, "new URL('about:blank')")
            .replace(/new Worker\(new URL\('\.\/worker\.js', import\.meta\.url\), \{ type: 'module' \}\)/, 'null')
            .replace(
              /new \(await import\('node:worker_threads'\)\)\.Worker\(new URL\('\.\/worker\.js', import\.meta\.url\)\)/,
              'null',
            )
        : null,
  };
}

/** The page's own HTML with the entry that carries everything. @type {import('vite').Plugin} */
const embeddedEntry = {
  name: 'peftlab-embedded-entry',
  transformIndexHtml: { order: 'pre', handler: (html) => html.replace('./app.js', './embedded.js') },
};

/**
 * light-dark() as it is, for the library: what the bundler writes instead for older browsers needs a page that declares its colour schemes, and in
 * any other all colours are lost. Browsers without light-dark() get the light ones.
 * @type {import('vite').Plugin}
 */
const ownColours = {
  name: 'peftlab-own-colours',
  enforce: 'pre',
  transform(code, id) {
    if (!/styles\/tokens\.css/.test(id)) return null;
    const light = code.replace(/light-dark\(([^,()]+),[^()]+\)/g, '$1');
    if (light.includes('light-dark(#')) throw new Error('tokens.css: a light-dark() that is not two plain colours');
    return `${light}\n@supports (color: light-dark(#000, #fff)) {\n${code}\n}`;
  },
};

/** @param {string} [out] folder of the products */
export async function bundle(out = join(root, 'dist')) {
  const plugin = embedded(await embeddedFiles(), await workerScript());
  await mkdir(out, { recursive: true });
  const common = { configFile: /** @type {const} */ (false), root: web, base: './', logLevel: /** @type {const} */ ('warn') };
  await build({
    ...common, plugins: [plugin, ownColours],
    build: {
      outDir: join(out, 'library'),
      emptyOutDir: true,
      target: 'es2022',
      cssTarget: ['chrome123', 'firefox120', 'safari17.5'],
      lib: { entry: join(web, 'embedded.js'), formats: ['es'], fileName: () => 'peftlab-elements.js' },
      rollupOptions: { output: { inlineDynamicImports: true }, external: /^node:/ },
    },
  });
  await cp(join(out, 'library/peftlab-elements.js'), join(out, 'peftlab-elements.js'));
  await writeFile(join(out, 'anywidget.mjs'), await readFile(join(out, 'library/peftlab-elements.js')));
  // Beside the page too: the code that the Export panel gives names the folder the page is served from.
  if (await stat(join(out, 'site')).catch(() => null))
    for (const name of ['peftlab-elements.js', 'anywidget.mjs']) await cp(join(out, name), join(out, 'site', name));
  await build({
    ...common, plugins: [plugin, firstWords(), embeddedEntry, viteSingleFile({ removeViteModuleLoader: true })],
    build: {
      outDir: join(out, 'single'),
      emptyOutDir: true,
      target: 'es2022',
      assetsInlineLimit: 1e9,
      rollupOptions: { input: join(web, 'index.html'), external: /^node:/ },
    },
  });
  await cp(join(out, 'single/index.html'), join(out, 'peftlab.html'));
  const sizes = await Promise.all(
    ['peftlab.html', 'peftlab-elements.js', 'anywidget.mjs'].map(
      async (name) => `${relative(root, join(out, name))} ${((await stat(join(out, name))).size / 1e6).toFixed(2)} MB`,
    ),
  );
  console.log(sizes.join('\n'));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await bundle();
