import { Random, capital, distinct } from './random.mjs';

/**
 * Directions in words -> a turtle program. No program and no way of saying a command or joining commands is shared
 * between splits: train says "go forward three", test says "march on three steps".
 */

const NUMBERS = ['zero', 'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine'];

const TRAIN = {
    say: {
        F: ['go forward {n}', 'walk {n} steps', 'go {n} steps', 'run forward {n}', 'move forward {n} steps', 'take {n} steps'],
        B: ['go back {n}', 'walk back {n} steps', 'move back {n}', 'take {n} steps back'],
        L: ['turn left', 'look left', 'turn to the left'],
        R: ['turn right', 'look right', 'turn to the right'],
    },
    join: [
        (s) => `${capital(s.join(', then '))}.`,
        (s) => `${s.map(capital).join('. ')}.`,
        (s) => `${s.map((c, i) => (i ? `Then ${c}` : capital(c))).join('. ')}.`,
        (s) => `${capital(s.length > 1 ? `${s.slice(0, -1).join(', ')} and ${s.at(-1)}` : s[0])}.`,
        (s) => `Little turtle, ${s.join(', then ')}.`,
        (s) => `${capital(s.join(' and '))}.`,
    ],
};
const VALIDATION = {
    say: {
        F: ['walk forward {n}', 'hop {n} steps'],
        B: ['hop back {n}', 'run back {n} steps'],
        L: ['go left', 'spin left'],
        R: ['go right', 'spin right'],
    },
    join: [(s) => `First ${s.join(', then ')}.`, (s) => `Please ${s.join('. Then ')}.`],
};
const TEST = {
    say: {
        F: ['march on {n}', 'go on for {n} steps', 'step forward {n} times'],
        B: ['step back {n} times', 'move {n} steps back'],
        L: ['face left', 'make a turn to the left'],
        R: ['face right', 'make a turn to the right'],
    },
    join: [
        (s) => `Now ${s.join(', and then ')}.`,
        (s) => `Turtle! ${s.map(capital).join('! ')}!`,
        (s) => `Can you ${s.join(', then ')}?`,
    ],
};

/** A program of 1 to 4 commands; a turn never stands beside another turn, nor a walk beside another walk. @param {Random} random */
function program(random) {
    const length = 1 + random.below(4);
    const commands = [];
    let turn = random.below(3) === 0;
    for (let i = 0; i < length; i++, turn = !turn) {
        commands.push(turn ? random.pick(['L', 'R']) : `${random.below(4) ? 'F' : 'B'}${1 + random.below(9)}`);
    }
    return commands.join(' ');
}

/** Which split a program belongs to: short ones are for training (every command must be seen there). @param {string} code */
function owner(code) {
    if (code.split(' ').length < 2) return 'train';
    const draw = new Random(`turtle/owner/${code}`).below(10);
    return draw < 2 ? 'test' : draw < 3 ? 'validation' : 'train';
}

/** @param {typeof TRAIN} pool @param {'train' | 'validation' | 'test'} split @param {number} count @param {number} seed */
function examples(pool, split, count, seed) {
    const random = new Random(`turtle/${split}/${seed}`);
    return distinct(count, () => {
        let code;
        do code = program(random);
        while (owner(code) !== split);
        const said = code.split(' ').map((c) => random.pick(pool.say[c[0]]).replace('{n}', NUMBERS[Number(c[1])])
            .replace('one steps', 'one step').replace('one times', 'one time'));
        return { prompt: `${random.pick(pool.join)(said)}\nProgram:`, completion: ` ${code}` };
    }, split === 'train' ? undefined : (item) => item.completion);
}

/** @param {number} seed */
export function build(seed) {
    return {
        train: examples(TRAIN, 'train', 600, seed),
        validation: examples(VALIDATION, 'validation', 80, seed),
        test: examples(TEST, 'test', 100, seed),
    };
}
