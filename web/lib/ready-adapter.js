/** The ready adapters of models/index.json, put into a lab by name: for an element that stands alone with adapter="pirate-lora". DOM-free. */
import { reader } from '../engine/files.js';
import { PeftLabError } from '../engine/errors.js';
import { t } from './i18n.js';
import { importAdapters } from './packages.js';

/**
 * Loads the adapter with the model and the task that it was trained for; a name that the index does not have is a notice, and nothing changes.
 * @param {import('./lab.js').Lab} lab @param {string} name @returns {Promise<boolean>} whether it is in the model now
 */
export async function useReadyAdapter(lab, name) {
    await lab.ready();
    const adapters = lab.index.adapters ?? [];
    const entry = adapters.find((one) => one.name === name);
    if (!entry) {
        const names = adapters.map((one) => one.name).join(', ');
        lab.emit('notice', t(names ? 'adapter.unknown' : 'adapter.none', { name: name.slice(0, 64), names }));
        return false;
    }
    lab.set({ model: entry.model, task: entry.task, method: entry.method });
    const read = await reader(lab.adapterPlace(entry.name));
    const files = await Promise.all(entry.files.map(async (/** @type {string} */ file) => {
        const bytes = await read(file);
        if (!bytes) throw new PeftLabError('load', `${file} is missing from the adapter "${entry.name}".`);
        return [file, bytes];
    }));
    await importAdapters(lab, [Object.fromEntries(files)]);
    return true;
}
