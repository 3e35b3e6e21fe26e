// What the lints share: the files of the repository, and a C source without its comments and strings.
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';

const TEXT_LIMIT = 4 << 20; // bigger files are data

/**
 * The files git knows or would add (ignored ones are not ours), as path -> text; binary files have the text ''.
 * @param {string} root @returns {Map<string, string>}
 */
export function readTree(root) {
  const options = { cwd: root, encoding: /** @type {const} */ ('utf8'), maxBuffer: 1 << 26 };
  const names = execFileSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], options);
  const files = new Map();
  for (const name of [...new Set(names.split('\0'))].filter(Boolean).sort()) {
    const path = join(root, name);
    if (!existsSync(path) || !statSync(path).isFile()) continue;
    const text = statSync(path).size > TEXT_LIMIT ? '' : readFileSync(path, 'utf8');
    files.set(name, text.includes('\0') ? '' : text);
  }
  return files;
}

/** Our own C sources, without the vendored ones. @param {Map<string, string>} files @param {string} [folder] */
export function cSources(files, folder = '') {
  return [...files].filter(([path]) => path.startsWith(folder) && /\.[ch]$/.test(path) && !path.startsWith('src/vendor/'));
}

/** Replaces comments and the inside of string and character literals by spaces; line numbers stay. @param {string} text */
export function stripC(text) {
  return text.replace(/\/\*[\s\S]*?\*\/|\/\/[^\n]*|"(?:\\[\s\S]|[^"\\\n])*"|'(?:\\[\s\S]|[^'\\\n])*'/g, (match) => {
    const quote = match[0] === '/' ? '' : match[0];
    return quote + match.slice(quote.length, match.length - quote.length).replace(/[^\n]/g, ' ') + quote;
  });
}

/** stripC, and preprocessor lines (with their continuations) emptied as well. @param {string} text */
export function stripDirectives(text) {
  return stripC(text).replace(/^[ \t]*#(?:[^\n]*\\\n)*[^\n]*/gm, (match) => match.replace(/[^\n]/g, ' '));
}

/** @param {string} text @param {number} index */
export const lineAt = (text, index) => text.slice(0, index).split('\n').length;

/**
 * The top-level pieces of a C file: `head` is the text before a brace or semicolon, `body` the text between the braces, if any,
 * `tail` what stands between the last brace and the semicolon.
 * @param {string} text @returns {{head: string, body: string | null, tail: string, line: number, lastLine: number}[]}
 */
export function topLevel(text) {
  const code = stripDirectives(text);
  const pieces = [];
  let start = 0;
  let depth = 0;
  let open = -1;
  let close = -1;
  let round = 0;
  for (let i = 0; i < code.length; i++) {
    const c = code[i];
    if (c === '(') round++;
    else if (c === ')') round--;
    else if (c === '{' && depth++ === 0 && open < 0) open = i;
    else if (c === '}' && --depth === 0) {
      const head = code.slice(start, open);
      close = i;
      // A brace after ")" is a function's body and ends the piece; a type or an initialiser goes on to its semicolon.
      if (!/\)\s*$/.test(head) || head.includes('=')) continue;
      pieces.push({ head: head.trim(), body: code.slice(open + 1, i), tail: '', line: lineAt(code, open), lastLine: lineAt(code, i) });
      start = i + 1;
      open = -1;
    } else if (c === ';' && depth === 0 && round === 0) {
      const head = code.slice(start, open < 0 ? i : open);
      const body = open < 0 ? null : code.slice(open + 1, close);
      pieces.push({
        head: head.trim(),
        body,
        tail: open < 0 ? '' : code.slice(close + 1, i).trim(),
        line: lineAt(code, i),
        lastLine: lineAt(code, i),
      });
      start = i + 1;
      open = -1;
    }
  }
  return pieces;
}
