/**
 * Keeps settings, own text, runs with their weights, and the open run in the browser's storage, for one tab at a time, and brings
 * them back after a reload.
 */
import { byteSize } from '../lib/format.js';
import { t } from '../lib/i18n.js';
import { OWN, readOwn } from '../lib/own.js';
import { load, remove, save, storageFull, storageProblem } from '../lib/storage.js';
import { withoutLarge } from '../lib/weights.js';
import { usePanelTexts } from './texts.js';

/** @typedef {{run: import('../lib/runs.js').Run, bytes: Uint8Array, step: number}} OpenRun */

const KEPT_RUNS = 40;
const SAVE_MS = 500;

/** A page that is being reloaded gives its lock up a little later. */
const LOCK_MS = 2000;

/** Labs that are followed already: an element may leave a page and come back. @type {WeakSet<object>} */
const followed = new WeakSet();

/**
 * Weights of full fine-tuning have a place of their own: the runs are written again at every change.
 * @param {{id: number}} run
 */
const placeOf = (run) => `weights-${run.id}`;

const LOCK = 'peftlab-autosave';

const lockHeld = async () => ((await navigator.locks.query()).held ?? []).some((lock) => lock.name === LOCK);

/**
 * One tab writes; others are told. A page that starts slowly may hear too late that the lock is its own: then nobody has it, and it
 * asks again.
 * @returns {Promise<boolean>} whether this tab holds the lock (for as long as it lives)
 */
function takeLock() {
    if (!navigator.locks) return Promise.resolve(true);
    return new Promise((resolve) => {
        navigator.locks.request(LOCK, { signal: AbortSignal.timeout(LOCK_MS) }, () => {
            resolve(true);
            return new Promise(() => {});
        }).catch(async ({ name }) => {
            if (name !== 'TimeoutError' && name !== 'AbortError') return resolve(true);
            return resolve((await lockHeld()) ? false : takeLock());
        });
    });
}

/** What an earlier visit, or another tab, left: settings and runs, the open run, own text. */
async function stored() {
    const [session, left, own] = await Promise.all([load('session'), load('open'), load('own')]).catch(() => [null, null, null]);
    return { session, left, kept: readOwn(own), runs: session?.v === 1 && Array.isArray(session.runs) ? session.runs : [] };
}

/**
 * @param {import('../lib/lab.js').Lab} lab
 * @returns {Promise<{settings: Record<string, any> | null, open: Promise<OpenRun | null>}>} what an earlier visit left; runs go to
 *   the lab
 */
export async function startAutosave(lab) {
    if (followed.has(lab)) return { settings: null, open: lab.session ? Promise.resolve(null) : lastSnapshot() };
    followed.add(lab);
    const lock = takeLock();
    const before = await stored();
    const { session, runs } = before;
    lab.own ??= before.kept;
    if (runs.length) lab.adopt(runs);
    if (Array.isArray(session?.compare?.runs)) lab.results.compare ??= session.compare;
    lab.weights.stored = (run) => load(placeOf(run));
    if (storageProblem) lab.emit('notice', 'notice.storage');
    const open = lock.then(async (mine) => {
        if (mine) follow(lab, before.kept, runs);
        else lab.emit('notice', 'notice.other_tab');
        const { left, kept } = mine ? before
            : await (await import('./inherit.js')).waitForTurn(lab, {
                lockHeld, takeLock, stored, placeOf, follow, load, remove, usePanelTexts,
            });
        const usable = left?.bytes && (left.run.task !== OWN || kept); // without its text a run cannot go on
        return usable && !['training', 'paused'].includes(lab.status) ? left : null;
    });
    return { settings: session?.state ?? null, open };
}

/**
 * @param {import('../lib/lab.js').Lab} lab @param {import('../lib/own.js').OwnData | null} stored own text that is in the storage already
 * @param {import('../lib/runs.js').Run[]} runs those in the storage already
 */
function follow(lab, stored, runs) {
    let timer = 0;
    let own = stored;
    let ownKept = Boolean(stored);
    const told = (/** @type {boolean} */ kept) => {
        if (!kept) lab.emit('notice', storageFull ? 'notice.storage_full' : 'notice.storage');
    };
    /** Own text first: a run on it is nothing without it. */
    const keepOwn = async () => {
        if (own !== lab.own) {
            own = lab.own;
            ownKept = await save('own', own);
            told(ownKept);
        }
        return ownKept;
    };
    /** Runs whose weights the storage has. */
    const weighty = new Set(runs.filter((run) => run.weights));
    const forget = (/** @type {import('../lib/runs.js').Run} */ run) => { weighty.delete(run); return remove(placeOf(run)); };
    /**
     * Into the storage; where it is full the oldest make room.
     * @param {import('../lib/runs.js').Run} run @param {Uint8Array} bytes
     */
    const keepWeights = async (run, bytes) => {
        while (!(await save(placeOf(run), bytes))) {
            await forget(run); // in this tab's memory it is already
            const byWorth = [...weighty].sort((a, b) => Number(a.pinned ?? false) - Number(b.pinned ?? false) || a.id - b.id);
            const [oldest] = storageFull ? byWorth : [];
            if (!oldest) return lab.emit('notice', t('notice.weights_unsaved', { run: run.id, size: byteSize(bytes.length) }));
            await forget(oldest);
            lab.emit('notice', t('notice.weights_forgotten', { run: oldest.id, size: byteSize(oldest.weights ?? 0) }));
        }
        return weighty.add(run);
    };
    const write = async () => {
        clearTimeout(timer);
        timer = 0;
        const lost = lab.state.task === OWN && !(await keepOwn()); // then the next visit begins with a task of ours
        const kept = lab.runs.filter((run) => run.status === 'done' || run.status === 'stopped').slice(-KEPT_RUNS);
        for (const run of weighty) if (!kept.includes(run)) await forget(run);
        const written = kept.map((run) => {
            const { weights, ...rest } = withoutLarge(run);
            return weighty.has(run) ? { ...rest, weights } : rest;
        });
        const { compare } = lab.results;
        told(await save('session', { v: 1, state: { ...lab.state, ...(lost && { task: 'pirate' }) }, runs: written, compare }));
    };
    const soon = () => { timer ||= window.setTimeout(write, SAVE_MS); };
    for (const type of ['state', 'runs', 'results']) lab.addEventListener(type, soon);
    const atOnce = () => { if (timer) write(); };
    // Whichever comes first when somebody leaves: what begins only in pagehide is lost in WebKit, and beforeunload does not come on a phone.
    for (const type of ['beforeunload', 'pagehide']) addEventListener(type, atOnce);
    document.addEventListener('visibilitychange', () => { if (document.hidden) atOnce(); });
    lab.addEventListener('weights', async (event) => {
        const { run, bytes, gone } = /** @type {CustomEvent} */ (event).detail;
        for (const old of gone) await forget(old);
        await keepWeights(run, bytes);
        soon();
    });
    /** The run that is stored as one that goes on. @type {import('../lib/runs.js').Run | null} */
    let going = null;
    const drop = () => {
        going = null;
        return remove('open');
    };
    lab.addEventListener('snapshot', (event) => {
        const { step, bytes } = /** @type {CustomEvent} */ (event).detail;
        going = lab.run;
        if (lab.run) save('open', { run: withoutLarge(lab.run), bytes, step }).then(told);
    });
    lab.addEventListener('run', (event) => {
        const run = /** @type {CustomEvent} */ (event).detail;
        if (!run) drop();
        // First the finished run: the page may end in between.
        else if (['done', 'stopped'].includes(run.status)) write().then(() => { if (!going || going === run) drop(); });
    });
    // A run that lost its engine goes on from its last snapshot in a new one; one that failed by itself would fail again.
    lab.addEventListener('failure', (event) => {
        if (lab.run?.status === 'failed' && /** @type {CustomEvent} */ (event).detail.code !== 'worker-lost') drop();
    });
}

/**
 * The run whose engine was lost, as its last snapshot has it (in this tab's memory where nothing is stored).
 * @returns {Promise<OpenRun | null>}
 */
export const lastSnapshot = async () => { const left = await load('open'); return left?.bytes ? left : null; };

/** The interrupted run is not wanted. */
export const discardOpen = () => remove('open');
