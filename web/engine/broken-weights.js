/** What a file of a model or an adapter that cannot be read most likely is instead, by its first bytes, and what to do about it. */
import { PeftLabError } from './errors.js';

/** @type {[RegExp, string, string][]} first bytes as Latin letters, what such a file is, and the advice */
const INSTEAD = [
    [/^version https:\/\/git-lfs/, 'a pointer of Git LFS', 'Fetch the file itself with “git lfs pull”.'],
    [/^\s*<(!doctype|html|\?xml)/i, 'a web page', 'Download the file itself.'],
    [/^(PK|\x80[\x02-\x05])/, 'a pickle of PyTorch', 'Pickles are not read, because they can run code: save it again with safe_serialization=True.'],
];

/** Sentences of the reader that say no more than that bytes are missing or are not those of such a file. */
const BROKEN = /too few|over the limit|ends inside|must begin with|data bytes$|belong to none/;

/**
 * @param {unknown} thrown by the reader of safetensors, or of JSON at its first letter @param {Uint8Array} bytes it read
 * @returns {unknown} the same, with the most likely reason in front of what the reader found, and advice; or as it came
 */
export function withAdvice(thrown, bytes) {
    const error = PeftLabError.from(thrown);
    const [, file, found] = /^(adapter weights|[\w.-]*safetensors|\w+\.json:1:1): (.*)$/s.exec(error.message) ?? [];
    if (error.code !== 'format' || error.hint || !file) return thrown;
    const start = String.fromCharCode(...bytes.subarray(0, 64));
    const [, is, advice] = INSTEAD.find(([pattern]) => pattern.test(start)) ?? [];
    const damaged = BROKEN.test(found) ? 'the file is damaged or incomplete' : '';
    const reason = is ? `this is ${is}, not ${file.includes('.json') ? 'JSON' : 'a safetensors file'}` : damaged;
    const message = reason ? `${reason} (${found.replace('; is this a safetensors file?', '')}).` : found.replace(/[^.?!]$/, '$&.');
    const again = damaged ? 'Download it or save it again.' : 'The file is damaged or incomplete: download it or save it again.';
    return new PeftLabError(error.code, `${file}: ${message}`, { hint: advice ?? again, cause: thrown });
}
