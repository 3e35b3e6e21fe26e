// The page of the engine tests: the public API and the common workload, bundled as a page would bundle them.
import { PeftLab } from '../../../web/engine/index.js';
import { workload } from '../lib/workload.js';

Object.assign(globalThis, { PeftLab, workload: (/** @type {string} */ model, /** @type {object} */ options) => workload(PeftLab, model, options) });
