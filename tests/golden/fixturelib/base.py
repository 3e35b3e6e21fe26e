"""models/<shape>/, the base cases, full fine-tuning, and other ways to store the same weights."""

import json
import os
import shutil

import torch
from safetensors.torch import save_file

from .common import HYPER, ROOT, SHAPES, Case, build_model, make_batch, plain_forward


def write_models():
    for shape in SHAPES:
        path = os.path.join(ROOT, "models", shape)
        shutil.rmtree(path, ignore_errors=True)
        model = build_model(shape)
        model.save_pretrained(path)
        for f in os.listdir(path):
            if f not in ("config.json", "model.safetensors"):
                os.remove(os.path.join(path, f))
        if shape in ("mha-tied", "headdim-gqa"):
            classic_config(path)


def classic_config(path):
    """The spelling of transformers < 5, which nearly every published model has: rope_theta at top level, torch_dtype."""
    with open(os.path.join(path, "config.json")) as f:
        config = json.load(f)
    rope = config.pop("rope_parameters")
    config["rope_theta"] = rope["rope_theta"]
    config["rope_scaling"] = None
    config["torch_dtype"] = config.pop("dtype")
    config["transformers_version"] = "4.46.0"
    if config["head_dim"] == config["hidden_size"] // config["num_attention_heads"]:
        del config["head_dim"]
    with open(os.path.join(path, "config.json"), "w") as f:
        json.dump(config, f, indent=2, sort_keys=True)
        f.write("\n")


def greedy(model, tokens, n):
    """n greedy tokens and the smallest lead of the winner over the runner-up."""
    tokens, lead = list(tokens), float("inf")
    out = []
    with torch.no_grad():
        for _ in range(n):
            top = plain_forward(model, tokens)[-1].topk(2)
            lead = min(lead, float(top.values[0] - top.values[1]))
            out.append(int(top.indices[0]))
            tokens.append(out[-1])
    return out, lead


def base_case(shape):
    model = build_model(shape)
    case = Case(f"base-{shape}", shape, "base", "Frozen model: logits and loss", "transformers")
    case.record(model)
    prompt = make_batch(shape)[0][1][:6]
    tokens, lead = greedy(model.double(), prompt, 12)
    case.json["greedy"] = dict(prompt=prompt, tokens=tokens, smallest_lead=lead)
    case.finish()


def full_trainable(model):
    return {"base/" + k: p for k, p in model.named_parameters()}  # a tied lm_head is listed once, as embed_tokens


def full_case(shape, suffix="", **hyper):
    model = build_model(shape)
    case = Case(f"full-{shape}{suffix}", shape, "full", "Full fine-tuning; a tied embedding is one tensor", "transformers")
    case.record(model, trainable=full_trainable, hyper=dict(HYPER, **hyper))
    case.finish()


def storage_cases():
    """The same shape stored as bf16, f16 and in shards: readers must widen exactly and follow the index."""
    for shape, dtype, short in (("gqa-odd", torch.bfloat16, "bf16"), ("mha-tied", torch.float16, "f16")):
        name = f"{shape}-{short}"
        path = os.path.join(ROOT, "models", name)
        shutil.rmtree(path, ignore_errors=True)
        shutil.copytree(os.path.join(ROOT, "models", shape), path)
        model = build_model(shape).to(dtype)
        state = {k: v for k, v in model.state_dict().items() if not (k == "lm_head.weight" and model.config.tie_word_embeddings)}
        save_file(state, os.path.join(path, "model.safetensors"), metadata={"format": "pt"})
        edit_dtype(path, {"bf16": "bfloat16", "f16": "float16"}[short])
        case = Case(f"base-{name}", shape, "base", f"Weights stored as {short}, computed in float32", "transformers")
        case.json["model"] = f"../models/{name}"
        widened = build_model(shape)
        widened.load_state_dict(model.float().state_dict())  # not model.float(): its RoPE buffer went through bf16
        case.record(widened)
        case.finish()
    shape, name = "gqa-odd", "gqa-odd-sharded"
    path = os.path.join(ROOT, "models", name)
    shutil.rmtree(path, ignore_errors=True)
    build_model(shape).save_pretrained(path, max_shard_size="60KB")
    for f in ("generation_config.json",):
        if os.path.exists(os.path.join(path, f)):
            os.remove(os.path.join(path, f))
    case = Case(f"base-{name}", shape, "base", "model.safetensors.index.json and several shards", "transformers")
    case.json["model"] = f"../models/{name}"
    case.record(build_model(shape))
    case.finish()


def edit_dtype(path, dtype):
    with open(os.path.join(path, "config.json")) as f:
        config = json.load(f)
    config["dtype" if "dtype" in config else "torch_dtype"] = dtype
    with open(os.path.join(path, "config.json"), "w") as f:
        json.dump(config, f, indent=2, sort_keys=True)
        f.write("\n")


def run():
    write_models()
    for shape in SHAPES:
        base_case(shape)
    full_case("mha-tied", lr=1e-3, weight_decay=0.1)
    full_case("gqa-odd", lr=1e-3)
    full_case("llama3-rope", lr=2e-3, weight_decay=0.05, schedule="cosine", warmup_steps=5)
    storage_cases()
