import { setTimeout as sleep } from 'node:timers/promises';

/**
 * Waits until a tab shows the document that it was sent to, all of it. Firefox's and WebKit's drivers take a page that writes its own
 * address anew, while it is being left, for the end of the way: the next address asked for could then be a mere place in the old
 * page, what was asked for first would come after it, and what comes last in the new page would not be there.
 * @param {(expression: string) => Promise<any>} evaluate @param {string} url its part after "#" may change at once: pages do that
 */
export async function arrived(evaluate, url) {
  const [wanted] = new URL(url).href.split('#');
  let at = 'nowhere';
  for (const end = Date.now() + 120_000; Date.now() < end; await sleep(30)) {
    at = await evaluate("[document.readyState, location.href].join(' ')").catch((error) => `nowhere: ${error.message}`);
    if (at.split('#')[0] === `complete ${wanted}`) return;
  }
  throw new Error(`asked for ${url}, and still at ${at}`);
}
