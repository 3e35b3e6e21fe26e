// The site as it is published, of the sources as they are now: built once for all test files, each of which gets a copy of its own.
import { createHash } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'vite';

const root = join(dirname(fileURLToPath(import.meta.url)), '../../..');
const SOURCES = ['web', 'models', 'build/wasm', 'package-lock.json', 'node_modules/.package-lock.json'].map((name) => join(root, name));
/** Built sites, by what they were made of; in a moment nobody copies an old one any more. */
const KEPT = join(root, 'build/test-site');
const MOMENT_MS = 60_000;

/** What the sources are, by name, size and time. */
function stamp() {
  const hash = createHash('sha256');
  const look = (/** @type {string} */ path) => {
    const seen = statSync(path, { throwIfNoEntry: false });
    if (seen?.isDirectory()) for (const name of readdirSync(path).sort()) look(join(path, name));
    else if (seen) hash.update(`${path} ${seen.size} ${seen.mtimeMs}\n`);
  };
  SOURCES.forEach(look);
  return hash.digest('hex').slice(0, 16);
}

/** Puts the site into a folder. @param {string} folder */
export async function putSite(folder) {
  const name = stamp();
  const place = join(KEPT, name);
  if (!existsSync(place)) {
    mkdirSync(KEPT, { recursive: true });
    const made = mkdtempSync(join(KEPT, 'new-'));
    try {
      await build({ configFile: join(root, 'web/vite.config.js'), logLevel: 'error', build: { outDir: made } });
      if (!existsSync(place)) renameSync(made, place); // whole, or not at all
    } finally {
      rmSync(made, { recursive: true, force: true });
    }
    for (const old of readdirSync(KEPT).filter((other) => other !== name)) {
      const seen = statSync(join(KEPT, old), { throwIfNoEntry: false });
      if (seen && Date.now() - seen.mtimeMs > MOMENT_MS) rmSync(join(KEPT, old), { recursive: true, force: true });
    }
  }
  cpSync(place, folder, { recursive: true });
}
