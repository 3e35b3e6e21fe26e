/**
 * <peft-panel-chapter>: every table and claim of the chapter: the book's figure, ours, how we know, an honest verdict, and a
 * button that runs it.
 */
import { css, define, html, LabElement, nothing, t } from './base.js';
import { wrong } from './engine-said.js';
import { chapterNumbers, memoryTable, methodsTable, shapesTable } from './calculator-chapter.js';
import { table } from './calculator-engine.js';
import { CHAPTER_CODE, CLAIMS, JOINT_JS, JOINT_PYTHON, SECTIONS, UNNAMED } from './chapter-data.js';
import './chapter-base.js';
import './chapter-quality.js';
import { adviceTable, experiment, rankingHere, rankingRecorded, verdictHere, verdictNote } from './chapter-runs.js';
import { drawTree } from './choose-tree.js';
import { reasons } from './chapter-reasons.js';
import { codeBlock } from './clipboard.js';
import './merge-overhead.js';
import { book, methodName, optionsOf } from './recommend.js';
import { bookWords } from '../lib/engine-words.js';
import { count, fixed, significant } from '../lib/format.js';
import { number } from '../lib/i18n.js';

const MARKS = Object.freeze({ holds: '✓', assumes: '≈', differs: '≠', see: '▷', untested: '–' });

class PeftPanelChapter extends LabElement {
    static watch = ['status', 'state', 'runs', 'run', 'merge', 'ready'];
    static properties = {
        guide: { state: true }, numbers: { state: true }, recorded: { state: true }, problem: { state: true }, copied: { state: true },
    };
    static styles = [LabElement.styles, css`
        section { border-block-start: 1px solid var(--line); padding-block: 12px; scroll-margin-top: 12px; }
        .claim {
            display: grid; gap: 6px 16px; grid-template-columns: minmax(0, 1fr); padding: 10px 0;
            border-bottom: 1px dotted var(--line);
        }
        @media (min-width: 760px) { .claim { grid-template-columns: minmax(0, 2fr) minmax(0, 3fr); } }
        .verdict {
            display: inline-block; font-weight: 650; font-size: .85rem;
            border: 1px solid var(--line-strong); border-radius: 6px; padding: 1px 8px;
        }
        .holds { border-color: var(--good); color: var(--good); }
        .differs { border-color: var(--bad); color: var(--bad); }
        caption { text-align: start; }
        .came { flex-basis: 100%; } p.here { margin: 0; }
        nav { display: flex; flex-wrap: wrap; gap: 4px 12px; font-size: .9rem; }
        .tree { width: 100%; max-width: 420px; height: auto; font-size: 12.5px; }
        .tree rect { fill: var(--raised); stroke: var(--line-strong); }
        .tree text { fill: var(--text); } .tree .edge { stroke: var(--line-strong); fill: none; }
        pre {
            background: var(--raised); border: 1px solid var(--line); border-radius: 6px; padding: 8px 10px;
            overflow: auto; max-height: 300px; font: 0.82rem/1.4 var(--mono); margin: 4px 0 0;
            white-space: pre-wrap; overflow-wrap: anywhere;
        }
        details > summary { cursor: pointer; min-height: 32px; }
        td { min-width: 7em; } td.why { min-width: min(18em, 58vw); }
        .reasons { display: grid; gap: 8px; padding-inline-start: 1.2em; margin-block: 10px 0; } .reasons p, td.why > p { margin: 3px 0 0; }
    `];

    constructor() {
        super();
        /** @type {any} */
        this.guide = null;
        /** @type {import('./calculator-chapter.js').ChapterNumbers | null} */
        this.numbers = null;
        /** @type {Record<string, import('../lib/bullets.js').Recorded> | null} */
        this.recorded = null;
        /** @type {Error | null} */
        this.problem = null;
        this.copied = '';
    }

    connectedCallback() {
        super.connectedCallback();
        this.#ask();
        const [load] = Object.values(import.meta.glob('../../models/recipes/tasks/results.json', { import: 'default' }));
        load?.().then((recorded) => { this.recorded = /** @type {any} */ (recorded); }, () => {});
    }

    #ask() {
        Promise.all([table(this.lab, 'guide'), chapterNumbers(this.lab)]).then(
            ([guide, numbers]) => Object.assign(this, { guide, numbers }),
            (error) => { this.problem = error; },
        );
    }

    /** The chapter's recipes are counted for the loaded model, too. @param {string} type @param {any} detail */
    onLab(type, detail) {
        if (type === 'ready') this.#ask();
        super.onLab(type, detail);
    }

    /** @param {import('./chapter-data.js').Claim} claim */
    #claim({ id, verdict, runs = [], panel, judge, pairs = [[0, 1]] }) {
        return html`<div class="claim" data-claim=${id}>
            <div><p>${t(`chapter.claim.${id}`)}</p><p class="small">${this.value('', 'chapter')}</p></div>
            <div class="stack">
                <p><span class="verdict ${verdict}">${MARKS[verdict]} ${t(`chapter.verdict.${verdict}`)}</span>
                ${t(`chapter.ours.${id}`)}</p>
            ${runs.map((run) => experiment(this, run))}
            ${judge ? pairs.map((pair) => verdictHere(this, judge, pair.map((i) => runs[i]))) : nothing}
            ${panel === 'merge' && id !== 'distil' ? this.#merged() : nothing}
            ${panel
                ? html`<div><button type="button" @click=${() => this.lab.set({ panel })}>${t(`panel.${panel}`)}<span
                    class="sr">: ${t(`chapter.claim.${id}`).slice(0, 60)}</span></button></div>`
                : nothing}</div></div>`;
    }

    /** What merging gave in this tab. */
    #merged() {
        const { merged } = this.lab;
        if (!merged) return nothing;
        const values = {
            difference: significant(merged.max_logit_difference), largest: significant(merged.max_logit),
            before: fixed(merged.before.median, 3), after: fixed(merged.after.median, 3),
        };
        return html`<p class="small here">${t('chapter.merged.here', values)} ${this.value('', 'measured')}</p>`;
    }

    #tasks() {
        const cell = (/** @type {any} */ row, /** @type {any} */ rec) => {
            const wish = { method: rec.method, options: optionsOf(rec.settings), task: row.task };
            const about = `${bookWords(row.heading).text}, ${bookWords(rec.label).text}`;
            return experiment(this, wish, { about, task: false });
        };
        const named = (/** @type {any} */ row) => [row, row.other].filter(Boolean).map((rec) => rec.method);
        return html`<p>${t('chapter.tasks.about')}</p>
            <div class="scroll" tabindex="0" role="region" aria-label=${t('chapter.section.tasks')}><table>
            <thead><tr>
                <th scope="col">${t('choose.col.task')}</th><th scope="col">${t('choose.col.best')}</th>
                ${['first', 'second', 'unnamed'].map((key) => html`<th scope="col">${t(`chapter.col.${key}`)}</th>`)}</tr></thead>
            <tbody>${this.guide.tasks.map((/** @type {any} */ row) => html`<tr>
                <th scope="row">${book(row.heading)}<br><span class="small">${t(`task.${row.task}`)}</span></th>
                <td class="why">${book(row.best)} ${this.value('', 'chapter')}
                    ${rankingRecorded(this, row.task, named(row))}${rankingHere(this, row.task, named(row))}
                    ${reasons(this, row, { recorded: this.recorded?.[row.task], extra: this.#extra('lora') })}</td>
                <td>${cell(row, row)}</td><td>${row.other ? cell(row, row.other) : nothing}</td>
                <td><div class="stack">${(UNNAMED[row.key] ?? []).map((wish) => experiment(this, { ...wish, task: row.task }, {
                    about: `${bookWords(row.heading).text}, ${t(`method.${wish.method}`)}`, task: false,
                }))}</div></td>
                </tr>`)}</tbody></table></div>`;
    }

    /** What a section shows above its claims. @param {string} name */
    #head(name) {
        const { guide, numbers } = this;
        if (!guide || !numbers) return nothing;
        if (name === 'quick') return html`${adviceTable(this, 'quick', guide.quick_reference)}${verdictNote()}`;
        if (name === 'tree') return drawTree(guide.tree, {}, (key) => t(`choose.q.${key}`));
        if (name === 'params') return html`${methodsTable(this, numbers)}${shapesTable(this, numbers)}`;
        if (name === 'quality') return html`<peft-chapter-quality .lab=${this.lab}></peft-chapter-quality>`;
        if (name === 'overhead') return html`${this.#overhead()}<peft-merge-overhead .lab=${this.lab}></peft-merge-overhead>`;
        if (name === 'tasks') return this.#tasks();
        if (name === 'combine') {
            return html`${codeBlock(this, t('chapter.code.book'), CHAPTER_CODE)}
                <details><summary>${t('chapter.code.python')}</summary>${codeBlock(this, 'joint.py', JOINT_PYTHON)}</details>
                <details><summary>${t('chapter.code.js')}</summary>${codeBlock(this, 'joint.mjs', JOINT_JS)}</details>`;
        }
        if (name === 'scaling') return html`${memoryTable(this, numbers)}<peft-chapter-base .lab=${this.lab}></peft-chapter-base>`;
        if (name === 'pitfalls') return adviceTable(this, 'pitfalls', guide.pitfalls);
        return name === 'summary' ? adviceTable(this, 'summary', guide.summary) : nothing;
    }

    /** Percent that a method, unmerged, adds to the arithmetic of a token on a 7B model. @param {string} method @returns {number} */
    #extra(method) {
        const { counted } = /** @type {any} */ (this.numbers?.methods.find((row) => row.method === method));
        return counted.flops_per_token.extra_percent;
    }

    /** The chapter's overhead table beside the arithmetic on a 7B model. */
    #overhead() {
        const share = (/** @type {number} */ value) => number(value / 100, { style: 'percent', maximumFractionDigits: 3 });
        return html`<div class="scroll" tabindex="0" role="region" aria-label=${t('chapter.section.overhead')}><table>
            <thead><tr>
                <th scope="col">${t('calc.col.method')}</th><th scope="col">${t('chapter.col.extra')}</th>
                <th scope="col">${t('chapter.col.merge')}</th><th scope="col">${t('chapter.col.arithmetic')}</th></tr></thead>
            <tbody>${['prompt', 'prefix', 'lora', 'adapter'].map((method) => html`<tr>
                <th scope="row">${methodName(method)}</th>
                <td>${t(`chapter.overhead.${method}`)} ${this.value('', 'chapter')}</td>
                <td>${t(`chapter.canmerge.${method}`)}</td>
                <td>${this.value(`+${share(this.#extra(method))}`, 'calculated')}<br><span class="small">${
                    method === 'lora' ? t('chapter.overhead.unmerged')
                        : method === 'adapter' ? t('chapter.overhead.three')
                            : t(`chapter.overhead.${method}.rows`, { n: method === 'prompt' ? 20 : 10 })}</span></td></tr>`)}
            </tbody></table></div>`;
    }

    render() {
        const behavior = matchMedia('(prefers-reduced-motion: reduce)').matches ? 'auto' : 'smooth';
        const jump = (/** @type {string} */ name) => this.renderRoot.querySelector(`#s-${name}`)?.scrollIntoView({ behavior });
        const tally = /** @type {(keyof typeof MARKS)[]} */ (Object.keys(MARKS))
            .map((verdict) => ({ verdict, n: CLAIMS.filter((claim) => claim.verdict === verdict).length }));
        return html`<div class="stack"><h2>${t('chapter.title')}</h2><p>${t('chapter.about')}</p>
            ${this.problem ? html`<p role="alert">${wrong(this.problem)}</p>` : nothing}
            <p class="row small">${tally.map(({ verdict, n }) => html`<span
                class="verdict ${verdict}">${MARKS[verdict]} ${t(`chapter.verdict.${verdict}`)}: ${count(n)}</span>`)}</p>
            <nav aria-label=${t('chapter.sections')}>
                ${SECTIONS.map((name) => html`<button type="button" class="link"
                    @click=${() => jump(name)}>${t(`chapter.section.${name}`)}</button>`)}</nav>
            ${SECTIONS.map((name) => html`<section id="s-${name}" class="stack"><h3>${t(`chapter.section.${name}`)}</h3>
                ${this.#head(name)}
                ${CLAIMS.filter((claim) => claim.section === name).map((claim) => this.#claim(claim))}</section>`)}
            <p><em>${t('chapter.insight')}</em> ${this.value('', 'chapter')}</p></div>`;
    }
}
define('peft-panel-chapter', PeftPanelChapter);
