/** Share and embed: a link to the settings, with what students may not see or change, and code for other places. */
import { html, nothing, t } from './base.js';
import { codeBlock } from './clipboard.js';
import { attributesOf, embedCode, onlyHere } from '../lib/embed.js';
import { panelNames } from './panels.js';
import { place } from '../lib/site.js';
import { toLink } from '../lib/store.js';

/** Controls by the names that `hide` and `lock` know. */
const CONTROLS = Object.freeze([
    'method', 'task', 'rank', 'alpha', 'target_modules', 'steps', 'lr', 'batch_size', 'seed', 'prompt', 'model', 'shape',
]);

/** @param {any} host with reactive `hide`, `lock` (string[]), `element` and `copied` */
export function sharing(host) {
    const { lab } = host;
    const state = { ...lab.state, hide: host.hide, lock: host.lock, panel: '', theme: '', lang: lab.state.lang };
    if (state.task === 'own-data') delete state.task;
    const link = toLink(state);
    const { folder, page, single } = place();
    const here = single ? 'file' : onlyHere(folder);
    const toggle = (/** @type {'hide' | 'lock'} */ list, /** @type {string} */ name, /** @type {boolean} */ on) => {
        host[list] = on ? [...host[list], name] : host[list].filter((/** @type {string} */ other) => other !== name);
    };
    const box = (/** @type {'hide' | 'lock'} */ list, /** @type {string} */ name) =>
        html`<td><input type="checkbox" aria-label="${t(`export.${list}`)}: ${t(`export.control.${name}`)}"
            .checked=${host[list].includes(name)}
            @change=${(/** @type {any} */ e) => toggle(list, name, e.target.checked)}></td>`;
    return html`<section class="stack"><h3>${t('export.share')}</h3><p class="small">${t('export.share.about')}</p>
        <details><summary>${t('export.teacher')}</summary>
            <div class="scroll" tabindex="0" role="region" aria-label=${t('export.teacher')}><table class="narrow">
            <thead><tr>
                <th scope="col">${t('export.control')}</th><th scope="col">${t('export.hide')}</th>
                <th scope="col">${t('export.lock')}</th></tr></thead>
            <tbody>${CONTROLS.map((name) => html`<tr>
                <th scope="row">${t(`export.control.${name}`)}</th>
                ${box('hide', name)}${box('lock', name)}
            </tr>`)}</tbody></table></div></details>
        ${codeBlock(host, t('export.link'), `${page}${link}`)}
        ${lab.state.task === 'own-data' ? html`<p class="small muted">${t('export.link.own')}</p>` : nothing}
        <h3>${t('export.embed')}</h3>${here ? html`<p class="small warn" id="only-here">${t(`export.embed.${here}`)}</p>` : nothing}
        <p><label>${t('export.embed.what')} <select @change=${(/** @type {any} */ e) => { host.element = e.target.value; }}>
            <option value="playground">${t('export.embed.page')}</option>
            ${panelNames().map((name) =>
                html`<option value=${name} ?selected=${host.element === name}>${t(`panel.${name}`)}</option>`)}</select></label></p>
        ${embedCode({ page: folder, element: host.element, link, settings: attributesOf(state) }).map(({ id, code }) => html`<details
            ?open=${id === 'iframe'}><summary>${t(`export.embed.${id}`)}</summary>
            <p class="small muted">${t(`export.embed.${id}.about`)}</p>
            ${codeBlock(host, t(`export.embed.${id}`), code)}</details>`)}</section>`;
}
