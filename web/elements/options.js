/** Controls for values that the engine describes: numbers with a slider, choices, switches, target sites, texts. */
import { html, nothing, t } from './base.js';
import { hasText } from '../lib/i18n.js';
import { optionValue } from '../lib/format.js';
import { formatPattern, parsePattern } from '../lib/store.js';

/**
 * @typedef {{name: string, type: string, label: string, help?: string, level: number, min?: number, max?: number, step?: number,
 *   choices?: string[], default: any}} Option
 */
/**
 * @typedef {{option: Option, value: any, changed: boolean, disabled: boolean, set: (value: any) => void, sites?: string[],
 *   id: string}} Control
 */

/** Sliders run over the useful part of a range; the box beside takes every legal value. */
const SLIDER_MAX = /** @type {Record<string, number>} */ ({
    rank: 64, alpha: 128, num_virtual_tokens: 64, bottleneck_size: 128,
    reduction_factor: 64, loraplus_lr_ratio: 32, scaling: 8,
});

/** @param {Option} option */
export const optionLabel = (option) => (hasText(`option.${option.name}`) ? t(`option.${option.name}`) : option.label);
/** @param {Option} option */
export const optionHelp = (option) => (hasText(`option.${option.name}.about`) ? t(`option.${option.name}.about`) : (option.help ?? ''));

/**
 * The value that a key asks a slider for: arrows one step, with Shift a fine one, Page Up and Down a big one, Home and End the ends;
 * undefined: no key of ours. Native sliders know no fine step, and their big one is a tenth of the range, whatever that means for
 * the value.
 * @param {KeyboardEvent} event
 * @param {{value: number, min: number, max: number, step: number, fine: number, big: number}} slider
 * @returns {number | undefined}
 */
export function sliderKey({ key, shiftKey, ctrlKey, metaKey, altKey }, { value, min, max, step, fine, big }) {
    if (ctrlKey || metaKey || altKey) return undefined;
    const right = typeof document !== 'undefined' && document.documentElement.dir === 'rtl' ? -1 : 1;
    const by = shiftKey ? fine : step;
    const to = /** @type {Record<string, number>} */ ({
        ArrowUp: value + by, ArrowDown: value - by, ArrowRight: value + right * by, ArrowLeft: value - right * by,
        PageUp: value + big, PageDown: value - big, Home: min, End: max,
    })[key];
    return to === undefined ? undefined : Math.min(max, Math.max(min, Math.round(to * 1e6) / 1e6));
}

/**
 * Acts on a slider's key.
 * @param {KeyboardEvent} event @param {Parameters<typeof sliderKey>[1]} slider @param {(value: number) => void} set
 */
export function onSliderKey(event, slider, set) {
    const to = sliderKey(event, slider);
    if (to === undefined) return;
    event.preventDefault();
    if (to !== slider.value) set(to);
}

/** @param {any} value @param {string[]} sites all there are @returns {string[]} */
const targetsOf = (value, sites) =>
    (value === 'all-linear' ? sites : Array.isArray(value) ? value : String(value).split(',').map((site) => site.trim()));

/**
 * Whether a value is another one than the preset's; a list of sites has several spellings.
 * @param {Option} option @param {any} value @param {string[]} [sites]
 */
export function differs({ type, default: preset }, value, sites = []) {
    const [here, there] = [value, preset].map((of) => JSON.stringify(type === 'targets' ? [...targetsOf(of, sites)].sort() : of));
    return here !== there;
}

/**
 * What a number's field holds: a whole number inside its limits, the least where it holds none.
 * @param {Event} event @param {number} min @param {number} max
 */
export function wholeNumber({ target }, min, max) {
    return Math.max(min, Math.min(max, Math.round(Number(/** @type {HTMLInputElement} */ (target).value)) || min));
}

/** @param {Control} control */
function numberControl({ option, value, disabled, set, id }) {
    const { name, type, min = 0, max = 1 } = option;
    const top = Math.min(max, SLIDER_MAX[name] ?? max);
    const bottom = type === 'int' ? min : Math.max(0, Math.floor(min * 100) / 100);
    const step = option.step ?? (type === 'int' ? 1 : (top - bottom) / 100);
    // Counts double more often than they grow by one: a big step is an eighth of the slider, a fine one a tenth of a step where
    // fractions exist.
    const whole = type === 'int';
    const fine = whole ? 1 : step / 10;
    const big = whole ? Math.max(step, Math.round(top / 8)) : 10 * step;
    const slider = { value: Number(value), min: bottom, max: top, step, fine, big };
    const take = (/** @type {any} */ e) => {
        const typed = Number(e.target.value);
        if (e.target.value === '' || !Number.isFinite(typed)) return;
        set(Math.min(max, Math.max(min, type === 'int' ? Math.round(typed) : typed)));
    };
    return html`<div class="pair"><input type="range" aria-labelledby="${id}-l" aria-describedby="${id}-h"
        min=${bottom} max=${top} step=${step} .value=${String(value)} ?disabled=${disabled}
        @input=${take} @keydown=${(/** @type {KeyboardEvent} */ e) => onSliderKey(e, slider, set)}>
        <input type="number" id=${id} aria-describedby="${id}-h" min=${min} max=${max} step=${type === 'int' ? 1 : 'any'}
            .value=${String(value)} ?disabled=${disabled} @change=${take}></div>`;
}

/** @param {Control} control */
function targetsControl({ option, value, disabled, set, sites = [], id }) {
    const list = targetsOf(value, sites);
    const has = (/** @type {string} */ site) => list.includes(site);
    const toggle = (/** @type {string} */ site) => {
        const next = sites.filter((s) => (s === site ? !has(s) : has(s)));
        if (next.length) set(next);
    };
    return html`<div class="row sites" role="group" aria-labelledby="${id}-l" id=${id} data-option=${option.name}>
        ${sites.map((site) => html`<button type="button" class="site"
            aria-pressed=${has(site)} ?disabled=${disabled} @click=${() => toggle(site)}>${site.replace(/_proj$/, '')}</button>`)}</div>`;
}

/** @param {Control} control */
function inner(control) {
    const { option, value, disabled, set, id } = control;
    if (option.type === 'int' || option.type === 'real') return numberControl(control);
    if (option.type === 'targets') return targetsControl(control);
    if (option.type === 'choice') {
        return html`<select id=${id} aria-describedby="${id}-h" ?disabled=${disabled}
            @change=${(/** @type {any} */ e) => set(e.target.value)}>
            ${option.choices?.map((choice) =>
                html`<option value=${choice} ?selected=${choice === String(value)}>${choice}</option>`)}</select>`;
    }
    const pattern = option.type === 'pattern';
    const shown = pattern ? formatPattern(value ?? {}) : String(value ?? '');
    return html`<input type="text" id=${id} aria-describedby="${id}-h" .value=${shown} ?disabled=${disabled}
        @change=${(/** @type {any} */ e) => set(pattern ? parsePattern(e.target.value) : e.target.value)}>`;
}

/** One labelled control with its gloss. @param {Control} control */
export function optionControl(control) {
    const { option, value, changed, disabled, set, id, sites } = control;
    const help = optionHelp(option);
    // A loaded run sets every option; the way back is offered where it leads somewhere else.
    const back = changed && !disabled && differs(option, value, sites);
    return html`<div class="option" data-name=${option.name}>
        <div class="row"><label id="${id}-l" for=${id} class="grow">${optionLabel(option)}</label>
            ${option.type === 'bool'
                ? html`<input type="checkbox" id=${id} aria-describedby="${id}-h"
                    .checked=${Boolean(value)} ?disabled=${disabled} @change=${(/** @type {any} */ e) => set(e.target.checked)}>`
                : nothing}
            ${back
                ? html`<button type="button" class="link small" title=${t('settings.back')}
                    @click=${() => set(undefined)}>${t('settings.default', { value: optionValue(option.default) })}</button>`
                : nothing}</div>
        ${option.type === 'bool' ? nothing : inner(control)}
        <p class="small muted" id="${id}-h">${help}</p></div>`;
}
