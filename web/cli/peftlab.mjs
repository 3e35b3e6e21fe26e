#!/usr/bin/env node
/**
 * peftlab on the command line. Exit code 0: done; 1: the work failed; 2: the request was wrong (one sentence on stderr says what).
 * With --json there is one JSON value on stdout (train: JSON lines); diagnostics go to stderr.
 */
import { readFile } from 'node:fs/promises';

import { PeftLabError } from '../engine/errors.js';
import { nearest } from './args.mjs';

/** What each command is for; the code is loaded when it runs. */
const COMMANDS = {
    train: 'fine-tune a model on a task or a data file',
    generate: 'continue a prompt',
    eval: 'loss and task metric on held-out data',
    compare: 'train several methods and seeds, and put quality against parameters',
    logits: 'logits of every position, for comparing with other libraries',
    merge: 'merge adapters into a plain model folder',
    combine: 'several LoRAs, or several bottleneck adapters, into one',
    count: 'trainable parameters of a method on any shape',
    memory: 'memory of training and inference on any shape',
    advise: "the chapter's decision tree",
    recipe: 'a Python script that does the same with transformers and peft',
    bench: 'speed of this machine, as ratios',
    models: 'the models that come with peftlab',
    tasks: 'the tasks that come with peftlab',
    methods: 'the fine-tuning methods and their options',
    shapes: 'the shapes that count, memory and recipe know by name',
    describe: 'a model folder: dimensions, parameters, module names',
    serve: 'serve the built page',
};

/** Codes that mean the caller asked for something impossible. */
const REQUEST_CODES = new Set(['argument', 'range', 'format', 'mismatch', 'unsupported', 'load', 'state']);

/** @returns {string} */
function overview() {
    const rows = Object.entries(COMMANDS).map(([name, text]) => `  ${name.padEnd(10)}${text}`);
    return `usage: peftlab COMMAND [options]\n\n${rows.join('\n')}\n\npeftlab COMMAND --help lists the options of a command.\n`;
}

/** @param {string[]} argv */
async function main(argv) {
    const [command, ...rest] = argv[0] === 'help' && argv.length > 1 ? [argv[1], '--help'] : argv;
    if (!command || command === '--help' || command === '-h' || command === 'help') return void process.stdout.write(overview());
    if (command === '--version') {
        const { version } = JSON.parse(await readFile(new URL('../../package.json', import.meta.url), 'utf8'));
        return void process.stdout.write(`${version}\n`);
    }
    if (!Object.hasOwn(COMMANDS, command)) {
        const meant = nearest(command.toLowerCase(), Object.keys(COMMANDS));
        throw new PeftLabError('argument', `there is no command "${command}".`, {
            hint: `${meant && `Did you mean ${meant}? `}There are ${Object.keys(COMMANDS).join(' ')}`,
        });
    }
    const { run, help } = await import(`./commands/${command}.mjs`);
    if (rest.includes('--help') || rest.includes('-h')) return void process.stdout.write(await help());
    return run(rest);
}

/** Does the command leave something besides what it prints? */
const writesFiles = process.argv.slice(2).some((word) => /^--(out|snapshot|svg)(=|$)/.test(word));

// The reader of a pipe has seen enough (| head): that is no failure, and there is nobody to tell. Files that were asked for are still wanted.
process.stdout.on('error', (/** @type {NodeJS.ErrnoException} */ error) => {
    const closed = error.code === 'EPIPE' || error.code === 'ERR_STREAM_DESTROYED';
    if (!closed || !writesFiles) process.exit(closed ? 0 : 1);
});

try {
    await main(process.argv.slice(2));
} catch (thrown) {
    const error = PeftLabError.from(thrown);
    process.stderr.write(`peftlab: ${error.message}${error.hint ? ` ${error.hint}` : ''}\n`);
    if (error.code === 'internal' && process.env.PEFTLAB_DEBUG) process.stderr.write(`${error.cause instanceof Error ? error.cause.stack : ''}\n`);
    process.exitCode = REQUEST_CODES.has(error.code) ? 2 : 1;
}
