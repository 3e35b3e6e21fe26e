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


def sitting(x):
    """Time, machine and tokens of one sitting."""
    where = "on a shared two-core machine" if x.get("device", "cpu") == "cpu" else f"on one {x['device']}, shared with other runs (`on-gpu.sh`)"
    processor = f" ({x['processor_minutes']:.0f} of processor)" if where.endswith("machine") and x.get("processor_minutes") else ""
    threads = f", {x['threads']} threads" if x.get("threads", 1) > 1 else ""
    return f"{x['minutes']:.3g} minutes{processor} {where}{threads}, {x['tokens']:,} tokens"


def trained(f):
    """Time and tokens, a sitting each."""
    if len(f["sittings"]) == 1:
        return f"in {f['steps']:,} steps: {sitting(f['sittings'][0])}"
    return f"{f['tokens']:,} tokens in {f['steps']:,} steps: " + "; then, in a further sitting, ".join(map(sitting, f["sittings"]))


def on_two_cores(f):
    """What a GPU's sitting would have taken on two cores, from some steps timed there; a row of the table, empty where none was timed."""
    timed = [x for x in f["sittings"] if "on_two_cores" in x]
    if not timed:
        return ""
    own = sum(x["tokens"] * x["on_two_cores"]["processor_seconds"] / x["on_two_cores"]["tokens"] for x in timed)
    taught_tokens = sum(t["tokens"] for t in teachers_of(f))
    at = timed[-1]["on_two_cores"]
    teachers = taught_tokens * at["teacher_processor_seconds"] / at["teacher_tokens"]
    hours = [f"{round(seconds / 2 / 3600, -1):.0f}" for seconds in (own, teachers)]
    return (f"\n| the same on two cores | about {hours[0]} hours, and {hours[1]} for the teachers below: calculated from {at['tokens']:,} and {at['teacher_tokens']:,} tokens, "
            f"which took {at['processor_seconds']} and {at['teacher_processor_seconds']} s of processor time with `--threads 2` in place of `--compile --bf16` |")


def teachers_of(f):
    """Facts of the larger models that taught in a sitting or wrote its texts, each once."""
    every = [t for x in f["sittings"] for t in x.get("teachers", []) + x.get("written", {}).get("teachers", [])]
    return list({t["name"]: t for t in every}.values())


def pretrain_command(name, tokenizer, x, more=""):
    """x: name of the run, budget and flags."""
    return f"python pretrain.py --model {name} --clean WORK/clean --tokenizer {tokenizer} --out WORK/{x['name']}{more} {x['budget']}{x['flags']}"


def export_command(run, tokenizer, name):
    return f"python export.py --run WORK/{run} --tokenizer {tokenizer} --clean WORK/clean --out ../{name}"


def helpers(f):
    """Commands of the teachers and of the text they wrote, as far as a sitting used them."""
    tokenizer = "WORK/tokenizer-2048"
    lines = [pretrain_command("teacher", tokenizer, t, f" --seed {t['seed']}") for t in teachers_of(f)]
    if lines and f["shape"]["vocab"] != 2048:
        lines.insert(0, f"python train_tokenizer.py --clean WORK/clean --vocab 2048 --out {tokenizer}")
    for x in f["sittings"]:
        if "written" in x:
            teachers = "".join(f" --teacher WORK/{t['name']}" for t in x["written"]["teachers"])
            lines.append(f"python write.py{teachers} --tokenizer {tokenizer} --clean WORK/clean --seed {x['written']['seed']}    # stopped after {x['written']['seconds']:.0f} seconds")
    return lines


def commands(f):
    """The commands of each sitting."""
    name, tokenizer = f["name"], f"WORK/tokenizer-{f['shape']['vocab']}"
    lines = helpers(f)
    start = ""
    for i, x in enumerate(f["sittings"]):
        out = f"{name}" + (f"-{i + 1}" if i else "")
        if "refined" in x:
            lines.append(f"python refine.py --init {start} --teacher ../{x['refined']['teacher']} --clean WORK/clean --out WORK/{out}{x['flags']}")
            lines.append(export_command(out, tokenizer, name))
            continue
        init = f" --init {start} --seed {x['seed']}" if start else ""
        teachers = "".join(f" --teacher WORK/{t['name']}" for t in x.get("teachers", []))
        lines.append(pretrain_command(name, tokenizer, {**x, "name": out}, init + teachers))
        lines.append(export_command(out, tokenizer, name))
        start = f"../{name}"
    return "\n".join(lines)


def taught(f):
    """What a card says of teachers and of their text; empty without them."""
    rows = "\n".join(f"| {t['name']} | {t['parameters']:,} | {t['shape']['layers']} x {t['shape']['dim']} | {t['minutes']:.3g} minutes on one {t['device']} | "
                     f"{t['tokens'] / 1e6:.0f} M | {t['bits_per_byte']:.3f} |" for t in teachers_of(f))
    if not rows:
        return ""
    text = ("\n### Teachers\nLarger models that learned from the same training text with much dropout. They are too large for a page, and not part of this project.\n\n"
            "| teacher | parameters | layers x width | trained | tokens seen | held-out bits per byte (100 stories) |\n|---|---|---|---|---|---|\n" + rows + "\n")
    if any(x.get("teachers") for x in f["sittings"]):
        text += "\nMost of the loss (`--teacher-share` of `pretrain.py`) is the distance to the mean of their distributions, the rest the usual loss on the text.\n"
    for w in (x["written"] for x in f["sittings"] if "written" in x):
        text += (f"\nThe mix has the stories {f['mix'].split(',').count('stories')} times and {w['documents']:,} texts ({w['tokens'] / 1e6:.1f} M tokens) sampled from "
                 f"{' and '.join(t['name'] for t in w['teachers'])} at temperature {w['temperature']}; {w['unusable']} more were dropped by the rules of `clean.py`, {w['repeated']} as repeated.\n")
    return text


def refined(f):
    """What a card says of refine.py; empty where it was not used."""
    return "".join(
        f"\n### On its own stories\nIn the last sitting it wrote {r['stories']:,} stories itself (temperature {r['temperature']}, {r['own_tokens'] / 1e6:.1f} M tokens), and at each of "
        f"their tokens was drawn to what `{r['teacher']}` would say there (`refine.py`: on-policy distillation); the other {r['text_share']:.0%} of the loss stayed on the text above. "
        f"What that cost and brought is measured in `../README.md`.\n" for r in (x["refined"] for x in f["sittings"] if "refined" in x))


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
| context | {s['context']} tokens ({windows(f)}) |
| weights | {f['dtype']} safetensors, {f['bytes']:,} bytes |
| held-out bits per byte | **{f['bits_per_byte']:.3f}** on {f['heldout_stories']} held-out stories ({f['bits_per_byte_float32']:.4f} before rounding to 16 bits) |
| trained | {trained(f)} |{on_two_cores(f)}

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
{taught(f)}{refined(f)}
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


def windows(f):
    every = " --window 512" in [x for x in f["sittings"] if "refined" not in x][-1]["flags"]
    return "trained on windows of 512" if every else "trained on windows of 256, in the decay phase of 512"


def exactness(f):
    if any("--minutes" in x.get("budget", "") for x in f["sittings"] + teachers_of(f)):
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
