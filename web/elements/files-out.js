/** Files out of the page and text onto the clipboard. */

/** @param {string} name @param {Uint8Array | string} content @param {string} [type] */
export function download(name, content, type = 'application/octet-stream') {
    const url = URL.createObjectURL(new Blob([/** @type {BlobPart} */ (content)], { type }));
    const link = Object.assign(document.createElement('a'), { href: url, download: name });
    document.body.append(link); // Firefox ignores a click on a link outside the document
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

/** @param {string} text @returns {Promise<boolean>} false where the browser does not allow it */
export async function copy(text) {
    try {
        await navigator.clipboard.writeText(text);
        return true;
    } catch {
        return false;
    }
}
