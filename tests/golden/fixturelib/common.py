"""Shapes, random models, the batch, and the recorder that every case shares."""

import copy
import json
import math
import os
import shutil

import torch
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForCausalLM

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

# name -> constructor arguments. Sizes are odd on purpose: nothing is a multiple of a SIMD width by accident.
SHAPES = {
    # multi-head attention, tied embeddings
    "mha-tied": dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=4,
                     intermediate_size=88, vocab_size=96, tie_word_embeddings=True, rms_norm_eps=1e-6,
                     rope_theta=10000.0, max_position_embeddings=64),
    # one KV head, odd sizes, untied
    "gqa-odd": dict(hidden_size=40, num_hidden_layers=3, num_attention_heads=5, num_key_value_heads=1, head_dim=8,
                    intermediate_size=72, vocab_size=101, tie_word_embeddings=False, rms_norm_eps=1e-5,
                    rope_theta=10000.0, max_position_embeddings=64),
    # head_dim (10) is not hidden / heads (6); two KV groups; tied
    "headdim-gqa": dict(hidden_size=24, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, head_dim=10,
                        intermediate_size=52, vocab_size=67, tie_word_embeddings=True, rms_norm_eps=1e-5,
                        rope_theta=5000.0, max_position_embeddings=64),
    # Llama 3 RoPE scaling: pair 0 kept, pair 1 interpolated, the rest divided by factor
    "llama3-rope": dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1, head_dim=16,
                        intermediate_size=60, vocab_size=83, tie_word_embeddings=False, rms_norm_eps=1e-5,
                        rope_theta=500000.0, max_position_embeddings=256,
                        rope_scaling=dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
                                          original_max_position_embeddings=64)),
}


def make_config(shape):
    config = LlamaConfig(**SHAPES[shape], bos_token_id=1, eos_token_id=2, attn_implementation="eager")
    config.architectures = ["LlamaForCausalLM"]
    return config


def randomise(model, seed):
    """Weights with some life in them: logits of unit size, norms off 1, so that no term is lost in the noise."""
    g = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            noise = torch.randn(p.shape, generator=g)
            if p.ndim == 1:
                p.copy_(1 + 0.2 * noise)
            elif "embed_tokens" in name:
                p.copy_((0.25 if model.config.tie_word_embeddings else 0.6) * noise)
            elif "lm_head" in name:
                p.copy_(0.25 * noise)
            else:
                p.copy_(noise * 0.9 / math.sqrt(p.shape[1]))


def build_model(shape, seed=None):
    """The float32 model of a shape; the same numbers as in models/<shape>/."""
    model = LlamaForCausalLM(make_config(shape))
    randomise(model, 1000 + sorted(SHAPES).index(shape) if seed is None else seed)
    model.tie_weights()
    model.eval()
    model.name_or_path = model.config._name_or_path = f"../../models/{shape}"
    return model


def make_batch(shape, seed=7):
    """Four ragged sequences. 0: prompt masked; 1: all labelled; 2: only the last two; 3: one target."""
    g = torch.Generator().manual_seed(seed)
    vocab = SHAPES[shape]["vocab_size"]
    tokens = [torch.randint(3, vocab, (n,), generator=g).tolist() for n in (9, 17, 5, 2)]
    for row in tokens:
        row[0] = 1
    tokens[1][-1] = 2
    labels = [list(row) for row in tokens]
    labels[0][:4] = [-100] * 4
    labels[2][:3] = [-100] * 3
    return tokens, labels


def loss_sum(logits, labels):
    """Sum of cross entropies of labels[1:] (the first token is never a target) and their count."""
    target = torch.tensor(labels[1:])
    keep = target != -100
    if not keep.any():
        return logits.sum() * 0, 0
    ce = torch.nn.functional.cross_entropy(logits[:-1][keep], target[keep], reduction="sum")
    return ce, int(keep.sum())


def batch_loss(forward, model, tokens, labels):
    parts = [loss_sum(forward(model, t), l) for t, l in zip(tokens, labels)]
    return sum(p[0] for p in parts) / sum(p[1] for p in parts)


def plain_forward(model, tokens):
    """logits[T, V] of the real tokens of one sequence; PEFT's virtual prompt rows are dropped."""
    return model(input_ids=torch.tensor([tokens])).logits[0, -len(tokens):]


HYPER = dict(optimizer="adamw", lr=1e-2, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.0, clip_norm=1.0, steps=20,
             schedule="constant", warmup_steps=0)


def lr_factor(hyper, step):
    """transformers.get_{constant,linear,cosine}_schedule_with_warmup: step counts from 0, so warm-up starts at lr 0."""
    if step < hyper["warmup_steps"]:
        return step / hyper["warmup_steps"]
    if hyper["schedule"] == "constant":
        return 1.0
    if hyper["schedule"] == "linear":
        return (hyper["steps"] - step) / max(1, hyper["steps"] - hyper["warmup_steps"])
    progress = (step - hyper["warmup_steps"]) / max(1, hyper["steps"] - hyper["warmup_steps"])
    return max(0.0, 0.5 * (1.0 + math.cos(math.pi * progress)))


def default_optimizer(params, hyper):
    """AdamW with decay only on tensors of two or more dimensions (norms and magnitudes are 1-D)."""
    groups = [dict(params=[p for p in params.values() if p.ndim >= 2], weight_decay=hyper["weight_decay"]),
              dict(params=[p for p in params.values() if p.ndim < 2], weight_decay=0.0)]
    return torch.optim.AdamW([g for g in groups if g["params"]], lr=hyper["lr"], betas=(hyper["beta1"], hyper["beta2"]),
                             eps=hyper["eps"])


def trajectory(model, forward, params, batch, hyper, make_optimizer):
    optimizer = make_optimizer(model, params, hyper)
    base_lr = [g["lr"] for g in optimizer.param_groups]
    losses, norms = [], []
    for step in range(hyper["steps"]):
        for g, lr in zip(optimizer.param_groups, base_lr):
            g["lr"] = lr * lr_factor(hyper, step)
        optimizer.zero_grad(set_to_none=True)
        loss = batch_loss(forward, model, *batch)
        loss.backward()
        norms.append(float(torch.nn.utils.clip_grad_norm_(list(params.values()), hyper["clip_norm"])))
        optimizer.step()
        losses.append(loss.item())
    with torch.no_grad():
        losses.append(batch_loss(forward, model, *batch).item())
    return losses, norms


def evaluate(model, forward, trainable, batch, hyper, make_optimizer):
    """Everything a case records, in the dtype the model has. The model is trained in place: pass a copy."""
    params = trainable(model) if trainable else {}
    out = dict(logits=[forward(model, t) for t in batch[0]])
    loss = batch_loss(forward, model, *batch)
    out["loss"] = loss.item()
    out["sequence_losses"] = [loss_sum(l, y)[0].item() for l, y in zip(out["logits"], batch[1])]
    out["logits"] = [l.detach() for l in out["logits"]]
    if params:
        for p in params.values():
            p.grad = None
        loss.backward()
        out["grad"] = {k: (torch.zeros_like(p) if p.grad is None else p.grad.detach().clone()) for k, p in params.items()}
        if hyper:
            out["losses"], out["grad_norms"] = trajectory(model, forward, params, batch, hyper, make_optimizer)
            out["final"] = {k: p.detach().clone() for k, p in params.items()}
    return out


def _gap(a, b):
    return max((float((x.double() - y.double()).abs().max()) for x, y in zip(a, b)), default=0.0)


def deviations(f32, f64):
    """How far PyTorch's own float32 run is from double: the yardstick for tolerances."""
    d = dict(logits_max_abs=_gap(f32["logits"], f64["logits"]), loss_abs=abs(f32["loss"] - f64["loss"]))
    if "grad" in f64:
        d["grad_max_rel"] = max(_gap([f32["grad"][k]], [g]) / max(float(g.abs().max()), 1e-12)
                                for k, g in f64["grad"].items())
    if "losses" in f64:
        d["losses_max_abs"] = max(abs(a - b) for a, b in zip(f32["losses"], f64["losses"]))
        d["final_max_abs"] = _gap(f32["final"].values(), f64["final"].values())
    return d


def write_json(path, value):
    """indent 1, but one line per list of numbers: readable diffs without a line per float"""
    def render(v, pad):
        if isinstance(v, dict) and v:
            rows = [f"{pad} {json.dumps(k)}: {render(x, pad + ' ')}" for k, x in v.items()]
            return "{\n" + ",\n".join(rows) + f"\n{pad}}}"
        if isinstance(v, list) and any(isinstance(x, (list, dict)) for x in v):
            return "[\n" + ",\n".join(f"{pad} {render(x, pad + ' ')}" for x in v) + f"\n{pad}]"
        return json.dumps(v, ensure_ascii=False)
    with open(path, "w", encoding="utf-8") as f:
        f.write(render(value, "") + "\n")


def flat(tensors):
    return {k: v.detach().to(torch.float32).contiguous().clone() for k, v in tensors.items()}


class Case:
    """One folder tests/golden/<name>/: adapters, expected.json, expected.safetensors."""

    def __init__(self, name, shape, method, about, reference="transformers + peft"):
        self.name, self.shape = name, shape
        self.dir = os.path.join(ROOT, name)
        shutil.rmtree(self.dir, ignore_errors=True)
        os.makedirs(self.dir)
        self.json = dict(case=name, method=method, about=about, reference=reference, model=f"../models/{shape}",
                         adapters=[])
        self.tensors = {}

    def add_adapter(self, name, folder, **extra):
        self.json["adapters"].append(dict(name=name, dir=folder, **extra))

    def save_peft(self, model, name="default", folder="adapter", **extra):
        """model.save_pretrained, one adapter per folder; the model card is left out."""
        path = os.path.join(self.dir, folder)
        model.save_pretrained(path, selected_adapters=[name])
        if name != "default":
            for f in os.listdir(os.path.join(path, name)):
                shutil.move(os.path.join(path, name, f), os.path.join(path, f))
            os.rmdir(os.path.join(path, name))
        for f in ("README.md",):
            if os.path.exists(os.path.join(path, f)):
                os.remove(os.path.join(path, f))
        self.add_adapter(name, folder, **extra)

    def record(self, model, forward=plain_forward, trainable=None, hyper=None, make_optimizer=None, batch=None,
               to_double=None):
        batch = batch or make_batch(self.shape)
        make_optimizer = make_optimizer or (lambda m, p, h: default_optimizer(p, h))
        f32 = evaluate(copy.deepcopy(model), forward, trainable, batch, hyper, make_optimizer)
        f64 = evaluate((to_double or (lambda m: m.double()))(copy.deepcopy(model)), forward, trainable, batch, hyper, make_optimizer)
        j = self.json
        j["tokens"], j["labels"] = batch
        j["targets"] = sum(sum(l != -100 for l in row[1:]) for row in batch[1])
        j["loss"], j["sequence_loss_sums"] = f64["loss"], f64["sequence_losses"]
        if trainable:
            j["trainable"] = sum(g.numel() for g in f64["grad"].values())
            j["trainable_tensors"] = {k: list(g.shape) for k, g in f64["grad"].items()}
        if "losses" in f64:
            j["training"] = dict(hyper, lr_factors=[lr_factor(hyper, s) for s in range(hyper["steps"])],
                                 losses=f64["losses"], grad_norms=f64["grad_norms"])
        j["float32_deviation"] = deviations(f32, f64)
        self.tensors.update({f"logits/{i}": l for i, l in enumerate(f64["logits"])})
        self.tensors.update({f"grad/{k}": g for k, g in f64.get("grad", {}).items()})
        self.tensors.update({f"final/{k}": g for k, g in f64.get("final", {}).items()})
        return f64

    def finish(self):
        save_file(flat(self.tensors), os.path.join(self.dir, "expected.safetensors"))
        write_json(os.path.join(self.dir, "expected.json"), self.json)
        dev = self.json.get("float32_deviation", {})
        print(f"{self.name:34s} loss {self.json.get('loss', float('nan')):.6f}  " +
              " ".join(f"{k}={v:.1e}" for k, v in dev.items()))
