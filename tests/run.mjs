// Runs the tests, fast parts first, and ends with one line "N passed, N failed" over all of them.
//   node tests/run.mjs [lint|unit|double|fuzz|wasm|node|browser] [FILTER] [--seconds N]      (normally: ./build.sh test ...)
// A part that crashes, times out or finds no test counts as one failure. ./build.sh sets CC_SAN, HAVE_FUZZER, EMCC, CHROME.
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
process.chdir(root);
const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: { seconds: { type: 'string', default: '4' } },
});
const [wanted, filter = ''] = positionals;

/** @typedef {{passed: number, failed: number}} Count */
/** @typedef {{code: number | null, output: string}} Result */

/**
 * Runs a program; its output is passed on (unless `quiet`) and returned. `code` is null after a signal or time-out.
 * @param {string} command @param {string[]} args
 * @param {{quiet?: boolean, seconds?: number, env?: Record<string, string | undefined>}} [options] @returns {Promise<Result>}
 */
function run(command, args, { quiet = false, seconds = 900, env = {} } = {}) {
  return new Promise((resolve) => {
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env } });
    let output = '';
    const take = (/** @type {Buffer} */ data) => {
      output += data;
      if (!quiet) process.stdout.write(data);
    };
    child.stdout.on('data', take);
    child.stderr.on('data', take);
    const timer = setTimeout(() => {
      output += `\n${command} ran longer than ${seconds} s and was stopped\n`;
      child.kill('SIGKILL');
    }, seconds * 1000);
    child.on('error', (error) => {
      clearTimeout(timer);
      resolve({ code: null, output: `${output}${error.message}\n` });
    });
    child.on('close', (code) => {
      clearTimeout(timer);
      resolve({ code, output });
    });
  });
}

/** Compiles with src/Makefile. @param {string} mode @param {string} target */
async function make(mode, target) {
  mkdirSync('build', { recursive: true });
  const [command, ...before] = [...(process.env.BUILD_LOCK ?? '').split(' ').filter(Boolean), 'make']; // one build at a time
  const { code } = await run(command, [
    ...before, '-s', '-k', `-j${availableParallelism()}`, '-f', 'src/Makefile',
    `MODE=${mode}`, `CC_SAN=${process.env.CC_SAN ?? 'cc'}`, `EMCC=${process.env.EMCC ?? 'emcc'}`, 'WERROR=-Werror', target,
  ]);
  return code === 0;
}

/** @param {string} dir @param {RegExp} pattern */
const list = (dir, pattern) =>
  existsSync(dir) ? readdirSync(dir).filter((name) => pattern.test(name) && name.includes(filter)).sort() : [];

/** The C sources a build of the unit tests should contain, so that one that did not compile is not just absent. @param {boolean} double */
function unitNames(double) {
  return list('tests/c', /^(test|fail)_.*\.c$/).map((file) => file.slice(0, -2)).filter((name) => {
    const text = readFileSync(`tests/c/${name}.c`, 'utf8');
    const isDouble = /_double$/.test(name) || text.includes('build: double');
    return double ? isDouble || text.includes('build: both') : !isDouble;
  });
}

/**
 * Runs a job for each name, as many at a time as there are cores; the jobs print for themselves.
 * @param {string[]} names @param {(name: string) => Promise<Count>} job @returns {Promise<Count>} the sum
 */
async function inParallel(names, job) {
  const waiting = [...names];
  const total = { passed: 0, failed: 0 };
  await Promise.all(Array.from({ length: availableParallelism() }, async () => {
    for (let name = waiting.shift(); name !== undefined; name = waiting.shift()) {
      const count = await job(name);
      total.passed += count.passed;
      total.failed += count.failed;
    }
  }));
  return total;
}

/** @param {string} mode san or double @returns {Promise<Count>} */
async function unit(mode) {
  const built = await make(mode, 'tests');
  if (!built) console.log(`not ok ${mode}: the build failed`);
  const program = (/** @type {string} */ name) => `build/${mode}/tests/${name}`;
  const names = unitNames(mode === 'double').filter((name) => built || existsSync(program(name)));
  const total = await inParallel(names, async (name) => {
    const start = Date.now();
    const { code, output } = await run(program(name), [], { quiet: true, seconds: 1200 });
    const line = /^(\d+) passed, (\d+) failed$/m.exec(output);
    let count = { passed: Number(line?.[1] ?? 0), failed: Number(line?.[2] ?? 0) };
    if (name.startsWith('fail_')) count = code === 1 && count.passed === 0 && count.failed > 0 ? { passed: 1, failed: 0 } : { passed: 0, failed: 1 };
    else if (code !== 0 && count.failed === 0) count.failed = 1; // crashed, or ran nothing
    if (count.failed > 0) process.stdout.write(output);
    const seconds = ((Date.now() - start) / 1000).toFixed(1);
    console.log(`${count.failed ? 'not ok' : 'ok'} ${mode} ${name}: ${count.passed} passed, ${count.failed} failed (${seconds} s)`);
    return count;
  });
  if (!built) total.failed++;
  return total;
}

/** Each fuzz target replays its seeds, then (with libFuzzer) looks for new inputs for a few seconds. @returns {Promise<Count>} */
async function fuzz() {
  const mode = process.env.HAVE_FUZZER ? 'fuzz' : 'san';
  const built = await make(mode, 'fuzz');
  if (!built) console.log('not ok fuzz: the build failed');
  const names = list('tests/fuzz', /^fuzz_.*\.c$/).map((file) => file.slice(0, -2));
  const total = await inParallel(names, async (name) => {
    const seeds = `tests/fuzz/seeds/${name.slice(5)}`;
    const dir = existsSync(seeds) ? seeds : `tests/fuzz/seeds/${name}`;
    const files = existsSync(dir) ? readdirSync(dir).map((seed) => join(dir, seed)) : [];
    let { code, output } = files.length
      ? await run(`build/${mode}/fuzz/${name}`, files, { quiet: true, seconds: 300 })
      : { code: 1, output: `no seeds in ${dir}\n` };
    if (code === 0 && mode === 'fuzz') {
      const found = `build/fuzz/corpus/${name}`; // what longer runs found is kept between runs
      mkdirSync(found, { recursive: true });
      ({ code, output } = await run(`build/fuzz/fuzz/${name}`, [
        `-max_total_time=${flags.seconds}`, '-rss_limit_mb=2048', '-timeout=20', '-max_len=16384', '-print_final_stats=1',
        `-artifact_prefix=build/fuzz/${name}-`, found, dir,
      ], { quiet: true, seconds: Number(flags.seconds) * 2 + 120 }));
    }
    if (code !== 0) process.stdout.write(output.slice(-6000));
    const runs = /number_of_executed_units: (\d+)/.exec(output)?.[1] ?? files.length;
    console.log(`${code === 0 ? 'ok' : 'not ok'} ${name}: ${files.length} seeds, ${runs} runs`);
    return code === 0 ? { passed: 1, failed: 0 } : { passed: 0, failed: 1 };
  });
  if (!built) total.failed++;
  return total;
}

/** The module builds, and asks its host for nothing but the notice that memory grew. @returns {Promise<Count>} */
async function wasm() {
  const file = 'build/wasm/peftlab.wasm';
  if (!(await make('wasm', 'wasm')) || !existsSync(file)) return { passed: 0, failed: 1 };
  const module = new WebAssembly.Module(readFileSync(file));
  const imports = WebAssembly.Module.imports(module).map((entry) => `${entry.module}.${entry.name}`);
  const foreign = imports.filter((name) => name !== 'env.emscripten_notify_memory_growth');
  const { gzipSync } = await import('node:zlib');
  console.log(
    `${file}: ${statSync(file).size} bytes, ${gzipSync(readFileSync(file), { level: 9 }).length} gzip; imports: ${imports.join(', ') || 'none'}`,
  );
  if (foreign.length) console.log(`not ok wasm: unexpected imports ${foreign.join(', ')} (printf, files or exit in the engine?)`);
  return foreign.length ? { passed: 0, failed: 1 } : { passed: 1, failed: 0 };
}

/** node --test on a folder. @param {string} dir @param {number} seconds limit for all of them @returns {Promise<Count>} */
async function nodeTests(dir, seconds) {
  const files = list(dir, /\.test\.mjs$/).map((name) => join(dir, name));
  if (!files.length) return { passed: 0, failed: 0 };
  const { code, output } = await run('node', ['--test', '--test-concurrency=1', '--test-reporter=spec', ...files], { seconds });
  /** @param {string} name */
  const figure = (name) => Number(new RegExp(`^ℹ ${name} (\\d+)$`, 'm').exec(output)?.[1] ?? 0);
  const count = { passed: figure('pass'), failed: figure('fail') + figure('cancelled') };
  if (code !== 0 && count.failed === 0) count.failed = 1;
  return count;
}

/** The browser tests look at the site as it is published. @returns {Promise<Count>} */
async function browser() {
  if (!(await make('wasm', 'wasm'))) return { passed: 0, failed: 1 }; // also where there is one: it may be of older sources
  if (existsSync('web/index.html') && (await run('node', ['web/build.mjs'], { quiet: true })).code !== 0) {
    console.log('not ok browser: node web/build.mjs failed');
    return { passed: 0, failed: 1 };
  }
  if (process.env.CHROME === '') { // set by ./build.sh; one sentence instead of the same failure in every file
    console.log('not ok browser: no browser test ran, because no Chromium was found or could be installed (set CHROME to the path of one)');
    return { passed: 0, failed: 1 };
  }
  return nodeTests('tests/browser', 4 * 3600); // half an hour, but on a machine that is slower or busy elsewhere
}

/** @type {Record<string, {dir: string, run: () => Promise<Count>}>} */
const parts = {
  lint: { dir: 'tests/lint', run: () => nodeTests('tests/lint', 300) },
  unit: { dir: 'tests/c', run: () => unit('san') },
  double: { dir: 'tests/c', run: () => unit('double') },
  fuzz: { dir: 'tests/fuzz', run: fuzz },
  wasm: { dir: 'src', run: wasm },
  node: { dir: 'tests/node', run: async () => ((await make('wasm', 'wasm')) ? nodeTests('tests/node', 1800) : { passed: 0, failed: 1 }) },
  browser: { dir: 'tests/browser', run: browser },
};

if (wanted && !parts[wanted]) {
  console.error(`run.mjs: no part is called '${wanted}'; there are ${Object.keys(parts).join(', ')}`);
  process.exit(2);
}
const sum = { passed: 0, failed: 0 };
const report = [];
for (const [name, part] of Object.entries(parts)) {
  if (wanted && wanted !== name) continue;
  if (!existsSync(part.dir)) continue;
  console.log(`== ${name}`);
  const start = Date.now();
  const count = await part.run();
  if (count.passed + count.failed === 0) {
    console.log(`not ok ${name}: no test ran`);
    count.failed = 1;
  }
  report.push(
    `${name.padEnd(8)} ${String(count.passed).padStart(5)} passed ${String(count.failed).padStart(4)} ` +
      `failed ${((Date.now() - start) / 1000).toFixed(1).padStart(7)} s`,
  );
  sum.passed += count.passed;
  sum.failed += count.failed;
}
console.log(`\n${report.join('\n')}`);
console.log(`${sum.passed} passed, ${sum.failed} failed`);
process.exit(sum.failed === 0 && sum.passed > 0 ? 0 : 1);
