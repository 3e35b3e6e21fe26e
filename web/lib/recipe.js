/**
 * The way out: a complete Python script that does with transformers + peft (or AdapterHub's adapters) on a large model
 * what was done here on a small one.
 */

/** @typedef {{method: string, options: Record<string, any>, train?: Record<string, any>}} RecipeModule */

/** Hub names of the shapes, as people would type them. @type {Record<string, string>} */
const HUB = {
    'llama-2-7b': 'meta-llama/Llama-2-7b-hf', 'llama-2-13b': 'meta-llama/Llama-2-13b-hf', 'llama-2-70b': 'meta-llama/Llama-2-70b-hf',
    'llama-3.1-8b': 'meta-llama/Llama-3.1-8B', 'llama-3.1-70b': 'meta-llama/Llama-3.1-70B', 'llama-3.2-1b': 'meta-llama/Llama-3.2-1B',
    'llama-3.2-3b': 'meta-llama/Llama-3.2-3B', 'tinyllama-1.1b': 'TinyLlama/TinyLlama-1.1B-intermediate-step-1431k-3T',
    'smollm2-135m': 'HuggingFaceTB/SmolLM2-135M',
    'smollm2-360m': 'HuggingFaceTB/SmolLM2-360M', 'smollm2-1.7b': 'HuggingFaceTB/SmolLM2-1.7B', 'llama-3.1-405b': 'meta-llama/Llama-3.1-405B',
};

/** The hub's model of a shape, undefined: there is none. @param {string} shape @returns {string | undefined} */
export const hubName = (shape) => (Object.hasOwn(HUB, shape) ? HUB[shape] : undefined);

/** A value as Python writes it. @param {unknown} value @returns {string} */
export function python(value) {
    if (value === null || value === undefined) return 'None';
    if (typeof value === 'boolean') return value ? 'True' : 'False';
    if (typeof value === 'number') return String(value); // shortest exact digits; 1e-10 is a float there, too
    if (Array.isArray(value)) return `[${value.map(python).join(', ')}]`;
    if (typeof value === 'object') return `{${Object.entries(value).map(([k, v]) => `${python(k)}: ${python(v)}`).join(', ')}}`;
    return JSON.stringify(String(value));
}

/** @param {string} name @param {Record<string, unknown>} fields undefined ones are left out */
function call(name, fields) {
    const rows = Object.entries(fields).filter(([, v]) => v !== undefined).map(([k, v]) => `    ${k}=${python(v)},`);
    return `${name}(\n${rows.join('\n')}\n)`;
}

/**
 * Names of maps: peft takes a list, but all-linear only as a word.
 * @param {string | string[] | undefined} names @returns {string | string[] | undefined}
 */
function targets(names) {
    const list = typeof names === 'string' ? names.split(',') : names;
    return list?.includes('all-linear') ? 'all-linear' : list;
}

/** @param {any} list undefined where there is nothing in it */
const orNothing = (list) => (list === undefined || list.length === 0 ? undefined : typeof list === 'string' ? list.split(',') : list);

/**
 * Learning rates that large models take, where this small model's would be far too high. Sources:
 * PEFT's benchmark and examples.
 * @type {Record<string, number>}
 */
const LARGE_MODEL_LR = { lora: 1e-4, prompt: 1e-3, prefix: 1e-3, adapter: 1e-4, ia3: 5e-3, norms: 1e-3, full: 1e-5 };

/** @type {Record<string, (o: Record<string, any>) => {imports: string[], config: string}>} */
const CONFIGS = {
    lora: (o) => ({
        imports: ['LoraConfig'],
        config: call('LoraConfig', {
            r: o.rank, lora_alpha: o.alpha, lora_dropout: o.dropout ?? 0, target_modules: targets(o.target_modules),
            exclude_modules: orNothing(o.exclude_modules), task_type: 'CAUSAL_LM',
            use_rslora: o.use_rslora || undefined, use_dora: o.use_dora || undefined,
            rank_pattern: Object.keys(o.rank_pattern ?? {}).length ? o.rank_pattern : undefined,
            alpha_pattern: Object.keys(o.alpha_pattern ?? {}).length ? o.alpha_pattern : undefined,
            layers_to_transform: o.layers_to_transform, init_lora_weights: o.init === 'false' ? false : o.init === 'true' ? undefined : o.init,
        }),
    }),
    prompt: (o) => ({
        imports: ['PromptTuningConfig', 'PromptTuningInit'],
        config: call('PromptTuningConfig', { num_virtual_tokens: o.num_virtual_tokens, task_type: 'CAUSAL_LM' }).replace(
            /\n\)$/,
            o.prompt_tuning_init === 'text'
                ? `\n    prompt_tuning_init=PromptTuningInit.TEXT,\n    ` +
                    `prompt_tuning_init_text=${python(o.init_text)},\n    tokenizer_name_or_path=MODEL,\n)`
                : `\n    prompt_tuning_init=PromptTuningInit.${o.prompt_tuning_init === 'vocab' ? 'SAMPLE_VOCAB' : 'RANDOM'},\n)`,
        ),
    }),
    prefix: (o) => ({
        imports: ['PrefixTuningConfig'],
        config: call('PrefixTuningConfig', {
            num_virtual_tokens: o.num_virtual_tokens, prefix_projection: o.prefix_projection || undefined,
            encoder_hidden_size: o.prefix_projection && o.encoder_hidden_size ? o.encoder_hidden_size : undefined, task_type: 'CAUSAL_LM',
        }),
    }),
    ia3: (o) => ({
        imports: ['IA3Config'],
        config: call('IA3Config', {
            target_modules: targets(o.target_modules),
            exclude_modules: orNothing(o.exclude_modules),
            feedforward_modules: String(o.feedforward_modules ?? 'down_proj').split(','),
            task_type: 'CAUSAL_LM',
        }),
    }),
    norms: (o) => ({
        imports: ['LNTuningConfig'],
        config: call('LNTuningConfig', {
            target_modules: targets(o.target_modules),
            exclude_modules: orNothing(o.exclude_modules),
            task_type: 'CAUSAL_LM',
        }),
    }),
};

/** AdapterHub configs of the bottleneck variants: what is not said is the variant's own. @param {Record<string, any>} o */
function bottleneckConfig(o) {
    const kind = /** @type {Record<string, string>} */ ({
        houlsby: 'DoubleSeqBnConfig',
        pfeiffer: 'SeqBnConfig',
        parallel: 'ParBnConfig',
    })[o.variant];
    const fields = {
        // adapters computes the bottleneck as hidden_size // reduction_factor; the hidden size is only known once the model is loaded.
        reduction_factor: o.bottleneck_size ? `model.config.hidden_size / ${python(o.bottleneck_size)}` : python(o.reduction_factor),
        non_linearity: (o.non_linearity ?? 'auto') === 'auto' ? '' : python(o.non_linearity),
        // A whole number is refused where a float is meant.
        scaling: o.learned_scale ? python('learned') : o.scaling ? python(o.scaling).replace(/^\d+$/, '$&.0') : '',
        dropout: o.dropout ? python(o.dropout) : '',
        init_weights: (o.init_weights ?? 'auto') === 'auto' ? '' : python(o.init_weights),
        leave_out:
            o.layers_to_transform === undefined
                ? ''
                : `[i for i in range(model.config.num_hidden_layers) if i not in ${python([o.layers_to_transform].flat())}]`,
    };
    return { kind, config: `${kind}(${Object.entries(fields).filter(([, code]) => code).map(([name, code]) => `${name}=${code}`).join(', ')})` };
}

/**
 * @param {{modules: RecipeModule[], shape?: string, model?: string, dataFile?: string, source?: string}} request
 *   shape: one of the calculator's names; model: a hub name or folder instead; source: where the settings come from, for the header
 * @returns {{script: string, launch: string, notes: string[]}}
 */
export function recipe({ modules, shape = 'llama-2-7b', model, dataFile = 'train.jsonl', source = 'peftlab' }) {
    const target = model ?? hubName(shape);
    if (!target)
        return {
            script: '',
            launch: '',
            notes: [`No model on the Hugging Face hub has the shape ${shape}: choose another one for the script.`],
        };
    const notes = modules.flatMap(({ method, options }) => notesFor(method, options));
    const joint = modules.length > 1;
    const [{ method, options, train = {} }] = modules;
    if (joint)
        notes.push(
            'peft holds one kind of method per model: each module is set up as a run of its own. Joint training of several ' +
            'kinds is a feature of peftlab.',
        );
    const lr = LARGE_MODEL_LR[method] ?? 1e-4;
    notes.push(`Learning rate: ${python(lr)} is a usual start for large models${train.lr ? `; the small model here used ${python(train.lr)}` : ''}.`);
    const body =
        method === 'adapter' && CONFIGS.adapter === undefined && options.variant?.startsWith('per_linear')
            ? null
            : script({ method, options, train, target, dataFile, lr, source });
    if (!body) {
        return {
            script: '',
            launch: '',
            notes: [
                "Per-linear bottlenecks (LLM-Adapters) exist only in that project's fork of peft; choose houlsby, pfeiffer " +
                "or parallel to get a script for AdapterHub's adapters.",
            ],
        };
    }
    return { script: body, launch: 'accelerate launch --mixed_precision bf16 train.py', notes };
}

/** @param {string} method @param {Record<string, any>} options @returns {string[]} */
function notesFor(method, options) {
    const lost = leftOut(method, options);
    return [
        ...(lost.length ? [`The script does not reproduce ${lost.join(', ')}: the library's configuration has no such setting.`] : []),
        ...(method === 'prefix' ? ['Gradient checkpointing is refused with prefix tuning.'] : []),
        ...(method === 'lora' && Number(options.loraplus_lr_ratio) > 1
            ? ['LoRA+ is an optimiser: use peft.optimizers.create_loraplus_optimizer with the ratio used here.']
            : []),
        ...(method === 'full' ? ['Full fine-tuning of a 7B model needs about 16 bytes per parameter with AdamW: 108 GB before activations.'] : []),
    ];
}

/**
 * Settings that change what is trained and that the script cannot make, as name=value.
 * @param {string} method @param {Record<string, any>} o @returns {string[]}
 */
function leftOut(method, o) {
    const lost = /** @type {Record<string, unknown>} */ ({
        prompt_tuning_init: method === 'prompt' && o.prompt_tuning_init === 'scaled' ? 'scaled' : undefined,
        prefix_init: method === 'prefix' && o.prefix_init !== 'random' && !o.prefix_projection ? o.prefix_init : undefined,
        init_text: method === 'prefix' && o.prefix_init === 'text' && o.init_text ? o.init_text : undefined,
        memory_shifts: method === 'prefix' && o.memory_shifts === false ? false : undefined,
        layers_to_transform: ['ia3', 'norms'].includes(method) ? o.layers_to_transform : undefined,
        exclude_modules: method === 'adapter' ? o.exclude_modules : undefined,
    });
    return Object.entries(lost).filter(([, value]) => value !== undefined).map(([name, value]) => `${name}=${python(value)}`);
}

/**
 * How `datasets` reads a file, and what it has to look like.
 * @param {string} file @returns {{reader: string, looks: string}}
 */
function dataFormat(file) {
    if (/\.csv$/i.test(file)) return { reader: 'csv', looks: 'columns prompt and completion, or text' };
    if (/\.txt$/i.test(file)) return { reader: 'text', looks: 'one text per line' };
    return { reader: 'json', looks: 'one {"prompt": ..., "completion": ...} or {"text": ...} per line' };
}

const MERGING = `
# For deployment without inference overhead:
# merged = model.merge_and_unload()
# merged.save_pretrained("merged")
`;

/**
 * @param {{method: string, options: Record<string, any>, train: Record<string, any>, target: string, dataFile: string,
 *   lr: number, source: string}} r
 */
function script({ method, options, train, target, dataFile, lr, source }) {
    const hub = method === 'adapter';
    const config = hub ? null : CONFIGS[method]?.(options);
    const bottleneck = hub ? bottleneckConfig(options) : null;
    const wrap = hub
        ? `adapters.init(model)\nmodel.add_adapter("task", config=${bottleneck?.config})\nmodel.train_adapter("task")`
        : config
          ? `config = ${config.config}\nmodel = get_peft_model(model, config)\nmodel.print_trainable_parameters()`
          : '# full fine-tuning: every parameter is trained';
    const save = hub ? 'model.save_adapter("adapter", "task")' : 'model.save_pretrained("adapter")';
    const imports = hub
        ? `import adapters\nfrom adapters import ${bottleneck?.kind}`
        : config
          ? `from peft import ${[...config.imports, 'get_peft_model'].join(', ')}`
          : '';
    const { reader, looks } = dataFormat(dataFile);
    return `# Made by ${source}. Needs: pip install torch transformers datasets accelerate ${hub ? 'adapters' : 'peft'}
# ${python(dataFile).slice(1, -1)}: ${looks}; the loss is on the completion and the end token only.
import torch
import transformers
from datasets import load_dataset
from transformers import AutoModelForCausalLM, AutoTokenizer, DataCollatorForSeq2Seq, Trainer, TrainingArguments
${imports}

MODEL = ${python(target)}
MAX_LENGTH = 512

tokenizer = AutoTokenizer.from_pretrained(MODEL)
if tokenizer.pad_token is None:
    tokenizer.pad_token = tokenizer.eos_token
# The name of this argument is dtype since transformers 4.56.
new = tuple(int(n) for n in transformers.__version__.split(".")[:2]) >= (4, 56)
model = AutoModelForCausalLM.from_pretrained(MODEL, **{"dtype" if new else "torch_dtype": torch.bfloat16})

${wrap}


def encode(example):
    prompt = tokenizer(example.get("prompt") or "").input_ids
    text = example.get("completion") or example.get("text") or ""
    completion = tokenizer(text, add_special_tokens=False).input_ids + [tokenizer.eos_token_id]
    ids = (prompt + completion)[:MAX_LENGTH]
    labels = ([-100] * len(prompt) + completion)[:MAX_LENGTH]
    return {"input_ids": ids, "attention_mask": [1] * len(ids), "labels": labels}


data = load_dataset("${reader}", data_files=${python(dataFile)}, split="train")
data = data.map(encode, remove_columns=data.column_names)

arguments = TrainingArguments(
    output_dir="runs",
    per_device_train_batch_size=${python(train.batch_size ?? 8)},
    max_steps=${python(train.steps ?? 100)},
    learning_rate=${python(lr)},
    lr_scheduler_type=${python(train.schedule ?? 'cosine')},
    warmup_steps=${python(train.warmup_steps ?? 0)},
    weight_decay=${python(train.weight_decay ?? 0)},
    max_grad_norm=${python(train.max_grad_norm ?? 1)},
    seed=${python(train.seed ?? 1)},
    bf16=torch.cuda.is_available(),
    logging_steps=10,
    report_to=[],
)
# DataCollatorForSeq2Seq pads the labels with -100, so padding is never learned and the end token stays a target.
trainer = Trainer(model=model, args=arguments, train_dataset=data, data_collator=DataCollatorForSeq2Seq(tokenizer, padding=True))
trainer.train()
${save}
${method === 'lora' ? MERGING : ''}`;
}
