/** The settings that an element's own attributes ask for (embedding): method task rank alpha targets seed steps level … */

const SETTINGS = Object.freeze(['model', 'method', 'task', 'seed', 'steps', 'level', 'panel', 'hide', 'lock', 'lang', 'theme', 'shape', 'lesson', 'prompt']);
const OPTIONS = Object.freeze({ rank: 'rank', alpha: 'alpha', targets: 'target_modules', 'virtual-tokens': 'num_virtual_tokens', bottleneck: 'bottleneck_size' });

/** @param {Element} element @returns {Record<string, any>} untrusted, for Lab.set() */
export function attributeSettings(element) {
    const value = (/** @type {string} */ name) => element.getAttribute(name) ?? '';
    const given = Object.fromEntries(SETTINGS.filter((name) => element.hasAttribute(name)).map((name) => [name, value(name)]));
    const options = Object.fromEntries(Object.entries(OPTIONS).filter(([name]) => element.hasAttribute(name))
        .map(([name, option]) => [option, option === 'target_modules' ? value(name).split(/[,\s]+/) : Number(value(name))]));
    return Object.keys(options).length ? { ...given, options } : given;
}
