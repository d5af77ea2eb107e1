"""Tiny random Qwen2.5-VL directories and images for the engine's tests.

usage: make_models.py OUT_DIR

OUT_DIR/{base,odd}/ are Hugging Face directories (architectures of tests/model/make_parity_fixtures.py; `odd` is the
second one: hidden 96, 6/3 heads, patch 14, vocabulary 700, untied), each with image_0.png and image_1.png
whose sizes need no resizing.
"""

import ast
import os
import re
import shutil
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "tests", "model"))

import numpy as np
import torch
from make_parity_fixtures import CASES, make_config, make_tokenizer, randomise, save_processor
from PIL import Image
from tokenizers import Regex, pre_tokenizers, processors
from transformers import Qwen2_5_VLForConditionalGeneration

QWEN_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
IMAGE_SIZES = {"base": [(64, 64), (48, 32)], "odd": [(84, 112), (140, 168)]}


def chat_template():
    """The template that model/ reproduces, from its source."""
    source = open(os.path.join(ROOT, "model", "chat_template.cc")).read()
    literals = re.search(r"kQwenChatTemplate\[\] =\n(.*?);\n", source, re.S).group(1)
    return "".join(ast.literal_eval(line.strip()) for line in literals.splitlines())


def qwen_tokenizer():
    tokenizer = make_tokenizer()
    split = pre_tokenizers.Split(Regex(QWEN_SPLIT), behavior="isolated", invert=False)
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=False)
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, byte_level])
    tokenizer.backend_tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    return tokenizer


def save_images(out, sizes):
    random = np.random.default_rng(5)
    for i, (height, width) in enumerate(sizes):
        coarse = random.integers(0, 256, (height // 4, width // 4, 3), dtype=np.uint8)
        Image.fromarray(coarse.repeat(4, 0).repeat(4, 1)).save(f"{out}/image_{i}.png")


def main(out):
    shutil.rmtree(out, ignore_errors=True)
    torch.set_num_threads(1)
    for seed, name in enumerate(["base", "odd"]):
        tokenizer = qwen_tokenizer()
        config = make_config(CASES[name], tokenizer)
        model = Qwen2_5_VLForConditionalGeneration._from_config(config).float().eval()
        randomise(model, 40 + seed)
        with torch.no_grad():  # tied embeddings as large as the others would only repeat the last token
            model.get_input_embeddings().weight.mul_(0.2 if config.tie_word_embeddings else 1.0)
        model.save_pretrained(f"{out}/{name}")
        save_processor(f"{out}/{name}", CASES[name], tokenizer)
        with open(f"{out}/{name}/chat_template.jinja", "w") as file:
            file.write(chat_template())
        save_images(f"{out}/{name}", IMAGE_SIZES[name])


if __name__ == "__main__":
    main(sys.argv[1])
