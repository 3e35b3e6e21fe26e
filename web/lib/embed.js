/** Copy-paste code that puts the page, or one panel, into other places. Every address and name in it is escaped for where it stands. */
import { defaults } from './store.js';

/**
 * @typedef {{page: string, element: string, link: string, height?: number, settings: Record<string, string>}} Wish
 *   page: address of the folder the site lies in, with "/"; link: permalink "#v=1&…"
 */

const html = (/** @type {string} */ text) => text.replaceAll('&', '&amp;').replaceAll('"', '&quot;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');

const PRIVATE = [
    /^localhost$/, /\.(localhost|local|internal|test)$/, /^127\./, /^10\./, /^192\.168\./, /^172\.(1[6-9]|2\d|3[01])\./,
    /^169\.254\./, /^0\.0\.0\.0$/, /^\[(::1?|f[cd][\da-f]{2}:.*|fe[89ab][\da-f]:.*)\]$/,
];

/**
 * Who can open an address: everybody as far as one can tell from its name, only this computer's network
 * ("network"), or nobody else ("file").
 * @param {string} page @returns {'' | 'network' | 'file'}
 */
export function onlyHere(page) {
    const { protocol, hostname } = new URL(page);
    if (protocol === 'file:') return 'file';
    return PRIVATE.some((pattern) => pattern.test(hostname)) || (!hostname.includes('.') && !hostname.startsWith('[')) ? 'network' : '';
}

/** @param {string} element @returns {string} */
const tag = (element) => (element === 'playground' ? 'peft-playground' : `peft-panel-${element}`);

/** @param {Wish} wish @returns {string} */
const frameAddress = ({ page, element, link }) =>
    `${page}embed.html${element === 'playground' ? '' : `?element=${encodeURIComponent(element)}`}${link}`;

/** @param {Wish} wish */
function frame(wish) {
    return `<iframe src="${html(frameAddress(wish))}" title="peftlab" width="100%" height="${wish.height ?? 640}" ` +
        `style="border: 0" loading="lazy" allow="clipboard-write"></iframe>`;
}

/** A string in braces survives Markdown and JSX whatever is in it. @param {string} text */
const jsx = (text) => (/^[\w ,.:/-]*$/.test(text) ? `"${text}"` : `{${JSON.stringify(text)}}`);

/** @param {Wish} wish */
function componentJsx({ page, element, settings }) {
    const attributes = Object.entries(settings).map(([name, value]) => ` ${name}=${jsx(value)}`).join('');
    return `<Head>\n  <script type="module" src=${jsx(`${page}peftlab-elements.js`)}></script>\n</Head>\n\n` +
        `<${tag(element)}${attributes}${element === 'playground' ? ' no-link=""' : ''}></${tag(element)}>`;
}

/** @param {Wish} wish */
function component({ page, element, settings }) {
    const attributes = Object.entries(settings).map(([name, value]) => ` ${name}="${html(value)}"`).join('');
    const name = tag(element);
    return `<script type="module" src="${html(page)}peftlab-elements.js"></script>\n` +
        `<${name}${attributes}${element === 'playground' ? ' no-link' : ''}>This panel needs JavaScript.</${name}>`;
}

/** Gives each frame the height that it asks for; only what comes from the frame itself is heard. */
const FOLLOW = `<script>
addEventListener('message', ({ data, source }) => {
  if (data?.type !== 'peft:height' || !(data.height > 0)) return;
  for (const frame of document.querySelectorAll('iframe')) if (frame.contentWindow === source) frame.height = Math.min(data.height, 20000);
});
</script>`;

/** A notebook's class with the traits that most want; anywidget.mjs knows more (web/elements/widget.js). @param {Wish} wish */
const widgetClass = ({ page, element }) => `import anywidget
from traitlets import Bool, Dict, Int, Unicode

class Peftlab(anywidget.AnyWidget):
    _esm = ${JSON.stringify(`${page}anywidget.mjs`)}
    element = Unicode(${JSON.stringify(element)}).tag(sync=True)
    attributes = Dict().tag(sync=True)
    method = Unicode(None, allow_none=True).tag(sync=True)
    rank = Int(None, allow_none=True).tag(sync=True)
    training = Bool(False).tag(sync=True)
    status = Unicode("").tag(sync=True)
    result = Dict().tag(sync=True)
`;

/** What to paste where. @param {Wish} wish @returns {{id: string, code: string}[]} */
export function embedCode(wish) {
    const iframe = frame(wish);
    const address = frameAddress(wish);
    const made = `Peftlab(attributes=${JSON.stringify(wish.settings)})`;
    return [
        { id: 'iframe', code: iframe },
        { id: 'iframefit', code: `${iframe}\n${FOLLOW}` },
        { id: 'component', code: component(wish) },
        { id: 'quarto', code: `\`\`\`{=html}\n${iframe}\n\`\`\`` },
        { id: 'myst', code: `:::{iframe} ${address}\n:width: 100%\n:title: peftlab\n:::` },
        {
            id: 'mystwidget',
            code: `:::{anywidget} ${wish.page}anywidget.mjs\n${JSON.stringify({ element: wish.element, attributes: wish.settings }, null, 2)}\n:::`,
        },
        { id: 'jupyter', code: `from IPython.display import IFrame\nIFrame(${JSON.stringify(address)}, width="100%", height=${wish.height ?? 640})` },
        {
            id: 'anywidget',
            code: `${widgetClass(wish)}\nlab = ${made}\nlab  # then: lab.method = "lora"; lab.rank = 4; lab.training = True; lab.result`,
        },
        {
            id: 'marimo',
            code: `import marimo as mo\n${widgetClass(wish)}\nlab = mo.ui.anywidget(${made})\nlab\n\n` +
                `# In another cell: lab.value["result"]. Steer it from a button, since a cell that reads lab runs again ` +
                `whenever it changes:\n# mo.ui.button(label="Train", on_click=lambda _: setattr(lab, "training", True))`,
        },
        {
            id: 'docusaurus',
            code: `<iframe\n  src="${html(address)}"\n  title="peftlab"\n  width="100%"\n  ` +
                `height="${wish.height ?? 640}"\n  style={{border: 0}}\n  loading="lazy"\n  allow="clipboard-write"\n/>`,
        },
        { id: 'docusauruscomponent', code: `import Head from '@docusaurus/Head';\n\n${componentJsx(wish)}` },
        { id: 'reveal', code: `<section data-background-iframe="${html(address)}" data-background-interactive data-preload></section>` },
        { id: 'lms', code: `${iframe}\n<p><a href="${html(address)}" target="_blank" rel="noopener">Open full screen</a></p>` },
    ];
}

/** Options of a method whose attribute has a name of its own; the rest are JSON in `options`. */
const OPTION_ATTRIBUTES = /** @type {Readonly<Record<string, string>>} */ (
    Object.freeze({
        rank: 'rank', alpha: 'alpha', target_modules: 'targets', num_virtual_tokens: 'virtual-tokens',
        bottleneck_size: 'bottleneck',
    })
);

/**
 * Settings as attributes of an element, from the same state as the permalink.
 * @param {Record<string, any>} state @returns {Record<string, string>}
 */
export function attributesOf(state) {
    const initial = defaults();
    const plain = Object.fromEntries(
        [
            'method', 'task', 'model', 'level', 'seed', 'steps', 'lr', 'batch_size', 'shape', 'hide', 'lock', 'lang',
            'lesson', 'prompt',
        ]
            .filter((key) => String(state[key] ?? '') !== '' && String(state[key]) !== String(initial[key]))
            .map((key) => [key.replace('_', '-'), String(state[key])]),
    );
    const given = Object.entries(state.options ?? {}).filter(([, value]) => value !== undefined);
    const named = given.filter(([name]) => Object.hasOwn(OPTION_ATTRIBUTES, name)).map(([name, value]) => [OPTION_ATTRIBUTES[name], String(value)]);
    const rest = given.filter(([name]) => !Object.hasOwn(OPTION_ATTRIBUTES, name));
    if (plain.task === 'own-data') delete plain.task;
    return { ...plain, ...Object.fromEntries(named), ...(rest.length && { options: JSON.stringify(Object.fromEntries(rest)) }) };
}
