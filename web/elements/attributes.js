/**
 * The settings that an element's own attributes ask for (embedding): method task rank alpha targets seed steps level …;
 * options='{"use_dora": true}' for the rest.
 */

/** Attribute -> setting. */
export const SETTINGS = /** @type {Readonly<Record<string, string>>} */ (Object.freeze({
    ...Object.fromEntries([
        'model', 'method', 'task', 'seed', 'steps', 'lr', 'level', 'panel', 'hide', 'lock', 'lang', 'theme', 'shape', 'lesson', 'prompt',
    ].map((name) => [name, name])), 'batch-size': 'batch_size',
}));
/** Attribute -> option of the method. */
export const OPTIONS = /** @type {Readonly<Record<string, string>>} */ (Object.freeze({
    rank: 'rank', alpha: 'alpha', targets: 'target_modules',
    'virtual-tokens': 'num_virtual_tokens', bottleneck: 'bottleneck_size',
}));

/** @param {string | null} text @returns {Record<string, unknown>} */
function readObject(text) {
    try {
        const value = JSON.parse(text ?? '{}');
        return value && typeof value === 'object' && !Array.isArray(value) ? value : {};
    } catch {
        return {};
    }
}

/** @param {Element} element @returns {Record<string, any>} untrusted, for Lab.set() */
export function attributeSettings(element) {
    const value = (/** @type {string} */ name) => element.getAttribute(name) ?? '';
    const given = Object.fromEntries(Object.entries(SETTINGS).filter(([name]) => element.hasAttribute(name))
        .map(([name, setting]) => [setting, value(name)]));
    const options = {
        ...readObject(element.getAttribute('options')),
        ...Object.fromEntries(Object.entries(OPTIONS).filter(([name]) => element.hasAttribute(name))
            .map(([name, option]) => [option, option === 'target_modules' ? value(name).split(/[,\s]+/) : Number(value(name))])),
    };
    return Object.keys(options).length ? { ...given, options } : given;
}
