import { rm } from 'node:fs/promises';

/**
 * Removes a folder into which a browser that is just ending may still write: rmSync would not look again at what came meanwhile.
 * @param {string} folder
 */
export const removeFolder = (folder) => rm(folder, { recursive: true, force: true, maxRetries: 20 });
