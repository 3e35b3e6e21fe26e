/**
 * Distilling a trained module that cannot be merged into a LoRA that can. The teacher draws answers to the training prompts from
 * its own probabilities (temperature 1), the LoRA learns that text, and both are compared on held-out prompts. Learning samples
 * lowers KL(teacher ‖ LoRA) on average; the likeliest answers alone would make the LoRA surer than its teacher. DOM-free.
 */
import { evaluateTask, PeftLabError } from '../engine/index.js';
import { trainFresh } from './aside.js';

/** @typedef {import('./lab.js').Lab} Lab */
/**
 * @typedef {{loss: number | null, score: number | null, kl: number | null, agree: number | null}} Closeness kl: nats
 *   per token from the teacher; agree: share of next tokens that are the teacher's
 */

const PROMPTS = 96;
const HELD = 12;
const SCORED = 16;

/**
 * What the teacher is asked: prompts of a split; for plain text its first words.
 * @param {import('../engine/tasks.js').Task} task @param {string} split @param {number} limit
 */
const questions = (task, split, limit) =>
    (task.splits[split] ?? [])
        .slice(0, limit)
        .map((example) => example.prompt ?? String(example.text).split(' ').slice(0, 4).join(' '));

/** @param {Float32Array} row @returns {Float64Array} log-probabilities */
function logSoftmax(row) {
    let max = -Infinity;
    for (const v of row) max = Math.max(max, v);
    let sum = 0;
    for (const v of row) sum += Math.exp(v - max);
    const shift = max + Math.log(sum);
    return Float64Array.from(row, (v) => v - shift);
}

/**
 * Mean KL(teacher ‖ other) and agreement of the likeliest token, over the given positions.
 * @param {Float32Array} teacher @param {Float32Array} other @param {number} width @param {number} from
 */
function compareLogits(teacher, other, width, from) {
    let kl = 0;
    let agree = 0;
    const rows = teacher.length / width;
    for (let at = from; at < rows; at++) {
        const p = logSoftmax(teacher.subarray(at * width, (at + 1) * width));
        const q = logSoftmax(other.subarray(at * width, (at + 1) * width));
        let bestP = 0;
        let bestQ = 0;
        for (let i = 0; i < width; i++) {
            kl += Math.exp(p[i]) * (p[i] - q[i]);
            if (p[i] > p[bestP]) bestP = i;
            if (q[i] > q[bestQ]) bestQ = i;
        }
        agree += Number(bestP === bestQ);
    }
    return { kl, agree, n: rows - from };
}

/**
 * @param {Lab} own a lab aside @param {Record<string, Uint8Array>} adapter the teacher's files
 * @param {{rank: number, steps: number, seed: number, signal?: AbortSignal, tick?: (done: number,
 *   label: 'writing' | 'training' | 'comparing') => void}} how
 * @returns {Promise<{adapter: Record<string, Uint8Array>, module: any, losses: {step: number, loss: number}[],
 *   seconds: number, examples: number, train: any, teacher: Closeness, student: Closeness, base: Closeness}>}
 */
export async function distil(own, adapter, { rank, steps, seed, signal, tick }) {
    const { session, task } = own;
    if (!session || !task) throw new PeftLabError('state', 'No model is loaded.');
    const stop = () => {
        if (signal?.aborted) throw PeftLabError.aborted();
    };
    await session.clear();
    await session.importAdapter(adapter);
    const generation = { ...task.generation, temperature: 1 };
    const written = [];
    const asked = questions(task, 'train', PROMPTS);
    for (const [i, prompt] of asked.entries()) {
        const { text } = await session.generate({ prompt, ...generation, seed: seed + i, signal });
        if (text.trim()) written.push({ prompt, completion: text, line: written.length + 1 });
        tick?.(i + 1, 'writing');
    }
    if (written.length === 0)
        throw new PeftLabError(
            'state',
            'The trained model answers every prompt with nothing, so there is no text to learn from.',
        );
    /** @type {{text: string, from: number, teacher: Float32Array}[]} */
    const held = [];
    for (const prompt of questions(task, 'validation', HELD)) {
        const { text, prompt_tokens: from } = await session.generate({ prompt, ...generation, seed, signal });
        held.push({ text: prompt + text, from: Math.max(0, from - 1), teacher: (await session.logits({ text: prompt + text })).logits });
    }
    const width = (await session.describe()).model.vocab_size;
    const measure = async () => {
        stop();
        const total = { kl: 0, agree: 0, n: 0 };
        for (const { text, from, teacher: logits } of held) {
            const part = compareLogits(logits, (await session.logits({ text })).logits, width, from);
            total.kl += part.kl;
            total.agree += part.agree;
            total.n += part.n;
        }
        const loss = task.splits.validation ? (await session.evaluate({ split: 'validation', signal })).loss : null;
        const scored = task.metric.id !== 'none' && task.items.validation?.some((item) => item.prompt !== undefined);
        const score = scored ? (await evaluateTask(session, task, { split: 'validation', limit: SCORED, signal })).score : null;
        return { loss, score, kl: total.n ? total.kl / total.n : null, agree: total.n ? total.agree / total.n : null };
    };
    const teacherIs = await measure();
    await session.clear();
    const baseIs = await measure();
    await session.setData('distil', written);
    const options = { rank, alpha: 2 * rank, target_modules: ['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj'] };
    const train = { steps, batch_size: 8, lr: 0.005, warmup_steps: Math.round(steps / 20), split: 'distil' };
    /** @type {{step: number, loss: number}[]} */
    const losses = [];
    const { modules: [module], seconds } = await trainFresh(own, [{ method: 'lora', options }], train, { seed, signal, onStep: ({ step, loss }) => {
        losses.push({ step, loss });
        tick?.(asked.length + step, 'training');
    } });
    tick?.(asked.length + steps, 'comparing');
    const studentIs = await measure();
    return {
        adapter: await session.exportAdapter(module.id), module, losses, seconds, examples: written.length, train,
        teacher: teacherIs, student: studentIs, base: baseIs,
    };
}

/** Steps of progress that distil() reports. @param {import('../engine/tasks.js').Task | null} task @param {number} steps */
export const distilWork = (task, steps) => Math.min(PROMPTS, task?.splits.train?.length ?? 0) + steps + 5;
