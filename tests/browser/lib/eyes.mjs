// The eyes and hands of the tests of all engines (visit-tools.js, visits.js, axe) in the first line of pages that are built.
import assert from 'node:assert/strict';
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { root } from './browser.mjs';

/** @param {string} folder where the pages are @param {string[]} pages */
export function giveEyes(folder, pages) {
  for (const name of ['visit-tools.js', 'visits.js']) copyFileSync(join(root, 'tests/browser/lib', name), join(folder, name));
  copyFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), join(folder, 'axe.min.js'));
  const scripts = '<head><script src="visit-tools.js"></script><script src="visits.js"></script>';
  for (const page of pages) {
    const path = join(folder, page);
    writeFileSync(path, readFileSync(path, 'utf8').replace('<head>', () => scripts));
  }
}

/** A check that every engine sees what the first one saw, by a name. @returns {(name: string, seen: any) => void} */
export function agreement() {
  const first = /** @type {Record<string, any>} */ ({});
  return (name, seen) => assert.deepEqual(seen, first[name] ??= seen, `${name}: as in the first engine`);
}
