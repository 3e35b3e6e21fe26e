/**
 * <peft-next-step>: after a run, the one or two things worth trying next, as buttons that do them. With `merged`: what a merge has
 * shown, a question, and what comes after it; that stands below the panel, because what grows above the button that was pressed
 * pushes it out of sight.
 */
import { css, define, html, LabElement, nothing, t } from './base.js';
import { hasPanel } from './panels.js';
import { usePanelTexts } from './texts.js';

/** @typedef {{text: string, act: () => void}} Step */

class PeftNextStep extends LabElement {
    static styles = [LabElement.styles, css`
        .card {
            display: flex; flex-wrap: wrap; gap: 6px 8px; align-items: center; background: var(--accent-soft);
            border-color: var(--accent); padding: 8px 12px;
        }
        button { border-radius: 99px; font-size: .88rem; padding: 4px 10px; min-height: 34px; }
        peft-takeaway { flex: 1 1 100%; }
        :host([idle]) { display: none; }
    `];
    static watch = ['run', 'runs', 'merge', 'status', 'state', 'modules'];
    static properties = { merged: { type: Boolean } };

    constructor() {
        super();
        this.merged = false;
    }

    /** @param {string} type @param {any} detail */
    onLab(type, detail) {
        // What is shown after merging comes with the first merge.
        if (this.merged && type === 'merge' && detail) Promise.all([import('./takeaway.js'), usePanelTexts()]).catch(() => {});
        super.onLab(type, detail);
    }

    /** @returns {{text: string, steps: Step[]} | null} */
    get #advice() {
        const { lab } = this;
        const { run } = lab;
        if (!run || !['ready', 'busy'].includes(lab.status) || !['done', 'stopped'].includes(run.status)) return null;
        const methods = new Set(lab.runs.map((r) => r.method));
        const panel = (/** @type {string} */ name) => ({ text: t(`hint.${name}`), act: () => lab.set({ panel: name }) });
        const smaller = { text: t('hint.prompt'), act: () => this.#method('prompt') };
        const lesson = { text: t('hint.lesson'), act: () => lab.set({ panel: 'lessons', lesson: 'merging' }) };
        if (this.merged) {
            return { text: t('hint.after_merge'), steps: [
                ...(hasPanel('compare') ? [{ ...panel('compare'), text: t('hint.compare_five') }] : []),
                ...(hasPanel('lessons') ? [lesson] : []),
            ] };
        }
        const canMerge = !lab.merged && lab.description?.modules[0]?.can_merge && run.method !== 'full';
        const steps = [
            ...(canMerge && lab.state.panel !== 'merge' ? [panel('merge')] : []),
            ...(methods.has('prompt') ? [] : [smaller]),
            ...(methods.size > 1 && hasPanel('compare') ? [panel('compare')] : []),
            ...(hasPanel('inspect') ? [panel('inspect')] : []),
        ];
        return { text: t('hint.after_run'), steps: steps.slice(0, 3) };
    }

    /** Shows what became smaller, and puts the focus, whose button is gone, on the method. @param {string} method */
    async #method(method) {
        const root = /** @type {ShadowRoot | Document} */ (this.getRootNode());
        const [methods, counter] = ['peft-methods', 'peft-counter'].map((name) => /** @type {LabElement | null} */ (root.querySelector(name)));
        this.lab.set({ method });
        await this.lab.during(null, async () => {}); // the run leaves the model, and this card the page
        await Promise.all([this.updateComplete, methods?.updateComplete]);
        const still = matchMedia('(prefers-reduced-motion: reduce)').matches;
        counter?.scrollIntoView({ block: 'nearest', behavior: still ? 'auto' : 'smooth' });
        if (document.activeElement !== document.body) return;
        /** @type {HTMLElement | null | undefined} */ (methods?.renderRoot.querySelector(`[value="${method}"]`))?.focus({ preventScroll: true });
    }

    updated() {
        this.toggleAttribute('idle', this.renderRoot.childElementCount === 0); // no gap where nothing stands
    }

    render() {
        const advice = this.#advice;
        if (!advice || advice.steps.length === 0 || (this.merged && !this.lab.merged)) return nothing;
        const busy = this.lab.status === 'busy';
        return html`<div class="card" role="group" aria-label=${t('hint.title')}><span>${advice.text}</span>
            ${this.merged ? html`<peft-takeaway .lab=${this.lab}></peft-takeaway>` : nothing}
            ${advice.steps.map(({ text, act }) => html`<button ?disabled=${busy} @click=${act}>${text}</button>`)}</div>`;
    }
}
define('peft-next-step', PeftNextStep);
