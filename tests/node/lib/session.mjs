/** Sessions for tests: a tiny golden model (no tokenizer) or stories-300k, in this thread unless a test is about workers. */
import { createHash } from 'node:crypto';
import { fileURLToPath } from 'node:url';

import { PeftLab } from '../../../web/engine/index.js';

export const GOLDEN = fileURLToPath(new URL('../../golden/models/', import.meta.url));
export const STORIES = fileURLToPath(new URL('../../../models/stories-300k', import.meta.url));

/** @param {string} [shape] @param {object} [options] */
export const tiny = (shape = 'gqa-odd', options = {}) => PeftLab.load(`${GOLDEN}${shape}`, { inThread: true, ...options });
/** @param {object} [options] */
export const stories = (options = {}) => PeftLab.load(STORIES, { inThread: true, ...options });

/** Ragged sequences of tokens below vocab, the same every time. @param {number} count @param {number} vocab */
export function sequences(count, vocab, seed = 7) {
    let state = seed;
    const next = () => { state = (Math.imul(state, 1664525) + 1013904223) >>> 0; return state / 2 ** 32; };
    return Array.from({ length: count }, () => Array.from({ length: 5 + Math.floor(next() * 8) }, () => Math.floor(next() * vocab)));
}

/** @param {import('../../../web/engine/session.js').Session} session @param {number} [count] */
export async function addSequences(session, count = 24, split = 'train') {
    const { model } = await session.describe();
    return session.request('setTokens', { split, examples: sequences(count, model.vocab_size), labelFrom: 2 });
}

/** sha256 of all trained values of all modules. @param {import('../../../web/engine/session.js').Session} session */
export async function weightHash(session) {
    const hash = createHash('sha256');
    for (const module of (await session.describe()).modules) {
        for (const { name } of module.tensors) hash.update(new Uint8Array((await session.tensor(module.id, name)).buffer));
    }
    return hash.digest('hex');
}

/** @param {Uint8Array | Float32Array} values */
export const sha = (values) => createHash('sha256').update(new Uint8Array(values.buffer, values.byteOffset, values.byteLength)).digest('hex');

/** The code of the PeftLabError a promise rejects with. @param {Promise<any>} promise */
export const codeOf = (promise) => promise.then(() => 'no error', (error) => error.code ?? `not a PeftLabError: ${error}`);
