// The page's elements: types, texts that exist, data never as HTML, colours from the tokens only.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '../..');
const folder = join(root, 'web/elements');
const sources = readdirSync(folder).filter((name) => name.endsWith('.js')).map((name) => ({ name, text: readFileSync(join(folder, name), 'utf8') }));
const texts = {
  ...JSON.parse(readFileSync(join(root, 'web/content/texts/en.json'), 'utf8')),
  ...JSON.parse(readFileSync(join(root, 'web/content/texts/panels/en.json'), 'utf8')),
};

test('elements pass tsc --checkJs --strict', () => {
  const result = spawnSync(
    process.execPath,
    [join(root, 'node_modules/typescript/bin/tsc'), '-p', join(folder, 'tsconfig.json'), '--pretty', 'false'],
    { cwd: root, encoding: 'utf8' },
  );
  assert.equal(result.status, 0, result.stdout.slice(0, 4000));
});

test('data reaches the page as text, never as HTML', () => {
  const found = sources.flatMap(({ name, text }) =>
    [...text.matchAll(/\.(inner|outer)HTML\s*=|unsafeHTML|unsafeStatic|insertAdjacentHTML|document\.write/g)].map(
      (match) => `${name}: ${match[0]}`,
    ),
  );
  assert.deepEqual(found, []);
});

test('every text that is asked for by name exists', () => {
  const missing = sources.flatMap(({ name, text }) =>
    [...text.matchAll(/\bt\('([\w.-]+)'/g)]
      .filter((match) => !Object.hasOwn(texts, match[1]))
      .map((match) => `${name}: ${match[1]}`),
  );
  assert.deepEqual(missing.filter((item) => !item.startsWith('base.js')), []);
});

test('colours come from styles/tokens.css, so that both themes have them', () => {
  const found = sources.flatMap(({ name, text }) =>
    [...text.matchAll(/(?:color|fill|stroke|background)\s*:\s*(#[0-9a-f]{3,8}|rgba?\([^v)]*\))/gi)].map(
      (match) => `${name}: ${match[0]}`,
    ),
  );
  assert.deepEqual(found.filter((item) => !item.includes('rgb(0 0 0 /')), []);
});
