/**
 * The calculator's "chapter numbers": each printed figure beside the exact one, and why they differ. Also used by the chapter
 * panel.
 */
import { badge, html, t } from './base.js';
import { calculator, table } from './calculator-engine.js';
import { book, optionsOf } from './recommend.js';
import { byteSize, count, fixed, percent } from '../lib/format.js';

/** Shapes that the chapter's recipes are counted on, beside the loaded model. */
const SHAPE_NAMES = /** @type {Record<string, string>} */ (Object.freeze({
    'llama-2-7b': 'Llama 2 7B', 'llama-3.1-8b': 'Llama 3.1 8B', 'llama-2-13b': 'Llama 2 13B', 'llama-2-70b': 'Llama 2 70B',
    'tinyllama-1.1b': 'TinyLlama 1.1B',
}));
const SHAPES = ['llama-2-7b', 'llama-3.1-8b', 'llama-2-13b', 'llama-2-70b'];

/**
 * @typedef {object} ChapterNumbers
 * @property {any[]} methods the chapter's rows with `counted` (the engine's count under the same assumption) and `others` (the count
 *   by shape; "" is the loaded model, null: impossible there)
 * @property {any[]} memory the chapter's rows with full precision weights, LoRA as the chapter's column works out, and our
 *   consistent estimates
 */

/** @param {import('../lib/lab.js').Lab} lab @returns {Promise<ChapterNumbers>} */
export function chapterNumbers(lab) {
    return calculator(lab, async (session) => {
        const chapter = await table(lab, 'chapter');
        const { model } = lab.description ?? {};
        const methods = await Promise.all(chapter.methods.map(async (/** @type {any} */ row) => {
            const count = (/** @type {any} */ of) => session.countFor({ ...of, method: row.method, options: optionsOf(row.settings) });
            const others = await Promise.all([
                ...(model ? [count({ config: model.config ?? model }).catch(() => null)] : []), ...SHAPES.map((shape) => count({ shape })),
            ]);
            const names = [...(model ? [''] : []), ...SHAPES];
            return { ...row, counted: others[names.indexOf('llama-2-7b')], others: names.map((name, i) => [name, others[i]]) };
        }));
        const memory = await Promise.all(chapter.memory.map(async (/** @type {any} */ row) => {
            const usual = { shape: row.shape, method: 'lora', options: {}, dtype: 'bf16', checkpointing: true };
            const ask = (/** @type {any} */ more) => session.memoryFor({ ...usual, ...more });
            const [asChapter, lora, qlora, full] = await Promise.all([
                ask({ assume: 'chapter' }), ask({}), ask({ dtype: 'nf4' }), ask({ method: 'full', dtype: 'f32' }),
            ]);
            return { ...row, asChapter, ours: { lora, qlora, full } };
        }));
        return { methods, memory };
    });
}

/** What the chapter's memory column works out to with its own hidden assumption. @param {any} row */
export const chapterFull = (row) => row.ours.full.total * 4;
/** The same for its LoRA column; the smallest model's row leaves activations out. @param {any} row */
export const chapterLora = (row) => (row.lora_activations ? row.asChapter.training : row.asChapter.states);

/** @param {import('./base.js').LabElement} host @param {ChapterNumbers} numbers */
export function methodsTable(host, { methods }) {
    return html`<div class="scroll" tabindex="0" role="region" aria-label=${t('calc.chapter.params')}><table>
        <caption class="small muted">${t('calc.chapter.params')}</caption>
        <thead><tr>
            <th scope="col">${t('calc.col.method')}</th><th scope="col">${t('calc.col.book')}</th>
            <th scope="col">${t('calc.col.exact')}</th><th scope="col">${t('calc.col.why')}</th></tr></thead>
        <tbody>${methods.map((row) => html`<tr>
                <th scope="row">${book(row.label)}</th>
                <td>${host.value(`${row.params}, ${row.storage}`, 'chapter')}</td>
                <td>${host.value(count(row.counted.trainable), 'calculated')}<br>${byteSize(row.counted.data_bytes.fp32)}</td>
                <td class="why">${book(row.explanation)}</td></tr>`)}</tbody></table></div>`;
}

/** The same recipes on other models. @param {import('./base.js').LabElement} host @param {ChapterNumbers} numbers */
export function shapesTable(host, { methods }) {
    const title = t('calc.chapter.shapes');
    const head = (/** @type {string} */ name) => (name ? SHAPE_NAMES[name] : t('calc.shape.loaded'));
    const cell = (/** @type {any} */ counted) => (counted
        ? html`<td class="num">${count(counted.trainable)}<br><span class="small">${percent(counted.percent)},
            ${byteSize(counted.data_bytes.fp32)}</span></td>`
        : html`<td class="num">–</td>`);
    return html`<div class="scroll" tabindex="0" role="region" aria-label=${title}><table>
        <caption class="small muted">${title} ${badge('calculated')}</caption>
        <thead><tr><th scope="col">${t('calc.col.method')}</th>${methods[0].others.map((/** @type {[string, any]} */ [name]) =>
            html`<th scope="col" class="num">${head(name)}</th>`)}</tr></thead>
        <tbody>${methods.map((row) => html`<tr><th scope="row">${book(row.label)}</th>${row.others.map(
            (/** @type {[string, any]} */ [, counted]) => cell(counted))}</tr>`)}</tbody></table></div>`;
}

/** @param {import('./base.js').LabElement} host @param {ChapterNumbers} numbers */
export function memoryTable(host, { memory }) {
    const ratio = (/** @type {number} */ a, /** @type {number} */ b) => `${fixed(a / b, 1)}×`;
    const quotient = (/** @type {number} */ a, /** @type {number} */ b) => `${byteSize(a)} / ${byteSize(b)} = ${ratio(a, b)}`;
    return html`<div class="scroll" tabindex="0" role="region" aria-label=${t('calc.chapter.memory')}><table>
        <caption class="small muted">${t('calc.chapter.memory')}</caption>
        <thead><tr>${['model', 'book', 'as', 'ours', 'why'].map((name) => html`<th scope="col">${t(`calc.col.${name}`)}</th>`)}</tr></thead>
        <tbody>${memory.map((row) => html`<tr>
                <th scope="row">${row.label}<br><span class="small muted">${SHAPE_NAMES[row.shape]}</span></th>
                <td>${host.value(`${row.full} / ${row.lora} = ${row.savings}`, 'chapter')}</td>
                <td>${host.value(quotient(chapterFull(row), chapterLora(row)), 'calculated')}</td>
                <td>${host.value(quotient(row.ours.full.training, row.ours.lora.training), 'calculated')}<br>
                    <span class="small">${t('calc.qlora', {
                        size: byteSize(row.ours.qlora.training), ratio: ratio(row.ours.full.training, row.ours.qlora.training),
                    })}</span></td>
                <td class="why">${book(row.explanation)}</td></tr>`)}</tbody></table></div>
        <p class="small muted">${t('calc.chapter.note')}</p>`;
}
