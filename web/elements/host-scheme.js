/**
 * Light or dark as the place an embedded element stands in: it paints no background of its own, and many pages go dark without
 * saying so by color-scheme.
 */

/** @type {CanvasRenderingContext2D | null | undefined} */
let canvas;

/** @param {string} color any CSS colour @returns {Uint8ClampedArray | number[]} red, green, blue, alpha: 0 to 255 */
function channels(color) {
    canvas ??= document.createElement('canvas').getContext('2d', { willReadFrequently: true });
    if (!canvas) return [255, 255, 255, 0];
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = color;
    canvas.fillRect(0, 0, 1, 1);
    return canvas.getImageData(0, 0, 1, 1).data;
}

/** @param {Element} element @returns {'light' | 'dark'} by the nearest background behind it, else by the page's own color-scheme */
export function hostScheme(element) {
    for (let node = /** @type {Node | null} */ (element.parentNode); node; node = node.parentNode ?? /** @type {any} */ (node).host ?? null) {
        if (!(node instanceof Element)) continue;
        const [red, green, blue, alpha] = channels(getComputedStyle(node).backgroundColor);
        if (alpha > 127) return 0.299 * red + 0.587 * green + 0.114 * blue < 128 ? 'dark' : 'light';
    }
    const page = getComputedStyle(document.documentElement).colorScheme;
    return page.includes('dark') && (!page.includes('light') || matchMedia('(prefers-color-scheme: dark)').matches) ? 'dark' : 'light';
}

/**
 * Keeps `host-scheme` right (styles/tokens.css), also when the page changes its theme.
 * @param {Element} element @returns {() => void} ends it
 */
export function followHost(element) {
    let timer = 0;
    const look = () => element.setAttribute('host-scheme', hostScheme(element));
    const changed = () => {
        look();
        clearTimeout(timer);
        timer = window.setTimeout(look, 600); // pages let their colours fade
    };
    const observer = new MutationObserver(changed);
    for (const node of [document.documentElement, document.body]) observer.observe(node, { attributes: true });
    const system = matchMedia('(prefers-color-scheme: dark)');
    system.addEventListener('change', changed);
    changed();
    return () => {
        observer.disconnect();
        system.removeEventListener('change', changed);
        clearTimeout(timer);
    };
}
