// The command line as a user runs it: a process of its own.
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const CLI = fileURLToPath(new URL('../../../web/cli/peftlab.mjs', import.meta.url));

/**
 * @param {string[]} args
 * @param {(child: import('node:child_process').ChildProcessWithoutNullStreams, out: string) => void} [onOutput] called with all output so far
 * @param {(child: import('node:child_process').ChildProcessWithoutNullStreams, err: string) => void} [onError] likewise with what went to stderr
 * @returns {Promise<{code: number | null, out: string, err: string}>}
 */
export function cli(args, onOutput, onError) {
    return new Promise((resolve) => {
        const child = spawn(process.execPath, [CLI, ...args]);
        let out = '';
        let err = '';
        child.stdout.on('data', (piece) => {
            out += piece;
            onOutput?.(child, out);
        });
        child.stderr.on('data', (piece) => {
            err += piece;
            onError?.(child, err);
        });
        child.on('close', (code) => resolve({ code, out, err }));
    });
}
