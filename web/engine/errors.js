/**
 * Every failure of the library is a PeftLabError: a sentence for people, a stable code for programs.
 * Codes of the C core: argument range format mismatch memory state numeric unsupported. Codes of the JavaScript side:
 * aborted (the caller's AbortSignal), worker-lost, no-simd, no-wasm, load (a file could not be fetched, read or
 * written), internal (a fault of peftlab).
 */
/** What Node's system errors mean for people. @type {Record<string, string>} */
const SYSTEM = {
    ENOENT: 'there is no such file or folder', EISDIR: 'it is a folder, not a file',
    ENOTDIR: 'a part of the path is a file, not a folder', EEXIST: 'there is a file of that name',
    EACCES: 'the permission is missing', EPERM: 'the permission is missing', EROFS: 'the disk is read-only',
    ENAMETOOLONG: 'the name is too long', ENOSPC: 'the disk is full',
    EADDRINUSE: 'something else uses that port',
};

/** What moves a terminal's cursor, ends a line or turns the direction of the text round: C0, DEL, C1, the separators, the marks of direction. */
const UNPRINTABLE = /[\p{Cc}\p{Zl}\p{Zp}\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu;

/**
 * One line that can be shown anywhere. Messages quote foreign files (the words of JSON.parse do, too), and a quoted
 * line break or escape sequence would break the one-sentence contract or write what it likes to the user's terminal;
 * such characters are written out as \u000a.
 * @param {string} text @returns {string}
 */
export function printable(text) {
    return text.replace(UNPRINTABLE, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

/** A value, of whatever kind, as a message says it. @param {unknown} value @returns {string} */
export function shown(value) {
    if (typeof value === 'string') return `the text "${value}"`;
    return typeof value === 'number' || value === undefined ? String(value) : `a value of type ${value === null ? 'null' : typeof value}`;
}

export class PeftLabError extends Error {
    /**
     * @param {string} code stable name
     * @param {string} message one sentence: what, where, what to do; made printable here
     * @param {{hint?: string, cause?: unknown}} [extra]
     */
    constructor(code, message, extra = {}) {
        super(printable(message), extra.cause === undefined ? undefined : { cause: extra.cause });
        this.name = 'PeftLabError';
        this.code = code;
        this.hint = printable(extra.hint ?? '');
    }

    /** A plain object that survives structured cloning. */
    toJSON() {
        return { code: this.code, message: this.message, hint: this.hint };
    }

    /** @param {unknown} value anything thrown or received @returns {PeftLabError} */
    static from(value) {
        if (value instanceof PeftLabError) return value;
        if (value instanceof Error && 'syscall' in value) {
            const { code, path, dest, address, port } = /** @type {{code?: string} & Record<string, string | undefined>} */ (
                /** @type {unknown} */ (value)
            );
            return new PeftLabError(
                'load',
                `${dest ?? path ?? ([address, port].filter(Boolean).join(':') || 'a file')} cannot be used: ${SYSTEM[code ?? ''] ?? value.message}.`,
                { cause: value },
            );
        }
        if (value && typeof value === 'object' && 'code' in value && 'message' in value) {
            const plain = /** @type {{code: unknown, message: unknown, hint?: unknown}} */ (value);
            if (typeof plain.code === 'string') return new PeftLabError(plain.code, String(plain.message), { hint: String(plain.hint ?? '') });
        }
        if (value instanceof WebAssembly.RuntimeError) {
            return new PeftLabError('worker-lost', `The engine stopped unexpectedly (${value.message}).`, {
                hint: 'Start the engine again; an interrupted run goes on from its last snapshot.',
                cause: value,
            });
        }
        return new PeftLabError('internal', value instanceof Error ? value.message : String(value), { cause: value });
    }

    /** @returns {PeftLabError} what an aborted call rejects with */
    static aborted() {
        return new PeftLabError('aborted', 'The work was stopped at your request. Everything up to the last finished step is kept.');
    }
}
