/** <peft-runs>: the runs of this page, each with what it changed against the one before. */
import { badge, css, define, html, LabElement, nothing, t } from './base.js';
import { count, duration, fixed, optionValue, percent } from '../lib/format.js';
import { hasText, number } from '../lib/i18n.js';
import { configDiff } from '../lib/runs.js';
import { methodColor, methodShape } from './look.js';

/** @param {string} key */
const label = (key) => [`settings.${key}`, `option.${key}`, `${key}.legend`, `${key}.title`].find(hasText) ?? key;

/** Columns whose cells are set flush with the end. */
const NUMBERS = ['loss', 'score', 'trained', 'time'];

class PeftRuns extends LabElement {
    static styles = [LabElement.styles, css`
        td { vertical-align: middle; } .shape { color: var(--mc); }
        .diff { display: flex; flex-wrap: wrap; gap: 2px 10px; font-size: .85rem; }
        .diff s { color: var(--muted); text-decoration-thickness: 1px; }
        tr.loaded { background: var(--accent-soft); }
        td:first-child { white-space: nowrap; } td .row { flex-wrap: nowrap; } td button { min-height: 32px; padding: 2px 8px; font-size: .85rem; }
        @media (min-width: 701px) { td.num { white-space: nowrap; } }
        @media (max-width: 700px) {
            thead { display: none; }
            tr { display: grid; grid-template-columns: 1fr auto; padding: 8px 0; border-bottom: 1px solid var(--line); }
            td { border: 0; padding: 2px 6px; }
            td.wide { grid-column: 1 / -1; } td.num { text-align: start; }
            td[data-name]::before { content: attr(data-name) ": "; color: var(--muted); font-size: .85rem; }
            td[data-name]:lang(fr)::before { content: attr(data-name) "\\a0: "; }
            td button { min-height: 44px; }
        }
    `];
    static watch = ['modules', 'runs', 'run', 'state', 'status', 'validation'];
    static later = true;

    render() {
        const { runs } = this.lab;
        return html`<section><h2>${t('runs.title')} ${runs.length ? badge('measured') : nothing}</h2>
            ${runs.length === 0 ? html`<p class="muted small">${t('runs.none')}</p>`
                : html`<div class="scroll" tabindex="0" role="region" aria-label=${t('runs.title')}><table>
            <thead><tr>
                ${['name', 'change', 'loss', 'score', 'trained', 'time', 'status'].map((key) => html`<th scope="col"
                    class=${NUMBERS.includes(key) ? 'num' : ''}>${key === 'name' ? t('runs.method') : t(`runs.${key}`)}</th>`)}
                <th scope="col"><span class="sr">${t('runs.actions')}</span></th></tr></thead>
            <tbody>${runs.map((_, i) => this.#row(runs.length - 1 - i))}</tbody></table></div>`}</section>`;
    }

    /** @param {number} at */
    #row(at) {
        const { lab } = this;
        const run = lab.runs[at];
        const loaded = lab.run === run;
        const idle = lab.status === 'ready' || lab.status === 'paused';
        return html`<tr class=${loaded ? 'loaded' : ''} style="--mc: ${methodColor(run.method)}">
            <td><span class="shape" aria-hidden="true">${methodShape(run.method)}</span> ${
                t('runs.name', { n: run.id })} · ${t(`method.${run.method}`)}</td>
            <td class="wide"><span class="diff">${this.#difference(at)}</span></td>
            <td class="num" data-name=${t('runs.loss')}>${this.#heldOut(run)}</td>
            <td class="num" data-name=${t('runs.score')}>${run.score === null ? '–' : percent(100 * run.score)}</td>
            <td class="num" data-name=${t('runs.trained')}>${count(run.trainable)}</td>
            <td class="num" data-name=${t('runs.time')}>${run.losses.length ? duration(run.seconds) : '–'}</td>
            <td>${t(`run.${run.status}`)}${loaded ? html` · <em>${t('runs.loaded')}</em>` : nothing}</td>
            <td class="wide"><span class="row">
                ${(run.adapter || run.weights) && !loaded
                    ? html`<button ?disabled=${!idle} aria-label=${t('runs.load.about', { n: run.id })}
                        @click=${() => lab.load(run).catch(() => {})}>${t('runs.load')}</button>`
                    : nothing}
                <button aria-pressed=${Boolean(run.pinned)} aria-label=${t('runs.pin.about', { n: run.id })}
                    @click=${() => { run.pinned = !run.pinned; lab.emit('runs'); }}>${t('runs.pin')}</button>
                <button ?disabled=${run.status === 'running' || (loaded && !idle)}
                    aria-label=${t('runs.delete.about', { n: run.id })}
                    @click=${() => lab.remove(run)}>${t('runs.delete')}</button></span></td></tr>`;
    }

    /** With its step, where the run went on since. @param {import('../lib/runs.js').Run} run */
    #heldOut({ losses, validations }) {
        const held = validations.at(-1);
        if (!held) return '–';
        const at = losses.at(-1)?.step ?? 0;
        return held.step === at ? fixed(held.loss, 3) : t('runs.held', { loss: fixed(held.loss, 3), step: held.step });
    }

    /** @param {number} at */
    #difference(at) {
        const { runs } = this.lab;
        const { back, mixture } = runs[at];
        if (back) return t('runs.back', { n: back.run, step: back.step });
        if (mixture) {
            const parts = mixture.parts.map(({ run, name, weight }) => `${run ? t('runs.name', { n: run }) : name} × ${number(weight)}`);
            const rule = runs[at].method === 'adapter' ? t('mix.rule.average') : mixture.rule;
            return t('runs.mixture', { parts: parts.join(' + ') + (mixture.rule === 'sum' ? '' : `, ${rule}`) });
        }
        const before = runs.slice(0, at).findLast((run) => !run.mixture);
        if (!before) return t('runs.first');
        const differences = configDiff(before, runs[at]);
        if (differences.length === 0) return t('runs.same');
        const word = (/** @type {string} */ key, /** @type {any} */ value) =>
            (hasText(`${key}.${value}`) ? t(`${key}.${value}`) : optionValue(value));
        return differences.map(({ key, from, to }) => html`<span>${t(label(key))}
            <s>${word(key, from)}</s> → <strong>${word(key, to)}</strong></span>`);
    }
}
define('peft-runs', PeftRuns);
