import { fitPreset, PeftLabError } from '../../engine/index.js';
import { helpText, methodOptions, methodSpec, parse, parseCombine, snake, usage, warn } from '../args.mjs';
import { adapterFolders, findTask, loadSplits, MODEL_SPEC, openCalculator, openSession } from '../context.mjs';
import { measure } from '../measure.mjs';
import { exportTrained, prepareFile, prepareFolder, writeSafely } from '../output.mjs';
import { isFile } from '../paths.mjs';
import { resumeRun, warnOfFewer } from '../resume.mjs';

const SUMMARY = 'fine-tune a model on a task or a data file';
const { merge: _, ...BASE } = MODEL_SPEC; // nothing new is trained beside merged adapters: `merge --out` writes the base for that
const RUN = /** @type {import('../args.mjs').Spec} */ ({
    ...BASE,
    task: {
        kind: 'string',
        help: 'task name, task folder, or a .jsonl, .json, .txt or .csv file, every tenth example of which is held out for validation',
    },
    method: { kind: 'string', help: 'fine-tuning method, see `peftlab methods`', default: 'lora' },
    combine: { kind: 'list', help: 'another method trained jointly: METHOD or METHOD:option=value,…; may be repeated' },
    steps: { kind: 'int', help: 'optimiser steps' },
    'batch-size': { kind: 'int', help: 'sequences per step' },
    lr: { kind: 'number', help: 'learning rate' },
    schedule: { kind: 'string', help: 'constant, linear or cosine' },
    'warmup-steps': { kind: 'int', help: 'steps of linear warm-up' },
    'weight-decay': { kind: 'number', help: 'decoupled weight decay' },
    'max-grad-norm': { kind: 'number', help: 'clip the gradient norm, 0: off' },
    'gradient-accumulation-steps': { kind: 'int', help: 'micro-batches per step' },
    shards: { kind: 'int', help: 'parts of a step that workers can share' },
    seed: { kind: 'int', help: 'of initialisation, data order and dropout', default: 1 },
    workers: { kind: 'int', help: 'engines that share each step; the result does not depend on it', default: 1, min: 1, max: 64 },
    'eval-every': { kind: 'int', help: 'steps between validations', default: 0, min: 0 },
    'max-length': { kind: 'int', help: 'tokens per example, 0: what the context holds', default: 0, min: 0, max: 1e9 },
    snapshot: { kind: 'string', help: 'write a snapshot to this file while training' },
    'snapshot-every': { kind: 'int', help: 'steps between snapshots', default: 20, min: 1 },
    resume: { kind: 'string', help: "go on from this snapshot file; options of the run, where given again, must be the run's" },
    until: { kind: 'int', help: 'stop at this step (with --snapshot: to go on later)', min: 1 },
    out: { kind: 'string', help: 'folder for the trained adapter (full: the model)' },
    'no-metrics': { kind: 'bool', help: 'skip the task metric at the end' },
});
/** CLI option -> engine option, where the task's preset gives the default. */
const ENGINE = ['steps', 'batch-size', 'lr', 'schedule', 'warmup-steps', 'weight-decay', 'max-grad-norm', 'gradient-accumulation-steps', 'shards'];

/** @param {Record<string, any>} training the engine's own defaults @returns {import('../args.mjs').Spec} RUN, whose help names them */
const withDefaults = (training) => Object.fromEntries(Object.entries(RUN).map(([name, option]) => [
    name,
    ENGINE.includes(name) ? { ...option, help: `${option.help} (default: the task's preset, else ${training[snake(name)]})` } : option,
]));

export async function help() {
    const description = await (await openCalculator()).describeStatic();
    return helpText('train', SUMMARY, { ...withDefaults(description.training), ...methodSpec(description) });
}

/**
 * The preset of (task, method), overridden by what the user says.
 * @param {import('../../engine/tasks.js').Task} task @param {Record<string, any>} values @param {Record<string, any>} own method options given
 */
function settle(task, values, own) {
    const { method: _, options = {}, ...preset } = task.presets.find((p) => p.method === values.method) ?? { method: '' };
    const given = Object.fromEntries(ENGINE.filter((name) => values[name] !== undefined).map((name) => [snake(name), values[name]]));
    return { options: { ...options, ...own }, engine: { ...fitPreset(preset, values.steps), ...given, seed: values.seed } };
}

/** One line on what is learned from. @param {Omit<import('../../engine/examples.js').SplitReport, 'skipped'>} data */
function dataLine(data) {
    const n = (/** @type {number} */ value, /** @type {string} */ what) =>
        `${value.toLocaleString('en-US')} ${what}${value === 1 ? '' : 's'}`;
    return [
        `data: ${n(data.examples, 'example')}`,
        `${n(data.tokens, 'token')}, the loss is on ${data.labelled_tokens.toLocaleString('en-US')}`,
        `longest ${data.longest}`,
        data.truncated > 0 && `${data.truncated.toLocaleString('en-US')} cut at the context's length`,
        data.windows > 0 && `long texts read in ${n(data.windows, 'window')}`,
        data.duplicates > 0 && n(data.duplicates, 'duplicate')].filter(Boolean).join('; ');
}

/** @param {string[]} argv */
export async function run(argv) {
    const calculator = await openCalculator();
    const methods = methodSpec(await calculator.describeStatic());
    const { values, given } = parse(argv, { ...RUN, ...methods });
    const task = await findTask(values.task);
    if (values.until !== undefined && !values.snapshot) throw usage('--until needs --snapshot FILE, or the work would be lost');
    if (values.out) await prepareFolder(values.out, await adapterFolders(values.adapter));
    if (values.snapshot) await prepareFile(values.snapshot);
    if (values.resume && !(await isFile(values.resume))) throw usage(`there is no snapshot file ${values.resume}`);
    const own = methodOptions(values, methods);
    const session = await openSession(values);
    for (const { id } of (await session.describe()).modules) await session.setModule(id, { trainable: false });
    if (!values.resume) await addModules(session, values, methods, settle(task, values, own).options);
    if (!task.splits.train) throw usage(`${task.name} has no part to train on`);
    const { skipped: _, ...data } = (await loadSplits(session, task, values['max-length'])).train;
    if (values.resume) await resumeRun(session, { values, given, runOptions: ENGINE, methods, own });
    const engine = values.resume ? runSettings((await session.describe()).run) : settle(task, values, own).engine;
    const say = reporter(values, ...(await heading(session, data, engine)));

    const result = await trainWithReports(session, values, engine, say);
    if (result.interrupted) {
        const next = values.snapshot
            ? `; go on with --resume ${values.snapshot}`
            : ', and nothing was written (with --snapshot FILE a run can go on later)';
        throw new PeftLabError('aborted', `stopped at step ${result.step}${next}.`);
    }
    if (values.out && result.done) await writeTrained(session, values);
    const warning = result.done ? divergence(result.losses, values.resume, (await session.describe()).model.vocab_size) : '';
    const metrics = result.done ? await measure(session, task, { generate: !values['no-metrics'] }) : {};
    say(
        {
            done: result.done,
            step: result.step,
            seconds: result.ms / 1000,
            tokens_per_s: (result.tokens / result.ms) * 1000,
            metrics,
            ...(values.out && result.done && { adapter: values.out }),
            ...(warning && { warning }),
        },
        result.done
            ? `done in ${(result.ms / 1000).toFixed(1)} s\n${summary(metrics)}${values.out ? `\nwritten to ${values.out}` : ''}`
            : `stopped at step ${result.step}`,
    );
    if (warning) warn(warning);
    session.close();
}

/**
 * @param {import('../../engine/session.js').Session} session @param {Record<string, any>} values
 * @param {import('../args.mjs').Spec} methods @param {Record<string, any>} options
 */
async function addModules(session, values, methods, options) {
    await session.addModule(values.method, options, { seed: values.seed, name: values.method });
    for (const text of values.combine ?? []) {
        const { method, options: more } = parseCombine(text, methods);
        await session.addModule(method, more, { seed: values.seed, name: method });
    }
}

/** The settings of a restored run, as they are given to a new one. @param {Record<string, any>} run @returns {Record<string, any>} */
const runSettings = (run) => ({ ...Object.fromEntries([...ENGINE, 'seed'].map(snake).map((name) => [name, run[name]])), resumed_at: run.step });

/**
 * What is trained and how, for programs and for people.
 * @param {import('../../engine/session.js').Session} session
 * @param {Omit<import('../../engine/examples.js').SplitReport, 'skipped'>} data @param {Record<string, any>} engine
 * @returns {Promise<[object, string]>}
 */
async function heading(session, data, engine) {
    const { counts: { trainable, total, percent }, modules } = await session.describe();
    const { options } = modules.find((/** @type {any} */ m) => m.active && m.trainable);
    const start = engine.resumed_at === undefined ? '' : `going on at step ${engine.resumed_at} of ${engine.steps}\n`;
    return [
        { trainable, total, percent, data, options, ...engine },
        `${dataLine(data)}\n${start}training ${trainable.toLocaleString('en-US')} of ${total.toLocaleString('en-US')} ` +
            `numbers (${percent.toPrecision(3)} %)`,
    ];
}

/**
 * What was trained, and a word where it is not all that it takes.
 * @param {import('../../engine/session.js').Session} session @param {Record<string, any>} values
 */
async function writeTrained(session, values) {
    await exportTrained(session, values.out);
    const { modules } = await session.describe();
    const frozen = modules.some((/** @type {any} */ m) => !m.trainable);
    if (frozen)
        warn(
            `${values.out} holds only what was trained now, on top of the ` +
                `frozen ${(values.adapter ?? ['adapters of the run']).join(' and ')}: give both when it is used`,
        );
}

/**
 * A run can end with finite numbers that are worse than none.
 * @param {number[]} losses of this call's steps @param {string | undefined} resumed the run began elsewhere
 * @param {number} vocab @returns {string} what is wrong with it; empty: nothing
 */
function divergence(losses, resumed, vocab) {
    if (losses.length < 2) return '';
    const span = Math.max(1, Math.min(10, Math.floor(losses.length / 10))); // single batches differ
    const mean = (/** @type {number[]} */ part) => part.reduce((sum, loss) => sum + loss, 0) / part.length;
    const [first, last] = [mean(losses.slice(0, span)), mean(losses.slice(-span))];
    const worse =
        last > Math.log(vocab)
            ? `above ${Math.log(vocab).toFixed(3)}, which guessing all ${vocab.toLocaleString('en-US')} tokens alike would give`
            : !resumed && last > first
              ? `above the first, ${first.toFixed(3)}`
              : '';
    return worse && `the last training loss, ${last.toFixed(3)}, is ${worse}: the run diverged or was too short; try a lower --lr, or more --steps`;
}

/**
 * Lines on stdout, the heading before the first of them: a request that fails prints nothing there.
 * @param {Record<string, any>} values @param {object} head @param {string} title @returns {(line?: object, text?: string) => void}
 */
function reporter(values, head, title) {
    let begun = false;
    const print = (/** @type {object} */ line, /** @type {string} */ text) =>
        process.stdout.write(values.json ? `${JSON.stringify(line)}\n` : text ? `${text}\n` : '');
    return (line, text = '') => {
        if (!begun) print(head, title);
        begun = true;
        if (line) print(line, text);
    };
}

/** @param {any} metrics */
function summary(metrics) {
    return Object.entries(metrics)
        .map(([name, value]) => `${name}: ${typeof value === 'number' ? value.toPrecision(4) : JSON.stringify(value)}`)
        .join('\n');
}

/**
 * @param {import('../../engine/session.js').Session} session @param {Record<string, any>} values @param {Record<string, any>} engine
 * @param {(line?: object, text?: string) => void} say
 * @returns {Promise<{step: number, done: boolean, ms: number, tokens: number, losses: number[], interrupted?: boolean}>}
 */
async function trainWithReports(session, values, engine, say) {
    const stop = new AbortController();
    let unwritten = /** @type {unknown} */ (null);
    let last = /** @type {any} */ (null);
    let shown = true; // the last report has its line, or gets none
    /** @type {number[]} */
    const losses = [];
    const every = Math.max(1, Math.floor((engine.steps ?? 100) / 20));
    const flush = () => {
        if (shown) return;
        const validation = last.val_loss === undefined ? '' : `  validation ${last.val_loss.toFixed(4)}`;
        say(last, `step ${String(last.step).padStart(5)}  loss ${last.loss.toFixed(4)}${validation}`);
        shown = true;
    };
    const options = {
        eval_every: values['eval-every'], until: values.until, ...(values.snapshot && { snapshot_every: values['snapshot-every'] }),
        signal: stop.signal,
        onStep: (/** @type {any} */ report) => {
            say();
            flush();
            last = {
                step: report.step,
                loss: report.loss,
                lr: report.lr,
                grad_norm: report.grad_norm,
                tokens_per_s: (report.tokens / Math.max(1e-3, report.ms)) * 1000,
            };
            losses.push(report.loss);
            shown = !values.json && report.step % every !== 0 && report.step !== (engine.steps ?? 100);
        },
        onValidation: (/** @type {any} */ report) => {
            last = { ...last, val_loss: report.loss, val_bits_per_byte: report.bits_per_byte };
            shown = false;
        },
        onSnapshot: (/** @type {any} */ { bytes }) => {
            pending = pending.then(() => writeSafely(values.snapshot, bytes)).catch((error) => {
                unwritten ??= error;
                stop.abort();
            });
        },
    };
    let pending = Promise.resolve();
    const result = await interruptible(
        stop,
        () => (values.resume
            ? session.resume(options)
            : session.train({ ...engine, ...options, workers: values.workers, onFewerWorkers: warnOfFewer })),
        async () => (await session.describe()).run?.step ?? 0,
    );
    flush();
    await pending;
    if (unwritten) throw unwritten;
    if (values.snapshot && !result.done) await writeSafely(values.snapshot, await session.snapshot());
    return { ...result, losses };
}

/**
 * Ctrl-C ends the step in progress and no more, so that the run can be saved; a second one ends the process.
 * @param {AbortController} stop @param {() => Promise<any>} work @param {() => Promise<number>} step steps done
 */
async function interruptible(stop, work, step) {
    const abort = () => stop.abort();
    process.once('SIGINT', abort).once('SIGTERM', abort);
    try {
        return await work();
    } catch (error) {
        if (/** @type {any} */ (error).code !== 'aborted') throw error;
        return { step: await step(), done: false, ms: 0, tokens: 0, interrupted: true };
    } finally {
        process.off('SIGINT', abort).off('SIGTERM', abort);
    }
}
