/** <peft-choose>: the chapter's four questions, its tree beside them, what it recommends and why, and its tables of advice. */
import { css, define, html, LabElement, nothing, t } from './base.js';
import { wrong } from './engine-said.js';
import { table, calculator } from './calculator-engine.js';
import { adviceTable, measured } from './chapter-runs.js';
import { drawTree } from './choose-tree.js';
import { book, loadButtons, methodName, optionsOf, settingsText } from './recommend.js';
import { bookWords } from '../lib/engine-words.js';
import { count, percent } from '../lib/format.js';
import { hasText } from '../lib/i18n.js';

const ANSWERS = ['yes', 'no'];

class PeftPanelChoose extends LabElement {
    static watch = ['status', 'state', 'counts', 'runs', 'run'];
    static properties = {
        answers: { type: String }, guide: { state: true }, advice: { state: true },
        given: { state: true }, task: { state: true }, problem: { state: true },
    };
    static styles = [LabElement.styles, css`
        .two { display: grid; gap: 16px; grid-template-columns: minmax(0, 1fr); }
        @media (min-width: 760px) { .two { grid-template-columns: minmax(0, 1fr) minmax(0, 1fr); } }
        fieldset { display: grid; gap: 4px; padding: 0 0 10px; margin-bottom: 12px; border-bottom: 1px solid var(--line); }
        legend { font-weight: 600; padding: 0; }
        fieldset[disabled] { opacity: .75; }
        label.answer { display: inline-flex; gap: 6px; align-items: center; min-height: 32px; padding-inline-end: 12px; }
        .tree { width: 100%; max-width: 460px; height: auto; font-size: 12.5px; }
        .tree rect { fill: var(--raised); stroke: var(--line-strong); stroke-width: 1; }
        .tree text { fill: var(--muted); }
        .tree text.small { font-size: 12px; }
        .tree .edge { stroke: var(--line-strong); stroke-width: 1.5; fill: none; stroke-dasharray: 3 4; }
        .tree .on rect { fill: var(--accent-soft); stroke: var(--accent); stroke-width: 2.5; }
        .tree .on text, .tree text.on { fill: var(--text); font-weight: 600; }
        .tree .edge.on { stroke: var(--accent); stroke-width: 3; stroke-dasharray: none; }
        .best { border-color: var(--accent); border-width: 2px; }
        .best ul { padding-inline-start: 20px; }
        details > summary { cursor: pointer; font-weight: 600; min-height: 32px; }
        td .row { gap: 4px 8px; } td { min-width: 9em; } .came { flex-basis: 100%; font-size: .85rem; }
        details { container-type: inline-size; }
        /* Where three columns do not fit: one below the other, the heads for screen readers only. */
        @container (max-width: 480px) {
            thead { position: absolute; clip-path: inset(50%); }
            tbody tr { display: grid; padding-block: 8px; border-bottom: 1px solid var(--line); }
            tbody :is(td, th) { border: 0; padding: 2px 0; min-width: 0; } tbody ul { padding-inline-start: 20px; }
        }
        @media (forced-colors: active) {
            .tree .on rect { stroke: Highlight; } .tree text { fill: CanvasText; } .tree rect { fill: Canvas; }
        }
    `];

    constructor() {
        super();
        /** Answers as an attribute: "latency:no compute:yes". */
        this.answers = '';
        /** @type {any} */
        this.guide = null;
        /** @type {any} */
        this.advice = null;
        /** @type {Record<string, string>} */
        this.given = {};
        /** The visitor's own choice of a task; null: none yet, the answers decide. @type {string | null} */
        this.task = null;
        /** @type {Error | null} */
        this.problem = null;
    }

    connectedCallback() {
        super.connectedCallback();
        for (const [, key, answer] of this.answers.matchAll(/([a-z]+):(yes|no)/g)) this.given[key] = answer;
        table(this.lab, 'guide').then((guide) => {
            this.guide = guide;
            this.#advise();
        }, (error) => { this.problem = error; });
    }

    /** @param {string} type @param {any} detail */
    onLab(type, detail) {
        super.onLab(type, detail);
        if (type === 'counts') this.#recount().catch(() => {});
    }

    /** The loaded model, as the calculator needs it; '' before there is one. */
    get #model() {
        const { model } = this.lab.description ?? {};
        return model ? JSON.stringify(model.config ?? model) : '';
    }

    /** The recommendation stays, also with another model: what it trains of that one is another number. */
    async #recount() {
        const { advice } = this;
        const model = this.#model;
        if (!advice || model === advice.model) return;
        const here = await calculator(this.lab, (session) => this.#count(session, advice, '', model));
        if (advice === this.advice && model === this.#model) this.advice = { ...advice, here, model };
    }

    /** The questions up to the one that decides. */
    get open() {
        const questions = this.guide.tree.filter((/** @type {any} */ node) => node.question);
        const decided = questions.findIndex((/** @type {any} */ node) => this.given[node.key] === 'yes');
        const none = questions.every((/** @type {any} */ node) => this.given[node.key] === 'no');
        return { questions, until: decided < 0 ? questions.length : decided, done: decided >= 0 || none };
    }

    /** Whose task is trained: '' = the one that is loaded. */
    get taskKey() {
        return this.task ?? (this.given.task === 'yes' && this.open.done ? 'classification' : '');
    }

    async #advise() {
        if (!this.open.done) {
            this.advice = null;
            return;
        }
        const answers = this.given;
        const given = { ...answers, task: answers.task === 'yes' ? 'classification' : answers.task };
        const advice = await calculator(this.lab, async (session) => {
            const said = await session.advise(given);
            const model = this.#model;
            const [here, large] = await Promise.all(['', 'llama-2-7b'].map((shape) => this.#count(session, said, shape, model)));
            return { ...said, here, large, model };
        });
        if (this.given !== answers) return; // another answer was given meanwhile
        this.advice = advice;
        this.#recount().catch(() => {}); // the model may have come, or changed, meanwhile
        this.fire('peft-recommend', { method: advice.method, settings: advice.settings });
        this.say(t('choose.say', { method: bookWords(advice.label).text, settings: settingsText(advice.settings) }));
    }

    /** @param {any} session @param {any} advice @param {string} shape '' for the loaded model @param {string} model */
    async #count(session, advice, shape, model) {
        const config = shape ? { shape } : model && { config: JSON.parse(model) };
        return config ? session.countFor({ ...config, method: advice.method, options: advice.options }).catch(() => null) : null;
    }

    /** @param {string} key @param {string} answer */
    #answer(key, answer) {
        this.given = { ...this.given, [key]: answer };
        this.#advise().catch((error) => { this.problem = error; });
    }

    /** @param {any} node @param {number} i @param {number} until */
    #question(node, i, until) {
        const skipped = i > until;
        return html`<fieldset ?disabled=${skipped}><legend>${i + 1}. ${t(`choose.q.${node.key}`)}</legend>
            <p class="small muted">${skipped ? t('choose.decided') : t(`choose.q.${node.key}.about`)}</p>
            <div>${ANSWERS.map((answer) => html`<label class="answer"><input type="radio" name=${node.key} value=${answer}
                .checked=${this.given[node.key] === answer}
                @change=${() => this.#answer(node.key, answer)}>${t(`choose.${answer}`)}</label>`)}</div></fieldset>`;
    }

    #card() {
        const { advice } = this;
        if (!advice) return html`<div class="card"><h3>${t('choose.result')}</h3><p class="muted">${t('choose.unanswered')}</p></div>`;
        const deciding = advice.path.at(-1);
        const task = this.guide.tasks.find((/** @type {any} */ row) => row.key === this.taskKey)?.task;
        return html`<div class="card best stack"><h3>${t('choose.result')}: ${methodName(advice.method, advice.label)}</h3>
            <p>${settingsText(advice.settings)}${advice.merge ? html`. ${t('choose.merge')}` : nothing}</p>
            <p>${t('choose.chapter_says', { quote: bookWords(advice.quote).text })}</p>
            <div><strong>${t('choose.why')}</strong><ul>${advice.path.map((/** @type {string} */ key) => html`<li>${
                key === 'default' ? t('choose.reason.default')
                    : `${t(`choose.q.${key}`)} ${t(`choose.${key === deciding ? 'yes' : 'no'}`)}. ${
                        key === deciding ? t(`choose.reason.${key}`) : ''}`}</li>`)}</ul></div>
            ${advice.large ? html`<p>${t('choose.size', { percent: percent(advice.large.percent) })}
                ${this.value(count(advice.large.trainable), 'calculated')}</p>` : nothing}
            ${advice.here ? html`<p>${t('choose.size.here', { percent: percent(advice.here.percent) })}
                ${this.value(count(advice.here.trainable), 'calculated')}</p>` : nothing}
            ${loadButtons(this, { method: advice.method, settings: advice.settings, task }, { primary: true })}
            ${this.#came(advice, task)}
            ${advice.other ? html`<p class="row">
                <span>${t('choose.other')} ${methodName(advice.other.method, advice.other.label)}, ${
                    settingsText(advice.other.settings)}</span>
                ${loadButtons(this, { method: advice.other.method, settings: advice.other.settings, task },
                    { about: bookWords(advice.other.label).text })}
                ${this.#came(advice.other, task)}</p>` : nothing}</div>`;
    }

    /** What came of a recommendation in this tab. @param {any} rec @param {string} [task] '' or undefined: the loaded one */
    #came(rec, task) {
        return measured(this, { method: rec.method, options: optionsOf(rec.settings), ...(task && { task }) });
    }

    #tasks() {
        const text = (/** @type {any} */ row) => (hasText(`task.${row.task}`) ? t(`task.${row.task}`) : row.task);
        const cell = (/** @type {any} */ row, /** @type {any} */ rec) => {
            const about = `${bookWords(row.heading).text}, ${bookWords(rec.label).text}`;
            return html`<div>${methodName(rec.method, rec.label)}, ${settingsText(rec.settings)} ${
                loadButtons(this, { method: rec.method, settings: rec.settings, task: row.task }, { about })}
                ${this.#came(rec, row.task)}</div>`;
        };
        return html`<details open><summary>${t('choose.tasks')}</summary>
            <div class="scroll" tabindex="0" role="region" aria-label=${t('choose.tasks')}><table>
            <thead><tr>
                <th scope="col">${t('choose.col.task')}</th><th scope="col">${t('choose.col.best')}</th>
                <th scope="col">${t('choose.col.try')}</th></tr></thead>
            <tbody>${this.guide.tasks.map((/** @type {any} */ row) => html`<tr>
                <th scope="row">${book(row.heading)}<br><span class="small">${text(row)}</span></th>
                <td>${book(row.best)}
                    <ul class="small muted">${row.reasons.map((/** @type {string} */ r) => html`<li>${book(r)}</li>`)}</ul></td>
                <td class="stack">${cell(row, row)}${row.other ? cell(row, row.other) : nothing}</td></tr>`)}</tbody></table></div></details>`;
    }

    /** @param {'quick' | 'summary' | 'pitfalls'} name @param {any[]} rows */
    #advice_table(name, rows) {
        return html`<details><summary>${t(`choose.${name}`)}</summary>${adviceTable(this, name, rows)}</details>`;
    }

    render() {
        if (this.problem) return html`<h2>${t('choose.title')}</h2><p role="alert">${wrong(this.problem)}</p>`;
        if (!this.guide) return html`<h2>${t('choose.title')}</h2><p class="muted" role="status">${t('next.loading')}</p>`;
        const { questions, until } = this.open;
        const again = () => { this.given = {}; this.advice = null; this.task = null; };
        return html`<div class="stack"><h2>${t('choose.title')}</h2><p>${t('choose.about')}</p>
            <div class="two"><div>${questions.map((/** @type {any} */ node, /** @type {number} */ i) => this.#question(node, i, until))}
                <p class="row"><label>${t('choose.on')} <select @change=${(/** @type {any} */ e) => { this.task = e.target.value; }}>
                    <option value="" .selected=${this.taskKey === ''}>${t('choose.on.now')}</option>
                    ${this.guide.tasks.map((/** @type {any} */ row) => html`<option value=${row.key}
                        .selected=${row.key === this.taskKey}>${bookWords(row.heading).text}</option>`)}</select></label>
                    <button type="button" class="link" @click=${again}>${t('choose.again')}</button></p></div>
            <figure>${drawTree(this.guide.tree, this.given, (key) => t(`choose.q.${key}`))}
                <figcaption class="small muted">${t('choose.tree.source')}</figcaption></figure></div>
            <div aria-live="polite">${this.#card()}</div>
            ${this.#tasks()}${this.#advice_table('quick', this.guide.quick_reference)}
            ${this.#advice_table('summary', this.guide.summary)}${this.#advice_table('pitfalls', this.guide.pitfalls)}</div>`;
    }
}
define('peft-panel-choose', PeftPanelChoose);
define('peft-choose', class extends PeftPanelChoose {});
