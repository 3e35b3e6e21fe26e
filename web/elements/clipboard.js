/** Text for other places: code with a button that copies it. */
import { html, nothing, t } from './base.js';

/** @param {string} text @returns {Promise<boolean>} false where the browser does not allow it */
export async function copy(text) {
    try {
        await navigator.clipboard.writeText(text);
        return true;
    } catch {
        return false;
    }
}

/**
 * Code that can be read, scrolled and copied. The host needs `copied` among its reactive properties: the label of what was copied last.
 * @param {any} host @param {string} label @param {string} code
 */
export function codeBlock(host, label, code) {
    const take = async () => {
        const done = await copy(code);
        host.copied = done ? label : `-${label}`;
        host.say(t(done ? 'export.copied' : 'export.copy_failed'));
    };
    const note = host.copied === label ? t('export.copied') : host.copied === `-${label}` ? t('export.copy_failed') : '';
    return html`<div class="code"><div class="row"><span class="grow small muted">${label}</span>
        ${note ? html`<span class="small" role="status">${note}</span>` : nothing}
        <button type="button" class="small" @click=${take}>${t('export.copy')}<span class="sr"> ${label}</span></button></div>
        <pre tabindex="0" role="region" aria-label=${label}><code>${code}</code></pre></div>`;
}
