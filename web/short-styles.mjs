// The elements' style sheets without comments and indentation, which the minifier leaves in a template as they are.

/** Text of css`…` without values of ours in it; sheets here have no strings with several blanks. @param {string} source */
export const shortened = (source) =>
  source.replace(/\bcss`[^`$]*`/g, (sheet) => sheet.replace(/\/\*.*?\*\//gs, '').replace(/\s+/g, ' ').replace(/ ?([{};]) ?/g, '$1'));

/** @returns {import('vite').Plugin} */
export function shortStyles() {
  return {
    name: 'peftlab-short-styles',
    apply: 'build',
    transform: (code, id) => (/[\\/]web[\\/](elements|styles)[\\/][^?]*\.js$/.test(id) ? { code: shortened(code), map: null } : null),
  };
}
