/**
 * A training step shared with replicas (other engines in workers of their own). Every engine computes some shards,
 * gets copies of the others, and adds them all in shard order: so each makes the same update, and the weights are the
 * same bits for any number of workers.
 */

/** @typedef {import('./core.js').Core} Core */
/** @typedef {import('./core.js').Part} Part */
/** @typedef {import('./protocol.js').Remote} Remote */
/** @typedef {import('./training.js').Report} Report */

/**
 * Which worker computes which shards: the costliest first, each to the worker with the least work so far (at most 4/3 of the best time; Graham 1969).
 * Sequences differ in length, so the same number of shards for each would leave one worker waiting for another.
 * @param {number[]} costs of the shards @param {number} workers @returns {number[][]} shards of each worker
 */
export function shareShards(costs, workers) {
    const shares = Array.from({ length: workers }, () => ({ work: 0, shards: /** @type {number[]} */ ([]) }));
    const order = costs.map((_, shard) => shard).sort((a, b) => costs[b] - costs[a] || a - b);
    for (const shard of order) {
        const least = shares.reduce((best, share) => (share.work < best.work ? share : best));
        least.work += costs[shard];
        least.shards.push(shard);
    }
    return shares.map(({ shards }) => shards);
}

/** @param {Core} core @param {number[]} shards of the coming step @returns {Part} */
export function computeShards(core, shards) {
    for (const shard of shards) core.call('pl_train_shard', shard);
    return core.keptShards(shards);
}

/**
 * One step on this engine and its replicas. Once it has begun it is finished on all of them: an abort between would leave replicas apart.
 * @param {import('./service.js').Service} service
 * @param {number} expect how long a step may well take, ms; 0: unknown
 * @returns {Promise<Report>}
 */
export async function sharedStep(service, expect) {
    const { core, peers } = service;
    const [mine, ...theirs] = shareShards(core.json('pl_train_shard_costs'), peers.length + 1);
    const asked = Promise.all(peers.map((peer, i) => peer.request('shards', { shards: theirs[i] }, { expect })));
    // Where this engine's own part fails, nobody comes to wait; a rejection without a handler would end the worker, in Node
    // the process.
    asked.catch(() => {});
    const ours = computeShards(core, mine);
    // A single replica needs nothing but ours, which can be on its way before its own have come.
    const early = peers.length === 1 ? handOver(service, [[ours]], expect) : null;
    const parts = await asked;
    service.settled = early ?? handOver(service, peers.map((_, i) => [ours, ...parts.filter((_part, k) => k !== i)]), expect);
    try {
        return core.applyShards(parts);
    } catch (error) {
        service.dropPeers(/** @type {Error} */ (error).message); // which may have done the step
        throw error;
    }
}

/**
 * The others' shards, and the word to apply them all. Not waited for within the step: a replica answers in order, so
 * what the next step asks of it comes after. A replica that may not have done a step which this engine did is of no
 * use any more: the call ends before the next step.
 * @param {import('./service.js').Service} service @param {Part[][]} parts for each replica @param {number} expect ms
 */
function handOver(service, parts, expect) {
    const { peers } = service;
    const sent = peers.map((peer, i) => {
        const transfer = peers.length === 1 ? parts[i].map(({ bytes }) => bytes.buffer) : []; // for several they are copied
        return peer.request('applyShards', { parts: parts[i] }, { expect, transfer });
    });
    return Promise.all(sent).catch(({ message }) => service.dropPeers(message));
}
