// Rules that keep the engine a pure state machine and its lower layers free of what does not belong there.
import { cSources, lineAt, stripC, stripDirectives, topLevel } from './source.mjs';

/**
 * Every place where `pattern` occurs in a text, as "path:line: why (match)".
 * @param {string} path @param {string} text @param {RegExp} pattern global @param {string} why
 */
function places(path, text, pattern, why) {
  return [...text.matchAll(pattern)].map((match) => `${path}:${lineAt(text, match.index)}: ${why} (${match[0].trim()})`);
}

export const methodWords = {
  name: 'src/model and src/kernels know no method by name',
  /** @param {Map<string, string>} files @returns {string[]} */
  check(files) {
    return [...files].flatMap(([path, text]) =>
      /^src\/(model|kernels)\//.test(path) ? places(path, text, /lora|prefix|prompt|adapter/gi, 'a method word') : []);
  },
  bad: { 'src/model/forward.c': '/* adds the LoRA term */\n' },
  good: { 'src/model/forward.c': '/* calls the hooks */\n', 'src/peft/lora.c': '/* LoRA */\n' },
};

export const intrinsics = {
  name: 'only src/simd knows vector instructions',
  /** @param {Map<string, string>} files @returns {string[]} */
  check(files) {
    return cSources(files, 'src/').flatMap(([path, text]) =>
      path.startsWith('src/simd/')
        ? []
        : places(
            path,
            stripC(text),
            /wasm_simd128|\bwasm_[fiuv]\d+x\d+\w*|\b_mm\d*_\w+|\bvector_size\b|__builtin_shuffle\w*|\b(?:imm|xmm|arm_ne)\w*\.h/g,
            'a vector instruction',
          ),
    );
  },
  bad: { 'src/kernels/gemm.c': 'x = wasm_f32x4_add(a, b);\n' },
  good: { 'src/simd/simd.h': 'x = wasm_f32x4_add(a, b);\n', 'src/kernels/gemm.c': '/* wasm_f32x4_add */ y = f32x4_add(a, b);\n' },
};

const SIDE_EFFECTS =
  /(?<![\w.>])(?:v?f?printf|puts|putchar|fputs|perror|exit|_Exit|abort|getenv|time|clock|clock_gettime|s?rand|fopen|fread|fwrite|assert)\s*\(/g;
/**
 * Memory comes from src/base, so that it is counted and can be refused. Exceptions: the JSON reader (its library allocates by
 * itself), and session.c for the session object and for the buffers it hands to its caller.
 */
const ALLOCATION = /(?<![\w.>])(?:malloc|calloc|realloc|free)\s*\(/g;
/** Of libm only what IEEE 754 defines to the last bit is left: sqrt, fabs, floor. The rest is src/base/exact.h and src/simd/vecmath.h. */
const UNEQUAL_MATH = /\b(?:a?sinh?|a?cosh?|a?tanh?|atan2|exp|exp2|expm1|log|log2|log10|log1p|pow|cbrt|hypot|erfc?|[tl]gamma|fma)f?\s*\(/g;

export const sideEffects = {
  name: 'the engine prints nothing, never exits, asks no clock and allocates in src/base only',
  /** @param {Map<string, string>} files @returns {string[]} */
  check(files) {
    return cSources(files, 'src/').flatMap(([path, text]) => {
      if (path.startsWith('src/cli/')) return [];
      const code = stripC(text);
      return [
        ...places(path, code, SIDE_EFFECTS, 'a side effect'),
        ...(/^src\/(base\/|io\/json|session\/session\.c)/.test(path) ? [] : places(path, code, ALLOCATION, 'an allocation outside src/base')),
        ...places(path, code, UNEQUAL_MATH, 'differs between C libraries'),
      ];
    });
  },
  bad: {
    'src/train/a.c': 'void f(void) { printf("step\\n"); }\n',
    'src/model/b.c': 'void f(void) { exit(1); }\n',
    'src/peft/c.c': 'void *f(void) { return malloc(4); }\n',
    'src/kernels/d.c': 'float f(float x) { return tanhf(x); }\n',
    'src/base/e.c': 'double f(double x) { return log(x); }\n',
  },
  good: {
    'src/train/a.c': 'void f(char *s) { snprintf(s, 4, "exit(1)"); memory->free(s); pl_time(s); sqrt(pl_exact_log(2)); }\n',
    'src/cli/main.c': 'int main(void) { printf("x"); return 0; }\n',
  },
};

/** Is this declaration (not a function) a variable that can change? `tail` stands after its braces. @param {string} head @param {string} tail */
function isMutable(head, tail) {
  const declaration = head.replace(/__attribute__\s*\(\(.*?\)\)/g, '').split('=')[0].trim();
  if (!declaration || /^(typedef|extern|_Static_assert|static_assert)\b/.test(declaration)) return false;
  if (/\b(enum|struct|union)(\s+\w+)?$/.test(declaration) && !tail) return false; // a type
  if (!head.includes('=') && /\)\s*$/.test(declaration)) return false; // a prototype
  const pointer = declaration.lastIndexOf('*');
  return !/\bconst\b/.test(pointer >= 0 ? declaration.slice(pointer) : declaration);
}

export const globals = {
  name: 'the engine has no variable outside a function, and no static one inside',
  /** @param {Map<string, string>} files @returns {string[]} */
  check(files) {
    const problems = [];
    for (const [path, text] of cSources(files, 'src/')) {
      if (path.startsWith('src/cli/')) continue;
      for (const piece of topLevel(text)) {
        const isFunction = piece.body !== null && /\)$/.test(piece.head) && !piece.head.includes('=');
        if (!isFunction && isMutable(piece.head, piece.tail))
          problems.push(`${path}:${piece.line}: mutable ${piece.head.replace(/\s+/g, ' ').slice(0, 60)}`);
      }
      const code = stripDirectives(text);
      for (const match of code.matchAll(/^[ \t]+static\s+([^;={]*)/gm))
        if (isMutable(match[1], 'x')) problems.push(`${path}:${lineAt(code, match.index)}: static ${match[1].trim()}`);
    }
    return problems;
  },
  bad: {
    'src/base/a.c': 'static int counter;\n',
    'src/base/b.c': 'static const char *names[] = {"a"};\n',
    'src/base/c.c': 'int f(void) {\n    static int n = 0;\n    return n++;\n}\n',
    'src/base/d.c': 'struct { int x; } state;\n',
  },
  good: {
    'src/base/a.c':
      'typedef struct a { int x; } a;\nenum { N = 3 };\nstruct b;\nstruct c { int y; };\n' +
        'int f(int (*g)(int), const char *s);\nstatic const char *const names[] = {"a", "b"};\n' +
      'const a pl_a = {.x = 1};\n_Static_assert(sizeof(int) == 4, "x");\n' +
      'int f(int (*g)(int), const char *s) {\n    static const int t[2] = {1, 2};\n    return t[0];\n}\n' +
      'void g(void) __attribute__((format(printf, 1, 2)));\n',
  },
};
