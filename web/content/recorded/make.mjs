// Records the run that the page shows before its own engine is there: node web/content/recorded/make.mjs [MODEL] [TASK]
// It drives the command line, so that anybody can repeat what the page shows with the command written in the file.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Lab } from '../../lib/lab.js';

const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, '../../..');
const index = JSON.parse(readFileSync(join(root, 'models/index.json'), 'utf8'));
const [model = (index.models.find((m) => m.default) ?? index.models[0]).name, task = 'pirate'] = process.argv.slice(2);

// What the page would train: the laboratory's own settings.
const lab = new Lab({ base: join(root, 'models') });
lab.set({ model, task, method: 'lora' });
await lab.ready();
const train = lab.train_options;
const { counts, modules: [module] } = lab.description;
const { loss: base, bits_per_byte: bits } = await lab.work(async (session) => {
  await session.clear();
  return session.evaluate({ split: 'validation' });
});
const { prompt, before } = lab.sample;
const generation = lab.task?.generation ?? {};
const options = lab.options;
lab.close();

const out = mkdtempSync(join(tmpdir(), 'peftlab-recorded-'));
const cli = (...args) => execFileSync(process.execPath, ['web/cli/peftlab.mjs', ...args], { cwd: root, encoding: 'utf8', maxBuffer: 1 << 26 });
const flag = (name, value) => [`--${name.replaceAll('_', '-')}`, Array.isArray(value) ? value.join(',') : String(value)];
const every = Math.max(1, Math.round(train.steps / 8));
const args = ['train', '--model', `models/${model}`, '--task', task, '--method', 'lora',
  ...Object.entries(options).flatMap(([name, value]) => flag(name, value)),
  ...['steps', 'batch_size', 'lr', 'warmup_steps', 'seed'].filter((name) => train[name] !== undefined).flatMap((name) => flag(name, train[name])),
  ...flag('eval_every', every), '--no-metrics', '--json'];
const lines = cli(...args, '--out', out).trim().split('\n').map((line) => JSON.parse(line));
const say = ['generate', '--model', `models/${model}`, '--adapter', out, '--prompt', prompt, '--seed', String(train.seed), '--json',
  ...flag('max_new_tokens', generation.max_new_tokens ?? 60), ...flag('temperature', generation.temperature ?? 0)];
const whole = JSON.parse(cli(...say).trim().split('\n').at(-1)).text;
// The page stops at the task's stop strings; the same tokens come before them.
const after = whole.slice(0, Math.min(whole.length, ...(generation.stop ?? []).map((text) => whole.indexOf(text)).filter((at) => at >= 0)));
rmSync(out, { recursive: true });

const round = (value) => Math.round(value * 1e4) / 1e4;
const losses = lines.filter((line) => line.lr !== undefined && line.loss !== undefined).map(({ step, loss }) => ({ step, loss: round(loss) }));
const validations = lines.filter((line) => line.val_loss !== undefined)
  .map((line) => ({ step: line.step, loss: round(line.val_loss), bits_per_byte: round(line.val_bits_per_byte) }));
const done = lines.find((line) => line.done !== undefined) ?? {};
const recording = {
  command: `peftlab ${args.join(' ')}`,
  commit: execFileSync('git', ['rev-parse', '--short', 'HEAD'], { cwd: root, encoding: 'utf8' }).trim(),
  model,
  run: {
    id: 0, recorded: true, task, model, method: 'lora', options: module.options, train, seed: train.seed,
    trainable: counts.trainable, total: counts.total,
    base_loss: round(base), losses,
    validations: [{ step: 0, loss: round(base), bits_per_byte: round(bits) }, ...validations.filter(({ step }) => step > 0)],
    sample: { prompt, before, after }, seconds: round(done.seconds ?? 0), score: null, status: 'done', adapter: null,
  },
};
writeFileSync(join(here, 'first-run.json'), `${JSON.stringify(recording, null, 1)}\n`);
console.log(recording.command, '\n', before, '\n->', after, losses.length, validations.length, recording.run.seconds);
