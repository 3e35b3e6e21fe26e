#!/usr/bin/env python3
"""Step 4 of 4: checkpoint of pretrain.py or refine.py -> Hugging Face folder, checked against transformers, measured, with its card.

    python export.py --run WORK/stories-1m --tokenizer WORK/tokenizer-2048 --clean WORK/clean --out ../stories-1m

Writes config.json, model.safetensors (float16), generation_config.json, tokenizer files, samples.json, README.md.
It fails if transformers' logits and ours differ by more than 1e-4 in float32, or if rounding the weights to 16 bits
costs more than 0.002 bits per byte.
"""
import argparse
import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, AutoTokenizer

import card
from llama import Llama, hf_config
from pretrain import bits_per_byte, budget, flags


@torch.no_grad()
def sample(model, tokenizer, seed, prompt="", temperature=0.7, top_k=40, longest=300):
    """One text from <|endoftext|> + prompt, to its own <|endoftext|> or `longest` tokens."""
    generator = torch.Generator().manual_seed(seed)
    ids = [0] + tokenizer.encode(prompt, add_special_tokens=False).ids
    for _ in range(longest):
        logits = model(torch.tensor(ids)[None])[0, -1]
        best = torch.topk(logits / temperature, top_k)
        ids.append(best.indices[torch.multinomial(torch.softmax(best.values, -1), 1, generator=generator)].item())
        if ids[-1] == 0:
            break
    return tokenizer.decode(ids, skip_special_tokens=True)


def sitting_of(saved):
    """Checkpoint of pretrain.py or refine.py -> (what a card says of this sitting, whether its budget was used up)."""
    done, start, arguments = saved["done"], saved["start"], saved["arguments"]
    spent = {k: done[k] - start[k] for k in done}
    sitting = {"minutes": round(spent["seconds"] / 60, 1), "processor_minutes": round(spent["processor"] / 60, 1), "tokens": spent["tokens"],
               "threads": int(arguments["threads"]), "seed": int(arguments["seed"]), "device": saved["device"]}
    if "refined" in saved:
        return {**sitting, "refined": saved["refined"], "flags": saved["flags"]}, saved["refined"]["rounds"] >= int(arguments["rounds"])
    wanted = arguments["tokens"] if arguments["tokens"] != "None" else arguments["minutes"]
    share = (spent["tokens"] if arguments["tokens"] != "None" else spent["seconds"] / 60) / float(wanted)
    return {**sitting, "budget": budget(arguments), "flags": flags(arguments), "teachers": saved["teachers"]}, share >= 1


def main():
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("run", "tokenizer", "clean", "out"):
        cli.add_argument(f"--{name}", type=Path, required=True)
    cli.add_argument("--stories", type=int, default=400, help="held-out stories to measure")
    cli.add_argument("--dtype", choices=("float16", "bfloat16"), default="float16")
    args = cli.parse_args()
    torch.set_num_threads(1)
    saved = torch.load(args.run / "checkpoint.pt", map_location="cpu")
    tokenizer = Tokenizer.from_file(str(args.tokenizer / "tokenizer.json"))
    model = Llama(saved["shape"]).eval()
    model.load_state_dict(saved["model"])
    exact = bits_per_byte(model, tokenizer, args.clean, args.stories)
    other = {}
    for dtype in (torch.float16, torch.bfloat16):
        rounded = Llama(saved["shape"]).eval()
        rounded.load_state_dict({k: v.to(dtype).float() for k, v in saved["model"].items()})
        other[str(dtype).split(".")[1]] = bits_per_byte(rounded, tokenizer, args.clean, args.stories)
    print("bits per byte: float32", round(exact, 4), {k: round(v, 4) for k, v in other.items()})
    assert other[args.dtype] - exact < 0.002

    args.out.mkdir(parents=True, exist_ok=True)
    dtype = getattr(torch, args.dtype)
    config = {**hf_config(saved["shape"]), "dtype": args.dtype, "torch_dtype": args.dtype}
    save_file({k: v.to(dtype).contiguous() for k, v in saved["model"].items()}, args.out / "model.safetensors",
              metadata={"format": "pt"})
    (args.out / "model.safetensors").chmod(0o644)
    (args.out / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    (args.out / "generation_config.json").write_text(json.dumps(
        {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0, "do_sample": True, "temperature": 0.7, "top_k": 40},
        indent=2) + "\n")
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        shutil.copy(args.tokenizer / name, args.out / name)

    theirs = AutoModelForCausalLM.from_pretrained(args.out, dtype=torch.float32).eval()
    ours = Llama(saved["shape"]).eval()
    ours.load_state_dict({k: v.to(dtype).float() for k, v in saved["model"].items()})
    text = "Once upon a time, there was a little girl named Lily. She had 3 dogs."
    ids = AutoTokenizer.from_pretrained(args.out)(text, return_tensors="pt").input_ids
    assert ids[0].tolist() == tokenizer.encode(text).ids
    with torch.no_grad():
        gap = (theirs(ids).logits - ours(ids)).abs().max().item()
    print("largest difference to transformers' logits:", gap)
    assert gap < 1e-4

    done = saved["done"]
    sitting, complete = sitting_of(saved)
    if "written" in saved["mix"] and "refined" not in saved:
        sitting["written"] = json.loads((args.clean / "written.json").read_text())
    samples = [{"seed": s, "text": sample(ours, tokenizer, s)} for s in range(1, 11)]
    (args.out / "samples.json").write_text(json.dumps(
        {"temperature": 0.7, "top_k": 40, "prompt": "<|endoftext|>", "samples": samples}, indent=1) + "\n")
    facts = {"name": saved["name"], "shape": saved["shape"], "parameters": model.parameters_count(),
             "bytes": (args.out / "model.safetensors").stat().st_size, "dtype": args.dtype,
             "bits_per_byte": round(other[args.dtype], 4), "bits_per_byte_float32": round(exact, 4),
             "heldout_stories": args.stories, "tokens": done["tokens"], "steps": done["step"], "minutes": round(done["seconds"] / 60, 1),
             "processor_minutes": round(done["processor"] / 60, 1), "mix": saved["mix"],
             "sittings": saved["sittings"] + [sitting], "decayed": complete,
             "data": json.loads((args.clean / "stats.json").read_text()),
             "curve": saved["curve"] + [json.loads(line) for line in (args.run / "log.jsonl").read_text().splitlines()
                       if "heldout" in line]}
    (args.out / "training.json").write_text(json.dumps(facts, indent=1) + "\n")
    card.main()


if __name__ == "__main__":
    main()
