/** What to do about a file of a model or an adapter that cannot be read: what it most likely is instead, by its first bytes. */
import { PeftLabError } from './errors.js';

/** @type {[RegExp, string][]} first bytes as Latin letters, and the advice */
const INSTEAD = [
    [/^version https:\/\/git-lfs/, 'It is a pointer of Git LFS, not the file itself: fetch that with “git lfs pull”.'],
    [/^\s*<(!doctype|html|\?xml)/i, 'It is a web page, not what it is called: download the file itself.'],
    [/^(PK|\x80[\x02-\x05])/, 'It is a pickle of PyTorch, which is not read because it can run code: save it again with safe_serialization=True.'],
];

/**
 * @param {unknown} thrown by the reader of safetensors, or of JSON at its first letter @param {Uint8Array} bytes it read
 * @returns {unknown} the same with advice, or as it came
 */
export function withAdvice(thrown, bytes) {
    const error = PeftLabError.from(thrown);
    if (error.code !== 'format' || error.hint || !/^(adapter weights|[\w.-]*safetensors|\w+\.json:1:1)\b/.test(error.message)) return thrown;
    const start = String.fromCharCode(...bytes.subarray(0, 64));
    const hint = INSTEAD.find(([pattern]) => pattern.test(start))?.[1] ?? 'The file is damaged or incomplete: download it or save it again.';
    return new PeftLabError(error.code, error.message.replace(/[^.?!]$/, '$&.'), { hint, cause: thrown });
}
