"""The model card, filled with measured numbers only."""

SOURCES = """| group | text | licence | documents | bytes |
|---|---|---|---|---|
| stories | TinyStories (Eldan and Li, 2023), about 19,000 stories | CDLA-Sharing-1.0; its section 3.5 leaves results such as weights free | {stories[documents]:,} | {stories[bytes]:,} |
| picture | picture books of African Storybook, Pratham Books (StoryWeaver) and Book Dash | CC BY 4.0 (African Storybook: CC BY) | {picture[documents]:,} | {picture[bytes]:,} |
| fables | short, simple tales from Standard Ebooks (Aesop and others) | public domain in the US / CC0 | {fables[documents]:,} | {fables[bytes]:,} |
| primer | letters, numbers, lists: made by `clean.py` | this project's | {primer[documents]:,} | {primer[bytes]:,} |
| held out | 5 % of TinyStories, never trained on | as above | {heldout[documents]:,} | {heldout[bytes]:,} |"""


def model_card(f, samples):
    s, name = f["shape"], f["name"]
    state = ("The learning rate was decayed to zero as planned." if f["decayed"] else
             f"**Intermediate export**: {f['minutes']} of {f['planned_minutes']:.0f} planned minutes; the learning rate is not "
             "decayed yet, so the finished model will be clearly better.")
    curve = "\n".join(f"| {c['step']:,} | {c['tokens']:,} | {c['seconds'] / 60:.1f} | {c['heldout_bits_per_byte']:.3f} |"
                      for c in thin(f["curve"], 12))
    quotes = "\n\n".join(f"**seed {x['seed']}**\n\n> " + x["text"].strip().replace("\n", "\n> ") for x in samples)
    return f"""---
library_name: transformers
pipeline_tag: text-generation
language: en
---
# {name}

A Llama of {f['parameters']:,} parameters that writes little stories. It is a base to fine-tune in peftlab, not an assistant:
it follows no instructions and knows no facts.

| | |
|---|---|
| architecture | `LlamaForCausalLM`: RMSNorm, RoPE, SwiGLU, grouped-query attention, tied embeddings |
| shape | {s['layers']} layers, width {s['dim']}, MLP {s['hidden']}, {s['heads']} query heads, {s['kv_heads']} key/value heads of {s['dim'] // s['heads']} |
| vocabulary | {s['vocab']:,} (byte-level BPE; token 0, `<|endoftext|>`, begins and ends every text) |
| context | {s['context']} tokens (trained on windows of 256, in the decay phase of 512) |
| weights | {f['dtype']} safetensors, {f['bytes']:,} bytes |
| held-out bits per byte | **{f['bits_per_byte']:.3f}** on {f['heldout_stories']} held-out stories ({f['bits_per_byte_float32']:.4f} before rounding to 16 bits) |
| trained | {f['minutes']} minutes on {f['threads']} thread of a shared two-core machine, {f['tokens']:,} tokens, {f['steps']:,} steps |

{state}

## How it was made
One command for each step, from `models/recipes/` (WORK is a folder outside the project):
```
python clean.py --data ../shared/data --out WORK/clean
python train_tokenizer.py --clean WORK/clean --vocab {s['vocab']} --out WORK/tokenizer-{s['vocab']}
python pretrain.py --model {name} --clean WORK/clean --tokenizer WORK/tokenizer-{s['vocab']} --out WORK/{name} --minutes {f['planned_minutes']:.0f}{f['flags']}
python export.py --run WORK/{name} --tokenizer WORK/tokenizer-{s['vocab']} --clean WORK/clean --out ../{name}
```
Seed 1. The schedule follows the clock, so another machine gives another number of steps; `--tokens` makes it exact.

### Text
{SOURCES.format(**f['data'])}

Documents with slurs or period racism are dropped whole; the old children's books are cleaned but not part of this mix.
The raw text is not in this project.

### Curve
| step | tokens | minutes | held-out bits per byte (100 stories) |
|---|---|---|---|
{curve}

## Samples
Unedited, seeds 1 to 10, temperature 0.7, top-k 40, from `<|endoftext|>` alone (PyTorch's random numbers).

{quotes}

## Limits
Simple English only. Characters and objects may change in mid-story, and everything it says is made up. It repeats the
patterns of TinyStories (and their names). Numbers and letters were seen only in simple lists.
"""


def thin(rows, most):
    step = max(1, -(-len(rows) // most))
    return rows[::step] + ([rows[-1]] if rows and (len(rows) - 1) % step else [])
