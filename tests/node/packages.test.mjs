// Files in and out of a lab: session files, adapter zips, hostile ones; embed code that stays code whatever is in it.
import assert from 'node:assert/strict';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { strFromU8, strToU8, unzipSync, zipSync } from 'fflate';
import { attributesOf, embedCode } from '../../web/lib/embed.js';
import { Lab } from '../../web/lib/lab.js';
import { adapterFiles, adapterFolders, fileName, importAdapters, packSession, unpackSession, unzip, zip } from '../../web/lib/packages.js';
import { defaults } from '../../web/lib/store.js';

const root = join(dirname(fileURLToPath(import.meta.url)), '../..');
const open = async () => {
  const lab = new Lab({ base: join(root, 'models') });
  lab.state.model = 'stories-300k';
  await lab.ready();
  return lab;
};

test('session files: own data and runs come back; foreign, newer and edited ones are refused or cleaned', { timeout: 120_000 }, async () => {
  const lab = await open();
  const other = await open();
  try {
    await lab.useData(Array.from({ length: 20 }, (_, i) => ({ prompt: `Cat ${i}`, completion: ' says arr.', line: i + 1 })), 'Cats');
    lab.set({ steps: 2, method: 'prompt' });
    await lab.train();
    const bytes = await packSession(lab);
    assert.deepEqual(await unpackSession(other, bytes), { runs: 1, open: false });
    assert.equal(other.task?.title, 'Cats');
    assert.equal(other.task?.splits.train.length + other.task?.splits.validation.length, 20);
    assert.equal(other.runs[0].losses.length, 2);
    assert.deepEqual(await unpackSession(other, bytes), { runs: 0, open: false }, 'runs that are listed stay as they are');

    assert.deepEqual(await unpackSession(lab, bytes), { runs: 0, open: false }, 'also those trained here');

    lab.set({ steps: 3, method: 'lora' });
    await lab.train();
    other.set({ steps: 4, method: 'lora' });
    await other.train();
    const mine = other.runs[1];
    assert.equal(mine.id, lab.runs[1].id, 'two runs with one number');
    assert.deepEqual(await unpackSession(other, await packSession(lab)), { runs: 1, open: false });
    assert.deepEqual(other.runs.map((run) => [run.id, run.losses.length]).sort(), [[1, 2], [2, 4], [3, 3]]);
    const byId = (/** @type {number} */ id) => other.runs.find((run) => run.id === id);
    assert.equal(byId(2), mine);
    assert.deepEqual(byId(3)?.adapter, lab.runs[1].adapter, 'the new number has the files of the old one');

    // Mixtures are told apart by what they are made of, and name their sources by the numbers that those have here.
    const mixed = (/** @type {number} */ id, /** @type {number} */ weight) => ({
      .../** @type {any} */ (lab.runs[1]), id, losses: [], validations: [], train: { steps: 0 },
      mixture: { rule: 'sum', parts: [{ run: 2, name: 'run 2', weight }, { run: 0, name: 'mood-lora', weight: 1 }] },
    });
    lab.adopt([mixed(8, 0.5), mixed(9, 0.25)]);
    assert.deepEqual(lab.runs.map(({ id }) => id), [1, 2, 8, 9], 'they stand where their numbers have them');
    assert.deepEqual(await unpackSession(other, await packSession(lab)), { runs: 2, open: false });
    assert.deepEqual(byId(9)?.mixture, { rule: 'sum', parts: [{ run: 3, name: 'run 2', weight: 0.25 }, { run: 0, name: 'mood-lora', weight: 1 }] });

    const before = JSON.stringify(other.state);
    await assert.rejects(unpackSession(other, strToU8('no zip')), /no zip/);
    await assert.rejects(unpackSession(other, zip({ 'session.json': strToU8('{') })), /no session file/);
    await assert.rejects(unpackSession(other, zip({ 'session.json': strToU8('{"format":"peftlab-session","v":9}') })), /version 9/);
    assert.equal(JSON.stringify(other.state), before);

    const session = JSON.parse(strFromU8(unzipSync(bytes)['session.json']));
    session.runs = [
      {
        id: 77,
        method: { evil: 1 },
        losses: [{ step: 'x', loss: null }],
        sample: { after: 5 },
        options: { __proto__: { x: 1 }, rank: 4 },
        status: '<b>',
      },
      null,
    ];
    session.state = { method: 'lora', rank: '"><script>', nonsense: 1 };
    await unpackSession(other, zipSync({ 'session.json': strToU8(JSON.stringify(session)) }));
    const read = other.runs.find((run) => run.id === 77);
    assert.deepEqual(
      [read?.method, read?.status, read?.losses, read?.options],
      ['', 'stopped', [{ step: 0, loss: 0, bits_per_byte: 0 }], { rank: 4 }],
    );
  } finally {
    lab.close();
    other.close();
  }
});

test('session files: all weights of a full fine-tuning come back, bit for bit; what is no snapshot is refused', { timeout: 120_000 }, async () => {
  const lab = await open();
  const other = await open();
  try {
    lab.set({ steps: 3, method: 'full', batch_size: 4, workers: 1 });
    await lab.train();
    const weights = (/** @type {Lab} */ of) => of.work((session) => session.merge().then(() => session.exportModel('F32')));
    const bytes = await packSession(lab);
    await unpackSession(other, bytes);
    assert.deepEqual([other.run?.id, other.run?.weights, other.sample.after], [1, lab.run?.weights, lab.sample.after]);
    assert.deepEqual(await weights(other), await weights(lab));
    const files = unzipSync(bytes);
    files['runs/1/weights.safetensors'] = files['runs/1/weights.safetensors'].slice(0, 5000);
    other.remove(other.runs[0]);
    await assert.rejects(unpackSession(other, zipSync(files)), { code: 'format' });
    await other.train();
    assert.equal(other.run?.status, 'done', 'and it works on');
  } finally {
    lab.close();
    other.close();
  }
});

test('adapters: two modules make two folders that come back; one that does not fit leaves all as it was', { timeout: 120_000 }, async () => {
  const lab = await open();
  try {
    await lab.work(async (session) => {
      await session.clear();
      await session.addModule('lora', { rank: 4, init: 'false' }, { name: 'lora' });
      await session.addModule('prompt', { num_virtual_tokens: 5 }, { name: 'prompt' });
    });
    const logits = () => lab.work(async (session) => Array.from((await session.logits({ text: 'The cat' })).logits.slice(0, 40)));
    const before = await logits();
    const bytes = zip(await adapterFiles(lab));
    await lab.setModule();
    const { modules } = await importAdapters(lab, adapterFolders([{ name: 'both.zip', bytes }]));
    assert.deepEqual(modules.map((m) => m.method), ['lora', 'prompt']);
    assert.deepEqual(await logits(), before);

    const [good] = adapterFolders([{ name: 'both.zip', bytes }]);
    const bad = { ...good, 'adapter_model.safetensors': good['adapter_model.safetensors'].slice(0, 100) };
    await assert.rejects(importAdapters(lab, [good, bad]));
    assert.deepEqual(await logits(), before);
    assert.throws(() => adapterFolders([{ name: 'readme.txt', bytes: strToU8('x') }]), /adapter_config\.json/);
    const bomb = zipSync({ 'adapter_config.json': new Uint8Array(3 * 1024 * 1024) }, { level: 9 });
    assert.throws(() => unzip(bomb, () => true, 2 * 1024 * 1024), /more than 2 MB/);
    assert.equal(fileName('../../<b>x'), 'b-x');
  } finally {
    lab.close();
  }
});

test('embed code: names and addresses are escaped for where they stand; own data stays out', () => {
  const state = { ...defaults(), method: 'lora"><script>', task: 'own-data', options: { rank: 4 }, hide: ['lr'] };
  const settings = attributesOf(state);
  assert.deepEqual(settings, { method: 'lora"><script>', hide: 'lr', rank: '4' });
  const codes = embedCode({ page: 'https://x.example/a"b/', element: 'playground', link: '#v=1&m=lora', settings });
  assert.equal(codes.length, 13);
  for (const { id, code } of codes)
    if (!['myst', 'mystwidget', 'jupyter', 'anywidget', 'marimo', 'docusauruscomponent'].includes(id))
      assert.ok(!/a"b|"><script>/.test(code), `${id}: ${code}`);
  assert.match(codes[0].code, /#v=1&amp;m=lora/);
  // In JSX a string of unusual characters is a JavaScript one.
  assert.match(/** @type {any} */ (codes.find(({ id }) => id === 'docusauruscomponent')).code, /method=\{"lora\\"><script>"\}/);
  assert.deepEqual(attributesOf({ ...defaults(), lr: 0.01, batch_size: 4, options: { rank: 2, use_dora: true } }), {
    lr: '0.01',
    'batch-size': '4',
    rank: '2',
    options: '{"use_dora":true}',
  });
});
