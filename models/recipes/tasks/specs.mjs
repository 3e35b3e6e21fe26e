import { LABELS } from './mood.mjs';

/** What task.json and the card say about each task, apart from counts, presets and measurements. */

export const SPECS = {
    mood: {
        title: 'How does it feel?',
        chapter: 'Classification',
        story: 'Read three sentences and say how the child feels: happy, sad, scared or angry.',
        metric: { id: 'label-accuracy', name: 'accuracy', labels: LABELS, files: { validation: 'validation.jsonl', test: 'test.jsonl' } },
        generation: { max_new_tokens: 3, temperature: 0, stop: ['\n', '.'] },
        loss_on: 'the label',
        splits: 'Children, settings, events and reactions of validation and test occur nowhere in training. Some reactions ' +
            'fit two moods ("ran to tell his mom"), so the event must be understood.',
        limits: 'Four moods, one child, one event. A story with two feelings has no right answer here.',
    },
    'words-to-story': {
        title: 'Three words, one story',
        chapter: 'Instruction Following',
        story: 'Give three words, get a little story that uses all of them.',
        metric: { id: 'required-words', name: 'required words used', files: { validation: 'validation.jsonl', test: 'test.jsonl' } },
        generation: { max_new_tokens: 72, temperature: 0, stop: ['\n'] },
        loss_on: 'the story',
        splits: 'Names and story plans differ between splits. Every word list of validation and test holds at least one ' +
            'word that no training list has.',
        limits: 'The metric counts words; it does not see whether the story makes sense. Read some.',
    },
    'ship-log': {
        title: 'The log of the Silver Gull',
        chapter: 'Domain Adaptation',
        story: 'Read the log of a ship in an invented sea, and know its islands, keepers and crew by heart.',
        metric: { id: 'fact-recall', name: 'facts recalled', files: { validation: 'facts.validation.jsonl', test: 'facts.test.jsonl' } },
        generation: { max_new_tokens: 8, temperature: 0, stop: ['.', '\n'] },
        extra_files: { forgetting: 'forgetting.jsonl' },
        loss_on: 'the whole text',
        splits: 'Sentence patterns of validation and test, entries and questions alike, occur nowhere in training. The ' +
            'facts do: knowing them is the task. `forgetting.jsonl` holds 80 ordinary stories of our own: the rise of their ' +
            'loss is what the model forgot.',
        limits: '34 facts told again and again. Measures recall, not reasoning.',
    },
    pirate: {
        title: 'Told by a pirate',
        chapter: 'Style/Persona Transfer',
        story: 'Begin a story in plain words and let a pirate tell the rest.',
        metric: { id: 'pirate-style', name: 'style times content', files: { validation: 'validation.jsonl', test: 'test.jsonl' } },
        generation: { max_new_tokens: 72, temperature: 0, stop: ['\n'] },
        loss_on: 'the continuation',
        splits: 'Names, things, openings and continuations differ between splits; the word table (`web/engine/metrics/pirate.js`) is the same.',
        limits: 'Style means the word table, and the score is style times content kept. "Content kept" asks whether names ' +
            'and things of the opening come up again.',
    },
    turtle: {
        title: 'Turtle, go!',
        chapter: 'Code Generation',
        story: 'Say where the turtle should go and get a program that draws the path.',
        metric: { id: 'turtle-path', name: 'exact path', files: { validation: 'validation.jsonl', test: 'test.jsonl' } },
        generation: { max_new_tokens: 14, temperature: 0, stop: ['\n'] },
        loss_on: 'the program',
        splits: 'No program, no way of saying a command and no way of joining commands is shared between splits. The metric ' +
            'runs the program: "L L" and "R R" are the same path.',
        limits: 'At most four commands, numbers up to nine.',
    },
};
