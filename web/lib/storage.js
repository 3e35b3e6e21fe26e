/** Small persistent values in IndexedDB, or in memory where the browser denies storage (sandboxed frames, private windows, full disk). */
import { createStore, del, get, set } from 'idb-keyval';

/** @type {ReturnType<typeof createStore> | null | undefined} null: denied */
let store;
const memory = new Map();
/** Why values will not survive a reload, or ''. */
export let storageProblem = '';
/** The browser would store, but there is no room left. */
export let storageFull = false;

/** A storage that does not answer within this time is none: the page must not wait for it for ever. */
const ANSWER_MS = 10_000;

/**
 * Each transaction ends as soon as it has been told what to do. One that is still open when somebody leaves the page stays open
 * where WebKit puts the page aside for the way back, and every later page of the site would wait for it for ever.
 * @param {import('idb-keyval').UseStore} use @returns {import('idb-keyval').UseStore}
 */
const committed = (use) => (mode, act) => use(mode, (values) => {
    const done = act(values);
    values.transaction.commit?.();
    return done;
});

/** @param {Promise<unknown>} work */
const answered = (work) => new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error('the storage does not answer')), ANSWER_MS);
    work.then(resolve, reject).finally(() => clearTimeout(timer));
});

async function database() {
    if (store !== undefined) return store;
    try {
        const made = committed(createStore('peftlab', 'values'));
        await answered(set('probe', 1, made));
        store = made;
    } catch (error) {
        store = null;
        storageProblem = error instanceof Error ? error.message : String(error);
    }
    return store;
}

/** @param {string} key @returns {Promise<any>} */
export async function load(key) {
    const found = await database();
    if (memory.has(key) || !found) return memory.get(key); // newer than what was stored before the storage was full
    return get(key, found).catch(() => undefined);
}

/** @param {string} key @param {any} value @returns {Promise<boolean>} whether it will survive a reload */
export async function save(key, value) {
    const found = await database();
    try {
        if (!found) throw new Error(storageProblem);
        await set(key, value, found);
        memory.delete(key);
        return true;
    } catch (error) {
        storageFull = error instanceof Error && error.name === 'QuotaExceededError';
        storageProblem = error instanceof Error ? error.message : String(error);
        memory.set(key, value);
        return false;
    }
}

/** @param {string} key */
export async function remove(key) {
    memory.delete(key);
    const found = await database();
    if (found) await del(key, found).catch(() => {});
}
