/** <peft-panel-lessons>: the lessons to choose from, a teacher's own file, and the player. Settings: lesson (also in links). */
import { css, define, html, LabElement, nothing, playgroundAround, t } from './base.js';
import './file-button.js';
import { lessonNamed, ownLessons } from './lesson-files.js';
import { finished } from './lesson-player.js';
import { language } from '../lib/i18n.js';
import { readLesson, say } from '../lib/lessons.js';
import { correction } from '../lib/store.js';

const LARGEST = 1_000_000;

class PeftPanelLessons extends LabElement {
    static watch = ['state'];
    static properties = { lessons: { state: true }, chosen: { state: true }, problem: { state: true } };
    static styles = [LabElement.styles, css`
        .list { display: grid; gap: 10px; grid-template-columns: repeat(auto-fill, minmax(min(100%, 230px), 1fr)); }
        .card { display: grid; gap: 6px; align-content: start; }
        .warn { background: var(--warn-soft); padding: 8px 10px; border-radius: 6px; }
    `];

    #all = ownLessons();

    constructor() {
        super();
        /** @type {import('../lib/lessons.js').Lesson[]} */
        this.lessons = [];
        /** @type {import('../lib/lessons.js').Lesson | null} */
        this.chosen = null;
        this.problem = '';
    }

    connectedCallback() {
        super.connectedCallback();
        this.#all.then((all) => {
            this.lessons = all;
            this.#fromState();
        });
    }

    /** With the lessons: it has its height then. */
    async getUpdateComplete() {
        await this.#all;
        return super.getUpdateComplete();
    }

    /** @param {string} type @param {any} detail */
    onLab(type, detail) {
        super.onLab(type, detail);
        if (type === 'state' && detail.includes('lesson')) this.#fromState();
    }

    #fromState() {
        const { lesson } = this.lab.state;
        const named = lesson && lesson !== this.chosen?.id ? lessonNamed(this.lessons, lesson) : null;
        if (lesson && this.lessons.length && !lessonNamed(this.lessons, lesson)) {
            this.lab.tell([correction('absent', 'lesson', lesson)]);
            this.lab.set({ lesson: '' });
        }
        if (named && this.isConnected && playgroundAround(this)?.lesson?.id !== named.id) this.#choose(named);
    }

    /**
     * In the playground the lesson is played in the bar that stays on the screen, alone here.
     * @param {import('../lib/lessons.js').Lesson} lesson
     */
    #choose(lesson) {
        const { id } = this.lessons.includes(lesson) ? lesson : { id: '' };
        if (!playgroundAround(this)) {
            this.chosen = lesson;
            this.lab.set({ lesson: id });
            return;
        }
        this.fire('peft-lesson', { lesson });
        this.lab.set({ lesson: id, panel: '' });
    }

    #back() {
        /** @type {import('./lesson-player.js').PeftLesson | null} */ (this.renderRoot.querySelector('peft-lesson'))?.leave();
        this.chosen = null;
        this.lab.set({ lesson: '' });
    }

    /** @param {File | undefined} file */
    async #own(file) {
        if (!file) return;
        try {
            if (file.size > LARGEST) throw new Error(t('lessons.large'));
            this.problem = '';
            this.#choose(readLesson(JSON.parse(await file.text())));
        } catch (error) {
            this.problem = t('lessons.unreadable', { why: /** @type {Error} */ (error).message });
        }
    }

    render() {
        const { chosen } = this;
        if (chosen) {
            return html`<div class="stack"><div class="row"><h2>${t('lessons.title')}</h2>
                <button type="button" class="link" @click=${() => this.#back()}>${t('lessons.all')}</button></div>
                <peft-lesson .lab=${this.lab} .lesson=${chosen}></peft-lesson></div>`;
        }
        return html`<div class="stack"><h2>${t('lessons.title')}</h2><p>${t('lessons.about')}</p>
            <div class="list">${this.lessons.map((lesson, i) => {
                const title = say(lesson.title, language());
                const mark = finished.has(lesson.id) ? html` <span aria-label=${t('lessons.finished')} role="img">✓</span>` : nothing;
                const size = { n: lesson.minutes ?? lesson.steps.length, steps: lesson.steps.length };
                return html`<div class="card"><h3>${i + 1}. ${title}${mark}</h3>
                    <p class="small">${say(lesson.about ?? '', language())}</p><p class="small muted">${t('lessons.minutes', size)}</p>
                    <button type="button" class=${i === 0 ? 'primary' : ''}
                        @click=${() => this.#choose(lesson)}>${t('lessons.start')}<span class="sr">: ${title}</span></button></div>`;
            })}</div>
            <peft-file class="small" theme=${this.theme ?? nothing} .lab=${this.lab} .label=${t('lessons.own')}
                .accept=${'.json,application/json'} .pick=${(/** @type {File[]} */ [file]) => this.#own(file)}></peft-file>
            ${this.problem ? html`<p class="warn" role="alert">${this.problem}</p>` : nothing}</div>`;
    }
}
define('peft-panel-lessons', PeftPanelLessons);
