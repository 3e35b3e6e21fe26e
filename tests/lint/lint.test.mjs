// Every rule on the whole tree, and on a bad sample that it must find (a rule that finds nothing there would be no rule).
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { cLayers, jsLayers } from './layers.mjs';
import { globals, intrinsics, methodWords, sideEffects } from './purity.mjs';
import { addresses, leftOvers, licences, topLevelLayout, vendored } from './repository.mjs';
import { fileSize, functionSize, lineLength } from './size.mjs';
import { cSources, readTree } from './source.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '../..');
const tree = readTree(root);
const rules = [
  cLayers, jsLayers, fileSize, functionSize, lineLength, methodWords, intrinsics, sideEffects, globals,
  topLevelLayout, addresses, leftOvers, licences, vendored,
];

for (const rule of rules) {
  test(rule.name, () => assert.deepEqual(rule.check(tree), []));
  test(`${rule.name}: finds each bad sample, passes the good one`, () => {
    const found = rule.check(new Map(Object.entries(rule.bad)));
    for (const path of Object.keys(rule.bad))
      assert.ok(found.some((problem) => problem.startsWith(path)) || rule === licences || rule === vendored, `nothing found in ${path}`);
    assert.ok(found.length > 0);
    if (rule.good) assert.deepEqual(rule.check(new Map(Object.entries(rule.good))), []);
  });
}

const formatter = process.env.CLANG_FORMAT;
test('C sources are formatted (./build.sh fmt)', { skip: formatter ? false : 'clang-format 14 is not installed' }, () => {
  const files = cSources(tree).map(([path]) => path);
  const result = spawnSync(formatter ?? '', ['--dry-run', '--Werror', ...files], { cwd: root, encoding: 'utf8' });
  const wrong = [...new Set([...result.stderr.matchAll(/^(\S+?):\d+:\d+: error/gm)].map((match) => match[1]))];
  assert.deepEqual(wrong, [], 'run ./build.sh fmt');
  assert.equal(result.status, 0, result.stderr.slice(0, 2000));
  const bad = spawnSync(formatter ?? '', ['--dry-run', '--Werror', '--assume-filename=a.c'], { cwd: root, input: 'int  f( void ){return 1 ;}\n' });
  assert.notEqual(bad.status, 0, 'the bad sample passed');
});

const compiler = join(root, 'node_modules/typescript/bin/tsc');
const tsc = (/** @type {string[]} */ ...args) => spawnSync(process.execPath, [compiler, ...args], { cwd: root, encoding: 'utf8' });
test('engine and command line pass tsc --checkJs --strict', { skip: existsSync(join(root, 'web/engine')) ? false : 'no web/engine yet' }, () => {
  const result = tsc('-p', 'web/tsconfig.json', '--pretty', 'false');
  assert.equal(result.status, 0, result.stdout.slice(0, 6000));
});
test('tsc finds a wrong type', () => {
  const dir = mkdtempSync(join(tmpdir(), 'peftlab-lint-'));
  try {
    writeFileSync(join(dir, 'bad.js'), '/** @param {number} x */\nexport const f = (x) => x.length;\n');
    const result = tsc('--checkJs', '--allowJs', '--strict', '--noEmit', '--types', '', join(dir, 'bad.js'));
    assert.notEqual(result.status, 0);
  } finally {
    rmSync(dir, { recursive: true });
  }
});
