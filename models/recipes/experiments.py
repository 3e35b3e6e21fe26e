#!/usr/bin/env python3
"""Small experiments behind the choices of shape, vocabulary, schedule, mix and regularisation: experiments.json.

    python experiments.py --clean WORK/clean --tokenizers WORK --out WORK/experiments [--tokens 1.2e6]

Every entry changes one thing of the first. WORK/tokenizer-N (train_tokenizer.py --vocab N) must exist for the vocabularies
named. One line a run in experiments-log.jsonl; a run that is there already with the same arguments is not repeated.
"""
import argparse
import json
import re
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
LOG = HERE / "experiments-log.jsonl"


def run(entry, args):
    """Trains as the entry says with pretrain.py; returns the log's line."""
    vocab = entry.get("vocab", 1024)
    out = args.out / re.sub(r"\W+", "-", f"{entry['question']} {entry['name']}")
    command = [sys.executable, HERE / "pretrain.py", "--model", "stories-300k", "--clean", args.clean,
               "--tokenizer", args.tokenizers / f"tokenizer-{vocab}", "--out", out, "--tokens", str(args.tokens),
               "--seed", str(args.seed), "--eval-stories", "60", *entry["arguments"]]
    began = time.monotonic()
    printed = subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True).stdout
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return {"question": entry["question"], "name": entry["name"], "arguments": entry["arguments"], "seed": args.seed,
            "tokens": args.tokens, "parameters": int(re.search(r": ([\d,]+) parameters", printed)[1].replace(",", "")),
            "heldout_bits_per_byte": float(printed.split()[-1]), "train_loss": lines[-1]["loss"],
            "seconds": round(time.monotonic() - began), "processor": round(lines[-1]["processor"])}


def main():
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("clean", "tokenizers", "out"):
        cli.add_argument(f"--{name}", type=Path, required=True)
    cli.add_argument("--tokens", type=float, default=1.2e6)
    cli.add_argument("--seed", type=int, default=1)
    args = cli.parse_args()
    past = [json.loads(line) for line in LOG.read_text().splitlines()] if LOG.exists() else []
    for entry in json.loads((HERE / "experiments.json").read_text()):
        known = {**{k: entry[k] for k in ("question", "name", "arguments")}, "seed": args.seed, "tokens": args.tokens}
        if any(all(row[k] == v for k, v in known.items()) for row in past):
            continue
        row = run(entry, args)
        with LOG.open("a") as f:
            f.write(json.dumps(row) + "\n")
        print(row, flush=True)


if __name__ == "__main__":
    main()
