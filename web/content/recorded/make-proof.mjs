// Records the figures of the Proof panel: node web/content/recorded/make-proof.mjs [MODEL]
// Three sources: the page's own checks (lib/proof.js) for every method, the fixtures of tests/golden (real
// transformers, peft and adapters), and finite differences in a double-precision build of the engine (PEFTLAB_REPORT
// makes its tests print the gaps). Takes some minutes.
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { addBatch, caseNames, loadCase, logitsOf, maxAbs, maxGap, openCore, setUp } from '../../../tests/node/lib/golden.mjs';
import { loadTask, PeftLab } from '../../engine/index.js';
import { prove } from '../../lib/proof.js';

const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, '../../..');
const index = JSON.parse(readFileSync(join(root, 'models/index.json'), 'utf8'));
const [model = (index.models.find((m) => m.default) ?? index.models[0]).name] = process.argv.slice(2);
const TASK = 'pirate';
const short = (value) => Number(value.toPrecision(3));

const task = await loadTask(join(root, 'models/tasks', TASK), { splits: ['train'] });
const session = await PeftLab.load(join(root, 'models', model));
const { methods } = await session.describeStatic();
const proofs = [];
for (const { name } of methods) {
  const proof = await prove(session, name, task.splits.train);
  Object.assign(proof.gradients, { worst: short(proof.gradients.worst) });
  if (proof.merge) Object.assign(proof.merge, { difference: short(proof.merge.difference), largest: short(proof.merge.largest) });
  proofs.push(proof);
  process.stderr.write(
    `${name}: gradients ${proof.gradients.worst}, ${proof.merge ? `merged ${proof.merge.difference}` : 'cannot merge'}, bits ${proof.bits.hash}\n`,
  );
}
session.close();

// The libraries' own numbers: largest gap over all cases, relative to the largest value of the tensor.
const against = { cases: 0, logits: 0, gradients: 0, steps: 0, losses: 0 };
for (const name of caseNames((row) => row.method !== 'combine')) {
  const c = loadCase(name);
  const core = await openCore();
  const modules = setUp(core, c);
  against.cases++;
  c.json.tokens.forEach((_, i) => {
    const want = c.tensors.get(`logits/${i}`).data;
    against.logits = Math.max(against.logits, maxGap(logitsOf(core, c, i), want) / maxAbs(want));
  });
  if (c.json.trainable) {
    addBatch(core, c, 'train');
    core.json('pl_gradients', 'train', 0, c.json.tokens.length);
    for (const key of Object.keys(c.json.trainable_tensors)) {
      const [owner, ...rest] = key.split('/');
      const module = modules.find((m) => m.name === owner);
      const want = c.tensors.get(`grad/${key}`).data;
      const largest = Math.max(...[...c.tensors].filter(([k]) => k.startsWith('grad/')).map(([, t]) => maxAbs(t.data)));
      against.gradients = Math.max(against.gradients, maxGap(core.gradient(module.id, module.tensor(rest.join('/'))), want) / largest);
    }
    const { lr, steps, schedule, warmup_steps, weight_decay, beta1, beta2, eps, clip_norm, losses } = c.json.training;
    core.ask('pl_train_begin', [], {
      lr, steps, schedule, warmup_steps, weight_decay, beta1, beta2, eps, max_grad_norm: clip_norm,
      batch_size: c.json.tokens.length, shards: 1, split: 'train',
    });
    against.steps = Math.max(against.steps, steps);
    for (let step = 0; step < steps; step++)
      against.losses = Math.max(against.losses, Math.abs(core.json('pl_train_step').loss - losses[step]) / losses[step]);
  }
  core.free();
}
for (const key of ['logits', 'gradients', 'losses']) against[key] = short(against[key]);

// Finite differences in double precision: every tensor of every method, a sample of its elements. The tests of
// ./build.sh test double, built without sanitizers.
const programs = ['lora', 'prompt'].map((name) => `build/proof/tests/test_${name}_gradients`);
execFileSync('make', ['-s', '-f', 'src/Makefile', 'MODE=double', 'SANITIZE=-O2', 'B=build/proof', ...programs], {
  cwd: root,
  stdio: ['ignore', 'inherit', 'inherit'],
});
const double = { elements: 0, worst: 0 };
for (const program of programs) {
  const lines = execFileSync(join(root, program), {
    encoding: 'utf8',
    env: { ...process.env, PEFTLAB_REPORT: '1' },
    maxBuffer: 1 << 28,
  })
    .split('\n')
    .filter((line) => line.startsWith('gap '));
  for (const line of lines) Object.assign(double, { elements: double.elements + 1, worst: Math.max(double.worst, Number(line.split(' ').at(-1))) });
}
double.worst = short(double.worst);

const record = {
  command: `node web/content/recorded/make-proof.mjs ${model}`,
  commit: execFileSync('git', ['rev-parse', '--short', 'HEAD'], { cwd: root, encoding: 'utf8' }).trim(),
  model, task: TASK, proofs, against, double,
};
writeFileSync(join(here, 'proof.json'), `${JSON.stringify(record, null, 1)}\n`);
console.log(against, double);
