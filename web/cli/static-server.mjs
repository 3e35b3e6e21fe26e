// A small static file server with the headers a published page should have. Used by ./build.sh serve --built, by the command
// `peftlab serve` and by the browser tests. No dependency, GET and HEAD only.
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { createServer } from 'node:http';
import { extname, join, normalize, resolve, sep } from 'node:path';

/** @type {Record<string, string>} */
const TYPES = {
  '.html': 'text/html; charset=utf-8', '.js': 'text/javascript; charset=utf-8', '.mjs': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8', '.json': 'application/json; charset=utf-8', '.wasm': 'application/wasm',
  '.svg': 'image/svg+xml', '.png': 'image/png', '.webp': 'image/webp', '.ico': 'image/x-icon', '.woff2': 'font/woff2',
  '.txt': 'text/plain; charset=utf-8', '.md': 'text/plain; charset=utf-8', '.csv': 'text/csv; charset=utf-8',
  '.jsonl': 'text/plain; charset=utf-8', '.map': 'application/json', '.webmanifest': 'application/manifest+json',
};

/** The page asks nobody else for anything; wasm needs its own word, workers of an embedded page are blobs. */
const CONTENT_SECURITY_POLICY = [
  "default-src 'none'", "script-src 'self' 'wasm-unsafe-eval'", "worker-src 'self' blob:", "connect-src 'self' data: blob:",
  "style-src 'self' 'unsafe-inline'", "img-src 'self' data: blob:", "font-src 'self' data:", "manifest-src 'self'",
  "base-uri 'self'", "form-action 'self'",
].join('; ');

/**
 * The policy with the site's address beside 'self': in a frame with sandbox="allow-scripts", which has no origin, WebKit
 * takes 'self' for nobody, and the page would stay empty. Any host that sends such a policy has to name itself so.
 * @param {string} [host] as the browser asks for it
 */
function policyOf(host = '') {
  const plain = /^[\w.-]+(:\d+)?$|^\[[\da-f:]+\](:\d+)?$/i.test(host);
  return plain ? CONTENT_SECURITY_POLICY.replaceAll("'self'", `'self' http://${host}`) : CONTENT_SECURITY_POLICY;
}

/**
 * The file of a request path, or null when it leaves its folder. Mounts are tried first, the longest first.
 * @param {string} path decoded @param {string} root @param {Record<string, string>} mounts
 */
function locate(path, root, mounts) {
  const mount = Object.keys(mounts).filter((prefix) => path === prefix || path.startsWith(`${prefix}/`)).sort((a, b) => b.length - a.length)[0];
  const base = resolve(mount === undefined ? root : mounts[mount]);
  const file = normalize(join(base, mount === undefined ? path : path.slice(mount.length)));
  return file === base || file.startsWith(base + sep) ? file : null;
}

/**
 * Serves `root` (and further folders under path prefixes) until close() is called.
 * @param {{root: string, mounts?: Record<string, string>, port?: number, host?: string, headers?: Record<string, string>}} options
 *   port 0 takes a free one; headers are added to every answer (an empty value removes a default one)
 * @returns {Promise<{url: string, port: number, requests: string[], close: () => Promise<void>}>}
 */
export async function startStaticServer({ root, mounts = {}, port = 0, host = '127.0.0.1', headers = {} }) {
  /** @type {string[]} */
  const requests = [];
  const common = {
    'X-Content-Type-Options': 'nosniff',
    'Referrer-Policy': 'no-referrer',
    ...headers,
  };
  const server = createServer(async (request, response) => {
    response.setHeader('Content-Security-Policy', policyOf(request.headers.host));
    for (const [name, value] of Object.entries(common)) if (value) response.setHeader(name, value); else response.removeHeader(name);
    const refuse = (/** @type {number} */ status, /** @type {string} */ text) => {
      response.writeHead(status, { 'Content-Type': 'text/plain; charset=utf-8' }).end(`${text}\n`);
    };
    if (request.method !== 'GET' && request.method !== 'HEAD') return refuse(405, 'only GET and HEAD');
    let path;
    try {
      path = decodeURIComponent((request.url ?? '/').split(/[?#]/)[0]);
    } catch {
      return refuse(400, 'the path is not valid UTF-8');
    }
    requests.push(path);
    let file = path.includes('\0') ? null : locate(path, root, mounts);
    let info = file === null ? null : await stat(file).catch(() => null);
    if (file && info?.isDirectory()) {
      if (!path.endsWith('/')) return response.writeHead(301, { Location: `${encodeURI(path).replace(/^\/+/, '/')}/` }).end();
      file = join(file, 'index.html');
      info = await stat(file).catch(() => null);
    }
    if (!file || !info?.isFile()) return refuse(404, 'not found');
    const tag = `"${info.size.toString(36)}-${Math.round(info.mtimeMs).toString(36)}"`;
    response.setHeader('Content-Type', TYPES[extname(file).toLowerCase()] ?? 'application/octet-stream');
    // Names with a content hash never change; everything else is asked for again, and answered 304 when unchanged.
    response.setHeader('Cache-Control', /\/assets\/[^/]+-[\w-]{8}\.\w+$/.test(path) ? 'public, max-age=31536000, immutable' : 'no-cache');
    response.setHeader('ETag', tag);
    if (request.headers['if-none-match'] === tag) return response.writeHead(304).end();
    response.setHeader('Content-Length', info.size);
    if (request.method === 'HEAD') return response.end();
    createReadStream(file).on('error', () => response.destroy()).pipe(response);
  });
  await new Promise((done, failed) => {
    server.once('error', failed);
    server.listen(port, host, () => done(undefined));
  });
  const address = server.address();
  const actual = typeof address === 'object' && address ? address.port : port;
  return {
    url: `http://${host.includes(':') ? `[${host}]` : host}:${actual}/`,
    port: actual,
    requests,
    close: () => new Promise((done) => {
      server.close(() => done());
      server.closeAllConnections();
    }),
  };
}
