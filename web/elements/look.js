/** How a method looks everywhere: colour, shape and dash (never colour alone). */

/** @typedef {{shape: string, symbol: string, dash: string}} Look symbol: Observable Plot's name; dash: stroke-dasharray */
const LOOKS = /** @type {Record<string, Look>} */ (Object.freeze({
    full: { shape: '■', symbol: 'square', dash: '' },
    prompt: { shape: '●', symbol: 'circle', dash: '1 4' },
    prefix: { shape: '▲', symbol: 'triangle', dash: '8 3 2 3' },
    lora: { shape: '◆', symbol: 'diamond', dash: '' },
    adapter: { shape: '✚', symbol: 'cross', dash: '7 3' },
    ia3: { shape: '★', symbol: 'star', dash: '3 3' },
    norms: { shape: '✱', symbol: 'asterisk', dash: '10 4' },
}));

/** @param {string} method @returns {string} a CSS colour that follows the theme */
export const methodColor = (method) => (LOOKS[method] ? `var(--m-${method})` : 'var(--text)');
/** @param {string} method @returns {string} */
export const methodShape = (method) => LOOKS[method]?.shape ?? '○';
/** @param {string} method @returns {string} */
export const methodSymbol = (method) => LOOKS[method]?.symbol ?? 'circle';
/** @param {string} method @returns {string} */
export const methodDash = (method) => LOOKS[method]?.dash ?? '';
