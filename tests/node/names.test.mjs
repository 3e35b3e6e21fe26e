// models/recipes/names.mjs: who of a story was never introduced. Its counts of the models are in models/README.md.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { people } from '../../models/recipes/names.mjs';

for (const [title, story, expected] of [
  ['one name, all along', 'Once upon a time, there was a girl named Lily. One day, Lily ran. "Look!" said Lily.', { names: ['Lily'], strangers: [] }],
  ['a pair that begins the story', 'Tom and Sue are friends. One day, Tom saw a ball and Sue saw Tom.', { names: ['Sue', 'Tom'], strangers: [] }],
  ['somebody from nowhere', 'There was a boy named Tim. At night, Max was sad that Tim left.', { names: ['Tim', 'Max'], strangers: ['Max'] }],
  ['a name that changes', 'There was a bird named Tweet. Everybody loved Tweety.', { names: ['Tweet', 'Tweety'], strangers: ['Tweety'] }],
  ['spoken to by name', 'There was a dog named Buddy. He said, "Bella, come!"', { names: ['Buddy', 'Bella'], strangers: ['Bella'] }],
  ['capitals that name nobody', 'She said, "Hi! I am here." Then, Mom said, "Wow, Lily!"', { names: ['Lily'], strangers: ['Lily'] }],
  ['nobody', '', { names: [], strangers: [] }],
]) test(`people of a story: ${title}`, () => assert.deepEqual(people(/** @type {string} */ (story)), expected));
