#!/usr/bin/env python3
"""Writes letters.c, numbers.c and words.c beside itself: the character classes that tokenizer.json files rely on.

    pip install tokenizers==0.23.3 unicodedata2==16.0.0 && python src/text/unicode/make_tables.py && clang-format -i src/text/unicode/*.c

The classes are asked from `tokenizers` itself, character by character, because equality with it is what we promise:
\\p{L} and \\p{N} come from its regex engine (Oniguruma, Unicode 16.0), \\w from the one that finds single_word added
tokens (Rust's regex crate). unicodedata2 only confirms the Unicode version of the first two.
"""
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, models, pre_tokenizers

HERE = Path(__file__).parent
POINTS = [c for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]


def matching(pattern):
    splitter = pre_tokenizers.Split(Regex(pattern), "removed")
    rest = set()
    for i in range(0, len(POINTS), 4096):
        for _, (begin, end) in splitter.pre_tokenize_str("".join(map(chr, POINTS[i:i + 4096]))):
            rest.update(POINTS[i + begin:i + end])
    return sorted(set(POINTS) - rest)


def word_characters():
    """c is one exactly if it keeps the single_word token <x> behind it from matching."""
    tokenizer = Tokenizer(models.BPE({"?": 0}, [], unk_token="?"))
    tokenizer.add_tokens([AddedToken("<x>", single_word=True, normalized=False)])
    found = []
    for i in range(0, len(POINTS), 4096):
        chunk = POINTS[i:i + 4096]
        encodings = tokenizer.encode_batch([chr(c) + "<x>" for c in chunk])
        found += [c for c, encoding in zip(chunk, encodings) if encoding.ids[-1] == 0]
    return found


def runs(points):
    out = []
    for c in points:
        if out and out[-1] == c:
            out[-1] = c + 1
        else:
            out += [c, c + 1]
    return out


def rows(items):
    lines, line = [], "   "
    for item in items:
        if len(line) + len(item) + 2 > 110:
            lines.append(line)
            line = "   "
        line += f" {item},"
    return "\n".join(lines + [line]).rstrip(",")


def write(name, what, points):
    """Edges as distances in LEB128, and a mark before every 64th edge to start reading from."""
    edges, data, marks, last = runs(points), bytearray(), [], 0
    for i, edge in enumerate(edges):
        if i % 64 == 0:
            marks.append(f"{{0x{last:X}, {len(data)}}}")
        step, last = edge - last, edge
        while step >= 128:
            data.append(step & 127 | 128)
            step >>= 7
        data.append(step)
    (HERE / f"{name}.c").write_text(
        f"/* Made by make_tables.py: {what}; {len(points)} characters. */\n"
        f'#include "text/unicode/unicode.h"\n\n'
        f"static const uint8_t steps[] = {{\n{rows(map(str, data))}}};\n\n"
        f"static const pl_unicode_mark marks[] = {{\n{rows(marks)}}};\n\n"
        f"const pl_unicode_set pl_unicode_{name} = {{steps, {len(data)}, marks, {len(marks)}}};\n")
    print(name, len(points), "characters,", len(edges) // 2, "runs,", len(data), "bytes")


def main():
    import unicodedata2
    letters, numbers = matching(r"\p{L}"), matching(r"\p{N}")
    for points, major in ((letters, "L"), (numbers, "N")):
        assert points == [c for c in POINTS if unicodedata2.category(chr(c))[0] == major], major
    write("letters", f"\\p{{L}} of Unicode {unicodedata2.unidata_version}", letters)
    write("numbers", f"\\p{{N}} of Unicode {unicodedata2.unidata_version}", numbers)
    write("words", "\\w of Rust's regex crate as tokenizers 0.23.3 has it", word_characters())


if __name__ == "__main__":
    main()
