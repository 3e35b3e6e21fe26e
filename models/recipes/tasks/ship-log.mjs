import { build as buildMood } from './mood.mjs';
import { Random, distinct, fill } from './random.mjs';
import { build as buildWords } from './words-to-story.mjs';

/**
 * The log of the ship Silver Gull: a small closed world with facts nobody can guess. Training tells every fact in
 * several ways; the questions of validation and test ask for the same facts in ways that were never used in training.
 * (The facts themselves must be shared: knowing them is the task. No sentence pattern is.)
 */

export const ISLANDS = [
    { island: 'Moss Island', animal: 'blue goats', food: 'plums', keeper: 'Nan', sound: 'drums', weather: 'fog' },
    { island: 'Bell Island', animal: 'white foxes', food: 'corn', keeper: 'Otto', sound: 'bells', weather: 'rain' },
    { island: 'Moon Island', animal: 'green owls', food: 'cheese', keeper: 'Ida', sound: 'flutes', weather: 'snow' },
    { island: 'Salt Island', animal: 'red crabs', food: 'pies', keeper: 'Gus', sound: 'whistles', weather: 'wind' },
    { island: 'Fern Island', animal: 'tiny bears', food: 'honey', keeper: 'Vera', sound: 'harps', weather: 'sun' },
    { island: 'Sand Island', animal: 'gray horses', food: 'figs', keeper: 'Hugo', sound: 'songs', weather: 'storms' },
    { island: 'Star Island', animal: 'pink frogs', food: 'nuts', keeper: 'Lena', sound: 'horns', weather: 'ice' },
    { island: 'Pine Island', animal: 'black swans', food: 'soup', keeper: 'Karl', sound: 'fiddles', weather: 'hail' },
];
export const CREW = [
    { sailor: 'Mara', job: 'captain', loves: 'maps' },
    { sailor: 'Bo', job: 'cook', loves: 'onions' },
    { sailor: 'Pip', job: 'lookout', loves: 'clouds' },
    { sailor: 'Tess', job: 'doctor', loves: 'books' },
    { sailor: 'Olaf', job: 'carpenter', loves: 'nails' },
    { sailor: 'Wren', job: 'painter', loves: 'colors' },
];

const TRAIN = {
    arrive: ['We came to {island}.', 'The Silver Gull is at {island}.', 'We can see {island} now.', 'Today we stopped at {island}.', 'We slept at {island}.'],
    animal: ['The {animal} of {island} ran to our boat.', 'We saw {animal} on the hill.', '{Sailor} fed the {animal}.', '{Island} is full of {animal}.', 'There are many {animal} here.'],
    food: ['We ate {food} for dinner.', 'The people of {island} gave us {food}.', 'On {island} they eat {food} every day.', '{Sailor} carried a bag of {food}.', 'We took {food} on board.'],
    keeper: ['{Keeper} keeps the light on {island}.', 'We met {keeper}, the keeper of {island}.', '{Keeper} waved from the light of {island}.', 'Old {keeper} was glad to see us.'],
    sound: ['At night we heard {sound}.', 'The {sound} of {island} are loud.', 'They play {sound} on {island}.', '{Sailor} danced to the {sound}.'],
    weather: ['There was {weather} all day.', '{Island} has {weather} again.', 'We know {island} by its {weather}.', 'The {weather} of {island} did not stop.'],
    crew: ['{Sailor} is our {job} and loves {loves}.', 'Our {job} is {sailor}.', '{Sailor}, the {job}, talked about {loves}.', 'All day {sailor} thinks of {loves}.', '{Sailor} the {job} sang.'],
};
const VALIDATION = {
    arrive: ['We left the boat at {island}.', '{Island} is near.'],
    animal: ['{Animal} slept under the trees.'],
    food: ['{Sailor} wanted more {food}.'],
    keeper: ['{Keeper} told us about the light.'],
    sound: ['We woke up from the {sound}.'],
    weather: ['Nobody liked the {weather}.'],
    crew: ['The {job} of the Silver Gull, {sailor}, has a box of {loves}.'],
};
const TEST = {
    arrive: ['At noon we found {island}.', 'Our boat is tied up at {island}.'],
    animal: ['A family of {animal} looked at us.', '{Sailor} drew the {animal}.'],
    food: ['The best thing was the {food}.', '{Sailor} filled a pot with {food}.'],
    keeper: ['{Keeper} lit the lamp for us.', 'We said goodbye to {keeper}.'],
    sound: ['The night was full of {sound}.', '{Sailor} learned to make {sound}.'],
    weather: ['Then came the {weather}.', 'We waited for the end of the {weather}.'],
    crew: ['{Sailor} works as the {job} and dreams of {loves}.', 'A letter about {loves} came for {sailor}, our {job}.'],
};
const ASK = {
    validation: {
        animal: 'When we land on {island}, we will look for the', food: 'In every house on {island} there is a plate of', keeper: 'The light on {island} is in the hands of',
        sound: 'Sailors know {island} by night, for there they hear', weather: 'The sky over {island} often brings', job: 'On the Silver Gull, {sailor} works as the', loves: 'For a birthday gift, give {sailor} some',
    },
    test: {
        animal: 'The animals that live on {island} are', food: 'If you are hungry on {island}, you get', keeper: 'The keeper who lives on {island} is called',
        sound: 'The music on {island} is made with', weather: 'The weather on {island} is mostly', job: 'The work of {sailor} on the ship is that of the', loves: 'More than anything in the world, {sailor} loves',
    },
};

/** @param {typeof TRAIN} pool @param {number} count @param {string} seed */
function entries(pool, count, seed) {
    const random = new Random(seed);
    return distinct(count, (i) => {
        const place = ISLANDS[i % ISLANDS.length];
        const values = { ...place, ...random.pick(CREW) };
        const kinds = random.shuffle(['animal', 'food', 'keeper', 'sound', 'weather']).slice(0, 2);
        const lines = [random.pick(pool.arrive), ...[...kinds, 'crew'].map((kind) => random.pick(pool[kind]))];
        return { text: `Day ${1 + random.below(99)}. ${lines.map((line) => fill(line, values)).join(' ')}` };
    });
}

/** Every fact once. @param {Record<string, string>} frames */
function questions(frames) {
    const ask = (/** @type {Record<string, string>} */ thing, /** @type {string} */ kind) => ({ prompt: fill(frames[kind], thing), completion: ` ${thing[kind]}.` });
    return [
        ...ISLANDS.flatMap((island) => ['animal', 'food', 'keeper', 'sound', 'weather'].map((kind) => ask(island, kind))),
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
