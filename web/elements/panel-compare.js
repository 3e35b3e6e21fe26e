/** Compare: methods, sizes and seeds trained one after the other beside the page's model; quality against trained numbers. */
import { aside, comparedOn, itemsOf } from '../lib/aside.js';
import { metricWords } from '../lib/engine-words.js';
import { count, duration, fixed, percent, splitWords } from '../lib/format.js';
import { CHAPTER_SKETCH, pareto, plan, points, sweep, workOf } from '../lib/sweep.js';
import { number } from '../lib/i18n.js';
import { csv } from '../lib/table-file.js';
import { badge, css, define, html, LabElement, nothing, t } from './base.js';
import { said } from './engine-said.js';
import './chart.js';
import { gains, percentTick, scatterPlot } from './compare-plot.js';
import { methodShape } from './look.js';
import { wholeNumber } from './options.js';
import { offer, taskTitle, Work } from './work.js';

/** @typedef {import('../lib/sweep.js').SweepResult} SweepResult */

const recordings = import.meta.glob('../content/recorded/compare-*.json', { import: 'default' });
const DEFAULT_METHODS = ['prompt', 'prefix', 'lora', 'adapter', 'full'];
/** Seconds per step before the first one was seen, from the model's size: a rough figure that the first run replaces. */
const SECONDS_PER_MILLION = 0.12;
const SCORED = 24;

class PeftPanelCompare extends LabElement {
    static watch = ['status', 'state', 'ready', 'run', 'data'];
    static styles = [LabElement.styles, css`
        .set {
            display: grid; gap: 12px; grid-template-columns: repeat(auto-fit, minmax(min(100%, 190px), 1fr));
            align-items: start;
        }
        fieldset label { display: flex; gap: 6px; align-items: center; min-height: 28px; }
        legend { font-size: 0.85rem; color: var(--muted); }
        .set > label { display: grid; gap: 2px; font-size: 0.85rem; color: var(--muted); }
        .queue { display: flex; flex-wrap: wrap; gap: 4px 10px; padding: 0; list-style: none; font-size: 0.85rem; }
        .queue .running { font-weight: 650; }
        td.num, tbody th { white-space: nowrap; }
    `];
    static properties = {
        methods: { state: true }, sizes: { state: true }, seeds: { state: true }, steps: { state: true },
        of: { state: true }, sketch: { state: true }, result: { state: true },
    };

    constructor() {
        super();
        this.methods = DEFAULT_METHODS;
        /** @type {'one' | 'three'} */
        this.sizes = 'one';
        this.seeds = 3;
        /** 0: the presets'. */
        this.steps = 0;
        /** @type {'score' | 'loss'} */
        this.of = 'score';
        this.sketch = false;
        /** @type {(SweepResult & {recorded?: boolean, command?: string}) | null} */
        this.result = null;
        /** @type {import('../lib/sweep.js').SweepRun[]} */
        this.queue = [];
        this.work = new Work(this);
        this.secondsPerStep = 0;
    }

    connectedCallback() {
        super.connectedCallback();
        this.lab.ready().catch(() => {});
        this.result ??= this.lab.results.compare ?? null;
        this.#showRecorded();
    }

    disconnectedCallback() {
        super.disconnectedCallback();
        this.work.cancel();
    }

    /** Shown, and kept for when the panel is opened again, or the page. @param {SweepResult} result */
    #show(result) {
        this.result = this.lab.results.compare = { ...result };
        this.lab.emit('results');
    }

    /** From the comparison made here to the recorded one, and back. */
    #swap() {
        this.result = this.result?.recorded ? this.lab.results.compare : null;
        this.#showRecorded();
    }

    /** The recorded comparison of this task, or of another task where there is none. */
    async #showRecorded() {
        const own = `../content/recorded/compare-${this.lab.state.task}.json`;
        const path = recordings[own] ? own : Object.keys(recordings)[0];
        if (!path || this.result) return;
        const result = /** @type {any} */ (await recordings[path]());
        if (!this.result) this.result = { ...result, recorded: true };
    }

    /** @param {string} type @param {any} detail */
    onLab(type, detail) {
        if (type === 'state' && detail?.includes('task') && this.result?.recorded) {
            this.result = null;
            this.#showRecorded();
        }
        this.requestUpdate();
    }

    get wished() {
        const { methods, sizes, seeds, steps } = this;
        return plan(this.lab, { methods, sizes, seeds, steps });
    }

    /** @param {import('../lib/sweep.js').SweepRun[]} runs */
    #seconds(runs) {
        const million = (this.lab.description?.model?.parameters ?? 1e6) / 1e6;
        const { run, task } = this.lab;
        const seen = run?.seconds ? run.seconds / Math.max(1, run.losses.length) : SECONDS_PER_MILLION * million;
        return workOf(runs, task, SCORED) * (this.secondsPerStep || seen);
    }

    async #run() {
        const { lab } = this;
        const runs = this.wished;
        this.queue = runs;
        this.say(t('compare.say.start', { n: runs.length }));
        let began = performance.now();
        const result = await this.work.run(workOf(runs, lab.task, SCORED), t('compare.loading'), async ({ signal, tick, begin }) => {
            const own = await aside(lab);
            began = performance.now();
            begin();
            try {
                return await sweep(own, runs, { limit: SCORED, signal, onProgress: (done, run) => {
                    tick(done, t('compare.progress', {
                        i: runs.indexOf(run) + 1, n: runs.length, method: t(`method.${run.method}`), seed: run.seed,
                    }));
                }, onResult: (known) => this.#show(known) }); // at once, and kept when the rest is cancelled
            } finally {
                own.close();
            }
        });
        const steps = workOf(runs.filter(({ status }) => status === 'done'), lab.task, SCORED);
        this.secondsPerStep = (performance.now() - began) / 1000 / steps || 0;
        if (!result) return;
        this.#show(result);
        this.queue = [];
        this.say(this.#summary());
        this.fire('peft-run', { runs: result.runs });
    }

    /** What is on the vertical axis, and its points. */
    get drawn() {
        const { result } = this;
        const of = this.of === 'score' && !result?.runs.some((run) => run.score !== null) ? 'loss' : this.of;
        const all = result ? points(result.runs, of) : [];
        const base = result?.base[of] ?? null;
        const better = /** @type {1 | -1} */ (of === 'score' ? 1 : -1);
        const gain = this.sketch && base !== null ? gains(all, base, better) : null;
        if (gain) {
            const label = t('compare.axis.gain', { method: t(`method.${gain.top}`) });
            return { of, all, points: gain.points, base: 0, better: /** @type {1} */ (1), label, show: percent, gain: gain.top };
        }
        if (of === 'loss') {
            const show = (/** @type {number} */ v) => fixed(v, 3);
            return { of, all, points: all, base, better, label: t('compare.axis.loss'), show, gain: '' };
        }
        const hundred = all.map((p) => ({ ...p, mean: 100 * p.mean, min: 100 * p.min, max: 100 * p.max }));
        const label = t('compare.axis.score', { metric: metricWords(result?.metric ?? '') });
        return { of, all, points: hundred, base: base === null ? null : 100 * base, better, label, show: percent, gain: '' };
    }

    #summary() {
        const { points: all, better, show } = this.drawn;
        if (all.length === 0) return t('compare.none');
        const best = [...all].sort((a, b) => better * (b.mean - a.mean))[0];
        const small = [...all].sort((a, b) => a.trainable - b.trainable)[0];
        const name = (/** @type {any} */ p) => `${t(`method.${p.method}`)}${p.size ? ` ${p.size}` : ''}`;
        const close = all.filter((p) => p !== best && p.max >= best.min && p.min <= best.max);
        return [
            t('compare.summary', {
                best: name(best), value: show(best.mean), numbers: best.trainable,
                small: name(small), least: small.trainable, other: show(small.mean),
            }),
            all.length < 2 ? '' : all.every(({ n }) => n === 1) ? t('compare.summary.seed')
                : close.length ? t('compare.summary.close', { best: name(best), others: close.map(name).join(', ') }) : '',
        ].filter(Boolean).join(' ');
    }

    /** @param {'csv' | 'json' | 'svg'} kind */
    #export(kind) {
        const { result } = this;
        if (!result) return;
        const name = `compare-${result.task}`;
        if (kind === 'json') offer(`${name}.json`, JSON.stringify(result, null, 1), 'application/json');
        const chart = /** @type {any} */ (this.renderRoot.querySelector('peft-chart'));
        if (kind === 'svg') offer(`${name}.svg`, chart.toSvg(), 'image/svg+xml');
        if (kind === 'csv') {
            const columns = [
                'model', 'task', 'method', 'size', 'seed', 'steps', 'lr', 'trained_numbers',
                'loss', 'score', 'seconds', 'status', 'recorded', 'metric', 'held_out',
            ];
            const rows = result.runs.map(({ method, size, seed, train, trainable, loss, score, seconds, status }) => [
                result.model, result.task, method, size, seed, train.steps, train.lr, trainable,
                loss, score, result.recorded ? null : seconds, status, Boolean(result.recorded), result.metric, result.split,
            ]);
            offer(`${name}.csv`, csv(columns, rows), 'text/csv');
        }
    }

    render() {
        const { lab, result } = this;
        const waiting = (/** @type {import('../lib/sweep.js').SweepRun} */ { method, size, seed, status }) => html`<li class=${status}><span
            aria-hidden="true">${methodShape(method)}</span> ${t(`method.${method}`)} ${size} · ${seed}: ${
            t(`compare.status.${status}`)}</li>`;
        return html`<section class="stack"><h2>${t('compare.title')}</h2><p class="muted small">${t('compare.about')}</p>
            ${!lab.engine ? html`<p role="status">${t(`status.${lab.status}`)}</p>`
                : lab.task && !comparedOn(lab.task) ? html`<p id="not-held">${t('compare.not_held')}</p>` : this.#settings()}
            ${this.work.bar()}
            ${this.queue.length ? html`<ul class="queue" aria-label=${t('compare.queue')}>${this.queue.map(waiting)}</ul>` : nothing}
            ${result ? this.#result(result) : nothing}</section>`;
    }

    #settings() {
        const { lab } = this;
        const busy = this.work.running;
        const known = (lab.engine?.methods ?? []).map((/** @type {any} */ m) => m.name)
            .filter((/** @type {string} */ name) => lab.state.level !== 'student' || DEFAULT_METHODS.includes(name));
        const runs = this.wished;
        const pick = (/** @type {string} */ method, /** @type {boolean} */ on) => {
            this.methods = on ? [...this.methods, method] : this.methods.filter((m) => m !== method);
        };
        const method = (/** @type {string} */ name) => html`<label><input type="checkbox" name=${name}
            .checked=${this.methods.includes(name)}
            @change=${(/** @type {any} */ e) => pick(name, e.target.checked)}><span aria-hidden="true">${methodShape(name)}</span> ${
            t(`method.${name}`)}</label>`;
        const size = (/** @type {any} */ value) => html`<label><input type="radio" name="sizes" value=${value}
            .checked=${this.sizes === value}
            @change=${() => { this.sizes = value; }}> ${t(`compare.sizes.${value}`)}</label>`;
        const field = (/** @type {'seeds' | 'steps'} */ name, /** @type {number} */ min, /** @type {number} */ max) => html`<label>${
            t(`compare.${name}`)}<input id=${name} type="number" min=${min} max=${max} .value=${String(this[name])} ?disabled=${busy}
            @change=${(/** @type {Event} */ e) => { this[name] = wholeNumber(e, min, max); }}><span
            class="small">${t(`compare.${name}.about`)}</span></label>`;
        return html`<div class="set">
            <fieldset ?disabled=${busy}><legend>${t('compare.methods')}</legend>${known.map(method)}</fieldset>
            <fieldset ?disabled=${busy}><legend>${t('compare.sizes')}</legend>${['one', 'three'].map(size)}</fieldset>
            ${field('seeds', 1, 10)}
            ${field('steps', 0, 2000)}
        </div>
        <div class="row"><button class="primary" id="run" ?disabled=${busy || runs.length === 0}
            @click=${this.#run}>${t('compare.run', { n: runs.length })}</button>
            <span class="small muted">${t('compare.estimate', { time: duration(this.#seconds(runs)) })}</span></div>
        <p class="small muted">${t('compare.fair')}</p>`;
    }

    /** @param {SweepResult & {recorded?: boolean, command?: string}} result */
    #result(result) {
        const { points: shown, better, base, label, show, of, all, gain } = this.drawn;
        const kind = result.recorded ? 'recorded' : 'measured';
        const columns = [
            t('compare.col.method'), t('compare.col.size'), t('compare.axis.x'), label,
            t('compare.col.min'), t('compare.col.max'), t('compare.col.seeds'),
        ];
        /** @type {(string | number | null)[][]} */
        const rows = shown.map((p) => [t(`method.${p.method}`), p.size, p.trainable, p.mean, p.min, p.max, p.n]);
        if (gain) {
            for (const { method, percent: share, quality } of CHAPTER_SKETCH) {
                const name = t('compare.sketch.point', { method: t(`method.${method}`) });
                rows.push([name, '', (share / 100) * result.total, quality, null, null, null]);
            }
        }
        const scored = result.runs.some((run) => run.score !== null);
        const other = result.recorded ? this.lab.results.compare && t('compare.show_own')
            : Object.keys(recordings).length > 0 && t('compare.show_recorded');
        return html`<div class="row"><h3>${t('compare.result', { task: taskTitle(result.task), model: result.model })}</h3> ${badge(kind)}
                ${other && !this.work.running ? html`<button class="link" id="swap" @click=${this.#swap}>${other}</button>` : nothing}</div>
            ${result.recorded ? html`<p class="small">${t('compare.recorded')} <code class="mono">${result.command}</code></p>` : nothing}
            ${this.#heldOut(result)}
            <div class="row" role="group" aria-label=${t('compare.axis.choose')}>
                ${['score', 'loss'].map((name) => html`<button aria-pressed=${of === name}
                    ?disabled=${name === 'score' && !scored}
                    @click=${() => { this.of = /** @type {any} */ (name); }}>${t(`compare.of.${name}`)}</button>`)}
                <label class="row"><input id="sketch" type="checkbox" .checked=${this.sketch} ?disabled=${result.base[of] === null}
                    @change=${(/** @type {any} */ e) => { this.sketch = e.target.checked; }}> ${t('compare.sketch')}</label></div>
            ${shown.length ? html`<peft-chart theme=${this.theme ?? nothing} .lab=${this.lab} .label=${t('compare.chart', { y: label })}
                .summary=${this.#summary()} .height=${360}
                .plot=${scatterPlot({
                    points: shown, better, base, label, tick: of === 'loss' && !gain ? number : percentTick,
                    sketch: gain ? result.total : 0,
                })} .table=${{ columns, rows }}></peft-chart>` : html`<p>${this.#summary()}</p>`}
            ${this.sketch && !gain ? html`<p class="small" id="no-sketch" role="status">${t('compare.sketch.wait')}</p>` : nothing}
            ${gain ? html`<p class="small">${t('compare.sketch.about', { method: t(`method.${gain}`) })} ${badge('chapter')}</p>` : nothing}
            ${this.#table(all, of, kind, result)}
            <div class="row">${/** @type {const} */ (['csv', 'json', 'svg']).map((name) => html`<button id=${`export-${name}`}
                ?disabled=${name === 'svg' && shown.length === 0}
                @click=${() => this.#export(name)}>${t('compare.export', { kind: name.toUpperCase() })}</button>`)}</div>`;
    }

    /** The examples behind a number. @param {SweepResult} result @param {'loss' | 'score'} of @returns {string} */
    #examples({ task, split, items = itemsOf(this.lab, task, split), limit }, of) {
        return of === 'loss' || items <= limit ? splitWords(split, items) : `${t(`split.${split}`)}, ${t('split.first', { n: limit })}`;
    }

    /** @param {SweepResult} result */
    #heldOut(result) {
        if (!result.split) return nothing;
        const examples = { loss: this.#examples(result, 'loss'), score: this.#examples(result, 'score') };
        return html`<p class="small" id="held">${t('compare.held', examples)}</p>`;
    }

    /**
     * @param {import('../lib/sweep.js').Point[]} all @param {'loss' | 'score'} of
     * @param {'recorded' | 'measured'} kind @param {SweepResult} result
     */
    #table(all, of, kind, result) {
        const front = new Set(pareto(all, of === 'score' ? 1 : -1));
        const show = (/** @type {number} */ v) => (of === 'score' ? percent(v * 100) : fixed(v, 3));
        const failed = result.runs.filter((run) => run.status === 'failed');
        const examples = result.split ? html`<br><span class="small muted">(${this.#examples(result, of)})</span>` : nothing;
        const mark = html`<span class="small" title=${t('compare.pareto.about')}>(${t('compare.pareto')})</span>`;
        return html`<div class="scroll" tabindex="0" role="region" aria-label=${t('compare.table')}><table>
            <caption class="sr">${t('compare.table')}</caption>
            <thead><tr>
                <th scope="col">${t('compare.col.method')}</th><th scope="col" class="num">${t('compare.axis.x')}</th>
                <th scope="col" class="num">${t(`compare.of.${of}`)}${examples}</th>
                <th scope="col" class="num">${t('compare.col.spread')}</th>
                <th scope="col" class="num">${t('compare.col.seeds')}</th>
                <th scope="col" class="num">${t('compare.col.time')}</th></tr></thead>
            <tbody>${all.map((p) => html`<tr>
                <th scope="row"><span aria-hidden="true">${methodShape(p.method)}</span> ${t(`method.${p.method}`)} ${p.size} ${
                    front.has(p) ? mark : nothing}</th>
                <td class="num">${count(p.trainable)}</td><td class="num">${show(p.mean)}</td>
                <td class="num">${show(p.min)}–${show(p.max)}</td><td class="num">${count(p.n)}</td>
                <td class="num">${p.seconds ? duration(p.seconds) : t('compare.no_time')}</td></tr>`)}
                ${result.base[of] === null ? nothing
                    : html`<tr><th scope="row">${t('compare.base')}</th><td class="num">0</td>
                        <td class="num">${show(/** @type {number} */ (result.base[of]))}</td>
                        <td></td><td></td><td></td></tr>`}</tbody></table></div>
            ${failed.length ? html`<ul class="small">${failed.map((run) =>
                html`<li>${t(`method.${run.method}`)} ${run.size} · ${run.seed}: ${said(run.message ?? '')}</li>`)}</ul>` : nothing}
            <p class="small muted">${t('compare.pareto.about')} ${badge(kind)}</p>`;
    }
}
define('peft-panel-compare', PeftPanelCompare);
