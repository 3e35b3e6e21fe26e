#!/usr/bin/env python3
"""A model twice as wide that computes the same: the start of stories-4m, from a checkpoint of stories-1m.

    python grow.py --run WORK/stories-1m --out WORK/grown          then: pretrain.py --model stories-4m --init WORK/grown ...

Every activation x becomes (x, x). A matrix W becomes ((W/2 + N, W/2 - N), (W/2 + M, W/2 - M)): the noise cancels while both halves
of the input are equal, but the halves learn different things from the first step on. Heads and key/value heads double, their size
stays. With tied embeddings the logits would double, so the last norm's weight is halved. The idea is Net2Net's (Chen, Goodfellow and
Shlens, 2016, arXiv:1511.05641): what a small model has learned in cheap steps, the wide one need not learn in dear ones.
"""
import argparse
import json
from pathlib import Path

import torch
from safetensors.torch import save_file

from llama import Llama

HERE = Path(__file__).parent
NOISE = 0.5  # of the matrix's own standard deviation


def wider(matrix, generator):
    noise = [NOISE * matrix.std() * torch.randn(matrix.shape, generator=generator) for _ in range(2)]
    return torch.cat([torch.cat((matrix / 2 + n, matrix / 2 - n), 1) for n in noise], 0)


def grow(weights, generator):
    """State of a Llama of width d -> state of one of width 2 d with the same logits."""
    grown = {}
    for name, w in weights.items():
        if "embed_tokens" in name:
            grown[name] = torch.cat((w, w), 1)
        elif w.dim() == 2:
            grown[name] = wider(w, generator)
        else:
            grown[name] = torch.cat((w, w)) / (2 if name == "model.norm.weight" else 1)
    return grown


@torch.no_grad()
def main():
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--run", type=Path, required=True, help="folder with the small model's checkpoint.pt")
    cli.add_argument("--out", type=Path, required=True)
    cli.add_argument("--model", default="stories-4m", help="a name in shapes.json, twice as wide")
    cli.add_argument("--seed", type=int, default=1)
    args = cli.parse_args()
    saved = torch.load(args.run / "checkpoint.pt")
    shape = json.loads((HERE / "shapes.json").read_text())[args.model]
    grown = grow(saved["model"], torch.Generator().manual_seed(args.seed))
    small, large = Llama(saved["shape"]).eval(), Llama(shape).eval()
    small.load_state_dict(saved["model"])
    large.load_state_dict(grown)
    ids = torch.randint(shape["vocab"], (2, 64), generator=torch.Generator().manual_seed(2))
    gap = (small(ids) - large(ids)).abs().max().item()
    print("largest difference of logits:", gap)
    assert gap < 1e-3
    args.out.mkdir(parents=True, exist_ok=True)
    save_file({k: v.contiguous() for k, v in grown.items()}, args.out / "model.safetensors")
    done = saved["done"]
    facts = {"tokens": done["tokens"], "steps": done["step"], "minutes": round(done["seconds"] / 60, 1), "processor_minutes": round(done["processor"] / 60, 1),
             "curve": [], "sittings": [{"grown_from": saved["name"], "step": done["step"], "minutes": round(done["seconds"] / 60, 1),
                                                    "tokens": done["tokens"], "seed": args.seed}]}
    (args.out / "training.json").write_text(json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    main()
