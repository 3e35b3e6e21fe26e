"""counts.json: trainable parameters as peft itself counts them, on the meta device (no memory is used)."""

import os

import torch
from peft import IA3Config, LNTuningConfig, LoraConfig, PrefixTuningConfig, PromptTuningConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

from .common import ROOT, write_json
from .peft_cases import ALL


def llama(d, layers, heads, kv, ffn, vocab, tied=False, head_dim=None):
    return dict(hidden_size=d, num_hidden_layers=layers, num_attention_heads=heads, num_key_value_heads=kv,
                intermediate_size=ffn, vocab_size=vocab, tie_word_embeddings=tied, head_dim=head_dim or d // heads)


PRESETS = {
    "gpt2-small": llama(768, 12, 12, 12, 2048, 50257, tied=True),  # a Llama of GPT-2 small's size
    "tinyllama-1.1b": llama(2048, 22, 32, 4, 5632, 32000),
    "llama-2-7b": llama(4096, 32, 32, 32, 11008, 32000),
    "llama-2-13b": llama(5120, 40, 40, 40, 13824, 32000),
    "llama-2-70b": llama(8192, 80, 64, 8, 28672, 32000),
    "llama-3.1-8b": llama(4096, 32, 32, 8, 14336, 128256),
    "llama-3.1-70b": llama(8192, 80, 64, 8, 28672, 128256),
    "llama-3.2-1b": llama(2048, 16, 32, 8, 8192, 128256, tied=True),
    "llama-3.2-3b": llama(3072, 28, 24, 8, 8192, 128256, tied=True),
}


def lora(r, targets, **extra):
    return lambda: LoraConfig(task_type="CAUSAL_LM", r=r, lora_alpha=2 * r, target_modules=targets, **extra)


QV, QKVO = ["q_proj", "v_proj"], ["q_proj", "k_proj", "v_proj", "o_proj"]
NORMS = ["input_layernorm", "post_attention_layernorm", "norm"]
METHODS = {
    "lora-r4-qv": (lora(4, QV), dict(method="lora", r=4, target_modules=QV)),
    "lora-r8-qv": (lora(8, QV), dict(method="lora", r=8, target_modules=QV)),
    "lora-r16-qv": (lora(16, QV), dict(method="lora", r=16, target_modules=QV)),
    "lora-r32-qv": (lora(32, QV), dict(method="lora", r=32, target_modules=QV)),
    "lora-r64-qv": (lora(64, QV), dict(method="lora", r=64, target_modules=QV)),
    "lora-r8-qkvo": (lora(8, QKVO), dict(method="lora", r=8, target_modules=QKVO)),
    "lora-r8-all": (lora(8, "all-linear"), dict(method="lora", r=8, target_modules=ALL)),
    "lora-r16-all": (lora(16, "all-linear"), dict(method="lora", r=16, target_modules=ALL)),
    "lora-r64-all": (lora(64, "all-linear"), dict(method="lora", r=64, target_modules=ALL)),
    "lora-r10-mlp": (lora(10, ALL[4:]), dict(method="lora", r=10, target_modules=ALL[4:])),
    "dora-r8-qv": (lora(8, QV, use_dora=True), dict(method="lora", use_dora=True, r=8, target_modules=QV)),
    "dora-r32-qv": (lora(32, QV, use_dora=True), dict(method="lora", use_dora=True, r=32, target_modules=QV)),
    "dora-r8-all": (lora(8, "all-linear", use_dora=True), dict(method="lora", use_dora=True, r=8, target_modules=ALL)),
    "prompt-20": (lambda: PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=20), dict(method="prompt", num_virtual_tokens=20)),
    "prompt-200": (lambda: PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=200), dict(method="prompt", num_virtual_tokens=200)),
    "prefix-10": (lambda: PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=10), dict(method="prefix", num_virtual_tokens=10)),
    "prefix-200": (lambda: PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=200), dict(method="prefix", num_virtual_tokens=200)),
    "prefix-10-projection": (lambda: PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=10, prefix_projection=True),
                             dict(method="prefix", num_virtual_tokens=10, prefix_projection=True)),
    "ia3": (lambda: IA3Config(task_type="CAUSAL_LM"), dict(method="ia3", target_modules=["k_proj", "v_proj", "down_proj"])),
    "norms": (lambda: LNTuningConfig(task_type="CAUSAL_LM", target_modules=NORMS), dict(method="norms", target_modules=NORMS)),
}


def base_model(preset):
    config = LlamaConfig(**PRESETS[preset])
    with torch.device("meta"):
        return LlamaForCausalLM(config)


def count(preset, make):
    model = base_model(preset)
    total = sum(p.numel() for p in model.parameters())
    with torch.device("meta"):
        model = get_peft_model(model, make(), low_cpu_mem_usage=True)
    trainable, all_params = model.get_nb_trainable_parameters()
    return trainable, total


def bottleneck(preset, sites, size, bias=True):
    p = PRESETS[preset]
    d = p["hidden_size"]
    return p["num_hidden_layers"] * sites * (2 * d * size + (size + d if bias else 0))


def per_linear(preset, size):
    """One bias-free bottleneck at gate's input, up's input and down's output: all of width d."""
    return bottleneck(preset, 3, size, bias=False)


def run():
    out = dict(source="peft get_nb_trainable_parameters on the meta device; bottleneck rows by formula",
               presets=PRESETS, methods={k: v[1] for k, v in METHODS.items()}, total={}, trainable={})
    for name, sites, bias in (("seq_bn", 1, True), ("double_seq_bn", 2, True), ("per_linear", 3, False)):
        out["methods"][f"{name}-64"] = dict(method=name, bottleneck_size=64, bias=bias, by="formula")
    for name, rf in (("seq_bn-rf16", 16), ("double_seq_bn-rf16", 16), ("par_bn-rf2", 2)):
        out["methods"][name] = dict(method=name.split("-")[0], reduction_factor=rf, by="formula")
    for preset, shape in PRESETS.items():
        rows, d = {}, shape["hidden_size"]
        for name, (make, _) in METHODS.items():
            rows[name], out["total"][preset] = count(preset, make)
        rows["full"] = out["total"][preset]
        rows["seq_bn-64"], rows["double_seq_bn-64"] = bottleneck(preset, 1, 64), bottleneck(preset, 2, 64)
        rows["per_linear-64"] = per_linear(preset, 64)
        rows["seq_bn-rf16"], rows["double_seq_bn-rf16"] = bottleneck(preset, 1, d // 16), bottleneck(preset, 2, d // 16)
        rows["par_bn-rf2"] = bottleneck(preset, 1, d // 2)
        out["trainable"][preset] = rows
        print(preset, out["total"][preset], rows)
    out["methods"]["full"] = dict(method="full")
    write_json(os.path.join(ROOT, "counts.json"), out)
