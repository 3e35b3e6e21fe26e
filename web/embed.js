/**
 * One element in a frame of somebody else's page: embed.html?element=calculator&allow=https://school.example#v=1&m=lora&r=8
 * element: playground (default), counter, diagram, train, loss, quiz, or a panel's name. The settings are a
 * permalink's, after the #. adapter=pirate-lora: a ready adapter of models/index.json, for an element alone. A quiz
 * plays one lesson: that of the settings (#v=1&lesson=merging), or src=ADDRESS of its JSON. The height is posted to
 * the host in two forms: {type: 'peft:height', height} and the LTI convention that Canvas and Sakai honour.
 */
import './elements/playground.js';
import { getLab } from './elements/labs.js';
import { hasPanel, loadPanel, panelNames, panelOf } from './elements/panels.js';
import { useLanguage } from './elements/texts.js';
import { t } from './lib/i18n.js';
import { messageHandler, readOrigins } from './lib/messages.js';
import { fromLink } from './lib/store.js';

const PLAIN = Object.freeze({
    playground: 'peft-playground', counter: 'peft-counter', diagram: 'peft-diagram', train: 'peft-train',
    loss: 'peft-loss',
});
const lab = getLab();
const parameters = new URLSearchParams(location.search);
const place = /** @type {HTMLElement} */ (document.getElementById('place'));

/** @returns {Promise<HTMLElement>} */
async function makeQuiz() {
    await loadPanel('lessons');
    const quiz = /** @type {any} */ (document.createElement('peft-quiz'));
    const src = parameters.get('src');
    if (src) return Object.assign(quiz, { src });
    const { lessonNamed, ownLessons } = await import('./elements/lesson-files.js');
    const lessons = await ownLessons();
    return Object.assign(quiz, { lesson: lessonNamed(lessons, lab.state.lesson) ?? lessons[0] });
}

/** @param {string} name @returns {Promise<HTMLElement>} */
async function make(name) {
    if (Object.hasOwn(PLAIN, name)) return document.createElement(/** @type {Record<string, string>} */ (PLAIN)[name]);
    if (name === 'quiz') return makeQuiz();
    if (hasPanel(panelOf(name))) return document.createElement(await loadPanel(panelOf(name)));
    const note = document.createElement('p');
    note.lang = await useLanguage(lab.state.lang);
    note.textContent = t('embed.none', { name: name.slice(0, 40), names: [...Object.keys(PLAIN), 'quiz', 'coach', ...panelNames()].join(', ') });
    return note;
}

const { state } = fromLink(location.hash);
lab.set(state);
if (state.theme) document.documentElement.dataset.theme = state.theme;
const element = await make((parameters.get('element') ?? 'playground').replace(/^(peft-)?(panel-)?/, '')); // a tag's name, too
const adapter = parameters.get('adapter');
if (adapter) element.setAttribute('adapter', adapter);
place.replaceChildren(element);
// failures are shown by the elements
if (!(element instanceof HTMLParagraphElement) && element.localName !== 'peft-playground') lab.start().catch(() => {});

if (parent !== window) {
    const handle = messageHandler({ lab, allow: readOrigins(parameters.get('allow')) });
    addEventListener('message', ({ source, origin, data }) => {
        const answer = source === parent ? handle({ origin, data }) : null;
        if (answer) parent.postMessage(answer, origin);
    });
    let last = 0;
    new ResizeObserver(() => {
        // The element's own height: the document is never lower than the frame, so a host that follows could only ever grow it.
        const height = Math.ceil(place.getBoundingClientRect().bottom + scrollY);
        if (Math.abs(height - last) < 2) return;
        last = height;
        // A height tells the host nothing it cannot see, so any host may have it.
        parent.postMessage({ type: 'peft:height', height }, '*');
        parent.postMessage(JSON.stringify({ subject: 'lti.frameResize', height }), '*');
    }).observe(place);
}
