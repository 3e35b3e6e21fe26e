#!/usr/bin/env python3
"""Opens folders that the engine wrote with the real transformers / peft (/ adapters) and computes logits there.

    interop.py versions
    interop.py logits  --model DIR [--adapter DIR[:WEIGHT]]... --tokens 1,2,3 [--merge] [--dtype float32|float64]
    interop.py compare --model DIR [--adapter DIR[:WEIGHT]]... --expected FILE.json [--tolerance 1e-4] [--merge]
    interop.py batch   JOBS.json
    interop.py encode  --model DIR --text TEXT [--no-special]

`logits` prints {"tokens", "logits", "vocab_size"}. `compare` reads {"tokens": [...], "logits": [[...]]} (what `peftlab logits --json` prints),
prints {"max_abs", "max_rel", "argmax_agreement", "ok"}; max_rel is max_abs / max |logit| and must not exceed the tolerance.
`batch` reads a list of jobs {"name", "model", "adapters": ["DIR[:WEIGHT]", ...], "merge", "expected": FILE, "tolerance"} and prints one JSON line for each, as compare
does, with "name" and, where a folder does not load, "error". One start of Python for all.
Loading is strict: a key that is missing, unexpected or of another shape is an error that names it.
Several --adapter: any number of LoRAs (with weights) and at most one prompt or prefix; one AdapterHub folder on its own (needs `adapters`).

Exit codes: 0 done, 1 the folders do not load or the numbers differ, 2 wrong request, 3 a needed Python package is not installed.
"""

import argparse
import json
import os
import sys
import warnings

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
warnings.filterwarnings("ignore")


class Failure(Exception):
    """The folders are wrong; the message says how."""


ERRORS = (Failure, OSError, ValueError, KeyError, RuntimeError, TypeError, AttributeError)


def need(*packages):
    import importlib
    out = []
    for name in packages:
        try:
            out.append(importlib.import_module(name))
        except ImportError as error:
            print(f"interop.py: {name} is not installed ({error})", file=sys.stderr)
            sys.exit(3)
    return out


def load_model(folder, dtype):
    torch, transformers = need("torch", "transformers")
    transformers.utils.logging.disable_progress_bar()
    model, info = transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=getattr(torch, dtype), attn_implementation="eager", output_loading_info=True)
    problems = {k: sorted(map(str, v)) for k, v in info.items() if v and k in ("missing_keys", "unexpected_keys", "mismatched_keys", "error_msgs")}
    if problems:
        raise Failure(f"{folder}: {problems}")
    return model.eval()


def read_config(folder):
    path = os.path.join(folder, "adapter_config.json")
    if not os.path.exists(path):
        raise Failure(f"{path} does not exist")
    with open(path, encoding="utf-8") as f:
        return json.load(f)


def check_keys(model, name, folder):
    """peft drops unknown and missing keys with a warning at most; here they are errors."""
    from peft import get_peft_model_state_dict
    from safetensors.torch import load_file
    stored = {k: tuple(v.shape) for k, v in load_file(os.path.join(folder, "adapter_model.safetensors")).items()}
    wanted = {k: tuple(v.shape) for k, v in get_peft_model_state_dict(model, adapter_name=name).items()}
    if stored != wanted:
        missing, extra = sorted(wanted.keys() - stored.keys()), sorted(stored.keys() - wanted.keys())
        shapes = [f"{k} {stored[k]} should be {wanted[k]}" for k in stored.keys() & wanted.keys() if stored[k] != wanted[k]]
        raise Failure(f"{folder}: missing {missing}, unexpected {extra}, shapes {shapes}")


def add_weights(model, adapters):
    """Several LoRAs on one model, all active, each scaled by its weight."""
    from peft import PeftModel
    peft_model, names = None, []
    for i, (folder, weight) in enumerate(adapters):
        name = f"adapter{i}"
        if peft_model is None:
            peft_model = PeftModel.from_pretrained(model, folder, adapter_name=name)
        else:
            peft_model.load_adapter(folder, adapter_name=name)
        check_keys(peft_model, name, folder)
        names.append((name, weight))
    peft_model.base_model.set_adapter([n for n, _ in names])
    for name, weight in names:
        if weight != 1:
            for module in peft_model.modules():
                if hasattr(module, "set_scale") and name in module.scaling:
                    module.set_scale(name, weight)
    return peft_model


def virtual_forward(model, folder, config):
    """Prompt rows or prefix keys/values in front of whatever `model` is (peft allows no second method next to them)."""
    import torch
    from safetensors.torch import load_file
    from transformers import DynamicCache
    tensors = load_file(os.path.join(folder, "adapter_model.safetensors"))
    if list(tensors) != ["prompt_embeddings"]:
        raise Failure(f"{folder}: tensors {sorted(tensors)}, want prompt_embeddings alone")
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    c, rows = base.config, tensors["prompt_embeddings"].to(base.dtype)

    def prompt(tokens):
        x = base.get_input_embeddings()(torch.tensor([tokens]))
        return model(inputs_embeds=torch.cat((rows[None], x), dim=1)).logits[0, -len(tokens):]

    def prefix(tokens):
        head_dim = getattr(c, "head_dim", None) or c.hidden_size // c.num_attention_heads
        table = rows.view(-1, c.num_hidden_layers, 2, c.num_key_value_heads, head_dim).permute(1, 2, 3, 0, 4)
        cache = DynamicCache(config=c)
        for layer in range(c.num_hidden_layers):
            cache.update(table[layer, 0][None], table[layer, 1][None], layer)
        return model(input_ids=torch.tensor([tokens]), past_key_values=cache).logits[0]

    return prompt if config["peft_type"] == "PROMPT_TUNING" else prefix


def adapterhub_forward(args, folder):
    torch, adapters, transformers = need("torch", "adapters", "transformers")
    with open(os.path.join(args.model, "config.json"), encoding="utf-8") as f:
        if "rope_parameters" in json.load(f) and int(transformers.__version__.split(".")[0]) < 5:
            raise Failure(f"{args.model}/config.json has rope_parameters, which transformers {transformers.__version__} ignores silently")
    model = transformers.AutoModelForCausalLM.from_pretrained(args.model, torch_dtype=getattr(torch, args.dtype), attn_implementation="eager")
    adapters.init(model)
    info = {}
    name = model.load_adapter(folder, use_safetensors=True, set_active=True, loading_info=info)
    problems = {k: v for k, v in info.items() if v}
    if problems:
        raise Failure(f"{folder}: {problems}")
    model.to(getattr(torch, args.dtype)).eval()
    assert name in model.adapters_config.adapters
    return lambda tokens: model(input_ids=torch.tensor([tokens])).logits[0]


def build(args):
    """-> a function tokens -> logits[T, vocab] of the model with all adapters."""
    adapters = []
    for text in args.adapter:
        folder, _, weight = text.rpartition(":")
        try:
            adapters.append((folder, float(weight)) if folder else (text, 1.0))
        except ValueError:
            adapters.append((text, 1.0))
    configs = [read_config(folder) for folder, _ in adapters]
    if any("config" in c for c in configs):
        if len(adapters) != 1:
            raise Failure("an AdapterHub folder is opened on its own")
        return adapterhub_forward(args, adapters[0][0])
    model = load_model(args.model, args.dtype)
    (torch,) = need("torch")
    virtual = [(a, c) for a, c in zip(adapters, configs) if c.get("peft_type") in ("PROMPT_TUNING", "PREFIX_TUNING")]
    others = [a for a, c in zip(adapters, configs) if c.get("peft_type") not in ("PROMPT_TUNING", "PREFIX_TUNING")]
    if adapters:
        need("peft")
    if len(virtual) > 1:
        raise Failure("at most one prompt or prefix")
    if others:
        model = add_weights(model, others)
        if args.merge:
            model = model.merge_and_unload(safe_merge=True)
    if virtual and not others:  # peft alone must be able to open it too
        from peft import PeftModel
        folder = virtual[0][0][0]
        whole = PeftModel.from_pretrained(model, folder)
        check_keys(whole, "default", folder)
        return lambda tokens: whole(input_ids=torch.tensor([tokens])).logits[0, -len(tokens):]
    if virtual:
        return virtual_forward(model, virtual[0][0][0], virtual[0][1])
    return lambda tokens: model(input_ids=torch.tensor([tokens])).logits[0]


def compute(args, tokens):
    (torch,) = need("torch")
    torch.set_num_threads(1)
    with torch.no_grad():
        return build(args)(tokens)


def command_versions(_):
    import importlib
    out = {}
    for name in ("torch", "transformers", "peft", "adapters", "tokenizers", "safetensors"):
        try:
            out[name] = importlib.import_module(name).__version__
        except ImportError:
            out[name] = None
    print(json.dumps(out))


def command_logits(args):
    tokens = [int(t) for t in args.tokens.split(",")]
    logits = compute(args, tokens)
    print(json.dumps(dict(tokens=tokens, vocab_size=logits.shape[1], logits=logits.tolist())))


def compare(args):
    (torch,) = need("torch")
    with open(args.expected, encoding="utf-8") as f:
        expected = json.load(f)
    theirs = torch.tensor(expected["logits"], dtype=torch.float64)
    ours = compute(args, expected["tokens"]).double()
    if ours.shape != theirs.shape:
        raise Failure(f"logits are {list(theirs.shape)}, want {list(ours.shape)}")
    gap = float((ours - theirs).abs().max())
    out = dict(max_abs=gap, max_rel=gap / float(ours.abs().max()), argmax_agreement=float((ours.argmax(-1) == theirs.argmax(-1)).double().mean()))
    out["ok"] = out["max_rel"] <= args.tolerance
    return out


def command_compare(args):
    out = compare(args)
    print(json.dumps(out))
    sys.exit(0 if out["ok"] else 1)


def command_batch(args):
    with open(args.jobs, encoding="utf-8") as f:
        jobs = json.load(f)
    ok = True
    for job in jobs:
        try:
            out = compare(argparse.Namespace(model=job["model"], adapter=job.get("adapters", []), merge=job.get("merge", False), dtype="float32",
                                             expected=job["expected"], tolerance=job.get("tolerance", 1e-4)))
        except ERRORS as error:
            out = dict(ok=False, error=f"{type(error).__name__}: {error}")
        print(json.dumps(dict(name=job["name"], **out)), flush=True)
        ok = ok and out["ok"]
    sys.exit(0 if ok else 1)


def command_encode(args):
    (tokenizers,) = need("tokenizers")
    t = tokenizers.Tokenizer.from_file(os.path.join(args.model, "tokenizer.json"))
    ids = t.encode(args.text, add_special_tokens=not args.no_special).ids
    print(json.dumps(dict(tokens=ids, decoded=t.decode(ids, skip_special_tokens=False))))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("versions")
    for name in ("logits", "compare"):
        p = commands.add_parser(name)
        p.add_argument("--model", required=True)
        p.add_argument("--adapter", action="append", default=[])
        p.add_argument("--merge", action="store_true")
        p.add_argument("--dtype", default="float32", choices=["float32", "float64"])
        if name == "logits":
            p.add_argument("--tokens", required=True)
        else:
            p.add_argument("--expected", required=True)
            p.add_argument("--tolerance", type=float, default=1e-4)
    commands.add_parser("batch").add_argument("jobs")
    p = commands.add_parser("encode")
    p.add_argument("--model", required=True)
    p.add_argument("--text", required=True)
    p.add_argument("--no-special", action="store_true")
    args = parser.parse_args()
    try:
        globals()[f"command_{args.command}"](args)
    except ERRORS as error:
        print(f"interop.py: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
