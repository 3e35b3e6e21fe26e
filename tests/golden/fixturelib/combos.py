"""Several modules on one model: what peft can express (several LoRAs), and what it cannot (LoRA + prompt/prefix, by hand)."""

import json
import os

import torch
from peft import LoraConfig, PrefixTuningConfig, PromptTuningConfig, get_peft_model
from safetensors.torch import save_file
from torch import nn
from transformers import DynamicCache

from .common import HYPER, Case, build_model, flat, plain_forward
from .peft_cases import ALL, check_file, file_key, peft_trainable, perturb, save_merged


def lora_pair(shape, seed, configs, names=("a", "b")):
    torch.manual_seed(seed)
    model = None
    for name, options in zip(names, configs):
        config = LoraConfig(task_type="CAUSAL_LM", **options)
        if model is None:
            model = get_peft_model(build_model(shape), config, adapter_name=name)
        else:
            model.add_adapter(name, config)
    model.base_model.set_adapter(list(names))
    perturb(model, seed, ["lora_B"], 0.08)
    return model


def weighted_case(name, shape, weights, configs, about, seed=61):
    """Active list with weights: y = Wx + sum of w_i s_i B_i A_i x. peft's cat must give the same logits."""
    names = ("a", "b", "c")[: len(configs)]
    model = lora_pair(shape, seed, configs, names)
    for module in model.modules():
        if hasattr(module, "set_scale"):
            for n, w in zip(names, weights):
                if n in module.scaling:
                    module.set_scale(n, w)
    case = Case(name, shape, "lora", about)
    for n, w in zip(names, weights):
        case.save_peft(model, n, n, weight=w)
    case.record(model, trainable=peft_trainable(names), hyper=dict(HYPER))
    for n in names:
        check_file(case, n, n)
    if len({tuple(sorted(c["target_modules"])) for c in configs}) == 1:
        cat_check(case, shape, seed, configs, names, weights)
    save_merged(case, model)
    case.finish()


def cat_check(case, shape, seed, configs, names, weights):
    model = lora_pair(shape, seed, configs, names)
    model.add_weighted_adapter(list(names), list(weights), "cat", combination_type="cat")
    model.set_adapter("cat")
    with torch.no_grad():
        gap = max(float((plain_forward(model, t) - case.tensors[f"logits/{i}"]).abs().max())
                  for i, t in enumerate(case.json["tokens"]))
    assert gap < 1e-4, gap
    case.json["cat_logits_max_abs"] = gap


class LoraWithPrompt(nn.Module):
    """E_p rows in front of the embedded tokens of a LoRA model: one optimiser over both."""

    def __init__(self, lora, rows):
        super().__init__()
        self.lora, self.rows = lora, nn.Parameter(rows.clone())

    def forward(self, tokens):
        embedded = self.lora.get_input_embeddings()(torch.tensor([tokens]))
        x = torch.cat((self.rows[None], embedded), dim=1)
        return self.lora(inputs_embeds=x).logits[0, -len(tokens):]


class LoraWithPrefix(nn.Module):
    """Prefix rows as past key/values of a LoRA model; row layout as peft stores it, [n, L, 2, H_kv, head_dim]."""

    def __init__(self, lora, rows):
        super().__init__()
        self.lora, self.rows = lora, nn.Parameter(rows.clone())

    def forward(self, tokens):
        c = self.lora.get_base_model().config
        table = self.rows.view(-1, c.num_hidden_layers, 2, c.num_key_value_heads, c.head_dim).permute(1, 2, 3, 0, 4)
        cache = DynamicCache(config=c)
        for layer in range(c.num_hidden_layers):
            cache.update(table[layer, 0][None], table[layer, 1][None], layer)
        return self.lora(input_ids=torch.tensor([tokens]), past_key_values=cache).logits[0]


def joint_case(name, shape, kind, n, seed=71):
    torch.manual_seed(seed)
    config = dict(prompt=PromptTuningConfig, prefix=PrefixTuningConfig)[kind]
    virtual = get_peft_model(build_model(shape), config(task_type="CAUSAL_LM", num_virtual_tokens=n))
    with torch.no_grad():
        virtual.prompt_encoder["default"].embedding.weight.mul_(0.6)
    rows = virtual.prompt_encoder["default"].embedding.weight.detach()
    lora = get_peft_model(build_model(shape), LoraConfig(task_type="CAUSAL_LM", r=4, lora_alpha=8,
                                                         target_modules=["q_proj", "v_proj", "down_proj"]))
    perturb(lora, seed, ["lora_B"], 0.05)
    case = Case(name, shape, f"lora+{kind}", f"LoRA and {kind} trained together by one AdamW, {n} virtual tokens",
                "hand-written torch on peft's LoRA model (peft cannot hold both); folders saved by peft")
    case.save_peft(lora, folder="lora")
    case.save_peft(virtual, folder=kind)
    case.json["adapters"][0]["name"], case.json["adapters"][1]["name"] = "lora", kind

    def trainable(model):
        out = {f"lora/{file_key(k, 'default')}": p for k, p in model.lora.named_parameters() if p.requires_grad}
        out[f"{kind}/prompt_embeddings"] = model.rows
        return out

    joint = dict(prompt=LoraWithPrompt, prefix=LoraWithPrefix)[kind](lora, rows)
    out = case.record(joint, forward=lambda m, t: m(t), trainable=trainable, hyper=dict(HYPER))
    alone = plain_forward(virtual, case.json["tokens"][0]).detach()
    assert (alone - out["logits"][0]).abs().max() > 1e-3  # the LoRA half does something
    with torch.no_grad():  # with LoRA switched off the hand-written path must equal peft's own
        with lora.disable_adapter():
            gap = float((joint(case.json["tokens"][0]) - alone).abs().max())
    assert gap < 1e-5, gap
    check_file(case, "lora", "lora")
    case.finish()


# --- LLM-Adapters: bottlenecks around single linears (3 per layer on gate, up, down) ----------------------------------

class Wrapped(nn.Module):
    """gate/up: W(x + A(x)); down: z + A(z), z = Wx; parallel: Wx + A(x). A(u) = scale * up(f(down(u))), no biases."""

    def __init__(self, linear, size, kind, f, scale, generator):
        super().__init__()
        width = linear.out_features if kind == "after" else linear.in_features
        out = linear.out_features if kind == "parallel" else width
        self.linear, self.kind, self.f, self.scale = linear, kind, f, scale
        self.adapter_down = nn.Linear(width, size, bias=False)
        self.adapter_up = nn.Linear(size, out, bias=False)
        with torch.no_grad():
            self.adapter_down.weight.copy_(torch.randn(size, width, generator=generator) * 0.2)
            self.adapter_up.weight.copy_(torch.randn(out, size, generator=generator) * 0.2)

    def adapt(self, u):
        return self.adapter_up(self.f(self.adapter_down(u))) * self.scale

    def forward(self, x):
        if self.kind == "before":
            return self.linear(x + self.adapt(x))
        if self.kind == "after":
            z = self.linear(x)
            return z + self.adapt(z)
        return self.linear(x) + self.adapt(x)


def per_linear_case(name, shape, size, non_linearity, scale=1.0, parallel=False, seed=81):
    g = torch.Generator().manual_seed(seed)
    model = build_model(shape)
    model.requires_grad_(False)
    f = dict(tanh=torch.tanh, relu=torch.relu)[non_linearity]
    for layer in model.model.layers:
        for target in ("gate_proj", "up_proj", "down_proj"):
            kind = "parallel" if parallel else "after" if target == "down_proj" else "before"
            setattr(layer.mlp, target, Wrapped(getattr(layer.mlp, target), size, kind, f, scale, g))
    case = Case(name, shape, "per_linear", "LLM-Adapters bottlenecks on gate, up and down, no biases",
                "hand-written torch after LLM-Adapters tuners/bottleneck.py")

    def trainable(m):
        return {f"default/base_model.model.{k}": p for k, p in m.named_parameters() if ".adapter_" in k}

    folder = os.path.join(case.dir, "adapter")
    os.makedirs(folder)
    save_file(flat({k.split("/", 1)[1]: p for k, p in trainable(model).items()}),
              os.path.join(folder, "adapter_model.safetensors"), metadata={"format": "pt"})
    config = dict(base_model_name_or_path=f"../../models/{shape}", bias="none", bottleneck_size=size, adapter_dropout=0.0,
                  inference_mode=True, init_weights="bert", non_linearity=non_linearity, peft_type="BOTTLENECK",
                  scaling=scale, target_modules=["gate_proj", "up_proj", "down_proj"], task_type="CAUSAL_LM",
                  use_adapterp=False, use_parallel_adapter=parallel)
    with open(os.path.join(folder, "adapter_config.json"), "w") as out:
        json.dump(config, out, indent=2, sort_keys=True)
        out.write("\n")
    case.add_adapter("default", "adapter")
    case.record(model, trainable=trainable, hyper=dict(HYPER, lr=3e-3))
    case.finish()


def run():
    qv = ["q_proj", "v_proj"]
    weighted_case("weighted-same-gqa-odd", "gqa-odd", (0.7, -0.4),
                  (dict(r=4, lora_alpha=8, target_modules=qv), dict(r=2, lora_alpha=6, target_modules=qv)),
                  "Two active LoRAs on the same modules, ranks 4 and 2, weights 0.7 and -0.4")
    weighted_case("weighted-mixed-mha-tied", "mha-tied", (1.0, 0.5, 2.0),
                  (dict(r=3, lora_alpha=6, target_modules=qv), dict(r=2, lora_alpha=2, target_modules=["v_proj", "down_proj"]),
                   dict(r=1, lora_alpha=1, use_rslora=True, target_modules=ALL)),
                  "Three active LoRAs on overlapping modules, weights 1, 0.5 and 2")
    joint_case("lora-prompt-mha-tied", "mha-tied", "prompt", 4)
    joint_case("lora-prompt-gqa-odd", "gqa-odd", "prompt", 3)
    joint_case("lora-prefix-gqa-odd", "gqa-odd", "prefix", 3)
    joint_case("lora-prefix-headdim-gqa", "headdim-gqa", "prefix", 2)
    per_linear_case("per-linear-mha-tied", "mha-tied", 6, "tanh")
    per_linear_case("per-linear-gqa-odd", "gqa-odd", 5, "relu", scale=0.5)
    per_linear_case("per-linear-parallel-gqa-odd", "gqa-odd", 4, "tanh", parallel=True)
