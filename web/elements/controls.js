/** <peft-controls>: the task, and the settings that the level shows, made from the engine's description of the method. */
import { css, define, html, LabElement, nothing, t } from './base.js';
import { hasText } from '../lib/i18n.js';
import { differs, optionControl } from './options.js';

/** @typedef {import('./options.js').Option} Option */

const LEVEL = /** @type {Record<string, number>} */ ({ student: 0, explorer: 1, developer: 2 });
const TRAINING = /** @type {(Option & {key: string})[]} */ ([
    { key: 'steps', name: 'steps', type: 'int', label: '', level: 1, min: 1, max: 5000, step: 10, default: 0 },
    { key: 'lr', name: 'lr', type: 'text', label: '', level: 1, default: 0 },
    { key: 'batch_size', name: 'batch_size', type: 'int', label: '', level: 1, min: 1, max: 64, default: 0 },
    { key: 'seed', name: 'seed', type: 'text', label: '', level: 1, default: 1 },
    { key: 'workers', name: 'workers', type: 'int', label: '', level: 1, min: 1, max: 8, default: 0 },
]);
const SHOWN_EXAMPLES = 6;

class PeftControls extends LabElement {
    static styles = [LabElement.styles, css`
        .options { display: grid; gap: 14px; }
        .pair { display: grid; grid-template-columns: minmax(0, 1fr) auto; gap: 10px; align-items: center; }
        .option p { margin-top: 2px; } .option .row { min-height: 28px; flex-wrap: nowrap; }
        .option label { font-weight: 600; font-size: .92rem; }
        .option .row.sites { gap: 4px; flex-wrap: wrap; }
        .site { padding: 2px 9px; min-height: 32px; border-radius: 99px; font-size: .88rem; }
        select, input[type="text"] { width: 100%; }
        .examples { max-height: 240px; overflow: auto; font-size: .88rem; padding: 0; list-style: none; display: grid; gap: 8px; }
        .examples li {
            border-inline-start: 3px solid var(--line-strong); padding-inline-start: 8px;
            white-space: pre-wrap; overflow-wrap: anywhere;
        }
        summary { cursor: pointer; font-weight: 600; font-size: .92rem; min-height: 28px; }
        @media (pointer: coarse) { .site { min-height: 44px; min-width: 44px; } }
    `];
    static watch = ['state', 'ready', 'data', 'modules', 'status'];
    static later = true;
    static properties = { examples: { state: true } };

    constructor() {
        super();
        this.examples = false;
    }

    get #level() {
        return LEVEL[this.lab.state.level] ?? 0;
    }

    /** @param {string} name */
    #hidden(name) {
        return this.lab.state.hide.includes(name);
    }

    /** @param {string} name */
    #off(name) {
        return this.lab.status === 'training' || this.lab.state.lock.includes(name);
    }

    /** The preset of an option, as its default. @param {Option} option @returns {Option} */
    #preset(option) {
        return { ...option, default: this.lab.preset.options?.[option.name] ?? option.default };
    }

    /**
     * The options of the method that this level shows. A student gets the one that sets the size, and what was set to something else than
     * the preset (by a link, a lesson, the coach): nothing acts unseen.
     * @returns {Option[]}
     */
    get #options() {
        const method = this.lab.engine?.methods.find((/** @type {any} */ m) => m.name === this.lab.state.method);
        const options = /** @type {Option[]} */ (method?.options ?? []).filter((option) => !this.#hidden(option.name));
        if (this.#level === 0) {
            const size = options.find((option) => option.level === 0 && option.type === 'int');
            const { engine, task, state: { options: set } } = this.lab;
            const other = (/** @type {Option} */ option) =>
                task && option.name in set && differs(this.#preset(option), set[option.name], engine?.sites);
            return options.filter((option) => option === size || other(option));
        }
        return options.filter((option) => option.level < (this.#level === 1 ? 2 : 3));
    }

    /** @param {string} name @param {string} fallback */
    #taskText(name, fallback) {
        return hasText(`task.${name}`) ? t(`task.${name}`) : fallback;
    }

    render() {
        const { lab } = this;
        const current = lab.state.task;
        const own = current === 'own-data';
        const story = hasText(`task.${current}.story`) ? t(`task.${current}.story`) : (lab.task?.story ?? '');
        return html`<div class="stack">
            ${this.#hidden('task') ? nothing : html`<div><label for="task"><h2>${t('task.title')}</h2></label>
                <select id="task" ?disabled=${this.#off('task') || !lab.session}
                    @change=${(/** @type {any} */ e) => lab.set({ task: e.target.value })}>
                    ${own ? html`<option value="own-data" selected>${t('task.own')}: ${lab.task?.title ?? ''}</option>` : nothing}
                    ${lab.index.tasks.length
                        ? lab.index.tasks.map(({ name, title }) =>
                            html`<option value=${name} ?selected=${name === current}>${this.#taskText(name, title)}</option>`)
                        : html`<option>${this.#taskText(current, current)}</option>`}</select>
                <p class="small muted">${story}</p>${this.#examples()}</div>`}
            <div class="options">${this.#options.map((option) => this.#option(option))}</div>
            ${this.#level > 0 ? this.#further() : nothing}</div>`;
    }

    #examples() {
        const { task, data } = this.lab;
        const train = data.find((part) => part.split === 'train');
        if (!task || !train) return nothing;
        const held = data.find((part) => part.split === 'validation')?.examples ?? 0;
        return html`<p class="small row"><span class="grow">${t(held ? 'task.examples' : 'task.examples.all', { n: train.examples, held })}</span>
            <button class="link" aria-expanded=${this.examples}
                @click=${() => { this.examples = !this.examples; }}>${t(this.examples ? 'task.hide' : 'task.see')}</button></p>
            ${this.examples
                ? html`<ul class="examples" tabindex="0">
                    ${task.splits.train.slice(0, SHOWN_EXAMPLES).map((/** @type {any} */ { prompt, completion, text }) =>
                        html`<li><span class="muted">${prompt ?? ''}</span>${completion ?? text ?? ''}</li>`)}</ul>`
                : nothing}`;
    }

    /** @param {Option} option */
    #option(option) {
        const { lab } = this;
        const used = lab.description?.modules.find((/** @type {any} */ m) => m.method === lab.state.method)?.options ?? {};
        const preset = this.#preset(option);
        const value = lab.state.options[option.name] ?? used[option.name] ?? preset.default;
        return optionControl({
            option: preset, value, id: `o-${option.name}`,
            changed: option.name in lab.state.options, disabled: this.#off(option.name),
            sites: lab.engine?.sites ?? [], set: (next) => lab.setOption(option.name, next),
        });
    }

    #further() {
        const { lab } = this;
        const used = /** @type {Record<string, any>} */ ({ ...lab.train_options, seed: lab.state.seed, workers: lab.workers });
        const shown = TRAINING.filter(({ key }) => !this.#hidden(key));
        const control = (/** @type {Option & {key: string}} */ { key, ...option }) => optionControl({
            option: {
                ...option, label: t(`settings.${key}`), help: t(`settings.${key}.about`),
                default: key === 'workers' || key === 'seed' ? option.default : (lab.preset[key] ?? t('settings.auto')),
            },
            value: used[key], changed: lab.state[key] !== option.default, disabled: this.#off(key),
            id: `s-${key}`, set: (value) => lab.set({ [key]: value ?? option.default }),
        });
        return html`<details ?open=${this.#level > 1}><summary>${t('settings.training')}</summary><div class="options">
            ${shown.map(control)}
            ${this.#hidden('model') || lab.index.models.length < 2 ? nothing
                : html`<div class="option"><label for="model">${t('settings.model')}</label>
                <select id="model" ?disabled=${this.#off('model')}
                    @change=${(/** @type {any} */ e) => lab.set({ model: e.target.value })}>
                ${lab.index.models.map(({ name }) => html`<option value=${name} ?selected=${name === lab.state.model}>${name}</option>`)}
                </select></div>`}</div></details>`;
    }
}
define('peft-controls', PeftControls);
