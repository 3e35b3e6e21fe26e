#!/usr/bin/env node
/**
 * Do the people of a story stay the same from start to end? Counts the stories in which somebody turns up by a name that the story
 * never introduced: written by the engine from nothing, temperature 0.7, top-k 40, seeds 1 to N.
 *
 *   node names.mjs [--model ../stories-1m] [--stories 200]      prints the count, then every story it holds against the model
 *
 * A name is a word with a capital in mid-sentence that is not one of OTHERS. It is introduced where it begins a story or follows
 * "named", "called", "and", a friend, a sister, an animal … (INTRODUCES). Both are rules of thumb: read what is printed.
 */
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { PeftLab } from '../../web/engine/index.js';

/** Words that have a capital without being a name: what sentences in quotes begin with, and parents. */
const OTHERS = new Set((
    'A After All An And Are As At Be Behind Bring But Can Come Dad Daddy Did Do Don Everyone Finally For From Give Go Good Have He ' +
    'Hello Help Her Here Hey Hi His How I If In Inside Is It Just Let Little Look Mama May Maybe Me Mom Momma Mommy Mr Mrs Mummy My No ' +
    'Not Now Of Oh Ok Okay On Once One Ouch Our Papa Please Ready See She So Sorry Stop Suddenly Sure Thank Thanks That The Their Then ' +
    'There They This To Try Wait We What When Where Who Why With Wow Yes You Your'
).split(' '));
const INTRODUCES = 'named|called|name is|name was|and|friends?,?|sister,?|brother,?|teacher,?|neighbou?r,?|boy,?|girl,?|dog,?|cat,?|bird,?|' +
    'bear,?|rabbit,?|mouse,?';

/** @param {string} story @returns {{names: string[], strangers: string[]}} who is in it, and who of them was never introduced */
export function people(story) {
    const all = (/** @type {RegExp} */ pattern) => [...story.matchAll(pattern)].map((match) => match[1]);
    const names = new Set(all(/(?<=[a-z,] "?)([A-Z][a-z]+)/g).filter((word) => !OTHERS.has(word)));
    const introduced = new Set(all(new RegExp(`(?:${INTRODUCES}) ([A-Z][a-z]+)`, 'g')).concat(all(/^([A-Z][a-z]+)/g)));
    return { names: [...names], strangers: [...names].filter((name) => !introduced.has(name)) };
}

async function main() {
    const { values } = parseArgs({
        options: {
            model: { type: 'string', default: fileURLToPath(new URL('../stories-1m', import.meta.url)) },
            stories: { type: 'string', default: '200' },
        },
    });
    const session = await PeftLab.load(values.model, { inThread: true });
    const stories = Number(values.stories);
    const held = [];
    let named = 0;
    for (let seed = 1; seed <= stories; seed++) {
        const { text } = await session.generate({ prompt: '', seed, max_new_tokens: 300, temperature: 0.7, top_k: 40 });
        const { names, strangers } = people(text);
        named += Number(names.length > 0);
        if (strangers.length) held.push(`seed ${seed}, ${strangers.join(' and ')}:\n${text.trim()}\n`);
    }
    session.close();
    console.log(`${held.length} of ${stories} stories (${named} have names) name somebody whom they never introduced.\n\n${held.join('\n')}`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main();
