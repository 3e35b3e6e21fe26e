"""tokenizers/: small tokenizer.json files of the four layouts in use, and what `tokenizers` does with hard strings.

Training text: `--text FILE` (any English prose; the committed files used public-domain children's books) plus the multilingual
sentences below. Without it the committed tokenizer.json files and strings are kept and only the expectations are made again; that part is
deterministic, while `tokenizers` breaks ties in training by hash order.
"""

import gzip
import json
import os
import random
import unicodedata

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from .common import ROOT

FOLDER = os.path.join(ROOT, "tokenizers")
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
TEXT_CHARS = 400_000
WORLD = ["Der kleine Bär schläft süß über dem großen Fluß.", "L'été, l'élève a déjà mangé où ça ?", "El niño español cantó ¡qué alegría!",
         "Маленький мальчик играет в саду.", "το μικρό παιδί παίζει στον κήπο", "小さな猫が庭で遊んでいます。", "小猫在花园里玩耍。你好，世界！",
         "작은 고양이가 정원에서 놀고 있어요.", "القطة الصغيرة تلعب في الحديقة", "החתול הקטן משחק בגן", "छोटी बिल्ली बगीचे में खेलती है",
         "แมวน้อยเล่นในสวน", "😀 🎉 ❤️ 👩‍👩‍👧‍👦 🇩🇪", "if (x == 10) { return 3.14159; }  // code", "    indented\n\n\ttabs\r\n"] * 6


def corpus(path):
    with open(path, encoding="utf-8") as f:
        text = f.read(TEXT_CHARS)
    return [p for p in text.split("\n") if p.strip() and not p.startswith("<|")] + WORLD


def save(name, tokenizer):
    os.makedirs(os.path.join(FOLDER, name), exist_ok=True)
    tokenizer.save(os.path.join(FOLDER, name, "tokenizer.json"))


def edit(name, change):
    path = os.path.join(FOLDER, name, "tokenizer.json")
    with open(path, encoding="utf-8") as f:
        j = json.load(f)
    change(j)
    with open(path, "w", encoding="utf-8") as f:
        json.dump(j, f, ensure_ascii=False, indent=1)
    Tokenizer.from_file(path)  # must still load


def train_gpt2(lines):
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    t.decoder = decoders.ByteLevel()
    t.post_processor = processors.ByteLevel(trim_offsets=False)
    t.train_from_iterator(lines, trainers.BpeTrainer(vocab_size=640, special_tokens=["<|endoftext|>"], show_progress=False,
                                                     initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet())))
    t.add_tokens([AddedToken("<tag>", normalized=False), AddedToken("[[", lstrip=True), AddedToken("]]", rstrip=True),
                  AddedToken("word", single_word=True), AddedToken("<tag>x", normalized=False)])
    save("gpt2", t)


def train_llama3(lines):
    t = Tokenizer(models.BPE(ignore_merges=True))
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(LLAMA3), "isolated"),
                                               pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    t.decoder = decoders.ByteLevel()
    t.train_from_iterator(lines, trainers.BpeTrainer(vocab_size=768, show_progress=False,
                                                     initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet())))
    t.add_special_tokens(["<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>"])
    t.add_tokens([AddedToken("<think>", normalized=False), AddedToken(" <both> ", lstrip=True, rstrip=True),
                  AddedToken("ümlaut", single_word=True)])
    bos = t.token_to_id("<|begin_of_text|>")
    t.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), processors.TemplateProcessing(
        single="<|begin_of_text|> $A", pair="<|begin_of_text|> $A <|begin_of_text|>:1 $B:1", special_tokens=[("<|begin_of_text|>", bos)])])
    save("llama3", t)

    def unreachable(j):
        """Whole pre-tokens without merges that lead to them: only ignore_merges finds these. The added tokens move behind them, as in
        Llama 3: `tokenizers` ignores the ids of a file and numbers added tokens from the size of the vocabulary on."""
        vocab = j["model"]["vocab"]
        for word in ("Ġwonderful", "Ġunreachable", "xyzzy", "ðŁĺĢ", "123"):
            vocab.setdefault(word, len(vocab))
        for i, token in enumerate(j["added_tokens"]):
            token["id"] = len(vocab) + i
        special = j["post_processor"]["processors"][1]["special_tokens"]["<|begin_of_text|>"]
        special["ids"] = [j["added_tokens"][0]["id"]]
    edit("llama3", unreachable)


def train_llama2(lines):
    t = Tokenizer(models.BPE(unk_token="<unk>"))
    t.pre_tokenizer = pre_tokenizers.Metaspace()
    t.train_from_iterator(lines, trainers.BpeTrainer(vocab_size=520, limit_alphabet=130, special_tokens=["<unk>", "<s>", "</s>"],
                                                     show_progress=False))
    t.model.byte_fallback, t.model.fuse_unk = True, True
    t.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    t.pre_tokenizer = pre_tokenizers.Metaspace()  # replaced below
    t.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    t.post_processor = processors.TemplateProcessing(single="<s> $A", pair="<s> $A <s>:1 $B:1", special_tokens=[("<s>", 1)])
    save("llama2", t)

    def sentencepiece(j):
        """The order of a converted SentencePiece model: specials, 256 bytes, merged pieces, characters at the end."""
        old = sorted(j["model"]["vocab"], key=j["model"]["vocab"].get)
        pieces = [p for p in old[3:] if len(p) > 1] + ["▁▁", "▁▁▁▁"] + [p for p in old[3:] if len(p) == 1]
        order = old[:3] + [f"<0x{b:02X}>" for b in range(256)] + pieces
        j["model"]["vocab"] = {p: i for i, p in enumerate(order)}
        j["model"]["merges"] += [["▁", "▁"], ["▁▁", "▁▁"]]
        j["pre_tokenizer"] = None
    edit("llama2", sentencepiece)
    for name, scheme, split in (("metaspace-first", "first", False), ("metaspace-always", "always", True)):
        m = Tokenizer.from_file(os.path.join(FOLDER, "llama2", "tokenizer.json"))
        m.normalizer = None
        m.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme=scheme, split=split)
        if scheme == "always":
            m.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace(replacement="▁", prepend_scheme=scheme)])
            m.add_tokens([AddedToken("<tag>", normalized=False), AddedToken("word", single_word=True)])
        save(name, m)
        if scheme == "first":
            edit(name, lambda j: j.update(normalizer=None))


# --- strings ---------------------------------------------------------------------------------------------------------

HAND = ["", " ", "  ", "   x", "x   ", "\n", "\r\n", "\r\n\r\n x", " \n \n", "\t\t\tx\t", "\x00", "a\x00b", "\x1c\x1d\x1e\x1f", "\x7f\x80\x85\xa0",
        "a\u00a0b", "\u2003\u2003x", "\u3000\u3000全角", "\u2028\u2029", "\ufeffBOM", "\ufffd", "\ufffe\uffff", "\U0010ffff", "\ue000\U000f0000",
        "don't Don'T DON'T you'll YOU'LL we've I'm he'd they're it's'", "'s 't 're 've 'm 'll 'd 'S 'T", "'\u017f \u2019s ''s", "x'ſ'S'K'K",
        "1 12 123 1234 12345 1234567890", "3.14159 1,000,000 1e-10 0x1F", "٣٤٥ ४५६ ⅷ ½ ²³ ①②③ 一二三", "e\u0301 é ñ n\u0303 ä̈ Z͑ͫ̓ͪ̂ͫ̽", "ﬁ ﬂ ﬀ ǆ ß ẞ İ ı",
        "👩‍👩‍👧‍👦 👍🏽 🇩🇪🇫🇷 ❤️ 😀😀😀", "مرحبا بالعالم", "שלום עולם", "\u202eabc\u202c \u200b \u200d \u00ad", "你好，世界！", "こんにちは世界", "안녕하세요 세계", "สวัสดีชาวโลก", "नमस्ते दुनिया क्षत्रिय",
        "   leading", "trailing   ", "two  spaces   three    four", "tab\tand\tspace \t mixed", "line1\nline2\r\nline3\rline4\n\n\nline5",
        "<|endoftext|>", "a<|endoftext|>b", " <|endoftext|> ", "<|endoftext|><|endoftext|>", "<|endof text|>", "<s>", "</s>", "x<s>y</s>z", " <s> hello </s> ",
        "<unk>", "<0x41>", "<0x0A>", "<|begin_of_text|>hi<|eot_id|>", "<|begin_of_text|", "<tag>", "a<tag>b", "<tag>x", "<tag>y <tag>xx", "a [[ b ]] c", "[[[[", "]]  ]]",
        "word", "a word b", "words", "sword", "word.", "(word)", "word word", "wordword", "word_", "word1", "ümlaut", "aümlaut", "ümlautb", "ümlaut!", "ümlaut ümlaut",
        "<think>", "x<think>y", "  <both>  ", "a <both> b", "a  <both>  b", "<both>", "\n <both> \n", " wonderful wonderful unreachable xyzzy 😀 123",
        "▁", "▁▁", "a▁b", " ▁ ", "▁hello", "Ġ", "Ċ", "Ġhello", "aĠb", "\u2581\u2581\u2581", "hello  ▁ world", "return x;\n    }\n\n  else {\n", "!!!???...---===", "a.b,c;d:e!f?g",
        "http://example.com/?q=1&x=%20", "C:\\path\\file.txt", "@user #tag $5.00 100% ^&*()", "\"quoted\" 'single' `tick`", "a" * 60, "ab" * 40, " " * 37, "\n" * 13, "é" * 21, "😀" * 9,
        "AbCdEfG hIjK", "snake_case camelCase kebab-case", "i̇ıİI", "𝒜𝓑𝔠 𝟙𝟚𝟛", "\U00020000\U0002a6d6", "\u0300\u0301\u0302", "\u0e33\u0e4d", "Å Å Å", "…—–“”‘’«»", "₀₁₂ ⁰ ª º", "_ __ ___", "0", "00", "000", "0000",
        "xyzzy", "xyzzy xyzzy", "123", "1234", "\u00e9\u0301\u0302x", "a\u0300b", "\r", "\r\r\n", "x\r\n\r\n  y", "\n\n  \n", "'ll've", "I'LL'VE'D", "\u2019ll",
        "Hello, world!", "Once upon a time, there was a little girl named Lily.", "don\u2019t", "\ud7ff\ue000"]

POOLS = dict(
    latin=[chr(c) for c in range(0x20, 0x250)], space=list(" \t\n\r\x0b\x0c\x85\xa0\u1680\u2000\u2007\u200a\u200b\u2028\u2029\u202f\u205f\u3000"),
    digits=list("0123456789") + [chr(c) for c in (0x660, 0x669, 0x966, 0xFF10, 0xB2, 0xBC, 0x2160, 0x2460, 0x3007, 0x1D7CE)],
    punct=list("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~§±¶·¿×÷–—‘’“”…€™"), control=[chr(c) for c in (*range(0, 32), *range(127, 160), 0xAD, 0x200D, 0x200E, 0xFEFF, 0xFFF9)],
    marks=[chr(c) for c in (*range(0x300, 0x330), 0x591, 0x64B, 0x93C, 0xE31, 0x20D0, 0xFE0F, 0x1F3FB)], emoji=[chr(c) for c in (*range(0x1F600, 0x1F640), 0x2764, 0x1F468, 0x1F1E9, 0x1F1EA)],
    cjk=[chr(c) for c in (*range(0x4E00, 0x4E40), *range(0x3041, 0x3060), *range(0xAC00, 0xAC20), 0x3001, 0x3002)],
    arabic=[chr(c) for c in (*range(0x621, 0x64A), *range(0x5D0, 0x5EA), *range(0x905, 0x940))])


def assigned(rng):
    """A random code point with a category in Unicode 14, so that newer tables agree on it."""
    while True:
        c = rng.randrange(0x110000) if rng.random() < 0.5 else rng.randrange(0x3000)
        if unicodedata.category(chr(c)) not in ("Cn", "Cs"):
            return chr(c)


def strings(words):
    rng = random.Random(20)
    out = list(HAND)
    glue = [" ", " ", " ", "  ", "\n", ", ", ". ", "'s ", "' ", "-", "\r\n", " 12", "\t", ""]
    special = ["<|endoftext|>", "<s>", "</s>", "<tag>", "[[", "]]", "word", "<think>", " <both> ", "<|eot_id|>", "ümlaut", "<tag>x"]
    for _ in range(500):  # prose with odd joints
        out.append("".join(rng.choice(words) + rng.choice(glue) for _ in range(rng.randint(1, 9))))
    for _ in range(350):  # the same with added tokens in between
        out.append("".join(rng.choice((rng.choice(words), rng.choice(special), rng.choice(POOLS["punct"]))) + rng.choice(("", " ", "  "))
                           for _ in range(rng.randint(1, 7))))
    for _ in range(800):  # runs from the pools
        s = ""
        for _ in range(rng.randint(1, 6)):
            pool = POOLS[rng.choice(list(POOLS))]
            s += "".join(rng.choice(pool) for _ in range(rng.randint(1, 5))) + rng.choice(("", "", " ", rng.choice(words)))
        out.append(s)
    for _ in range(400):  # anything
        out.append("".join(assigned(rng) if rng.random() < 0.7 else rng.choice(" \n'a1") for _ in range(rng.randint(1, 12))))
    return out


def gz(path, lines):
    data = ("\n".join(lines) + "\n").encode("utf-8")
    with open(path, "wb") as f, gzip.GzipFile(filename="", fileobj=f, mode="wb", mtime=0, compresslevel=9) as z:
        z.write(data)


def dump(v):
    return json.dumps(v, ensure_ascii=False, separators=(",", ":"))


def expectations(name, texts):
    t = Tokenizer.from_file(os.path.join(FOLDER, name, "tokenizer.json"))
    rows = []
    for text in texts:
        ids = t.encode(text, add_special_tokens=False).ids
        row = dict(i=ids)
        full = t.encode(text).ids
        if full != ids:
            row["b"] = len(full) - len(ids)
            assert full[row["b"]:] == ids
        for key, skip in (("d", False), ("s", True)):
            decoded = t.decode(ids, skip_special_tokens=skip)
            if decoded != (text if key == "d" else row.get("d", text)):
                row[key] = decoded
        rows.append(row)
    rng = random.Random(21)
    size = t.get_vocab_size()
    ids = [[rng.randrange(size) for _ in range(rng.randint(1, 8))] for _ in range(300)]
    gz(os.path.join(FOLDER, name, "expected.jsonl.gz"), [dump(r) for r in rows])
    gz(os.path.join(FOLDER, name, "decode.jsonl.gz"), [dump(dict(i=i, d=t.decode(i, skip_special_tokens=False))) for i in ids])
    with open(os.path.join(FOLDER, name, "sample.jsonl"), "w", encoding="utf-8") as f:
        for text, row in list(zip(texts, rows))[: len(HAND) + 40]:
            f.write(dump(dict(t=text, **row)) + "\n")
    bos = t.encode("").ids
    with open(os.path.join(FOLDER, name, "info.json"), "w", encoding="utf-8") as f:
        f.write(dump(dict(vocab_size=size, bos=bos, strings=len(texts), decodes=len(ids),
                     byte_fallback=bool(t.model.byte_fallback))) + "\n")
    lossless = sum("d" not in r for r in rows)
    print(f"{name}: vocab {size}, {len(texts)} strings, {lossless} decode to themselves")


def run(text=None):
    if text:
        lines = corpus(text)
        train_gpt2(lines)
        train_llama3(lines)
        train_llama2(lines)
        words = sorted({w for line in lines[:1500] for w in line.split()})
        texts = strings(words)
        gz(os.path.join(FOLDER, "strings.jsonl.gz"), [dump(s) for s in texts])
    with gzip.open(os.path.join(FOLDER, "strings.jsonl.gz"), "rt", encoding="utf-8", newline="\n") as f:
        texts = [json.loads(line) for line in f.read().split("\n")[:-1]]
    for name in sorted(os.listdir(FOLDER)):
        if os.path.isdir(os.path.join(FOLDER, name)):
            expectations(name, texts)
