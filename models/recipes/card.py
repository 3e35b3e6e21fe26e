#!/usr/bin/env python3
"""The model cards, filled with measured numbers only: training.json and samples.json of each model folder -> README.md.

    python card.py          writes every card again (each compares all models)
"""
import json
from pathlib import Path

MODELS = Path(__file__).parent.parent

SOURCES = """| group | text | licence | documents | bytes |
|---|---|---|---|---|
| stories | TinyStories (Eldan and Li, 2023), about 19,000 stories | CDLA-Sharing-1.0; its section 3.5 leaves results such as weights free | {stories[documents]:,} | {stories[bytes]:,} |
| picture | picture books of African Storybook, Pratham Books (StoryWeaver) and Book Dash | CC BY 4.0 (African Storybook: CC BY) | {picture[documents]:,} | {picture[bytes]:,} |
| fables | short, simple tales from Standard Ebooks (Aesop and others) | public domain in the US / CC0 | {fables[documents]:,} | {fables[bytes]:,} |
| primer | letters, numbers, lists: made by `clean.py` | this project's | {primer[documents]:,} | {primer[bytes]:,} |
| held out | 5 % of TinyStories, never trained on | as above | {heldout[documents]:,} | {heldout[bytes]:,} |"""


def all_facts():
    """training.json of every model, smallest first."""
    return sorted((json.loads(p.read_text()) for p in MODELS.glob("*/training.json")), key=lambda f: f["parameters"])


def comparison(models, name):
    rows = "\n".join(
        f"| {'**' + m['name'] + '** (this one)' if m['name'] == name else m['name']} | {m['parameters']:,} | {m['bytes'] / 1e6:.2f} MB | "
        f"{m['shape']['layers']} x {m['shape']['dim']} | {m['shape']['vocab']:,} | {m['tokens'] / 1e6:.1f} M | {m['bits_per_byte']:.3f} |" for m in models)
    return "| model | parameters | file | layers x width | vocabulary | tokens seen | held-out bits per byte |\n|---|---|---|---|---|---|---|\n" + rows


def trained(f):
    """Time and tokens, a sitting each."""
    parts = [(f"grown from {x['grown_from']} at its step {x['step']:,} (so far {x['minutes']:.0f} minutes, {x['tokens']:,} tokens)" if "grown_from" in x else
              f"{x['minutes']:.0f} minutes" + (f" ({x['processor_minutes']:.0f} of processor)" if x.get("processor_minutes") else "")
              + (f" on {x['threads']} threads" if x.get("threads", 1) > 1 else "") + f", {x['tokens']:,} tokens") for x in f["sittings"]]
    return (f"{f['tokens']:,} tokens in {f['steps']:,} steps, on a shared two-core machine, one thread where nothing else is said: "
            + "; then, in a further sitting, ".join(parts))


def commands(f):
    """The commands of each sitting."""
    name, tokenizer = f["name"], f"WORK/tokenizer-{f['shape']['vocab']}"
    lines = []
    start = ""
    for i, x in enumerate(f["sittings"]):
        if "grown_from" in x:
            lines.append(f"python grow.py --run WORK/{x['grown_from']} --out WORK/grown    # with the checkpoint of step {x['step']}")
            start = "WORK/grown"
            continue
        out = f"WORK/{name}" + (f"-{i + 1}" if i else "")
        init = f" --init {start} --seed {x['seed']}" if start else ""
        lines.append(f"python pretrain.py --model {name} --clean WORK/clean --tokenizer {tokenizer} --out {out}{init} {x['budget']}{x['flags']}")
        lines.append(f"python export.py --run {out} --tokenizer {tokenizer} --clean WORK/clean --out ../{name}")
        start = f"../{name}"
    return "\n".join(lines)


def model_card(f, samples, models):
    s, name = f["shape"], f["name"]
    state = ("The learning rate was decayed to zero as planned." if f["decayed"] else
             "**Intermediate export**: the learning rate is not decayed yet, so the finished model will be clearly better.")
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
| trained | {trained(f)} |

{state}

{comparison(models, name)}

## How it was made
One command for each step, from `models/recipes/` (WORK is a folder outside the project):
```
python clean.py --data ../shared/data --out WORK/clean
python train_tokenizer.py --clean WORK/clean --vocab {s['vocab']} --out WORK/tokenizer-{s['vocab']}
{commands(f)}
```
{exactness(f)}

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


def exactness(f):
    if any("--minutes" in x.get("budget", "") for x in f["sittings"]):
        return "Where the budget is in minutes, the schedule follows the clock, so another machine gives another number of steps."
    return "The budget is in tokens, so the schedule is the same everywhere."


def thin(rows, most):
    step = max(1, -(-len(rows) // most))
    return rows[::step] + ([rows[-1]] if rows and (len(rows) - 1) % step else [])


def main():
    models = all_facts()
    for facts in models:
        folder = MODELS / facts["name"]
        samples = json.loads((folder / "samples.json").read_text())["samples"]
        (folder / "README.md").write_text(model_card(facts, samples, models))
        print(folder.name)


if __name__ == "__main__":
    main()
