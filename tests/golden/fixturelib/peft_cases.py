"""LoRA family, prompt, prefix, (IA)3 and norm tuning by the real peft."""

import os
import re

import torch
from peft import IA3Config, LNTuningConfig, LoraConfig, PrefixTuningConfig, PromptTuningConfig, get_peft_model
from peft.optimizers import create_loraplus_optimizer
from safetensors.torch import load_file, save_file

from .common import HYPER, Case, build_model, flat, make_batch, plain_forward

ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def file_key(name, adapter):
    """Parameter name in the live model -> key in adapter_model.safetensors."""
    m = re.match(rf"prompt_encoder\.{adapter}\.(.*)$", name)
    if m:
        return m[1]
    name = name.replace(f".lora_magnitude_vector.{adapter}.weight", ".lora_magnitude_vector")
    name = name.replace(f".modules_to_save.{adapter}.", ".")
    return name.replace(f".{adapter}.", ".") if f".{adapter}." in name else re.sub(rf"\.{adapter}$", "", name)


def peft_trainable(adapters=("default",), prompt=False):
    def collect(model):
        out = {}
        for name, p in model.named_parameters():
            if not p.requires_grad:
                continue
            for a in adapters:
                if f".{a}." in f"{name}.":
                    key = file_key(name, a)
                    if prompt and key == "embedding.weight":
                        key = "prompt_embeddings"
                    out[f"{a}/{key}"] = p
        return out
    return collect


def perturb(model, seed, names, std):
    """Move tensors whose usual init is a no-op (B = 0, IA3 = 1, m = |W|), so that every gradient is alive."""
    g = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.requires_grad and any(n in name for n in names):
                p.add_(std * torch.randn(p.shape, generator=g))


def check_file(case, folder, adapter):
    """Every tensor of the saved file is one we record under the same key, and the other way round."""
    stored = load_file(os.path.join(case.dir, folder, "adapter_model.safetensors"))
    recorded = {k.split("/", 1)[1]: v for k, v in case.json["trainable_tensors"].items() if k.startswith(adapter + "/")}
    assert {k: list(v.shape) for k, v in stored.items()} == recorded, (sorted(stored), sorted(recorded))


def save_merged(case, model):
    """peft's own float32 merge_and_unload; only tensors that differ from the base are stored."""
    base = build_model(case.shape).state_dict()
    merged = model.merge_and_unload(safe_merge=True)
    changed = {k: v for k, v in merged.state_dict().items() if not torch.equal(v.float(), base[k])}
    if merged.config.tie_word_embeddings:
        changed.pop("lm_head.weight", None)
    save_file(flat(changed), os.path.join(case.dir, "merged.safetensors"))
    with torch.no_grad():
        logits = [plain_forward(merged, t) for t in case.json["tokens"]]
    gap = max(float((a - case.tensors[f"logits/{i}"].float()).abs().max()) for i, a in enumerate(logits))
    case.json["merged"] = dict(file="merged.safetensors", tensors=sorted(changed), float32_logits_max_abs=gap)


def lora_case(name, shape, about, seed=11, hyper=None, merge=True, make_optimizer=None, method="lora", noise=True,
              store=None, **options):
    torch.manual_seed(seed)
    options = dict(dict(r=8, lora_alpha=16, target_modules=["q_proj", "v_proj"]), **options)
    model = get_peft_model(build_model(shape), LoraConfig(task_type="CAUSAL_LM", **options))
    if noise:
        perturb(model, seed, ["lora_B", "lora_embedding_A"], 0.05)
        perturb(model, seed + 1, ["lora_magnitude"], 0.05)
    case = Case(name, shape, method, about)
    if store:  # adapter tensors rounded to 16 bits: saved as such, computed in float32
        for p in peft_trainable()(model).values():
            p.data = p.data.to(store)
    case.save_peft(model)
    for p in peft_trainable()(model).values():
        p.data = p.data.float()
    case.record(model, trainable=peft_trainable(), hyper=dict(HYPER, **(hyper or {})), make_optimizer=make_optimizer)
    check_file(case, "adapter", "default")
    if merge:
        save_merged(case, model)
    case.finish()


def loraplus(ratio):
    def make(model, params, hyper):
        return create_loraplus_optimizer(
            model, torch.optim.AdamW, lr=hyper["lr"], loraplus_lr_ratio=ratio, betas=(hyper["beta1"], hyper["beta2"]),
            eps=hyper["eps"], loraplus_weight_decay=hyper["weight_decay"])
    return make


def lora_cases():
    lora_case("lora-qv-mha-tied", "mha-tied", "r 8, alpha 16, q and v; decay 0.01", hyper=dict(weight_decay=0.01))
    lora_case("lora-qv-gqa-odd", "gqa-odd", "r 8, alpha 16, q and v; warm-up 5 then cosine",
              hyper=dict(schedule="cosine", warmup_steps=5))
    lora_case("lora-init-mha-tied", "mha-tied", "Untouched init (B = 0): logits equal the base, dA = 0", noise=False, merge=False)
    lora_case("lora-all-patterns-gqa-odd", "gqa-odd", "all-linear, rank_pattern and alpha_pattern, layer index in a key",
              target_modules="all-linear", r=4, lora_alpha=8, rank_pattern={"q_proj": 2, "layers.1.mlp.down_proj": 7},
              alpha_pattern={"v_proj": 3, "mlp.gate_proj": 16})
    lora_case("lora-all-headdim-gqa", "headdim-gqa", "every linear, r 3", target_modules=ALL, r=3, lora_alpha=6)
    lora_case("lora-rs-headdim-gqa", "headdim-gqa", "rsLoRA: scale alpha / sqrt(r); warm-up 3 then linear",
              use_rslora=True, r=5, lora_alpha=4, hyper=dict(schedule="linear", warmup_steps=3))
    lora_case("lora-gaussian-llama3-rope", "llama3-rope", "Gaussian A, all attention linears",
              init_lora_weights="gaussian", target_modules=ALL[:4], r=6, lora_alpha=12)
    lora_case("lora-regex-gqa-odd", "gqa-odd", "target_modules and exclude_modules as regular expressions",
              target_modules=r".*\.(q|o|up)_proj", exclude_modules=r".*layers\.1\..*", r=4, lora_alpha=4)
    lora_case("lora-some-layers-gqa-odd", "gqa-odd", "layers_to_transform [0, 2]", layers_to_transform=[0, 2], r=2,
              lora_alpha=1, target_modules=["k_proj", "down_proj"])
    lora_case("dora-qv-mha-tied", "mha-tied", "DoRA, r 4, decay 0.01 (not on the magnitudes)", use_dora=True, r=4,
              lora_alpha=8, hyper=dict(weight_decay=0.01))
    lora_case("dora-all-headdim-gqa", "headdim-gqa", "DoRA + rsLoRA on every linear", use_dora=True, use_rslora=True, r=3,
              lora_alpha=3, target_modules=ALL)
    lora_case("lora-bf16-mha-tied", "mha-tied", "Adapter file in BF16", r=4, lora_alpha=8, store=torch.bfloat16, merge=False)
    lora_case("lora-f16-headdim-gqa", "headdim-gqa", "Adapter file in F16", r=3, lora_alpha=8, store=torch.float16, merge=False)
    lora_case("loraplus-qv-gqa-odd", "gqa-odd", "LoRA+ by create_loraplus_optimizer, ratio 16",
              hyper=dict(lr=1e-3, loraplus_lr_ratio=16.0), make_optimizer=loraplus(16.0), merge=False)


def prompt_loss(case, model):
    """peft's own loss: it also asks the last virtual token to predict the first real one (T targets, not T - 1)."""
    tokens, labels = make_batch(case.shape)
    with torch.no_grad():
        losses = [model(input_ids=torch.tensor([t]), labels=torch.tensor([l])).loss.item() for t, l in zip(tokens, labels)]
    case.json["peft_loss_per_sequence"] = losses


def prompt_case(name, shape, n, std, seed=21, from_vocab=False, **hyper):
    torch.manual_seed(seed)
    base = build_model(shape)
    rows = base.get_input_embeddings().weight.detach()
    model = get_peft_model(base, PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=n))
    table = model.prompt_encoder["default"].embedding.weight
    ids = torch.randint(3, rows.shape[0], (n,)) if from_vocab else None
    with torch.no_grad():
        table.copy_(rows[ids] if from_vocab else std * torch.randn(table.shape))
    about = "rows copied from the embedding (text or vocabulary init)" if from_vocab else "random rows"
    case = Case(name, shape, "prompt", f"Prompt tuning, {n} virtual tokens, {about}")
    if from_vocab:
        case.json["init_token_ids"] = ids.tolist()
    case.save_peft(model)
    case.record(model, trainable=peft_trainable(prompt=True), hyper=dict(HYPER, **hyper))
    check_file(case, "adapter", "default")
    prompt_loss(case, model)
    case.finish()


def prefix_case(name, shape, n, about, seed=31, std=0.5, projection=None, **hyper):
    torch.manual_seed(seed)
    extra = dict(prefix_projection=True, encoder_hidden_size=projection) if projection else {}
    model = get_peft_model(build_model(shape), PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=n, **extra))
    if not projection:
        with torch.no_grad():
            model.prompt_encoder["default"].embedding.weight.mul_(std)
    case = Case(name, shape, "prefix", about)
    case.save_peft(model)
    case.record(model, trainable=peft_trainable(prompt=not projection), hyper=dict(HYPER, **hyper))
    if projection:
        state = {k: v for k, v in model.prompt_encoder["default"].state_dict().items()}
        save_file(flat(state), os.path.join(case.dir, "encoder.safetensors"))
        case.json["encoder"] = dict(file="encoder.safetensors", hidden=projection, activation="tanh")
    else:
        check_file(case, "adapter", "default")
    case.finish()


def prompt_cases():
    prompt_case("prompt-random-mha-tied", "mha-tied", 5, 0.7)
    prompt_case("prompt-random-gqa-odd", "gqa-odd", 3, 0.7, lr=3e-2)
    prompt_case("prompt-vocab-llama3-rope", "llama3-rope", 4, 0.0, from_vocab=True)
    prefix_case("prefix-mha-tied", "mha-tied", 4, "Flat prefix table, multi-head attention")
    prefix_case("prefix-gqa-odd", "gqa-odd", 5, "Flat prefix table, one KV head of head_dim 8")
    prefix_case("prefix-headdim-gqa", "headdim-gqa", 3, "Flat prefix table, two KV heads of head_dim 10")
    prefix_case("prefix-llama3-rope", "llama3-rope", 6, "Flat prefix table with scaled RoPE")
    prefix_case("prefix-projection-gqa-odd", "gqa-odd", 4, "prefix_projection: MLP gradients", projection=11, lr=3e-3)
    prefix_case("prefix-projection-mha-tied", "mha-tied", 3, "prefix_projection: MLP gradients", projection=24, lr=3e-3)


def ia3_case(name, shape, seed=41, **options):
    torch.manual_seed(seed)
    model = get_peft_model(build_model(shape), IA3Config(task_type="CAUSAL_LM", **options))
    perturb(model, seed, ["ia3_l"], 0.2)
    case = Case(name, shape, "ia3", "(IA)3 on k, v (outputs) and down (inputs)")
    case.save_peft(model)
    case.record(model, trainable=peft_trainable(), hyper=dict(HYPER))
    check_file(case, "adapter", "default")
    save_merged(case, model)
    case.finish()


def norm_case(name, shape, seed=51):
    torch.manual_seed(seed)
    model = get_peft_model(build_model(shape), LNTuningConfig(
        task_type="CAUSAL_LM", target_modules=["input_layernorm", "post_attention_layernorm", "norm"]))
    perturb(model, seed, ["ln_tuning"], 0.1)
    case = Case(name, shape, "norms", "Norm tuning: every RMSNorm weight")
    case.save_peft(model)
    case.record(model, trainable=peft_trainable(), hyper=dict(HYPER))
    check_file(case, "adapter", "default")
    save_merged(case, model)
    case.finish()


def other_cases():
    ia3_case("ia3-mha-tied", "mha-tied")
    ia3_case("ia3-gqa-odd", "gqa-odd", target_modules=["k_proj", "v_proj", "down_proj"], feedforward_modules=["down_proj"])
    norm_case("norms-mha-tied", "mha-tied")
    norm_case("norms-gqa-odd", "gqa-odd")


def run():
    lora_cases()
    prompt_cases()
    other_cases()
