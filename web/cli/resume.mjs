/** Going on from a snapshot: the run is the snapshot's, and what else was asked for must say the same. */
import { readFile } from 'node:fs/promises';

import { kebab, parseCombine, snake, usage, warn } from './args.mjs';

/** @typedef {import('../engine/session.js').Session} Session */
/** @typedef {import('../engine/session.js').ModuleInfo} ModuleInfo */

/**
 * Restores a snapshot into a session that has the run's data, and the adapters that --adapter names.
 * @param {Session} session
 * @param {{values: Record<string, any>, given: Set<string>, runOptions: string[], methods: import('./args.mjs').Spec,
 *   own: Record<string, any>}} request
 *   given: options that were typed; runOptions: those that the engine's run has; own: the method's
 */
export async function resumeRun(session, request) {
    const { values } = request;
    const bytes = new Uint8Array(await readFile(values.resume));
    const frozen = (await session.describe()).modules;
    await session.restore(bytes);
    const { run, modules } = await session.describe();
    if (!run) throw usage(`${values.resume} holds no run that could go on`);
    const trained = modules.filter((/** @type {ModuleInfo} */ m) => m.trainable);
    if (values.until <= run.step) warn(`--until ${values.until}: the run in ${values.resume} is at step ${run.step} already; nothing is trained`);
    checkRun(request, run);
    if (request.given.has('adapter')) checkAdapters(values.resume, frozen, modules.filter((/** @type {ModuleInfo} */ m) => !m.trainable));
    await checkMethods(session, request, trained);
    await session.restore(bytes, { workers: values.workers, onFewerWorkers: warnOfFewer });
}

/** @param {{workers: number, asked: number, error: Error}} fewer than were asked for could be started */
export const warnOfFewer = ({ workers, asked, error }) =>
    warn(`--workers ${asked}: only ${workers} could be started (${error.message}); the result is the same, it takes longer`);

/** @param {string} name of the option @param {string} file @param {unknown} value that the run has */
function differs(name, file, value) {
    const has = typeof value === 'object' ? JSON.stringify(value) : value;
    return usage(`--${name} differs from the run in ${file}, which has ${has}; leave it out, or begin a new run without --resume`);
}

/** @param {{values: Record<string, any>, given: Set<string>, runOptions: string[]}} request @param {Record<string, any>} run */
function checkRun({ values, given, runOptions }, run) {
    for (const name of [...runOptions, 'seed'])
        if (given.has(name) && values[name] !== run[snake(name)]) throw differs(name, values.resume, run[snake(name)]);
}

/** @param {string} file @param {ModuleInfo[]} asked @param {ModuleInfo[]} kept frozen modules of the run */
function checkAdapters(file, asked, kept) {
    const words = (/** @type {ModuleInfo[]} */ list) => JSON.stringify(list.map(({ method, options, weight }) => ({ method, options, weight })));
    if (words(asked) !== words(kept)) throw differs('adapter', file, kept.map((m) => m.label).join(', ') || 'none');
}

/**
 * The engine completes what was asked for in a module of its own, which is compared with the run's.
 * @param {Session} session in which the run ends: it has to be restored again
 * @param {{values: Record<string, any>, given: Set<string>, methods: import('./args.mjs').Spec,
 *   own: Record<string, any>}} request
 * @param {ModuleInfo[]} trained
 */
async function checkMethods(session, { values, given, methods, own }, trained) {
    const [first, ...others] = trained;
    if (given.has('method') && values.method !== first.method) throw differs('method', values.resume, first.method);
    const combined = (values.combine ?? []).map((/** @type {string} */ text) => parseCombine(text, methods));
    if (given.has('combine') && JSON.stringify(combined.map((/** @type {any} */ c) => c.method)) !== JSON.stringify(others.map((m) => m.method))) {
        throw differs('combine', values.resume, others.map((m) => m.method).join(', ') || 'none');
    }
    const asked = [own, ...combined.map((/** @type {any} */ c) => c.options)];
    await session.clear();
    for (const [i, options] of asked.entries()) {
        if (Object.keys(options).length === 0) continue;
        const { options: whole } = await session.addModule(trained[i].method, { ...trained[i].options, ...options });
        const name = Object.keys(whole).find((key) => JSON.stringify(whole[key]) !== JSON.stringify(trained[i].options[key]));
        if (name !== undefined)
            throw differs(
                i === 0 ? typedName(name, options) : 'combine',
                values.resume,
                `${name} ${JSON.stringify(trained[i].options[name]) ?? 'unset'}`,
            );
    }
}

/**
 * exclude_modules and layers_to_transform end as target_modules.
 * @param {string} name of the option that differs @param {Record<string, any>} options that were typed
 */
const typedName = (name, options) =>
    kebab(name in options ? name : (['exclude_modules', 'layers_to_transform'].find((other) => other in options) ?? name));
