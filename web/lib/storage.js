/** Small persistent values in IndexedDB, or in memory where the browser denies storage (sandboxed frames, private windows, full disk). */
import { createStore, del, get, set } from 'idb-keyval';

/** @type {ReturnType<typeof createStore> | null | undefined} null: denied */
let store;
const memory = new Map();
/** Why values will not survive a reload, or ''. */
export let storageProblem = '';

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
    if (found) return get(key, found).catch(() => memory.get(key));
    return memory.get(key);
}

/** @param {string} key @param {any} value @returns {Promise<boolean>} whether it will survive a reload */
export async function save(key, value) {
    const found = await database();
    try {
        if (!found) throw new Error(storageProblem);
        await set(key, value, found);
        return true;
    } catch (error) {
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
