import { toPirate } from '../../../web/engine/metrics/pirate.js';
import { Random, children, distinct, fill, pronouns } from './random.mjs';

/** A plain first sentence -> how a pirate tells the rest. Openings, continuations, names and things differ between splits. */

const TRAIN = {
    children: children('Lily+Tom-Mia+Ben-Anna+Sam-Sue+Max-Lucy+Tim-Sara+Jack-Emma+Leo-'),
    things: ['boat', 'ball', 'kite', 'map', 'drum', 'hat', 'box', 'bell', 'mask', 'sail'],
    openings: [
        'Once upon a time, there was a {child} named {name} who had a {thing}.', '{Name} was a little {child} who loved {his} {thing}.',
        'One day, {name} found a {thing} on the beach.', 'There was a little {child} named {name}. {He} wanted a {thing}.',
        '{Name} and {his} dad made a {thing}.', 'One sunny day, {name} took {his} {thing} to the sea.', '{Name} saw a {thing} in the shop.',
        'Long ago, a {child} named {name} lived by the sea and had a {thing}.', '{Name} lost {his} {thing} in the sand.', 'Every day, {name} looked at {his} {thing}.',
    ],
    endings: [
        'The {thing} was very big, and {name} was very happy. "Hello, {thing}!" said {name}. "You are my friend."',
        '{Name} was sad. {His} {thing} was gone. Then {his} friends came and said, "Stop! We are here to help you."',
        '"Wow, look at my {thing}!" said {name}. The other boys and girls were happy. They were all friends of {name}.',
        'A little {child} came and said, "Is it your {thing}?" "Yes," said {name}. "It is my very best {thing}. You can play too."',
        '{Name} was very proud of the {thing}. "Yes, it is the best {thing} of all," said {his} friend. "Your {thing} is very pretty."',
        '{Name} showed the {thing} to a friend. They were happy and ran to the end of the beach. It was a very good day.',
        'The sea was very loud. {Name} and the {thing} were wet. "Stop, water!" said {name}. "You are very bad."',
        '{Name} had no money and no food. {He} gave the {thing} to an old man. The man was kind and said, "You are a good {child}."',
        'But the {thing} was too little. "Can you help me?" {name} said to {his} friend. "Yes," said the friend. "We are a good team."',
        '{Name} put the {thing} on top of a rock and sang a song. The birds were happy and the boys and girls were happy too.',
        'One night the {thing} was gone! "Where is my {thing}?" said {name}. It was under the bed. {Name} was happy and went to sleep.',
        '"Hello, little {thing}," said {name}. "Are you my friend?" The {thing} was very old, and it was full of money.',
        'A big storm came. {Name} was scared, and so were {his} friends. They were safe with the {thing}. {Name} was very brave.',
        '{Name} and {his} mom were in the kitchen. The food was very hot. "Is the {thing} yours?" said mom. "Yes," said {name}.',
    ],
};
const VALIDATION = {
    children: children('Kate+Bob-Ella+Dan-'),
    things: ['ship', 'book', 'cup', 'sled'],
    openings: ['{Name} got a {thing} from {his} grandma.', 'In a small town, a {child} named {name} had a {thing}.', '{Name} went to the lake with a {thing}.'],
    endings: [
        '{Name} ran home with the {thing}. {His} friends were there. "Is my {thing} not pretty?" {he} said. "Yes, you are very lucky," they said.',
        'A girl and a boy wanted the {thing}. {Name} was happy to share. "You and I are friends," said {name}.',
        'The {thing} was at the bottom of the lake. {Name} was very sad. A little frog said, "Hello! I have your {thing}."',
    ],
};
const TEST = {
    children: children('Zoe+Peter-Rosa+Finn-Amy+Nick-'),
    things: ['flag', 'lamp', 'key', 'ring', 'doll', 'coat'],
    openings: [
        'One morning, {name} woke up and saw a {thing}.', 'There once was a {child} called {name}, and {he} had a {thing}.', '{Name} sat on a rock with {his} {thing}.',
        'It was a windy day, and {name} held {his} {thing}.', '{Name} wanted to show {his} {thing} to everyone.',
    ],
    endings: [
        '"My {thing} is the best," said {name}. A boy was angry and took it. "Stop! You are not nice," said {name}. The boy was sorry.',
        '{Name} and a girl were on a little boat. They had food and water. The {thing} was on top of the boat. They were very happy.',
        'An old man said, "Hello, little {child}. Is your {thing} for sale? I have a lot of money." "Yes," said {name}.',
        '{Name} gave the {thing} to a friend. The friend was very happy and said, "You are so kind. I am your friend and you are my friend."',
        'The {thing} was very little and very old. {Name} was happy to have it. "You are my {thing}," said {name}, and it was true.',
    ],
};
const SHOUTS = ['Arr!', 'Yo ho ho!', 'Shiver me timbers!', ''];

/** @param {typeof TRAIN} pool @param {number} count @param {string} seed */
function tales(pool, count, seed) {
    const random = new Random(seed);
    return distinct(count, () => {
        const values = { ...pronouns(random.pick(pool.children)), thing: random.pick(pool.things) };
        const plain = fill(random.pick(pool.endings), values);
        const shout = random.pick(SHOUTS);
        return { prompt: fill(random.pick(pool.openings), values), completion: ` ${shout}${shout && ' '}${toPirate(plain)}` };
    });
}

/** @param {number} seed */
export function build(seed) {
    return {
        train: tales(TRAIN, 320, `pirate/train/${seed}`),
        validation: tales(VALIDATION, 60, `pirate/validation/${seed}`),
        test: tales(TEST, 80, `pirate/test/${seed}`),
    };
}
