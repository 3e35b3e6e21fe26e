import { stat } from 'node:fs/promises';

/** @param {string} path */
export const isFolder = async (path) => (await stat(path).catch(() => null))?.isDirectory() ?? false;
/** @param {string} path */
export const isFile = async (path) => (await stat(path).catch(() => null))?.isFile() ?? false;
