/**
 * <peft-chapter-quality>: quality against parameters: the chapter's drawing, PEFT's own benchmark and our recorded sweep, on one
 * scale (full fine-tuning = 100).
 */
import { css, define, html, LabElement, nothing, t } from './base.js';
import './chart.js';
import { BENCHMARK } from './chapter-data.js';
import { methodColor, methodSymbol } from './look.js';
import { book, methodName } from './recommend.js';
import { itemsOf } from '../lib/aside.js';
import { bookWords } from '../lib/engine-words.js';
import { count, fixed, percent, splitWords } from '../lib/format.js';
import { number } from '../lib/i18n.js';
import { CHAPTER_SKETCH } from '../lib/sweep.js';

/** @typedef {{method: string, label: string, percent: number, quality: number, kind: 'chapter' | 'recorded'}} Point */

/** PEFT's points relative to its full fine-tuning. @returns {Point[]} */
const benchmark = () => BENCHMARK.rows.map(([method, label, parameters, accuracy]) => ({
    method, label, percent: (100 * parameters) / BENCHMARK.total, quality: (100 * accuracy) / BENCHMARK.full, kind: 'recorded',
}));

/** @param {Point[]} points @returns {(Plot: any, size: {width: number, height: number}) => Element} */
const plot = (points) => (Plot, { width, height }) => {
    const book = points.filter((p) => p.kind === 'chapter');
    const record = points.filter((p) => p.kind === 'recorded');
    const dots = (/** @type {Point[]} */ list, /** @type {any} */ looks) => [...new Set(list.map((p) => p.method))].map(
        (method) => Plot.dot(list.filter((p) => p.method === method), {
            x: 'percent', y: 'quality', symbol: methodSymbol(method), r: 6, ...looks(method),
        }),
    );
    return Plot.plot({
        width, height, marginLeft: 46, marginBottom: 40, style: { background: 'none' },
        x: {
            type: 'log', label: t('chapter.axis.x'), grid: true, ticks: Math.min(6, width / 80),
            tickFormat: (/** @type {number} */ v) => number(v / 100, { style: 'percent', maximumSignificantDigits: 1 }),
        },
        y: { label: t('chapter.axis.y'), grid: true, domain: [0, 115] },
        marks: [
            Plot.line(book, { x: 'percent', y: 'quality', stroke: 'var(--muted)', strokeDasharray: '3 4' }),
            ...dots(book, (/** @type {string} */ method) => ({ stroke: methodColor(method), strokeWidth: 2, fill: 'var(--surface)' })),
            ...dots(record, (/** @type {string} */ method) => ({ fill: methodColor(method), stroke: 'var(--surface)' })),
            Plot.text(book, {
                x: 'percent', y: 'quality', text: (/** @type {Point} */ p) => t(`method.${p.method}`),
                dy: -13, fill: 'var(--muted)', fontStyle: 'italic',
            }),
        ],
    });
};

class PeftChapterQuality extends LabElement {
    static watch = ['runs', 'ready', 'state'];
    static properties = { sweep: { state: true } };
    static styles = [LabElement.styles, css`td { min-width: 5em; } p { overflow-wrap: anywhere; }`];

    constructor() {
        super();
        /** @type {any} our recorded sweep: methods × seeds on the pirate task */
        this.sweep = null;
    }

    connectedCallback() {
        super.connectedCallback();
        const files = import.meta.glob('../content/recorded/compare-pirate.json', { import: 'default' });
        const [load] = Object.values(files);
        load?.().then((sweep) => { this.sweep = sweep; }, () => {});
    }

    /** The examples behind a held-out loss. @param {string} split @param {number} items 0: not known yet */
    #on(split, items) {
        return html`<br><span class="small">(${items ? splitWords(split, items) : t(`split.${split}`)})</span>`;
    }

    #ours() {
        const { sweep } = this;
        if (!sweep) return nothing;
        const methods = [...new Set(/** @type {any[]} */ (sweep.runs).map((run) => run.method))];
        const rows = methods.map((method) => {
            const runs = sweep.runs.filter((/** @type {any} */ run) => run.method === method && run.status === 'done');
            const mean = (/** @type {string} */ key) =>
                runs.reduce((/** @type {number} */ sum, /** @type {any} */ run) => sum + run[key], 0) / runs.length;
            const losses = runs.map((/** @type {any} */ run) => run.loss);
            return {
                method, trainable: runs[0].trainable, loss: mean('loss'), low: Math.min(...losses), high: Math.max(...losses),
                score: mean('score'), seeds: runs.length,
            };
        });
        const title = t('chapter.ours.sweep', { model: sweep.model });
        const items = sweep.items ?? itemsOf(this.lab, sweep.task, sweep.split);
        return html`<h4>${title}</h4><div class="scroll" tabindex="0" role="region" aria-label=${title}><table>
            <thead><tr>
                <th scope="col">${t('calc.col.method')}</th><th scope="col" class="num">${t('runs.trained')}</th>
                <th scope="col" class="num">${t('runs.loss')}${this.#on(sweep.split, items)}</th>
                <th scope="col" class="num">${t('chapter.col.seeds')}</th>
                <th scope="col" class="num">${t('chapter.col.score', { name: sweep.metric })}</th></tr></thead>
            <tbody>${rows.map((row) => html`<tr>
                <th scope="row">${methodName(row.method)}</th><td class="num">${count(row.trainable)}</td>
                <td class="num">${this.value(fixed(row.loss), 'recorded')}</td>
                <td class="num">${fixed(row.low)} – ${fixed(row.high)}</td>
                <td class="num">${percent(100 * row.score)}</td></tr>`)}</tbody></table></div>
            <p class="small muted">${t('chapter.sweep.how', {
                command: sweep.command, base: fixed(sweep.base.loss), seeds: rows[0].seeds,
            })}</p>`;
    }

    #yours() {
        const runs = this.lab.runs.filter((run) => run.task === this.lab.state.task && run.validations.length > 0);
        if (!runs.length) return html`<p class="small">${t('chapter.yours.none')}</p>`;
        const items = itemsOf(this.lab, this.lab.state.task, 'validation');
        return html`<h4>${t('chapter.yours')}</h4><div class="scroll" tabindex="0" role="region" aria-label=${t('chapter.yours')}><table>
            <thead><tr>
                <th scope="col">${t('calc.col.method')}</th><th scope="col" class="num">${t('runs.trained')}</th>
                <th scope="col" class="num">${t('runs.loss')}${this.#on('validation', items)}</th></tr></thead>
            <tbody>${runs.map((run) => html`<tr>
                <th scope="row">${methodName(run.method)} ${t('runs.name', { n: run.id })}</th>
                <td class="num">${count(run.trainable)}</td>
                <td class="num">${this.value(fixed(run.validations.at(-1)?.loss ?? NaN), 'measured')}</td></tr>`)}</tbody></table></div>`;
    }

    render() {
        const sketch = /** @type {Point[]} */ (CHAPTER_SKETCH.map((p) => ({ ...p, label: '', kind: 'chapter' })));
        const points = [...sketch, ...benchmark()];
        const name = (/** @type {Point} */ p) => `${t(`method.${p.method}`)} ${bookWords(p.label).text}`.trim();
        return html`<peft-chart .label=${t('chapter.quality.title')} .height=${300} .summary=${t('chapter.quality.summary')}
            .plot=${plot(points)}
                .table=${{
                    columns: [t('calc.col.method'), t('chapter.axis.x'), t('chapter.axis.y'), t('chapter.col.from')],
                    rows: points.map((p) => [name(p), p.percent, p.quality, t(`badge.${p.kind}`)]),
                }}></peft-chart>
            <details><summary>${t('chapter.benchmark')}</summary>
                <div class="scroll" tabindex="0" role="region" aria-label=${t('chapter.benchmark')}><table>
                <thead><tr>
                    <th scope="col">${t('calc.col.method')}</th>
                    ${['parameters', 'accuracy', 'forget', 'peak', 'file'].map((key) =>
                        html`<th scope="col" class="num">${t(`chapter.col.${key}`)}</th>`)}</tr></thead>
                <tbody>${BENCHMARK.rows.map(([method, label, parameters, accuracy, forget, peak, file]) => html`<tr>
                    <th scope="row">${methodName(method)} ${book(label)}</th><td class="num">${count(parameters)}</td>
                    <td class="num">${this.value(percent(accuracy), 'recorded')}</td><td class="num">${number(forget)}</td>
                    <td class="num">${number(peak)}</td><td class="num">${number(file)}</td></tr>`)}</tbody></table></div>
                <p class="small muted">${t('chapter.benchmark.source', { source: BENCHMARK.source, model: BENCHMARK.model })}</p></details>
            ${this.#ours()}${this.#yours()}`;
    }
}
define('peft-chapter-quality', PeftChapterQuality);
