#!/usr/bin/env python3
"""Optional, between two runs of pretrain.py: larger models write more stories for the small ones to learn from. Meant for a GPU.

    python write.py --teacher WORK/teacher-1 --teacher WORK/teacher-2 --tokenizer WORK/tokenizer-2048 --clean WORK/clean --tokens 3e7

Writes WORK/clean/written.txt (a source for pretrain.py --mix) and written.json. Stories are sampled at temperature 1 from all tokens, so
that they follow the teachers' own distribution. Dropped are those that do not end within the context, that are unusable by the rules of clean.py, and
that begin with the same 200 letters as a training or held-out story or one written before. A stopped run starts over.
"""
import argparse
import json
import time
from multiprocessing import Pool
from pathlib import Path

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer

from clean import SEPARATOR, usable, word_hash
from llama import rotate
from pretrain import load_teacher

TIDY = 32  # steps between two removals of the stories that have ended


class Decoder:
    """Token by token through a Llama of llama.py, keys and values kept: [layers, 2, batch, kv_heads, context, size]."""

    def __init__(self, model, batch):
        self.model, c = model, model.c
        self.cache = torch.empty(c["layers"], 2, batch, c["kv_heads"], c["context"], c["dim"] // c["heads"],
                                 device=model.cos.device, dtype=torch.bfloat16)

    def keep(self, rows):
        """rows: [kept], of the batch; the others' keys and values go."""
        self.cache = self.cache[:, :, rows]

    def step(self, ids, at):
        """ids: [batch], the tokens at position `at`. -> logits of the next ones, [batch, vocab]."""
        model, batch = self.model.model, len(ids)
        x = model.embed_tokens(ids)[:, None]
        cos, sin = self.model.cos[at:at + 1], self.model.sin[at:at + 1]
        for layer, (keys, values) in zip(model.layers, self.cache):
            a, h = layer.self_attn, layer.input_layernorm(x)
            q = rotate(a.q_proj(h).view(batch, 1, a.heads, a.size), cos, sin).transpose(1, 2)
            keys[:, :, at] = rotate(a.k_proj(h).view(batch, 1, a.kv_heads, a.size), cos, sin)[:, 0]
            values[:, :, at] = a.v_proj(h).view(batch, a.kv_heads, a.size)
            y = F.scaled_dot_product_attention(q.to(keys.dtype), keys[:, :, :at + 1], values[:, :, :at + 1], enable_gqa=a.heads != a.kv_heads)
            y = y if torch.is_autocast_enabled(x.device.type) else y.to(x.dtype)
            x = x + a.o_proj(y.transpose(1, 2).reshape(batch, 1, -1))
            x = x + layer.mlp(layer.post_attention_layernorm(x))
        return F.linear(model.norm(x), model.embed_tokens.weight)[:, 0].float()


@torch.no_grad()
def check(model):
    """Token by token and all at once must agree, but for the rounding of the kept keys and values to 16 bits."""
    device = model.cos.device
    ids = torch.randint(model.c["vocab"], (4, 48), device=device, generator=torch.Generator(device).manual_seed(1))
    with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
        decoder = Decoder(model, len(ids))
        steps = torch.stack([decoder.step(ids[:, at], at) for at in range(ids.shape[1])], 1)
        at_once = model(ids).float()
    gap = (steps.softmax(-1) - at_once.softmax(-1)).abs().sum(-1).mean().item() / 2
    assert gap < 0.02, f"the decoder's distributions are {gap:.3f} away from the model's"


@torch.no_grad()
def write(model, batch, generator, temperature=1.0, longest=None):
    """Samples `batch` documents side by side. -> ids of each that ended within `longest` tokens (None: the context), without <|endoftext|> at either end."""
    device = model.cos.device
    decoder, ids, done = Decoder(model, batch), torch.zeros(batch, model.c["context"], dtype=torch.long, device=device), []
    for at in range(longest or model.c["context"] - 1):
        with torch.autocast(device.type, torch.bfloat16):
            logits = decoder.step(ids[:, at], at)
        # the exponential trick: argmax of p/e, e exponential, is a sample of p
        noise = torch.empty_like(logits).exponential_(generator=generator)
        ids[:, at + 1] = ((logits / temperature).softmax(-1) / noise).argmax(-1)
        if at % TIDY == TIDY - 1:
            ended = (ids[:, 1:at + 2] == 0).any(1)
            done += [row[1:].tolist() for row in ids[ended, :at + 2].cpu()]
            going = (~ended).nonzero()[:, 0]
            decoder.keep(going)
            ids = ids[going]
            if not len(ids):
                break
    return [row[:row.index(0)] for row in done]


def main():
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--teacher", type=Path, action="append", required=True, help="run folder of pretrain.py; may be repeated")
    cli.add_argument("--tokenizer", type=Path, required=True)
    cli.add_argument("--clean", type=Path, required=True)
    cli.add_argument("--tokens", type=float, default=3e7)
    cli.add_argument("--minutes", type=float, default=60, help="stop after these, also with fewer tokens")
    cli.add_argument("--batch", type=int, default=3072)
    cli.add_argument("--seed", type=int, default=1)
    cli.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args = cli.parse_args()
    began = time.monotonic()
    tokenizer = Tokenizer.from_file(str(args.tokenizer / "tokenizer.json"))
    seen = {word_hash(d[:200]) for name in ("stories", "heldout") for d in (args.clean / f"{name}.txt").read_text().split(f"\n{SEPARATOR}\n")}
    stats = {"documents": 0, "unusable": 0, "repeated": 0, "tokens": 0, "bytes": 0, "temperature": 1, "seed": args.seed,
             "batch": args.batch, "teachers": []}
    texts = []
    with Pool() as pool:  # made before the GPU is touched: a fork after that would be unsafe
        generator = torch.Generator(args.device).manual_seed(args.seed)
        for i, run in enumerate(args.teacher):
            model, facts = load_teacher(run, tokenizer, args.device)
            stats["teachers"].append(facts)
            check(model)
            for layer in model.model.layers:
                layer.self_attn.bfloat16(), layer.mlp.bfloat16()
            share = (i + 1) / len(args.teacher)
            while stats["tokens"] < args.tokens * share and time.monotonic() - began < args.minutes * 60 * share:
                stories = write(model, args.batch, generator)
                new = tokenizer.decode_batch(stories, skip_special_tokens=False)
                for ids, text, fine in zip(stories, new, pool.map(usable, new, chunksize=64)):
                    text = text.strip()
                    key = word_hash(text[:200])
                    if not fine or SEPARATOR in text:
                        stats["unusable"] += 1
                    elif key in seen:
                        stats["repeated"] += 1
                    else:
                        seen.add(key)
                        texts.append(text)
                        stats["documents"] += 1
                        stats["tokens"] += len(ids) + 1
                        stats["bytes"] += len(text.encode())
                print(run.name, {k: v for k, v in stats.items() if k != "teachers"}, round(time.monotonic() - began, 1), "s", flush=True)
    (args.clean / "written.txt").write_text(f"\n{SEPARATOR}\n".join(texts) + f"\n{SEPARATOR}\n")
    stats["seconds"] = round(time.monotonic() - began, 1)
    (args.clean / "written.json").write_text(json.dumps(stats, indent=2) + "\n")


if __name__ == "__main__":
    main()
