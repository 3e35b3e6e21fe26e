/**
 * Lessons: JSON files that the player (elements/lesson-player.js) and the Node test run in the same way. Free of DOM
 * and of code in the lesson: conditions are [path, operator, value] over facts(lab), actions are names from ACTIONS.
 *
 *   {id, title, about, minutes, steps: [{
 *      text,                                   plain text, or {en: …, de: …}
 *      focus: 'train',                         part of the page to show (see FOCUS in the player)
 *      set: {method: 'prompt', options: {…}},  settings as in a permalink, applied when the step begins; with a method,
 *                                              what is not named is the preset's
 *      do: 'train' | ['mix', …],               what the step's button does
 *      wait: {event: 'run', cond: [['run.status', '=', 'done']]},
 *      show: ['run.validation.last'],          facts printed with their badge
 *      check: {question, choices: [text | {text, is: cond}], answer: 1, proof: cond, right, wrong}
 *           | {question, answer: {path: 'counts.trainable'}, right, wrong}
 *   }]}
 */
import { PeftLabError } from '../engine/errors.js';

/** @typedef {[string, string, any]} Condition path, operator, value or {path, times} */
/** @typedef {{question: any, choices?: any[], answer?: any, proof?: Condition[], right?: any, wrong?: any}} Check */
/**
 * @typedef {{text: any, focus?: string, set?: Record<string, any>, do?: string, wait?: {event: string,
 *   cond: Condition[]}, show?: string[], check?: Check}} Step
 */
/** @typedef {{id: string, title: any, about?: any, minutes?: number, steps: Step[]}} Lesson */

const LIMITS = Object.freeze({ steps: 40, text: 2000, choices: 8 });
const OPERATORS = /** @type {Record<string, (a: any, b: any) => boolean>} */ (Object.freeze({
    '=': (a, b) => a === b, '!=': (a, b) => a !== b, '<': (a, b) => a < b, '<=': (a, b) => a <= b, '>': (a, b) => a > b, '>=': (a, b) => a >= b,
}));

/** @param {import('./runs.js').Run | null | undefined} run */
function runFacts(run) {
    if (!run) return null;
    const held = run.validations.map((at) => at.loss);
    const losses = run.losses.map((at) => at.loss);
    const best = held.length ? Math.min(...held) : null;
    return {
        method: run.method, task: run.task, status: run.status, step: run.losses.at(-1)?.step ?? 0,
        steps: run.train.steps, trainable: run.trainable, rank: run.options.rank ?? null,
        share: run.trainable / run.total, base: run.base_loss, score: run.score, training: losses.at(-1) ?? null,
        validation: { first: held[0] ?? null, last: held.at(-1) ?? null, best, rise: best ? /** @type {number} */ (held.at(-1)) / best : null },
        gap: held.length && losses.length ? /** @type {number} */ (held.at(-1)) - /** @type {number} */ (losses.at(-1)) : null,
        gain: run.base_loss !== null && held.length ? run.base_loss - /** @type {number} */ (held.at(-1)) : null,
        changed: run.sample.after !== '' && run.sample.after !== run.sample.before,
    };
}

/** What conditions can ask about. @param {import('./lab.js').Lab & {lesson_facts?: any}} lab */
export function facts(lab) {
    const finished = lab.runs.filter((run) => run.status === 'done' || run.status === 'stopped');
    const [module] = lab.description?.modules ?? [];
    const ranked = finished // losses of different tasks or models say nothing about each other
        .filter((run) => run.validations.length && run.task === lab.state.task && run.model === lab.state.model)
        .sort((a, b) => /** @type {any} */ (a.validations.at(-1)).loss - /** @type {any} */ (b.validations.at(-1)).loss);
    return {
        status: lab.status, method: lab.state.method, task: lab.state.task, model: lab.state.model,
        panel: lab.state.panel, counts: lab.description?.counts ?? null,
        options: module?.options ?? {},
        module: module && { method: module.method, can_merge: module.can_merge, virtual_tokens: module.virtual_tokens },
        modules: lab.description?.modules.length ?? 0, apart: !lab.merged,
        width: lab.description?.model?.hidden_size ?? lab.description?.model?.config?.hidden_size ?? null,
        run: runFacts(lab.run), previous: runFacts(finished.at(-2)), first: runFacts(finished[0]), best: runFacts(ranked[0]), runs: finished.length,
        methods: new Set(finished.map((run) => run.method)).size,
        merged: lab.merged && {
            difference: lab.merged.max_logit_difference, largest: lab.merged.max_logit,
            residual: lab.merged.residual_of_subtracting, before: lab.merged.before.median,
            after: lab.merged.after.median,
        },
        ...lab.lesson_facts,
    };
}

/** @param {any} from @param {string} path "run.validation.last" */
export const at = (from, path) =>
    path
        .split('.')
        .reduce(
            (value, key) => (value !== null && typeof value === 'object' && Object.hasOwn(value, key) ? value[key] : undefined),
            from,
        );

/** @param {any} known facts @param {Condition[] | undefined} conditions all must hold; none hold always */
export function holds(known, conditions) {
    return (conditions ?? []).every(([path, operator, value]) => {
        const left = at(known, path);
        const right = value && typeof value === 'object' ? Number(at(known, value.path)) * (value.times ?? 1) : value;
        return left !== undefined && left !== null && (OPERATORS[operator]?.(left, right) ?? false);
    });
}

/** @param {any} text plain, or by language @param {string} language */
export const say = (text, language = 'en') => (typeof text === 'string' ? text : String(text?.[language] ?? text?.en ?? ''));

/**
 * The right answer as things stand: an index, or a number.
 * @param {Check} check @param {any} known @returns {number} -1: none of the choices is right now
 */
export function rightAnswer(check, known) {
    if (!check.choices) return typeof check.answer === 'object' ? Number(at(known, check.answer.path)) : Number(check.answer);
    if (typeof check.answer === 'number') return check.answer;
    return check.choices.findIndex((choice) => typeof choice === 'object' && holds(known, choice.is));
}

/** @param {Check} check @param {any} known @param {number} given @returns {boolean} */
export function isRight(check, known, given) {
    const right = rightAnswer(check, known);
    return check.choices ? given === right : Math.abs(given - right) <= Math.abs(right) * 0.005;
}

/**
 * What a typed number may mean: in 1.234 and 1,234 the sign is before thousands or before a fraction, by who writes it.
 * @param {string} text a percent sign does no harm @returns {number[]}
 */
export function numbersOf(text) {
    const plain = text.replaceAll(/[\s'’%]/g, '').replace('−', '-');
    const grouped = plain.replaceAll(/[.,](?=\d{3}(\D|$))/g, '');
    return [grouped, plain].map((each) => (each ? Number(each.replace(',', '.')) : NaN)).filter(Number.isFinite);
}

// ---- settings ----

/**
 * What a step sets: beside a method, options and training that it does not name are those of the task's preset.
 * @param {Step} step @returns {Record<string, any> | null}
 */
export const settingsOf = ({ set }) => (set ? { lr: 0, batch_size: 0, ...(set.method && { options: {}, steps: 0 }), ...set } : null);

/**
 * Remembers the settings that a lesson changes, and the weights in the model.
 * @param {import('./lab.js').Lab} lab @param {Lesson} lesson
 * @returns {() => Promise<void>} puts them back; a training in progress is stopped and kept as a run
 */
export function keepSettings(lab, lesson) {
    const keys = new Set(lesson.steps.flatMap((step) => Object.keys(settingsOf(step) ?? {})).filter((key) => key in lab.state));
    const before = structuredClone(Object.fromEntries([...keys].map((key) => [key, lab.state[key]])));
    const { run } = lab;
    return async () => {
        const played = /** @type {any} */ (lab);
        played.lesson_stop?.abort();
        delete played.lesson_facts;
        if (Object.keys(before).every((key) => JSON.stringify(before[key]) === JSON.stringify(lab.state[key]))) return;
        if (lab.status === 'training') await lab.stop();
        await lab.during(null, async () => {});
        lab.set(before);
        await lab.during(null, async () => {}); // what set() began
        if (!run || run === lab.run || !lab.runs.includes(run)) return;
        await lab.load(run);
        Object.assign(lab.state, before); // load() spells the run's settings out: the same, but no longer as they were given
        lab.emit('state', [...keys]);
    };
}

// ---- actions ----

/** @param {any} lab @param {Record<string, any>} facts_ remembered until the lesson ends */
const remember = (lab, facts_) => { lab.lesson_facts = { ...lab.lesson_facts, ...facts_ }; };

/** LoRA and prompt trained together in the model; leaving the lesson ends it. @param {any} lab */
async function joint(lab) {
    await lab.ready();
    const { train_options: train, state } = lab;
    const { signal } = (lab.lesson_stop = new AbortController());
    const onStep = (/** @type {{step: number}} */ { step }) => {
        remember(lab, { progress: { step, steps: train.steps } });
        lab.emit('lesson');
    };
    await lab.during('busy', async () => {
        const { session } = lab;
        await session.clear();
        const lora = await session.addModule('lora', { rank: 8, alpha: 16 }, { name: 'lora', seed: state.seed });
        const prompt = await session.addModule('prompt', { num_virtual_tokens: 20 }, { name: 'prompt', seed: state.seed });
        const before = await session.evaluate({ split: 'validation' });
        await session.train({ ...train, workers: 1, signal, onStep }).finally(() => remember(lab, { progress: null }));
        const after = await session.evaluate({ split: 'validation' });
        lab.run = null;
        const { counts } = await lab.describe();
        remember(lab, { joint: { lora: lora.parameters, prompt: prompt.parameters, sum: counts.trainable, before: before.loss, after: after.loss } });
    });
    lab.emit('lesson');
}

/** The last LoRA and the last one of another task, half of each: the exact sum, and peft's "linear". @param {any} lab */
async function mix(lab) {
    const all = lab.runs.filter((/** @type {any} */ run) => run.method === 'lora' && run.adapter && run.model === lab.state.model);
    const last = all.at(-1);
    const trained = [all.findLast((/** @type {any} */ run) => run.task !== last.task) ?? all.at(-2), last];
    if (all.length < 2) throw new PeftLabError('state', 'Mixing needs two trained LoRAs.', { hint: 'Train the two steps before.' });
    await lab.work(async (/** @type {any} */ session) => {
        await session.clear();
        const ids = [];
        for (const run of trained) ids.push((await session.importAdapter(run.adapter)).module.id);
        const modules = ids.map((id) => ({ id, weight: 0.5 }));
        const linear = await session.mix({ type: 'linear', name: 'linear', modules });
        const exact = await session.mix({ type: 'cat', name: 'mix', modules });
        for (const id of [...ids, linear.module.id]) await session.removeModule(id);
        lab.run = null;
        await lab.describe();
        remember(lab, { mix: { rank: exact.rank, exact_error: exact.relative_error, linear_error: linear.relative_error } });
    });
    lab.emit('lesson');
}

/** Singular values of the first trained change. @param {any} lab */
async function inspect(lab) {
    const module = lab.description?.modules[0];
    const tensor = module?.tensors[0];
    if (!tensor) throw new PeftLabError('state', 'There is nothing trained to look at.', { hint: 'Train first.' });
    const site = lab.engine.sites[tensor.site] ?? tensor.site;
    const spectrum = await lab.work((/** @type {any} */ session) => session.spectrum(module.id, tensor.layer, site));
    const [largest] = spectrum.singular_values;
    remember(lab, {
        spectrum: {
            directions: spectrum.singular_values.filter((/** @type {number} */ s) => s > largest * 1e-5).length,
            possible: Math.min(spectrum.rows, spectrum.cols),
            effective: spectrum.effective_rank,
            relative: spectrum.relative,
        },
    });
    lab.emit('lesson');
}

/** @type {Readonly<Record<string, (lab: any) => Promise<any>>>} */
export const ACTIONS = Object.freeze({
    train: async (lab) => { await lab.ready(); return lab.train(); },
    merge: (lab) => lab.merge(), unmerge: (lab) => lab.unmerge(), score: (lab) => lab.score(), joint, mix, inspect,
});

// ---- reading ----

/** @param {any} conditions */
const goodConditions = (conditions) =>
    conditions === undefined ||
    (Array.isArray(conditions) &&
        conditions.every(
            (c) => Array.isArray(c) && c.length === 3 && typeof c[0] === 'string' && Object.hasOwn(OPERATORS, c[1]),
        ));

/** What is wrong with a step, or ''. @param {any} step @returns {string} */
function stepProblem(step) {
    const text = (/** @type {any} */ value) => { const s = say(value); return s.length > 0 && s.length <= LIMITS.text; };
    if (!text(step?.text)) return `needs a "text" of at most ${LIMITS.text} characters`;
    if (step.do !== undefined && !Object.hasOwn(ACTIONS, step.do)) return `"do" is one of ${Object.keys(ACTIONS).join(', ')}`;
    if (step.set !== undefined && (typeof step.set !== 'object' || step.set === null)) return '"set" is an object of settings';
    if (!goodConditions(step.wait?.cond)) return '"wait.cond" is a list of [path, operator, value]';
    if (
        step.show !== undefined &&
        !(Array.isArray(step.show) && step.show.every((/** @type {any} */ path) => typeof path === 'string'))
    )
        return '"show" is a list of paths';
    const { check } = step;
    if (!check) return '';
    if (!text(check.question)) return '"check" needs a "question"';
    if (!goodConditions(check.proof)) return '"check.proof" is a list of [path, operator, value]';
    if (!check.choices)
        return typeof check.answer === 'number' || typeof check.answer?.path === 'string'
            ? ''
            : '"check" needs "choices" or a number as "answer"';
    if (!Array.isArray(check.choices) || check.choices.length < 2 || check.choices.length > LIMITS.choices)
        return `"choices" has 2 to ${LIMITS.choices} entries`;
    const computed = check.choices.every((/** @type {any} */ c) => typeof c === 'object' && goodConditions(c.is) && c.is);
    return computed || (Number.isInteger(check.answer) && check.answer >= 0 && check.answer < check.choices.length)
        ? ''
        : '"answer" is the index of a choice, or every choice has a condition "is"';
}

/** @param {any} raw untrusted @returns {Lesson} */
export function readLesson(raw) {
    const bad = (/** @type {string} */ why) => {
        throw new PeftLabError('format', `This lesson cannot be used: ${why}.`, {
            hint: 'The form of lessons is described in web/lib/lessons.js.',
        });
    };
    if (!raw || typeof raw !== 'object' || !/^[a-z0-9][a-z0-9-]{0,63}$/.test(raw.id ?? ''))
        bad('it needs an "id" of small letters, digits and hyphens');
    if (!say(raw.title) || say(raw.title).length > 200) bad('it needs a "title"');
    if (!Array.isArray(raw.steps) || raw.steps.length < 1 || raw.steps.length > LIMITS.steps) bad(`it needs 1 to ${LIMITS.steps} steps`);
    raw.steps.forEach((/** @type {any} */ step, /** @type {number} */ i) => { const why = stepProblem(step); if (why) bad(`step ${i + 1} ${why}`); });
    return raw;
}
