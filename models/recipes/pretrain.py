#!/usr/bin/env python3
"""Step 3 of 4: pre-train one of the shapes in shapes.json. Stop it at any time; the same command resumes.

    python pretrain.py --model stories-1m --clean WORK/clean --tokenizer WORK/tokenizer-2048 --out WORK/stories-1m --minutes 90

It runs on a GPU where torch sees one, else on the CPU (on-gpu.sh has the commands for a GPU).

The budget is training minutes (or --tokens). The learning rate warms up over 2 %, stays, and falls linearly to zero
over the last --decay share of the budget. With --minutes the schedule depends on the machine's speed, with --tokens
it does not; data order and initial weights depend on --seed only. log.jsonl holds the curve.

--init goes on from an exported model folder in a further sitting: its weights, its counts of tokens, steps and minutes, a
fresh optimiser, and the schedule once more over the budget of this sitting. Take another --seed, or the data repeats.

--teacher names runs of larger models (checkpoints of this program, same tokenizer). The loss is then mostly the cross-entropy to their mean
distribution for the next token instead of to the one token that came: Hinton, Vinyals and Dean, 2015, arXiv:1503.02531, at temperature 1.
"""
import argparse
import json
import math
import signal
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer

from safetensors.torch import load_file

from llama import Llama

HERE = Path(__file__).parent
END = "<|endoftext|>"


def encode(clean, name, tokenizer, cache):
    """[count] ids: every document as 0, tokens. Cached beside the checkpoint."""
    path = cache / f"{name}.npy"
    if not path.exists():
        docs = [d for d in (clean / f"{name}.txt").read_text().split(f"\n{END}\n") if d]
        packed = [np.array([0] + e.ids, np.uint16) for e in tokenizer.encode_batch(docs, add_special_tokens=False)]
        np.save(path, np.concatenate(packed))
    return np.load(path)


class Batches:
    """Documents of all sources shuffled anew each epoch, joined, cut into windows. State: epoch and position."""

    def __init__(self, sources, window, batch, seed, share=1.0, device="cpu"):
        self.documents = []
        for ids in sources:
            starts = np.flatnonzero(ids == 0)
            self.documents += np.split(ids, starts[1:])[::round(1 / share)]
        self.window, self.batch, self.seed, self.epoch, self.at = window, batch, seed, 0, 0
        self.stream, self.device = None, device

    def next(self):
        need = self.window * self.batch
        if self.stream is None or self.at + need + 1 > len(self.stream):
            if self.stream is not None:
                self.epoch, self.at = self.epoch + 1, 0
            self.shuffle()
        piece = self.stream[self.at:self.at + need + 1].astype(np.int64)
        self.at += need
        piece = torch.from_numpy(piece).to(self.device)
        return piece[:-1].view(self.batch, self.window), piece[1:].view(self.batch, self.window)

    def shuffle(self):
        order = np.random.default_rng((self.seed, self.epoch)).permutation(len(self.documents))
        self.stream = np.concatenate([self.documents[i] for i in order])

    def state(self):
        return {"epoch": self.epoch, "at": self.at}

    def restore(self, state):
        self.epoch, self.at = state["epoch"], state["at"]
        self.shuffle()


@torch.no_grad()
def bits_per_byte(model, tokenizer, clean, stories):
    """Mean over held-out stories, each alone after <|endoftext|>, its end included; cut at the context."""
    model.eval()
    nats = bytes_seen = 0
    for story in [s for s in (clean / "heldout.txt").read_text().split(f"\n{END}\n") if s][:stories]:
        encoding = tokenizer.encode(story, add_special_tokens=False)
        ids = [0] + encoding.ids + [0]
        ids = torch.tensor(ids[:model.c["context"] + 1], device=model.cos.device)[None]
        logits = model(ids[:, :-1])
        nats += F.cross_entropy(logits[0].float(), ids[0, 1:], reduction="sum").item()
        covered = ids.shape[1] - 1
        bytes_seen += len(story.encode()) if covered > len(encoding.ids) else encoding.offsets[covered - 1][1]
    model.train()
    return nats / math.log(2) / bytes_seen


def optimizers(model, lr, muon_lr, decay):
    """Muon (orthogonalised momentum) for the matrices inside the blocks, AdamW for embeddings and norms."""
    matrices = [p for n, p in model.named_parameters() if p.dim() == 2 and "embed" not in n]
    tables = [p for n, p in model.named_parameters() if p.dim() == 2 and "embed" in n]
    norms = [p for p in model.parameters() if p.dim() == 1]
    adam = [{"params": tables, "weight_decay": decay}, {"params": norms, "weight_decay": 0.0}]
    if muon_lr:
        pair = [torch.optim.Muon(matrices, lr=muon_lr, momentum=0.95, nesterov=True, weight_decay=decay,
                                 adjust_lr_fn="match_rms_adamw")]
    else:
        adam.append({"params": matrices, "weight_decay": decay})
        pair = []
    pair.append(torch.optim.AdamW(adam, lr=lr, betas=(0.9, 0.98), eps=1e-8, fused=True))
    return pair


def rate(share, warmup, decay):
    """Factor on the learning rate at this share (0..1) of the budget."""
    return min(1.0, share / warmup, max(0.0, (1 - share) / decay))


def load_teacher(run, tokenizer, device):
    """Run folder -> (its model, frozen; what a card says of it). The run must be finished and of the tokenizer's vocabulary."""
    saved = torch.load(run / "checkpoint.pt", map_location=device)
    model = Llama(saved["shape"]).to(device).eval().requires_grad_(False)
    model.load_state_dict(saved["model"])
    assert saved["shape"]["vocab"] == tokenizer.get_vocab_size(), f"{run} has another vocabulary"
    return model, {"name": run.name, "shape": saved["shape"], "parameters": model.parameters_count(), "tokens": saved["done"]["tokens"],
                   "minutes": round(saved["done"]["seconds"] / 60, 1), "bits_per_byte": saved["heldout"], "device": saved["device"],
                   "seed": int(saved["arguments"]["seed"]), "budget": budget(saved["arguments"]), "flags": flags(saved["arguments"])}


def teachers_mean(teachers, ids):
    """ids: [batch, time] -> mean of their distributions for the next token, [batch, time, vocab]."""
    with torch.no_grad():
        return sum(t(ids).float().softmax(-1) for t in teachers) / len(teachers)


# Defaults below that a card's command need not repeat.
USUAL = {"window": 256, "batch": 16, "long_window": 512, "lr": 6e-3, "muon_lr": 1e-2, "weight_decay": 0.02, "decay": 0.4,
         "dropout": 0, "share": 1, "threads": 1, "teacher_share": 0.9}


def budget(arguments):
    """--tokens or --minutes of a run, as typed."""
    return f"--tokens {float(arguments['tokens']):.3g}" if arguments["tokens"] != "None" else f"--minutes {float(arguments['minutes']):.4g}"


def flags(arguments):
    """Further options of a run, as typed, where they differ from the defaults."""
    usual_mix = "stories,picture,fables,primer"
    return ("".join(f" --{k.replace('_', '-')} {arguments[k]}" for k, usual in USUAL.items() if float(arguments.get(k, usual)) != usual)
            + "".join(f" --{k}" for k in ("compile", "bf16") if arguments.get(k) == "True")
            + (f" --mix {arguments['mix']}" if arguments.get("mix", usual_mix) != usual_mix else ""))


def earlier_sittings(folder):
    """Counts of an exported model folder, and the list of sittings that made it."""
    facts = json.loads((folder / "training.json").read_text())
    seconds = facts["minutes"] * 60
    return {"step": facts["steps"], "tokens": facts["tokens"], "seconds": seconds,
            "processor": facts.get("processor_minutes", 0) * 60}, facts["sittings"], facts["curve"]


def main():
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("clean", "tokenizer", "out"):
        cli.add_argument(f"--{name}", type=Path, required=True)
    cli.add_argument("--model", required=True, help="a name in shapes.json")
    cli.add_argument("--shape", default="", help="changes to it, e.g. layers=8,dim=96")
    cli.add_argument("--dropout", type=float, default=0.0, help="of what attention and MLP add to the stream")
    cli.add_argument("--share", type=float, default=1.0, help="share of the documents used, for trials of many epochs")
    cli.add_argument("--mix", default="stories,picture,fables,primer", help="files of the clean folder")
    cli.add_argument("--minutes", type=float, default=60)
    cli.add_argument("--tokens", type=float, help="budget in tokens instead of minutes")
    cli.add_argument("--window", type=int, default=256)
    cli.add_argument("--batch", type=int, default=16)
    cli.add_argument("--long-window", type=int, default=512, help="window of the decay phase, at the same tokens a step")
    cli.add_argument("--lr", type=float, default=6e-3)
    cli.add_argument("--muon-lr", type=float, default=1e-2, help="0: AdamW for everything")
    cli.add_argument("--weight-decay", type=float, default=0.02)
    cli.add_argument("--decay", type=float, default=0.4)
    cli.add_argument("--init", type=Path, help="exported model folder to go on from")
    cli.add_argument("--teacher", type=Path, action="append", default=[], help="run folder of a larger model to learn from; may be repeated")
    cli.add_argument("--teacher-share", type=float, default=0.9, help="share of the loss that is theirs")
    cli.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    cli.add_argument("--threads", type=int, default=1)
    cli.add_argument("--seed", type=int, default=1)
    cli.add_argument("--save-every", type=float, default=120, help="seconds between checkpoints")
    cli.add_argument("--eval-stories", type=int, default=100)
    cli.add_argument("--compile", action="store_true", help="let torch.compile fuse the step (needs a C++ compiler)")
    cli.add_argument("--bf16", action="store_true", help="matrix products in bfloat16, weights and optimiser in float32")
    args = cli.parse_args()

    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    args.out.mkdir(parents=True, exist_ok=True)
    tokenizer = Tokenizer.from_file(str(args.tokenizer / "tokenizer.json"))
    shape = json.loads((HERE / "shapes.json").read_text())[args.model]
    shape |= {key: int(value) for key, value in (pair.split("=") for pair in args.shape.split(",") if pair)}
    model = Llama(shape, args.dropout).to(args.device)
    device = torch.cuda.get_device_name() if args.device == "cuda" else "cpu"
    teachers, taught_by = zip(*(load_teacher(t, tokenizer, args.device) for t in args.teacher)) if args.teacher else ((), ())

    def step_loss(x, y):
        with torch.autocast(args.device, torch.bfloat16, enabled=args.bf16):
            logits = model(x).view(-1, shape["vocab"])
            wanted = teachers_mean(teachers, x).view(-1, shape["vocab"]) if teachers else None
        loss = F.cross_entropy(logits.float(), y.reshape(-1))
        return loss if wanted is None else torch.lerp(loss, F.cross_entropy(logits.float(), wanted), args.teacher_share)

    loss_of = torch.compile(step_loss) if args.compile else step_loss
    opts = optimizers(model, args.lr, args.muon_lr, args.weight_decay)
    peak = [[g["lr"] for g in o.param_groups] for o in opts]
    batches = Batches([encode(args.clean, n, tokenizer, args.out) for n in args.mix.split(",")],
                      args.window, args.batch, args.seed, args.share, args.device)
    done, sittings, curve = {"step": 0, "tokens": 0, "seconds": 0.0, "processor": 0.0}, [], []
    if args.init:
        model.load_state_dict({k: v.float() for k, v in load_file(args.init / "model.safetensors").items()})
        done, sittings, curve = earlier_sittings(args.init)
    start = dict(done)
    checkpoint = args.out / "checkpoint.pt"
    if checkpoint.exists():
        saved = torch.load(checkpoint, map_location=args.device)
        model.load_state_dict(saved["model"])
        for o, s in zip(opts, saved["optimizers"]):
            o.load_state_dict(s)
        batches.restore(saved["data"])
        done, start, sittings, curve = saved["done"], saved["start"], saved["sittings"], saved["curve"]
    print(f"{args.model}: {model.parameters_count():,} parameters, from step {done['step']}", flush=True)

    def save(heldout=None):
        torch.save({"heldout": heldout, "device": device, "teachers": list(taught_by), "model": model.state_dict(), "optimizers": [o.state_dict() for o in opts],
                    "data": batches.state(), "done": done, "start": start, "sittings": sittings, "curve": curve, "shape": shape, "name": args.model,
                    "mix": args.mix, "arguments": {k: str(v) for k, v in vars(args).items()}}, checkpoint.with_suffix(".new"))
        checkpoint.with_suffix(".new").replace(checkpoint)

    if args.compile:  # off the clock
        blank = torch.zeros(args.batch, args.window, dtype=torch.long, device=args.device)
        loss_of(blank, blank).backward()
        model.zero_grad(set_to_none=True)
    stop = []
    signal.signal(signal.SIGTERM, lambda *_: stop.append(True))
    last, saved_at, losses, first = time.monotonic(), time.monotonic(), [], done["step"]
    last_processor = time.process_time()
    while True:
        spent = {k: done[k] - start[k] for k in done}
        share = spent["tokens"] / args.tokens if args.tokens else spent["seconds"] / 60 / args.minutes
        if share >= 1 or stop:
            break
        factor = rate(share, 0.02, args.decay) if spent["step"] else 0.01
        for o, lrs in zip(opts, peak):
            for g, lr in zip(o.param_groups, lrs):
                g["lr"] = lr * factor
        if share >= 1 - args.decay:
            batches.window, batches.batch = args.long_window, args.window * args.batch // args.long_window
        x, y = batches.next()
        loss = loss_of(x, y)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for o in opts:
            o.step()
            o.zero_grad(set_to_none=True)
        losses.append(loss.detach())
        if args.device == "cpu" or len(losses) % 10 == 0:
            loss.item()  # waits for the GPU, so that the clock below is its clock
        now, processor = time.monotonic(), time.process_time()
        done = {"step": done["step"] + 1, "tokens": done["tokens"] + y.numel(), "seconds": done["seconds"] + now - last,
                "processor": done["processor"] + processor - last_processor}
        last, last_processor = now, processor
        if done["step"] % 100 == 0 or done["step"] == first + 10:
            line = {"step": done["step"], "tokens": done["tokens"], "seconds": round(done["seconds"], 1),
                    "processor": round(done["processor"], 1), "epoch": batches.epoch,
                    "lr_factor": round(factor, 4), "loss": round(torch.stack(losses).mean().item(), 4)}
            losses = []
            if done["step"] % 500 == 0:
                line["heldout_bits_per_byte"] = round(bits_per_byte(model, tokenizer, args.clean, args.eval_stories), 4)
            with (args.out / "log.jsonl").open("a") as f:
                f.write(json.dumps(line) + "\n")
            print(line, flush=True)
            last, last_processor = time.monotonic(), time.process_time()
        if now - saved_at > args.save_every:
            save()
            saved_at = last = time.monotonic()
            last_processor = time.process_time()
    heldout = round(bits_per_byte(model, tokenizer, args.clean, args.eval_stories), 4)
    save(heldout)
    print("held-out bits per byte:", heldout)


if __name__ == "__main__":
    main()
