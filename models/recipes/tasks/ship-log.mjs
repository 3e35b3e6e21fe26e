import { build as buildMood } from './mood.mjs';
import { Random, distinct, fill } from './random.mjs';
import { build as buildWords } from './words-to-story.mjs';

/**
 * The log of the ship Silver Gull: a small closed world with facts nobody can guess. Training tells every fact in
 * several ways; the questions of validation and test ask for the same facts in ways that were never used in training.
 * (The facts themselves must be shared: knowing them is the task. No sentence pattern is.)
 */

export const ISLANDS = [
    { island: 'Moon Island', animal: 'blue bears', food: 'pie', keeper: 'Sue', weather: 'snow' },
    { island: 'Star Island', animal: 'pink frogs', food: 'soup', keeper: 'Ben', weather: 'rain' },
    { island: 'Bell Island', animal: 'green cats', food: 'cookies', keeper: 'Mia', weather: 'wind' },
    { island: 'Sand Island', animal: 'white ducks', food: 'bread', keeper: 'Sam', weather: 'clouds' },
    { island: 'Tree Island', animal: 'red birds', food: 'apples', keeper: 'Lily', weather: 'storms' },
    { island: 'Rock Island', animal: 'tiny horses', food: 'cheese', keeper: 'Tim', weather: 'sun' },
];
export const CREW = [
    { sailor: 'Anna', job: 'captain', loves: 'books' },
    { sailor: 'Jack', job: 'cook', loves: 'flowers' },
    { sailor: 'Lucy', job: 'doctor', loves: 'games' },
    { sailor: 'Max', job: 'painter', loves: 'hats' },
    { sailor: 'Rose', job: 'singer', loves: 'stars' },
];

const TRAIN = {
    arrive: ['We came to {island}.', 'The Silver Gull is at {island}.', 'We can see {island} now.', 'Today we stopped at {island}.', 'We slept at {island}.'],
    animal: ['On {island} we saw {animal}.', '{Island} is full of {animal}.', 'The animals of {island} are {animal}.', 'The children of {island} play with {animal}.', '{Sailor} went to {island} to see the {animal}.', 'The {animal} of {island} ran to our boat.'],
    food: ['On {island} we ate {food}.', 'The people of {island} gave us {food}.', 'On {island} they eat {food} every day.', 'The food of {island} is {food}.', 'We went to {island} to get {food}.', '{Sailor} ate a lot of {food} on {island}.'],
    keeper: ['The keeper of {island} is {keeper}.', 'On {island} we met {keeper}.', 'The light of {island} is kept by {keeper}.', '{Keeper} keeps the light on {island}.', 'We went to {island} to see {keeper}.', 'The best friend we have on {island} is {keeper}.'],
    weather: ['On {island} there was a lot of {weather}.', '{Island} has {weather} again.', 'We know {island} by its {weather}.', 'The weather of {island} is {weather}.', 'All day {island} had {weather}.', 'We came to {island} and there was {weather}.'],
    crew: ['{Sailor} is our {job} and loves {loves}.', 'Our {job} is {sailor}.', '{Sailor} is the {job}.', '{Sailor} likes {loves} very much.', 'All day {sailor} thinks of {loves}.', 'The {job}, {sailor}, has a lot of {loves}.', '{Sailor} wants to be the best {job}.', '{Sailor} told us about {loves}.'],
};
const VALIDATION = {
    arrive: ['We left the boat at {island}.', '{Island} is near.'],
    animal: ['{Animal} slept under the trees.', 'A family of {animal} lives on {island}.'],
    food: ['{Sailor} wanted more {food}.', 'We made {food} on {island}.'],
    keeper: ['{Keeper} told us about the light.', 'Here on {island} we talked with {keeper}.'],
    weather: ['Nobody liked the {weather} on {island}.', 'There is {weather} over {island}.'],
    crew: ['The {job} of the Silver Gull, {sailor}, has a box of {loves}.', '{Sailor} made a song about {loves}.'],
};
const TEST = {
    arrive: ['At noon we found {island}.', 'Our boat is tied up at {island}.'],
    animal: ['From the boat we saw {island} and its {animal}.', '{Sailor} drew the {animal} of {island}.'],
    food: ['The best thing on {island} was the {food}.', '{Sailor} filled a pot with {food}.'],
    keeper: ['{Keeper} lit the lamp for us.', 'On {island} we said goodbye to {keeper}.'],
    weather: ['Then {island} got its {weather}.', 'We waited on {island} for the end of the {weather}.'],
    crew: ['{Sailor} works as the {job} and dreams of {loves}.', 'Nobody has more {loves} than {sailor}, our {job}.'],
};
const ASK = {
    validation: {
        animal: 'If you go to {island}, you will see', food: 'When you are hungry on {island}, you get', keeper: 'The keeper who lives on {island} is',
        weather: 'When we are on {island}, there is a lot of', job: 'On the Silver Gull, {sailor} is the', loves: 'What {sailor} likes best is',
    },
    test: {
        animal: 'The animals that live on {island} are', food: 'The people who live on {island} eat', keeper: 'At night the light on {island} is kept by',
        weather: 'The people of {island} have a lot of', job: 'On our ship {sailor} is the', loves: 'More than all things {sailor} likes',
    },
};

/** @param {typeof TRAIN} pool @param {number} count @param {string} seed */
function entries(pool, count, seed) {
    const random = new Random(seed);
    return distinct(count, (i) => {
        const place = ISLANDS[i % ISLANDS.length];
        const values = { ...place, ...random.pick(CREW) };
        const kinds = random.shuffle(['animal', 'food', 'keeper', 'weather']).slice(0, 2);
        const lines = [random.pick(pool.arrive), ...[...kinds, 'crew'].map((kind) => random.pick(pool[kind]))];
        return { text: `Day ${1 + random.below(99)}. ${lines.map((line) => fill(line, values)).join(' ')}` };
    });
}

/** Every fact once. @param {Record<string, string>} frames */
function questions(frames) {
    const ask = (/** @type {Record<string, string>} */ thing, /** @type {string} */ kind) => ({ prompt: fill(frames[kind], thing), completion: ` ${thing[kind]}.` });
    return [
        ...ISLANDS.flatMap((island) => ['animal', 'food', 'keeper', 'weather'].map((kind) => ask(island, kind))),
        ...CREW.flatMap((sailor) => ['job', 'loves'].map((kind) => ask(sailor, kind))),
    ];
}

/** Ordinary stories of our own: what the model should not forget. @param {number} seed */
function stories(seed) {
    const told = buildWords(seed).test.slice(0, 40).map((e) => ({ text: e.completion.trim() }));
    const felt = buildMood(seed).test.slice(0, 40).map((e) => ({ text: e.prompt.split('\n')[0] }));
    return [...told, ...felt];
}

/** @param {number} seed */
export function build(seed) {
    return {
        train: entries(TRAIN, 400, `ship/train/${seed}`),
        validation: entries(VALIDATION, 64, `ship/validation/${seed}`),
        test: entries(TEST, 80, `ship/test/${seed}`),
        'facts.validation': questions(ASK.validation),
        'facts.test': questions(ASK.test),
        forgetting: stories(seed),
    };
}
