/**
 * Sentences of the engine that a student meets, in the page's language: the engine speaks English, with numbers in it.
 * Each pattern has a key among the texts; a sentence without a pattern stays as it is
 * (tests/node/engine-texts.test.mjs asks the engine for all of them). English needs none of this, so the page fetches
 * it with the texts of the panels (elements/texts.js).
 */
import { hasText, language, t } from './i18n.js';

/** @type {readonly [RegExp, string][]} */
const PATTERNS = Object.freeze([
    [
        /^Dimensions: (?<layers>\d+) layers, hidden size (?<hidden>\d+), FFN (?<ffn>\d+), (?<heads>\d+) attention heads, vocabulary (?<vocab>\d+), input and output embedding shared\.$/,
        'assume.dimensions.tied',
    ],
    [
        /^Dimensions: (?<layers>\d+) layers, hidden size (?<hidden>\d+), FFN (?<ffn>\d+), (?<heads>\d+) attention heads, vocabulary (?<vocab>\d+)\.$/,
        'assume.dimensions',
    ],
    [/^Grouped-query attention: (?<heads>\d+) key\/value heads, so prefixes and k\/v modules are (?<times>\d+) times smaller/, 'assume.grouped'],
    [/^The file holds (?<n>\d+) numbers: with PiSSA and OLoRA also those of the start/, 'assume.start'],
    [/^Percent is trained parameters by parameters of the base model/, 'assume.percent'],
    [/^(?<format>\w+): (?<n>[\d.]+) bytes per parameter\.$/, 'assume.bytes'],
    [/^Added parameters are trained in f32: 4 bytes each for weight and gradient, (?<n>\d+) for (?<optimizer>\w+)\.$/, 'assume.added'],
    [
        /^Activations of (?<batch>\d+) x (?<length>\d+) positions are kept in 2 bytes, fused attention keeps no score matrix; frozen maps do not keep their inputs\.$/,
        'assume.activations',
    ],
    [/^Logits of all positions: 16-bit, an f32 copy for the loss, and a 16-bit gradient \(8 bytes each\)\.$/, 'assume.logits'],
    [/^This is a model of usual practice, not a measurement/, 'assume.model'],
    [
        /^Trained base parameters take (?<n>\d+) bytes each: weight (?<weight>\d+), gradient (?<gradient>\d+), (?<optimizer>\w+) (?<moments>\d+), f32 master copy (?<master>\d+)\.$/,
        'assume.base',
    ],
    [
        /^Trained base parameters take (?<n>\d+) bytes each: weight (?<weight>\d+), gradient (?<gradient>\d+), (?<optimizer>\w+) (?<moments>\d+)\.$/,
        'assume.base.f32',
    ],
    [/^int8: 1 byte per weight of the linear maps \(row scales are below 0\.1 %\)/, 'assume.int8'],
    [/^nf4 with double quantisation: (?<bits>[\d.]+) bits per weight of the linear maps/, 'assume.nf4'],
    [/^Gradient checkpointing: each layer keeps its input; one layer at a time is recomputed in backward/, 'assume.checkpointing'],
    [/^A network of (?<n>\d+) parameters is trained, but only the (?<stored>\d+) numbers it computes are stored\.$/, 'assume.stored.fewer'],
    [/^As the chapter counts full fine-tuning: 4 bytes per parameter for the f32 weights, nothing for gradients/, 'assume.chapter.full'],
    [/^As the chapter's LoRA column works out: an (?<format>\w+) base and nothing else; no logits\./, 'assume.chapter.small'],
    [
        /^As the chapter's LoRA column works out: an (?<format>\w+) base, the trained parameters with their states, and checkpointed activations; no logits\./,
        'assume.chapter.lora',
    ],
    [/^Learning rate: (?<lr>[\d.e-]+) is a usual start for large models\.$/, 'recipe.lr'],
    [/^Learning rate: (?<lr>[\d.e-]+) is a usual start for large models; the small model here used (?<here>[\d.e-]+)\.$/, 'recipe.lr.here'],
    [/^Gradient checkpointing is refused with prefix tuning\.$/, 'recipe.prefix'],
    [/^LoRA\+ is an optimiser: use peft\.optimizers\.create_loraplus_optimizer/, 'recipe.lora_plus'],
    [/^Full fine-tuning of a 7B model needs about 16 bytes per parameter with AdamW: 108 GB/, 'recipe.full'],
    [/^peft holds one kind of method per model/, 'recipe.joint'],
    [/^The script does not reproduce (?<list>.+): the library's configuration has no such setting\.$/s, 'recipe.lost'],
    [/^No model on the Hugging Face hub has the shape (?<shape>\S+): choose another one for the script\.$/, 'recipe.no_hub'],
    [/^Per-linear bottlenecks \(LLM-Adapters\) exist only in that project's fork of peft/, 'recipe.fork'],
    [/^weights in (?<format>\w+) cannot be trained themselves; choose bf16 for full fine-tuning/, 'assume.frozen'],
]);

/**
 * Fractions as the page's language writes them; whole numbers as they are.
 * @param {Record<string, string> | undefined} groups @returns {Record<string, string | number>}
 */
const values = (groups) =>
    Object.fromEntries(
        Object.entries(groups ?? {}).map(([name, value]) => [name, /^\d+\.\d+$/.test(value) ? Number(value) : value]),
    );

/** @param {string} sentence of the engine @returns {{text: string, ours: boolean}} ours: in the page's language */
export function sentenceWords(sentence) {
    if (language() === 'en') return { text: sentence, ours: true };
    for (const [pattern, key] of PATTERNS) {
        const found = pattern.exec(sentence);
        if (found && hasText(key)) return { text: t(key, values(found.groups)), ours: true };
    }
    return { text: sentence, ours: false };
}
