// ./build.sh serve: shows the page. Vite's development server, or with --built the site as it would be published.
//   node web/serve.mjs [--port N] [--host ADDRESS] [--built] [--no-open]
import { spawn } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { startStaticServer } from './cli/static-server.mjs';

const web = dirname(fileURLToPath(import.meta.url));
const { values } = parseArgs({
  options: {
    port: { type: 'string', default: '5173' },
    host: { type: 'string', default: '127.0.0.1' },
    built: { type: 'boolean', default: false },
    'no-open': { type: 'boolean', default: false },
  },
});
const port = Number(values.port);
if (!Number.isInteger(port) || port < 0 || port > 65535) {
  console.error(`serve: --port ${values.port} is not a port number (0..65535)`);
  process.exit(2);
}

/** Opens the desktop's browser if there is a desktop. @param {string} url */
function open(url) {
  const mac = process.platform === 'darwin';
  if (values['no-open'] || !(mac || process.env.DISPLAY || process.env.WAYLAND_DISPLAY)) return;
  spawn(mac ? 'open' : 'xdg-open', [url], { stdio: 'ignore', detached: true }).on('error', () => {}).unref();
}

/** @returns {Promise<string>} the page's address */
async function serveBuilt() {
  const { build } = await import('vite');
  await build({ configFile: join(web, 'vite.config.js'), logLevel: 'warn' });
  const options = { root: join(web, '../dist/site'), host: values.host };
  const server = await startStaticServer({ ...options, port }).catch((error) => {
    if (error.code !== 'EADDRINUSE') throw error;
    return startStaticServer({ ...options, port: 0 });
  });
  return server.url;
}

/** @returns {Promise<string>} the page's address */
async function serveSources() {
  const { createServer } = await import('vite');
  const server = await createServer({ configFile: join(web, 'vite.config.js'), server: { port, host: values.host }, logLevel: 'warn' });
  await server.listen();
  return server.resolvedUrls?.local[0] ?? server.resolvedUrls?.network[0] ?? '';
}

const url = values.built ? await serveBuilt() : await serveSources();
console.log(`\n  peftlab is at  ${url}\n  Ctrl-C stops it.\n`);
open(url);
