/** Combine: two methods trained together, and each alone with the same budget, so that one can see what either adds. */
import { aside, comparedOn } from '../lib/aside.js';
import { ablation, putFresh, putTogether, runAblation, spread } from '../lib/combine.js';
import { metricWords } from '../lib/engine-words.js';
import { count, duration, fixed, percent, significant, splitWords } from '../lib/format.js';
import { badge, css, define, html, LabElement, nothing, t } from './base.js';
import { wrong } from './engine-said.js';
import './diagram.js';
import { methodColor, methodShape } from './look.js';
import { wholeNumber } from './options.js';
import { Work } from './work.js';

const SCORED = 24;
const USUAL = /** @type {[string, string]} */ (['lora', 'prompt']);

class PeftPanelCombine extends LabElement {
    static watch = ['status', 'ready', 'state', 'modules'];
    static styles = [LabElement.styles, css`
        .two {
            display: grid; gap: 16px; grid-template-columns: repeat(auto-fit, minmax(min(100%, 320px), 1fr));
            align-items: start;
        }
        .sum { display: flex; flex-wrap: wrap; gap: 6px 12px; align-items: baseline; font-size: 1.2rem; font-weight: 650; }
        .sum small { font-weight: 400; color: var(--muted); }
        label { display: grid; gap: 2px; font-size: 0.85rem; color: var(--muted); }
        label select, label input { color: var(--text); }
        .both { background: var(--accent-soft); }
        td.text { min-width: 16em; }
    `];
    static properties = {
        methods: { state: true }, steps: { state: true }, seeds: { state: true }, fresh: { state: true },
        result: { state: true }, problem: { state: true }, put: { state: true },
    };

    constructor() {
        super();
        this.methods = USUAL;
        /** 0: the longer of the two presets. */
        this.steps = 0;
        this.seeds = 1;
        /** @type {any} description of the two untrained modules together */
        this.fresh = null;
        /** @type {{alone: import('../lib/combine.js').Alone, rows: import('../lib/combine.js').Row[]} | null} */
        this.result = null;
        /** @type {Error | null} */
        this.problem = null;
        this.put = false;
        this.work = new Work(this);
        /** @type {Promise<import('../lib/lab.js').Lab> | null} */
        this.opening = null;
        /** @type {import('../lib/lab.js').Lab | null} the lab aside */
        this.own = null;
        this.shown = '';
        /** @type {import('../engine/tasks.js').Task | null} whose texts the engine aside has */
        this.task = null;
    }

    connectedCallback() {
        super.connectedCallback();
        const kept = this.lab.results.combine; // before the panel was closed
        if (kept) Object.assign(this, { methods: kept.methods, steps: kept.steps, seeds: kept.seeds });
        this.lab.ready().catch(() => {});
        this.requestUpdate(); // the engine aside went when the panel was taken away
    }

    disconnectedCallback() {
        super.disconnectedCallback();
        this.work.cancel();
        this.#drop();
    }

    #drop() {
        this.opening?.then((own) => own.close(), () => {});
        Object.assign(this, { opening: null, own: null, fresh: null, shown: '' });
    }

    /** @param {string} type @param {any} detail */
    onLab(type, detail) {
        if (type === 'state' && (detail?.includes('model') || detail?.includes('task'))) {
            this.work.cancel(t('combine.changed'));
            this.#drop();
            this.result = null;
        }
        if (type === 'modules') this.put = false;
        this.requestUpdate();
    }

    updated() {
        const { lab } = this;
        const key = `${lab.state.model} ${lab.task?.name} ${this.methods} ${JSON.stringify(lab.options)}`;
        const idle = ['ready', 'paused'].includes(lab.status) && !this.work.running;
        if (key === this.shown || !this.isConnected || !idle || lab.task?.name !== lab.state.task) return;
        if (lab.task !== this.task) this.#drop(); // another text of the visitor's own has the same name
        Object.assign(this, { shown: key, task: lab.task });
        const kept = lab.results.combine;
        this.result = kept?.key === key && kept.task === lab.task ? kept.result : null;
        this.#show();
    }

    /** Stays with the lab when the panel is closed. @param {NonNullable<PeftPanelCombine['result']>} result */
    #keep(result) {
        const { lab, shown: key, task, methods, steps, seeds } = this;
        this.result = result;
        lab.results.combine = { key, task, methods, steps, seeds, result };
    }

    /** @returns {Promise<import('../lib/lab.js').Lab>} */
    async #aside() {
        this.opening ??= aside(this.lab);
        this.own = await this.opening.catch((error) => {
            this.opening = null;
            throw error;
        });
        return /** @type {import('../lib/lab.js').Lab} */ (this.own);
    }

    async #show() {
        try {
            const own = await this.#aside();
            const parts = ablation(this.lab, this.methods)[2].parts;
            const made = await own.during(null, () => putFresh(own, parts, this.lab.state.seed));
            if (own === this.own) this.fresh = made;
            this.problem = null;
        } catch (error) {
            this.problem = /** @type {Error} */ (error);
        }
    }

    get plan() {
        return ablation(this.lab, this.methods, this.steps);
    }

    async #run() {
        const { plan, seeds } = this;
        const names = t('combine.both', { a: t(`method.${this.methods[0]}`), b: t(`method.${this.methods[1]}`) });
        this.say(t('combine.say.start', { names }));
        this.result = null;
        const made = await this.work.run(plan.length * seeds * plan[0].train.steps, t('combine.running'), async ({ signal, tick }) => {
            const own = await this.#aside();
            return own.during('busy', () => runAblation(own, plan, {
                seeds, limit: SCORED, signal, onStep: () => tick(), onRow: (rows, alone) => this.#keep({ rows, alone }),
            }));
        });
        if (!made) return;
        this.#keep(made);
        this.say(this.#verdict());
    }

    async #put() {
        const row = this.result?.rows[2];
        if (!row) return;
        try {
            await putTogether(this.lab, row.files);
            this.put = true;
            this.say(t('combine.put.done'));
        } catch (error) {
            this.problem = /** @type {Error} */ (error);
        }
    }

    /** What the measurement says, in one sentence; no difference is claimed inside the spread. */
    #verdict() {
        const rows = this.result?.rows ?? [];
        if (rows.length < 3 || rows.some(({ losses }) => losses.length === 0)) return '';
        const [a, b, both] = rows.map(({ losses }) => spread(losses));
        const best = a.mean <= b.mean ? 0 : 1;
        const alone = best === 0 ? a : b;
        const name = t(`method.${this.methods[best]}`);
        const values = { name, alone: fixed(alone.mean, 3), both: fixed(both.mean, 3) };
        const [{ seeds }] = rows; // not what is set for the next time
        if (seeds > 1 && both.max >= alone.min && both.min <= alone.max) return t('combine.verdict.same', values);
        const verdict = t(both.mean < alone.mean ? 'combine.verdict.better' : 'combine.verdict.worse', values);
        return verdict + (seeds === 1 ? ` ${t('combine.verdict.seed')}` : '');
    }

    render() {
        const { lab } = this;
        return html`<section class="stack"><h2>${t('combine.title')}</h2><p class="muted small">${t('combine.about')}</p>
            ${!lab.engine
                ? html`<p role="status">${t(`status.${lab.status}`)}</p>`
                : html`${this.#settings()}
                    ${this.problem ? html`<p role="alert">${wrong(this.problem)}</p>` : nothing}
                    ${this.#counter()}${this.work.bar()}${this.result ? this.#table(this.result) : nothing}`}</section>`;
    }

    #settings() {
        const { lab, methods } = this;
        const busy = this.work.running;
        const known = (lab.engine?.methods ?? []).map((/** @type {any} */ m) => m.name)
            .filter((/** @type {string} */ name) => name !== 'full');
        /**
         * @param {string} id @param {string} key @param {number} value @param {number} min @param {number} max
         * @param {(v: number) => void} set
         */
        const number = (id, key, value, min, max, set) => html`<label>${t(key)}<input id=${id} type="number"
            min=${min} max=${max} .value=${String(value)} ?disabled=${busy}
            @change=${(/** @type {Event} */ e) => set(wholeNumber(e, min, max))}></label>`;
        /** @param {string} method @param {number} i */
        const choice = (method, i) => html`<label>${t(`combine.method${i + 1}`)}<select id=${`method${i + 1}`} ?disabled=${busy}
            @change=${(/** @type {any} */ e) => { this.methods = /** @type {any} */ (methods.with(i, e.target.value)); }}>
            ${known.map((/** @type {string} */ name) => html`<option value=${name} ?selected=${name === method}
                ?disabled=${name === methods[1 - i]}>${methodShape(name)} ${t(`method.${name}`)}</option>`)}</select></label>`;
        return html`<div class="row">${lab.state.level === 'student' ? nothing : methods.map(choice)}
            ${number('steps', 'compare.steps', this.plan[0].train.steps, 0, 2000, (v) => { this.steps = v; })}
            ${number('seeds', 'compare.seeds', this.seeds, 1, 5, (v) => { this.seeds = v; })}</div>`;
    }

    /** Both lit, and the counter that adds. */
    #counter() {
        const { fresh, own } = this;
        if (!fresh || !own) return html`<p class="muted small" role="status">${t('status.loading')}</p>`;
        const terms = fresh.modules.map((/** @type {any} */ { method, parameters }) => html`<span style="color: ${methodColor(method)}"><span
            aria-hidden="true">${methodShape(method)}</span> ${count(parameters)}</span> <small>${t(`method.${method}`)}</small>`);
        const [a, b] = this.methods.map((method) => t(`method.${method}`));
        return html`<div class="two"><div class="stack">
                <p class="sum num" id="sum">${terms[0]}<span>+</span>${terms[1]}<span>=</span>
                    <span>${count(fresh.counts.trainable)}</span> ${badge('measured')}</p>
                <p>${t('combine.count', { total: count(fresh.counts.total), percent: percent(fresh.counts.percent) })}</p>
                <p class="small">${t('combine.how', { a, b })}</p>${this.#plan()}</div>
            <peft-diagram theme=${this.theme ?? nothing} .lab=${own}></peft-diagram></div>`;
    }

    #plan() {
        const { plan, seeds } = this;
        const { steps, batch_size: batch } = plan[0].train;
        const [a, b, both] = plan.map(({ train }) => significant(train.lr));
        return html`<div class="row"><button class="primary" id="run" ?disabled=${this.work.running || !this.fresh}
                @click=${this.#run}>${t('combine.run', { n: steps, seeds })}</button></div>
            <p class="small muted">${t('combine.fair', { steps, batch, a, b, both })}</p>
            ${comparedOn(this.lab.task) ? nothing : html`<p class="small" id="not-held">${t('combine.not_held')}</p>`}`;
    }

    /** @param {NonNullable<PeftPanelCombine['result']>} result */
    #table({ alone, rows }) {
        const loss = (/** @type {number[]} */ values) => this.#spread(values, (v) => fixed(v, 3));
        const score = (/** @type {number[]} */ values) => this.#spread(values, (v) => percent(v * 100));
        const name = (/** @type {import('../lib/combine.js').Row} */ row) => row.parts.map(({ method }, i) => html`${i ? ' + ' : ''}<span
            aria-hidden="true">${methodShape(method)}</span> ${t(`method.${method}`)}`);
        const metric = metricWords(this.lab.task?.metric.name ?? '');
        const on = (/** @type {string} */ words) => (alone.split ? html`<br><span class="small muted">(${words})</span>` : nothing);
        const all = splitWords(alone.split, alone.items);
        const first = alone.items > SCORED ? `${t(`split.${alone.split}`)}, ${t('split.first', { n: SCORED })}` : all;
        const free = ['ready', 'paused'].includes(this.lab.status);
        return html`<div class="scroll" tabindex="0" role="region" aria-label=${t('combine.table')}><table id="ablation">
            <caption class="sr">${t('combine.table')}</caption>
            <thead><tr>
                <th scope="col">${t('combine.trained')}</th><th scope="col" class="num">${t('compare.axis.x')}</th>
                <th scope="col" class="num">${t('mix.loss')}${on(all)}</th>
                <th scope="col" class="num">${metric || t('compare.of.score')}${on(first)}</th>
                <th scope="col" class="num">${t('compare.col.time')}</th><th scope="col">${t('combine.text')}</th></tr></thead>
            <tbody><tr>
                <th scope="row">${t('compare.base')}</th><td class="num">0</td>
                <td class="num">${loss(alone.loss === null ? [] : [alone.loss])}</td>
                <td class="num">${score(alone.score === null ? [] : [alone.score])}</td>
                <td></td><td class="text small">${alone.text}</td></tr>
            ${rows.map((row) => html`<tr class=${row.parts.length > 1 ? 'both' : ''}>
                <th scope="row">${name(row)}</th><td class="num">${count(row.trainable)}</td>
                <td class="num">${loss(row.losses)}</td><td class="num">${score(row.scores)}</td>
                <td class="num">${duration(row.seconds)}</td><td class="text small">${row.text}</td></tr>`)}</tbody></table></div>
            <p class="small muted" id="of">${t('combine.of', { steps: rows[0].train.steps, batch: rows[0].train.batch_size, n: rows[0].seeds })}
                ${t('combine.prompt', { prompt: alone.prompt })} ${badge('measured')}</p>
            ${rows.length === 3 ? html`<p id="verdict">${this.#verdict()}</p>
                <div class="row"><button id="put" ?disabled=${rows[2].files.length < 2 || this.put || !free}
                    @click=${this.#put}>${t('combine.put')}</button>
                    <span class="small muted">${this.put ? t('combine.put.done') : ''}</span></div>` : nothing}`;
    }

    /** @param {number[]} values @param {(v: number) => string} show */
    #spread(values, show) {
        if (values.length === 0) return '–';
        const { mean, min, max } = spread(values);
        return values.length === 1 ? show(mean) : html`${show(mean)}<br><span class="small muted">${show(min)}–${show(max)}</span>`;
    }
}
define('peft-panel-combine', PeftPanelCombine);
