/**
 * <peft-chapter-quality>: quality against parameters: the chapter's drawing, PEFT's own benchmark, our recorded sweep and the runs
 * of this tab, on one scale (full fine-tuning = 100: PEFT's by accuracy, ours by how far the held-out loss fell).
 */
import { css, define, html, LabElement, nothing, t } from './base.js';
import './chart.js';
import { BENCHMARK } from './chapter-data.js';
import { methodColor, methodSymbol } from './look.js';
import { book, methodName } from './recommend.js';
import { itemsOf } from '../lib/aside.js';
import { bookWords, metricWords } from '../lib/engine-words.js';
import { count, fixed, percent, splitWords } from '../lib/format.js';
import { number } from '../lib/i18n.js';
import { CHAPTER_SKETCH } from '../lib/sweep.js';

/**
 * @typedef {{method: string, label: string, percent: number, quality: number, kind: 'chapter' | 'recorded' | 'measured',
 *   from: 'drawing' | 'benchmark' | 'sweep' | 'yours'}} Point
 */

/** PEFT's points relative to its full fine-tuning. @returns {Point[]} */
const benchmark = () => BENCHMARK.rows.map(([method, label, parameters, accuracy]) => ({
    method, label, percent: (100 * parameters) / BENCHMARK.total, quality: (100 * accuracy) / BENCHMARK.full, kind: 'recorded',
    from: 'benchmark',
}));

/**
 * Held-out losses as shares of what full fine-tuning gains over the model alone.
 * @param {{method: string, trainable: number, loss: number}[]} list @param {number} base @param {number} total
 * @param {'sweep' | 'yours'} from @returns {Point[]} none without a full fine-tuning that learned
 */
function gains(list, base, total, from) {
    const full = list.findLast((each) => each.method === 'full');
    if (!full || !(full.loss < base)) return [];
    return list.map(({ method, trainable, loss }) => ({
        method, label: '', percent: (100 * trainable) / total, quality: (100 * (base - loss)) / (base - full.loss),
        kind: from === 'sweep' ? 'recorded' : 'measured', from,
    }));
}

/** @param {Point[]} points @returns {(Plot: any, size: {width: number, height: number}) => Element} */
const plot = (points) => (Plot, { width, height }) => {
    const book = points.filter((p) => p.kind === 'chapter');
    const of = (/** @type {string} */ from) => points.filter((p) => p.from === from);
    const top = Math.max(115, ...points.map((p) => p.quality + 5));
    const least = Math.min(0, ...points.map((p) => p.quality - 5));
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
        y: { label: t('chapter.axis.y'), grid: true, domain: [least, top] },
        marks: [
            Plot.line(book, { x: 'percent', y: 'quality', stroke: 'var(--muted)', strokeDasharray: '3 4' }),
            ...dots(book, (/** @type {string} */ method) => ({ stroke: methodColor(method), strokeWidth: 2, fill: 'var(--surface)' })),
            ...dots(of('benchmark'), (/** @type {string} */ method) => ({ fill: methodColor(method), stroke: 'var(--surface)' })),
            ...['sweep', 'yours'].map((from) => dots(of(from), (/** @type {string} */ method) => ({
                fill: methodColor(method), stroke: 'var(--text)', strokeWidth: from === 'sweep' ? 1.5 : 3,
            }))).flat(),
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
    static styles = [LabElement.styles, css`td { min-width: 5em; } th[scope="row"] { white-space: nowrap; } p { overflow-wrap: anywhere; }`];

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

    /** Our recorded sweep, by method over its seeds. */
    get swept() {
        const { sweep } = this;
        const methods = [...new Set(/** @type {any[]} */ (sweep?.runs ?? []).map((run) => run.method))];
        return methods.map((method) => {
            const runs = sweep.runs.filter((/** @type {any} */ run) => run.method === method && run.status === 'done');
            const mean = (/** @type {string} */ key) =>
                runs.reduce((/** @type {number} */ sum, /** @type {any} */ run) => sum + run[key], 0) / runs.length;
            const losses = runs.map((/** @type {any} */ run) => run.loss);
            return {
                method, trainable: runs[0].trainable, loss: mean('loss'), low: Math.min(...losses), high: Math.max(...losses),
                score: mean('score'), seeds: runs.length,
            };
        });
    }

    /** Finished runs of this tab on the loaded task and model. */
    get yours() {
        const { runs, state } = this.lab;
        return runs.filter((run) => run.task === state.task && run.model === state.model && run.status === 'done' && run.validations.length > 0);
    }

    /** @returns {Point[]} */
    get gained() {
        const { sweep, swept, yours } = this;
        const own = yours.map((run) => ({ method: run.method, trainable: run.trainable, loss: run.validations.at(-1)?.loss ?? NaN }));
        return [
            ...(sweep ? gains(swept, sweep.base.loss, sweep.total, 'sweep') : []),
            ...gains(own, yours.at(-1)?.base_loss ?? NaN, yours.at(-1)?.total ?? NaN, 'yours'),
        ];
    }

    #ours() {
        const { sweep, swept: rows } = this;
        if (!sweep) return nothing;
        const gain = new Map(gains(rows, sweep.base.loss, sweep.total, 'sweep').map((p) => [p.method, p.quality]));
        const drawn = new Map(CHAPTER_SKETCH.map((p) => [p.method, p.quality]));
        const share = (/** @type {number | undefined} */ value) => (value === undefined ? '–' : percent(value));
        const title = t('chapter.ours.sweep', { model: sweep.model, task: t(`task.${sweep.task}`) });
        const items = sweep.items ?? itemsOf(this.lab, sweep.task, sweep.split);
        return html`<h4>${title}</h4><div class="scroll" tabindex="0" role="region" aria-label=${title}><table>
            <thead><tr>
                <th scope="col">${t('calc.col.method')}</th><th scope="col" class="num">${t('runs.trained')}</th>
                <th scope="col" class="num">${t('runs.loss')}${this.#on(sweep.split, items)}</th>
                <th scope="col" class="num">${t('chapter.col.seeds')}</th>
                <th scope="col" class="num">${t('chapter.col.gain')}</th><th scope="col" class="num">${t('chapter.col.drawn')}</th>
                <th scope="col" class="num">${t('chapter.col.score', { name: metricWords(sweep.metric) })}</th></tr></thead>
            <tbody>${rows.map((row) => html`<tr>
                <th scope="row">${methodName(row.method)}</th><td class="num">${count(row.trainable)}</td>
                <td class="num">${this.value(fixed(row.loss), 'recorded')}</td>
                <td class="num">${fixed(row.low)} – ${fixed(row.high)}</td>
                <td class="num">${share(gain.get(row.method))}</td><td class="num">${share(drawn.get(row.method))}</td>
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
        const sketch = /** @type {Point[]} */ (CHAPTER_SKETCH.map((p) => ({ ...p, label: '', kind: 'chapter', from: 'drawing' })));
        const points = [...sketch, ...benchmark(), ...this.gained];
        const name = (/** @type {Point} */ p) => `${t(`method.${p.method}`)} ${bookWords(p.label).text}`.trim();
        return html`<peft-chart .label=${t('chapter.quality.title')} .height=${300} .summary=${t('chapter.quality.summary')}
            .plot=${plot(points)}
                .table=${{
                    columns: [t('calc.col.method'), t('chapter.axis.x'), t('chapter.axis.y'), t('chapter.col.from')],
                    rows: points.map((p) => [name(p), p.percent, p.quality, `${t(`chapter.from.${p.from}`)} (${t(`badge.${p.kind}`)})`]),
                }}></peft-chart>
            <p class="small muted">${t('chapter.quality.scale')}</p>
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
