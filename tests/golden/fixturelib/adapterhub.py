"""Bottleneck adapters by AdapterHub's `adapters` (own virtual environment: it needs transformers 4.57)."""

import os
import shutil

import adapters
import torch
from adapters import DoubleSeqBnConfig, ParBnConfig, PrefixTuningConfig, SeqBnConfig
from adapters.composition import Stack
from safetensors.torch import load_file, save_file

from .common import HYPER, Case, build_model


def shake(model, names, seed, std):
    g = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for key, p in model.named_parameters():
            if any(f".{n}." in key or key.endswith(f".{n}") for n in names):
                if key.endswith("scaling"):
                    p.add_(0.1)
                else:
                    p.add_((std if p.ndim > 1 else 0.3 * std) * torch.randn(p.shape, generator=g))


def trainable(names):
    def collect(model):
        return {f"{n}/{k}": p for k, p in model.named_parameters() for n in names if f".adapters.{n}." in k}
    return collect


def bottleneck_case(name, shape, configs, about, seed=101, std=0.15, method="bottleneck", hyper=None, noise=True):
    torch.manual_seed(seed)
    model = build_model(shape)
    adapters.init(model)
    names = ("bn", "bn2")[: len(configs)]
    for n, c in zip(names, configs):
        model.add_adapter(n, config=c)
    active = names[0] if len(names) == 1 else Stack(*names)
    model.train_adapter(active)
    model.eval()  # dropout off; requires_grad stays
    if noise:
        shake(model, names, seed, std)
    case = Case(name, shape, method, about, f"adapters {adapters.__version__} on transformers 4.57")
    for n in names:
        folder = "adapter" if len(names) == 1 else n
        model.save_adapter(os.path.join(case.dir, folder), n, with_head=False, use_safetensors=True)
        case.add_adapter(n, folder)
    for n, entry in zip(names, case.json["adapters"]):
        stored = load_file(os.path.join(case.dir, entry["dir"], "adapter.safetensors"))
        live = {k.split("/", 1)[1]: p for k, p in trainable((n,))(model).items()}
        assert stored.keys() == live.keys() and all(torch.equal(stored[k], live[k]) for k in live), sorted(stored)
    case.record(model, trainable=trainable(names), hyper=dict(HYPER, **(hyper or dict(lr=3e-3))))
    case.finish()


def prefix_case(name, shape, n, seed=111):
    """AdapterHub's flat prefix: the same rows as peft's, but real tokens keep positions 0, 1, …"""
    torch.manual_seed(seed)
    model = build_model(shape)
    adapters.init(model)
    model.add_adapter("p", config=PrefixTuningConfig(flat=True, prefix_length=n))
    model.train_adapter("p")
    model.eval()
    (key, rows), = ((k, p) for k, p in model.named_parameters() if p.requires_grad)
    with torch.no_grad():
        rows.mul_(0.5)
    case = Case(name, shape, "prefix_from_zero", f"Flat prefix of AdapterHub, {n} rows, token positions start at 0",
                f"adapters {adapters.__version__} on transformers 4.57")
    case.json["rows"] = dict(file="rows.safetensors", num_virtual_tokens=n)
    save_file({"prompt_embeddings": rows.detach().view(n, -1).clone()}, os.path.join(case.dir, "rows.safetensors"))
    out = case.record(model, trainable=lambda m: {"default/prompt_embeddings": dict(m.named_parameters())[key]},
                      hyper=dict(HYPER))
    for kind in ("grad", "final"):  # one vector there, [n, 2 L H_kv head_dim] here
        case.tensors[f"{kind}/default/prompt_embeddings"] = out[kind]["default/prompt_embeddings"].view(n, -1)
    case.json["trainable_tensors"] = {"default/prompt_embeddings": list(rows.view(n, -1).shape)}
    case.finish()


def run():
    bottleneck_case("seq-bn-mha-tied", "mha-tied", [SeqBnConfig(reduction_factor=4)], "Pfeiffer: FFN, relu, out = x + h + A(x + h)")
    bottleneck_case("seq-bn-gqa-odd", "gqa-odd", [SeqBnConfig(reduction_factor=7)], "Pfeiffer, m = int(40 / 7) = 5")
    bottleneck_case("double-seq-bn-mha-tied", "mha-tied", [DoubleSeqBnConfig(reduction_factor=4)],
                    "Houlsby: attention and FFN, SiLU, out = x + h + A(h)")
    bottleneck_case("double-seq-bn-gqa-odd", "gqa-odd", [DoubleSeqBnConfig(reduction_factor=8)], "Houlsby")
    bottleneck_case("par-bn-mha-tied", "mha-tied", [ParBnConfig(reduction_factor=4)], "He: FFN, relu, scale 4, out = x + h + A(x)", std=0.08)
    bottleneck_case("par-bn-headdim-gqa", "headdim-gqa", [ParBnConfig(reduction_factor=2)], "He", std=0.08)
    bottleneck_case("par-bn-init-gqa-odd", "gqa-odd", [ParBnConfig(reduction_factor=4)], "mam_adapter init: an exact no-op", noise=False)
    bottleneck_case("scaled-par-bn-gqa-odd", "gqa-odd", [ParBnConfig(reduction_factor=4, scaling="learned")],
                    "Parallel with one learned scale per site", std=0.1)
    bottleneck_case("seq-bn-gelu-llama3-rope", "llama3-rope", [SeqBnConfig(reduction_factor=4, non_linearity="gelu")], "Pfeiffer with gelu")
    bottleneck_case("seq-bn-stack-gqa-odd", "gqa-odd", [SeqBnConfig(reduction_factor=5), SeqBnConfig(reduction_factor=8)],
                    "Stack(bn, bn2): the second adapter sees the output of the first")
    prefix_case("prefix-from-zero-mha-tied", "mha-tied", 4)
    prefix_case("prefix-from-zero-gqa-odd", "gqa-odd", 3)
