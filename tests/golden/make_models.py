#!/usr/bin/env python3
"""What transformers, peft and tokenizers make of the models and adapters that we ship: tests/golden/models.json.

    python tests/golden/make_models.py        (versions: requirements.txt; run it again whenever a model or an adapter changes)

For every model: logits of a text at its last position, and a hash of the ids of every text of every task. For every ready adapter that
peft can open: the logits with it. tests/node/models-golden.test.mjs holds the engine to them.
"""
import base64
import hashlib
import json
from pathlib import Path

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

ROOT = Path(__file__).resolve().parents[2]
MODELS = ROOT / "models"
TEXT = 'Once upon a time, there was a little girl named Lily. She had 3 dogs and said: "Let\'s go to the park!"'


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@torch.no_grad()
def last_logits(model, ids):
    row = model(input_ids=ids).logits[0, -1].float()
    return base64.b64encode(row.numpy().astype("<f4").tobytes()).decode()


def texts_of(path):
    """prompt, completion and text of every line, in this order."""
    for line in path.read_text(encoding="utf-8").splitlines():
        item = json.loads(line)
        yield from (item[key] for key in ("prompt", "completion", "text") if key in item)


def task_ids(tokenizer):
    """file -> {texts, sha256 of the JSON list of all ids}."""
    found = {}
    for path in sorted((MODELS / "tasks").glob("*/*.jsonl")):
        ids = tokenizer(list(texts_of(path)), add_special_tokens=False).input_ids
        digest = hashlib.sha256(json.dumps(ids, separators=(",", ":")).encode()).hexdigest()
        found[str(path.relative_to(MODELS / "tasks"))] = {"texts": len(ids), "sha256": digest}
    return found


def load(name):
    return AutoModelForCausalLM.from_pretrained(MODELS / name, dtype=torch.float32).eval()


def main():
    torch.set_num_threads(1)
    models, adapters = {}, {}
    for folder in sorted(p.parent for p in MODELS.glob("*/training.json")):
        tokenizer = AutoTokenizer.from_pretrained(folder)
        ids = tokenizer(TEXT, return_tensors="pt").input_ids
        models[folder.name] = {"model_sha256": sha256(folder / "model.safetensors"), "text": TEXT, "ids": ids[0].tolist(),
                               "logits": last_logits(load(folder.name), ids), "tasks": task_ids(tokenizer)}
    for info in sorted((MODELS / "adapters").glob("*/info.json")):
        facts = json.loads(info.read_text())
        if "adapter_model.safetensors" not in facts["files"]:
            continue  # AdapterHub layout: peft has no bottleneck adapters
        ids = torch.tensor([models[facts["model"]]["ids"]])
        model = PeftModel.from_pretrained(load(facts["model"]), info.parent).eval()
        adapters[info.parent.name] = {"model": facts["model"], "adapter_sha256": sha256(info.parent / "adapter_model.safetensors"),
                                      "logits": last_logits(model, ids)}
    (Path(__file__).parent / "models.json").write_text(json.dumps({"models": models, "adapters": adapters}, indent=1) + "\n")


if __name__ == "__main__":
    main()
