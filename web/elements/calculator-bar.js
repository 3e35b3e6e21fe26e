/** Memory as one stacked bar with its parts as a table: shades and letters, so that colour is never alone. */
import { html, nothing, svg, t } from './base.js';
import { byteSize, fixed, percent } from '../lib/format.js';

/** In the order of the bar; each has a letter that also stands in the bar where there is room. */
export const PARTS = Object.freeze(['base_weights', 'module_weights', 'gradients', 'optimizer', 'activations', 'logits']);
const SHADES = ['--text 70%', '--accent 100%', '--accent 70%', '--accent 45%', '--text 40%', '--text 22%'];
const letter = (/** @type {number} */ i) => String.fromCharCode(65 + i);
const fill = (/** @type {number} */ i) => {
    const [name, share] = SHADES[i].split(' ');
    return `color-mix(in oklab, var(${name}) ${share}, var(--surface))`;
};

/**
 * Lengths are in percent, so that letters keep their shape whatever the width.
 * @param {any} memory @param {number} scale bytes at full width
 */
function bar(memory, scale) {
    let x = 0;
    return svg`${PARTS.map((part, i) => {
        const width = (memory[part] / scale) * 100;
        const from = x;
        x += width;
        if (width < 0.005) return nothing;
        return svg`<rect x=${`${from}%`} y="0" width=${`${width}%`} height="34"
            style="fill: ${fill(i)}; stroke: var(--surface)">
            <title>${t(`calc.part.${part}`)}: ${byteSize(memory[part])}</title></rect>
            ${width > 5
                ? svg`<text x=${`${from + width / 2}%`} y="18" text-anchor="middle" dominant-baseline="central"
                    style="fill: ${i < 3 ? 'var(--bg)' : 'var(--text)'}">${letter(i)}</text>`
                : nothing}`;
    })}`;
}

/**
 * @param {import('./base.js').LabElement} host
 * @param {any} memory the method's estimate
 * @param {any} full that of full fine-tuning, for comparison
 */
export function memoryBar(host, memory, full) {
    const scale = Math.max(memory.training, full?.training ?? 0);
    const row = (/** @type {any} */ of, /** @type {string} */ name) => html`<div><div class="row small">
            <span class="grow">${name}</span>${host.value(byteSize(of.training), 'calculated')}</div>
            <svg class="bar" aria-hidden="true">${bar(of, scale)}</svg></div>`;
    return html`<figure class="stack" aria-label=${t('calc.memory')}>
        ${row(memory, t('calc.memory.this'))}
        ${full ? row(full, t('calc.memory.full')) : nothing}
        <figcaption class="small muted">${full ? t('calc.memory.summary', {
            size: byteSize(memory.training), full: byteSize(full.training), ratio: fixed(full.training / memory.training, 1),
        }) : nothing}</figcaption></figure>
        <div class="scroll" tabindex="0" role="region" aria-label=${t('calc.memory.parts')}><table>
            <thead><tr>
                <th scope="col"><span class="sr">${t('calc.letter')}</span></th>
                <th scope="col">${t('calc.memory.parts')}</th>
            <th scope="col" class="num">${t('calc.memory.bytes')}</th><th scope="col" class="num">${t('calc.memory.share')}</th></tr></thead>
        <tbody>${PARTS.map((part, i) => html`<tr>
                <td><span class="key" style="background: ${fill(i)}"></span> ${letter(i)}</td>
                <th scope="row">${t(`calc.part.${part}`)}</th>
                <td class="num">${byteSize(memory[part])}</td>
                <td class="num">${percent((100 * memory[part]) / memory.training)}</td></tr>`)}</tbody></table></div>`;
}
