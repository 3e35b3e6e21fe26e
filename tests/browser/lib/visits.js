// What the tests of all engines do in the page (engines-panels.test.mjs): each panel's main action, by its own buttons and fields. A
// visit gives what it saw, which is the same in every engine, to the last digit. Loaded after visit-tools.js.
(() => {
  const { tools } = /** @type {any} */ (globalThis);
  const { every, find, one, press, fill, choose, saved, until, words } = tools;
  const playground = () => /** @type {any} */ (document.querySelector('peft-playground'));
  const lab = () => playground().lab;
  const ready = () => until(() => playground()?.lab?.status === 'ready');
  const idle = () => until(() => lab().status === 'ready');
  /** @param {string} name @returns {Promise<any>} the panel, once it is drawn */
  const panel = (name) => until(() => {
    const [found] = every(`peft-panel-${name}`);
    return found?.shadowRoot?.querySelector('h2') && found;
  });
  const logits = () => lab().work(async (/** @type {any} */ session) => {
    const { logits: all } = await session.logits({ text: 'The cat' });
    return Array.from(all.slice(0, 40));
  });
  const same = (/** @type {any} */ a, /** @type {any} */ b) => JSON.stringify(a) === JSON.stringify(b);
  /** @type {Record<string, () => Promise<any>>} */
  const panels = {
    async inspect() {
      const at = await panel('inspect');
      await until(() => at.view?.spectrum?.frobenius > 0);
      const maps = await until(() => { const all = every('peft-heatmap >>> canvas', at.shadowRoot); return all.length === 5 && all; });
      const pixels = (/** @type {HTMLCanvasElement} */ map) => map.getContext('2d')?.getImageData(0, 0, map.width, map.height).data;
      const painted = await until(() => maps.every((/** @type {HTMLCanvasElement} */ map) => new Set(pixels(map)).size > 8));
      const map = await one('peft-heatmap[data-map="ΔW"] >>> .map', undefined, at.shadowRoot);
      map.focus();
      for (const key of ['ArrowDown', 'ArrowRight'])
        map.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true, composed: true }));
      await one('peft-heatmap >>> output', /row 2, column 2/, at.shadowRoot);
      await one('peft-chart >>> svg', undefined, at.shadowRoot);
      return { painted, spectrum: Array.from(at.view.spectrum.singular_values).slice(0, 8) };
    },
    async merge() {
      const at = await panel('merge');
      const before = await logits();
      await press('#merge', undefined, at.shadowRoot);
      const difference = words(await one('#difference', undefined, at.shadowRoot));
      const merged = await logits();
      await idle();
      await press('#unmerge', undefined, at.shadowRoot);
      await one('#merge', undefined, at.shadowRoot);
      await idle();
      return { difference, moved: !same(before, merged), back: same(before, await logits()) };
    },
    async compare() {
      const at = await panel('compare');
      await one('peft-chart >>> svg', undefined, at.shadowRoot); // the recorded results
      for (const name of ['prefix', 'adapter', 'full']) (await one(`input[name=${name}]`, undefined, at.shadowRoot)).click();
      for (const [id, value] of [['seeds', '1'], ['steps', '4']]) fill(await one(`#${id}`, undefined, at.shadowRoot), value);
      await press('#run', undefined, at.shadowRoot);
      await until(() => at.result && !at.result.recorded && !at.work.running);
      const file = await saved(() => press('#export-csv', undefined, at.shadowRoot));
      const runs = at.result.runs.map((/** @type {any} */ { method, status, loss, score }) => [method, status, loss, score]);
      return { runs, file: [file.name, (await file.text()).split('\r\n').length] };
    },
    async mix() {
      const at = await panel('mix');
      Object.assign(at, { steps: 6, pair: ['turtle', 'mood'] });
      await until(() => find('#train-pair, #rule', undefined, at.shadowRoot));
      if (find('#train-pair', undefined, at.shadowRoot)) await press('#train-pair', undefined, at.shadowRoot);
      await one('#rule', undefined, at.shadowRoot);
      const settled = () => until(() => at.applied && !at.thinking && !at.dirty && !at.work.running);
      await settled();
      const slider = await one('input[type=range]', undefined, at.shadowRoot);
      slider.focus();
      slider.value = '0.25';
      slider.dispatchEvent(new Event('input', { bubbles: true }));
      await settled();
      const box = every('input[type=number]', at.shadowRoot)[0].value;
      await press('#score', undefined, at.shadowRoot);
      await one('#scores', undefined, at.shadowRoot);
      const scores = at.scores.map((/** @type {any} */ row) => [row.task, row.loss, row.score]);
      return { weights: at.weights, box, text: at.text, scores };
    },
    async combine() {
      const at = await panel('combine');
      await one('#sum', undefined, at.shadowRoot);
      Object.assign(at, { steps: 4, seeds: 1 });
      await press('#run', undefined, at.shadowRoot);
      await one('#verdict', undefined, at.shadowRoot);
      await press('#put', undefined, at.shadowRoot);
      await one('*', /^Both are in the model now/, at.shadowRoot);
      await idle();
      const modules = lab().description.modules.map((/** @type {any} */ m) => m.method);
      return { losses: at.result.rows.map((/** @type {any} */ row) => row.losses), modules };
    },
    async choose() {
      const at = await panel('choose');
      for (let i = 0; i < 4; i++) {
        const group = await until(() => {
          const found = every('fieldset, [role="group"]', at.shadowRoot)[i];
          return found && !found.disabled && found;
        });
        (await one('label', 'No', group)).click();
        await at.updateComplete;
      }
      await one('h3', /Recommendation: .*LoRA/, at.shadowRoot);
      const best = words(await one('.best', /[1-9],\d{3}/, at.shadowRoot)); // with the engine's counts
      return { path: every('svg.tree .edge.on', at.shadowRoot).length, best };
    },
    async calculator() {
      const at = await panel('calculator');
      const big = () => words(find('.big', undefined, at.shadowRoot));
      const largest = (/** @type {any} */ node) => [...node.options].some(({ value }) => value === 'llama-2-70b');
      const shape = await until(() => every('select', at.shadowRoot).find(largest));
      fill(shape, 'llama-2-70b');
      await until(() => big() === '16,384,000');
      await press('button', 'Chapter numbers', at.shadowRoot);
      await until(() => big() === '4,194,304');
      const chapter = every('label', at.shadowRoot).find((/** @type {any} */ node) => /as the chapter/.test(words(node)));
      const bars = words(await one('figcaption', undefined, at.shadowRoot));
      chapter.click();
      await until(() => words(find('figcaption', undefined, at.shadowRoot)) !== bars);
      return { bars, own: words(find('figcaption', undefined, at.shadowRoot)) };
    },
    async chapter() {
      const at = await panel('chapter');
      await one('*', '50,331,648', at.shadowRoot);
      await one('peft-chart >>> svg', undefined, at.shadowRoot);
      return { sections: every('section', at.shadowRoot).length, verdicts: every('.claim .verdict', at.shadowRoot).length };
    },
    async export() {
      const at = await panel('export');
      await idle();
      const before = await logits();
      const zip = await saved(() => press('button', 'Save the adapter', at.shadowRoot));
      const { length } = lab().runs;
      choose(every('input[type=file]', at.shadowRoot)[0], [zip]);
      await one('*', /^Loaded: LoRA/, at.shadowRoot);
      await until(() => lab().runs.length > length);
      await idle();
      const script = words(find('pre', /LoraConfig\(/, at.shadowRoot)).length;
      return { name: zip.name, same: same(before, await logits()), script };
    },
    async lessons() {
      const at = await panel('lessons');
      const { rank } = lab().state.options;
      await press('button', /How few numbers/, at.shadowRoot);
      const player = await one('.foot > peft-lesson'); // in the bar that stays on the screen
      await one('h3', /step 1 of 4/, player.shadowRoot);
      const ranks = () => lab().description.modules.map((/** @type {any} */ m) => m.options.rank);
      await until(() => lab().status === 'ready' && same(ranks(), [8])); // the step's settings
      await until(() => !every('fieldset', player.shadowRoot)[0].disabled);
      fill(await one('input[type=text]', undefined, player.shadowRoot), lab().description.counts.trainable.toLocaleString('en'));
      await press('button', 'Check', player.shadowRoot);
      await one('[role=status]', /^✓ \S/, player.shadowRoot); // and in the lesson's own words why
      await press('button', 'Next', player.shadowRoot);
      await one('h3', /step 2 of 4/, player.shadowRoot);
      const docked = await until(() => {
        const { top, bottom } = player.getBoundingClientRect();
        return top > 0 && Math.abs(bottom - document.documentElement.clientHeight) < 60;
      });
      await press('.fold', '▾', player.shadowRoot);
      await until(() => player.getBoundingClientRect().height < 80);
      scrollTo(0, document.documentElement.scrollHeight); // where the bar covers nothing
      const looks = await tools.looks();
      await press('button[aria-label="Leave the lesson"]', undefined, player.shadowRoot);
      await until(() => !find('.foot > peft-lesson') && lab().state.lesson === '' && lab().status === 'ready');
      return { docked, looks, back: lab().state.options.rank === rank };
    },
    async proof() {
      const at = await panel('proof');
      await one('#recorded', undefined, at.shadowRoot);
      await press('#check', undefined, at.shadowRoot);
      const row = await one('#own tbody tr', undefined, at.shadowRoot);
      return { worst: row.dataset.worst, bits: words(await one('#own code', undefined, at.shadowRoot)) };
    },
    async data() {
      const at = await panel('data');
      const row = (/** @type {number} */ i) => ({ prompt: `The cat number ${i}`, completion: ` says ${i % 3 ? 'arr' : 'meow'}, and runs away.` });
      const rows = Array.from({ length: 12 }, (_, i) => JSON.stringify(row(i)));
      const file = new File([`${rows.join('\n')}\nnot json`], 'mine.jsonl', { type: 'text/plain' });
      choose(every('input[type=file]', at.shadowRoot)[0], [file]);
      await one('.warn', /line 13: not JSON/, at.shadowRoot);
      const stats = words(await one('dl', undefined, at.shadowRoot));
      lab().set({ steps: 3 });
      await press('button', 'Use it and train', at.shadowRoot);
      await until(() => lab().run?.task === 'own-data' && lab().run.status === 'done');
      return { stats, losses: lab().run.losses };
    },
  };

  /** The first run, by the button; what it says then, its score, and what the coach says of it. */
  const first = async () => {
    await ready();
    const said = [...tools.said];
    await press('peft-train:not([compact]) >>> #train');
    const run = await until(() => lab().run?.status === 'done' && lab().run);
    await until(() => typeof run.score === 'number' && typeof run.base_score === 'number' && lab().status === 'ready'); // by itself
    await one('peft-sample >>> *', /%/);
    await one('peft-coach >>> .card');
    const drawn = await until(() => find('peft-loss >>> peft-chart >>> svg')?.querySelectorAll('path').length > 1);
    const after = words(await one('peft-sample >>> blockquote.after'));
    return { said, losses: run.losses, scores: [run.base_score, run.score], after, drawn };
  };

  /** A long run, paused, taken one step on, and stopped; the held-out loss is that of the step it stopped at. */
  const stop = async () => {
    const steps = 5000; // it ends by Stop alone
    lab().set({ steps });
    await idle();
    await press('peft-train:not([compact]) >>> #train');
    await until(() => lab().run?.status === 'running' && lab().run.losses.length > 3);
    await press('peft-train:not([compact]) >>> button', 'Pause');
    await until(() => lab().status === 'paused');
    const at = lab().run.losses.length;
    await press('peft-train:not([compact]) >>> button', 'One step');
    await until(() => lab().status === 'paused' && lab().run.losses.length === at + 1);
    await press('peft-train:not([compact]) >>> button', 'Go on');
    await until(() => lab().run.losses.length > at + 2);
    const began = performance.now();
    await press('peft-train:not([compact]) >>> button', 'Stop');
    await idle();
    const { run } = lab();
    const soon = performance.now() - began < 5000;
    return { status: run.status, short: run.losses.length < steps, soon, step: run.validations.at(-1).step === run.losses.length };
  };

  /**
   * One panel: opened by its button, its main action, and how it looks in both themes.
   * @param {string} name @param {string} label of its button
   */
  const visit = async (name, label) => {
    await press(name === 'proof' ? 'footer button' : 'button', label);
    const seen = await panels[name]();
    const looks = await tools.looks();
    if (find('#panel')) await press('#panel > .close'); // a lesson that is played has closed it
    return { seen, looks, wrong: tools.wrong() };
  };

  /** A link that asks for the impossible: said in its language, in one notice, and it trains. */
  const corrected = async () => {
    await ready();
    const notice = await one('peft-notices >>> .item', /9999/);
    const looks = await tools.looks();
    await press('peft-train:not([compact]) >>> #train');
    await until(() => lab().run?.losses.length > 0);
    lab().stop();
    await idle();
    const { title, documentElement: { lang } } = document;
    return { said: words(notice), items: every('peft-notices >>> .item').length, title, lang, looks, wrong: tools.wrong() };
  };

  const active = () => {
    let node = /** @type {any} */ (document.activeElement);
    while (node?.shadowRoot?.activeElement) node = node.shadowRoot.activeElement;
    return node;
  };
  /** @type {any} what the keyboard was at */
  let last = null;
  /** What the keyboard is at: an id, or the element's name. */
  const focused = () => {
    const node = last = active();
    return { name: node?.id || node?.localName, ring: getComputedStyle(node).outlineStyle, value: node?.value };
  };
  /** The same, once a key has moved it on. */
  const moved = async () => {
    await until(() => active() !== last);
    return focused();
  };
  /** What the keys are to act on. @type {Record<string, () => Promise<any>>} */
  const keys = {
    async slider() {
      await ready();
      const slider = await one('peft-controls >>> input[type=range]');
      await until(() => slider.value === '8'); // as the link has it, which a page that is open already follows a little later
      slider.focus();
    },
    /** Own text in its field, chosen by Control+A and taken by Control+X in what follows. */
    async paste() {
      await press('button', 'Your data');
      const at = await panel('data');
      const field = await one('textarea', undefined, at.shadowRoot);
      field.value = '{"prompt": "The cat", "completion": " says arr."}\n{"prompt": "The dog", "completion": " barks."}';
      field.focus();
    },
    async pasted() {
      const at = await panel('data');
      await until(() => at.stats?.examples === 2);
      await one('p', /pasted text is read as jsonl/, at.shadowRoot);
      const free = () => find('button', 'Use it and train', at.shadowRoot)?.disabled === false;
      return { still: focused().name, can: await until(free) };
    },
    trained: () => until(() => lab().run?.status === 'done'),
  };

  /** An element alone in a page. @type {Record<string, () => Promise<any>>} */
  const alone = {
    async merge() {
      await press('#merge');
      return words(await one('#difference'));
    },
    async delta() {
      await one('tr.chosen');
      await until(() => Number.parseFloat(words(every('tr.chosen td')[2])) > 0);
      const [at] = every('peft-panel-inspect');
      return Array.from((await until(() => at.view?.spectrum?.frobenius > 0 && at.view.spectrum)).singular_values);
    },
    async mix() {
      const [at] = await until(() => { const found = every('peft-panel-mix'); return found.length && found; });
      await one('#rule');
      await until(() => at.applied && !at.thinking && !at.dirty);
      return [[...every('.sources select')[0].options].map(words), at.text]; // the list by its options: Firefox has no innerText of it
    },
    async coach() {
      await press('peft-panel-coach >>> peft-train >>> #train');
      const [{ lab: own }] = every('peft-panel-coach');
      await until(() => own.run?.status === 'done');
      await one('peft-coach >>> .card');
      return own.run.losses;
    },
    async calculator() {
      return words(await one('.big', /[1-9]/));
    },
    async quiz() {
      return words(await one('peft-quiz >>> h3', /paso 1 de 4$/));
    },
    async unknown() {
      return [words(await one('p[lang]', /nonsense/)), /** @type {any} */ (find('p[lang]')).lang];
    },
  };

  const element = async (/** @type {string} */ name) => ({ seen: await alone[name](), looks: await tools.looks(), wrong: tools.wrong() });
  Object.assign(globalThis, { visits: { first, stop, visit, corrected, focused, moved, keys, alone: element } });
})();
