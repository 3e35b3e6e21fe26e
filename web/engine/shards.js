/**
 * Cutting a safetensors file into shards with an index, as transformers saves large models:
 * model-00001-of-00002.safetensors, …, model.safetensors.index.json.
 */
import { PeftLabError, shown } from './errors.js';

/** @typedef {{dtype: string, shape: number[], data_offsets: [number, number]}} Entry */

/** @param {Uint8Array} bytes @returns {{header: Record<string, any>, data: Uint8Array}} */
function open(bytes) {
    const size = Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
    return { header: JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + size))), data: bytes.subarray(8 + size) };
}

/** @param {[string, Entry][]} tensors @param {Uint8Array} data of the whole file @param {unknown} metadata @returns {Uint8Array} */
function write(tensors, data, metadata) {
    let at = 0;
    const header = Object.fromEntries(tensors.map(([name, { dtype, shape, data_offsets: [from, to] }]) => {
        const place = [at, at + to - from];
        at = place[1];
        return [name, { dtype, shape, data_offsets: place }];
    }));
    const text = JSON.stringify(metadata ? { __metadata__: metadata, ...header } : header);
    const encoded = new TextEncoder().encode(text.padEnd(Math.ceil(new TextEncoder().encode(text).length / 8) * 8));
    const bytes = new Uint8Array(8 + encoded.length + at);
    new DataView(bytes.buffer).setBigUint64(0, BigInt(encoded.length), true);
    bytes.set(encoded, 8);
    let end = 8 + encoded.length;
    for (const [, { data_offsets: [from, to] }] of tensors) {
        bytes.set(data.subarray(from, to), end);
        end += to - from;
    }
    return bytes;
}

/**
 * @param {Uint8Array} file model.safetensors
 * @param {number} maxBytes of tensor data per shard; a larger tensor gets a shard of its own
 * @returns {Record<string, Uint8Array>} model.safetensors itself when it fits, else shards and index
 */
export function shardWeights(file, maxBytes) {
    if (typeof maxBytes !== 'number' || !(maxBytes > 0))
        throw new PeftLabError('range', `maxShardBytes must be a number above 0, not ${shown(maxBytes)}.`);
    const { header, data } = open(file);
    const { __metadata__: metadata, ...rest } = header;
    const entries = /** @type {[string, Entry][]} */ (Object.entries(rest)).sort(([, a], [, b]) => a.data_offsets[0] - b.data_offsets[0]);
    /** @type {[string, Entry][][]} */
    const groups = [[]];
    let filled = 0;
    for (const entry of entries) {
        const [from, to] = entry[1].data_offsets;
        if (filled > 0 && filled + to - from > maxBytes) {
            groups.push([]);
            filled = 0;
        }
        /** @type {[string, Entry][]} */ (groups.at(-1)).push(entry);
        filled += to - from;
    }
    if (groups.length === 1) return { 'model.safetensors': file };
    const number = (/** @type {number} */ n) => String(n).padStart(5, '0');
    const names = groups.map((_, i) => `model-${number(i + 1)}-of-${number(groups.length)}.safetensors`);
    const map = Object.fromEntries(groups.flatMap((group, i) => group.map(([name]) => [name, names[i]])).sort(([a], [b]) => (a < b ? -1 : 1)));
    const index = { metadata: { total_size: data.length }, weight_map: map };
    return {
        ...Object.fromEntries(groups.map((group, i) => [names[i], write(group, data, metadata)])),
        'model.safetensors.index.json': new TextEncoder().encode(`${JSON.stringify(index, null, 2)}\n`),
    };
}
