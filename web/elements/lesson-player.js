/**
 * <peft-lesson>: plays one lesson: text, what it sets, the button that does the step, what was measured, and a checked exercise. Attribute src: the address of a
 * lesson's JSON file; property lesson: one that was read already. Fires peft-answer and peft-lesson-done.
 */
import { css, define, html, LabElement, nothing, t } from './base.js';
import { settingsText } from './recommend.js';
import { PeftLabError } from '../engine/errors.js';
import { significant, count, percent } from '../lib/format.js';
import { hasText, language } from '../lib/i18n.js';
import { ACTIONS, at, facts, holds, isRight, readLesson, say } from '../lib/lessons.js';

/** Parts of the page that a step can point at. @type {Record<string, string>} */
const FOCUS = { methods: 'peft-methods', counter: 'peft-counter', controls: 'peft-controls', train: 'peft-train', diagram: 'peft-diagram', loss: 'peft-loss', sample: 'peft-sample', runs: 'peft-runs' };

export class PeftLesson extends LabElement {
    static watch = ['status', 'state', 'counts', 'modules', 'run', 'runs', 'merge', 'sample', 'validation', 'lesson', 'ready'];
    static properties = { src: {}, lesson: { attribute: false }, at: { state: true }, given: { state: true }, verdict: { state: true }, problem: { state: true } };
    static styles = [LabElement.styles, css`
        .lesson { border-color: var(--accent); border-width: 2px; }
        fieldset { display: grid; gap: 4px; padding: 8px 0; }
        legend { font-weight: 600; padding: 0 0 4px; }
        label.choice { display: flex; gap: 8px; align-items: start; min-height: 32px; padding: 4px 0; }
        .facts { display: flex; flex-wrap: wrap; gap: 6px 18px; }
        .facts dt { font-size: .82rem; color: var(--muted); }
        .facts dd { font-weight: 650; }
        .right { color: var(--good); font-weight: 600; }
        .wrong { color: var(--bad); font-weight: 600; }
        .warn { background: var(--warn-soft); padding: 8px 10px; border-radius: 6px; }
        progress { max-width: 240px; }
        h3:focus { outline: none; }
    `];

    constructor() {
        super();
        this.src = '';
        /** @type {import('../lib/lessons.js').Lesson | null} */
        this.lesson = null;
        this.at = -1;
        this.given = '';
        this.verdict = '';
        this.problem = '';
    }

    /** @param {Map<string, unknown>} changed */
    willUpdate(changed) {
        if (changed.has('src') && this.src) {
            fetch(new URL(this.src, document.baseURI)).then((answer) => answer.json()).then((raw) => { this.lesson = readLesson(raw); }, (error) => { this.problem = t('lessons.unreadable', { why: error.message }); })
                .catch((error) => { this.problem = error.message; });
        }
        if (changed.has('lesson') && this.lesson) this.go(0);
    }

    get step() {
        return this.lesson?.steps[this.at];
    }

    /** @param {number} index */
    go(index) {
        if (!this.lesson || index < 0 || index > this.lesson.steps.length) return;
        Object.assign(this, { at: index, given: '', verdict: '', problem: '' });
        const { step } = this;
        if (!step) {
            this.fire('peft-lesson-done', { id: this.lesson.id });
            this.say(t('lessons.done', { title: say(this.lesson.title, language()) }));
        } else {
            if (step.set) this.lab.ready().then(() => this.lab.set({ lr: 0, batch_size: 0, ...step.set }), () => {});
            this.#point(step.focus);
            this.say(t('lessons.say', { n: index + 1, of: this.lesson.steps.length }));
        }
        this.updateComplete.then(() => /** @type {HTMLElement | null} */ (this.renderRoot.querySelector('h3'))?.focus({ preventScroll: true }));
    }

    /** Outlines the part of the page that the step talks about, where there is a page around. @param {string | undefined} name */
    #point(name) {
        const root = /** @type {ParentNode} */ (this.closestPlayground?.renderRoot ?? document);
        const part = name && FOCUS[name] ? /** @type {HTMLElement | null} */ (root.querySelector(FOCUS[name])) : null;
        if (!part) return;
        const quiet = matchMedia('(prefers-reduced-motion: reduce)').matches;
        part.animate([{ outline: '3px solid var(--accent)', outlineOffset: '2px' }, { outline: '3px solid var(--accent)', outlineOffset: '2px', offset: 0.9 }, { outline: '3px solid transparent', outlineOffset: '2px' }], { duration: quiet ? 1500 : 2500 });
        this.fire('peft-focus', { name });
    }

    /** @returns {any} */
    get closestPlayground() {
        for (let node = /** @type {any} */ (this); node; node = node.parentNode ?? node.host ?? null) if (node.nodeName === 'PEFT-PLAYGROUND') return node;
        return null;
    }

    async #act() {
        const { step } = this;
        if (!step?.do) return;
        this.problem = '';
        try {
            await this.lab.ready();
            await ACTIONS[step.do](this.lab);
        } catch (thrown) {
            const error = PeftLabError.from(thrown);
            if (error.code !== 'aborted') this.problem = [error.message, error.hint].filter(Boolean).join(' ');
        }
        this.requestUpdate();
    }

    /** @param {Event} event */
    #answer(event) {
        event.preventDefault();
        const check = this.step?.check;
        if (!check || this.given === '') return;
        const number = Number(check.choices ? this.given : this.given.replaceAll(/[\s,.'’](?=\d{3}(\D|$))/g, '').replace(',', '.'));
        const right = isRight(check, facts(this.lab), number);
        this.verdict = right ? 'right' : 'wrong';
        this.fire('peft-answer', { lesson: this.lesson?.id, step: this.at, right });
    }

    /** @param {string} path @param {any} known */
    #fact(path, known) {
        const value = at(known, path);
        if (typeof value !== 'number') return nothing;
        const text = path === 'run.share' ? percent(100 * value) : path === 'counts.percent' ? percent(value) : Number.isInteger(value) ? count(value) : significant(value, 4);
        return html`<div><dt>${hasText(`lessons.fact.${path}`) ? t(`lessons.fact.${path}`) : path}</dt><dd>${this.value(text, 'measured')}</dd></div>`;
    }

    /** @param {import('../lib/lessons.js').Check} check @param {boolean} open */
    #check(check, open) {
        const right = this.verdict === 'right';
        const words = (/** @type {any} */ choice) => say(choice?.text ?? choice, language());
        return html`<form @submit=${this.#answer}><fieldset ?disabled=${!open}><legend>${say(check.question, language())}</legend>
            ${check.choices ? check.choices.map((choice, i) => html`<label class="choice"><input type="radio" name="answer" value=${String(i)} .checked=${this.given === String(i)}
                @change=${() => Object.assign(this, { given: String(i), verdict: '' })}>${words(choice)}</label>`)
                : html`<label>${t('lessons.number')} <input type="text" inputmode="decimal" .value=${this.given} @input=${(/** @type {any} */ e) => Object.assign(this, { given: e.target.value, verdict: '' })}></label>`}</fieldset>
            <div class="row"><button ?disabled=${!open || this.given === ''}>${t('lessons.check')}</button>
            <span role="status">${this.verdict ? html`<span class=${this.verdict}>${right ? '✓' : '✗'} ${t(`lessons.${this.verdict}`)}</span> ${say((right ? check.right : check.wrong) ?? '', language())}` : nothing}</span></div></form>`;
    }

    render() {
        const { lesson, step } = this;
        if (!lesson) return this.problem ? html`<p class="warn" role="alert">${this.problem}</p>` : nothing;
        const words = say(lesson.title, language());
        if (!step) return html`<div class="card lesson stack"><h3 tabindex="-1">${t('lessons.done', { title: words })}</h3><div class="row"><button type="button" @click=${() => this.go(0)}>${t('lessons.again')}</button></div></div>`;
        const known = facts(this.lab);
        const busy = ['training', 'busy', 'loading'].includes(this.lab.status);
        const met = holds(known, step.wait?.cond) && !busy;
        const open = met && (!step.check || this.verdict === 'right');
        return html`<div class="card lesson stack"><div class="row"><h3 class="grow" tabindex="-1">${words} – ${t('lessons.step', { n: this.at + 1, of: lesson.steps.length })}</h3>
                <progress max=${lesson.steps.length} .value=${this.at} aria-label=${t('lessons.progress')}></progress></div>
            <p>${say(step.text, language())}</p>
            ${step.set ? html`<p class="small muted">${t('lessons.sets', { settings: this.#settings(step.set) })}</p>` : nothing}
            ${this.problem ? html`<p class="warn" role="alert">${this.problem}</p>` : nothing}
            ${step.do ? html`<div class="row"><button type="button" class=${met ? '' : 'primary'} ?disabled=${busy} @click=${this.#act}>${t(`lessons.do.${step.do}`)}</button>
                ${this.lab.status === 'training' ? html`<span class="small num">${t('train.progress', { step: this.lab.run?.losses.length ?? 0, steps: this.lab.run?.train.steps ?? 0 })}</span>` : nothing}</div>` : nothing}
            ${met && step.show ? html`<dl class="facts">${step.show.map((path) => this.#fact(path, known))}</dl>` : nothing}
            ${step.check ? this.#check(step.check, met) : nothing}
            <div class="row"><button type="button" ?disabled=${this.at === 0} @click=${() => this.go(this.at - 1)}>${t('lessons.back')}</button>
                <button type="button" class=${open ? 'primary' : ''} ?disabled=${!open} @click=${() => this.go(this.at + 1)}>${t(this.at + 1 === lesson.steps.length ? 'lessons.finish' : 'lessons.next')}</button>
                ${open ? nothing : html`<button type="button" class="link" @click=${() => this.go(this.at + 1)}>${t('lessons.skip')}</button>`}
                <span class="small muted">${met || busy ? nothing : step.do ? t('lessons.waiting') : nothing}</span></div></div>`;
    }

    /** @param {Record<string, any>} set */
    #settings({ method, task, options = {}, ...rest }) {
        const name = (/** @type {string} */ key) => (hasText(`settings.${key}`) ? t(`settings.${key}`) : key);
        return [method && t(`method.${method}`), Object.keys(options).length && settingsText(options), task && t(`task.${task}`), ...Object.entries(rest).map(([key, value]) => `${name(key)} ${value}`)].filter(Boolean).join(' · ');
    }
}
define('peft-lesson', PeftLesson);
define('peft-quiz', class extends PeftLesson {}); // a lesson whose steps only ask
