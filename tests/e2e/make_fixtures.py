"""Models and data of the end-to-end tests.

usage: make_fixtures.py ZIPRL OUT

OUT/rows.jsonl, OUT/tiny: a data set of small pictures and a model that `ziprl init` made on it.
OUT/second.jsonl, OUT/second: two pictures a row, long prompts, numeric answers; a model of another shape (hidden
96, 6/3 heads, patch 14, vocabulary 700, untied) that transformers wrote.
"""

import os
import random
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(os.path.dirname(HERE), name) for name in ("model", "rollout")]

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
from make_models import QWEN_SPLIT, chat_template
from make_parity_fixtures import CASES, SPECIAL, make_config, randomise, save_processor
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import Qwen2_5_VLForConditionalGeneration, Qwen2TokenizerFast
from workbench import COLOURS, draw, write_rows, yes_no_rows

VOCABULARY = 700
INSTRUCTION = (
    "Two pictures are given. In each one there is a disc on a bright ground. Count the discs that have the colour "
    "asked for, think about the first picture, then about the second one, write down every step of the reasoning, "
    "and end with one whole number and nothing else. Colours that come close do not count, and neither does the "
    "ground, whatever its brightness may be. If no disc has the colour then the number is zero.")


def words(count, seed):
    rng = random.Random(seed)
    syllables = [a + b for a in "bdfgklmnprst" for b in "aeiou"]
    return ["".join(rng.choice(syllables) for _ in range(rng.randrange(2, 5))) for _ in range(count)]


def make_tokenizer():
    """Byte-level BPE whose ids, with the special ones, are exactly 0...699."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    split = pre_tokenizers.Split(Regex(QWEN_SPLIT), behavior="isolated", invert=False)
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, byte_level])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - len(SPECIAL), initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator(words(600, 1), trainer)
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in SPECIAL])
    assert tokenizer.get_vocab_size() == VOCABULARY
    return Qwen2TokenizerFast(tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|endoftext|>")


def make_second_model(out):
    case = dict(CASES["odd"], vocab=VOCABULARY)
    tokenizer = make_tokenizer()
    config = make_config(case, tokenizer)
    model = Qwen2_5_VLForConditionalGeneration._from_config(config).float().eval()
    randomise(model, 7)
    model.save_pretrained(out)
    save_processor(out, case, tokenizer)
    with open(f"{out}/chat_template.jinja", "w") as file:
        file.write(chat_template())


def second_rows(out, count):
    """Pictures of odd sizes, PNG and JPEG."""
    rng, rows = random.Random(3), []
    for i in range(count):
        colours = [rng.choice(list(COLOURS)) for _ in range(2)]
        paths = [f"images/pair_{i}_{k}.{kind}" for k, kind in enumerate(("png", "jpg"))]
        for k, path in enumerate(paths):
            draw(f"{out}/{path}", (rng.randrange(97, 150), rng.randrange(71, 120)), colours[k], 100 + 2 * i + k)
        asked = rng.choice(list(COLOURS))
        rows.append(dict(problem=f"<image> and <image> {INSTRUCTION} The colour is {asked}.", images=paths,
                         answer=colours.count(asked)))
    return rows


def main(program, out):
    torch.set_num_threads(1)
    shutil.rmtree(out, ignore_errors=True)
    os.makedirs(out)
    write_rows(f"{out}/rows.jsonl", yes_no_rows(out, 12, seed=1))
    write_rows(f"{out}/second.jsonl", second_rows(out, 6))
    make_second_model(f"{out}/second")
    subprocess.run([program, "init", f"{HERE}/architecture.json", f"{out}/tiny", "--corpus", f"{out}/rows.jsonl",
                    "--seed", "1"], check=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
