"""Token ids against the `tokenizers` library. Usage: judge_tokenizer.py PROBE WORK_DIR CASE"""
import glob
import json
import os
import random
import sys
import unicodedata

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from judging import (check_equal, easy_vqa_texts, hexed, ids_of, probe, random_string, random_strings)

PROBE, WORK, CASE = sys.argv[1:4]
PATTERN = (r"""(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"""
           r"""|\s*[\r\n]+|\s+(?!\S)|\s+""")


def training_corpus():
    return sorted(set(easy_vqa_texts())) + random_strings(300, 5) + [
        "The quick brown fox jumps over the lazy dog. " * 3, "aaaaaaaaaaaaaaaa", "12345 67890",
        unicodedata.normalize("NFD", "Crème brûlée à la façon d'Åse"), "\u4e2d\u6587\u5b57\u7b26" * 4]


def own_file(vocab_size):
    """tokenizer.json from this project's trainer."""
    path = os.path.join(WORK, f"own_{vocab_size}_{CASE}.json")
    text = "\n".join(probe(PROBE, "train", vocab_size, lines=map(hexed, training_corpus()))) + "\n"
    with open(path, "w") as file:
        file.write(text)
    return path


def foreign_file(string_merges):
    """tokenizer.json from the library's trainer, merges as "a b" or as ["a", "b"]."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(PATTERN), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|image_pad|>"]
    tokenizer.train_from_iterator(training_corpus(), trainers.BpeTrainer(
        vocab_size=2000, special_tokens=special, show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    data = json.loads(tokenizer.to_str())
    if string_merges:
        data["model"]["merges"] = [" ".join(pair) for pair in data["model"]["merges"]]
    path = os.path.join(WORK, f"foreign_{string_merges}_{CASE}.json")
    with open(path, "w") as file:
        json.dump(data, file)
    return path


def compare(path, texts):
    judge = Tokenizer.from_file(path)
    want = [e.ids for e in judge.encode_batch(texts, add_special_tokens=False)]
    got = ids_of(probe(PROBE, "encode", path, lines=map(hexed, texts)))
    check_equal(f"{CASE} ids ({os.path.basename(path)})", got, want, lambda i: repr(texts[i]))
    return judge, want


def compare_decoding(path, judge, id_lists):
    for mode, skip in (("skip", True), ("keep", False)):
        want = [judge.decode(ids, skip_special_tokens=skip).encode().hex() for ids in id_lists]
        got = probe(PROBE, "decode", path, mode, lines=map(json.dumps, id_lists))
        check_equal(f"{CASE} decode {mode}", got, want, lambda i: str(id_lists[i]))


def easy_vqa():
    compare(own_file(700), easy_vqa_texts())


def unicode_strings():
    path = own_file(1500)
    judge, ids = compare(path, random_strings(6000, 1))
    compare_decoding(path, judge, ids[:1500])


def foreign():
    for string_merges in (False, True):
        compare(foreign_file(string_merges), random_strings(2000, 2) + easy_vqa_texts()[:2000])


def random_ids():
    path = own_file(600)
    judge = Tokenizer.from_file(path)
    rng = random.Random(3)
    size = judge.get_vocab_size()
    lists = [[rng.randrange(size) for _ in range(rng.randrange(12))] for _ in range(3000)]
    compare_decoding(path, judge, lists)


def long_strings():
    rng = random.Random(4)
    texts = ["a" * 1_000_000, "ab" * 400_000, " " * 300_000 + "x", "\n" * 100_000, "!" * 200_000,
             "\u0301" * 100_000, "e" + "\u0323\u0301" * 20_000, "\u4e2d" * 200_000, "the quick brown fox " * 20_000,
             "<|im_start|>" * 20_000, "1" * 100_000, "\U0001f600" * 50_000, random_string(rng, 500_000)]
    compare(own_file(1500), texts)


def every_code_point():
    """Each code point between letters, after a space, before a mark: its class and its NFC."""
    path = own_file(300)
    # Planes 4 to 13, 15 and 16 hold no characters: a sample of them will do.
    points = [chr(c) for c in range(0x110000)
              if not 0xD800 <= c < 0xE000 and (c < 0x40000 or c >> 16 == 14 or c % 97 == 0)]
    texts = ["".join(f"a{c} {c}1" for c in points[i:i + 500]) for i in range(0, len(points), 500)]
    compare(path, texts)
    marks = [f"q\u0345{c}\u0323 a{c}\u0301q\u0334{c}" for c in points]
    normal = normalizers.NFC()
    want = [normal.normalize_str(text).encode().hex() for text in marks]
    check_equal("NFC of every code point among marks", probe(PROBE, "nfc", lines=map(hexed, marks)), want,
                lambda i: repr(marks[i]))


def invalid_utf8():
    path = own_file(400)
    rng = random.Random(6)
    raw = [b"\xff", b"a\xc3", b"\xe2\x82", b"\xed\xa0\x80", b"\xf0\x9f\x98", b"\xc0\xaf", b"\xf5\x80\x80\x80",
           b"\xe0\x80\x80", b"\xf4\x90\x80\x80", b"ok\x80\x80ok"]
    raw += [bytes(rng.choice([rng.randrange(256), 0xE2, 0x82, 0xF0, 0x9F, 65]) for _ in range(rng.randrange(20)))
            for _ in range(3000)]
    judge = Tokenizer.from_file(path)
    # Python replaces maximal invalid parts exactly as Rust does.
    want = [judge.encode(r.decode("utf-8", "replace")).ids for r in raw]
    got = ids_of(probe(PROBE, "encode", path, lines=map(hexed, raw)))
    check_equal("invalid UTF-8", got, want, lambda i: str(raw[i]))


def trainer():
    """The trainer's file loads, repeats bit by bit, and its vocabulary compresses what it was trained on."""
    path = own_file(700)
    first = open(path).read()
    if first != open(own_file(700)).read():
        sys.exit("training twice gave different files")
    data = json.loads(first)
    added = [t["content"] for t in data["added_tokens"]]
    ids = [t["id"] for t in data["added_tokens"]]
    check_equal("ids of added tokens", ids, list(range(700, 722)))
    check_equal("added tokens", added, [
        "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>",
        "<|box_start|>", "<|box_end|>", "<|quad_start|>", "<|quad_end|>", "<|vision_start|>", "<|vision_end|>",
        "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>", "<tool_call>", "</tool_call>", "<|fim_prefix|>",
        "<|fim_middle|>", "<|fim_suffix|>", "<|fim_pad|>", "<|repo_name|>", "<|file_sep|>"])
    judge = Tokenizer.from_file(path)
    if judge.get_vocab_size() != 722:
        sys.exit(f"vocabulary of {judge.get_vocab_size()}, expected 722")
    if len(judge.encode("What color is the rectangle?").ids) > 8:
        sys.exit("a question of the corpus takes more than 8 tokens")


def real_lines(count):
    """Lines of text that people wrote: the source and the documents of the installed packages."""
    root = os.path.dirname(os.path.dirname(os.path.abspath(json.__file__)))
    lines = []
    for path in sorted(glob.glob(os.path.join(root, "**", "*.py"), recursive=True)):
        if "site-packages" in path:
            continue
        with open(path, encoding="utf-8", errors="replace") as file:
            lines += [line for line in file if line.strip()]
        if len(lines) >= count:
            break
    return lines[:count]


def script_strings(count, seed):
    """Words of one script each, joined by spaces and marks: every block of letters has its turn."""
    rng = random.Random(seed)
    blocks = [[c for c in map(chr, range(first, first + 128)) if unicodedata.category(c)[0] in "LMN"]
              for first in [*range(0xA0, 0x3000, 128), *range(0x3040, 0xD7A0, 4096), *range(0xF900, 0xFE00, 512),
                            *range(0x10000, 0x20000, 2048), 0x20000, 0x2A700]]
    blocks = [block for block in blocks if block]
    return [rng.choice([" ", "  ", ", ", "\n", "-", "\u3001"]).join(
        "".join(rng.choices(block, k=rng.randrange(1, 9))) for _ in range(rng.randrange(1, 8)))
        for block in rng.choices(blocks, k=count)]


def qwen_vocabulary():
    """The published vocabulary on 200,000 strings, there and back."""
    from qwen_vocabulary import write_qwen_tokenizer
    path = os.path.join(WORK, "qwen.json")
    write_qwen_tokenizer(path)
    real = real_lines(80_000)
    texts = real + easy_vqa_texts()[:20_000] + script_strings(50_000, 21) + random_strings(50_000, 22)
    texts += ["".join(real[i:i + 20_000]) for i in range(0, 60_000, 20_000)]  # long, with newlines
    texts += [" ".join(script_strings(20_000, 23)), "".join(real).replace("\n", " ")[:1_000_000], "0123456789" * 100_000]
    judge, ids = compare(path, texts)
    compare_decoding(path, judge, ids[::7] + ids[-6:])
    rng = random.Random(24)
    raw = [bytes(rng.choices([*range(256), 0xE4, 0xB8, 0xAD, 0xF0, 0x9F, 0x20, 0x61], k=rng.randrange(1, 60)))
           for _ in range(10_000)]
    want = [e.ids for e in judge.encode_batch([r.decode("utf-8", "replace") for r in raw])]
    check_equal("invalid UTF-8", ids_of(probe(PROBE, "encode", path, lines=map(hexed, raw))), want,
                lambda i: str(raw[i]))
    if len(texts) + len(raw) < 200_000:
        sys.exit(f"only {len(texts) + len(raw)} strings")


CASES = {f.__name__: f for f in (easy_vqa, unicode_strings, foreign, random_ids, long_strings, every_code_point,
                                 invalid_utf8, trainer, qwen_vocabulary)}
os.makedirs(WORK, exist_ok=True)
CASES[CASE]()
