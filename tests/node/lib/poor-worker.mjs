/**
 * A way to start workers, of which the one of this number, counted from 1, gets no memory for the model.
 * @param {number} poor @returns {() => Promise<import('node:worker_threads').Worker>}
 */
export function withPoorWorker(poor) {
    let made = 0;
    return async () => {
        const { Worker } = await import('node:worker_threads');
        const worker = new Worker(new URL('../../../web/engine/worker.js', import.meta.url));
        const post = worker.postMessage.bind(worker);
        if (++made === poor) {
            worker.postMessage = (message, transfer) => {
                if (message.command === 'loadModel') post({ id: 1e6, command: 'failAt', args: { allocation: 3 } });
                post(message, transfer);
            };
        }
        return worker;
    };
}
