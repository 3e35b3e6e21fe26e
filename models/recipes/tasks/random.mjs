/** Seeded random choices for the task generators: the same seed gives the same bytes on every machine. */

/** @param {string} text @returns {number} 32-bit FNV-1a hash */
export function hash(text) {
    let h = 0x811c9dc5;
    for (const c of text) h = Math.imul(h ^ c.codePointAt(0), 0x01000193);
    return h >>> 0;
}

/** mulberry32 behind the few draws the generators need. */
export class Random {
    /** @param {string} seed any text, for example "mood/train/1" */
    constructor(seed) {
        this.state = hash(seed);
    }

    /** @returns {number} uniform in [0, 1) */
    next() {
        this.state = (this.state + 0x6d2b79f5) | 0;
        let t = Math.imul(this.state ^ (this.state >>> 15), 1 | this.state);
        t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
        return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
    }

    /** @param {number} n @returns {number} integer in [0, n) */
    below(n) {
        return Math.floor(this.next() * n);
    }

    /** @template T @param {readonly T[]} list @returns {T} */
    pick(list) {
        return list[this.below(list.length)];
    }

    /** @template T @param {readonly T[]} list @returns {T[]} a shuffled copy */
    shuffle(list) {
        const copy = [...list];
        for (let i = copy.length - 1; i > 0; i--) {
            const j = this.below(i + 1);
            [copy[i], copy[j]] = [copy[j], copy[i]];
        }
        return copy;
    }
}

/**
 * Draws `count` different items: `make(i)` is called until it has given that many new ones.
 * @template T
 * @param {number} count
 * @param {(i: number) => T} make
 * @param {(item: T) => string} [key] what must differ
 * @returns {T[]}
 */
export function distinct(count, make, key = (item) => JSON.stringify(item)) {
    const seen = new Set();
    /** @type {T[]} */
    const items = [];
    for (let tries = 0; items.length < count; tries++) {
        if (tries > count * 200) throw new Error(`only ${items.length} of ${count} different items can be made`);
        const item = make(items.length);
        const k = key(item);
        if (!seen.has(k)) {
            seen.add(k);
            items.push(item);
        }
    }
    return items;
}

/** "a" or "an" before a word. @param {string} word */
export function article(word) {
    return /^[aeiou]/.test(word) ? 'an' : 'a';
}

/** @param {string} text */
export function capital(text) {
    return text[0].toUpperCase() + text.slice(1);
}

/**
 * Fills "{key}" in a template. "{a key}" puts the article before it, "{Key}" the value with a capital.
 * @param {string} template
 * @param {Record<string, string>} values
 */
export function fill(template, values) {
    return template.replace(/\{(an? )?(\w+)\}/g, (whole, an, key) => {
        const value = values[key] ?? (values[key.toLowerCase()] && capital(values[key.toLowerCase()]));
        if (value === undefined) throw new Error(`no value for ${whole} in "${template}"`);
        return an ? `${article(value)} ${value}` : value;
    });
}

/** Pronouns of a child, as template values. @param {{name: string, she: boolean}} child */
export function pronouns({ name, she }) {
    return { name, he: she ? 'she' : 'he', his: she ? 'her' : 'his', him: she ? 'her' : 'him', child: she ? 'girl' : 'boy' };
}

/** "Lily+Tom-" style lists: + is a girl, - a boy. @param {string} list */
export function children(list) {
    return [...list.matchAll(/(\w+)([+-])/g)].map(([, name, mark]) => ({ name, she: mark === '+' }));
}
