// The engine beside its peers on the same weights, tokens and optimiser (peers/spec.mjs), one thread each, in Node.
// The peers are installed on demand into tests/bench/peers/node_modules.
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beginDecode, openSpec, timedStep, timedTokens } from './ours.mjs';
import { sameWork, trainingSession } from './train.mjs';

const folder = join(dirname(fileURLToPath(import.meta.url)), 'peers');
const NAMES = /** @type {const} */ ({ ort: 'ONNX Runtime Web', tfjs: 'TensorFlow.js wasm', jax: 'jax-js wasm' });
/** How much faster the engine must be, by peer and work (PERFORMANCE figures of the project). @type {Record<string, number>} */
const WANT = { 'ort full': 1.2, 'ort lora': 1.4, 'ort decode': 1.1, 'tfjs full': 3, 'tfjs lora': 3, 'jax full': 3, 'jax lora': 3 };

/** @param {string[]} args @returns {any} the peer's report, or null if it did not run */
function runPeer(...args) {
  try {
    const output = execFileSync(process.execPath, ['peer.mjs', ...args], {
      cwd: folder, encoding: 'utf8', timeout: 300_000, stdio: ['ignore', 'pipe', 'pipe'],
    });
    return JSON.parse(/** @type {string} */ (output.split('\n').filter((line) => line.startsWith('{')).pop()));
  } catch (error) {
    console.log(`  ${args.join(' ')} did not run: ${String(/** @type {any} */ (error).stderr ?? error).split('\n').find(Boolean)}`);
    return null;
  }
}

/** ms per token, the mean of 119 tokens as the peers take it. @param {import('../../web/engine/core.js').Core} core */
function meanToken(core) {
  beginDecode(core, 120);
  return timedTokens(core, 119).reduce((sum, ms) => sum + ms, 0) / 119;
}

/** @param {(figure: import('./run.mjs').Figure) => void} report @param {number} rounds */
export async function comparePeers(report, rounds) {
  console.log('peers');
  if (!existsSync(join(folder, 'node_modules'))) {
    console.log('  installing them (npm ci in tests/bench/peers) …');
    execFileSync('npm', ['ci', '--no-fund', '--no-audit', '--loglevel=error'], { cwd: folder, stdio: 'inherit' });
  }
  const ours = { full: await trainingSession('full'), lora: await trainingSession('lora'), decode: await openSpec() };
  for (const work of /** @type {const} */ (['full', 'lora', 'decode'])) {
    const training = work !== 'decode';
    let own = Infinity;
    /** @type {Record<string, number>} */
    const best = {};
    /** @type {Record<string, string>} */
    const notes = {};
    for (let round = 0; round < Math.max(2, rounds >> 1); round++) {
      for (let i = 0; i < 4; i++) own = Math.min(own, training ? timedStep(ours[work]).ms : meanToken(ours.decode));
      for (const peer of Object.keys(NAMES)) {
        const result = notes[peer] === 'failed' ? null : training ? runPeer(peer, 'train', work) : runPeer(peer, 'decode');
        if (!result) notes[peer] = 'failed';
        else {
          best[peer] = Math.min(best[peer] ?? Infinity, training ? result.ms : result.ms_tok);
          if (training && !sameWork(work, result.losses)) notes[peer] = `other losses: ${result.losses.slice(0, 3)}`;
        }
      }
    }
    for (const [peer, ms] of Object.entries(best)) {
      const want = WANT[`${peer} ${work}`];
      const ratio = ms / own;
      report({
        name: `${work}: ${NAMES[/** @type {keyof typeof NAMES} */ (peer)]} / ours`, value: ratio, unit: 'x',
        ...(want && { want: `>= ${want}`, good: ratio >= want }),
        note: `${ms.toFixed(2)} and ${own.toFixed(2)} ms${notes[peer] ? `; ${notes[peer]}` : ''}`,
      });
    }
  }
  for (const core of Object.values(ours)) core.free();
}
