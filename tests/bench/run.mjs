// ./build.sh bench: speed as ratios measured in one run, in interleaved rounds; machines and their neighbours are noisy, so the
// best round of each side is compared. Prints a table, writes build/bench.json.
//   node tests/bench/run.mjs [--only gemm,kernels,train,sharing,workers,decode,ready,sweep,page] [--rounds N] [--peers] [--threads N]
//   node tests/bench/run.mjs --tasks [--only mood,pirate] [--seeds N]      the tables of the task cards, trained again (tasks.mjs)
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { gzipSync } from 'node:zlib';
import { benchGemm } from './gemm.mjs';
import { benchKernels } from './kernels.mjs';
import { WASM } from './ours.mjs';
import { benchPage } from './page.mjs';
import { comparePeers } from './peers.mjs';
import { benchTasks } from './tasks.mjs';
import { benchDecode, benchSharing, benchSweep, benchTrain, benchWorkers } from './train.mjs';

const here = dirname(fileURLToPath(import.meta.url));
const { values } = parseArgs({
  options: {
    only: { type: 'string' },
    rounds: { type: 'string', default: '5' },
    peers: { type: 'boolean', default: false },
    tasks: { type: 'boolean', default: false },
    seeds: { type: 'string', default: '3' },
  },
});
const rounds = Number(values.rounds);

/** @typedef {{name: string, value: number, unit: string, want?: string, good?: boolean, note?: string}} Figure */
/** @type {Figure[]} */
const figures = [];

/** @param {number} value */
const digits = (value) => (Math.abs(value) >= 100 ? value.toFixed(0) : Math.abs(value) >= 10 ? value.toFixed(1) : value.toFixed(3));

/** @param {Figure} figure */
function report(figure) {
  figures.push(figure);
  const verdict = figure.want ? `  ${figure.good ? 'meets' : 'MISSES'} ${figure.want}` : '';
  const note = figure.note ? `  (${figure.note})` : '';
  console.log(`  ${figure.name.padEnd(52)} ${digits(figure.value).padStart(9)} ${figure.unit.padEnd(10)}${verdict}${note}`);
}

/** Engine ready in fresh processes: load + compile + pack of the default model. */
function benchReady() {
  const index = JSON.parse(readFileSync(join(here, '../../models/index.json'), 'utf8'));
  const { name } = index.models.find((/** @type {{default: boolean}} */ model) => model.default) ?? index.models[0];
  const start = () => execFileSync(process.execPath, [join(here, 'ready.mjs'), name], { encoding: 'utf8' });
  const times = Array.from({ length: rounds }, () => JSON.parse(start()));
  const ready = Math.min(...times.map((time) => time.ready));
  report({
    name: `engine ready in Node, ${name}`, value: ready, unit: 'ms', want: '<= 300', good: ready <= 300,
    note: `first token after ${digits(Math.min(...times.map((time) => time.token)))} ms`,
  });
}

function benchSize() {
  const size = gzipSync(readFileSync(WASM), { level: 9 }).length / 1024;
  report({ name: 'peftlab.wasm, gzip', value: size, unit: 'KB', want: '<= 150', good: size <= 150 });
}

/** @type {Record<string, () => Promise<void> | void>} */
const sections = {
  size: benchSize,
  ready: benchReady,
  gemm: () => benchGemm(report, rounds),
  kernels: () => benchKernels(report, rounds),
  train: () => benchTrain(report, rounds),
  sweep: () => benchSweep(report, rounds),
  decode: () => benchDecode(report, rounds),
  sharing: () => benchSharing(report, rounds),
  workers: () => benchWorkers(report, rounds),
  page: () => benchPage(report, rounds),
};
if (values.tasks) {
  const chosen = (values.only ?? 'mood,words-to-story,ship-log,pirate,turtle').split(',');
  process.exit((await benchTasks(chosen, Number(values.seeds))) ? 0 : 1);
}
console.log(`${cpus()[0]?.model ?? 'unknown processor'}, ${cpus().length} cores, Node ${process.version}\n`);
for (const name of (values.only ?? 'size,ready,gemm,train,sweep,decode,sharing,workers,page').split(',')) {
  if (!sections[name]) {
    console.error(`bench: there is no section '${name}'; there are ${Object.keys(sections).join(', ')}`);
    process.exit(2);
  }
  console.log(name);
  await sections[name]();
}
if (values.peers) await comparePeers(report, rounds);
mkdirSync(join(here, '../../build'), { recursive: true });
const machine = { node: process.version, cpu: cpus()[0]?.model, cores: cpus().length };
writeFileSync(join(here, '../../build/bench.json'), `${JSON.stringify({ ...machine, figures }, null, 1)}\n`);
