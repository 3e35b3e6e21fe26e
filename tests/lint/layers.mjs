// Includes and imports point only to lower layers (src/ARCHITECTURE.md has the picture).
import { posix } from 'node:path';
import { cSources, stripC } from './source.mjs';

/** What a folder of src may include, besides itself. */
const C_LAYERS = {
  base: [],
  simd: ['base'],
  kernels: ['base', 'simd'],
  model: ['base', 'simd', 'kernels'],
  peft: ['base', 'simd', 'kernels', 'model'],
  io: ['base'],
  text: ['base', 'io'],
  train: ['base', 'simd', 'kernels', 'model', 'peft', 'text', 'io'],
  account: ['base', 'model', 'peft', 'io'],
  advise: ['base', 'model', 'peft', 'io', 'account'],
  session: ['base', 'simd', 'kernels', 'model', 'peft', 'text', 'io', 'train', 'account', 'advise'],
  cli: ['base', 'simd', 'kernels', 'model', 'peft', 'text', 'io', 'train', 'account', 'advise', 'session'],
};

/**
 * What a folder of web may import, besides itself. '.' is web's own .js files: the pages; vite.config.js and the .mjs files outside
 * engine and cli are tools, run by Node, and may import anything. `npm` = packages: true = any,
 * or the list of those it may (the engine must run unbundled in Node with next to nothing installed).
 */
const JS_LAYERS = {
  engine: { folders: [], npm: ['papaparse'] },
  lib: { folders: ['engine'], npm: true },
  content: { folders: [], npm: false },
  elements: { folders: ['engine', 'lib', 'content', 'styles'], npm: true },
  cli: { folders: ['engine', 'lib'], npm: false },
};

/** @param {string} folder @returns {{folders: string[], npm: boolean | string[]}} */
const jsRule = (folder) =>
  JS_LAYERS[/** @type {keyof typeof JS_LAYERS} */ (folder)] ?? {
    folders: ['engine', 'lib', 'content', 'styles', 'elements', '.'],
    npm: true,
  };

export const cLayers = {
  name: 'C includes point to lower layers only',
  /** @param {Map<string, string>} files @returns {string[]} */
  check(files) {
    const problems = [];
    for (const [path, text] of cSources(files, 'src/')) {
      const layer = path.split('/')[1];
      const allowed = C_LAYERS[/** @type {keyof typeof C_LAYERS} */ (layer)];
      if (!allowed) {
        problems.push(`${path}: src/${layer} is not a known layer`);
        continue;
      }
      const code = stripC(text).split('\n');
      text.split('\n').forEach((line, i) => {
        const target = /^\s*#\s*include\s*"([^"]+)"/.exec(line)?.[1];
        if (!target || !code[i].includes('include')) return; // inside a comment
        const beside = posix.normalize(posix.join(posix.dirname(path), target));
        const file = files.has(beside) ? beside : `src/${target}`;
        const to = file.split('/')[1];
        const vendored = to === 'vendor' || target === 'cJSON.h';
        if (vendored ? path !== 'src/io/json.c' : to !== layer && !allowed.includes(/** @type {never} */ (to)))
          problems.push(`${path}:${i + 1}: ${layer} may not include "${target}"`);
      });
    }
    return problems;
  },
  bad: {
    'src/kernels/a.c': '#include "model/config.h"\n',
    'src/model/b.c': '#include "../vendor/cjson/cJSON.h"\n',
    'src/other/c.c': '',
    'src/io/d.c': '#include "train/trainer.h"\n',
  },
  good: {
    'src/kernels/a.c': '#include "base/real.h"\n/*\n#include "model/config.h"\n*/\n#include <math.h>\n#include "b.h"\n',
    'src/kernels/b.h': '',
    'src/io/json.c': '#include "vendor/cjson/cJSON.h"\n',
  },
};

export const jsLayers = {
  name: 'JavaScript imports point to lower layers only',
  /** @param {Map<string, string>} files @returns {string[]} */
  check(files) {
    const problems = [];
    const importing =
      /(?:^|[\s;])(?:import|export)\s*(?:[\w*{}\s,$]+\sfrom\s*)?["']([^"'\n]+)["']|(?<!@type \{|[.{|]\s*)\bimport\(\s*["']([^"'\n]+)["']\s*\)/g;
    for (const [path, raw] of files) {
      if (!/^web\/.*\.m?js$/.test(path) || /^web\/((?!cli\/|engine\/).*\.mjs|vite\.config\.js)$/.test(path)) continue;
      const text = raw.replace(/\/\*[\s\S]*?\*\//g, (comment) => comment.replace(/[^\n]/g, ' ')); // JSDoc types may import
      const parts = path.split('/');
      const folder = parts.length > 2 ? parts[1] : '.';
      const rule = jsRule(folder);
      for (const match of text.matchAll(importing)) {
        const target = match[1] ?? match[2];
        const where = `${path}:${text.slice(0, match.index).split('\n').length}`;
        if (target.startsWith('node:')) {
          if (['lib', 'elements', 'content'].includes(folder)) problems.push(`${where}: ${folder} runs in a page and may not import ${target}`);
        } else if (!target.startsWith('.')) {
          if (Array.isArray(rule.npm) ? !rule.npm.includes(target) : !rule.npm)
            problems.push(`${where}: web/${folder} may not import the package ${target}`);
        } else {
          const to = posix.normalize(posix.join(posix.dirname(path), target)).split('/');
          const toFolder = to.length > 2 ? to[1] : '.';
          if (to[0] !== 'web' || (toFolder !== folder && !rule.folders.includes(toFolder)))
            problems.push(`${where}: web/${folder} may not import ${target}`);
        }
      }
    }
    return problems;
  },
  bad: {
    'web/engine/a.js': "import { x } from '../lib/store.js';\n",
    'web/engine/b.js': "const y = await import('lit');\n",
    'web/elements/c.js': "import '../cli/peftlab.mjs';\n",
    'web/lib/d.js': "import fs from 'node:fs';\n",
    'web/cli/e.mjs': "import {\n  a,\n  b,\n} from '../../tests/run.mjs';\n",
  },
  good: {
    'web/engine/a.js': "import { x } from './session.js';\n/** @param {import('lit').X} y */\nconst w = new URL('../../build/x', import.meta.url);\n",
    'web/elements/c.js': "import { LitElement } from 'lit';\nimport { t } from '../lib/i18n.js';\n",
    'web/cli/e.mjs': "import { readFile } from 'node:fs/promises';\nimport { PeftLab } from '../engine/index.js';\n",
  },
};
