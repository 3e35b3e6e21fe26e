// The static server: types, headers, conditional requests, and nothing from outside its folder.
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { startStaticServer } from '../../web/cli/static-server.mjs';

const folder = mkdtempSync(join(tmpdir(), 'peftlab-static-'));
/** @type {Awaited<ReturnType<typeof startStaticServer>>} */
let server;
before(async () => {
  mkdirSync(join(folder, 'root/assets'), { recursive: true });
  mkdirSync(join(folder, 'models'));
  writeFileSync(join(folder, 'root/index.html'), '<p>page');
  writeFileSync(join(folder, 'root/assets/engine-AbCd1234.wasm'), 'wasm');
  writeFileSync(join(folder, 'models/a.json'), '{}');
  writeFileSync(join(folder, 'secret.txt'), 'secret');
  server = await startStaticServer({ root: join(folder, 'root'), mounts: { '/models': join(folder, 'models') } });
});
after(async () => {
  await server.close();
  rmSync(folder, { recursive: true });
});

/**
 * A request with the path as it is (fetch would resolve the dots).
 * @param {string} path @param {string} [method] @returns {Promise<{status: number, body: string}>}
 */
function raw(path, method = 'GET') {
  return new Promise((resolve, reject) => {
    request({ host: '127.0.0.1', port: server.port, path, method }, (response) => {
      let body = '';
      response.on('data', (data) => (body += data)).on('end', () => resolve({ status: response.statusCode ?? 0, body }));
    }).on('error', reject).end();
  });
}

test('the folder\'s page comes with its type and a security policy', async () => {
  const response = await fetch(server.url);
  assert.equal(response.headers.get('content-type'), 'text/html; charset=utf-8');
  assert.match(response.headers.get('content-security-policy') ?? '', /default-src 'none'.*'wasm-unsafe-eval'/);
  assert.equal(response.headers.get('cache-control'), 'no-cache');
  assert.equal(await response.text(), '<p>page');
});

test('the policy names the site beside \'self\', as the browser asks for it, and nothing that is no address', async () => {
  const policy = (/** @type {Record<string, string>} */ headers) => new Promise((resolve, reject) => {
    request({ host: '127.0.0.1', port: server.port, path: '/', headers }, (response) => {
      response.resume();
      resolve(String(response.headers['content-security-policy']));
    }).on('error', reject).end();
  });
  assert.match(await policy({}), new RegExp(`script-src 'self' http://127\\.0\\.0\\.1:${server.port} 'wasm-unsafe-eval';`));
  assert.match(await policy({ Host: '[::1]:8000' }), /script-src 'self' http:\/\/\[::1\]:8000 'wasm/);
  for (const Host of ["x; script-src *", "a 'unsafe-inline'", '*', 'a/b']) assert.match(await policy({ Host }), /script-src 'self' 'wasm/, Host);
});

test('hashed files are kept for good, and wasm has its own type', async () => {
  const response = await fetch(`${server.url}assets/engine-AbCd1234.wasm`);
  assert.equal(response.headers.get('content-type'), 'application/wasm');
  assert.match(response.headers.get('cache-control') ?? '', /immutable/);
});

test('an unchanged file is answered with 304', async () => {
  const tag = (await fetch(server.url)).headers.get('etag') ?? '';
  assert.equal((await fetch(server.url, { headers: { 'If-None-Match': tag } })).status, 304);
});

test('a mount shows another folder', async () => assert.equal(await (await fetch(`${server.url}models/a.json`)).text(), '{}'));

test('nothing outside the folder, no other method, no broken path', async () => {
  for (const path of [
    '/../secret.txt', '/..%2fsecret.txt', '/%2e%2e/secret.txt', '/models/../../secret.txt',
    '/models/..%2f..%2fsecret.txt', '/assets/../../secret.txt',
    '/\0secret.txt'.replace('\0', '%00'),
  ]) {
    const { status, body } = await raw(path);
    assert.equal(status, 404, path);
    assert.doesNotMatch(body, /secret/);
  }
  assert.equal((await raw('/', 'POST')).status, 405);
  assert.equal((await raw('/%ff')).status, 400);
  assert.equal((await raw('/nothing')).status, 404);
});
