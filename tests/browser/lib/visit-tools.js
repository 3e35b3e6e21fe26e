// The first script of every page that the tests of all engines visit (a classic one, before any of ours): keeps what goes wrong
// and what is said on the way, and gives the visits (visits.js) eyes and hands. Its list of errors stands for a driver's console
// log, which WebKit's driver does not have.
(() => {
  const all = /** @type {any} */ (globalThis);
  /** @type {string[]} */
  const errors = [];
  /** Firefox calls the preload of a module that is being fetched already an error; it is one if the module never came. */
  const preloads = /** @type {Set<string>} */ (new Set());
  const { error } = console;
  console.error = (...args) => {
    errors.push(`console: ${args.join(' ')}`);
    error.apply(console, args);
  };
  addEventListener('error', (event) => {
    const { src, href, rel } = /** @type {any} */ (event.target) ?? {};
    if (rel === 'modulepreload') preloads.add(href);
    else errors.push(event.message ? `uncaught: ${event.message}` : `not loaded: ${src ?? href}`);
  }, true);
  addEventListener('unhandledrejection', ({ reason }) => errors.push(`rejected: ${reason?.stack ?? reason}`));
  document.addEventListener('securitypolicyviolation', (event) => errors.push(`policy: ${event.violatedDirective} ${event.blockedURI}`));

  /**
   * Everything under a node that matches, through shadow roots; ">>>" stands where a selector goes through one.
   * @param {string} selector @param {any} [from] @returns {any[]}
   */
  const every = (selector, from = document) => {
    const [outer, ...inner] = selector.split(' >>> ');
    const within = (/** @type {any} */ node, /** @type {string} */ what) => (node.shadowRoot ? every(what, node.shadowRoot) : []);
    const found = [...from.querySelectorAll(outer), ...[...from.querySelectorAll('*')].flatMap((node) => within(node, outer))];
    return inner.length ? found.flatMap((node) => within(node, inner.join(' >>> '))) : found;
  };
  /** Not hidden, and with a size on the screen. @param {any} node */
  const seen = (node) => node.getClientRects().length > 0;
  const sleep = (/** @type {number} */ ms) => new Promise((resolve) => { setTimeout(resolve, ms); });
  /** What was told is drawn, and what that sets in motion has begun; a window that nobody sees draws nothing. */
  const drawn = async () => {
    for (let i = 0; i < 2; i++) await Promise.race([new Promise((resolve) => { requestAnimationFrame(resolve); }), sleep(2000)]);
  };
  const words = (/** @type {any} */ node) => (node?.innerText ?? node?.textContent ?? '').replaceAll(/\s+/g, ' ').trim();

  /** Waits for something, and gives it. @param {() => any} look @param {number} [ms] */
  const until = async (look, ms = 120_000) => {
    for (const end = Date.now() + ms; Date.now() < end; await sleep(30)) {
      const found = await look();
      if (found) return found;
    }
    throw new Error(`after ${ms} ms not true: ${look}; ${errors.join('; ')}`);
  };
  /** @param {any} node @param {string | RegExp} [text] */
  const says = (node, text) => text === undefined || (typeof text === 'string' ? words(node) === text : text.test(words(node)));
  /**
   * The first one seen that matches, with these words where they are given.
   * @param {string} selector @param {string | RegExp} [text] @param {any} [from]
   */
  const find = (selector, text, from) => every(selector, from).find((node) => seen(node) && says(node, text));
  /** The same, as soon as it is there. @param {string} selector @param {string | RegExp} [text] @param {any} [from] */
  const one = (selector, text, from) => until(() => find(selector, text, from))
    .catch((error) => { throw new Error(`no ${selector} ${text ?? ''}: ${error.message}`); });
  /** Pressed as soon as it can be. @param {string} selector @param {string | RegExp} [text] @param {any} [from] */
  const press = async (selector, text, from) => {
    const free = () => { const found = find(selector, text, from); return found && !found.disabled && found; };
    const button = await until(free).catch((error) => { throw new Error(`no ${selector} ${text ?? ''} to press: ${error.message}`); });
    button.scrollIntoView({ block: 'nearest' });
    button.click();
    return button;
  };
  /** A value as a person gives it. @param {any} field @param {string} value */
  const fill = (field, value) => {
    field.focus();
    field.value = value;
    for (const type of ['input', 'change']) field.dispatchEvent(new Event(type, { bubbles: true, composed: true }));
  };
  /** Files chosen in a file input. @param {any} input @param {File[]} files */
  const choose = (input, files) => {
    const list = new DataTransfer();
    for (const file of files) list.items.add(file);
    input.files = list.files;
    input.dispatchEvent(new Event('change', { bubbles: true, composed: true }));
  };
  /** What a click saves, instead of the browser's own way of saving. @param {() => Promise<any>} act @returns {Promise<File>} */
  const saved = async (act) => {
    const { click } = HTMLAnchorElement.prototype;
    /** @type {File | undefined} */
    let file;
    HTMLAnchorElement.prototype.click = function () {
      const { href, download } = this;
      fetch(href).then((answer) => answer.blob()).then((blob) => { file = new File([blob], download, { type: blob.type }); });
    };
    try {
      await act();
      return await until(() => file);
    } finally {
      HTMLAnchorElement.prototype.click = click;
    }
  };

  /** What the recorded run says, at every frame until the page is ready, each text once in a row. @type {string[]} */
  const said = [];
  const listen = () => {
    const playground = /** @type {any} */ (document.querySelector('peft-playground'));
    // The words are in index.html already, and later in the element.
    const place = playground?.shadowRoot ? find('peft-sample', undefined, playground.shadowRoot)?.shadowRoot : playground;
    const text = [...place?.querySelectorAll('blockquote') ?? []].map(words).join(' / ');
    if (text !== (said.at(-1) ?? '')) said.push(text);
    if (playground?.lab?.status !== 'ready') requestAnimationFrame(listen);
  };
  requestAnimationFrame(listen);

  /** Nothing fades or slides any more: on its way a text may well be too pale. */
  const still = () => !every('*').some((/** @type {Element} */ node) => node.getAnimations().some((animation) =>
    animation.playState === 'running' && animation.effect?.getComputedTiming().iterations !== Infinity));

  /** axe-core in one theme; one line per violation. @param {'light' | 'dark'} theme */
  const axe = async (theme) => {
    if (!all.axe) {
      const script = Object.assign(document.createElement('script'), { src: 'axe.min.js' });
      document.head.append(script);
      await until(() => all.axe);
    }
    document.documentElement.dataset.theme = theme;
    await drawn(); // the theme's own transitions have begun
    await until(still);
    const values = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];
    const { violations } = await all.axe.run(document, { resultTypes: ['violations'], runOnly: { type: 'tag', values } });
    const place = (/** @type {any} */ { target, any }) => `${target.flat().join(' ')} (${any[0]?.message ?? ''})`;
    return violations.map((/** @type {any} */ { id, nodes }) => `${theme}: ${id} at ${nodes.slice(0, 4).map(place).join(' | ')}`);
  };

  /** What is wider than the window and does not scroll by itself, by name. */
  const wide = () => {
    const { clientWidth: width, scrollWidth } = document.documentElement;
    const found = scrollWidth > width ? [`page ${scrollWidth} > ${width}`] : [];
    const walk = (/** @type {any} */ at, /** @type {boolean} */ scrolls) => {
      for (const node of at.children ?? []) {
        const { overflowX, visibility, position } = getComputedStyle(node);
        const inside = scrolls || /auto|scroll|hidden/.test(overflowX);
        const { left, right, width: size } = node.getBoundingClientRect();
        // In a folded <details> Firefox keeps boxes as wide as they were when they were last laid out; nobody sees them.
        const shown = visibility !== 'hidden' && node.checkVisibility();
        const counts = !inside && size > 0 && shown && position !== 'absolute';
        if (counts && (right > width + 1 || left < -1)) found.push(`${node.localName}.${node.className} ${Math.round(left)}…${Math.round(right)}`);
        walk(node, inside);
        if (node.shadowRoot) walk(node.shadowRoot, inside);
      }
    };
    walk(document.body, false);
    return found.slice(0, 5);
  };
  /** The same, where it lasts: a page turns to another width within some frames, on a busy machine later. */
  const overflows = async () => {
    await sleep(80);
    for (const end = Date.now() + 30_000; wide().length && Date.now() < end;) await sleep(80);
    return wide();
  };

  /** What moves now. */
  const moving = () => every('*').flatMap((node) => node.getAnimations().filter((/** @type {Animation} */ animation) =>
    animation.playState === 'running' && Number(animation.effect?.getComputedTiming().duration) > 0).map(() => node.localName));

  /** What went wrong so far, and who else was asked. */
  const wrong = () => {
    const asked = performance.getEntriesByType('resource').map(({ name }) => name);
    const others = asked.filter((name) => /^(https?|wss?):/.test(name) && !name.startsWith(`${location.origin}/`));
    const missing = [...preloads].filter((name) => !asked.includes(name));
    return [...errors, ...missing.map((name) => `not loaded: ${name}`), ...others.map((name) => `asked: ${name}`)];
  };

  all.tools = {
    every, find, one, press, fill, choose, saved, until, sleep, words, said,
    wrong, overflows, moving,
    looks: async () => [...await axe('light'), ...await axe('dark')],
  };
})();
