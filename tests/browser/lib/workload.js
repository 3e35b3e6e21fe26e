// One small piece of everything, for comparing engines bit for bit: 50 steps of LoRA on the default model, then text.
// Runs unchanged in Node and in every browser.

/** 32-bit FNV-1a over several texts or byte arrays, as hex. @param {...(Uint8Array | string)} parts */
function hash(...parts) {
  let value = 0x811c9dc5;
  for (const part of parts) {
    for (const byte of typeof part === 'string' ? new TextEncoder().encode(part) : part) value = Math.imul(value ^ byte, 0x01000193) >>> 0;
  }
  return value.toString(16).padStart(8, '0');
}

/**
 * @param {typeof import('../../../web/engine/index.js').PeftLab} PeftLab @param {string} model URL or path of the folder
 * @param {{workers?: number, inThread?: boolean}} [options]
 * @returns {Promise<{adapter: string, losses: string, text: string, merged: string}>}
 */
export async function workload(PeftLab, model, { workers = 1, inThread = false } = {}) {
  const session = await PeftLab.load(model, { inThread });
  try {
    const { id } = await session.addModule('lora', { rank: 4, alpha: 8, dropout: 0.1 }, { seed: 3 });
    const animals = ['cat', 'dog', 'fox', 'owl', 'bear', 'duck', 'frog', 'mouse'];
    await session.setData(
      'train',
      animals.map((animal, i) => ({
        prompt: `The ${animal}`,
        completion: ` had ${i + 2} red balls and a blue hat.`,
        line: i + 1,
      })),
    );
    /** @type {number[]} */
    const losses = [];
    await session.train({ steps: 50, batch_size: 4, shards: 4, lr: 5e-3, seed: 7, workers, onStep: ({ loss }) => losses.push(loss) });
    const files = await session.exportAdapter(id);
    const { text } = await session.generate({ prompt: 'The cat', max_new_tokens: 30, temperature: 0.8, top_k: 40, seed: 11 });
    const before = await session.logits({ text: 'The dog' });
    await session.merge([id]);
    const after = await session.logits({ text: 'The dog' });
    const bytes = (/** @type {Float32Array} */ values) => new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    return {
      adapter: hash(files['adapter_model.safetensors']),
      losses: hash(losses.join(' ')),
      text,
      merged: hash(bytes(before.logits), bytes(after.logits)),
    };
  } finally {
    session.close();
  }
}
