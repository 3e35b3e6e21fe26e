// The page's budgets (qa-budgets.test.mjs holds them loosely, as a test must on any machine): a cold visit with a processor slowed down four times.
import { buildSite } from '../browser/lib/qa-site.mjs';
import { measureStart } from '../browser/lib/startup.mjs';

/** @param {(figure: import('./run.mjs').Figure) => void} report @param {number} rounds */
export async function benchPage(report, rounds) {
  const built = await buildSite();
  try {
    const { url } = await built.serve();
    const visits = [];
    for (let i = 0; i < rounds; i++) visits.push(await measureStart(url));
    const best = (/** @type {'paint' | 'meaningful' | 'drawn' | 'ready'} */ name) => Math.min(...visits.map((visit) => visit[name]));
    report({ name: 'page, 4x slower: first contentful paint', value: best('paint'), unit: 'ms' });
    report({ name: 'page, 4x slower: recorded run to read', value: best('meaningful'), unit: 'ms', want: '< 1000', good: best('meaningful') < 1000 });
    report({ name: 'page, 4x slower: the page drawn', value: best('drawn'), unit: 'ms' });
    report({ name: 'page, 4x slower: ready to train', value: best('ready'), unit: 'ms', want: '< 2500', good: best('ready') < 2500 });
  } finally {
    await built.close();
  }
}
