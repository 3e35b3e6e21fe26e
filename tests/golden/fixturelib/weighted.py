"""add_weighted_adapter: every combination type of peft that is deterministic."""

import os

import torch
from peft import LoraConfig, get_peft_model
from peft.tuners.lora import LoraLayer
from safetensors.torch import save_file

from .common import Case, build_model, flat
from .peft_cases import file_key, perturb

TARGETS = dict(target_modules=["q_proj", "v_proj"])
SHAPE = "mha-tied"


def sources(configs, seed):
    torch.manual_seed(seed)
    model = None
    for name, options in configs.items():
        config = LoraConfig(task_type="CAUSAL_LM", **dict(TARGETS, **options))
        if model is None:
            model = get_peft_model(build_model(SHAPE), config, adapter_name=name)
        else:
            model.add_adapter(name, config)
    model.base_model.set_adapter(list(configs))
    perturb(model, seed, ["lora_B"], 0.1)
    return model


def true_delta(layer, names, weights):
    return sum(w * layer.get_delta_weight(n) for n, w in zip(names, weights))


def combine(model, index, names, weights, kind, **options):
    """One add_weighted_adapter call -> (json row, tensors). svd kinds are only defined up to signs: delta only."""
    name = f"m{index}"
    model.add_weighted_adapter(list(names), list(weights), name, combination_type=kind, **options)
    row = dict(id=index, type=kind, adapters=list(names), weights=list(weights), **options)
    tensors, wrong, size = {}, 0.0, 0.0
    for path, layer in model.named_modules():
        if not isinstance(layer, LoraLayer) or name not in layer.lora_A:
            continue
        delta = layer.get_delta_weight(name).detach()
        want = true_delta(layer, names, weights).detach()
        wrong, size = wrong + float((delta - want).square().sum()), size + float(want.square().sum())
        row["scale"], row["r"] = layer.scaling[name], layer.r[name]
        if "svd" in kind:
            tensors[f"{index}/delta/{path.removeprefix('base_model.model.')}"] = delta
        else:
            tensors[f"{index}/{path}.lora_A.weight"] = layer.lora_A[name].weight
            tensors[f"{index}/{path}.lora_B.weight"] = layer.lora_B[name].weight
    row["relative_error"] = (wrong / size) ** 0.5
    return row, tensors


def weighted_case(name, about, configs, calls, seed):
    case = Case(name, SHAPE, "combine", about)
    model = sources(configs, seed)
    for n in configs:
        case.save_peft(model, n, n)
    case.json["results"] = []
    for i, (names, weights, kind, options) in enumerate(calls):
        row, tensors = combine(model, i, names, weights, kind, **options)
        case.json["results"].append(row)
        case.tensors.update(tensors)
        print(f"  {name} {kind:20s} {weights} {options} scale {row['scale']} relative error {row['relative_error']:.3f}")
    case.finish()


def run():
    ab, w, n = ("a", "b"), (0.7, 0.4), (1.0, -0.5)
    calls = [(ab, w, "linear", {}), (ab, n, "linear", {}), (ab, (0.5, 0.5), "linear", {}), (("a",), (0.6,), "linear", {}),
             (("a",), (-0.6,), "svd", {}),
             (ab, w, "cat", {}), (ab, n, "cat", {}),
             (ab, w, "svd", {}), (ab, n, "svd", {}), (ab, w, "svd", dict(svd_rank=2)), (ab, w, "svd", dict(svd_rank=8))]
    for kind in ("ties", "magnitude_prune"):
        calls += [(ab, w, kind, dict(density=0.5)), (ab, n, kind, dict(density=0.3))]
    calls += [(ab, w, "ties", dict(density=0.5, majority_sign_method="frequency")), (ab, w, "ties", dict(density=1.0)),
              (ab, w, "dare_linear", dict(density=1.0)), (ab, w, "dare_ties", dict(density=1.0)),
              (ab, w, "ties_svd", dict(density=0.5)), (ab, n, "ties_svd", dict(density=0.5)),
              (ab, w, "magnitude_prune_svd", dict(density=0.4)), (ab, w, "dare_linear_svd", dict(density=1.0)),
              (ab, w, "dare_ties_svd", dict(density=1.0))]
    weighted_case("combine-equal-rank", "Two LoRAs of rank 4, alpha 8 and 6", dict(a=dict(r=4, lora_alpha=8), b=dict(r=4, lora_alpha=6)),
                  calls, 91)
    weighted_case("combine-mixed-rank", "Ranks 4 and 2: only cat and the svd family are defined",
                  dict(a=dict(r=4, lora_alpha=4), b=dict(r=2, lora_alpha=6)),
                  [(ab, w, "cat", {}), (ab, w, "svd", {}), (ab, w, "ties_svd", dict(density=0.6))], 92)
    weighted_case("combine-three", "Three LoRAs of rank 3", dict(a=dict(r=3, lora_alpha=3), b=dict(r=3, lora_alpha=6), c=dict(r=3, lora_alpha=1)),
                  [(("a", "b", "c"), (0.5, 0.3, 0.2), k, o) for k, o in
                   (("linear", {}), ("cat", {}), ("svd", {}), ("ties", dict(density=0.5)),
                    ("ties", dict(density=0.5, majority_sign_method="frequency")))], 93)
    weighted_case("combine-rslora", "rsLoRA sources: the scale of the result is what peft really gives it",
                  dict(a=dict(r=4, lora_alpha=8, use_rslora=True), b=dict(r=4, lora_alpha=4, use_rslora=True)),
                  [(ab, w, "linear", {}), (ab, w, "cat", {}), (ab, w, "svd", {})], 94)
