#!/usr/bin/env python3
"""What a larger model makes of the stories that a smaller one writes: nats a token.

    python judged.py --judge ../stories-4m ../stories-1m ../stories-4m

Each model writes --stories of them from nothing (temperature 0.7, seed 1). The fewer nats the judge needs a token, the more of what is
written is what it would say itself, too; what it needs for its own stories is the least to expect.
"""
import argparse
from pathlib import Path

import torch
import torch.nn.functional as F

from refine import LONGEST, exported, padded
from write import write

AT_ONCE = 32


@torch.no_grad()
def nats(judge, stories):
    """stories: lists of ids, without <|endoftext|>. -> mean over their tokens and ends of what the judge needs, nats."""
    total = count = 0
    for at in range(0, len(stories), AT_ONCE):
        ids, mask = padded(stories[at:at + AT_ONCE])
        losses = F.cross_entropy(judge(ids[:, :-1]).transpose(1, 2), ids[:, 1:], reduction="none")
        total, count = total + (losses * mask).sum().item(), count + mask.sum().item()
    return total / count


def main():
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("models", nargs="+", type=Path, help="folders of export.py, all with the judge's tokenizer")
    cli.add_argument("--judge", type=Path, required=True)
    cli.add_argument("--stories", type=int, default=512)
    cli.add_argument("--threads", type=int, default=1)
    args = cli.parse_args()
    torch.set_num_threads(args.threads)
    judge, _ = exported(args.judge)
    for folder in args.models:
        assert (folder / "tokenizer.json").read_text() == (args.judge / "tokenizer.json").read_text(), f"{folder} has another tokenizer"
        model, _ = exported(folder)
        stories = sorted(write(model.eval(), args.stories, torch.Generator().manual_seed(1), 0.7, LONGEST), key=len)
        print(f"{folder.name}: {nats(judge, stories):.3f} nats a token in {len(stories)} stories", flush=True)


if __name__ == "__main__":
    main()
