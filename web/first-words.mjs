// The recorded run's words as part of index.html: they are there to read before any code has come, and where scripts are off.
import { readFile } from 'node:fs/promises';

const PLACE = '<!-- first words -->';
const escaped = (/** @type {string} */ text) => text.trim().replace(/[&<>"]/g, (character) => `&#${character.charCodeAt(0)};`);

/** @returns {import('vite').Plugin} */
export function firstWords() {
  return {
    name: 'peftlab-first-words',
    transformIndexHtml: {
      order: 'pre',
      async handler(html) {
        if (!html.includes(PLACE)) return html;
        const { run: { method, train, sample } } = JSON.parse(await readFile(new URL('./content/recorded/first-run.json', import.meta.url), 'utf8'));
        return html.replace(PLACE, () => `<h2>A recorded run: ${escaped(method === 'lora' ? 'LoRA' : method)}, ${train.steps} steps</h2>
      <p>Prompt: ${escaped(sample.prompt)}</p>
      <h3>Before training</h3><blockquote>${escaped(sample.before)}</blockquote>
      <h3>After training</h3><blockquote>${escaped(sample.after)}</blockquote>`);
      },
    },
  };
}
