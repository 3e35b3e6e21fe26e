#!/usr/bin/env python3
"""Step 1 of 4: raw corpora -> clean training documents.

    python clean.py --data ../shared/data --out WORK/clean

Writes one file per source group (documents separated by a line `<|endoftext|>`) and `stats.json`:
    stories.txt   short stories in simple English (the core)     heldout.txt  5 % of them, never trained on
    picture.txt   picture books (CC BY)                          fables.txt   short old tales, simple ones
    books.txt     chapters of old children's books               primer.txt   letters, numbers, lists (made here)
No raw text is committed to the project; only weights trained on it are.
"""
import argparse
import hashlib
import json
import random
import re
import unicodedata
from pathlib import Path

SEPARATOR = "<|endoftext|>"

# Words of slurs and of period racism. A document (a chapter, for a book) that holds one is dropped whole: what
# surrounds such a word is usually no better than the word. They are stored as SHA-256 prefixes so that this file
# can be read in class; `python clean.py --hash WORD` prints the entry for a word.
BLOCKED = set(Path(__file__).with_name("blocked-words.sha256").read_text().split())
BLOCKED_TITLES = re.compile(r"remus|sambo|unc' billy|golliwog", re.I)

FOLD = {"‘": "'", "’": "'", "‚": "'", "“": '"', "”": '"', "„": '"', "«": '"', "»": '"', "–": "-", "—": " - ",
        "…": "...", "\u00a0": " ", "œ": '"', "Š": "...", "\u200b": "", "\ufeff": "", "`": "'", "´": "'", "\t": " "}


def word_hash(word):
    return hashlib.sha256(word.lower().encode()).hexdigest()[:16]


def fold(text):
    """Punctuation and accents to ASCII, spaces collapsed, at most one line break in a row."""
    for old, new in FOLD.items():
        text = text.replace(old, new)
    text = unicodedata.normalize("NFKD", text)
    text = "".join(c for c in text if not unicodedata.combining(c))
    text = re.sub(r"[ \r]+", " ", text)
    return re.sub(r" ?\n[ \n]*", "\n", text).strip()


def blocked(text):
    return any(word_hash(w) in BLOCKED for w in set(re.findall(r"[a-z]+(?:-[a-z]+)?", text.lower())))


def usable(text, shortest=80):
    """ASCII only after folding, long enough, mostly letters, free of blocked words and of web addresses."""
    if len(text) < shortest or not text.isascii() or re.search(r"https?:|www\.|@|\{|\}|<|>", text):
        return False
    letters = sum(c.isalpha() or c in " \n" for c in text)
    return letters / len(text) > 0.85 and not blocked(text)


def read_documents(path):
    return [d for d in (fold(d) for d in path.read_text(encoding="utf-8").split(SEPARATOR)) if d]


def split_blank_lines(path):
    """extra_a: a story opens with a paragraph that begins like one."""
    opening = re.compile(r"(Once |One day,? (?:a|there)|There (?:was|once)|A long time ago|Long ago|In a )")
    stories = []
    for paragraph in re.split(r"\n\s*\n", path.read_text(encoding="utf-8")):
        if not stories or opening.match(paragraph):
            stories.append([])
        stories[-1].append(paragraph)
    return [fold("\n".join(s)) for s in stories[1:]]  # the first piece starts mid-story


def split_single_lines(path):
    """extra_b: a single line break ends a story, an empty line ends a paragraph."""
    text = re.sub(r"\n\s*\n", "\0", path.read_text(encoding="utf-8"))
    return [fold(s.replace("\0", "\n")) for s in text.split("\n")][1:]


HEADING = re.compile(r"^(?:(?:chapter|story|part|book)\b.{0,60}|[ivxlc]+\.?(?: .{0,50})?|[0-9]+\.?)$", re.I)


def is_caption(line):
    letters = [c for c in line if c.isalpha()]
    return not letters or (len(line) < 70 and sum(c.isupper() for c in letters) / len(letters) > 0.8)


def chapters(book):
    """Cuts a book at its headings; title pages, lists of contents and notes fall away as pieces without prose."""
    title = book.split("\n", 1)[0]
    if BLOCKED_TITLES.search(title):
        return
    piece = []
    for line in book.split("\n") + ["CHAPTER"]:
        if HEADING.match(line) or is_caption(line):
            prose = [p for p in piece if p[-1:] in '.!?"\'' and len(p) > 20 and not re.match(
                r"(?i)note:|produced by|transcriber|illustrat|copyright|\[", p) and "Gutenberg" not in p]
            if len(prose) >= 4:
                yield "\n".join(prose)
            piece = []
        else:
            piece.append(re.sub(r"\[[^\]]{0,80}\]|_", "", line).strip())


def sentence_length(text):
    return len(text.split()) / max(1, len(re.findall(r"[.!?]+", text)))


def primer(rng, count):
    """Letters, numbers, lists and labels, so that their tokens are not met first in fine-tuning. Made here."""
    names = "Tom Lily Ben Mia Sam Anna Max Sue Tim Lucy Jack Sara".split()
    things = "apple ball cat dog egg fish goat hat jar kite lamp mouse nut owl pen rose star tree van box boat".split()
    nouns = [(t, t + ("es" if t in ("box", "fish") else "s")) for t in things if t != "mouse"]
    words = "zero one two three four five six seven eight nine ten eleven twelve".split()
    days = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()

    def some(n):
        one, many = rng.choice(nouns)
        return f"{n} {one if n == 1 else many}"

    def line():
        kind, n, m = rng.randrange(9), rng.randrange(1, 10), rng.randrange(1, 10)
        name, letter = rng.choice(names), rng.choice("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
        if kind == 0:
            return f"{name} has {some(n)} and {some(m)}."
        if kind == 1:
            return f"The number {n} is {words[n]}. After {n} comes {n + 1}."
        if kind == 2:
            start = rng.randrange(0, 20)
            return " ".join(chr(65 + (start + i) % 26) for i in range(rng.randrange(3, 7)))
        if kind == 3:
            start = rng.randrange(1, 6)
            return " ".join(str(start + i) for i in range(rng.randrange(3, 6)))
        if kind == 4:
            return f"{name}'s box: " + ", ".join(rng.choice(things) for _ in range(rng.randrange(2, 5))) + "."
        if kind == 5:
            return f"{rng.choice(days)}: {name} saw {some(n)}."
        if kind == 6:
            return f"The letter {letter} is a big letter. The letter {letter.lower()} is a small letter."
        if kind == 7:
            return f"{name} wrote {letter}{n} on the wall. {rng.choice(names)} wrote {rng.choice('ABCDEFGHIJKLMNOPQRSTUVWXYZ')}{m}."
        return f"{words[n].capitalize()} and {words[m]} is {n + m}."

    for _ in range(count):
        yield "\n".join(line() for _ in range(rng.randrange(4, 9)))


def main():
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--data", type=Path, default=Path("../shared/data"))
    cli.add_argument("--out", type=Path, required=False)
    cli.add_argument("--seed", type=int, default=1)
    cli.add_argument("--hash", help="print the blocked-word entry for a word and stop")
    args = cli.parse_args()
    if args.hash:
        print(word_hash(args.hash))
        return
    rng = random.Random(args.seed)
    args.out.mkdir(parents=True, exist_ok=True)
    core = read_documents(args.data / "tinystories_train.txt")
    rng.shuffle(core)
    held = max(1, len(core) // 20)
    books = [c for b in read_documents(args.data / "pd_gitenberg_children.txt") for c in chapters(b)]
    shelf = [c for b in read_documents(args.data / "pd_standardebooks_children.txt") for c in fables(b)]
    groups = {
        "heldout": core[:held],
        "stories": core[held:] + split_blank_lines(args.data / "tinystories_extra_a_no_separators.txt")
        + split_single_lines(args.data / "tinystories_extra_b_no_separators.txt"),
        "picture": [d for name in ("african_storybook", "pratham", "bookdash")
                    for d in read_documents(args.data / f"ccby_{name}_en.txt")],
        "fables": [d for d in shelf if len(d) < 4000 and sentence_length(d) < 18],
        "books": books + shelf,
        "primer": list(primer(rng, 900)),
    }
    stats, seen = {}, set()
    for name, documents in groups.items():
        kept = []
        for d in documents:
            key = word_hash(d[:200])
            if usable(d) and (name == "books" or key not in seen):
                seen.add(key)
                kept.append(d)
        text = f"\n{SEPARATOR}\n".join(kept) + f"\n{SEPARATOR}\n"
        (args.out / f"{name}.txt").write_text(text, encoding="utf-8")
        stats[name] = {"documents": len(kept), "dropped": len(documents) - len(kept), "bytes": len(text)}
        print(name, stats[name])
    (args.out / "stats.json").write_text(json.dumps(stats, indent=2) + "\n")


def fables(book):
    """Standard Ebooks: a tale begins at a short line without a full stop (its title)."""
    piece = []
    for line in book.split("\n") + ["End"]:
        if len(line) < 60 and line[-1:] not in '.!?,;:"\'-' and len(piece) != 1:
            if len(piece) > 1:
                yield "\n".join(piece[1:])
            piece = [line]
        else:
            piece.append(line)


if __name__ == "__main__":
    main()
