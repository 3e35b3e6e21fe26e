import { Random, children, distinct, fill, pronouns } from './random.mjs';

/** Three sentences about a child -> how the child feels. Events, reactions, settings and names differ between splits. */

export const LABELS = ['happy', 'sad', 'scared', 'angry'];

const TRAIN = {
    children: children('Lily+Tom-Mia+Ben-Anna+Sam-Sue+Max-Lucy+Tim-Sara+Jack-Emma+Leo-'),
    settings: [
        '{Name} went to the park with {his} mom.', '{Name} was playing in the garden.', 'It was a rainy day, and {name} was at home.',
        '{Name} and {his} dad walked to the lake.', 'After lunch, {name} sat under a big tree.', '{Name} was at school with {his} friends.',
        'One morning, {name} woke up early.', '{Name} was in the kitchen with {his} grandma.', 'It was evening, and {name} was in {his} room.',
        '{Name} went for a walk with {his} dog.', '{Name} was building a house of blocks.', 'On Sunday, {name} visited {his} aunt.',
    ],
    events: {
        happy: [
            '{He} found the {toy} {he} had wished for.', '{His} grandpa came to visit and brought {a toy}.', 'Mom said that they would have cake for dinner.',
            'A little {pet} came and licked {his} hand.', '{He} won the race and got a shiny prize.', '{His} best friend asked {him} to play.',
            'The sun came out, and {he} saw a big rainbow.', '{He} learned how to ride {his} bike.', 'Dad gave {him} a ride on his back.',
            'A kind lady gave {him} a sweet red apple.', 'The teacher liked {his} picture and put it on the wall.', 'The lost {pet} came back home.',
            '{He} opened a box, and there was {a toy} inside.', 'All {his} friends sang a birthday song for {him}.',
        ],
        sad: [
            '{His} {toy} fell into the river and was gone.', '{His} best friend moved to a town far away.', '{His} {pet} was sick and could not play.',
            '{He} dropped {his} ice cream on the ground.', 'The rain washed away {his} castle of sand.', 'Nobody came to play with {him}.',
            '{He} looked for {his} {toy}, but it was lost.', '{His} dad had to go away for a long time.', 'The red balloon flew away, high into the sky.',
            '{His} flower had no water, and it died.', 'The little bird was hurt and could not fly.', '{He} could not go to the party.',
            'The last day with grandma was over.', '{His} old {toy} broke in two, and no one could fix it.',
        ],
        scared: [
            'A loud noise came from the dark.', 'A big dog ran at {him} and showed its teeth.', 'The light went out, and {he} could not see.',
            '{He} saw a long snake in the grass.', 'There was a storm, and the thunder was very loud.', '{He} could not find the way home.',
            'Something moved under {his} bed.', 'A huge spider sat on {his} pillow.', 'The wind made the door go bang.',
            '{He} looked down from the high wall.', 'A shadow with long arms was on the wall.', '{He} heard a wolf in the woods.',
            'The water was deep, and {he} could not swim.', 'The big ladder began to shake.',
        ],
        angry: [
            'A boy took {his} {toy} and would not give it back.', '{His} brother broke {his} {toy} on purpose.', 'A girl pushed {him} and laughed.',
            '{His} sister ate the last cookie and lied about it.', 'Someone drew on {his} new book.', 'The other children called {him} a bad name.',
            'A boy kicked over {his} tall tower again.', '{His} friend cheated in the game.', 'The neighbor threw mud at {his} {pet}.',
            '{His} cousin pulled {his} hair, and then did it again.', 'A boy cut in line and took {his} turn.', 'Someone hid {his} shoes and thought it was funny.',
            '{His} brother would not stop teasing {him}.', 'A girl tore {his} picture into pieces.',
        ],
    },
    reactions: {
        happy: ['{Name} jumped up and down and clapped.', '{Name} had a big smile.', '{Name} laughed and danced.', '"Hooray!" said {name}.', '{Name} ran to tell {his} mom.', '{Name} told everyone about it.'],
        sad: ['{Name} began to cry.', 'Tears ran down {his} face.', '{Name} sat alone and did not want to eat.', '"I miss it so much," said {name}.', '{Name} ran to {his} mom.', '{Name} did not say a word.'],
        scared: ['{Name} hid under the blanket.', '{His} legs began to shake.', '{Name} held {his} mom very tight.', '"Help!" said {name}.', '{Name} ran to {his} mom.', '{Name} did not say a word.'],
        angry: ['{Name} stomped {his} feet.', '{His} face turned red.', '{Name} yelled at the top of {his} voice.', '"That is not fair!" said {name}.', '{Name} ran to tell {his} mom.', '{Name} threw {his} hat on the ground.'],
    },
};

const VALIDATION = {
    children: children('Kate+Bob-Ella+Dan-'),
    settings: ['{Name} was at the farm with {his} uncle.', 'It was snowing, and {name} went outside.', '{Name} was sitting on the bus.', '{Name} and {his} family had a picnic.'],
    events: {
        happy: ['{His} mom hugged {him} and gave {him} {a toy}.', '{He} caught {his} first fish.', 'A baby {pet} fell asleep in {his} lap.', '{He} helped an old man, and the man thanked {him}.'],
        sad: ['{He} saw that {his} {toy} was gone for good.', '{His} {pet} ran away and did not come back.', '{His} friends went home without saying goodbye.', '{He} lost the ring that grandma gave {him}.'],
        scared: ['A bear came out of the trees.', 'A strange voice called from the empty house.', 'The boat began to rock and fill with water.', 'A black bat flew close to {his} head.'],
        angry: ['{His} sister would not share and grabbed {his} {toy}.', 'A big boy poured water on {his} drawing.', 'The boys were mean to {his} little {pet}.', '{His} friend broke a promise for the third time.'],
    },
    reactions: {
        happy: ['{Name} smiled at everyone.', '"Best day ever!" said {name}.', '{Name} danced around the room and laughed.'],
        sad: ['{Name} wiped the tears from {his} face.', '"I miss my friend," said {name}.', '{Name} sat down and cried.'],
        scared: ['{Name} was shaking and could not move.', '"Who is there? Help me!" said {name}.', '{Name} ran and hid.'],
        angry: ['{Name} shouted and stomped away.', '"Stop it right now!" said {name}.', '{Name} made a mean face and yelled.'],
    },
};

const TEST = {
    children: children('Zoe+Peter-Rosa+Finn-Amy+Nick-'),
    settings: ['{Name} was at the beach with {his} cousins.', 'It was late, and {name} was in bed.', '{Name} helped {his} mom in the shop.', '{Name} went up the hill with a friend.', 'There was a fair in town, and {name} went there.', '{Name} was reading a book by the window.'],
    events: {
        happy: ['{He} got a letter with good news.', '{His} dad came home after a long trip.', '{He} tasted the sweetest pie in the world.', 'The {pet} did a funny trick for {him}.', '{He} made a new friend who also had {a toy}.', '{He} saw the stars shine over the sea.', 'Everyone cheered for {him}.', '{His} garden was full of pretty flowers.'],
        sad: ['{His} {pet} got very old and died.', '{He} had no one to sit with.', 'The snowman melted away.', '{His} best friend did not want to be friends any more.', '{He} had to say goodbye to {his} {toy}.', 'The summer was over, and they had to leave.', '{His} mom forgot the day of {his} play.', 'The old tree that {he} loved was cut down.'],
        scared: ['A monster mask looked in at the window.', 'The floor cracked under {his} feet.', '{He} heard steps behind {him}, but no one was there.', 'A wild {pet} growled at {him}.', 'A big wave came right at {him}.', 'The candle went out in the cave.', 'Lightning hit the roof.', 'A stranger shouted and ran after {him}.'],
        angry: ['A boy stole {his} lunch and laughed.', '{His} brother told a lie and {he} got the blame.', 'The girl would not say sorry for breaking {his} {toy}.', 'Someone kicked {his} {pet}.', '{His} friend took all the candy for himself.', 'The boys kept spoiling {his} game.', 'A man threw trash into {his} garden.', '{His} sister cut a hole in {his} best shirt.'],
    },
    reactions: {
        happy: ['{Name} smiled and smiled.', '"This is so much fun!" said {name}.', '{Name} laughed out loud.', '{Name} clapped {his} hands and sang.'],
        sad: ['{Name} cried for a long time.', '"I am all alone," said {name}.', '{Name} had tears in {his} eyes.', '{Name} did not want to play any more.'],
        scared: ['{Name} hid behind {his} mom.', '"Please go away!" said {name}.', '{Name} was shaking all over.', '{Name} closed {his} eyes and called for help.'],
        angry: ['{Name} stomped out of the room.', '"You are so mean!" said {name}.', '{Name} yelled very loud.', '{His} cheeks turned red, and {he} shouted.'],
    },
};

const TOYS = ['red ball', 'toy car', 'doll', 'kite', 'teddy bear', 'drum', 'little boat', 'puzzle'];
const PETS = ['dog', 'cat', 'rabbit', 'puppy', 'kitten'];

/** @param {typeof TRAIN} pool @param {number} count @param {string} seed */
function stories(pool, count, seed) {
    const random = new Random(seed);
    const order = LABELS.flatMap((label) => Array(count / LABELS.length).fill(label));
    const labels = random.shuffle(order);
    return distinct(count, (i) => {
        const label = labels[i];
        const values = { ...pronouns(random.pick(pool.children)), toy: random.pick(TOYS), pet: random.pick(PETS) };
        const text = [pool.settings, pool.events[label], pool.reactions[label]].map((list) => fill(random.pick(list), values)).join(' ');
        return { prompt: `${text}\n${values.name} feels`, completion: ` ${label}` };
    });
}

/** @param {number} seed */
export function build(seed) {
    return {
        train: stories(TRAIN, 320, `mood/train/${seed}`),
        validation: stories(VALIDATION, 64, `mood/validation/${seed}`),
        test: stories(TEST, 80, `mood/test/${seed}`),
    };
}
