/**
 * <peft-panel-export>: adapters in and out, the model, a Python script for a large model, the session, links and code for
 * course pages.
 */
import { css, define, html, LabElement, nothing, t } from './base.js';
import { table } from './calculator-engine.js';
import { codeBlock } from './clipboard.js';
import { said, wrong } from './engine-said.js';
import { sharing } from './export-share.js';
import './file-button.js';
import { offer, saidHere } from './work.js';
import { PeftLabError } from '../engine/errors.js';
import { shapeWords } from '../lib/engine-words.js';
import { byteSize } from '../lib/format.js';
import { adapterFiles, adapterFolders, fileName, importAdapters, packSession, unpackSession, zip } from '../lib/packages.js';
import { recipe } from '../lib/recipe.js';
import { csv } from '../lib/table-file.js';

const DTYPES = ['F32', 'F16', 'BF16'];
const LARGEST = 512 * 1024 * 1024;

class PeftPanelExport extends LabElement {
    static watch = ['status', 'state', 'modules', 'run', 'merge', 'ready'];
    static properties = {
        copied: { state: true }, hide: { state: true }, lock: { state: true }, element: { state: true },
        dtype: { state: true }, note: { state: true }, problem: { state: true }, over: { state: true }, known: { state: true },
    };
    static styles = [LabElement.styles, css`
        section { border-block-start: 1px solid var(--line); padding-block: 10px; }
        pre {
            background: var(--raised); border: 1px solid var(--line); border-radius: 6px; padding: 8px 10px;
            overflow: auto; max-height: 320px; font: 0.82rem/1.4 var(--mono); margin: 4px 0 0;
            white-space: pre-wrap; overflow-wrap: anywhere;
        }
        .code { display: grid; gap: 2px; grid-template-columns: minmax(0, 1fr); }
        .drop { border: 2px dashed var(--line-strong); border-radius: var(--radius); padding: 10px; }
        .drop.over { border-color: var(--accent); background: var(--accent-soft); }
        .warn { background: var(--warn-soft); padding: 8px 10px; border-radius: 6px; }
        table.narrow { width: auto; }
        p { overflow-wrap: anywhere; }
        ul { padding-inline-start: 20px; }
        summary { cursor: pointer; min-height: 32px; }
    `];

    constructor() {
        super();
        this.copied = '';
        /** @type {string[]} */
        this.hide = [...this.lab.state.hide];
        /** @type {string[]} */
        this.lock = [...this.lab.state.lock];
        this.element = 'playground';
        this.dtype = 'F16';
        this.note = '';
        /** @type {import('./work.js').Problem | null} */
        this.problem = null;
        this.over = false;
        /** @type {any} methods and shapes */
        this.known = null;
    }

    connectedCallback() {
        super.connectedCallback();
        table(this.lab, 'describeStatic').then((known) => { this.known = known; }, () => {}); // the script then waits for the model
    }

    /** Work whose result, or failure, is said in words. @param {() => Promise<string>} work */
    async #do(work) {
        Object.assign(this, { note: t('export.working'), problem: null });
        try {
            this.note = await work();
            this.say(this.note);
        } catch (thrown) {
            Object.assign(this, { note: '', problem: saidHere(this, thrown) });
        }
    }

    /** @param {string} name @param {Uint8Array} bytes */
    #give(name, bytes) {
        offer(name, bytes, 'application/zip');
        return t('export.saved', { name, size: byteSize(bytes.length) });
    }

    /** @param {Iterable<File> | null | undefined} list @returns {Promise<{name: string, bytes: Uint8Array}[]>} */
    async #read(list) {
        const files = [...list ?? []];
        const sum = files.reduce((bytes, file) => bytes + file.size, 0);
        if (sum > LARGEST) throw new PeftLabError('range', t('data.too_large', { size: byteSize(sum), limit: byteSize(LARGEST) }));
        return Promise.all(files.map(async (file) => ({ name: file.name, bytes: new Uint8Array(await file.arrayBuffer()) })));
    }

    /** @param {Iterable<File> | null | undefined} list */
    #import(list) {
        return this.#do(async () => {
            const { modules, notes } = await importAdapters(this.lab, adapterFolders(await this.#read(list)));
            return [t('export.imported', { methods: modules.map((m) => t(`method.${m.method}`)).join(', ') }), ...notes].join(' ');
        });
    }

    get #name() {
        const { method, task, model } = this.lab.state;
        return fileName(`${task}-${method}-${model}`);
    }

    #adapter() {
        const { lab } = this;
        const off = lab.status === 'training';
        const save = () => this.#do(async () => this.#give(`${this.#name}.zip`, zip(await adapterFiles(lab))));
        const trained = Boolean(lab.run) || lab.description?.modules.length > 1;
        const { modules = [] } = lab.description ?? {};
        const none = modules.length > 0 && modules.every((/** @type {any} */ m) => m.method === 'full');
        return html`<section class="stack"><h3>${t('export.adapter')}</h3><p class="small">${t('export.adapter.about')}</p>
            ${none ? html`<p class="small" id="no-adapter">${t('export.adapter.none')}</p>`
                : html`${lab.session && !trained ? html`<p class="small muted">${t('export.untrained')}</p>` : nothing}
            <div class="row"><button type="button" class="primary" ?disabled=${off}
                @click=${save}>${t('export.adapter.save')}</button></div>`}
            <div class="drop ${this.over ? 'over' : ''}"
                @dragover=${(/** @type {DragEvent} */ e) => { e.preventDefault(); this.over = true; }}
                @dragleave=${() => { this.over = false; }}
                @drop=${(/** @type {DragEvent} */ e) => { e.preventDefault(); this.over = false; this.#import(e.dataTransfer?.files); }}>
                <peft-file theme=${this.theme ?? nothing} .lab=${lab} .label=${t('export.adapter.load')} multiple
                    .accept=${'.zip,.json,.safetensors'} ?disabled=${off}
                    .pick=${(/** @type {File[]} */ files) => this.#import(files)}></peft-file></div></section>`;
    }

    #model() {
        const { lab } = this;
        const own = lab.description?.modules.length > 0 && lab.description.counts.added === 0; // trains the model's own numbers
        const save = () => this.#do(async () => {
            const files = await lab.work((session) => session.exportModel(/** @type {any} */ (this.dtype)));
            return this.#give(`${fileName(`${lab.state.model}-${lab.merged ? 'merged' : 'model'}`)}.zip`, zip(files));
        });
        return html`<section class="stack"><h3>${t('export.model')}</h3>
            <p class="small">${t(lab.merged ? 'export.model.merged' : own ? 'export.model.own' : 'export.model.about')}</p>
            <div class="row"><label>${t('export.dtype')} <select @change=${(/** @type {any} */ e) => { this.dtype = e.target.value; }}>
                ${DTYPES.map((d) => html`<option ?selected=${d === this.dtype}>${d}</option>`)}</select></label>
            ${!lab.merged && !own && lab.run
                ? html`<button type="button" ?disabled=${lab.status === 'training'}
                    @click=${() => lab.set({ panel: 'merge' })}>${t('export.model.merge')}</button>`
                : nothing}
            <button type="button" ?disabled=${lab.status === 'training'} @click=${save}>${t('export.model.save')}</button></div></section>`;
    }

    #script() {
        const { lab } = this;
        if (!this.known) return nothing;
        const { shapes, methods } = this.known;
        const asList = (/** @type {any} */ option) => (option.type === 'targets' ? option.default.split(',') : option.default);
        const chosen = methods.find((/** @type {any} */ m) => m.name === lab.state.method);
        const preset = Object.fromEntries(chosen?.options.map((/** @type {any} */ o) => [o.name, asList(o)]) ?? []);
        const modules = lab.description?.modules.length
            ? lab.description.modules.filter((/** @type {any} */ m) => m.active)
            : [{ method: lab.state.method, options: { ...preset, ...lab.options } }];
        const trained = modules.map((/** @type {any} */ { method, options }) => ({ method, options, train: lab.train_options }));
        const made = recipe({ modules: trained, shape: lab.state.shape });
        return html`<section class="stack"><h3>${t('export.script')}</h3><p class="small">${t('export.script.about')}</p>
            ${shapes.length
                ? html`<label>${t('export.script.model')} <select @change=${(/** @type {any} */ e) => lab.set({ shape: e.target.value })}>
                    ${shapes.map((/** @type {any} */ s) => html`<option value=${s.name}
                        ?selected=${s.name === lab.state.shape}>${shapeWords(s)}</option>`)}</select></label>`
                : nothing}
            <ul class="small">${made.notes.map((note) => html`<li>${said(note)}</li>`)}</ul>
            ${made.script ? html`${codeBlock(this, 'train.py', made.script)}${codeBlock(this, t('export.script.run'), made.launch)}
                <div><button type="button"
                    @click=${() => offer('train.py', made.script, 'text/x-python')}>${t('export.script.save')}</button></div>` : nothing}
            </section>`;
    }

    #session() {
        const { lab } = this;
        const columns = [
            'run', 'task', 'model', 'method', 'options', 'steps', 'lr', 'seed', 'trained', 'total',
            'held_out_loss', 'score', 'seconds', 'sample',
        ];
        const runs = () => csv(columns, lab.runs.map((run) => [
            run.id, run.task, run.model, run.method, JSON.stringify(run.options), run.train.steps, run.train.lr, run.seed,
            run.trainable, run.total, run.validations.at(-1)?.loss, run.score, run.seconds, run.sample.after,
        ]));
        const training = lab.status === 'training';
        const save = () => this.#do(async () => this.#give('peftlab-session.zip', await packSession(lab)));
        const open = (/** @type {File[]} */ files) => this.#do(async () => {
            const [file] = await this.#read(files);
            const { runs: n, open: unfinished } = await unpackSession(lab, file.bytes);
            return t(unfinished ? 'export.session.open' : 'export.session.loaded', { n });
        });
        return html`<section class="stack"><h3>${t('export.session')}</h3><p class="small">${t('export.session.about')}</p>
            <div class="row"><button type="button" ?disabled=${training} @click=${save}>${t('export.session.save')}</button>
            <button type="button" ?disabled=${!lab.runs.length}
                @click=${() => offer('runs.csv', runs(), 'text/csv')}>${t('export.runs')}</button></div>
            <peft-file theme=${this.theme ?? nothing} .lab=${lab} .label=${t('export.session.load')} .accept=${'.zip'}
                ?disabled=${training} .pick=${open}></peft-file></section>`;
    }

    render() {
        return html`<div class="stack"><h2>${t('export.title')}</h2>
            ${this.problem ? html`<p class="warn" role="alert">${wrong(this.problem)} ${t('export.safe')}</p>` : nothing}
            ${this.note ? html`<p role="status" class="note">${this.note}</p>` : nothing}
            ${this.#adapter()}${this.#model()}${this.#script()}${this.#session()}${sharing(this)}</div>`;
    }
}
define('peft-panel-export', PeftPanelExport);
