// Training steps, decoding and workers of the engine on the spec's model.
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { PeftLab } from '../../web/engine/index.js';
import { openLoops } from './gemm.mjs';
import { addBatch, addMethod, beginDecode, beginTraining, modelFiles, openSpec, timedStep, timedTokens } from './ours.mjs';
import { FIRST_LOSSES, SPEC } from './peers/spec.mjs';

/** @typedef {(figure: import('./run.mjs').Figure) => void} Report */
const least = (/** @type {number[]} */ values) => Math.min(...values);

/** @param {'full' | 'lora'} mode @param {typeof SPEC} [c] @param {number} [labelled] @param {number} [shards] */
export async function trainingSession(mode, c = SPEC, labelled = undefined, shards = 1) {
  const core = await openSpec(c);
  addBatch(core, c, labelled);
  addMethod(core, mode, c);
  beginTraining(core, 1000, c, shards);
  return core;
}

/** The first losses must be those of every other program on this work. @param {string} mode @param {number[]} losses */
export function sameWork(mode, losses) {
  const want = FIRST_LOSSES[/** @type {'full' | 'lora'} */ (mode)];
  return want.every((loss, i) => Math.abs(loss - losses[i]) < 2e-3);
}

/** @param {Report} report @param {number} rounds @returns {Promise<Record<'full' | 'lora', number>>} ms per step */
export async function benchTrain(report, rounds) {
  const sides = [];
  for (const mode of /** @type {const} */ (['full', 'lora'])) {
    const [ms, losses] = /** @type {number[][]} */ ([[], []]);
    sides.push({ mode, core: await trainingSession(mode), ms, losses });
  }
  for (let round = 0; round < rounds + 1; round++) {
    for (const side of sides) {
      for (let i = 0; i < 3; i++) {
        const { loss, ms } = timedStep(side.core);
        side.losses.push(loss);
        if (round > 0) side.ms.push(ms);
      }
    }
  }
  const best = { full: least(sides[0].ms), lora: least(sides[1].ms) };
  for (const { mode, losses, core } of sides) {
    const first = losses.slice(0, 3).map((loss) => loss.toFixed(5)).join(' ');
    report({
      name: `${mode} step, ${SPEC.batch} x ${SPEC.tokens} tokens, one core`, value: best[mode], unit: 'ms',
      note: `losses ${first}${sameWork(mode, losses) ? ', as every peer' : ', NOT those of the peers'}`,
    });
    core.free();
  }
  report({ name: 'LoRA step / full step', value: best.lora / best.full, unit: '', want: '<= 0.75', good: best.lora / best.full <= 0.75 });
  return best;
}

/** Cost against labels, tokens, layers and width. @param {Report} report @param {number} rounds */
export async function benchSweep(report, rounds) {
  const base = { ...SPEC, layers: 2, dim: 128, heads: 4, ffn: 344, tokens: 64 };
  const cases = {
    base: { c: base, labelled: base.tokens },
    labels: { c: base, labelled: base.tokens / 4 },
    tokens: { c: { ...base, batch: 8 }, labelled: base.tokens },
    layers: { c: { ...base, layers: 4 }, labelled: base.tokens },
  };
  /** @type {Record<string, {core: import('../../web/engine/core.js').Core, ms: number}>} */
  const sides = {};
  for (const [name, { c, labelled }] of Object.entries(cases)) sides[name] = { core: await trainingSession('lora', c, labelled), ms: Infinity };
  for (let round = 0; round < rounds * 4; round++)
    for (const side of Object.values(sides)) side.ms = Math.min(side.ms, timedStep(side.core).ms);
  report({ name: 'LoRA step, twice the sequences / once', value: sides.tokens.ms / sides.base.ms, unit: '', note: 'linear: 2' });
  // Twice the layers adds exactly the cost of the blocks again; the head's share stays.
  report({ name: 'LoRA step, 4 layers / 2 layers', value: sides.layers.ms / sides.base.ms, unit: '', note: 'below 2: the head is not repeated' });
  report({
    name: 'LoRA step, loss on 25 % of the tokens / on all', value: sides.labels.ms / sides.base.ms, unit: '',
    note: 'the head is paid per label',
  });
  for (const side of Object.values(sides)) side.core.free();
}

/** One session as base, with a LoRA, with the LoRA merged, in turns: the same memory for all. @param {Report} report @param {number} rounds */
export async function benchDecode(report, rounds) {
  const core = await openSpec();
  const { id } = addMethod(core, 'lora');
  const timedReads = await readLoop();
  /** @type {Record<string, () => number[]>} */
  const sides = {
    base: () => decode(() => core.ask('pl_module_set', [id], { active: false })),
    lora: () => decode(() => core.ask('pl_module_set', [id], { active: true })),
    merged: () => decode(() => core.ask('pl_merge_modules', [], [id])),
    bound: () => timedReads(64),
  };
  const decode = (/** @type {() => void} */ prepare) => {
    prepare();
    beginDecode(core, 65);
    return timedTokens(core, 64);
  };
  /** @type {Record<string, number[]>} */
  const times = { base: [], lora: [], merged: [], bound: [] };
  const names = Object.keys(sides);
  for (let round = 0; round < rounds * 4; round++) {
    for (const i of names.keys()) { // each round begins with another side, so that none always follows the same one
      const name = names[(round + i) % names.length];
      times[name].push(...sides[name]());
      core.call('pl_unmerge_modules');
    }
  }
  const typical = (/** @type {string} */ name) => times[name].sort((x, y) => x - y)[times[name].length >> 2];
  const base = typical('base');
  report({ name: 'decode, KV cache, batch 1', value: base, unit: 'ms/token', note: 'a quarter of the tokens took less' });
  const merged = typical('merged') / base;
  report({ name: 'decode, merged LoRA / base', value: merged, unit: '', want: '1.00 +- 0.02', good: Math.abs(merged - 1) <= 0.02 });
  report({ name: 'decode, LoRA not merged / base', value: typical('lora') / base, unit: '' });
  const bound = typical('bound');
  report({
    name: 'decode: reading every weight once / our time', value: bound / base, unit: '', want: '>= 0.6', good: bound / base >= 0.6,
    note: `bound ${bound.toFixed(3)} ms`,
  });
  core.free();
}

/**
 * Times of reading the weights of a token's matrix products once, the least any decoder must do.
 * @returns {Promise<(count: number) => number[]>} ms
 */
async function readLoop() {
  const bench = await openLoops();
  const { layers, dim, ffn, vocab } = SPEC;
  const count = layers * (4 * dim * dim + 3 * dim * ffn) + dim * vocab;
  const at = bench.bench_reals(count);
  return (times) => Array.from({ length: times }, () => {
    const start = performance.now();
    bench.bench_read(at, count, 1);
    return performance.now() - start;
  });
}

/** Random text: what it says does not matter here. @param {number} i @param {number} characters */
const noise = (i, characters) => Array.from({ length: characters }, (_, k) => String.fromCharCode(97 + ((i * 31 + k * k * 7 + k) % 26))).join('');
/** Sequences for the workers: all cut to the same length, as those of the other figures, or windows of texts, whose last ones are short. */
const SEQUENCES = {
  equal: Array.from({ length: SPEC.batch }, (_, i) => ({ prompt: noise(i, 2), completion: noise(i + 1, 8 * SPEC.tokens), line: i + 1 })),
  unequal: Array.from({ length: SPEC.batch }, (_, i) => ({ text: noise(i, 4 * SPEC.tokens), line: i + 1 })),
};

/**
 * One worker against two, same shards, so the same result; in turns of a few steps. The mean counts: it is what a user waits, and a step
 * of two is as slow as the slower core just then, so the least of few steps is met by luck only. The least of each is said beside it.
 * @param {Report} report @param {number} rounds
 */
export async function benchWorkers(report, rounds) {
  if (availableParallelism() < 2) return;
  const index = new URL('../../models/stories-300k/tokenizer.json', import.meta.url);
  const files = { ...modelFiles(), tokenizer: new Uint8Array(readFileSync(index)) };
  for (const lengths of /** @type {const} */ (['equal', 'unequal'])) {
    const sides = await Promise.all([1, 2].map((workers) => workerSide(files, SEQUENCES[lengths], workers)));
    for (let round = 0; round < 3 * rounds; round++) {
      for (const side of sides) {
        let last = performance.now();
        const onStep = (/** @type {{loss: number}} */ { loss }) => {
          const now = performance.now();
          side.ms.push(now - last);
          side.losses.push(loss);
          last = now;
        };
        await side.session.resume({ until: (side.step += 4), onStep });
      }
    }
    const [one, two] = sides.map(({ ms }) => ms.reduce((sum, x) => sum + x, 0) / ms.length);
    const [bestOne, bestTwo] = sides.map(({ ms }) => least(ms));
    const same = sides[0].losses.every((loss, i) => loss === sides[1].losses[i]);
    report({
      name: `LoRA step, two workers against one, ${lengths} lengths`, value: one / two, unit: 'x', want: '>= 1.7', good: one / two >= 1.7,
      note: `mean ${one.toFixed(0)} and ${two.toFixed(0)} ms, least ${bestOne.toFixed(0)} and ${bestTwo.toFixed(0)}; `
        + (same ? 'the same losses bit for bit' : 'DIFFERENT losses'),
    });
    for (const { session } of sides) session.close();
  }
}

/**
 * What a worker of two does besides computing its half of the shards: copying them out, taking the other's in, adding all, the
 * update. Two engines in turn on one core, so that neither slows the other: what two workers could gain at most on cores that
 * do not share anything.
 * @param {Report} report @param {number} rounds
 */
export async function benchSharing(report, rounds) {
  for (const mode of /** @type {const} */ (['lora', 'full'])) {
    const cores = [];
    for (let i = 0; i < 3; i++) cores.push(await trainingSession(mode, SPEC, undefined, SPEC.batch));
    const [alone, ...pair] = cores;
    const half = SPEC.batch / 2;
    const best = { step: Infinity, compute: Infinity, copy: Infinity, apply: Infinity };
    const timed = (/** @type {keyof typeof best} */ what, /** @type {() => any} */ work) => {
      const start = performance.now();
      const result = work();
      best[what] = Math.min(best[what], performance.now() - start);
      return result;
    };
    for (let round = 0; round < 2 * rounds; round++) {
      timed('step', () => alone.json('pl_train_step'));
      const parts = pair.map((core, i) => {
        const shards = Array.from({ length: half }, (_, k) => i * half + k);
        timed('compute', () => { for (const shard of shards) core.call('pl_train_shard', shard); });
        return timed('copy', () => core.keptShards(shards));
      });
      pair.forEach((core, i) => timed('apply', () => core.applyShards([parts[1 - i]])));
    }
    const shared = best.compute + best.copy + best.apply;
    report({
      name: `${mode} step, one worker / two that never meet`, value: best.step / shared, unit: 'x',
      note: `${best.step.toFixed(0)} ms; half the shards ${best.compute.toFixed(0)}, `
        + `copying ${best.copy.toFixed(1)}, adding and update ${best.apply.toFixed(1)}`,
    });
    for (const core of cores) core.free();
  }
}

/** @param {any} files @param {any[]} examples @param {number} workers */
async function workerSide(files, examples, workers) {
  const session = await PeftLab.open(files);
  await session.addModule('lora', { rank: SPEC.rank, alpha: SPEC.alpha, target_modules: ['q_proj', 'v_proj'] }, { seed: 1 });
  await session.setData('train', examples, { maxLength: SPEC.tokens });
  /** @type {number[]} */
  const losses = [];
  await session.train({
    workers, steps: 1000, batch_size: SPEC.batch, shards: SPEC.batch, lr: 1e-3, seed: 1, until: 2,
    onStep: ({ loss }) => losses.push(loss),
  });
  return { session, ms: /** @type {number[]} */ ([]), losses, step: 2 };
}
