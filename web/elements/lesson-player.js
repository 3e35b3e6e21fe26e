/**
 * <peft-lesson>: plays one lesson: text, what it sets, the button that does the step, what was measured, and a checked exercise.
 * Attribute src: the address of a lesson's JSON file; property lesson: one that was read already; docked: in the bar that stays on
 * the screen, where it can be folded. What a step points at is scrolled into view. leave() puts the settings back. Fires peft-answer,
 * peft-lesson-done and, asked to close, peft-lesson-leave.
 */
import { css, define, html, LabElement, nothing, playgroundAround, t } from './base.js';
import './counter.js';
import { wrong } from './engine-said.js';
import { settingsText } from './recommend.js';
import { saidHere } from './work.js';
import { PeftLabError } from '../engine/errors.js';
import { significant, count, percent } from '../lib/format.js';
import { hasText, language } from '../lib/i18n.js';
import { ACTIONS, at, facts, holds, isRight, keepSettings, numbersOf, readLesson, say, settingsOf } from '../lib/lessons.js';
import { read } from '../lib/store.js';
import { trainOptions } from '../lib/trainer.js';
import { ownLessons } from './lesson-files.js';

/** While the lab is one of these, a step waits. @type {readonly string[]} */
const BUSY = Object.freeze(['training', 'busy', 'loading']);
/** Left free around what a step points at, in px. */
const EDGE = 8;

/** Parts of the page that a step can point at. @type {Record<string, string>} */
const FOCUS = {
    methods: 'peft-methods', counter: 'peft-counter', controls: 'peft-controls', train: 'peft-train',
    diagram: 'peft-diagram', loss: 'peft-loss', sample: 'peft-sample', runs: 'peft-runs',
};

const quiet = () => matchMedia('(prefers-reduced-motion: reduce)').matches;

/** Ids of the lessons that were played to their end. @type {Set<string>} */
export const finished = new Set();

export class PeftLesson extends LabElement {
    static watch = ['status', 'state', 'counts', 'modules', 'run', 'runs', 'merge', 'sample', 'validation', 'lesson', 'ready'];
    static properties = {
        src: {}, lesson: { attribute: false }, docked: { type: Boolean, reflect: true }, folded: { state: true },
        at: { state: true }, following: { state: true }, given: { state: true }, verdict: { state: true }, problem: { state: true },
    };
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
        :host { container-type: inline-size; }
        .body { display: grid; gap: 4px 24px; grid-template-columns: minmax(0, 1fr); }
        @container (min-width: 740px) {
            .body { grid-template: auto 1fr / minmax(0, 3fr) minmax(0, 2fr); }
            .body > :first-child { grid-row: 1 / span 2; } .go { align-self: start; }
        }
        .body > .stack { align-content: start; }
        :host([docked]) .lesson {
            padding: 8px 14px; background: var(--bg); max-height: min(44vh, 400px); overflow-y: auto;
            box-shadow: 0 -4px 14px rgb(0 0 0 / .16);
        }
        /* The way on is in sight however long the text is. */
        :host([docked]) .go { position: sticky; inset-block-end: -8px; padding-block: 6px; background: var(--bg); }
        :host([docked]) h3 { font-size: 1rem; }
        .head { display: flex; gap: 8px; align-items: center; } .head > h3 { flex: 1; }
        .fold { min-width: 36px; padding-inline: 8px; flex: none; }
        label.choice > input { flex: none; }
        @media (max-width: 700px) {
            progress { max-width: 70px; } :host([docked]) progress { display: none; }
            :host([docked]) .lesson { padding: 6px 10px; max-height: 42vh; }
        }
    `];

    /** @type {(() => Promise<void>) | null} puts back what was before the lesson */
    #putBack = null;
    /** The runs that were there before the lesson: who loads one of them has not trained. @type {Set<import('../lib/runs.js').Run>} */
    #before = new Set();
    /** The step's condition held when the player was last drawn. */
    #met = false;

    constructor() {
        super();
        this.src = '';
        /** @type {import('../lib/lessons.js').Lesson | null} */
        this.lesson = null;
        this.docked = false;
        /** The lesson to take after this one, once it is at its end. @type {import('../lib/lessons.js').Lesson | null} */
        this.following = null;
        this.folded = false;
        this.at = -1;
        this.given = '';
        this.verdict = '';
        /** @type {import('./work.js').Problem | null} */
        this.problem = null;
    }

    /** @param {Map<string, unknown>} changed */
    willUpdate(changed) {
        if (changed.has('src') && this.src) {
            fetch(new URL(this.src, document.baseURI)).then((answer) => answer.json())
                .then(
                    (raw) => { this.lesson = readLesson(raw); },
                    (error) => { this.problem = { message: t('lessons.unreadable', { why: error.message }) }; },
                )
                .catch((error) => { this.problem = PeftLabError.from(error); });
        }
        if (changed.has('lesson') && this.lesson) this.go(0);
    }

    updated() {
        const { step } = this;
        const met = Boolean(step?.do) && this.#holds(step, facts(this.lab));
        if (met && !this.#met) { // what was measured has moved the page, and lies below the text
            this.#show(step?.focus);
            this.#bring('.facts');
        }
        this.#met = met;
    }

    /** @param {import('../lib/lessons.js').Step | undefined} step @param {any} known facts */
    #holds(step, known) {
        const { lab } = this;
        const trained = step?.do !== 'train' || (lab.run && !this.#before.has(lab.run));
        return Boolean(trained) && holds(known, step?.wait?.cond) && !BUSY.includes(lab.status);
    }

    get step() {
        return this.lesson?.steps[this.at];
    }

    /** @param {number} index */
    go(index) {
        if (!this.lesson || index < 0 || index > this.lesson.steps.length) return;
        Object.assign(this, { at: index, given: '', verdict: '', problem: null, folded: false });
        const { step, lesson } = this;
        if (index === 0) this.#begin();
        if (!step) {
            finished.add(lesson.id);
            this.following = null;
            ownLessons().then((all) => {
                const place = all.findIndex(({ id }) => id === lesson.id);
                this.following = place < 0 ? null : all[place + 1] ?? null;
            }, () => {});
            this.fire('peft-lesson-done', { id: lesson.id });
            this.say(t('lessons.done', { title: say(this.lesson.title, language()) }));
        } else {
            this.lab.ready().then(() => this.#set(step), () => {});
            this.#outline(step.focus);
            this.say(t('lessons.say', { n: index + 1, of: this.lesson.steps.length }));
        }
        this.updateComplete.then(() => {
            this.renderRoot.querySelector('.lesson')?.scrollTo(0, 0);
            /** @type {HTMLElement | null} */ (this.renderRoot.querySelector('h3'))?.focus({ preventScroll: true });
        });
    }

    /** What was found out and trained before does not count, also when the lesson is begun again. */
    #begin() {
        const lab = /** @type {any} */ (this.lab);
        delete lab.lesson_facts;
        this.#before = new Set(lab.runs);
    }

    /** @param {import('../lib/lessons.js').Step} step */
    async #set(step) {
        if (!this.lesson) return;
        this.#putBack ??= keepSettings(this.lab, this.lesson); // of several lessons one after the other, what was before the first
        const settings = settingsOf(step);
        if (!settings) return;
        this.lab.set(settings);
        await this.lab.during(null, async () => {}); // what set() began
        if (step === this.step) this.#show(step.focus); // parts of the page went with the weights that were in the model
    }

    /** Ends the lesson: the settings and weights from before are in force again. */
    async leave() {
        const back = this.#putBack;
        this.#putBack = null;
        await back?.().catch(() => {}); // failures are shown by the page
    }

    /** The part of the page that a step talks about. @param {string | undefined} name @returns {HTMLElement | null} */
    #part(name) {
        const root = /** @type {ParentNode} */ (playgroundAround(this)?.renderRoot ?? document);
        const parts = name && FOCUS[name] ? [.../** @type {NodeListOf<HTMLElement>} */ (root.querySelectorAll(FOCUS[name]))] : [];
        // On a phone, what trains is in the bar, which is in sight.
        return parts.find((part) => name === 'train' && part.hasAttribute('compact') && part.checkVisibility()) ?? parts[0] ?? null;
    }

    /** Brings it where it can be seen beside this player. @param {string | undefined} name */
    async #show(name) {
        await this.updateComplete; // the player's new height
        const part = this.#part(name);
        if (!part) return;
        const around = playgroundAround(this);
        const covered = around?.renderRoot.querySelector('.foot')?.offsetHeight ?? 0;
        part.style.scrollMargin = `${EDGE}px 0 ${covered + EDGE}px`;
        const fits = part.offsetHeight <= innerHeight - covered - 2 * EDGE;
        part.scrollIntoView({ block: fits ? 'nearest' : 'start', behavior: quiet() ? 'auto' : 'smooth' });
    }

    /** Brings a part of the player itself out from under the row of its buttons. @param {string} selector */
    #bring(selector) {
        const box = this.renderRoot.querySelector('.lesson');
        const under = this.renderRoot.querySelector('.go')?.getBoundingClientRect().top ?? 0;
        const bottom = this.renderRoot.querySelector(selector)?.getBoundingClientRect().bottom ?? 0;
        if (this.docked && bottom > under) box?.scrollBy(0, bottom - under + EDGE);
    }

    /** Shows and outlines it. @param {string | undefined} name */
    #outline(name) {
        const part = this.#part(name);
        if (!part) return;
        this.#show(name);
        const lit = { outline: '3px solid var(--accent)', outlineOffset: '2px' };
        const faded = { outline: '3px solid transparent', outlineOffset: '2px' };
        part.animate([lit, { ...lit, offset: 0.9 }, faded], { duration: quiet() ? 1500 : 2500 });
        this.fire('peft-focus', { name });
    }

    async #act() {
        const { step } = this;
        if (!step?.do) return;
        this.problem = null;
        this.#outline(step.focus);
        try {
            await this.lab.ready();
            await ACTIONS[step.do](this.lab);
        } catch (thrown) {
            if (PeftLabError.from(thrown).code !== 'aborted') this.problem = saidHere(this, thrown);
        }
        this.requestUpdate();
    }

    /** @param {Event} event */
    #answer(event) {
        event.preventDefault();
        const check = this.step?.check;
        if (!check || this.given === '') return;
        const known = facts(this.lab);
        const right = (check.choices ? [Number(this.given)] : numbersOf(this.given)).some((number) => isRight(check, known, number));
        this.verdict = right ? 'right' : 'wrong';
        this.updateComplete.then(() => this.#bring('[role="status"]'));
        this.fire('peft-answer', { lesson: this.lesson?.id, step: this.at, right });
    }

    /** @param {string} path @param {any} known */
    #fact(path, known) {
        const value = at(known, path);
        if (typeof value !== 'number') return nothing;
        const text = path === 'run.share' ? percent(100 * value)
            : path === 'counts.percent' ? percent(value)
            : Number.isInteger(value) ? count(value) : significant(value, 4);
        return html`<div><dt>${hasText(`lessons.fact.${path}`) ? t(`lessons.fact.${path}`) : path}</dt>
            <dd>${this.value(text, 'measured')}</dd></div>`;
    }

    /** @param {import('../lib/lessons.js').Check} check @param {boolean} open */
    #check(check, open) {
        const right = this.verdict === 'right';
        const words = (/** @type {any} */ choice) => say(choice?.text ?? choice, language());
        return html`<form @submit=${this.#answer}><fieldset ?disabled=${!open}><legend>${say(check.question, language())}</legend>
            ${check.choices
                ? check.choices.map((choice, i) => html`<label class="choice"><input type="radio" name="answer"
                    value=${String(i)} .checked=${this.given === String(i)}
                    @change=${() => Object.assign(this, { given: String(i), verdict: '' })}>${words(choice)}</label>`)
                : html`<label>${t('lessons.number')} <input type="text" inputmode="decimal" .value=${this.given}
                    @input=${(/** @type {any} */ e) => Object.assign(this, { given: e.target.value, verdict: '' })}></label>`}</fieldset>
            <div class="row"><button ?disabled=${!open || this.given === ''}>${t('lessons.check')}</button>
            <span role="status">${this.verdict ? this.#verdict(right, say((right ? check.right : check.wrong) ?? '', language())) : nothing}
            </span></div></form>`;
    }

    /** The lesson's own words say themselves what is right ("Yes: …"). @param {boolean} right @param {string} words */
    #verdict(right, words) {
        return right ? html`<span class="right">✓ ${words ? nothing : t('lessons.right')}</span>${words}`
            : html`<span class="wrong">✗ ${t('lessons.wrong')}</span> ${words}`;
    }

    render() {
        const { lesson, step } = this;
        if (!lesson) return this.problem ? html`<p class="warn" role="alert">${wrong(this.problem)}</p>` : nothing;
        const words = say(lesson.title, language());
        if (!step) {
            return html`<div class="card lesson stack"><h3 tabindex="-1">${t('lessons.done', { title: words })}</h3><div class="row">
                <button type="button" @click=${() => this.go(0)}>${t('lessons.again')}</button>
                ${this.docked ? html`<button type="button" class=${this.following ? '' : 'primary'}
                    @click=${this.#close}>${t('lessons.leave')}</button>
                    ${this.following ? this.#goOn(this.following) : nothing}` : nothing}
                </div></div>`;
        }
        const known = facts(this.lab);
        const busy = BUSY.includes(this.lab.status);
        const met = this.#holds(step, known);
        const open = met && (!step.check || this.verdict === 'right');
        return html`<div class="card lesson stack"><div class="head">
            <h3 tabindex="-1">${words} – ${t('lessons.step', { n: this.at + 1, of: lesson.steps.length })}</h3>
            <progress max=${lesson.steps.length} .value=${this.at} aria-label=${t('lessons.progress')}></progress>
            ${this.docked ? this.#dockButtons() : nothing}</div>
            ${this.folded ? nothing : this.#body(step, known, { busy, met, open })}</div>`;
    }

    /** The settings are not those of the step (any more). @param {import('../lib/lessons.js').Step} step */
    #altered(step) {
        const { lab } = this;
        const wanted = read(settingsOf(step) ?? {}).state;
        const other = (/** @type {any} */ a, /** @type {any} */ b) => JSON.stringify(a) !== JSON.stringify(b);
        return Object.keys(wanted).some((key) => (key in lab.train_options
            ? other(trainOptions(lab.preset, { ...lab.state, [key]: wanted[key] })[key], lab.train_options[key])
            : other(wanted[key], lab.state[key])));
    }

    /** What the step waits for, where it can be told. @param {import('../lib/lessons.js').Step} step */
    #waiting(step) {
        return this.#altered(step)
            ? html`<span class="small" role="status">${t('lessons.altered')}</span>
                <button type="button" @click=${() => this.#set(step)}>${t('lessons.set_again')}</button>`
            : html`<span class="small muted">${step.do ? t('lessons.waiting') : nothing}</span>`;
    }

    #close() { this.fire('peft-lesson-leave'); }

    /** @param {import('../lib/lessons.js').Lesson} lesson */
    #goOn(lesson) {
        const go = () => {
            this.fire('peft-lesson', { lesson });
            this.lab.set({ lesson: lesson.id });
        };
        return html`<button type="button" class="primary" @click=${go}>${t('lessons.following', { title: say(lesson.title, language()) })}</button>`;
    }

    #dockButtons() {
        const { folded } = this;
        return html`<button type="button" class="fold" aria-expanded=${!folded}
            aria-label=${t('lessons.text')} title=${t('lessons.text')}
            @click=${() => { this.folded = !folded; }}>${folded ? '▴' : '▾'}</button>
            <button type="button" class="fold" aria-label=${t('lessons.leave')} title=${t('lessons.leave.about')} @click=${this.#close}>✕</button>`;
    }

    /**
     * @param {import('../lib/lessons.js').Step} step @param {any} known facts
     * @param {{busy: boolean, met: boolean, open: boolean}} now met: the step's condition holds; open: the next step may come
     */
    #body(step, known, { busy, met, open }) {
        const { steps } = /** @type {import('../lib/lessons.js').Lesson} */ (this.lesson);
        return html`<div class="body"><div class="stack"><p>${say(step.text, language())}</p>
            ${step.set ? html`<p class="small muted">${t('lessons.sets', { settings: this.#settings(step.set) })}</p>` : nothing}
            ${this.problem ? html`<p class="warn" role="alert">${wrong(this.problem)}</p>` : nothing}
            ${step.do ? html`<div class="row">
                <button type="button" class=${met ? '' : 'primary'} ?disabled=${busy}
                    @click=${this.#act}>${t(`lessons.do.${step.do}`)}</button>
                ${this.#progress(known)}</div>` : nothing}
            ${step.focus === 'counter' && !this.#part('counter') // a quiz alone asks for what only the counter shows
                ? html`<peft-counter theme=${this.theme ?? nothing} .lab=${this.lab}></peft-counter>` : nothing}
            ${met && step.show ? html`<dl class="facts">${step.show.map((path) => this.#fact(path, known))}</dl>` : nothing}</div>
            ${step.check ? html`<div class="stack">${this.#check(step.check, met)}</div>` : nothing}
            <div class="row go"><button type="button" ?disabled=${this.at === 0}
                @click=${() => this.go(this.at - 1)}>${t('lessons.back')}</button>
                <button type="button" class=${open ? 'primary' : ''} ?disabled=${!open}
                    @click=${() => this.go(this.at + 1)}>${t(this.at + 1 === steps.length ? 'lessons.finish' : 'lessons.next')}</button>
                ${open ? nothing
                    : html`<button type="button" class="link"
                        @click=${() => this.go(this.at + 1)}>${t('lessons.skip')}</button>`}
                ${met || busy ? nothing : this.#waiting(step)}</div></div>`;
    }

    /** @param {any} known facts */
    #progress({ progress = null }) {
        const { status, run } = this.lab;
        const now = status === 'training' ? { step: run?.losses.length ?? 0, steps: run?.train.steps ?? 0 } : status === 'busy' ? progress : null;
        return now ? html`<span class="small num">${t('train.progress', now)}</span>` : nothing;
    }

    /** @param {Record<string, any>} set */
    #settings({ method, task, options = {}, ...rest }) {
        const name = (/** @type {string} */ key) => (hasText(`settings.${key}`) ? t(`settings.${key}`) : key);
        const given = Object.keys(options).length > 0;
        return [
            method && t(`method.${method}`), given && settingsText(options), method && !given && t('lessons.preset'),
            task && t(`task.${task}`), ...Object.entries(rest).map(([key, value]) => `${name(key)} ${value}`),
        ].filter(Boolean).join(' · ');
    }
}
define('peft-lesson', PeftLesson);
define('peft-quiz', class extends PeftLesson {}); // a lesson whose steps only ask
