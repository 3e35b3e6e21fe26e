#!/usr/bin/env node
/** Writes models/index.json: every model and task with sizes and scores, read from their own files. `node index.mjs` */
import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';

const MODELS = new URL('../', import.meta.url);
const json = (/** @type {string} */ path) => JSON.parse(readFileSync(new URL(path, MODELS), 'utf8'));
const round = (/** @type {number} */ value) => Math.round(value * 1e4) / 1e4;
const folders = (/** @type {string} */ path) =>
    existsSync(new URL(path, MODELS))
        ? readdirSync(new URL(path, MODELS), { withFileTypes: true })
              .filter((e) => e.isDirectory())
              .map((e) => e.name)
              .sort()
        : [];

const DEFAULT_MODEL = 'stories-1m';
const TASK_ORDER = ['mood', 'words-to-story', 'ship-log', 'pirate', 'turtle'];

/** @returns {string} the text of index.json */
export function indexText() {
    const models = folders('.').filter((name) => existsSync(new URL(`${name}/training.json`, MODELS))).map((name) => {
        const t = json(`${name}/training.json`);
        const { shape } = t;
        return {
            name, path: `models/${name}`, default: name === DEFAULT_MODEL, parameters: t.parameters, bytes: t.bytes, dtype: t.dtype,
            bits_per_byte: t.bits_per_byte, trained_tokens: t.tokens, trained_minutes: t.minutes, finished: t.decayed,
            layers: shape.layers, hidden_size: shape.dim, intermediate_size: shape.hidden, heads: shape.heads, kv_heads: shape.kv_heads,
            vocab_size: shape.vocab, context: shape.context,
            files: ['config.json', 'model.safetensors', 'tokenizer.json', 'generation_config.json'],
        };
    }).sort((a, b) => a.parameters - b.parameters);
    const tasks = folders('tasks').sort((a, b) => TASK_ORDER.indexOf(a) - TASK_ORDER.indexOf(b)).map((name) => {
        const t = json(`tasks/${name}/task.json`);
        return {
            name, path: `models/tasks/${name}`, title: t.title, chapter: t.chapter, story: t.story, metric: t.metric.id,
            metric_name: t.metric.name, counts: t.counts, methods: t.presets.map((p) => p.method),
            scores: t.results && {
                model: t.results.model,
                seeds: t.results.seeds,
                ...Object.fromEntries(t.results.rows.map((r) => [r.method, round(r.score.mean)])),
                // standard deviation over the seeds
                spread: Object.fromEntries(t.results.rows.filter((r) => r.score.spread !== null).map((r) => [r.method, round(r.score.spread)])),
            },
            files: ['task.json', ...new Set([...Object.values(t.files), ...Object.values(t.metric.files)])],
        };
    });
    const adapters = folders('adapters').map((name) => {
        const { name: _, path, model, task, method, title, parameters, bytes, metric, score, files } = json(`adapters/${name}/info.json`);
        return { name, path, model, task, method, title, parameters, bytes, metric, score, files };
    });
    return `${JSON.stringify({ models, tasks, adapters }, null, 2)}\n`;
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) writeFileSync(new URL('index.json', MODELS), indexText());
