import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
    METRIC_IDS, contentWords, readLabel, recalls, requiredWords, runTurtle, samePath, score, styleScore, toPirate,
} from '../../web/engine/metrics/index.js';

const near = (actual, expected) => assert.ok(Math.abs(actual - expected) < 1e-12, `${actual} instead of ${expected}`);

test('mood: the first label among the words decides, case and punctuation do not', () => {
    const labels = ['happy', 'sad', 'scared', 'angry'];
    assert.equal(readLabel(' Sad.', labels), 'sad');
    assert.equal(readLabel('\n"happy" and sad', labels), 'happy');
    assert.equal(readLabel(' so scared and sad', labels), 'scared');
    assert.equal(readLabel(' sadly', labels), null);
    assert.equal(readLabel('', labels), null);
    const items = [' happy', ' sad', ' scared', ' angry'].map((completion) => ({ prompt: '', completion }));
    const all = score({ id: 'label-accuracy', labels }, items, [' happy', ' angry', 'scared', 'blue']);
    near(all.score, 0.5);
    assert.deepEqual(all.confusion, [[1, 0, 0, 0, 0], [0, 0, 0, 1, 0], [0, 0, 1, 0, 0], [0, 0, 0, 0, 1]]);
    assert.throws(() => score({ id: 'label-accuracy', labels }, [{ prompt: '', completion: ' glad' }], ['x']), /glad/);
});

test('words-to-story: whole words, plurals count, parts of words do not', () => {
    assert.deepEqual(requiredWords('Words: park, Cat,  red\nStory:'), ['park', 'cat', 'red']);
    const items = [{ prompt: 'Words: park, cat, red\nStory:' }, { prompt: 'Words: fox, puppy, cup\nStory:' }];
    const result = score({ id: 'required-words' }, items, [' A red cat went to the park.', ' The foxes met two puppies. A cupboard.']);
    assert.deepEqual(result.items[1].used, ['fox', 'puppy']);
    near(result.score, 5 / 6);
    near(result.all_used, 0.5);
    near(score({ id: 'required-words' }, items.slice(0, 1), [' parking caterpillar bored']).score, 0);
});

test('ship-log: the answer must stand in the first sentence, words in order', () => {
    assert.ok(recalls(' blue goats.', ' Blue goats. They are big.'));
    assert.ok(recalls(' blue goats.', ' the blue goats and more'));
    assert.ok(!recalls(' blue goats.', ' goats that are blue.'));
    assert.ok(!recalls(' blue goats.', ' big. Blue goats.'));
    assert.ok(!recalls(' Ida.', ' Idaho.'));
    near(score({ id: 'fact-recall' }, [{ completion: ' figs.' }, { completion: ' Nan.' }], [' figs', ' Otto']).score, 0.5);
});

test('pirate: converting, scoring, and words that plain English shares', () => {
    assert.equal(toPirate('Hello, my friend! You are very happy.'), 'Ahoy, me matey! Ye be mighty jolly.');
    assert.equal(toPirate('The island and the boyhood of Ben'), "The island an' the boyhood o' Ben");
    assert.deepEqual(styleScore('Ahoy! The lad be jolly.'), { pirate: 4, plain: 0, score: 1 });
    assert.deepEqual(styleScore('Hello! The boy is happy.'), { pirate: 0, plain: 4, score: 0 });
    assert.deepEqual(styleScore("Hello, lass an' lad"), { pirate: 3, plain: 1, score: 0.75 });
    assert.deepEqual(styleScore('It wants to be good. Give me this.'), { pirate: 0, plain: 0, score: 0 });
    assert.deepEqual(contentWords('One day, a boy named Tom had a boat.', " The boat be o' Tom, a lad."), ['tom', 'boat']);
    const items = [
        { prompt: 'Tom found a map.', completion: ' The map be wet, Tom.' }, { prompt: 'Mia saw a drum.', completion: ' A drum, Mia!' },
    ];
    const result = score({ id: 'pirate-style' }, items, ["Tom be jolly an' the map be wet.", 'Mia was sad.']); // the second: plain, no drum
    near(result.items[0].content_kept, 1);
    near(result.items[1].content_kept, 0.5);
    near(result.score, 0.5);
    near(result.style, 4 / 5);
});

test('turtle: the program is executed', () => {
    assert.deepEqual(runTurtle('F2 L F1 B2').points, [[0, 0], [0, 1], [0, 2], [-1, 2], [0, 2], [1, 2]]);
    assert.equal(runTurtle(' R R R ').heading, 3);
    assert.match(runTurtle('F2 G').error ?? '', /"G"/);
    assert.deepEqual(runTurtle('F2 G').points, [[0, 0], [0, 1], [0, 2]]);
    for (const wrong of ['', ' \n', 'F', 'F0', 'F100', 'f3', 'L2', 'F3,L']) assert.equal(runTurtle(wrong).ok, false, wrong);
    const same = (a, b) => samePath(runTurtle(a), runTurtle(b));
    assert.ok(same('F1 F2', 'F3') && same('L L', 'R R') && same('L L L F2', 'R F2'));
    assert.ok(!same('F3', 'F2') && !same('F3 L', 'F3') && !same('F1', 'L L B1') && !same('X', 'X'));
    const result = score(
        { id: 'turtle-path' },
        [{ completion: ' F3 L' }, { completion: ' L L' }, { completion: ' B2' }],
        [' F1 F2 L', ' R R', ' go'],
    );
    near(result.score, 2 / 3);
    near(result.valid, 2 / 3);
});

test('a wrong call names what is wrong', () => {
    assert.throws(() => score({ id: 'bleu' }, [], []), new RegExp(METRIC_IDS.join(', ')));
    assert.throws(() => score({ id: 'turtle-path' }, [{ completion: ' F1' }], []), /1 items but 0 outputs/);
    near(score({ id: 'turtle-path' }, [], []).score, 0);
});
