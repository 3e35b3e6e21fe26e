/** The lessons that come with the page. */
import { readLesson } from '../lib/lessons.js';

const files = import.meta.glob('../content/lessons/*.json', { import: 'default' });
const ORDER = ['first-run', 'few-numbers', 'merging', 'comparing', 'over-fitting', 'combining'];

/** In the order to take them in; others stand behind these. @returns {Promise<import('../lib/lessons.js').Lesson[]>} */
export async function ownLessons() {
    const place = (/** @type {{id: string}} */ { id }) => (ORDER.includes(id) ? ORDER.indexOf(id) : ORDER.length);
    const all = await Promise.all(Object.values(files).map((load) => load()));
    return all.map(readLesson).sort((a, b) => place(a) - place(b));
}

/** By its id, or its number from 1. @param {import('../lib/lessons.js').Lesson[]} lessons @param {string} name */
export const lessonNamed = (lessons, name) => lessons.find(({ id }, i) => id === name || String(i + 1) === name);
