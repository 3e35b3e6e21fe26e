/** Small persistent values in IndexedDB, or in memory where the browser denies storage (sandboxed frames, private windows, full disk). */
import { createStore, del, get, set } from 'idb-keyval';

/** @type {ReturnType<typeof createStore> | null | undefined} null: denied */
let store;
const memory = new Map();
/** Why values will not survive a reload, or ''. */
export let storageProblem = '';
/** The browser would store, but there is no room left. */
export let storageFull = false;

async function database() {
    if (store !== undefined) return store;
    try {
        const made = createStore('peftlab', 'values');
        await set('probe', 1, made);
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
