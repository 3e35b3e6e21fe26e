/**
 * <peft-panel-merge>: the trained change into the weights and out again, with what it does to the logits, the time per token
 * and the files.
 */
import { byteSize, count, fixed, percent, significant } from '../lib/format.js';
import { apart } from '../lib/measure.js';
import { mergeMeasured } from '../lib/merging.js';
import { trainHere } from './alone.js';
import { badge, css, define, html, LabElement, nothing, t } from './base.js';
import './heatmap.js';
import './merge-distil.js';
import './merge-overhead.js';
import './merge-rounding.js';
import { Work } from './work.js';
import { factorOf, whyNotMerged } from './reasons.js';

const ROUNDS = 30;
/** B·A slides into W in this time; longer would be a show, not an explanation. */
const SLIDE_MS = 380;

class PeftPanelMerge extends LabElement {
    static styles = [LabElement.styles, css`
        .steps {
            display: grid; gap: 12px; padding: 0; list-style: none; counter-reset: s;
            grid-template-columns: minmax(0, 1fr);
        }
        @container (min-width: 860px) { .steps { grid-template-columns: 1.7fr 1.2fr 1fr; } }
        :host { container-type: inline-size; }
        .steps > li {
            counter-increment: s; border: 1px solid var(--line-strong); border-radius: var(--radius);
            padding: 8px 12px; display: grid; gap: 8px; align-content: start; min-width: 0;
        }
        .steps > li > strong::before { content: counter(s) ". "; }
        .steps > li { transition: border-color 0.12s, box-shadow 0.12s; }
        .steps > li:nth-child(2) { transition-delay: 0.12s; }
        .steps > li:nth-child(3) { transition-delay: 0.24s; }
        .steps > li.lit { border-color: var(--good); box-shadow: inset 0 3px 0 var(--good); }
        .maps { display: flex; flex-wrap: wrap; gap: 10px; align-items: center; }
        .term { display: inline-flex; gap: 10px; align-items: center; } .sign { font-size: 1.3rem; }
        .steps peft-heatmap { position: relative; }
        .big { font-size: 1.2rem; font-weight: 700; }
        .gone { text-decoration: line-through; color: var(--muted); }
        table { max-width: 760px; }
        details { border-top: 1px solid var(--line); padding-top: 8px; }
        summary { cursor: pointer; font-weight: 650; min-height: 28px; }
    `];
    static watch = ['merge', 'run', 'modules', 'status', 'state', 'ready'];
    static properties = { maps: { state: true } };

    constructor() {
        super();
        this.work = new Work(this);
        /**
         * The matrices of one changed map.
         * @type {{key: string, label: string, rows: number, cols: number, w: Float32Array, d: Float32Array, sum: Float32Array,
         *   a: Float32Array | null, b: Float32Array | null} | null}
         */
        this.maps = null;
    }

    connectedCallback() {
        super.connectedCallback();
        this.lab.ready().catch(() => {});
    }

    disconnectedCallback() {
        super.disconnectedCallback();
        this.work.cancel();
    }

    get module() {
        const modules = this.lab.description?.modules ?? [];
        return modules.find((/** @type {any} */ m) => m.can_merge) ?? modules[0];
    }

    get trained() {
        const { run, description } = this.lab;
        return Boolean((run && ['done', 'stopped'].includes(run.status)) || (!run && description?.modules.length > 1));
    }

    updated() {
        const { lab, module } = this;
        const key = module?.can_merge && this.trained ? `${lab.run?.id} ${module.id}` : '';
        if (key && this.maps?.key !== key && ['ready', 'paused'].includes(lab.status)) this.#readMaps(key, module);
    }

    /** @param {string} key @param {any} module */
    async #readMaps(key, module) {
        const tensor = module.tensors.find((/** @type {any} */ x) => x.site >= 0);
        const site = this.lab.engine?.sites[tensor?.site];
        if (!site) return;
        await this.lab.during(null, async () => {
            const session = /** @type {import('../engine/session.js').Session} */ (this.lab.session);
            if (!(await session.describe()).modules.some((/** @type {any} */ m) => m.id === module.id)) return;
            const { rows, cols } = await session.spectrum(module.id, tensor.layer, site);
            const get = (/** @type {any} */ what) => session.matrix(module.id, tensor.layer, site, what);
            const low = module.method === 'lora' && !module.options.use_dora;
            this.maps = {
                key, rows, cols, label: t('inspect.map', { layer: tensor.layer + 1, site }),
                w: await get('base'), d: await get('delta'), sum: await get('merged'),
                a: low ? await get('A') : null, b: low ? await get('B') : null,
            };
        }).catch(() => {});
    }

    async #merge() {
        const { lab } = this;
        const words = t('merge.measuring.turns', { n: ROUNDS });
        const report = await this.work.run(ROUNDS + 1, words, ({ tick, check }) => lab.during('busy', async () => {
            const session = /** @type {any} */ (lab.session);
            const made = await mergeMeasured(session, lab.sample.prompt, { rounds: ROUNDS, tick: () => tick(), check });
            lab.merged = made;
            await lab.describe();
            lab.emit('merge', made);
            return made;
        }));
        if (!report) {
            await lab.describe();
            return;
        }
        await this.updateComplete;
        this.#slide();
        this.say(t('merge.say', { difference: significant(report.max_logit_difference) }));
        this.fire('peft-merge', { max_logit_difference: report.max_logit_difference });
    }

    /** ΔW moves onto W, to show what was added to what. Not for those who asked for less motion. */
    #slide() {
        if (matchMedia('(prefers-reduced-motion: reduce)').matches) return;
        const [delta, weights] = ['ΔW', 'W'].map((name) =>
            /** @type {HTMLElement | null} */ (this.renderRoot.querySelector(`peft-heatmap[data-map="${name}"]`)));
        if (!delta || !weights) return;
        const [from, to] = [delta.getBoundingClientRect(), weights.getBoundingClientRect()];
        const there = `translate(${to.left - from.left}px, ${to.top - from.top}px)`;
        delta.animate([
            { transform: 'none', opacity: 1, zIndex: 2 },
            { transform: there, opacity: 0.75, zIndex: 2, offset: 0.8 },
            { transform: there, opacity: 0, zIndex: 2 },
        ], { duration: SLIDE_MS, easing: 'ease-in-out', id: 'slide' });
    }

    async #unmerge() {
        await this.lab.unmerge().catch(() => {});
        this.say(t('merge.say.undone'));
    }

    render() {
        const { lab, module, trained } = this;
        const method = module?.method ?? lab.state.method;
        const info = lab.engine?.methods.find((/** @type {any} */ m) => m.name === method);
        const name = t(`method.${method}`);
        const can = module?.can_merge ?? info?.can_merge;
        const own = module ? lab.description.counts.added === 0 : method === 'full' || method === 'norms';
        const details = (/** @type {string} */ key, /** @type {any} */ content, open = false) =>
            html`<details ?open=${open}><summary>${t(key)}</summary>${content}</details>`;
        const part = { theme: this.theme ?? nothing, lab };
        return html`<section class="stack"><h2>${t('merge.title')}</h2><p class="small">${t('merge.about')}</p>
            ${trainHere(this)}
            ${lab.engine ? nothing : html`<p role="status">${t(`status.${lab.status}`)}</p>`}
            ${own && !lab.merged ? html`<p id="own">${t('merge.own', { method: name })}</p>
                ${trained ? details('merge.rounding', html`<peft-merge-rounding theme=${part.theme} .lab=${lab}></peft-merge-rounding>`) : nothing}`
                : can === false
                ? html`<p id="cannot"><strong>${t('merge.cannot', { method: name })}</strong> ${whyNotMerged(lab, lab.state.method)}</p>`
                : html`
            ${this.#steps(module)}
            <div class="row">${lab.merged
                ? html`<button class="primary" id="unmerge" ?disabled=${lab.status !== 'ready'}
                    @click=${() => this.#unmerge()}>${t('merge.undo')}</button>`
                : html`<button class="primary" id="merge" ?disabled=${lab.status !== 'ready' || !trained}
                    @click=${() => this.#merge()}>${t('merge.do')}</button>`}
                <span class="muted small">${!trained && lab.status === 'ready' ? t('merge.untrained', { method: name }) : ''}</span></div>
            ${this.work.bar()}
            ${lab.merged ? this.#report(lab.merged, module) : nothing}
            ${lab.merged && this.#nextStep
                ? html`<div><button class="link" id="take"
                    @click=${() => this.#toQuestion()}>↓ ${t('take.up')}</button></div>`
                : nothing}
            ${trained ? details('merge.rounding', html`<peft-merge-rounding theme=${part.theme} .lab=${lab}></peft-merge-rounding>`) : nothing}`}
            ${details('merge.others', html`<peft-merge-overhead theme=${part.theme} .lab=${lab}></peft-merge-overhead>`, can === false)}
            ${details('merge.distil', html`<peft-merge-distil theme=${part.theme} .lab=${lab}></peft-merge-distil>`, can === false)}</section>`;
    }

    /** Where the page around says what the merge has shown. @returns {HTMLElement | null} */
    get #nextStep() {
        const around = /** @type {ShadowRoot | Document} */ (this.getRootNode());
        return around.querySelector('peft-next-step[merged]');
    }

    #toQuestion() {
        const place = this.#nextStep;
        place?.scrollIntoView({ block: 'center', behavior: matchMedia('(prefers-reduced-motion: reduce)').matches ? 'auto' : 'smooth' });
        const question = place?.shadowRoot?.querySelector('peft-takeaway');
        /** @type {HTMLElement | null | undefined} */ (question?.shadowRoot?.querySelector('button'))?.focus({ preventScroll: true });
    }

    /** @param {any} module */
    #steps(module) {
        const { maps, lab } = this;
        const lit = lab.merged ? 'lit' : '';
        /** @param {string} label @param {Float32Array | null} values @param {number} rows @param {number} cols */
        const map = (label, values, rows, cols) => (values ? html`<peft-heatmap theme=${this.theme ?? nothing} .lab=${lab}
            .label=${label} .values=${values} .rows=${rows} .cols=${cols} .side=${128} data-map=${label} plain></peft-heatmap>` : nothing);
        // A sign stays with what follows it: lines break before it.
        const term = (/** @type {string} */ sign, /** @type {any} */ what) => html`<span class="term">${
            sign ? html`<span class="sign" aria-hidden="true">${sign}</span>` : nothing}${what}</span>`;
        const r = maps?.b ? maps.b.length / maps.rows : 0;
        const other = maps && !maps.b; // a change that is no product of two matrices
        return html`<ol class="steps ${lab.merged ? 'done' : ''}">
            <li class=${lit}><strong>${t(other ? 'merge.step1.other' : 'merge.step1', { factor: factorOf(module) })}</strong>
                ${maps ? html`<div class="maps">
                    ${maps.b ? html`${map('B', maps.b, maps.rows, r)}${term('·', map('A', maps.a, r, maps.cols))}` : nothing}
                    ${term(maps.b ? '=' : '', map('ΔW', maps.d, maps.rows, maps.cols))}</div>` : nothing}</li>
            <li class=${lit}><strong>${t('merge.step2')}</strong>
                ${maps ? html`<div class="maps">${map('W', maps.w, maps.rows, maps.cols)}
                    ${term('→', map('W + ΔW', maps.sum, maps.rows, maps.cols))}</div>` : nothing}</li>
            <li class=${lit}><strong>${t(other ? 'merge.step3.other' : 'merge.step3')}</strong>
                <p class="small"><span class=${lab.merged ? 'gone' : ''}>${t('merge.extra.numbers', { n: module?.parameters ?? 0 })}</span>
                    ${badge('measured')}<br>${t(lab.merged ? 'merge.now.merged' : 'merge.now.apart')}</p></li></ol>
            ${maps ? html`<p class="small muted">${t('merge.shown', { map: maps.label })}</p>` : nothing}`;
    }

    /** @param {any} report @param {any} module */
    #report(report, module) {
        const { before, after, bytes } = report;
        const model = bytes && byteSize(bytes.model);
        const cell = (/** @type {any} */ { median, low, high, runs }) =>
            t('merge.iqr', { median: fixed(median, 3), low: fixed(low, 3), high: fixed(high, 3), runs });
        const change = 1 - after.median / before.median;
        const verdict = !apart(before, after) ? t('merge.noise')
            : change > 0 ? t('merge.faster', { percent: percent(100 * change) })
            : t('merge.slower', { percent: percent(-100 * change) });
        return html`<p>${t('merge.same')}: <span class="big num" id="difference"
            data-value=${report.max_logit_difference}>${significant(report.max_logit_difference)}</span>
            <span class="muted">${t('merge.same.about', { largest: fixed(report.max_logit, 1) })}</span> ${badge('measured')}
            ${report.same_choice === undefined ? nothing
                : html`<br>${t('merge.choice', { percent: percent(100 * report.same_choice) })} ${badge('measured')}`}</p>
            <div class="scroll" tabindex="0" role="region" aria-label=${t('merge.table')}><table>
                <caption class="sr">${t('merge.table')}</caption>
                <thead><tr><td></td>${['before', 'after'].map((when) => html`<th scope="col" class="num">${t(`merge.${when}`)}</th>`)}</tr></thead>
                <tbody>
                <tr><th scope="row">${t('merge.ms')}</th><td class="num">${cell(before)}</td><td class="num">${cell(after)}</td></tr>
                <tr><th scope="row">${t('merge.extra')}</th>
                    <td class="num">${count(report.numbers ?? module?.parameters ?? 0)}</td><td class="num">${count(0)}</td></tr>
                ${bytes ? html`<tr><th scope="row">${t('merge.files')}</th><td class="num">${
                    bytes.adapter ? t('merge.files.two', { model, adapter: byteSize(bytes.adapter) }) : model}</td>
                    <td class="num">${t('merge.files.one', { model })}</td></tr>` : nothing}</tbody></table></div>
            <p>${verdict} ${badge('measured')}</p>
            <p class="small" id="exact">${t(this.maps && !this.maps.b ? 'merge.exact.other' : 'merge.exact', {
                residual: significant(report.residual_of_subtracting),
            })} ${badge('measured')}</p>`;
    }
}
define('peft-panel-merge', PeftPanelMerge);
