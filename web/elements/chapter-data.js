/**
 * What the chapter panel shows besides the engine's tables: claims with our verdict and how to see them, PEFT's own benchmark,
 * and code.
 */

/**
 * holds; holds under an assumption; our measurement or the record says otherwise; run it and see; nothing here can show it
 * @typedef {'holds' | 'assumes' | 'differs' | 'see' | 'untested'} Verdict
 */
/**
 * @typedef {import('../lib/evidence.js').Wish} Wish
 * @typedef {{id: string, section: string, verdict: Verdict, runs?: Wish[], panel?: string, judge?: string, pairs?: number[][]}} Claim
 *   runs: for load(); panel: where it is measured; judge: how the runs of this tab decide (lib/evidence.js), two by two (pairs: which
 *   of them, else the first two)
 */

const QV = ['q_proj', 'v_proj'];
const ATTENTION = ['q_proj', 'k_proj', 'v_proj', 'o_proj'];
/** @param {Record<string, any>} options @param {Partial<Wish>} [more] @returns {Wish} */
const lora = (options, more = {}) => ({
    method: 'lora', options: { rank: 8, alpha: 16, target_modules: QV, ...options }, ...more,
});
/** @type {Wish} */
const PROMPT = { method: 'prompt', options: { num_virtual_tokens: 20 } };
/** @type {Wish} */
const ADAPTER = { method: 'adapter', options: { variant: 'houlsby', bottleneck_size: 64 } };
/** Many steps on few examples at a high rate. */
const BY_HEART = { task: 'mood', steps: 160, lr: 0.01, batch_size: 16 };
/** @type {Wish} */
const FULL = { method: 'full', options: {} };

/**
 * In the chapter's order. Texts: chapter.claim.ID (the book), chapter.ours.ID (what we find, and how).
 * @type {readonly Claim[]}
 */
export const CLAIMS = Object.freeze(/** @type {Claim[]} */ ([
    { id: 'quick', section: 'quick', verdict: 'see', panel: 'choose' },
    { id: 'experiments', section: 'quick', verdict: 'differs', runs: [PROMPT, lora({})], judge: 'faster' },
    { id: 'factors', section: 'tree', verdict: 'assumes', panel: 'data' },
    { id: 'tree', section: 'tree', verdict: 'see', panel: 'choose' },
    { id: 'params', section: 'params', verdict: 'assumes', panel: 'calculator' },
    { id: 'adapters50', section: 'params', verdict: 'assumes', panel: 'calculator' },
    { id: 'order', section: 'quality', verdict: 'differs', panel: 'compare' },
    { id: 'ninety', section: 'quality', verdict: 'differs', panel: 'compare' },
    { id: 'merged', section: 'overhead', verdict: 'holds', runs: [lora({})], panel: 'merge' },
    { id: 'distil', section: 'overhead', verdict: 'holds', panel: 'merge' },
    { id: 'ffn', section: 'tasks', verdict: 'see', judge: 'better',
        // α as in the task's preset, whose rate was found with it
        runs: [ATTENTION, 'all-linear'].map((target_modules) => lora({ target_modules, alpha: 64 }, { task: 'turtle' })) },
    { id: 'untested', section: 'tasks', verdict: 'untested' },
    { id: 'joint', section: 'combine', verdict: 'holds', panel: 'combine' },
    { id: 'several', section: 'combine', verdict: 'assumes', panel: 'mix' },
    { id: 'larger', section: 'scaling', verdict: 'assumes', panel: 'calculator' },
    { id: 'fullmemory', section: 'scaling', verdict: 'differs', panel: 'calculator' },
    { id: 'start', section: 'practice', verdict: 'assumes', runs: [lora({}), lora({ target_modules: 'all-linear' })], judge: 'enough' },
    { id: 'underfit', section: 'practice', verdict: 'see', judge: 'better',
        runs: [
            lora({ rank: 1, alpha: 2, target_modules: ['q_proj'] }),
            lora({ rank: 16, alpha: 32, target_modules: 'all-linear' }),
        ] },
    { id: 'overfit', section: 'practice', verdict: 'see', judge: 'gap', pairs: [[0, 1], [0, 2], [0, 3]],
        runs: [
            lora({ rank: 64, alpha: 128, target_modules: 'all-linear' }, BY_HEART),
            lora({ rank: 4, alpha: 8, target_modules: 'all-linear' }, BY_HEART),
            lora({ rank: 64, alpha: 128, target_modules: 'all-linear', dropout: 0.1 }, BY_HEART),
            lora({ rank: 64, alpha: 128, target_modules: 'all-linear' }, { ...BY_HEART, steps: 40 }),
        ] },
    { id: 'production', section: 'practice', verdict: 'holds', runs: [lora({})], panel: 'merge' },
    { id: 'research', section: 'practice', verdict: 'assumes', runs: [PROMPT, lora({}), ADAPTER], judge: 'faster' },
    { id: 'pit.full', section: 'pitfalls', verdict: 'assumes', judge: 'near', pairs: [[0, 1], [0, 2]],
        runs: [FULL, lora({}), lora({ target_modules: 'all-linear' })] },
    { id: 'pit.rank', section: 'pitfalls', verdict: 'assumes', judge: 'enough', pairs: [[0, 1], [2, 3]],
        runs: [
            lora({}), lora({ rank: 64, alpha: 128 }),
            lora({ target_modules: 'all-linear' }), lora({ rank: 64, alpha: 128, target_modules: 'all-linear' }),
        ] },
    { id: 'pit.targets', section: 'pitfalls', verdict: 'assumes', judge: 'better', pairs: [[0, 1], [1, 2]],
        runs: [lora({ target_modules: ['k_proj'] }), lora({}), lora({ target_modules: 'all-linear' })] },
    { id: 'pit.inference', section: 'pitfalls', verdict: 'holds', panel: 'merge' },
    { id: 'pit.one', section: 'pitfalls', verdict: 'holds', runs: [lora({}, { lr: 0.0001 }), lora({})], judge: 'better' },
    { id: 'summary', section: 'summary', verdict: 'see', panel: 'choose' },
]));

export const SECTIONS = Object.freeze([
    'quick', 'tree', 'params', 'quality', 'overhead', 'tasks', 'combine', 'scaling', 'practice', 'pitfalls', 'summary',
]);

/**
 * What is to be tried for each row of the chapter's tables of advice, in the order of the engine's guide; the pitfalls are claims
 * of their own.
 * @type {Record<string, {runs: Wish[], panel?: string}[]>}
 */
export const TRY = Object.freeze({
    quick: [
        { runs: [PROMPT] },
        { runs: [lora({})] },
        { runs: [ADAPTER, lora({ rank: 32, alpha: 64 })] },
        { runs: [lora({})], panel: 'merge' },
        { runs: [PROMPT] },
        { runs: [lora({})], panel: 'merge' },
    ],
    summary: [
        { runs: [PROMPT] },
        { runs: [lora({})] },
        { runs: [lora({ rank: 16, alpha: 32 }), ADAPTER] },
        { runs: [lora({})], panel: 'merge' },
        { runs: [ADAPTER, lora({})], panel: 'mix' },
    ],
});

/** A method that the chapter does not name for a kind of task, to compare with what it does. @type {Record<string, Wish[]>} */
export const UNNAMED = Object.freeze({
    classification: [FULL], instruction: [PROMPT, FULL], domain: [PROMPT, FULL], style: [PROMPT, FULL], code: [PROMPT, FULL],
});

/**
 * How a reason of the chapter for a kind of task is judged: by what was recorded (judge, lib/bullets.js), by runs of this tab (here,
 * lib/evidence.js, two by two), or not at all (open). judge names the words, too: chapter.reason.JUDGE.
 * @typedef {{judge: string, open?: 'see' | 'untested', runs?: Wish[], here?: string, pairs?: Wish[][]}} Reason
 *   runs: what only this reason asks for, else the row's own are enough
 */
/** @type {Wish} */
const PREFIX = { method: 'prefix', options: { num_virtual_tokens: 10 } };
const SMALL = lora({ rank: 4, alpha: 8 });
const WIDER = lora({ rank: 16, alpha: 32 });
/** α as in the task's preset, as above. */
const [TWO, FOUR, SEVEN] = [QV, ATTENTION, 'all-linear'].map((target_modules) => lora({ target_modules, alpha: 64 }));

/** By kind of task, in the order of the engine's guide. @type {Record<string, Reason[]>} */
export const REASONS = Object.freeze({
    classification: [
        { judge: 'few', here: 'near', pairs: [[FULL, PROMPT], [FULL, SMALL]] },
        { judge: 'quick', here: 'faster', pairs: [[PROMPT, FULL], [SMALL, FULL]] },
        { judge: 'overfit', open: 'see', here: 'gap', pairs: [[FULL, PROMPT], [FULL, SMALL]] },
    ],
    instruction: [
        { judge: 'moderate', here: 'better', pairs: [[PROMPT, lora({})]] },
        { judge: 'merged' },
        { judge: 'studied', open: 'untested' },
    ],
    domain: [
        { judge: 'learn' },
        { judge: 'capacity', here: 'better', pairs: [[PROMPT, WIDER], [WIDER, FULL]] },
        { judge: 'pretraining', open: 'untested' },
    ],
    style: [
        { judge: 'steer', here: 'near', pairs: [[FULL, PROMPT]] },
        { judge: 'few', here: 'near', pairs: [[FULL, lora({})], [FULL, PREFIX]] },
    ],
    code: [
        { judge: 'complex', here: 'better', pairs: [[PROMPT, lora({ target_modules: ATTENTION })]] },
        { judge: 'qkvo', open: 'see', here: 'better', runs: [TWO, FOUR], pairs: [[TWO, FOUR]] },
        { judge: 'ffn', open: 'see', here: 'better', pairs: [[FOUR, SEVEN]] },
    ],
});

/**
 * PEFT's method comparison on MetaMathQA: Llama-3.2-3B, 5,000 steps, AdamW with cosine, one seed each. Parameters, accuracy on
 * GSM8K in percent, rise of the loss on wiki text ("forgetting"), peak GiB, MB of the file. Of the many methods there those that this
 * page has; read from the results in the repository
 * huggingface/peft, folder method_comparison/MetaMathQA.
 */
export const BENCHMARK = Object.freeze({
    source: 'huggingface/peft, method_comparison/MetaMathQA/results', model: 'Llama-3.2-3B', total: 3_212_749_824, full: 47.2,
    rows: /** @type {[string, string, number, number, number, number, number][]} */ ([
        ['lora', 'r 64, rsLoRA', 18_350_080, 51.3, 0.111, 21.0, 73.4],
        ['lora', 'r 10 on MLP', 9_461_760, 49.4, 0.032, 23.0, 37.9],
        ['lora', 'r 32, q + v', 9_175_040, 47.8, 0.050, 20.8, 36.7],
        ['lora', 'r 64, q + v', 18_350_080, 47.4, 0.059, 21.0, 73.4],
        ['full', '', 3_212_749_824, 47.2, 0.030, 36.2, 6425],
        ['lora', 'DoRA r 32', 9_289_728, 46.9, 0.051, 22.8, 37.2],
        ['ia3', 'lr 5e-3, all attention', 630_784, 45.5, 0.31, 24.3, 2.5],
        ['ia3', 'lr 1e-3', 286_720, 39.8, 0.05, 21.6, 1.2],
        ['ia3', 'lr 1e-4', 286_720, 31.1, 0.02, 21.6, 1.2],
        ['prefix', '50 rows, text init', 2_867_200, 41.6, 0.198, 19.2, 11.5],
        ['prefix', '200 rows, zero init', 11_468_800, 35.8, 0.396, 20.4, 45.9],
        ['prefix', '200 rows, random init', 11_468_800, 18.6, 1.785, 20.4, 45.9],
        ['prompt', '200 rows, vocabulary init', 614_400, 34.3, 0.145, 22.7, 2.5],
        ['prompt', '200 rows, random init', 614_400, 23.4, 0.41, 22.7, 2.5],
        ['prompt', '200 rows, random init, lr 1e-4', 614_400, 5.7, 0.74, 22.7, 2.5],
        ['norms', '', 175_104, 0.0, 0.009, 19.7, 0.36],
    ]),
});

/** The chapter's own lines. */
export const CHAPTER_CODE = `# Learn soft prompts AND low-rank weight updates
soft_prompt = PromptTuning(d_model=4096, prompt_length=20)
lora_layers = add_lora_to_model(model, rank=8)

# Training: optimize both
optimizer = Adam(
    list(soft_prompt.parameters()) + list(lora_layers.parameters())
)`;

/**
 * The same, complete, with transformers and peft: peft holds one kind of method per model, so the soft prompt is a parameter of
 * its own.
 */
export const JOINT_PYTHON = `# LoRA + soft prompt, trained together. Needs: pip install torch transformers peft
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer

MODEL = "meta-llama/Llama-2-7b-hf"
ROWS = 20
tokenizer = AutoTokenizer.from_pretrained(MODEL)
model = AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.bfloat16)
model = get_peft_model(model, LoraConfig(r=8, lora_alpha=16, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM"))
embed = model.get_input_embeddings()
start = torch.randint(embed.num_embeddings, (ROWS,))  # begin as the rows of real tokens
soft_prompt = torch.nn.Parameter(embed.weight[start].detach().float())  # trained numbers stay in 32 bits, as peft keeps LoRA
lora = [p for p in model.parameters() if p.requires_grad]
optimizer = torch.optim.AdamW([{"params": lora, "lr": 1e-4}, {"params": [soft_prompt], "lr": 1e-3}])


def loss_of(prompt, completion):
    before = tokenizer(prompt, return_tensors="pt").input_ids
    learned = tokenizer(completion, add_special_tokens=False, return_tensors="pt").input_ids
    learned = torch.cat([learned, torch.tensor([[tokenizer.eos_token_id]])], dim=1)
    ids = torch.cat([before, learned], dim=1)
    inputs = torch.cat([soft_prompt[None].to(model.dtype), embed(ids)], dim=1)
    ignored = torch.full((1, ROWS + before.shape[1]), -100)  # the loss is on the completion only
    return model(inputs_embeds=inputs, labels=torch.cat([ignored, learned], dim=1)).loss


for prompt, completion in [("The cat", " says arr.")] * 10:
    loss = loss_of(prompt, completion)
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    print(f"loss {loss.item():.3f}")

model.save_pretrained("lora")
torch.save(soft_prompt.detach(), "soft_prompt.pt")`;

/** The same with this project's engine. */
export const JOINT_JS = `const session = await PeftLab.load('models/stories-1m');
await session.addModule('lora', { rank: 8, alpha: 16 });
await session.addModule('prompt', { num_virtual_tokens: 20 });
await session.setData('train', examples);
await session.train({ steps: 80, lr: 0.01 });   // one optimiser for both`;
