#!/usr/bin/env python3
"""Optional, after export.py: a small model learns from a larger one on the stories that it writes itself.

    python refine.py --init ../stories-1m --teacher ../stories-4m --clean WORK/clean --out WORK/stories-1m-2 --rounds 100

A model that has read only good text spreads its probability over more than it can carry through, and has never seen its own slips: its
characters change in mid-story. Here it writes stories, and at every token of them its distribution q is drawn to the teacher's p by the
reverse Kullback-Leibler divergence, sum of q log(q/p), which is large where the model would say what the teacher would not. This is
on-policy distillation: Agarwal et al., 2024, arXiv:2306.13649, and Gu et al., 2024, arXiv:2306.08543. The other part of the loss is that of
pretrain.py on the text, so that the model forgets nothing of it.

Both models are exported folders with one tokenizer. The budget is rounds of stories; the learning rate warms up over 20 steps and falls
linearly to zero over the last 60 %. Stop it at any time; the same command resumes. export.py makes the folder of the result.
"""
import argparse
import json
import signal
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from tokenizers import Tokenizer

from llama import Llama
from pretrain import Batches, bits_per_byte, earlier_sittings, encode, teachers_mean
from write import write

WARM_STEPS = 20
DECAY = 0.6       # share of the rounds in which the learning rate falls
LONGEST = 320     # tokens of a story; those that have not ended by then teach nothing
TEXT_WINDOW = 256


def exported(folder):
    """Model folder of export.py -> (model in float32, its training.json)."""
    facts = json.loads((folder / "training.json").read_text())
    model = Llama(facts["shape"])
    model.load_state_dict({name: tensor.float() for name, tensor in load_file(folder / "model.safetensors").items()})
    return model, facts


def padded(stories):
    """Lists of ids -> (ids with <|endoftext|> before and after each, [batch, longest + 2]; 1 where there is something to predict, [batch, longest + 1])."""
    length = max(map(len, stories)) + 2
    ids, mask = torch.zeros(len(stories), length, dtype=torch.long), torch.zeros(len(stories), length - 1)
    for row, story in enumerate(stories):
        ids[row, 1:len(story) + 1] = torch.tensor(story)
        mask[row, :len(story) + 1] = 1
    return ids, mask


def own_loss(model, teacher, stories, bf16):
    """stories: lists of ids, without <|endoftext|>. -> mean over their tokens and ends of KL(model || teacher), nats."""
    ids, mask = padded(stories)
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        with torch.no_grad():
            p = teacher(ids[:, :-1]).float().log_softmax(-1)
        q = model(ids[:, :-1]).float().log_softmax(-1)
    return ((q.exp() * (q - p)).sum(-1) * mask).sum() / mask.sum()


def text_loss(model, teacher, x, y, teacher_share, bf16):
    """x, y: [batch, window], ids and the ids after them. -> the loss of pretrain.py with one teacher, nats a token."""
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        logits = model(x).flatten(0, 1)
        wanted = teachers_mean([teacher], x).flatten(0, 1)
    return torch.lerp(F.cross_entropy(logits.float(), y.reshape(-1)), F.cross_entropy(logits.float(), wanted), teacher_share)


def as_typed(cli, args):
    """Options that are not the defaults, as a card repeats them; the folders are the card's business."""
    other = {k: v for k, v in vars(args).items() if v != cli.get_default(k) and not isinstance(v, Path)}
    return "".join(f" --{k.replace('_', '-')}" + ("" if v is True else f" {v}") for k, v in other.items())


def main():
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("init", "teacher", "clean", "out"):
        cli.add_argument(f"--{name}", type=Path, required=True)
    cli.add_argument("--rounds", type=int, default=100)
    cli.add_argument("--stories", type=int, default=224, help="written in a round")
    cli.add_argument("--batch", type=int, default=28, help="of them in a step")
    cli.add_argument("--temperature", type=float, default=0.8, help="of the writing")
    cli.add_argument("--text-share", type=float, default=0.5, help="share of the loss that is on the text")
    cli.add_argument("--text-batch", type=int, default=10, help=f"windows of {TEXT_WINDOW} tokens in a step")
    cli.add_argument("--teacher-share", type=float, default=0.9, help="of that loss, as in pretrain.py")
    cli.add_argument("--mix", default="stories,stories,stories,picture,fables,primer", help="files of the clean folder")
    cli.add_argument("--lr", type=float, default=1e-3)
    cli.add_argument("--seed", type=int, default=1)
    cli.add_argument("--threads", type=int, default=1)
    cli.add_argument("--bf16", action="store_true", help="matrix products in bfloat16")
    args = cli.parse_args()

    torch.set_num_threads(args.threads)
    args.out.mkdir(parents=True, exist_ok=True)
    tokenizer = Tokenizer.from_file(str(args.init / "tokenizer.json"))
    assert (args.init / "tokenizer.json").read_text() == (args.teacher / "tokenizer.json").read_text(), "the teacher has another tokenizer"
    (model, facts), (teacher, taught_by) = exported(args.init), exported(args.teacher)
    teacher.eval().requires_grad_(False)
    weights = list(model.parameters())
    optimizer = torch.optim.AdamW([{"params": [p for p in weights if p.dim() == 2], "weight_decay": 0.01},
                                   {"params": [p for p in weights if p.dim() == 1], "weight_decay": 0.0}], lr=args.lr, betas=(0.9, 0.98), fused=True)
    texts = Batches([encode(args.clean, name, tokenizer, args.out) for name in args.mix.split(",")], TEXT_WINDOW, args.text_batch, args.seed)
    generator = torch.Generator().manual_seed(args.seed)
    start, sittings, curve = earlier_sittings(args.init)
    done, refined = dict(start), {"teacher": taught_by["name"], "rounds": 0, "stories": 0, "own_tokens": 0, "temperature": args.temperature,
                                  "text_share": args.text_share}
    checkpoint = args.out / "checkpoint.pt"
    if checkpoint.exists():
        saved = torch.load(checkpoint)
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizers"][0])
        texts.restore(saved["data"])
        generator.set_state(saved["generator"])
        done, start, refined = saved["done"], saved["start"], saved["refined"]

    def save(heldout):
        torch.save({"heldout": heldout, "device": "cpu", "teachers": [], "model": model.state_dict(), "optimizers": [optimizer.state_dict()],
                    "data": texts.state(), "generator": generator.get_state(), "done": done, "start": start, "sittings": sittings, "curve": curve,
                    "shape": facts["shape"], "name": facts["name"], "mix": facts["mix"], "refined": refined, "flags": as_typed(cli, args),
                    "arguments": {k: str(v) for k, v in vars(args).items()}}, checkpoint.with_suffix(".new"))
        checkpoint.with_suffix(".new").replace(checkpoint)

    stop = []
    signal.signal(signal.SIGTERM, lambda *_: stop.append(True))
    while refined["rounds"] < args.rounds and not stop:
        last, last_processor = time.monotonic(), time.process_time()
        stories = sorted(write(model, args.stories, generator, args.temperature, LONGEST), key=len)  # those of one step are about as long
        steps = [stories[i:i + args.batch] for i in range(0, len(stories), args.batch)]
        order = np.random.default_rng((args.seed, refined["rounds"])).permutation(len(steps))
        sums = torch.zeros(2)
        for at, step in enumerate(order):
            share = (refined["rounds"] + at / len(steps)) / args.rounds
            first = done["step"] - start["step"] + 1
            for group in optimizer.param_groups:
                group["lr"] = args.lr * min(1.0, first / WARM_STEPS, (1 - share) / DECAY)
            x, y = texts.next()
            parts = torch.stack([own_loss(model, teacher, steps[step], args.bf16), text_loss(model, teacher, x, y, args.teacher_share, args.bf16)])
            torch.lerp(parts[0], parts[1], args.text_share).backward()
            torch.nn.utils.clip_grad_norm_(weights, 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            sums += parts.detach()
            own = sum(map(len, steps[step])) + len(steps[step])
            refined["own_tokens"] += own
            done = {**done, "step": done["step"] + 1, "tokens": done["tokens"] + own + y.numel()}
        refined["rounds"] += 1
        refined["stories"] += len(stories)
        done["seconds"] += time.monotonic() - last
        done["processor"] += time.process_time() - last_processor
        line = {"step": done["step"], "tokens": done["tokens"], "seconds": round(done["seconds"], 1), "processor": round(done["processor"], 1),
                "round": refined["rounds"], "own": round(sums[0].item() / len(steps), 4), "text": round(sums[1].item() / len(steps), 4)}
        if refined["rounds"] % 10 == 0 or refined["rounds"] == args.rounds:
            line["heldout_bits_per_byte"] = round(bits_per_byte(model, tokenizer, args.clean, 100), 4)
            save(line["heldout_bits_per_byte"])
        with (args.out / "log.jsonl").open("a") as f:
            f.write(json.dumps(line) + "\n")
        print(line, flush=True)
    if stop:
        print("stopped; the same command goes on from the last tenth round")


if __name__ == "__main__":
    main()
