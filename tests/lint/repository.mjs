// Rules about the repository as a whole: layout, addresses, left-overs, licences, the vendored library.
import { createHash } from 'node:crypto';
import { lineAt } from './source.mjs';

const TOP = /^(src|web|models|tests|build\.sh|README\.md|package\.json|package-lock\.json|LICENSE|CHANGELOG\.md|\..*)$/;

export const topLevelLayout = {
  name: 'the top level holds only what was agreed',
  /** @param {Map<string, string>} files @returns {string[]} */
  check(files) {
    return [...new Set([...files.keys()].map((path) => path.split('/')[0]))].filter((name) => !TOP.test(name));
  },
  bad: { 'Makefile': '' },
  good: { 'src/base/a.c': '', '.ci/run': '', 'README.md': '' },
};

const word = (/** @type {string[]} */ ...parts) => parts.join('');
/** Put together here, so that this file does not contain what it looks for. */
const HOSTS = [word('registry.', 'npmjs.org'), word('deb.', 'debian.org'), word('pypi.', 'org'), word('files.', 'pythonhosted')];
const LEFT_OVERS = [word('TO', 'DO'), word('FIX', 'ME'), word('XX', 'X'), word('not imple', 'mented')];
const MACHINE_PATH = new RegExp(`(^|[^\\w.])/(${['work', 'tmp', 'farm', word('opt/pl', 'work'), 'root', 'home/\\w+'].join('|')})/\\w`, 'g');

export const addresses = {
  name: 'no package registry and no path of one machine is written down',
  /** @param {Map<string, string>} files @returns {string[]} */
  check(files) {
    const problems = [];
    for (const [path, text] of files) {
      for (const host of HOSTS) if (text.includes(host)) problems.push(`${path}: names ${host}`);
      if (path.endsWith('package-lock.json') || path.endsWith('.lock')) continue;
      for (const match of text.matchAll(MACHINE_PATH)) problems.push(`${path}:${lineAt(text, match.index)}: the path ${match[0].trim()}…`);
    }
    return problems;
  },
  bad: { 'package-lock.json': `"resolved": "https://${HOSTS[0]}/lit"`, 'src/a.c': `x = "${word('/tm', 'p/file')}";` },
  good: { 'web/a.js': "import 'a/tmp/b'; const url = './work/x';" },
};

export const leftOvers = {
  name: 'nothing is left half done',
  /** @param {Map<string, string>} files @returns {string[]} */
  check(files) {
    const pattern = new RegExp(`\\b(${LEFT_OVERS.join('|')})\\b`, 'g');
    return [...files].filter(([path]) => /\.(c|h|js|mjs|sh|py|html|css|md)$/.test(path) && !path.startsWith('src/vendor/')).flatMap(([path, text]) =>
      [...text.matchAll(pattern)].map((match) => `${path}:${lineAt(text, match.index)}: ${match[0]}`));
  },
  bad: { 'src/base/a.c': `/* ${LEFT_OVERS[0]}: rest */\n` },
  good: { 'src/base/a.c': '/* done */\n' },
};

const FREE =
  /^(MIT|ISC|0BSD|BSD-2-Clause|BSD-3-Clause|Apache-2\.0|Unlicense|CC0-1\.0|BlueOak-1\.0\.0|\(MIT (AND|OR) [\w.-]+\)|\(MIT OR Apache-2\.0\))$/;

export const licences = {
  name: 'what ships has a permissive licence, and the lockfile names no host',
  /** @param {Map<string, string>} files @returns {string[]} */
  check(files) {
    const text = files.get('package-lock.json');
    if (!text) return ['package-lock.json is missing'];
    const problems = [];
    for (const [path, entry] of Object.entries(JSON.parse(text).packages)) {
      if (entry.resolved && /^https?:/.test(entry.resolved)) problems.push(`${path}: resolved ${entry.resolved}`);
      if (path && !entry.dev && !entry.devOptional && !FREE.test(entry.license ?? '')) problems.push(`${path}: licence ${entry.license}`);
    }
    return problems;
  },
  bad: { 'package-lock.json': '{"packages":{"node_modules/x":{"license":"AGPL-3.0"}}}' },
  good: { 'package-lock.json': '{"packages":{"":{},"node_modules/x":{"license":"MIT"},"node_modules/y":{"license":"MPL-2.0","dev":true}}}' },
};

export const vendored = {
  name: 'the vendored library is the published one, byte for byte',
  /** @param {Map<string, string>} files @returns {string[]} */
  check(files) {
    const problems = [];
    const folder = 'src/vendor/cjson';
    const version = files.get(`${folder}/VERSION`) ?? '';
    for (const name of ['cJSON.c', 'cJSON.h', 'LICENSE']) {
      const hash = createHash('sha256').update(files.get(`${folder}/${name}`) ?? '').digest('hex');
      if (!version.includes(hash)) problems.push(`${folder}/${name} differs from the hash in VERSION`);
    }
    if (files.has(`${folder}/cJSON_Utils.c`)) problems.push('cJSON_Utils.c must stay out (CVE-2025-57052)');
    return problems;
  },
  bad: { 'src/vendor/cjson/VERSION': 'cJSON.c sha256 0000', 'src/vendor/cjson/cJSON.c': 'changed' },
  good: null,
};
