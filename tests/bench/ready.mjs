// One start of the engine in a process of its own: node tests/bench/ready.mjs MODEL -> {"ready": ms, "token": ms}
import { fileURLToPath } from 'node:url';

const start = performance.now();
const { PeftLab } = await import('../../web/engine/index.js');
const model = fileURLToPath(new URL(`../../models/${process.argv[2]}`, import.meta.url));
const session = await PeftLab.load(model);
const ready = performance.now() - start;
await session.generate({ prompt: 'Once', max_new_tokens: 1, temperature: 0 });
console.log(JSON.stringify({ ready, token: performance.now() - start }));
session.close();
