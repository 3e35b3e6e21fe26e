import { Random, article, children, distinct, fill, pronouns } from './random.mjs';

/**
 * "Words: park, cat, red" -> a little story that uses the three words. Every story has a place, an animal or a thing,
 * and a word that describes. Validation and test have other names and other story plans, and at least one word in
 * every list that no training list has; so no list of words is shared.
 */

/** Each place with the words that put one there. */
const AT = {
    park: 'in the park', garden: 'in the garden', forest: 'in the forest', beach: 'on the beach', farm: 'on the farm', river: 'by the river',
    shop: 'in the shop', school: 'at school', lake: 'by the lake', hill: 'on the hill', field: 'in the field', zoo: 'at the zoo',
    village: 'in the village', island: 'on the island', castle: 'in the castle', cave: 'in the cave', market: 'at the market',
};
const KNOWN = {
    place: ['park', 'garden', 'forest', 'beach', 'farm', 'river', 'shop', 'school', 'lake', 'hill', 'field', 'zoo'],
    animal: ['cat', 'dog', 'bird', 'frog', 'rabbit', 'bear', 'duck', 'horse', 'mouse', 'fox', 'puppy', 'pig'],
    thing: ['ball', 'hat', 'box', 'cake', 'book', 'boat', 'bell', 'cup', 'drum', 'key', 'kite', 'flower'],
    animalLook: ['big', 'small', 'old', 'brown', 'soft', 'funny', 'pretty', 'black', 'little', 'kind'],
    thingLook: ['red', 'blue', 'big', 'small', 'old', 'green', 'shiny', 'yellow', 'pretty', 'funny'],
};
const NEW = {
    validation: { place: ['village', 'island'], animal: ['sheep', 'owl'], thing: ['toy', 'ring'], animalLook: ['white', 'fat'], thingLook: ['white', 'long'] },
    test: {
        place: ['castle', 'cave', 'market'], animal: ['cow', 'lion', 'monkey'], thing: ['lamp', 'apple', 'basket'],
        animalLook: ['tiny', 'gray', 'brave'], thingLook: ['pink', 'tiny', 'bright'],
    },
};

// Each plan uses {place} (or {at}), {look} and one of {animal}, {thing}; {other} is a friend's name.
const TRAIN = {
    children: children('Lily+Tom-Mia+Ben-Anna+Sam-Sue+Max-Lucy+Tim-Sara+Jack-Emma+Leo-Jill+Bill-'),
    animal: [
        'One day, {name} went to the {place}. {He} saw {a look} {animal}. "Hello, {animal}!" said {name}. The {animal} was happy and they played all day.',
        'There was {a look} {animal} who lived near a {place}. The {animal} was lonely. Then {name} came and sat down. Now the {animal} had a friend.',
        '{Name} lost {his} {look} {animal}. {He} looked and looked. At last {he} found it {at}. {Name} hugged the {animal} and took it home.',
        'It was a sunny day {at}. {A look} {animal} was hungry. {Name} gave the {animal} some food. The {animal} ate it all up.',
        '{Name} and {other} walked to the {place}. They heard a sound. It was {a look} {animal}! The {animal} wanted to play with them.',
        '{A look} {animal} was stuck {at}. "Do not cry," said {name}. {He} helped the {animal} get out. The {animal} was safe.',
        '{Name} wanted a pet. Mom took {him} to the {place}. There {he} saw {a look} {animal}. "This {animal} is the best!" said {name}.',
        '{At}, {name} met {a look} {animal}. The {animal} could sing! {Name} sang too. Everyone clapped for the {animal}.',
    ],
    thing: [
        'One day, {name} found {a look} {thing} {at}. "Who lost this {thing}?" {he} asked. It was {other}. {Other} was so happy to have it back.',
        '{Name} had {a look} {thing}. {He} took it to the {place} every day. One day {other} asked to play. {Name} shared the {thing} with {other}.',
        'Grandma gave {name} {a look} {thing}. {Name} ran to the {place} to show it to {other}. "I love your {thing}!" said {other}.',
        '{Name} saw {a look} {thing} {at}. {He} wanted it very much. Dad said, "You can have the {thing}." {Name} said thank you.',
        'The {thing} was {look}, and it was {at}. {Name} picked it up. "Is this your {thing}?" {he} asked a lady. She smiled and said yes.',
        '{Name} and {other} made {a look} {thing}. They took it to the {place}. All their friends liked the {thing}. It was a good day.',
        '{Name} lost {his} {thing} {at}. It was {look} and new. {Other} helped {him} look. They found the {thing} under a tree.',
        'There was {a look} {thing} {at}. Nobody wanted it. {Name} took the {thing} home and cleaned it. Now it was {his} best {thing}.',
    ],
};
const VALIDATION = {
    children: children('Kate+Bob-Ella+Dan-'),
    animal: [
        '{Name} liked to run {at}. {A look} {animal} ran after {him}. They ran and ran. Then the {animal} fell asleep next to {name}.',
        'Once there was {a look} {animal}. It went to the {place} to find food. {Name} saw the {animal} and gave it a carrot.',
    ],
    thing: [
        '{Name} hid {a look} {thing} {at}. {Other} had to find it. {Other} looked behind a rock. There was the {thing}!',
        '{At}, {name} sold {a look} {thing}. {Other} paid for it. {Other} liked the {thing} very much.',
    ],
};
const TEST = {
    children: children('Zoe+Peter-Rosa+Finn-Amy+Nick-'),
    animal: [
        '{Name} was on the way to the {place}. {A look} {animal} came by. It wanted to go there too. So {name} and the {animal} went together.',
        'Far away, near a {place}, lived {a look} {animal}. It had a birthday. {Name} made a pie for the {animal}, and they had fun.',
        'The {animal} was {look} and kind. One night it got lost {at}. {Name} took a light and found the {animal}.',
    ],
    thing: [
        '{Name} dreamed of {a look} {thing}. In the morning {he} went to the {place}. There was the {thing}, just like in the dream!',
        '{Other} gave {name} {a look} {thing} as a gift. They went to the {place} and had a race. The {thing} was for the winner.',
        'A man {at} had {a look} {thing}. {Name} helped the man carry it. "You are kind," said the man, and gave {him} the {thing}.',
    ],
};

/**
 * @param {typeof TRAIN} pool
 * @param {typeof NEW.test | null} fresh words of this split only
 * @param {number} count
 * @param {string} seed
 */
function stories(pool, fresh, count, seed) {
    const random = new Random(seed);
    return distinct(count, () => {
        const kind = random.pick(['animal', 'thing']);
        const roles = ['place', kind, `${kind}Look`];
        const newRole = random.below(3);
        const words = Object.fromEntries(
            roles.map((role, i) => [role, random.pick(fresh && (i === newRole || random.below(2)) ? fresh[role] : KNOWN[role])]),
        );
        const child = random.pick(pool.children);
        const other = random.pick(pool.children.filter((c) => c.name !== child.name)).name;
        const look = words[`${kind}Look`];
        const values = { ...pronouns(child), ...words, other, look, at: AT[words.place], a: article(look) };
        const text = fill(random.pick(pool[kind]).replaceAll('{A look}', '{A} {look}'), values);
        return { prompt: `Words: ${random.shuffle(Object.values(words)).join(', ')}\nStory:`, completion: ` ${text}` };
    }, (item) => item.prompt.split(/[:,\n]\s*/).sort().join());
}

/** @param {number} seed */
export function build(seed) {
    return {
        train: stories(TRAIN, null, 400, `words/train/${seed}`),
        validation: stories(VALIDATION, NEW.validation, 64, `words/validation/${seed}`),
        test: stories(TEST, NEW.test, 80, `words/test/${seed}`),
    };
}
