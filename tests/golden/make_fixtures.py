#!/usr/bin/env python3
"""Makes every golden fixture under tests/golden from real transformers + peft (+ adapters, + tokenizers).

    python3 -m venv venv && venv/bin/pip install -r tests/golden/requirements.txt
    venv/bin/python tests/golden/make_fixtures.py [base peft …]        (no argument: all but adapters)
    venv-adapters/bin/python tests/golden/make_fixtures.py adapters         (requirements-adapters.txt)

Deterministic: fixed seeds, one thread. Nothing here is needed to run the tests; they read the committed files.
"""

import argparse
import importlib
import json
import os
import sys
import warnings

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

GROUPS = dict(base="base", peft="peft_cases", decomposed="decomposed", combos="combos", weighted="weighted", counts="counts", tokenizers="tokenizer_cases",
              adapters="adapterhub")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("groups", nargs="*", help=" ".join(GROUPS))
    parser.add_argument("--text", help="training text for the tokenizers; without it the committed ones are kept")
    args = parser.parse_args()
    groups = args.groups or [g for g in GROUPS if g != "adapters"]
    if os.environ.get("PYTHONHASHSEED") != "0":  # peft writes target_modules in set order
        os.execve(sys.executable, [sys.executable, *sys.argv], dict(os.environ, PYTHONHASHSEED="0"))
    import torch
    import transformers
    from fixturelib import double
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    transformers.utils.logging.disable_progress_bar()
    double.install()
    for group in groups:
        importlib.import_module("fixturelib." + GROUPS[group]).run(*([args.text] if group == "tokenizers" else []))
    write_index()


def write_index():
    """index.json: what there is, for tests that walk over everything."""
    from fixturelib.common import ROOT, write_json
    rows = []
    for case in sorted(os.listdir(ROOT)):
        path = os.path.join(ROOT, case, "expected.json")
        if os.path.exists(path):
            with open(path, encoding="utf-8") as f:
                expected = json.load(f)
            rows.append(dict(case=case, method=expected["method"], model=expected["model"].removeprefix("../models/")))
    write_json(os.path.join(ROOT, "index.json"), rows)


if __name__ == "__main__":
    main()
