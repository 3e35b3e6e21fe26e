/**
 * Lower-case words of a text in order. The apostrophe of "an'" and "o'" belongs to the word, a closing quote does not.
 * @param {string} text
 * @returns {string[]}
 */
export function words(text) {
    return (text.toLowerCase().match(/[a-z]+(?:'[a-z]+)*'?/g) ?? []).map((w) =>
        w.endsWith("'") && w !== "an'" && w !== "o'" ? w.slice(0, -1) : w);
}
