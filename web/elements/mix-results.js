/** What the longer work of Mix has shown: the mixture's losses and scores, the way from A to B, and what every rule loses. */
import { metricWords, mixSummary } from '../lib/engine-words.js';
import { fixed, percent, significant, splitWords } from '../lib/format.js';
import { number } from '../lib/i18n.js';
import { PRUNES, SCORED, SUM } from '../lib/mixing.js';
import { badge, html, nothing, t } from './base.js';
import { said } from './engine-said.js';
import './chart.js';
import { stripPlot, stripTable } from './mix-plot.js';
import { taskTitle } from './work.js';

/**
 * @typedef {{task: string, split: string, items: number, metric: string, base: number, loss: number,
 *   score: number | null}} Score
 */
/** @typedef {{used: any[], weights: number[], rule: string, density: number, prompt: string}} Mixture */
/** @typedef {{type: string, error: number, exact: boolean, rank: number, message: string}} RuleError */
/** @typedef {{weight: number, losses: number[], held: {split: string, items: number}[], text: string}} StripPoint */

export const LETTERS = ['A', 'B', 'C'];

/**
 * What a result is of: its weights, rule and prompt, in words.
 * @param {string} kind 'scores', 'strip' or 'errors' @param {Mixture} mixture
 */
function inWords(kind, { used, weights, rule, density, prompt }) {
    const weighed = used.map((_, i) => `${LETTERS[i]} × ${number(weights[i])}`);
    const pruned = kind === 'errors' || PRUNES.test(rule);
    return [
        ...(kind === 'strip' ? weighed.slice(2) : weighed), // from A to B, the weights of these two are its axis
        kind !== 'errors' && (rule === SUM ? t('mix.rule.sum') : rule),
        pruned && `${t('mix.density')} ${number(density)}`,
        kind === 'strip' && `“${prompt}”`,
    ].filter(Boolean).join(' · ');
}

/** @param {string} kind @param {Mixture} then @param {Mixture} now */
export function measuredOn(kind, then, now) {
    const mixture = inWords(kind, then);
    return html`<p class="small muted" id=${`of-${kind}`}>${t('mix.of', { mixture })}
        ${mixture === inWords(kind, now) ? nothing : html`<strong>${t('mix.of.changed')}</strong>`}</p>`;
}

/** @param {string} label @param {any} table */
const region = (label, table) => html`<div class="scroll" tabindex="0" role="region" aria-label=${label}>${table}</div>`;

/** A second line, in brackets. @param {string} text */
const small = (text) => html`<br><span class="small muted">(${text})</span>`;

/** @param {Score[]} scores */
export function scoresTable(scores) {
    return region(t('mix.score'), html`<table id="scores">
        <thead><tr>
            <th scope="col">${t('task.choose')}</th>
            <th scope="col" class="num">${t('compare.base')}, ${t('mix.loss')}</th>
            <th scope="col" class="num">${t('mix.mixture')}, ${t('mix.loss')}</th>
            <th scope="col" class="num">${t('mix.mixture')}, ${t('compare.of.score')}${small(t('split.first', { n: SCORED }))}</th></tr></thead>
        <tbody>${scores.map((row) => html`<tr>
            <th scope="row">${taskTitle(row.task)}${small(splitWords(row.split, row.items))}</th>
            <td class="num">${fixed(row.base, 3)}</td><td class="num">${fixed(row.loss, 3)}</td>
            <td class="num">${row.score === null ? '–' : html`${percent(row.score * 100)} ${badge('measured')}${
                small(metricWords(row.metric))}`}</td></tr>`)}</tbody></table>`);
}

/** @param {StripPoint[]} strip @param {string[]} names */
function stripSummary(strip, names) {
    const best = (/** @type {number} */ i) => strip.reduce((a, b) => (b.losses[i] < a.losses[i] ? b : a));
    const [a, b] = [best(0), best(1)];
    return t('mix.strip.summary', {
        a: names[0], wa: significant(a.weight, 2), la: fixed(a.losses[0], 3),
        b: names[1], wb: significant(b.weight, 2), lb: fixed(b.losses[1], 3),
    });
}

/** @param {import('./base.js').LabElement} host @param {StripPoint[]} strip @param {string[]} names */
export function stripResult(host, strip, names) {
    const held = (strip[0]?.held ?? []).filter(({ split }) => split)
        .map(({ split, items }, i) => t('word.pair', { name: names[i], text: splitWords(split, items) }));
    const row = (/** @type {StripPoint} */ { weight, text }) => html`<tr>
        <td class="num">${fixed(1 - weight, 1)}</td><td class="num">${fixed(weight, 1)}</td><td class="small">${text}</td></tr>`;
    return html`<h3>${t('mix.strip')} ${badge('measured')}</h3>
        <peft-chart theme=${host.theme ?? nothing} .lab=${host.lab} .label=${t('mix.strip')} .summary=${stripSummary(strip, names)}
            .height=${240} .plot=${stripPlot(strip, names)} .table=${stripTable(strip, names)}></peft-chart>
        <p class="small muted" id="held">${held.join('; ')}</p>
        ${region(t('mix.strip.texts'), html`<table class="strip">
            <thead><tr><th scope="col" class="num">A</th><th scope="col" class="num">B</th><th scope="col">${t('mix.text')}</th></tr></thead>
            <tbody>${strip.map(row)}</tbody></table>`)}`;
}

/** @param {RuleError[]} errors @param {any[] | undefined} types the engine's rules */
export function errorsTable(errors, types) {
    const lost = (/** @type {RuleError} */ { message, exact, error }) =>
        (message ? '–' : exact ? t('mix.rules.exact') : percent(error * 100));
    return html`<h3>${t('mix.rules')} ${badge('measured')}</h3>
        ${region(t('mix.rules'), html`<table id="errors">
            <thead><tr>
                <th scope="col">${t('mix.rule')}</th><th scope="col" class="num">${t('mix.rules.error')}</th>
                <th scope="col" class="num">${t('mix.rules.rank')}</th><th scope="col">${t('mix.rules.what')}</th></tr></thead>
            <tbody>${errors.map((row) => html`<tr>
                <th scope="row">${row.type}</th><td class="num">${lost(row)}</td><td class="num">${row.rank || '–'}</td>
                <td class="small">${row.message ? said(row.message) : mixSummary(types, row.type)}</td></tr>`)}</tbody></table>`)}
        <p class="small muted">${t('mix.rules.about')}</p>`;
}
