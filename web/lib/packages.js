/**
 * What a lab gives away and takes back as files: adapter folders (PEFT, AdapterHub), merged models, sessions; each one
 * zip. Everything read here is untrusted.
 */
import { strFromU8, strToU8, unzipSync, zipSync } from 'fflate';
import { PeftLabError } from '../engine/errors.js';
import { makeRun } from './runs.js';
import { read } from './store.js';

/** @typedef {import('./lab.js').Lab} Lab */
/** @typedef {import('./runs.js').Run} Run */

const LARGEST = 512 * 1024 * 1024;
const MOST_RUNS = 100;
const ADAPTER_FILES = ['adapter_config.json', 'adapter_model.safetensors', 'adapter.safetensors'];
/** Of a full fine-tuning, in a session file. */
const WEIGHTS = 'weights.safetensors';
const SESSION = 'peftlab-session';
const VERSION = 1;

/** A date of its own would make the same content another file. @param {Record<string, any>} tree */
export const zip = (tree) => zipSync(tree, { level: 6, mtime: new Date('2000-01-01T00:00:00') });

/**
 * @param {Uint8Array} bytes @param {(name: string) => boolean} wanted @param {number} [largest] bytes when unpacked
 * @returns {Record<string, Uint8Array>} by path
 */
export function unzip(bytes, wanted, largest = LARGEST) {
    let sum = 0;
    try {
        return unzipSync(bytes, {
            filter: ({ name, originalSize }) => {
                if (!wanted(name)) return false;
                sum += originalSize;
                if (sum > largest)
                    throw new PeftLabError('range', `The zip unpacks to more than ${largest / 1024 / 1024} MB.`, {
                        hint: 'Nothing was loaded.',
                    });
                return true;
            },
        });
    } catch (thrown) {
        if (thrown instanceof PeftLabError) throw thrown;
        throw new PeftLabError('format', `This is no zip file that can be read (${/** @type {Error} */ (thrown).message}).`, {
            hint: 'Nothing was changed.',
        });
    }
}

const README = (/** @type {string} */ name, /** @type {string} */ base) => `# ${name}

Trained with peftlab on the small model "${base}".

    import torch
    from transformers import AutoModelForCausalLM
    from peft import PeftModel
    model = AutoModelForCausalLM.from_pretrained("${base}")   # the folder exported as "model"
    model = PeftModel.from_pretrained(model, ".")             # this folder

A folder with adapter.safetensors (without _model) is AdapterHub's: adapters.init(model); model.load_adapter(".").
`;

/** Names become folders. @param {string} name */
export const fileName = (name) => name.replace(/[^A-Za-z0-9._-]+/g, '-').replace(/^[-.]+/, '').slice(0, 60) || 'adapter';

/**
 * Every active module: one folder's files at the top, several as sub-folders with a list.
 * @param {Lab} lab @returns {Promise<Record<string, any>>}
 */
export function adapterFiles(lab) {
    return lab.work(async (session) => {
        const { modules } = await session.describe();
        const mine = modules.filter((/** @type {any} */ m) => m.active && m.method !== 'full');
        if (!mine.length)
            throw new PeftLabError('state', 'There is no adapter in the model.', {
                hint: 'Full fine-tuning has none: export the model instead.',
            });
        const readme = strToU8(README(lab.task?.title ?? lab.state.task, lab.state.model));
        if (mine.length === 1) return { ...await session.exportAdapter(mine[0].id), 'README.md': readme };
        const list = mine.map((/** @type {any} */ m, /** @type {number} */ i) => ({ folder: `${i + 1}-${fileName(m.name)}`, method: m.method }));
        /** @type {Record<string, any>} */
        const tree = { 'README.md': readme, 'peftlab.json': strToU8(JSON.stringify({ v: 1, modules: list }, null, 2)) };
        for (const [i, m] of mine.entries()) tree[`${i + 1}-${fileName(m.name)}`] = await session.exportAdapter(m.id);
        return tree;
    });
}

/**
 * Adapter folders among files: each folder with an adapter_config.json is one.
 * @param {{name: string, bytes: Uint8Array}[]} files a zip, or the files of one folder @returns {Record<string, Uint8Array>[]}
 */
export function adapterFolders(files) {
    const base = (/** @type {string} */ path) => path.split('/').at(-1) ?? '';
    /** @type {[string, Uint8Array][]} */
    const all = files.flatMap(({ name, bytes }) =>
        /\.zip$/i.test(name) ? Object.entries(unzip(bytes, (path) => ADAPTER_FILES.includes(base(path)))) : [[name, bytes]],
    );
    /** @type {Map<string, Record<string, Uint8Array>>} */
    const folders = new Map();
    for (const [path, bytes] of all) {
        const folder = path.slice(0, -base(path).length);
        folders.set(folder, { ...folders.get(folder), [base(path)]: bytes });
    }
    const found = [...folders.entries()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, made]) => made).filter((made) => made['adapter_config.json']);
    if (!found.length)
        throw new PeftLabError('load', 'There is no adapter_config.json among these files.', {
            hint: 'Choose a zip, or adapter_config.json together with adapter_model.safetensors.',
        });
    return found.slice(0, 8);
}

/**
 * Nothing is merged and nothing active any more: the engine refuses to import beside what is merged, and what cannot run together.
 * @param {import('../engine/session.js').Session} session @param {import('../engine/session.js').ModuleInfo[]} modules
 * @returns {Promise<() => Promise<void>>} puts it back, to the same bits
 */
async function setAside(session, modules) {
    const merged = modules.filter((m) => m.merged).map(({ id }) => id);
    const active = modules.filter((m) => m.active);
    await session.unmerge();
    for (const { id } of active) await session.setModule(id, { active: false });
    return async () => {
        for (const { id } of active) await session.setModule(id, { active: true });
        if (merged.length) await session.merge(merged);
    };
}

/**
 * Puts adapter folders into the model in place of its modules. What was there stays when one does not fit.
 * @param {Lab} lab @param {Record<string, Uint8Array>[]} folders
 * @returns {Promise<{modules: any[], notes: string[]}>}
 */
export async function importAdapters(lab, folders) {
    const result = await lab.work(async (session) => {
        const { modules: before, run: open } = await session.describe();
        const back = open ? async () => {} : await setAside(session, before); // an open run refuses the import
        /** @type {any[]} */
        const made = [];
        /** @type {string[]} */
        const notes = [];
        try {
            for (const folder of folders) {
                const imported = await session.importAdapter(folder);
                made.push(imported.module);
                notes.push(...imported.notes ?? [], ...(imported.ignored?.length ? [`Not used: ${imported.ignored.join(', ')}.`] : []));
            }
        } catch (error) {
            for (const { id } of made) await session.removeModule(id);
            await back();
            throw error;
        }
        for (const { id } of before) await session.removeModule(id);
        const counts = (await lab.describe()).counts;
        const [first] = made;
        const sample = { ...lab.sample, after: await lab.generate(lab.sample.prompt) };
        const run = makeRun({
            id: Math.max(0, ...lab.runs.map((r) => r.id)) + 1,
            state: lab.state,
            module: first,
            counts,
            train: { steps: 0 },
            sample,
            base: lab.baseLosses.get(lab.baseKey) ?? null,
        });
        Object.assign(run, { status: 'done', sample, adapter: folders.length === 1 ? folders[0] : null });
        if (lab.task?.splits.validation) {
            const held = await session.evaluate({ split: 'validation' });
            run.validations.push({ step: 0, loss: held.loss, bits_per_byte: held.bits_per_byte });
        }
        Object.assign(lab, { run, sample, merged: null });
        lab.state.method = first.method;
        lab.state.options = first.options;
        return { modules: made, run, notes };
    });
    lab.adopt([result.run]);
    lab.emit('state', ['method', 'options']);
    lab.emit('run', result.run);
    lab.emit('sample', { when: 'after', text: lab.sample.after, step: 0 });
    return { modules: result.modules, notes: result.notes };
}

// ---- sessions ----

/** Settings, runs with their weights, an open run, and own data if they are the task. @param {Lab} lab @returns {Promise<Uint8Array>} */
export async function packSession(lab) {
    await lab.ready();
    const paused = lab.status === 'paused' && lab.run;
    const own =
        lab.state.task === 'own-data' && lab.task
            ? { title: lab.task.title, examples: [...lab.task.splits.train, ...(lab.task.splits.validation ?? [])] }
            : null;
    const runs = lab.runs.filter((run) => run === lab.run || run.status === 'done' || run.status === 'stopped').slice(-MOST_RUNS);
    const session = {
        format: SESSION,
        v: VERSION,
        state: lab.state,
        runs: runs.map(({ adapter: _, best: __, weights: ___, ...run }) => run),
        open: paused ? paused.id : null,
        own,
    };
    /** @type {Record<string, any>} */
    const tree = { 'session.json': strToU8(JSON.stringify(session)) };
    for (const run of runs) if (run.adapter) for (const [name, bytes] of Object.entries(run.adapter)) tree[`runs/${run.id}/${name}`] = bytes;
    for (const run of runs) {
        const weights = await lab.weights.of(run);
        if (weights) tree[`runs/${run.id}/${WEIGHTS}`] = weights;
    }
    if (paused) tree['open.safetensors'] = await lab.work((s) => s.snapshot()).finally(() => lab.setStatus('paused'));
    return zip(tree);
}

const number = (/** @type {unknown} */ value) => (typeof value === 'number' && Number.isFinite(value) ? value : 0);
const text = (/** @type {unknown} */ value, most = 4000) => (typeof value === 'string' ? value.slice(0, most) : '');
const plain = (/** @type {any} */ value) =>
    value && typeof value === 'object' && !Array.isArray(value) ? read({ options: value }).state.options : {};

/** @param {any} raw @param {Record<string, Uint8Array> | null} adapter @returns {Run} only what the page knows, in its types */
function readRun(raw, adapter) {
    const points = (/** @type {any} */ list) =>
        (Array.isArray(list) ? list.slice(0, 20_000) : []).map((at) => ({
            step: number(at?.step),
            loss: number(at?.loss),
            bits_per_byte: number(at?.bits_per_byte),
        }));
    const status = ['done', 'stopped', 'paused'].includes(raw?.status) ? raw.status : 'stopped';
    return {
        id: number(raw?.id), task: text(raw?.task, 64), model: text(raw?.model, 64), method: text(raw?.method, 64),
        options: plain(raw?.options), train: plain(raw?.train), seed: number(raw?.seed),
        trainable: number(raw?.trainable), total: number(raw?.total),
        base_loss: typeof raw?.base_loss === 'number' ? raw.base_loss : null, losses: points(raw?.losses),
        validations: points(raw?.validations),
        sample: { before: text(raw?.sample?.before), after: text(raw?.sample?.after), prompt: text(raw?.sample?.prompt) },
        seconds: number(raw?.seconds),
        score: typeof raw?.score === 'number' ? raw.score : null, status, adapter, ...(raw?.pinned === true && { pinned: true }),
        ...(raw?.back && { back: { run: number(raw.back.run), step: number(raw.back.step) } }),
        ...(raw?.mixture && { mixture: readMixture(raw.mixture) }),
    };
}

/** @param {any} raw */
const readMixture = ({ rule, parts }) => ({
    rule: text(rule, 64),
    parts: (Array.isArray(parts) ? parts.slice(0, 8) : []).map((part) => ({
        run: number(part?.run), name: text(part?.name, 64), weight: number(part?.weight),
    })),
});

/**
 * Brings a session file back. Runs that are already listed stay.
 * @param {Lab} lab @param {Uint8Array} bytes @returns {Promise<{runs: number, open: boolean}>}
 */
export async function unpackSession(lab, bytes) {
    const files = unzip(bytes, (name) => name === 'session.json' || name === 'open.safetensors' || /^runs\/\d+\/[a-z_.]+$/.test(name));
    let session;
    try {
        session = JSON.parse(strFromU8(files['session.json'] ?? new Uint8Array()));
    } catch {
        session = null;
    }
    if (session?.format !== SESSION)
        throw new PeftLabError('format', 'This is no session file of this page.', {
            hint: 'A session file is made with "Save the session". Nothing was changed.',
        });
    if (session.v !== VERSION)
        throw new PeftLabError(
            'unsupported',
            `The session file has version ${String(session.v).slice(0, 10)}; this page reads version ${VERSION}.`,
        );
    await lab.ready();
    const runs = (Array.isArray(session.runs) ? session.runs : []).slice(0, MOST_RUNS).map((/** @type {any} */ raw) => {
        const folder = `runs/${number(raw?.id)}/`;
        const own = Object.entries(files)
            .filter(([name]) => name.startsWith(folder) && name !== folder + WEIGHTS)
            .map(([name, content]) => [name.slice(folder.length), content]);
        return readRun(raw, own.length ? Object.fromEntries(own) : null);
    });
    const { panel: _, ...state } = session.state ?? {};
    const own = Array.isArray(session.own?.examples) && session.own.examples.length > 0 && session.state?.task === 'own-data';
    if (state.task === 'own-data') delete state.task;
    lab.set(state);
    if (own) await lab.useData(session.own.examples.slice(0, 200_000).map(readExample).filter(Boolean), text(session.own.title, 200));
    else await lab.during('busy', async () => {}); // what set() began comes first
    const { fresh, was } = newcomers(lab.runs, runs);
    lab.adopt(fresh);
    for (const run of fresh) {
        const bytes = files[`runs/${was.get(run)}/${WEIGHTS}`];
        if (bytes && bytes.length <= lab.weights.limit) lab.emit('weights', { run, bytes, gone: lab.weights.keep(run, bytes, lab.runs) });
    }
    const open = files['open.safetensors'] && fresh.find((run) => was.get(run) === session.open);
    const last = fresh.findLast((run) => run.adapter || run.weights);
    if (open) lab.recover({ run: open, bytes: files['open.safetensors'] }).catch(() => {}); // shown by the page
    else if (last && !own) await lab.load(last);
    return { runs: fresh.length, open: Boolean(open) };
}

/** What makes a run this one; its score, or a pin, may have come later. @param {Run} run */
const essence = ({ task, model, method, options, train, seed, losses, validations, back, mixture }) =>
    JSON.stringify([task, model, method, options, train, seed, losses, validations, Boolean(back),
        mixture && [mixture.rule, mixture.parts.map(({ weight }) => weight)]]);

/**
 * The runs that are not here yet, those whose number another run has here under a new one.
 * @param {Run[]} here @param {Run[]} runs of a file, or of the storage
 * @returns {{fresh: Run[], was: Map<Run, number>}} was: their numbers in the file
 */
export function newcomers(here, runs) {
    let next = Math.max(0, ...[...here, ...runs].map((run) => run.id)) + 1;
    const taken = new Set(here.map((run) => run.id));
    const left = here.map((run) => ({ id: run.id, is: essence(readRun(run, null)) })); // as a file would have it
    /** @type {Map<number, number>} */
    const now = new Map();
    const fresh = runs.filter((run) => {
        const at = left.findIndex(({ is }) => is === essence(readRun(run, null)));
        now.set(run.id, at >= 0 ? left[at].id : taken.has(run.id) ? next++ : run.id);
        return at < 0 || !left.splice(at, 1); // each counts once: the same training may have been done twice
    });
    const was = new Map(fresh.map((run) => [run, run.id]));
    for (const run of fresh) {
        run.id = now.get(run.id) ?? run.id;
        if (run.back) run.back.run = now.get(run.back.run) ?? run.back.run;
        for (const part of run.mixture?.parts ?? []) part.run = now.get(part.run) ?? part.run;
    }
    return { fresh, was };
}

/** @param {any} raw */
function readExample(raw) {
    if (typeof raw?.text === 'string') return { text: raw.text, line: number(raw.line) };
    return typeof raw?.completion === 'string' ? { prompt: text(raw.prompt, 200_000), completion: raw.completion, line: number(raw.line) } : null;
}
