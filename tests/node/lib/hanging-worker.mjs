// The engine's worker, and a way to make it loop for ever or do nothing for a while.
import { parentPort } from 'node:worker_threads';
import '../../../web/engine/worker.js';

parentPort?.on('message', ({ block }) => {
    for (const end = Date.now() + (block ?? 0); Date.now() < end;);
});
