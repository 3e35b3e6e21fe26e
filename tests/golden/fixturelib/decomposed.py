"""LoRA that starts from a part of the base: PiSSA and OLoRA by the real peft."""

import os
import tempfile

import torch
from peft import LoraConfig, get_peft_model

from .common import HYPER, Case, build_model
from .peft_cases import ALL, check_file, peft_trainable, perturb, save_merged


def double(shape):
    """PiSSA and OLoRA once more in float64: peft decomposes in float32, so what it leaves of the base is a rounding away from the definition.
    The formulas are those of peft's LoraLayer.pissa_init and olora_init."""
    def to_double(model):
        model = model.double()
        originals = build_model(shape).double().state_dict()
        for name, layer in model.base_model.model.named_modules():
            if not hasattr(layer, "lora_A"):
                continue
            w, r, s = originals[f"{name}.weight"], layer.r["default"], layer.scaling["default"]
            if model.peft_config["default"].init_lora_weights == "olora":
                q, rest = torch.linalg.qr(w)
                product = q[:, :r] @ rest[:r]
            else:
                u, sigma, vt = torch.linalg.svd(w, full_matrices=False)
                product = u[:, :r] @ torch.diag(sigma[:r] / s) @ vt[:r]
            own = layer.get_base_layer().weight
            assert float((own - (w - s * product)).abs().max()) < 1e-5, name
            own.data = w - s * product
        return model
    return to_double


def case(name, shape, about, seed=13, hyper=None, plain=True, **options):
    """PiSSA or OLoRA: the folder as peft saves it (the base is reduced again at load), and, in adapter-plain, converted by peft to a LoRA of
    twice the rank that leaves the base alone."""
    torch.manual_seed(seed)
    model = get_peft_model(build_model(shape), LoraConfig(task_type="CAUSAL_LM", **options))
    made = Case(name, shape, "lora", about)
    with tempfile.TemporaryDirectory() as start:
        model.peft_config["default"].init_lora_weights = True  # as peft's example does it: the start is loaded as it is
        model.save_pretrained(start)
        model.peft_config["default"].init_lora_weights = options["init_lora_weights"]
        perturb(model, seed, ["lora_A", "lora_B"], 0.05)
        perturb(model, seed + 1, ["lora_magnitude"], 0.05)
        made.save_peft(model)
        made.record(model, trainable=peft_trainable(), hyper=dict(HYPER, **(hyper or {})), to_double=double(shape))
        check_file(made, "adapter", "default")
        if plain:
            model.save_pretrained(os.path.join(made.dir, "adapter-plain"), path_initial_model_for_weight_conversion=start)
            os.remove(os.path.join(made.dir, "adapter-plain", "README.md"))
            made.json["plain"] = "adapter-plain"
    save_merged(made, double(shape)(model))
    made.finish()


def run():
    case("pissa-all-gqa-odd", "gqa-odd", "PiSSA on every linear, rank_pattern and alpha_pattern", init_lora_weights="pissa",
                    target_modules=ALL, r=4, lora_alpha=8, rank_pattern={"q_proj": 2}, alpha_pattern={"v_proj": 3})
    case("pissa-rs-headdim-gqa", "headdim-gqa", "PiSSA with rsLoRA; decay 0.01", init_lora_weights="pissa", use_rslora=True,
                    target_modules=["q_proj", "v_proj"], r=5, lora_alpha=4, hyper=dict(weight_decay=0.01))
    case("pissa-dora-mha-tied", "mha-tied", "PiSSA with DoRA", init_lora_weights="pissa", use_dora=True,
                    target_modules=["q_proj", "up_proj"], r=3, lora_alpha=6, plain=False)
    case("olora-all-mha-tied", "mha-tied", "OLoRA on every linear", init_lora_weights="olora", target_modules=ALL, r=3, lora_alpha=6)
