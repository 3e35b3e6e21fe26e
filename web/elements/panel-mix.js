/** Mix: two or three trained LoRAs or adapters, a weight for each, the text and the losses of the mixture, and what the mixing rules cost. */
import { aside } from '../lib/aside.js';
import { AVERAGE, candidates, Mixer, PRUNES, SCORED, SUM, trainLora } from '../lib/mixing.js';
import { makeRun } from '../lib/runs.js';
import { badge, css, define, html, LabElement, nothing, t } from './base.js';
import './chart.js';
import { errorsTable, LETTERS, measuredOn, scoresTable, stripResult } from './mix-results.js';
import { aloneText, areLoras, ruleName, rulesFor, ruleText, sourceCard, sourceName, weightNear } from './mix-sources.js';
import { taskTitle, Work } from './work.js';

const POINTS = 11;
const LIVE_MS = 200;
/** What stays with the lab when the panel is closed. */
const KEPT = /** @type {const} */ (['chosen', 'weights', 'rule', 'density', 'prompt', 'scores', 'strip', 'errors', 'measured']);

class PeftPanelMix extends LabElement {
    static watch = ['status', 'runs', 'ready', 'state'];
    static styles = [LabElement.styles, css`
        .sources { display: grid; gap: 12px; grid-template-columns: repeat(auto-fit, minmax(min(100%, 260px), 1fr)); }
        label {
            display: grid; grid-template-columns: minmax(0, 1fr); align-content: start; gap: 2px;
            font-size: 0.85rem; color: var(--muted);
        }
        label select, label input, label textarea { color: var(--text); }
        .sources .card { align-content: start; min-width: 0; }
        #errors td:last-child { min-width: 16em; }
        .slide { display: grid; grid-template-columns: minmax(0, 1fr) 5.5em; gap: 8px; align-items: center; }
        .slide input[type=number] { width: 100%; }
        .text {
            background: var(--surface); border-radius: 6px; padding: 10px 12px; min-height: 4.5em; margin: 0;
            white-space: pre-wrap; overflow-wrap: anywhere;
        }
        .strip td { vertical-align: top; }
        .two { display: grid; gap: 12px; grid-template-columns: repeat(auto-fit, minmax(min(100%, 240px), 1fr)); }
    `];
    static properties = {
        chosen: { state: true }, weights: { state: true }, rule: { state: true }, density: { state: true }, prompt: { state: true },
        text: { state: true }, applied: { state: true }, problem: { state: true }, scores: { state: true }, errors: { state: true },
        strip: { state: true }, pair: { state: true }, kept: { state: true }, thinking: { state: true }, measured: { state: true },
    };

    constructor() {
        super();
        /** Keys of the sources; '' = none. @type {string[]} */
        this.chosen = ['', '', ''];
        this.weights = [1, 1, 0];
        this.rule = SUM;
        this.density = 0.5;
        this.prompt = '';
        this.text = '';
        /** @type {import('../lib/mixing.js').Applied | null} */
        this.applied = null;
        this.problem = '';
        /** @type {import('./mix-results.js').Score[] | null} */
        this.scores = null;
        /** @type {import('./mix-results.js').RuleError[] | null} */
        this.errors = null;
        /** @type {import('./mix-results.js').StripPoint[] | null} */
        this.strip = null;
        /** The mixtures that scores, strip and errors are of. @type {Record<string, import('./mix-results.js').Mixture>} */
        this.measured = {};
        /** The visitor's own text, while it is the task. @type {import('../engine/tasks.js').Task | null} */
        this.own = null;
        this.pair = ['pirate', 'mood'];
        /** Steps of the two LoRAs trained here; 0: the presets'. */
        this.steps = 0;
        /** The run that the mixture was kept as. */
        this.kept = 0;
        this.thinking = false;
        this.work = new Work(this);
        /** @type {Promise<Mixer> | null} */
        this.mixer = null;
        this.loaded = '';
        this.dirty = false;
        /** @type {AbortController | null} */
        this.speaking = null;
        /** @type {ReturnType<typeof setTimeout> | undefined} */
        this.timer = undefined;
    }

    connectedCallback() {
        super.connectedCallback();
        this.lab.ready().catch(() => {});
        const { key: _, ...kept } = this.lab.results.mix ?? {};
        Object.assign(this, kept, { own: this.#ownText });
        this.requestUpdate(); // the mixture's engine went when the panel was taken away
    }

    disconnectedCallback() {
        super.disconnectedCallback();
        this.work.cancel();
        this.lab.results.mix = { key: this.loaded, ...Object.fromEntries(KEPT.map((name) => [name, this[name]])) };
        this.#drop();
    }

    get #ownText() { return this.lab.task?.name === 'own-data' ? this.lab.task : null; }

    #drop() {
        clearTimeout(this.timer);
        this.speaking?.abort();
        this.mixer?.then(({ own }) => own.close(), () => {});
        this.mixer = null;
        this.loaded = '';
    }

    /** @param {string} type @param {any} detail */
    onLab(type, detail) {
        if (type === 'state' && detail?.includes('model')) {
            this.#drop();
            Object.assign(this, { chosen: ['', '', ''], text: '', strip: null, scores: null, errors: null });
        }
        this.requestUpdate();
    }

    get candidates() { return candidates(this.lab, sourceName, taskTitle); }

    get all() { return this.candidates.mixed; }

    /** The sources in use: what was picked and goes together, else the first, and one of another task. */
    get used() {
        const { all } = this;
        const known = this.chosen.map((key) => all.find((source) => source.key === key));
        const first = known[0] ?? all[0];
        const [, second, third] = known.map((source) => (source?.kind === first?.kind ? source : undefined));
        if (known[0] && second) return third ? [first, second, third] : [first, second];
        const others = all.filter((source) => source !== first && source.kind === first.kind);
        const other = others.find(({ task }) => task !== first.task) ?? others[0];
        return other ? [first, other] : [];
    }

    /** The rule that is chosen, where the sources can be mixed by it. */
    get by() { return areLoras(this.used) ? this.rule : AVERAGE; }

    /** What is mixed now. */
    get mixture() {
        const { used, weights, by: rule, density, prompt } = this;
        return { used, weights, rule, density, prompt };
    }

    /** @param {Mixer} mixer @param {number[]} [weights] */
    #apply(mixer, weights = this.weights) {
        return mixer.apply(this.by, weights.slice(0, this.used.length), { density: this.density });
    }

    updated() {
        if (this.own !== this.#ownText) { // the mixture's engine has read another one, or none
            this.own = this.#ownText;
            this.#drop();
        }
        const key = this.used.map((source) => source.key).join('|');
        if (key && key !== this.loaded && this.isConnected && ['ready', 'paused'].includes(this.lab.status) && !this.work.running) {
            this.loaded = key;
            this.chosen = [...this.used.map((source) => source.key), '', ''].slice(0, 3); // later runs do not push them aside
            if (key !== this.lab.results.mix?.key) Object.assign(this, { strip: null, scores: null, errors: null });
            this.#touch(0);
        }
    }

    /** The engine of the mixture with the used sources in it; made when first needed. @returns {Promise<Mixer>} */
    async #ready() {
        this.mixer ??= aside(this.lab).then((own) => new Mixer(own));
        const mixer = await this.mixer.catch((error) => {
            this.mixer = null;
            throw error;
        });
        const { used } = this;
        if (mixer.sources.map((s) => s.key).join('|') !== used.map((s) => s.key).join('|')) await mixer.load(used);
        return mixer;
    }

    /** Something changed: speak again soon. @param {number} [wait] ms */
    #touch(wait = LIVE_MS) {
        this.dirty = true;
        this.speaking?.abort();
        clearTimeout(this.timer);
        this.timer = setTimeout(() => this.#speak(), wait);
    }

    async #speak() {
        if (this.thinking || this.work.running) return;
        this.thinking = true;
        while (this.dirty && this.isConnected) {
            this.dirty = false;
            this.speaking = new AbortController();
            try {
                const mixer = await this.#ready();
                this.prompt ||= await this.#firstPrompt(mixer);
                this.applied = await this.#apply(mixer);
                this.text = await mixer.say(this.prompt, this.speaking.signal);
                this.problem = '';
            } catch (error) {
                const { code, message } = /** @type {any} */ (error);
                if (code !== 'aborted') this.problem = code === 'range' && !areLoras(this.used) ? t('mix.average.zero') : message;
            }
        }
        this.thinking = false;
    }

    /** @param {Mixer} mixer */
    async #firstPrompt(mixer) {
        const name = mixer.tasks[0];
        const task = name ? await mixer.task(name) : null;
        return task?.items.validation?.[0]?.prompt ?? 'Once upon a time';
    }

    /** @param {number} i @param {number} value */
    #weigh(i, value) {
        if (!Number.isFinite(value)) return;
        this.weights = this.weights.with(i, weightNear(value));
        this.#touch();
    }

    /**
     * Longer work with the mixture.
     * @param {number} total @param {string} label @param {(mixer: Mixer, hand: import('./work.js').Hand) => Promise<void>} job
     */
    async #longer(total, label, job) {
        this.speaking?.abort();
        while (this.thinking) await new Promise((resolve) => setTimeout(resolve, 20));
        await this.work.run(total, label, async (hand) => {
            const mixer = await this.#ready();
            await this.#apply(mixer);
            await job(mixer, hand);
        });
    }

    #score() {
        const tasks = new Set(this.used.map((source) => source.task)).size;
        return this.#longer(tasks * (SCORED + 2), t('mix.scoring'), async (mixer, { signal, tick }) => {
            const rows = [];
            for (const task of mixer.tasks) {
                const loss = await mixer.loss(task, signal);
                tick();
                const score = await mixer.score(task, { signal, onProgress: () => tick() });
                const metric = (await mixer.task(task)).metric.name;
                rows.push({ task, ...mixer.heldOut(task), metric, loss, score, base: await mixer.baseLoss(task, signal) });
            }
            this.#show('scores', rows);
        });
    }

    /** From A alone to B alone; a third source keeps its weight. */
    #sweep() {
        return this.#longer(POINTS, t('mix.strip.running'), async (mixer, { signal, tick, check }) => {
            const points = [];
            const rest = this.weights.slice(2);
            const ends = this.used.slice(0, 2);
            for (let i = 0; i < POINTS; i++) {
                const weight = i / (POINTS - 1);
                await this.#apply(mixer, [1 - weight, weight, ...rest]);
                const losses = [];
                for (const { task } of ends) losses.push(mixer.tasks.includes(task) ? await mixer.loss(task, signal) : NaN);
                const held = ends.map(({ task }) => mixer.heldOut(task));
                points.push({ weight, losses, held, text: await mixer.say(this.prompt, signal) });
                tick();
                check();
            }
            this.#show('strip', points);
            await this.#apply(mixer);
        });
    }

    #compareRules() {
        const types = (this.lab.engine?.mix_types ?? []).map((/** @type {any} */ m) => m.name);
        return this.#longer(1, t('mix.rules.running'), async (mixer) => {
            this.#show('errors', await mixer.errors(types, this.weights.slice(0, this.used.length), { density: this.density }));
        });
    }

    /** @param {'scores' | 'strip' | 'errors'} kind @param {any} result of the mixture as it is set now */
    #show(kind, result) {
        this[kind] = result;
        const { used, ...mixture } = this.mixture;
        this.measured = { ...this.measured, [kind]: { ...mixture, used: used.map(({ key }) => key) } };
    }

    /** The mixture as a run of its own: it can be loaded, merged, exported. */
    #keep() {
        const { lab } = this;
        return this.#longer(1, t('mix.keep'), async (mixer) => {
            const { module, files } = await mixer.keep(this.by, this.weights.slice(0, this.used.length), { density: this.density });
            const from = lab.runs.find((run) => this.used.some((source) => source.key === `run ${run.id}`)) ?? lab.run;
            const id = Math.max(0, ...lab.runs.map((run) => run.id)) + 1;
            const counts = { trainable: module.parameters, total: lab.description?.counts.total ?? 0 };
            const run = makeRun({
                id, state: { ...lab.state, task: from?.task ?? lab.state.task }, module, counts, train: { ...from?.train, steps: 0 },
                sample: { prompt: this.prompt, before: '', after: '' }, base: null,
            });
            const parts = this.used.map(({ key }, i) => ({ run: Number(/^run (\d+)$/.exec(key)?.[1] ?? 0), name: key, weight: this.weights[i] }));
            const mixture = { rule: this.by, parts };
            lab.adopt([{ ...run, status: 'done', adapter: files, mixture, sample: { ...run.sample, after: this.text } }]);
            this.kept = id;
            this.say(this.#keptText);
        });
    }

    get #keptText() {
        const run = this.lab.runs.find(({ id }) => id === this.kept);
        return t(run?.method === 'adapter' ? 'mix.kept.adapter' : 'mix.kept', { n: String(this.kept) });
    }

    /** Two LoRAs to mix, for who has none. */
    async #trainPair() {
        const { lab, pair } = this;
        const stepsOf = async (/** @type {string} */ name) => this.steps
            || (await lab.readTask(name)).presets.find((preset) => preset.method === 'lora')?.steps || 80;
        const planned = await Promise.all(pair.map(stepsOf)).catch(() => [80, 80]);
        await this.work.run(planned[0] + planned[1], t('mix.train.running'), async ({ signal, tick }) => {
            for (const task of pair) {
                const run = await trainLora(lab, task, { steps: this.steps, signal, onStep: () => tick() });
                if (run) lab.adopt([{ ...run, id: Math.max(0, ...lab.runs.map((r) => r.id)) + 1 }]);
            }
            this.say(t('mix.train.done'));
        });
    }

    render() {
        const { lab, used } = this;
        const waiting = html`<p role="status">${t(`status.${lab.status}`)}</p>`;
        return html`<section class="stack"><h2>${t('mix.title')}</h2><p class="muted small">${t('mix.about')}</p>
            ${!lab.engine ? waiting : used.length < 2 ? this.#trainFirst() : this.#mixing()}</section>`;
    }

    #trainFirst() {
        const { lab, pair } = this;
        const choice = (/** @type {string} */ value, /** @type {number} */ i) => html`<label>${
            t('mix.train.task', { letter: LETTERS[i] })}<select ?disabled=${this.work.running}
            @change=${(/** @type {any} */ e) => { this.pair = pair.with(i, e.target.value); }}>
            ${lab.index.tasks.map(({ name, title }) => html`<option value=${name}
                ?selected=${name === value}>${taskTitle(name, title)}</option>`)}</select></label>`;
        return html`<p>${t('mix.none', { n: this.all.length })}</p>
            <div class="row">${pair.map(choice)}
                ${this.work.running ? nothing : html`<button class="primary" id="train-pair" ?disabled=${pair[0] === pair[1]}
                    @click=${this.#trainPair}>${t('mix.train.do')}</button>`}</div>
            ${this.work.bar()}${aloneText(this.candidates.alone)}`;
    }

    #mixing() {
        const { lab, used, all, by, work } = this;
        const loras = areLoras(used);
        const choose = (/** @type {number} */ i, /** @type {string} */ key) => {
            this.chosen = [...used.map((s) => s.key), '', ''].slice(0, 3).with(i, key);
            this.chosen = [...this.used.map((s) => s.key), '', ''].slice(0, 3); // the others may not go with the new one
            if (!used[i] && !this.weights[i]) this.weights = this.weights.with(i, 1); // so that it is heard
        };
        const onRule = (/** @type {any} */ e) => { this.rule = e.target.value; this.#touch(); };
        const onDensity = (/** @type {any} */ e) => {
            this.density = Math.max(0.05, Math.min(1, Number(e.target.value) || 0.5));
            this.#touch();
        };
        const onPrompt = (/** @type {any} */ e) => { this.prompt = e.target.value; this.#touch(0); };
        const button = (/** @type {string} */ id, /** @type {() => void} */ act, /** @type {string} */ text) =>
            html`<button id=${id} ?disabled=${work.running} @click=${act}>${text}</button>`;
        return html`<div class="sources">${LETTERS.map((_, i) => sourceCard(i, all, used, this.weights[i], work.running, {
            choose: (key) => choose(i, key), weigh: (value) => this.#weigh(i, value),
        }))}</div>${aloneText(this.candidates.alone)}
            <div class="two"><label>${t('mix.rule')}<select id="rule" ?disabled=${work.running} @change=${onRule}>
                    ${rulesFor(lab, used).map((name) => html`<option value=${name} ?selected=${name === by}>${
                        ruleName(name, used)}</option>`)}</select></label>
                ${PRUNES.test(by) ? html`<label>${t('mix.density')}<input type="number"
                    min="0.05" max="1" step="0.05" .value=${String(this.density)} ?disabled=${work.running}
                    @change=${onDensity}></label>` : nothing}
                <label>${t('settings.prompt')}<textarea id="prompt" rows="3" maxlength="400" .value=${this.prompt}
                    ?disabled=${work.running} @change=${onPrompt}></textarea></label></div>
            <p class="small" id="rule-text">${ruleText(by, used, lab.engine?.mix_types, this.applied)}</p>
            ${this.problem ? html`<p role="alert">${this.problem}</p>` : nothing}
            <h3>${t('mix.text')} ${badge('measured')}</h3>
            <p class="text" aria-live="polite" aria-busy=${this.thinking}><span class="muted">${this.prompt}</span>${
                this.text || (this.thinking ? ' …' : '')}</p>
            <div class="row">
                ${button('score', () => this.#score(), t('mix.score'))}
                ${button('strip', () => this.#sweep(), t('mix.strip.do', { n: POINTS }))}
                ${loras ? button('rules', () => this.#compareRules(), t('mix.rules.do')) : nothing}
                ${button('keep', () => this.#keep(), t(loras ? 'mix.keep' : 'mix.keep.adapter'))}
                ${this.kept ? html`<span class="small muted">${this.#keptText}</span>` : nothing}</div>
            ${work.bar()}${this.#results()}`;
    }

    #results() {
        const { scores, strip, errors, used, lab } = this;
        const names = used.slice(0, 2).map((source, i) => t('word.pair', { name: LETTERS[i], text: taskTitle(source.task) }));
        const of = (/** @type {string} */ kind) => measuredOn(kind, this.measured[kind], this.mixture);
        return html`${scores ? html`${scoresTable(scores)}${of('scores')}` : nothing}
            ${strip ? html`${stripResult(this, strip, names)}${of('strip')}` : nothing}
            ${errors ? html`${errorsTable(errors, lab.engine?.mix_types)}${of('errors')}` : nothing}`;
    }
}
define('peft-panel-mix', PeftPanelMix);
