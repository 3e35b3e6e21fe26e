/** Where the site lies: for links, and for code that is pasted into other places. */

let script = '';

/** Where the code of an all-in-one file came from: the library, the notebook module, or the single-file page itself. @param {string} url */
export function cameFrom(url) {
    script = url;
}

const bare = (/** @type {string} */ url) => url.replace(/[?#].*$/, '');

/**
 * The folder with embed.html, peftlab-elements.js and anywidget.mjs, and the address to which a permalink is added.
 * @returns {{folder: string, page: string, single: boolean}} single: the one-file page, which has no such folder
 */
export function place() {
    const here = bare(document.baseURI);
    const from = bare(script);
    if (from === here) return { folder: new URL('.', here).href, page: here, single: true };
    // An element in somebody else's page: the site is where the library was fetched from.
    const folder = new URL('.', /^https?:.*\/(peftlab-elements\.js|anywidget\.mjs)$/.test(from) ? from : here).href;
    return { folder, page: folder, single: false };
}
