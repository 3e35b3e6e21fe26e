/** <peft-toolbar>: title, level, language, theme, link, undo, shortcuts. */
import { css, define, html, LabElement, nothing, t } from './base.js';
import { LANGUAGES, language } from '../lib/i18n.js';
import { LEVELS, toLink } from '../lib/store.js';
import { panelButton } from './panels.js';

/** Signs for a phone, where words have no room. */
const UNDO = html`<svg class="sign" viewBox="0 0 20 20" aria-hidden="true"><path d="M8 4 4 8l4 4M4 8h7a4.5 4.5 0 0 1 0 9H8"></path></svg>`;
const LINK = html`<svg class="sign" viewBox="0 0 20 20" aria-hidden="true"><path d=${[
    'M8.5 11.5a3.2 3.2 0 0 0 4.6 0l2.8-2.8a3.2 3.2 0 0 0-4.6-4.6l-1 1',
    'M11.5 8.5a3.2 3.2 0 0 0-4.6 0l-2.8 2.8a3.2 3.2 0 0 0 4.6 4.6l1-1',
].join(' ')}></path></svg>`;
const THEMES = /** @type {Record<string, string>} */ ({ '': '◐', light: '○', dark: '●' });
const SHORTCUTS = ['train', 'step', 'merge', 'methods', 'undo', 'sliders', 'help'];

class PeftToolbar extends LabElement {
    static styles = [LabElement.styles, css`
        header { display: flex; flex-wrap: wrap; gap: 8px 12px; align-items: center; justify-content: flex-end; }
        h1 { font-size: 1.25rem; margin-inline-end: auto; }
        fieldset {
            display: flex; border: 1px solid var(--line-strong); border-radius: 99px; overflow: hidden;
            background: var(--raised);
        }
        fieldset label {
            position: relative; padding: 6px 13px; font-size: .9rem; cursor: pointer; min-height: 36px;
            display: flex; align-items: center;
        }
        fieldset label + label { border-inline-start: 1px solid var(--line); }
        fieldset label.on { background: var(--accent); color: var(--on-accent); font-weight: 600; }
        @media (forced-colors: active) {
            fieldset label.on {
                forced-color-adjust: none; box-shadow: none; border: 3px solid Highlight; border-radius: 99px;
                background: Highlight; color: HighlightText;
            }
        }
        fieldset label:focus-within {
            outline: 3px solid var(--accent); outline-offset: -3px; box-shadow: inset 0 0 0 5px var(--raised);
        }
        fieldset input { position: absolute; inset: 0; width: 100%; height: 100%; opacity: 0; cursor: pointer; }
        select { min-height: 36px; padding: 2px 6px; }
        .sign { width: 20px; height: 20px; fill: none; stroke: currentColor; stroke-width: 1.8; vertical-align: middle; }
        .sign, .pick > span { display: none; }
        dialog {
            color: var(--text); background: var(--surface); border: 1px solid var(--line-strong); border-radius: var(--radius);
            max-width: min(92vw, 440px);
        }
        dialog ul { padding-inline-start: 1.2em; margin-block: 10px; }
        dialog::backdrop { background: rgb(0 0 0 / .45); }
        @media (pointer: coarse) { fieldset label, select { min-height: 44px; } }
        /* A phone: the title, the levels, and one row of the rest, as signs. */
        @media (max-width: 520px) {
            header { gap: 6px; justify-content: flex-start; font-size: .92rem; } h1 { flex-basis: 100%; }
            header button { padding-inline: 8px; } header button, .pick { flex: 1 0 auto; }
            fieldset { flex: 1 1 100%; } fieldset label { flex: 1 1 auto; justify-content: center; }
            .sign, .pick > span { display: inline; }
            .words { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
            .pick {
                position: relative; display: grid; place-items: center; align-self: stretch; min-width: 36px; border: 1px solid var(--line-strong);
                border-radius: 6px; background: var(--raised);
            }
            .pick select { position: absolute; inset: 0; width: 100%; height: 100%; opacity: 0; cursor: pointer; }
            .pick:focus-within { outline: 3px solid var(--accent); outline-offset: 2px; }
        }
        @media (max-width: 520px) and (pointer: coarse) { .pick { min-width: 44px; } .keys { display: none; } } /* no keyboard, no shortcuts */
    `];
    static watch = ['state', 'status', 'ready', 'run'];

    connectedCallback() {
        super.connectedCallback();
        document.addEventListener('keydown', this.#key);
    }

    disconnectedCallback() {
        super.disconnectedCallback();
        document.removeEventListener('keydown', this.#key);
    }

    #key = (/** @type {KeyboardEvent} */ event) => {
        const at = /** @type {HTMLElement} */ (event.composedPath()[0]);
        const typing = at instanceof HTMLElement && at.matches('input, textarea');
        if (event.key === '?' && !this.lab.state.hide.includes('shortcuts') && !typing) this.#help();
    };

    #help() {
        /** @type {HTMLDialogElement | null} */ (this.renderRoot.querySelector('dialog'))?.showModal();
    }

    async #share() {
        history.replaceState(null, '', toLink(this.lab.state));
        const copied = await navigator.clipboard?.writeText(location.href).then(() => true, () => false);
        this.lab.emit('notice', copied ? 'app.share.done' : 'app.share.failed');
    }

    #toggleShortcuts() {
        const { hide } = this.lab.state;
        const others = hide.filter((/** @type {string} */ name) => name !== 'shortcuts');
        this.lab.set({ hide: hide.includes('shortcuts') ? others : [...hide, 'shortcuts'] });
    }

    render() {
        const { lab } = this;
        const { level, theme, hide } = lab.state;
        const levelChoice = (/** @type {string} */ name) => html`<label class=${name === level ? 'on' : ''}><input type="radio" name="level"
            .checked=${name === level} @change=${() => lab.set({ level: name })}>${t(`level.${name}`)}</label>`;
        const languages = Object.entries(LANGUAGES);
        return html`<header><h1>${t('app.title')}</h1>
            ${hide.includes('level') ? nothing
                : html`<fieldset><legend class="sr">${t('app.level')}</legend>${LEVELS.map(levelChoice)}</fieldset>`}
            ${languages.length < 2 ? nothing : html`<label class="pick"><span aria-hidden="true">${language().toUpperCase()}</span><select
                aria-label=${t('app.language')}
                @change=${(/** @type {any} */ e) => lab.set({ lang: e.target.value })}>${languages.map(([code, name]) =>
                    html`<option value=${code} lang=${code} ?selected=${code === language()}>${name}</option>`)}</select></label>`}
            <label class="pick"><span aria-hidden="true">${THEMES[theme]}</span><select aria-label=${t('app.theme')}
                @change=${(/** @type {any} */ e) => lab.set({ theme: e.target.value })}>
                ${['', 'light', 'dark'].map((name) => html`<option value=${name}
                    ?selected=${name === theme}>${t(`theme.${name || 'auto'}`)}</option>`)}</select></label>
            ${panelButton(lab, 'lessons')}
            <button ?disabled=${!lab.canUndo} @click=${() => lab.undo()}>${UNDO}<span class="words">${t('app.undo')}</span></button>
            <button @click=${() => this.#share()}>${LINK}<span class="words">${t('app.share')}</span></button>
            <button class="keys" aria-label=${t('app.help')} @click=${() => this.#help()}>?</button></header>
            <dialog aria-label=${t('shortcuts.title')}><h2>${t('shortcuts.title')}</h2>
                <ul>${SHORTCUTS.map((name) => html`<li>${t(`shortcuts.${name}`)}</li>`)}</ul>
            <div class="row"><label class="row grow"><input type="checkbox" .checked=${!hide.includes('shortcuts')}
                    @change=${() => this.#toggleShortcuts()}> ${t('shortcuts.off')}</label>
                <form method="dialog"><button>${t('app.close')}</button></form></div></dialog>`;
    }
}
define('peft-toolbar', PeftToolbar);
