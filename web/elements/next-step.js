/** <peft-next-step>: after a run, the one or two things worth trying next, as buttons that do them; after merging also what it showed, and a question. */
import { css, define, html, LabElement, nothing, t } from './base.js';
import { hasPanel } from './panels.js';
import { usePanelTexts } from './texts.js';

/** @typedef {{text: string, act: () => void}} Step */

class PeftNextStep extends LabElement {
    static styles = [LabElement.styles, css`
        .card { display: flex; flex-wrap: wrap; gap: 6px 8px; align-items: center; background: var(--accent-soft); border-color: var(--accent); padding: 8px 12px; }
        button { border-radius: 99px; font-size: .88rem; padding: 4px 10px; min-height: 34px; }
        peft-takeaway { flex: 1 1 100%; }
        :host([idle]) { display: none; }
    `];
    static watch = ['run', 'runs', 'merge', 'status', 'state', 'modules'];

    /** @param {string} type @param {any} detail */
    onLab(type, detail) {
        // What is shown after merging comes with the first merge.
        if (type === 'merge' && detail) Promise.all([import('./takeaway.js'), usePanelTexts()]).catch(() => {});
        super.onLab(type, detail);
    }

    /** @returns {{text: string, steps: Step[]} | null} */
    get #advice() {
        const { lab } = this;
        const { run, merged } = lab;
        if (!run || lab.status !== 'ready' || !['done', 'stopped'].includes(run.status)) return null;
        const methods = new Set(lab.runs.map((r) => r.method));
        const panel = (/** @type {string} */ name) => ({ text: t(`hint.${name}`), act: () => lab.set({ panel: name }) });
        const smaller = { text: t('hint.prompt'), act: () => lab.set({ method: 'prompt' }) };
        if (merged) return { text: t('hint.after_merge'), steps: [...(hasPanel('compare') ? [{ ...panel('compare'), text: t('hint.compare_five') }] : []), ...(methods.has('prompt') ? [] : [smaller]), ...(hasPanel('lessons') ? [{ text: t('hint.lesson'), act: () => lab.set({ panel: 'lessons', lesson: 'merging' }) }] : [])] };
        const canMerge = lab.description?.modules[0]?.can_merge && run.method !== 'full';
        const steps = [...(canMerge && lab.state.panel !== 'merge' ? [panel('merge')] : []), ...(methods.has('prompt') ? [] : [smaller]), ...(methods.size > 1 && hasPanel('compare') ? [panel('compare')] : []), ...(hasPanel('inspect') ? [panel('inspect')] : [])];
        return { text: t('hint.after_run'), steps: steps.slice(0, 3) };
    }

    updated() {
        this.toggleAttribute('idle', this.renderRoot.childElementCount === 0); // no gap where nothing stands
    }

    render() {
        const advice = this.#advice;
        if (!advice || advice.steps.length === 0) return nothing;
        return html`<div class="card" role="group" aria-label=${t('hint.title')}><span>${advice.text}</span>${this.lab.merged ? html`<peft-takeaway .lab=${this.lab}></peft-takeaway>` : nothing}${advice.steps.map(({ text, act }) => html`<button @click=${act}>${text}</button>`)}</div>`;
    }
}
define('peft-next-step', PeftNextStep);
