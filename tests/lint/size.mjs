// Files of at most 400 lines, C functions of the engine of at most 60 (a test may be a long table): longer ones want to be split by meaning.
import { cSources, topLevel } from './source.mjs';

const FILE_LINES = 400;
const FUNCTION_LINES = 60;
const LINE = 150;

/** Data and patterns that a break would make harder to read. */
const LONG_DATA = [
  ...['mood', 'pirate', 'ship-log', 'words-to-story'].map((name) => `models/recipes/tasks/${name}.mjs`),
  'web/lib/engine-sentences.js', 'tests/browser/qa-recipes.test.mjs',
];

export const lineLength = {
  name: `source lines have at most ${LINE} characters`,
  /** @param {Map<string, string>} files @returns {string[]} */
  check(files) {
    return [...files].flatMap(([path, text]) => {
      if (!/\.(c|h|js|mjs|css)$/.test(path) || path.startsWith('src/vendor/') || LONG_DATA.includes(path)) return [];
      return text.split('\n').flatMap((line, i) => ([...line].length > LINE ? [`${path}:${i + 1}: ${[...line].length} characters`] : []));
    });
  },
  bad: {
    'web/lib/a.js': `let a;\n// ${'x'.repeat(148)}\n`,
    'web/styles/b.css': `a { ${'x'.repeat(150)} }\n`,
    'src/base/c.h': `/* ${'x'.repeat(145)} */\n`,
  },
  good: {
    'web/lib/a.js': `// ${'é'.repeat(147)}\n`,
    'models/recipes/tasks/mood.mjs': 'x'.repeat(500),
    'src/vendor/cjson/cJSON.c': 'x'.repeat(500),
  },
};

export const fileSize = {
  name: `source files have at most ${FILE_LINES} lines`,
  /** @param {Map<string, string>} files @returns {string[]} */
  check(files) {
    const problems = [];
    for (const [path, text] of files) {
      if (!/^(src|web|tests)\/.*\.(c|h|js|mjs)$/.test(path) || path.startsWith('src/vendor/')) continue;
      const lines = text.split('\n').length - 1;
      if (lines > FILE_LINES) problems.push(`${path}: ${lines} lines`);
    }
    return problems;
  },
  bad: { 'src/base/a.c': 'int x;\n'.repeat(401), 'web/b.js': '\n'.repeat(500) },
  good: { 'src/base/a.c': 'int x;\n'.repeat(400), 'src/vendor/cjson/cJSON.c': '\n'.repeat(3000) },
};

export const functionSize = {
  name: `C functions have at most ${FUNCTION_LINES} lines`,
  /** @param {Map<string, string>} files @returns {string[]} */
  check(files) {
    const problems = [];
    for (const [path, text] of cSources(files, 'src/')) {
      for (const piece of topLevel(text)) {
        const lines = piece.lastLine - piece.line + 1;
        const isFunction = piece.body !== null && /\)$/.test(piece.head) && !piece.head.includes('=');
        if (isFunction && lines > FUNCTION_LINES)
          problems.push(`${path}:${piece.line}: ${lines} lines in ${piece.head.replace(/\s+/g, ' ').slice(-60)}`);
      }
    }
    return problems;
  },
  bad: { 'src/base/a.c': `static int f(int x) {\n${'    x++; /* } */\n'.repeat(60)}    return x;\n}\n` },
  good: {
    'src/base/a.c': `#define M(x) \\\n  { \\\nstatic const int t[] = {\n${'  1,\n'.repeat(100)}};\n` +
      `int f(int x) {\n${'    x += "{"[0];\n'.repeat(50)}    return x;\n}\n`,
  },
};
