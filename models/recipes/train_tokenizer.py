#!/usr/bin/env python3
"""Step 2 of 4: byte-level BPE in GPT-2's form, written as tokenizer.json.

    python train_tokenizer.py --clean WORK/clean --vocab 2048 --out WORK/tokenizer-2048

Token 0 is <|endoftext|> (begins and ends every document), 1..256 are the bytes: any text can be encoded.
"""
import argparse
import json
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

END = "<|endoftext|>"


def documents(clean, names):
    for name in names:
        yield from (clean / f"{name}.txt").read_text().split(f"\n{END}\n")


def main():
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--clean", type=Path, required=True)
    cli.add_argument("--vocab", type=int, required=True)
    cli.add_argument("--out", type=Path, required=True)
    cli.add_argument("--context", type=int, default=512)
    args = cli.parse_args()
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=args.vocab, special_tokens=[END], show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator(documents(args.clean, ("stories", "picture", "fables", "primer")), trainer)
    assert tokenizer.get_vocab_size() == args.vocab and tokenizer.token_to_id(END) == 0
    # as in Llama 3's file: encoding with special tokens puts <|endoftext|> first, which is how every training text began
    tokenizer.post_processor = processors.TemplateProcessing(single=f"{END} $A", pair=f"{END} $A {END}:1 $B:1",
                                                             special_tokens=[(END, 0)])
    args.out.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(args.out / "tokenizer.json"))
    special = {"bos_token": END, "eos_token": END, "unk_token": END, "pad_token": END}
    (args.out / "special_tokens_map.json").write_text(json.dumps(special, indent=2) + "\n")
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": args.context,
              "clean_up_tokenization_spaces": False, "add_bos_token": True, **special}
    (args.out / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")
    text = (args.clean / "heldout.txt").read_text()[:200000]
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    assert tokenizer.decode(ids, skip_special_tokens=False) == text
    print(f"vocab {args.vocab}: {len(text.encode()) / len(ids):.3f} bytes per token on held-out stories")


if __name__ == "__main__":
    main()
