/**
 * Proof: the figures behind "measured" – gradients, merging, bits – as they were recorded, with the command that repeats them, and
 * checked again in this tab.
 */
import { aside } from '../lib/aside.js';
import { count, significant } from '../lib/format.js';
import { GRADIENT_LIMIT, prove } from '../lib/proof.js';
import { badge, css, define, html, LabElement, nothing, t } from './base.js';
import { methodColor, methodShape } from './look.js';
import { Work } from './work.js';

/** @typedef {import('../lib/proof.js').Proof} Proof */
/**
 * @typedef {{command: string, commit: string, model: string, task: string, proofs: Proof[],
 *   against: {cases: number, logits: number, gradients: number, steps: number, losses: number},
 *   double: {elements: number, worst: number}}} Record_
 */

const load = () => import('../content/recorded/proof.json').then((file) => /** @type {Record_} */ (/** @type {unknown} */ (file.default)));

class PeftPanelProof extends LabElement {
    static watch = ['status', 'state', 'ready'];
    static styles = [LabElement.styles, css`
        .shape { color: var(--mc); }
        .yes { color: var(--good); font-weight: 650; } .no { color: var(--bad); font-weight: 650; }
        code { overflow-wrap: anywhere; } th[scope="row"], td code { white-space: nowrap; }
        ul { padding-inline-start: 1.2em; display: grid; gap: 4px; }
        tr.chosen { background: var(--accent-soft); }
        @media (max-width: 700px) {
            thead { display: none; }
            tr { display: grid; grid-template-columns: 1fr; padding: 6px 0; border-bottom: 1px solid var(--line); }
            td, th { border: 0; padding: 2px 6px; }
            td.num { text-align: start; } td[data-name]::before { content: attr(data-name) ": "; color: var(--muted); font-size: .85rem; }
            td[data-name]:lang(fr)::before { content: attr(data-name) "\\a0: "; }
        }
    `];
    static properties = { record: { state: true }, own: { state: true } };

    constructor() {
        super();
        /** @type {Record_ | null} */
        this.record = null;
        /** What was checked in this tab, by method. @type {Map<string, Proof>} */
        this.own = new Map();
        this.work = new Work(this);
    }

    connectedCallback() {
        super.connectedCallback();
        this.lab.ready().catch(() => {});
        load().then((record) => { this.record = record; });
    }

    disconnectedCallback() {
        super.disconnectedCallback();
        this.work.cancel();
    }

    /** @param {string} type @param {any} detail */
    onLab(type, detail) {
        if (type === 'state' && (detail.includes('model') || detail.includes('task'))) {
            this.work.cancel();
            this.own = new Map();
        }
        super.onLab(type, detail);
    }

    /** The checks of one method, in an engine of their own. */
    async #check() {
        const { lab } = this;
        const { method } = lab.state;
        const examples = lab.task?.splits.train;
        if (!examples?.length) return;
        const module = lab.description?.modules[0];
        const steps = 2 + (module?.method === method ? module.tensors.length : 1);
        const made = await this.work.run(steps, t('proof.running'), async ({ signal, tick }) => {
            const own = await aside(lab);
            try {
                return await prove(/** @type {any} */ (own.session), method, examples, { signal, tick: () => tick(), workers: 2 });
            } finally {
                own.close();
            }
        });
        if (!made) return;
        this.own = new Map([...this.own, [method, made]]);
        this.say(t('proof.say', { method: t(`method.${method}`), worst: significant(made.gradients.worst) }));
        this.fire('peft-proof', made);
    }

    render() {
        const { lab, record, own } = this;
        const { method } = lab.state;
        const idle = Boolean(lab.session) && ['ready', 'paused'].includes(lab.status);
        return html`<section class="stack"><h2>${t('proof.title')}</h2><p>${t('proof.about')}</p>
            <ul class="small"><li>${t('proof.gradients.about')}</li><li>${t('proof.merge.about')}</li><li>${t('proof.bits.about')}</li></ul>
            <div class="row"><button class="primary" id="check" ?disabled=${!idle || this.work.running}
                @click=${this.#check}>${t('proof.check', { method: t(`method.${method}`) })}</button>
            <span class="small muted">${t('proof.check.about')}</span></div>
            ${this.work.bar()}
            ${own.size ? html`<h3>${t('proof.here')} ${badge('measured')}</h3>${this.#table([...own.values()], 'own')}
                ${[...own.values()].map((proof) => this.#compare(proof))}` : nothing}
            ${record ? this.#recorded(record) : nothing}</section>`;
    }

    /** @param {boolean} good */
    #mark(good) {
        const mark = html`<span aria-hidden="true">${good ? '✓' : '✗'}</span>`;
        return html`<span class=${good ? 'yes' : 'no'}>${mark} ${t(good ? 'proof.yes' : 'proof.no')}</span>`;
    }

    /** @param {Proof[]} proofs @param {string} id */
    #table(proofs, id) {
        const head = ['method', 'gradients', 'merge', 'restored', 'same', 'hash'];
        const cell = (/** @type {string} */ key, /** @type {any} */ content, num = true) =>
            html`<td class=${num ? 'num' : ''} data-name=${t(`proof.col.${key}`)}>${content}</td>`;
        const title = `${t('proof.table')} (${t(id === 'own' ? 'badge.measured' : 'badge.recorded')})`;
        return html`<div class="scroll" tabindex="0" role="region" aria-label=${title}><table id=${id}>
            <caption class="sr">${t('proof.table')}</caption>
            <thead><tr>${head.map((key) => html`<th scope="col"
                class=${['method', 'restored', 'same'].includes(key) ? '' : 'num'}>${t(`proof.col.${key}`)}</th>`)}</tr></thead>
            <tbody>${proofs.map(({ method, gradients, merge, bits }) => html`<tr class=${method === this.lab.state.method ? 'chosen' : ''}
                data-method=${method} data-worst=${gradients.worst} style="--mc: ${methodColor(method)}">
                <th scope="row"><span class="shape" aria-hidden="true">${methodShape(method)}</span> ${t(`method.${method}`)}</th>
                ${cell('gradients', html`${this.#gap(gradients.worst)} <span
                    class="muted small">${t('proof.tensors', { n: gradients.tensors })}</span>`)}
                ${cell('merge', merge ? html`${significant(merge.difference)} <span
                    class="muted small">${t('proof.of', { largest: significant(merge.largest) })}</span>` : t('proof.cannot'))}
                ${cell('restored', merge ? this.#mark(merge.restored && merge.same_choice) : '–', false)}
                ${cell('same', this.#mark(bits.same), false)}
                ${cell('hash', html`<code class="small">${bits.hash}</code>`)}</tr>`)}</tbody></table></div>`;
    }

    /** @param {number} worst */
    #gap(worst) {
        return html`<span class=${worst <= GRADIENT_LIMIT ? '' : 'no'}>${significant(worst, 2)}</span>`;
    }

    /** Whether this tab's bits are those recorded elsewhere. @param {Proof} proof */
    #compare(proof) {
        const { record, lab } = this;
        const known = record && record.model === lab.state.model
            ? record.proofs.find(({ method, fingerprint }) => method === proof.method && fingerprint === proof.fingerprint)
            : undefined;
        const values = { method: t(`method.${proof.method}`), model: record?.model ?? '', task: record?.task ?? '' };
        if (!known) return html`<p class="small muted">${t('proof.other', values)}</p>`;
        const same = known.bits.hash === proof.bits.hash;
        return html`<p id="bits" data-same=${same}>${this.#mark(same)} ${t(same ? 'proof.bits.same' : 'proof.bits.differ', values)}</p>`;
    }

    /** @param {Record_} record */
    #recorded({ command, commit, model, task, proofs, against, double }) {
        return html`<h3>${t('proof.recorded')} ${badge('recorded')}</h3>
            <p class="small">${t('proof.recorded.how')} <code class="mono">${command}</code> (${commit}; ${model}, ${task})</p>
            ${this.#table(proofs, 'recorded')}
            <ul><li>${t('proof.double', { n: count(double.elements), worst: significant(double.worst, 2) })}
                <code class="small">./build.sh test double gradients</code></li>
                <li>${t('proof.against', {
                    cases: count(against.cases), logits: significant(against.logits, 2), gradients: significant(against.gradients, 2),
                    steps: count(against.steps), losses: significant(against.losses, 2),
                })}
                <code class="small">./build.sh test node golden</code></li></ul>`;
    }
}
define('peft-panel-proof', PeftPanelProof);
