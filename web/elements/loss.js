/**
 * <peft-loss>: training and held-out loss by step, live; the model alone as a dashed line; earlier runs as ghosts; a cursor shared
 * with the texts.
 */
import { badge, css, define, html, LabElement, nothing, t } from './base.js';
import './chart.js';
import { count, fixed, percent } from '../lib/format.js';
import { number } from '../lib/i18n.js';
import { bestValidation, smooth } from '../lib/runs.js';
import { methodColor, methodDash } from './look.js';
import { recorded } from './recorded.js';

/** Earlier runs drawn behind; pinned ones come on top. */
const GHOSTS = 5;

class PeftLoss extends LabElement {
    static styles = [LabElement.styles, css`
        .keys { display: flex; flex-wrap: wrap; gap: 2px 14px; font-size: .8rem; color: var(--muted); }
        .keys svg { width: 22px; height: 10px; vertical-align: middle; }
        .which { font-weight: 400; }
        .foot { display: flex; flex-wrap: wrap; gap: 2px 14px; align-items: center; }
        details { font-size: .85rem; margin-inline-start: auto; } details[open] { flex: 1 1 100%; }
        summary { padding-block: 3px; cursor: pointer; color: var(--accent); } /* 24 px for a finger, also in WebKit's letters */
        header { display: flex; justify-content: space-between; gap: 8px; align-items: baseline; flex-wrap: wrap; }
    `];
    static watch = ['step', 'validation', 'run', 'runs', 'modules', 'state', 'ready', 'cursor', 'status'];
    static later = true;
    static properties = { log: { state: true }, cursor: { state: true } };

    #timer = 0;

    constructor() {
        super();
        this.log = false;
        /** @type {number | null} */
        this.cursor = null;
    }

    /** @param {string} type @param {any} detail */
    onLab(type, detail) {
        if (type === 'cursor') this.cursor = detail;
        else if (type !== 'step') this.requestUpdate();
        else this.#timer ||= window.setTimeout(() => { this.#timer = 0; this.requestUpdate(); }, 66);
    }

    /**
     * The run to show: the one in the model, else the newest of this task, else the recorded one.
     * @returns {import('../lib/runs.js').Run | null}
     */
    get #run() {
        const { run, runs, state } = this.lab;
        return run ?? runs.findLast((r) => !r.mixture && r.task === state.task && r.model === state.model)
            ?? (state.task === recorded.run.task ? recorded.run : null);
    }

    render() {
        const run = this.#run;
        if (!run) return html`<h2>${t('loss.title')}</h2><p class="small muted">${t('loss.summary.none')}</p>`;
        const kept = this.#ghosts(run);
        return html`<header><h2>${t('loss.title')}${this.#name(run)} ${badge(run.recorded ? 'recorded' : 'measured')}</h2>
            ${this.lab.state.level === 'student' ? nothing
                : html`<label class="small"><input type="checkbox" .checked=${this.log}
                    @change=${(/** @type {any} */ e) => { this.log = e.target.checked; }}> ${t('loss.log')}</label>`}</header>
            <peft-chart .lab=${this.lab} .label=${t('loss.title')} .summary=${this.#summary(run)}
                .height=${185} .cursor=${this.cursor} @peft-point=${this.#point} .table=${this.#table(run)}
                .plot=${(/** @type {any} */ Plot, /** @type {any} */ size) => this.#plot(Plot, size, run, kept)}></peft-chart>
            <div class="foot">${this.#keys(run, kept.length > 0)}${this.#what(run)}</div>`;
    }

    /** What a loss is, with this run's last one as the example. @param {import('../lib/runs.js').Run} run */
    #what(run) {
        const loss = run.validations.at(-1)?.loss ?? run.losses.at(-1)?.loss ?? run.base_loss;
        return loss === null || !Number.isFinite(loss) ? nothing : html`<details><summary>${t('loss.what')}</summary>
            <p>${t('loss.about', { loss: fixed(loss), share: percent(100 * Math.exp(-loss)) })} ${badge('calculated')}</p></details>`;
    }

    /** Which run it is, unless it is plainly the one of the settings. @param {import('../lib/runs.js').Run} run */
    #name(run) {
        if (run === this.lab.run || (!run.recorded && run.method === this.lab.state.method)) return nothing;
        const { rank } = run.options;
        const what = `${t(`method.${run.method}`)}${rank ? ` r = ${count(rank)}` : ''}`;
        const name = run.recorded ? 'loss.of.recorded' : 'loss.of.run';
        return html`<small class="which">: ${t(name, { run: run.id, what, n: run.train.steps })}</small>`;
    }

    /** Pinned runs of the same task and model, and the last few others. @param {import('../lib/runs.js').Run} run */
    #ghosts(run) {
        const others = this.lab.runs.filter((other) => other !== run && other.validations.length > 0
            && other.task === run.task && other.model === run.model);
        return [...others.filter((other) => other.pinned), ...others.filter((other) => !other.pinned).slice(-GHOSTS)];
    }

    /** The whole step under the pointer, for the texts beside. @param {CustomEvent} event */
    #point(event) {
        const last = this.#run?.losses.at(-1)?.step ?? 0;
        const { x } = event.detail;
        this.lab.emit('cursor', x === null || !last ? null : Math.max(0, Math.min(last, Math.round(x))));
    }

    /** @param {import('../lib/runs.js').Run} run */
    #summary(run) {
        const step = run.losses.at(-1)?.step ?? 0;
        if (!step) return run.status === 'done' ? t('loss.summary.untrained', { run: run.id }) : t('loss.summary.none');
        const train = fixed(smooth(run.losses).at(-1)?.loss ?? NaN);
        const validation = run.validations.at(-1);
        if (!validation || run.base_loss === null) return t('loss.summary.train', { step, train });
        const values = { step, train, validation: fixed(validation.loss), at: validation.step, base: fixed(run.base_loss) };
        return t(validation.step === step ? 'loss.summary' : 'loss.summary.earlier', values);
    }

    /** @param {import('../lib/runs.js').Run} run */
    #table(run) {
        const held = new Map(run.validations.map((at) => [at.step, at.loss]));
        const start = held.has(0) ? [[0, null, held.get(0) ?? null]] : [];
        return {
            columns: [t('loss.step'), t('loss.train'), t('loss.validation')],
            rows: [...start, ...run.losses.map(({ step, loss }) => [step, loss, held.get(step) ?? null])],
        };
    }

    /**
     * @param {any} Plot @param {{width: number, height: number}} size
     * @param {import('../lib/runs.js').Run} run @param {import('../lib/runs.js').Run[]} ghosts
     */
    #plot(Plot, { width, height }, run, ghosts) {
        const color = methodColor(run.method);
        const best = bestValidation(run);
        const ended = run.status === 'done' || run.status === 'stopped';
        const at = { x: 'step', y: 'loss' };
        const last = Math.max(ended ? 0 : run.train.steps, ...[run, ...ghosts].map(({ losses }) => losses.at(-1)?.step ?? 0), 1);
        const pauses = run.pauses ?? [];
        // Named where there is room for the word, beside its line to the side where the chart goes on.
        const room = last / 6;
        const named = pauses.filter((step, i) => i === 0 || step - pauses[i - 1] > room);
        const word = (/** @type {number[]} */ steps, /** @type {'start' | 'end'} */ textAnchor, /** @type {number} */ dx) => Plot.text(steps, {
            x: (/** @type {number} */ step) => step, frameAnchor: 'top', text: () => t('loss.paused'),
            textAnchor, dx, dy: 2, fill: 'var(--muted)',
        });
        return Plot.plot({
            width, height, marginLeft: 44, marginRight: 14, marginBottom: 34, marginTop: 22,
            style: { fontSize: '12px', background: 'none', color: 'var(--text)' },
            x: {
                label: t('loss.step'),
                domain: [0, last], ticks: Math.min(Math.max(3, Math.floor(width / 80)), last), tickFormat: 'd',
            },
            y: {
                label: t('loss.axis'), type: this.log ? 'log' : 'linear', grid: true, nice: true, ticks: 5, zero: false,
                tickFormat: (/** @type {number} */ v) => number(v),
            },
            marks: [
                run.base_loss === null ? null : Plot.ruleY([run.base_loss], { stroke: 'var(--muted)', strokeDasharray: '6 4' }),
                ...ghosts.map((ghost) => Plot.line(ghost.validations, {
                    ...at, stroke: methodColor(ghost.method), strokeOpacity: 0.55, strokeWidth: 1.5,
                    strokeDasharray: methodDash(ghost.method), className: `ghost run-${ghost.id}`,
                })),
                Plot.line(run.losses, { ...at, stroke: color, strokeOpacity: 0.3, strokeWidth: 1 }),
                Plot.line(smooth(run.losses), { ...at, stroke: color, strokeWidth: 2.5 }),
                Plot.line(run.validations, { ...at, stroke: 'var(--text)', strokeWidth: 1.5 }),
                Plot.dot(run.validations, { ...at, r: 3.5, fill: 'var(--surface)', stroke: 'var(--text)', strokeWidth: 1.5 }),
                Plot.ruleX(pauses, { stroke: 'var(--muted)', strokeWidth: 1, strokeDasharray: '1 3' }),
                word(named.filter((step) => step <= last - room), 'start', 3),
                word(named.filter((step) => step > last - room), 'end', -3),
                best && best.step > 0 ? Plot.dot([best], { ...at, r: 6, stroke: 'var(--text)', symbol: 'star', fill: color }) : null,
            ],
        });
    }

    /** @param {import('../lib/runs.js').Run} run @param {boolean} ghosts */
    #keys(run, ghosts) {
        const key = (/** @type {string} */ name, /** @type {string} */ style, dot = false) => html`<span><svg viewBox="0 0 22 10"
            aria-hidden="true"><line x1="0" y1="5" x2="22" y2="5" style=${style}></line>
            ${dot ? html`<svg>
                <circle cx="11" cy="5" r="3.5" style="fill: var(--surface); stroke: var(--text); stroke-width: 1.5"></circle></svg>`
                : nothing}</svg> ${t(name)}</span>`;
        const curve = run.losses.length || run.status !== 'done';
        return html`<div class="keys" aria-hidden="true">
            ${!curve ? nothing : key('loss.smooth', `stroke: ${methodColor(run.method)}; stroke-width: 3`)}
            ${run.validations.length ? key('loss.validation', 'stroke: var(--text); stroke-width: 1.5', true) : nothing}
            ${run.base_loss === null ? nothing : key('loss.base', 'stroke: var(--muted); stroke-dasharray: 5 3; stroke-width: 1.5')}
            ${ghosts ? key('loss.earlier', 'stroke: var(--muted); stroke-opacity: .6') : nothing}</div>`;
    }
}
define('peft-loss', PeftLoss);
