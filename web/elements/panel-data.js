/**
 * <peft-panel-data>: train on your own text. It is read, checked and counted before anything is trained, and never leaves the
 * tab.
 */
import { css, define, html, LabElement, nothing, t } from './base.js';
import { wrong } from './engine-said.js';
import './file-button.js';
import { saidHere } from './work.js';
import { DATA_LIMITS, decodeText, formatOf, parseData } from '../engine/data.js';
import { PeftLabError } from '../engine/errors.js';
import { byteSize, count, percent } from '../lib/format.js';

/** @typedef {import('../engine/data.js').ParsedData} ParsedData */
/**
 * @typedef {{examples: number, tokens: number, labelled_tokens: number, truncated: number, windows: number, duplicates: number,
 *   longest: number, skipped: {line: number, message: string}[]}} Stats
 */

const PREVIEW = 5;
const SHOWN_PROBLEMS = 20;
const PREVIEW_CHARACTERS = 400;
/** Typing is checked when it rests so long; what is pasted or left at once. */
const TYPING_MS = 300;

/**
 * What pasted text looks like: objects per line, an array of objects, a table with our header, or plain text.
 * @param {string} text @returns {import('../engine/data.js').DataFormat}
 */
export function guessFormat(text) {
    if (/^\s*\[\s*\{/.test(text)) return 'json';
    const first = text.trimStart().split('\n', 1)[0].trim();
    if (first.startsWith('{')) return 'jsonl';
    return /^"?(prompt|completion|text)"?(,"?(prompt|completion|text)"?)*$/.test(first) ? 'csv' : 'txt';
}

/** @param {number} size in bytes */
function checkSize(size) {
    if (size <= DATA_LIMITS.bytes) return;
    throw new PeftLabError('range', t('data.too_large', { size: byteSize(size), limit: byteSize(DATA_LIMITS.bytes) }));
}

class PeftPanelData extends LabElement {
    static watch = ['status', 'data'];
    static properties = {
        text: { state: true }, format: { state: true }, name: { state: true }, parsed: { state: true },
        stats: { state: true }, problem: { state: true }, over: { state: true },
        progress: { state: true }, used: { state: true },
    };
    static styles = [LabElement.styles, css`
        textarea { width: 100%; min-height: 130px; resize: vertical; font-family: var(--mono); font-size: .85rem; }
        .drop { border: 2px dashed var(--line-strong); border-radius: var(--radius); padding: 10px; }
        .drop.over { border-color: var(--accent); background: var(--accent-soft); }
        dl { display: grid; grid-template-columns: repeat(auto-fill, minmax(135px, 1fr)); gap: 10px; }
        dt { font-size: .82rem; color: var(--muted); }
        dd { font-weight: 650; }
        .example {
            white-space: pre-wrap; overflow-wrap: anywhere; border-inline-start: 3px solid var(--line-strong);
            padding-inline-start: 10px; font-size: .9rem;
        }
        .warn { background: var(--warn-soft); padding: 8px 10px; border-radius: 6px; }
        .warn ul { padding-inline-start: 20px; }
        details > summary { cursor: pointer; min-height: 32px; }
    `];

    #ticket = 0;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    #typing;

    constructor() {
        super();
        this.text = '';
        this.format = '';
        this.name = '';
        /** @type {ParsedData | null} */
        this.parsed = null;
        /** @type {Stats | null} */
        this.stats = null;
        /** @type {import('./work.js').Problem | null} */
        this.problem = null;
        this.over = false;
        this.progress = 0;
        this.used = '';
    }

    disconnectedCallback() {
        super.disconnectedCallback();
        clearTimeout(this.#typing);
    }

    /** @param {string} text @param {string} name @param {import('../engine/data.js').DataFormat} format */
    async #check(text, name, format) {
        clearTimeout(this.#typing);
        const ticket = ++this.#ticket;
        Object.assign(this, { name, format, parsed: null, stats: null, problem: null, used: '', progress: 0 });
        try {
            checkSize(new Blob([text]).size);
            const parsed = parseData(text, format, name);
            this.parsed = parsed;
            // A split of its own: what is loaded for training stays as it is. Asked for without the session's memory, so workers
            // never get it.
            const request = { split: 'check', examples: parsed.examples, maxLength: 0 };
            const stats = await this.lab.work((session) => session.request('setData', request, {
                onEvent: (event) => { this.progress = event.done / event.total; },
            }));
            if (ticket !== this.#ticket) return;
            this.stats = stats;
            this.say(t('data.say', { n: stats.examples, tokens: stats.tokens, problems: parsed.problems.length }));
        } catch (thrown) {
            if (ticket !== this.#ticket) return;
            this.problem = saidHere(this, thrown);
        }
    }

    /** @param {Iterable<File> | null | undefined} files */
    async #files(files) {
        const [file, ...more] = files ?? [];
        if (!file) return;
        try {
            if (more.length) throw new PeftLabError('argument', t('data.one_file'));
            checkSize(file.size);
            const text = decodeText(new Uint8Array(await file.arrayBuffer()), file.name);
            this.text = text.length > 20_000 ? '' : text;
            await this.#check(text, file.name, formatOf(file.name));
        } catch (thrown) {
            Object.assign(this, { parsed: null, stats: null, problem: saidHere(this, thrown) });
        }
    }

    /** @param {DragEvent} event */
    #drop(event) {
        event.preventDefault();
        this.over = false;
        const { files } = /** @type {DataTransfer} */ (event.dataTransfer);
        const text = event.dataTransfer?.getData('text/plain') ?? '';
        if (files.length) this.#files(files);
        else if (text) this.#paste(text);
    }

    /** @param {InputEvent} event */
    #type({ inputType, target }) {
        const { value } = /** @type {HTMLTextAreaElement} */ (target);
        clearTimeout(this.#typing);
        if (inputType === 'insertFromPaste' || inputType === 'insertFromDrop') this.#paste(value);
        else this.#typing = setTimeout(() => this.#paste(value), TYPING_MS);
    }

    /** @param {string} text */
    #paste(text) {
        clearTimeout(this.#typing);
        if (text === this.text) return; // leaving the field after a check of the same
        this.text = text;
        this.#ticket++; // an answer about the text before is no longer wanted
        if (text.trim()) this.#check(text, t('data.pasted'), guessFormat(text));
        else Object.assign(this, { parsed: null, stats: null, problem: null });
    }

    async #use(train = false) {
        const { parsed, name } = this;
        if (!parsed) return;
        try {
            await this.lab.useData(parsed.examples, name);
            this.used = name;
            this.say(t('data.used', { name }));
            if (train) await this.lab.train();
        } catch (thrown) {
            this.problem = saidHere(this, thrown);
        }
    }

    #statistics() {
        const { stats, parsed } = this;
        if (!parsed) return nothing;
        if (!stats) {
            return this.problem ? nothing : html`<p role="status">${t('data.counting')} <progress
                max="1" .value=${this.progress} aria-label=${t('data.counting')}></progress></p>`;
        }
        const held = parsed.examples.length >= 10 ? Math.floor(parsed.examples.length / 10) : 0;
        const item = (/** @type {string} */ key, /** @type {number} */ value, /** @type {string} */ more = '') => html`<div>
            <dt>${t(`data.stat.${key}`)}</dt>
            <dd>${this.value(count(value), 'measured')}${more ? html` <span class="small">${more}</span>` : nothing}</dd></div>`;
        const labelled = percent((100 * stats.labelled_tokens) / Math.max(1, stats.tokens));
        const whole = parsed.examples.some((e) => e.text !== undefined);
        return html`<h3>${t('data.statistics')}</h3>
            <dl>${item('examples', stats.examples, held ? t('data.held', { n: held }) : '')}${item('tokens', stats.tokens)}
            ${item('labelled', stats.labelled_tokens, labelled)}${item('longest', stats.longest)}${item('truncated', stats.truncated)}
            ${item('duplicates', stats.duplicates)}${stats.windows > 0 ? item('windows', stats.windows) : nothing}</dl>
            <p class="small">${t(whole ? 'data.loss.text' : 'data.loss.completion')}</p>
            ${held ? nothing : html`<p class="warn small">${t('data.no_held')} ${this.format === 'txt' ? t('data.plain') : nothing}</p>`}
            ${stats.truncated ? html`<p class="warn small">${t('data.truncated', { n: stats.truncated })}</p>` : nothing}`;
    }

    #problems() {
        const problems = [...(this.parsed?.problems ?? []), ...(this.stats?.skipped ?? [])];
        if (!problems.length) return this.stats ? html`<p class="small">${t('data.no_problems')}</p>` : nothing;
        return html`<div class="warn"><strong>${t('data.problems', { n: problems.length })}</strong>
            <ul class="small">${problems.slice(0, SHOWN_PROBLEMS).map(({ line, message }) =>
                html`<li>${t('data.line', { line: String(line) })}: ${message}</li>`)}</ul>
            ${problems.length > SHOWN_PROBLEMS
                ? html`<p class="small">${t('data.more', { n: problems.length - SHOWN_PROBLEMS })}</p>` : nothing}</div>`;
    }

    #preview() {
        if (!this.parsed) return nothing;
        const cut = (/** @type {string} */ text) =>
            (text.length > PREVIEW_CHARACTERS ? `${text.slice(0, PREVIEW_CHARACTERS)} …` : text);
        const { examples } = this.parsed;
        // In an example white space counts, also that of this template.
        const shown = examples.slice(0, PREVIEW).map(({ line, text, prompt, completion }) => html`<p class="example"><span
            class="small muted">${t('data.line', { line: String(line) })}</span>
${text === undefined ? html`${cut(prompt ?? '')}<mark>${cut(completion ?? '')}</mark>` : html`<mark>${cut(text)}</mark>`}</p>`);
        return html`<details open><summary>${t('data.preview', { n: Math.min(PREVIEW, examples.length) })}</summary>
            <p class="small muted">${t('data.preview.about')}</p><div class="stack">${shown}</div></details>`;
    }

    render() {
        const training = this.lab.status === 'training';
        const { bytes, examples, characters } = DATA_LIMITS;
        const over = (/** @type {DragEvent} */ e) => { e.preventDefault(); this.over = true; };
        const files = (/** @type {File[]} */ list) => this.#files(list);
        const paste = (/** @type {any} */ e) => this.#paste(e.target.value);
        const again = (/** @type {any} */ format) => this.#check(this.text, this.name, format);
        const others = ['jsonl', 'json', 'csv', 'txt'].filter((format) => format !== this.format && this.text);
        const ready = this.stats && !training;
        return html`<div class="stack"><h2>${t('data.title')}</h2><p>${t('data.about')}</p>
            <p class="small muted">${t('data.limits', { bytes: byteSize(bytes), examples, characters })}</p>
            <div class="drop stack ${this.over ? 'over' : ''}" @dragover=${over} @dragleave=${() => { this.over = false; }}
                @drop=${this.#drop}>
                <peft-file theme=${this.theme ?? nothing} .lab=${this.lab} .label=${t('data.file')}
                    .accept=${'.txt,.jsonl,.ndjson,.json,.csv,text/plain,text/csv'} .pick=${files}></peft-file>
                <label class="stack"><span>${t('data.paste')}</span><textarea .value=${this.text} placeholder=${t('data.placeholder')}
                    spellcheck="false" @input=${this.#type} @change=${paste}></textarea></label>
                ${this.parsed ? html`<p class="small">${t('data.read_as', { name: this.name, format: this.format })}
                    ${others.map((format) => html`<button type="button" class="link"
                        @click=${() => again(format)}>${t('data.read_instead', { format })}</button> `)}</p>` : nothing}</div>
            ${training && this.parsed && !this.stats ? html`<p class="small">${t('data.waits')}</p>` : nothing}
            ${this.problem ? html`<p class="warn" role="alert">${wrong(this.problem)}</p>` : nothing}
            ${this.#statistics()}${this.#problems()}${this.#preview()}
            <div class="row"><button type="button" class="primary" ?disabled=${!ready}
                @click=${() => this.#use(true)}>${t('data.train')}</button>
                <button type="button" ?disabled=${!ready} @click=${() => this.#use()}>${t('data.use')}</button>
                ${this.used ? html`<span role="status">${t('data.used', { name: this.used })}</span>` : nothing}</div></div>`;
    }
}
define('peft-panel-data', PeftPanelData);
