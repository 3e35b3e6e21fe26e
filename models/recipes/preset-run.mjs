/**
 * One preset trained and measured, and several of them side by side in processes of their own. Used by presets.mjs (search and tables),
 * by `./build.sh bench --tasks` and by the tests, so that all three measure the same way.
 */
import { fork } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';
import { PeftLab, evaluateTask, loadTask } from '../../web/engine/index.js';
import { writeAdapter } from './adapters.mjs';

const JSON_JOB = '--preset-job';
const here = (/** @type {string} */ name) => fileURLToPath(new URL(name, import.meta.url));

/**
 * @typedef {object} Job
 * @property {string} model folder
 * @property {string} task name
 * @property {string} method "base": nothing is trained
 * @property {Record<string, any>} options of the method
 * @property {Record<string, any>} engine steps, batch_size, lr, warmup_steps, schedule
 * @property {number} seed of initial values, data order and dropout
 * @property {string} split what is measured after the training
 * @property {number} [limit] items generated for the score; all without it
 * @property {boolean} [keep] also write the trained adapter to models/adapters
 * @property {boolean} [loss_only] no text is generated, score is null
 */

/**
 * Trains and measures.
 * @param {Job} job
 * @returns {Promise<Record<string, any>>} loss in nats a token, score 0..1, wall and processor seconds of the training, …
 */
export async function runJob(job) {
    const { method, options, engine, seed, split } = job;
    const task = await loadTask(here(`../tasks/${job.task}`));
    const session = await PeftLab.load(job.model, { inThread: true });
    try {
        const trained = method === 'base' ? { id: 0, trainable: 0, seconds: 0, cpu: 0 } : await train(session, task, job);
        await session.setData(split, task.splits[split]);
        const { loss, bits_per_byte } = await session.evaluate({ split });
        const { score, outputs, items: _, ...more } = job.loss_only ? { score: null, outputs: [], items: [] }
            : await evaluateTask(session, task, { split, limit: job.limit });
        const { id, trainable, ...time } = trained;
        /** @type {Record<string, any>} */
        const row = {
            model: basename(job.model),
            task: job.task,
            method, options, ...engine, seed, split, trainable, score, loss, bits_per_byte, ...more, ...time,
            example: outputs[0],
        };
        if (task.files.forgetting) row.forgetting = await forgetting(session, task);
        if (job.keep) await writeAdapter(session, id, job.model, task, { method, options, ...engine }, /** @type {any} */ (row));
        return row;
    } finally {
        session.close();
    }
}

/** @param {any} session @param {any} task @param {Job} job */
async function train(session, task, { method, options, engine, seed }) {
    const { id } = await session.addModule(method, options, { seed, name: task.name });
    await session.setData('train', task.splits.train);
    const { trainable } = await session.count();
    const [wall, before] = [performance.now(), process.cpuUsage()];
    await session.train({ ...engine, seed });
    const used = process.cpuUsage(before);
    return { id, trainable, seconds: (performance.now() - wall) / 1000, cpu: (used.user + used.system) / 1e6 };
}

/** Loss on ordinary stories after the training. */
async function forgetting(/** @type {any} */ session, /** @type {any} */ task) {
    const lines = readFileSync(here(`../tasks/${task.name}/${task.files.forgetting}`), 'utf8').trim().split('\n');
    await session.setData('forgetting', lines.map((line, i) => ({ ...JSON.parse(line), line: i + 1 })));
    return (await session.evaluate({ split: 'forgetting' })).loss;
}

/**
 * Runs jobs, at most `atOnce` at a time, each in a process of its own (so that processor time is its own, too).
 * @param {Job[]} jobs
 * @param {number} atOnce
 * @param {(row: Record<string, any>, job: Job) => void} done called as each ends, in the order in which they end
 */
export async function runJobs(jobs, atOnce, done) {
    const queue = [...jobs];
    const next = async () => {
        for (let job = queue.shift(); job; job = queue.shift()) done(await inProcess(job), job);
    };
    await Promise.all(Array.from({ length: Math.min(atOnce, jobs.length) }, next));
}

/** @param {Job} job @returns {Promise<Record<string, any>>} */
function inProcess(job) {
    return new Promise((resolve, reject) => {
        const child = fork(fileURLToPath(import.meta.url), [JSON_JOB, JSON.stringify(job)]);
        /** @type {any} */
        let row = null;
        child.once('message', (message) => { row = message; });
        child.once('error', reject);
        child.once('exit', (code) => (row ? resolve(row) : reject(new Error(`${job.task} ${job.method}: the run ended with code ${code}`))));
    });
}

if (process.argv[2] === JSON_JOB) process.send?.(await runJob(JSON.parse(process.argv[3])));
