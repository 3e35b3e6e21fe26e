/** The chapter's decision tree as a drawing that lights up with the answers. */
import { html, svg, t } from './base.js';
import { bookWords } from '../lib/engine-words.js';

const ROW = 76;
const WIDTH = 420;

/** @param {string} text @param {number} most characters per line @returns {string[]} */
function lines(text, most) {
    const out = [''];
    for (const word of text.split(' ')) {
        if (out[out.length - 1] && `${out[out.length - 1]} ${word}`.length > most) out.push(word);
        else out[out.length - 1] = `${out[out.length - 1]} ${word}`.trim();
    }
    return out.slice(0, 3);
}

/** @param {number} x @param {number} y @param {string[]} text @param {string} kind */
const label = (x, y, text, kind) => text.map((line, i) => svg`<text x=${x} y=${y + (i - (text.length - 1) / 2) * 15}
    class=${kind} text-anchor="middle" dominant-baseline="central">${line}</text>`);

/**
 * @param {{key: string, question: string | null, quote: string}[]} tree the last node is the default
 * @param {Record<string, string>} answers "yes" or "no" by key
 * @param {(key: string) => string} words the question as the page asks it
 */
export function drawTree(tree, answers, words) {
    let reached = true;
    const nodes = tree.map((node, i) => {
        const y = 30 + i * ROW;
        const lit = reached;
        const answer = node.question ? answers[node.key] : undefined;
        const yes = lit && answer === 'yes';
        const last = i === tree.length - 1;
        reached = lit && answer === 'no';
        const on = (/** @type {boolean} */ value) => (value ? 'on' : '');
        if (last) {
            return svg`<g class="node result ${on(lit)}">
                <rect x="22" y=${y - 24} width="196" height="48" rx="24"></rect>
                ${label(120, y, lines(bookWords(node.quote).text, 26), '')}</g>`;
        }
        const advice = lines(bookWords(node.quote).text, 20);
        const half = advice.length > 2 ? 29 : 22;
        return svg`<path class="edge ${on(reached)}" d="M120 ${y + 26} V${y + ROW - 26}"></path>
            <text x="128" y=${y + 42} class="small ${on(reached)}">${t('choose.no')}</text>
            <path class="edge ${on(yes)}" d="M218 ${y} H262"></path>
            <text x="240" y=${y - 7} class="small ${on(yes)}" text-anchor="middle">${t('choose.yes')}</text>
            <g class="node ${on(lit)}">
                <rect x="22" y=${y - 26} width="196" height="52" rx="8"></rect>
                ${label(120, y, lines(words(node.key), 26), '')}</g>
            <g class="node result ${on(yes)}">
                <rect x="262" y=${y - half} width="152" height=${2 * half} rx="22"></rect>
                ${label(338, y, advice, '')}</g>`;
    });
    return html`<svg viewBox="0 0 ${WIDTH} ${ROW * tree.length - 8}" role="img" aria-label=${t('choose.tree')} class="tree">${nodes}</svg>`;
}
