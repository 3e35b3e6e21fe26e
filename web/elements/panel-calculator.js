/**
 * <peft-calculator>: parameters, files and memory for any model shape, with every assumption in view. Attributes: model, method,
 * dtype, optimizer, assumptions="chapter".
 */
import { methodWords, shapeWords } from '../lib/engine-words.js';
import { css, define, html, LabElement, nothing, t } from './base.js';
import { memoryBar, PARTS } from './calculator-bar.js';
import { chapterNumbers, memoryTable, methodsTable } from './calculator-chapter.js';
import { calculator, table } from './calculator-engine.js';
import './file-button.js';
import { said, wrong } from './engine-said.js';
import { optionControl } from './options.js';
import { byteSize, count, percent } from '../lib/format.js';
import { baseTerms, methodTerms, total } from '../lib/formulas.js';

/** What can be edited, with its limits. @type {[string, number, number][]} */
const DIMENSIONS = [
    ['hidden_size', 8, 65536], ['num_hidden_layers', 1, 256], ['num_attention_heads', 1, 512],
    ['num_key_value_heads', 1, 512], ['head_dim', 2, 512],
    ['intermediate_size', 8, 262144], ['vocab_size', 2, 1_000_000],
];
const DTYPES = ['f32', 'bf16', 'f16', 'int8', 'nf4'];
const OPTIMIZERS = ['adamw', 'adamw8bit', 'momentum', 'sgd'];

class PeftPanelCalculator extends LabElement {
    static watch = ['ready', 'state'];
    static properties = {
        model: {}, method: {}, dtype: {}, optimizer: {}, assumptions: {},
        known: { state: true }, config: { state: true }, options: { state: true }, batch: { state: true }, seq: { state: true },
        checkpointing: { state: true },
        result: { state: true }, problem: { state: true }, blocked: { state: true }, numbers: { state: true },
    };
    static styles = [LabElement.styles, css`
        .two { display: grid; gap: 16px; align-items: start; grid-template-columns: minmax(0, 1fr); }
        @media (min-width: 820px) { .two { grid-template-columns: minmax(0, 5fr) minmax(0, 7fr); } }
        .dims { display: grid; grid-template-columns: repeat(auto-fill, minmax(130px, 1fr)); gap: 6px 10px; }
        .dims label, .field { display: grid; gap: 2px; font-size: .85rem; }
        .dims label.row { display: flex; flex-wrap: nowrap; align-self: end; }
        .dims input[type="number"] { width: 100%; }
        .chips { padding: 8px; border: 1px dashed var(--line-strong); border-radius: var(--radius); gap: 6px 12px; }
        .chips label { display: inline-flex; flex-wrap: wrap; gap: 6px; align-items: center; max-width: 100%; font-size: .85rem; }
        .chips input[type="number"] { width: 5.5em; }
        .big { font-size: 1.3rem; font-weight: 650; }
        .bar { width: 100%; height: 34px; display: block; font-size: 15px; }
        .key { display: inline-block; width: 14px; height: 14px; border: 1px solid var(--line-strong); vertical-align: -2px; }
        .pair { display: grid; grid-template-columns: minmax(0, 1fr) auto; gap: 8px; align-items: center; }
        .terms { font-size: .85rem; }
        .drop { border: 1px dashed var(--line-strong); border-radius: 6px; padding: 8px; font-size: .85rem; }
        .warn { background: var(--warn-soft); padding: 8px 10px; border-radius: 6px; }
        .site { min-width: 44px; padding: 4px 8px; }
        details > summary { cursor: pointer; font-weight: 600; min-height: 32px; }
        ul { padding-inline-start: 1.4em; }
        td.num { white-space: nowrap; }
        .book td { min-width: 7em; } .book td:last-child { min-width: 12em; }
    `];

    #ticket = 0;

    constructor() {
        super();
        this.model = 'llama-2-7b';
        this.method = 'lora';
        this.dtype = 'bf16';
        this.optimizer = 'adamw';
        this.assumptions = '';
        /** @type {any} methods and shapes */
        this.known = null;
        /** @type {any} */
        this.config = null;
        /** @type {Record<string, any>} */
        this.options = {};
        this.batch = 1;
        this.seq = 2048;
        this.checkpointing = false;
        /** @type {any} */
        this.result = null;
        /** What went wrong, in the language of the moment. @type {(() => any) | null} */
        this.problem = null;
        /** Why there is no engine. @type {any} */
        this.blocked = null;
        /** @type {import('./calculator-chapter.js').ChapterNumbers | null} */
        this.numbers = null;
    }

    connectedCallback() {
        super.connectedCallback();
        if (!this.hasAttribute('model') && this.lab.state.shape) this.model = this.lab.state.shape;
        table(this.lab, 'describeStatic').then((known) => {
            this.known = known;
            this.#shape(known.shapes.some((/** @type {any} */ s) => s.name === this.model) ? this.model : 'llama-2-7b');
        }, (error) => { this.blocked = error; });
    }

    /** Options of the method, complete. */
    get complete() {
        const method = this.known?.methods.find((/** @type {any} */ m) => m.name === this.method);
        return { ...Object.fromEntries((method?.options ?? []).map((/** @type {any} */ o) => [o.name, o.default])), ...this.options };
    }

    /** @param {string} name of a shape, "loaded" or "own" */
    #shape(name) {
        this.model = name;
        if (name === 'loaded') this.config = { ...this.lab.description.model.config ?? this.lab.description.model };
        else if (name !== 'own') this.config = { ...this.known.shapes.find((/** @type {any} */ s) => s.name === name).config };
        this.#compute();
    }

    async #compute() {
        const ticket = ++this.#ticket;
        try {
            const request = { config: this.config, method: this.method, options: this.options };
            const training = {
                dtype: this.dtype, optimizer: this.optimizer, batch: this.batch, seq: this.seq, checkpointing: this.checkpointing,
                ...(this.assumptions === 'chapter' && { assume: 'chapter' }),
            };
            // Full fine-tuning keeps its weights in a format that can be trained.
            const whole = { config: this.config, method: 'full', options: {}, ...training, dtype: this.dtype === 'f32' ? 'f32' : 'bf16' };
            /** @type {Error | null} what has a count may have no memory: full fine-tuning of 4-bit weights */
            let refused = null;
            const [counts, memory, full] = await calculator(this.lab, (session) => Promise.all([
                session.countFor(request),
                session.memoryFor({ ...request, ...training }).catch((error) => { refused = error; }),
                session.memoryFor(whole).catch(() => null),
            ]));
            if (ticket !== this.#ticket) return;
            this.result = { counts, memory, full };
            const error = /** @type {Error | null} */ (refused);
            this.problem = error && (() => wrong(error));
            this.fire('peft-change', { trainable: counts.trainable, training: memory?.training ?? null });
        } catch (error) {
            if (ticket !== this.#ticket) return;
            this.result = null; // figures of other dimensions would stand beside these
            this.problem = () => wrong(/** @type {Error} */ (error));
        }
    }

    /** @param {Record<string, any>} changes */
    #set(changes) {
        Object.assign(this, changes);
        this.#compute();
    }

    /** @param {Blob | undefined} file */
    async #readConfig(file) {
        if (!file) return;
        try {
            if (file.size > 1_000_000) throw new Error(t('calc.config.large'));
            const config = JSON.parse(await file.text());
            await calculator(this.lab, (session) => session.countFor({ config })); // the engine says what is wrong with it
            const { num_attention_heads: heads, hidden_size: width } = config;
            const usual = { num_key_value_heads: heads, head_dim: Math.floor(width / heads), tie_word_embeddings: false };
            const given = Object.entries(config).filter(([, value]) => value !== null); // null: the usual, as in transformers
            this.#set({ model: 'own', config: { ...usual, ...Object.fromEntries(given) } });
        } catch (error) {
            // The browser's own words on JSON, like the engine's, are English.
            const why = /** @type {Error} */ (error);
            const said = why instanceof SyntaxError ? { message: why.message, code: 'format' } : why;
            this.problem = () => html`${t('calc.config.bad', { why: '' })}${wrong(said)}`;
        }
    }

    #dims() {
        const own = (/** @type {string} */ name, /** @type {any} */ value) => {
            const config = { ...this.config, [name]: value };
            if (name === 'hidden_size' || name === 'num_attention_heads') {
                config.head_dim = Math.max(2, Math.floor(config.hidden_size / config.num_attention_heads));
            }
            this.#set({ model: 'own', config });
        };
        const dropped = (/** @type {DragEvent} */ e) => { e.preventDefault(); this.#readConfig(e.dataTransfer?.files[0]); };
        const read = (/** @type {File[]} */ [file]) => this.#readConfig(file);
        return html`<details><summary>${t('calc.dims')}</summary><div class="dims">
            ${DIMENSIONS.map(([name, min, max]) => html`<label>${t(`calc.dim.${name}`)}
                <input type="number" min=${min} max=${max} step="1" .value=${String(this.config[name])}
                    @change=${(/** @type {any} */ e) => {
                        const value = Math.round(Number(e.target.value));
                        if (Number.isFinite(value)) own(name, Math.min(max, Math.max(min, value)));
                    }}></label>`)}
            <label class="row"><input type="checkbox" .checked=${this.config.tie_word_embeddings}
                @change=${(/** @type {any} */ e) => own('tie_word_embeddings', e.target.checked)}> ${t('calc.dim.tied')}</label></div>
            <div class="drop" @dragover=${(/** @type {DragEvent} */ e) => e.preventDefault()} @drop=${dropped}>
                <peft-file theme=${this.theme ?? nothing} .lab=${this.lab} .label=${t('calc.config')}
                    .accept=${'.json,application/json'} .pick=${read}></peft-file></div></details>`;
    }

    #method() {
        const method = this.known.methods.find((/** @type {any} */ m) => m.name === this.method);
        const control = (/** @type {any} */ option) => optionControl({
            option, value: this.complete[option.name], changed: option.name in this.options, disabled: false,
            sites: this.known.sites, id: `calc-${option.name}`,
            set: (value) => {
                const { [option.name]: _, ...rest } = this.options;
                this.#set({ options: value === undefined ? rest : { ...rest, [option.name]: value } });
            },
        });
        const counted = [
            'dropout', 'prompt_tuning_init', 'prefix_init', 'init_text', 'alpha', 'use_rslora', 'loraplus_lr_ratio',
            'non_linearity', 'scaling',
        ];
        return html`<label class="field">${t('calc.method')}
            <select @change=${(/** @type {any} */ e) => this.#set({ method: e.target.value, options: {} })}>
            ${this.known.methods.map((/** @type {any} */ m) =>
                html`<option value=${m.name} ?selected=${m.name === this.method}>${methodWords(m)}</option>`)}</select></label>
            ${method.options.filter((/** @type {any} */ o) => o.level <= 1 && !counted.includes(o.name)).map(control)}`;
    }

    /**
     * Every assumption, always in view. What the chapter's way of counting fixes shows what it fixes it to, and cannot be
     * chosen.
     */
    #chips() {
        const { memory } = this.result ?? {};
        const chapter = this.assumptions === 'chapter';
        /** @param {string} name @param {string[]} list */
        const pick = (name, list, fixed = false, shown = /** @type {any} */ (this)[name]) => html`<label>${t(`calc.${name}`)} <select
            ?disabled=${fixed} aria-describedby=${fixed ? 'fixed' : nothing}
            @change=${(/** @type {any} */ e) => this.#set({ [name]: e.target.value })}>
            ${list.map((value) =>
                html`<option value=${value} .selected=${value === shown}>${t(`calc.${name}.${value}`)}</option>`)}</select></label>`;
        const numberOf = (/** @type {string} */ name, /** @type {number} */ max) => html`<label>${t(`calc.${name}`)} <input
            type="number" min="1" max=${max} .value=${String(/** @type {any} */ (this)[name])}
            @change=${(/** @type {any} */ e) => {
                const v = Math.round(Number(e.target.value));
                if (v >= 1) this.#set({ [name]: Math.min(max, v) });
            }}></label>`;
        return html`<div class="row chips" role="group" aria-label=${t('calc.assumptions')}>
            <strong class="small">${t('calc.assumptions')}</strong>
            ${pick('dtype', DTYPES, chapter, chapter && memory ? memory.dtype : this.dtype)}
            ${pick('optimizer', OPTIMIZERS, chapter && memory?.optimizer === 0)}
            ${numberOf('batch', 4096)}${numberOf('seq', 131072)}
            <label><input type="checkbox" .checked=${chapter || this.checkpointing} ?disabled=${chapter}
                aria-describedby=${chapter ? 'fixed' : nothing}
                @change=${(/** @type {any} */ e) => this.#set({ checkpointing: e.target.checked })}> ${t('calc.checkpointing')}</label>
            <label><input type="checkbox" .checked=${this.assumptions === 'chapter'}
                @change=${(/** @type {any} */ e) => this.#set({ assumptions: e.target.checked ? 'chapter' : '' })}> ${
                t('calc.as_chapter')}</label>
            ${chapter ? html`<p class="small muted" id="fixed">${t('calc.chapter.fixed')}</p>` : nothing}</div>`;
    }

    #terms() {
        const terms = methodTerms(this.config, this.method, this.complete);
        const base = baseTerms(this.config);
        const list = (/** @type {any[]} */ rows, /** @type {string} */ name) => html`<table class="terms">
            <caption class="small muted">${name}</caption>
            <tbody>${rows.map((row) => html`<tr><td>${row.text}</td><td class="num">${count(row.value)}</td></tr>`)}
            <tr><th scope="row">${t('calc.sum')}</th><td class="num"><strong>${count(total(rows))}</strong></td></tr></tbody></table>`;
        return html`<details><summary>${t('calc.formula')}</summary>
            <div class="stack scroll" tabindex="0" role="region" aria-label=${t('calc.formula')}>
            ${terms ? list(terms, t('calc.formula.method')) : html`<p class="small muted">${t('calc.formula.none')}</p>`}
            ${list(base, t('calc.formula.base'))}
            <p class="small muted" id="memory">${this.#memoryTerms()}</p></div></details>`;
    }

    /** The sum of what is counted, and what is left out. */
    #memoryTerms() {
        const { memory } = this.result;
        if (!memory) return nothing;
        const terms = PARTS.filter((part) => memory[part]).map((part) => t(`calc.term.${part}`)).join(' + ');
        const sum = t('calc.formula.memory', { terms });
        if (this.assumptions !== 'chapter') return sum;
        const left = PARTS.filter((part) => !memory[part] && !(part === 'module_weights' && this.method === 'full'));
        return `${sum} ${t('calc.formula.left', { parts: left.map((part) => t(`calc.part.${part}`)).join(', ') })}`;
    }

    #result() {
        if (!this.result) return this.problem ? nothing : html`<p class="muted" role="status">${t('next.loading')}</p>`;
        const { counts, memory, full } = this.result;
        const notes = [...new Set([...counts.assumptions, ...(memory?.assumptions ?? [])])];
        const { fp32, fp16 } = counts.file_bytes;
        return html`<div class="stack">
            <p role="status"><span class="big">${count(counts.trainable)}</span> ${
                t('calc.of', { total: count(counts.total), percent: percent(counts.percent) })} ${this.value('', 'calculated')}</p>
            <p>${t('calc.file', { fp32: byteSize(fp32), fp16: byteSize(fp16) })} · ${
                t('calc.flops', { percent: percent(counts.flops_per_token.extra_percent) })}</p>
            ${memory ? html`<h3>${t('calc.memory')}</h3>${memoryBar(this, memory, this.method === 'full' ? null : full)}
                <p class="small">${t('calc.inference', { size: byteSize(memory.inference), cache: byteSize(memory.kv_cache) })}</p>` : nothing}
            <details><summary>${t('calc.assumed')}</summary>
                <ul class="small">${notes.map((note) => html`<li>${said(note)}</li>`)}</ul></details>
            ${this.#terms()}</div>`;
    }

    #chapter() {
        const show = async () => {
            this.#set({ assumptions: 'chapter', method: 'lora', options: {}, checkpointing: true });
            this.#shape('llama-2-7b');
            this.numbers ??= await chapterNumbers(this.lab).catch((error) => {
                this.problem = () => wrong(error);
                return null;
            });
        };
        return html`<div class="stack book"><div class="row">
            <button type="button" @click=${show} aria-expanded=${Boolean(this.numbers)}>${t('calc.chapter')}</button>
            <span class="small muted">${t('calc.chapter.about')}</span></div>
            ${this.numbers ? html`${methodsTable(this, this.numbers)}${memoryTable(this, this.numbers)}` : nothing}</div>`;
    }

    /** Without WebAssembly: what plain arithmetic gives. */
    #withoutEngine() {
        const config = {
            hidden_size: 4096, intermediate_size: 11008, num_hidden_layers: 32, num_attention_heads: 32, num_key_value_heads: 32,
            head_dim: 128, vocab_size: 32000, tie_word_embeddings: false,
        };
        const rows = /** @type {[string, any][]} */ ([
            ['prompt', { num_virtual_tokens: 20 }], ['prefix', { num_virtual_tokens: 10 }],
            ['lora', { rank: 8, target_modules: ['q_proj', 'v_proj'] }],
            ['adapter', { variant: 'houlsby', bottleneck_size: 64 }], ['full', {}],
        ]);
        return html`<div class="stack"><h2>${t('calc.title')}</h2>
            <p class="warn" role="alert">${t('calc.blocked')} ${wrong(this.blocked)}</p>
            <table><caption>${t('calc.blocked.table')}</caption>
            <thead><tr><th scope="col">${t('calc.col.method')}</th><th scope="col" class="num">${t('calc.col.exact')}</th></tr></thead>
            <tbody>${rows.map(([name, options]) => html`<tr><th scope="row">${t(`method.${name}`)}</th>
                <td class="num">${this.value(count(total(methodTerms(config, name, options) ?? [])), 'calculated')}</td></tr>`)}
            </tbody></table></div>`;
    }

    render() {
        if (this.blocked) return this.#withoutEngine();
        if (!this.known || !this.config) return html`<h2>${t('calc.title')}</h2><p class="muted" role="status">${t('next.loading')}</p>`;
        return html`<div class="stack"><h2>${t('calc.title')}</h2><p>${t('calc.about')}</p>${this.#chips()}
            ${this.problem ? html`<p class="warn" role="alert">${this.problem()}</p>` : nothing}
            <div class="two"><div class="stack">
                <label class="field">${t('calc.shape')}<select @change=${(/** @type {any} */ e) => this.#shape(e.target.value)}>
                ${this.lab.description?.model
                    ? html`<option value="loaded" ?selected=${this.model === 'loaded'}>${t('calc.shape.loaded')}</option>`
                    : nothing}
                ${this.known.shapes.map((/** @type {any} */ s) =>
                    html`<option value=${s.name} ?selected=${s.name === this.model}>${shapeWords(s)}</option>`)}
                <option value="own" ?selected=${this.model === 'own'}>${t('calc.shape.own')}</option></select></label>
                ${this.#dims()}${this.#method()}</div>
            ${this.#result()}</div>${this.#chapter()}</div>`;
    }
}
define('peft-panel-calculator', PeftPanelCalculator);
define('peft-calculator', class extends PeftPanelCalculator {});
