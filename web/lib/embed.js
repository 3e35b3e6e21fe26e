/** Copy-paste code that puts the page, or one panel, into other places. Every address and name in it is escaped for where it stands. */
import { defaults } from './store.js';

/** @typedef {{page: string, element: string, link: string, height?: number, settings: Record<string, string>}} Wish page: address of the folder the site lies in, with "/"; link: permalink "#v=1&…" */

const html = (/** @type {string} */ text) => text.replaceAll('&', '&amp;').replaceAll('"', '&quot;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');

/** @param {string} element @returns {string} */
const tag = (element) => (element === 'playground' ? 'peft-playground' : `peft-panel-${element}`);

/** @param {Wish} wish @returns {string} */
export const frameAddress = ({ page, element, link }) => `${page}embed.html${element === 'playground' ? '' : `?element=${encodeURIComponent(element)}`}${link}`;

/** @param {Wish} wish */
function frame(wish) {
    return `<iframe src="${html(frameAddress(wish))}" title="peftlab" width="100%" height="${wish.height ?? 640}" style="border: 0" loading="lazy" allow="clipboard-write"></iframe>`;
}

/** @param {Wish} wish */
function component({ page, element, settings }) {
    const attributes = Object.entries(settings).map(([name, value]) => ` ${name}="${html(value)}"`).join('');
    const name = tag(element);
    return `<script type="module" src="${html(page)}peftlab-elements.js"></script>\n<${name}${attributes}${element === 'playground' ? ' no-link' : ''}>This panel needs JavaScript.</${name}>`;
}

/** What to paste where. @param {Wish} wish @returns {{id: string, code: string}[]} */
export function embedCode(wish) {
    const iframe = frame(wish);
    return [
        { id: 'iframe', code: iframe },
        { id: 'component', code: component(wish) },
        { id: 'quarto', code: `\`\`\`{=html}\n${iframe}\n\`\`\`` },
        { id: 'myst', code: `:::{iframe} ${frameAddress(wish)}\n:width: 100%\n:::` },
        { id: 'mystwidget', code: `:::{anywidget} ${wish.page}anywidget.mjs\n${JSON.stringify({ element: wish.element, attributes: wish.settings }, null, 2)}\n:::` },
        { id: 'jupyter', code: `from IPython.display import IFrame\nIFrame(${JSON.stringify(frameAddress(wish))}, width="100%", height=${wish.height ?? 640})` },
        { id: 'docusaurus', code: `<iframe\n  src="${html(frameAddress(wish))}"\n  title="peftlab"\n  width="100%"\n  height="${wish.height ?? 640}"\n  style={{border: 0}}\n  loading="lazy"\n/>` },
        { id: 'reveal', code: `<section data-background-iframe="${html(frameAddress(wish))}" data-background-interactive></section>` },
        { id: 'lms', code: `${iframe}\n<p><a href="${html(frameAddress(wish))}" target="_blank" rel="noopener">Open full screen</a></p>` },
    ];
}

/** Settings as attributes of an element, from the same state as the permalink. @param {Record<string, any>} state @returns {Record<string, string>} */
export function attributesOf(state) {
    const initial = defaults();
    const names = { rank: 'rank', alpha: 'alpha', target_modules: 'targets', num_virtual_tokens: 'virtual-tokens', bottleneck_size: 'bottleneck' };
    const plain = Object.fromEntries(['method', 'task', 'model', 'level', 'seed', 'steps', 'shape', 'hide', 'lock', 'lang', 'lesson'].filter((key) => String(state[key] ?? '') !== '' && String(state[key]) !== String(initial[key])).map((key) => [key, String(state[key])]));
    const options = Object.entries(names).filter(([name]) => state.options?.[name] !== undefined).map(([name, attribute]) => [attribute, String(state.options[name])]);
    if (plain.task === 'own-data') delete plain.task;
    return { ...plain, ...Object.fromEntries(options) };
}
